"""A folder of archives: several at once, known again, adopted, verified, and never more than the disk takes."""

import errno
import json
import os
import re
import threading
import time

import pytest
from serving import NAME, QUICK, md5, names, watch_disk, zipped

from emocore.corpora.corpus import Archive
from emocore.corpora.download.archives import download
from emocore.corpora.download.checksums import CHECKSUMS
from emocore.corpora.download.http import Transfer
from emocore.errors import UserError, output_error
from emocore.storage import local


def test_one_bad_file_does_not_keep_the_others(record, tmp_path):
    contents = {f"{i}.zip": zipped(seed=i, size=10_000) for i in range(6)}
    record.files = dict(contents)
    archives = [Archive(name, "1", len(content), md5(content)) for name, content in contents.items()]
    record.faults["2.zip"] = [{"status": 404}]
    with pytest.raises(
        UserError, match=r"2.zip\?download=1 does not exist .* \(1 of 6 files failed; the others are whole\)"
    ):
        download(archives, str(tmp_path), QUICK, base_url=record.url)
    assert sorted(path.name for path in tmp_path.glob("*.zip*")) == [f"{i}.zip" for i in (0, 1, 3, 4, 5)]
    record.requests.clear()
    assert download(archives, str(tmp_path), QUICK, base_url=record.url).fetched == 1
    assert list(record.requests) == ["2.zip"]


def test_several_files_arrive_at_once(record, tmp_path):
    contents = {f"{i}.zip": zipped(seed=i, size=10_000) for i in range(4)}
    record.files = dict(contents)
    together = threading.Barrier(4)
    for name in contents:
        record.faults[name] = [{"wait": together}]
    archives = [Archive(name, "1", len(content), md5(content)) for name, content in contents.items()]
    download(archives, str(tmp_path), QUICK, base_url=record.url)
    assert not together.broken


def test_what_stops_one_thread_for_good_stops_the_others_at_once(record, tmp_path):
    contents = {f"{i}.zip": zipped(seed=i) for i in range(3)}
    record.files = dict(contents)
    silence = threading.Event()
    record.faults["0.zip"] = [{"cut": 1000, "wait": silence}]
    record.faults["1.zip"] = [{"status": 403}]
    archives = [Archive(name, "1", len(content), md5(content)) for name, content in contents.items()]
    began = time.monotonic()
    with pytest.raises(UserError, match="HTTP 403"):
        download(archives, str(tmp_path), Transfer(parallel=2, timeout_seconds=30), base_url=record.url)
    assert time.monotonic() - began < 3
    silence.set()


def test_a_finished_download_is_known_without_network_and_without_reading(fetch, record, monkeypatch):
    content = zipped()
    fetch(content)
    record.requests.clear()
    monkeypatch.setattr("emocore.corpora.download.archives.check_file", refuse)
    done = fetch(content)
    assert (done.fetched, record.requests, record.asked) == (0, {}, [])


def refuse(*arguments):
    raise AssertionError("read again")


def test_verify_reads_again_and_finds_what_changed_without_a_trace(fetch):
    content = zipped()
    fetch(content)
    mtime = fetch.file.stat().st_mtime_ns
    changed = bytearray(content)
    changed[1000] ^= 1
    fetch.file.write_bytes(changed)
    os.utime(fetch.file, ns=(mtime, mtime))
    fetch(content)
    with pytest.raises(UserError, match=f"{NAME} is not the published file .*: move or delete it"):
        fetch(content, verify=True)
    assert fetch.file.read_bytes() == changed


def test_a_file_put_there_by_hand_is_checked_and_taken_or_refused(fetch, record):
    content = zipped()
    fetch.folder.mkdir()
    fetch.file.write_bytes(content[:-1])
    with pytest.raises(UserError, match=r"is not the published file .* has [0-9,]+ bytes, expected [0-9,]+\): move"):
        fetch(content)
    assert fetch.file.read_bytes() == content[:-1]
    fetch.file.write_bytes(content)
    assert fetch(content).fetched == 0
    assert not record.requests


def test_a_file_put_there_by_hand_is_on_the_disk_before_it_counts_as_verified(fetch, monkeypatch):
    content = zipped()
    fetch.folder.mkdir()
    fetch.file.write_bytes(content)
    seen = watch_disk(monkeypatch)
    fetch(content)
    written = [i for i, (event, path) in enumerate(seen) if event == "name" and f"/.{CHECKSUMS}." in path]
    assert seen.index(("sync", str(fetch.file))) < written[-1]


def test_a_checksum_is_learnt_from_the_record_once_and_then_held(fetch, record):
    content = zipped()
    unknown = {"size": None, "md5": None}
    fetch(content, **unknown)
    fetch(content, verify=True, **unknown)
    assert record.asked == ["/api/records/1"]
    fetch.file.unlink()
    record.files[NAME] = zipped(seed=9)
    with pytest.raises(
        UserError, match=f"{NAME} is published with {md5(record.files[NAME])} MD5, but has {md5(content)}"
    ):
        fetch(content, **unknown)
    assert not fetch.file.exists()
    assert json.loads((fetch.folder / CHECKSUMS).read_text())["files"][NAME]["md5"] == md5(content)


def test_a_published_size_that_the_record_denies_stops(fetch):
    with pytest.raises(UserError, match=rf"{NAME} is published with [0-9]+ bytes, but has 5 in the published table"):
        fetch(zipped(), size=5, md5=None)
    assert names(fetch.folder) == [".lock"]


def test_a_file_that_the_record_does_not_have_is_one_sentence(fetch, record):
    record.files["other.zip"] = b""
    with pytest.raises(UserError, match=r"b\.zip is not in record 1"):
        download([Archive("b.zip", "1")], str(fetch.folder), QUICK, base_url=record.url)


def test_checksums_that_nobody_wrote_are_one_sentence(fetch):
    fetch.folder.mkdir()
    (fetch.folder / CHECKSUMS).write_text('{"files": {"a": 1}}')
    with pytest.raises(UserError, match="is not a list of checksums that emocore wrote"):
        fetch(zipped())


def test_too_little_space_is_said_before_anything_is_fetched(fetch, record):
    with pytest.raises(UserError, match=r"free, and 1,000,000,000.0 GB are still to come: free some space"):
        fetch(zipped(), size=10**18, md5="0" * 32)
    assert not record.requests


def test_a_disk_that_fills_up_is_one_sentence_and_what_fitted_stays(fetch, record, monkeypatch):
    def full(file, chunk):
        if file.shown.suffix != ".part":
            return write(file, chunk)
        write(file, chunk[:1000])
        raise output_error(file.shown, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))

    write = local._Output.write

    content = zipped()
    with (
        monkeypatch.context() as patch,
        pytest.raises(UserError, match=r"D is full \(No space left on device\): free some space and run the same"),
    ):
        patch.setattr(local._Output, "write", full)
        fetch(content)
    assert fetch.part.read_bytes() == content[:1000]


def test_the_destination_must_be_a_folder_that_can_be_written(fetch):
    fetch.folder.write_text("a file")
    with pytest.raises(UserError, match=r"D cannot be written \(File exists\)"):
        fetch(zipped())


@pytest.mark.parametrize(
    ("transfer", "sentence"),
    [
        (Transfer(parallel=0), "--parallel 0 is too few: give at least 1."),
        (Transfer(tries=0), "--tries 0 is too few: give at least 1."),
        (Transfer(timeout_seconds=0), "--timeout-seconds 0 is too short: give more than 0."),
        (Transfer(timeout_seconds=float("nan")), "--timeout-seconds nan is too short"),
    ],
)
def test_options_out_of_range(tmp_path, transfer, sentence):
    with pytest.raises(UserError, match=re.escape(sentence)):
        download([], str(tmp_path), transfer)
