"""One file from a server that cuts and lies: what is whole gets its name, nothing else does."""

import json
import re

import pytest
from serving import NAME, md5, names, watch_disk, zipped

from emocore.corpora.download.checksums import CHECKSUMS
from emocore.errors import UserError


def test_a_whole_file_gets_its_name_and_leaves_nothing_else(fetch, record, capsys):
    content = zipped()
    done = fetch(content)
    assert (done.files, done.fetched, done.size) == ((fetch.file,), 1, len(content))
    assert fetch.file.read_bytes() == content
    assert names(fetch.folder) == [".lock", NAME, CHECKSUMS]
    entry = json.loads((fetch.folder / CHECKSUMS).read_text())["files"][NAME]
    assert (entry["size"], entry["md5"]) == (len(content), md5(content))
    assert entry["url"] == f"{record.url}/records/1/files/{NAME}?download=1"
    assert all("emocore" in agent for agent in record.agents)
    assert re.search(r"download: 0.3 MB of 0.3 MB, 1 of 1 file in 0 s, 0 failed", capsys.readouterr().out)


def test_a_cut_connection_is_continued_at_the_byte_where_it_was_cut(fetch, record, capsys):
    content = zipped()
    record.faults[NAME] = [{"cut": 100_001}, {"cut": 70_000}]
    fetch(content)
    assert fetch.file.read_bytes() == content
    assert record.requests[NAME] == [None, "bytes=100001-", "bytes=170001-"]
    assert record.sent[NAME] == len(content)
    assert f"{NAME}: the connection was cut; try 2 of 4 in 0 s" in capsys.readouterr().out


def test_a_log_says_how_far_how_fast_and_how_long(fetch, monkeypatch, capsys):
    monkeypatch.setattr("emocore.progress.LOG_SECONDS", 0)
    fetch(zipped(size=2_000_000))
    line = r"download: [0-9.]+ MB of 2\.0 MB, 0 of 1 file, [0-9.]+ MB/s, 0 failed, [0-9]+ s left\n"
    assert re.search(line, capsys.readouterr().out)


def test_a_body_without_a_stated_length_that_ends_early_is_continued(fetch, record):
    content = zipped()
    record.faults[NAME] = [{"cut": 100_001, "length": False}]
    fetch(content)
    assert fetch.file.read_bytes() == content
    assert record.requests[NAME] == [None, "bytes=100001-"]


def test_a_server_without_ranges_sends_the_file_anew(fetch, record):
    content, record.ranges = zipped(), False
    record.faults[NAME] = [{"cut": 100_001}]
    fetch(content)
    assert fetch.file.read_bytes() == content
    assert record.sent[NAME] == len(content) + 100_001


def test_tries_without_progress_end_in_one_sentence_and_keep_the_part(fetch, record):
    content = zipped()
    record.faults[NAME] = [{"cut": 1000}, *[{"cut": 0}] * 9]
    with pytest.raises(UserError, match=r"4 times in a row: check the network and run the same command again"):
        fetch(content)
    assert fetch.part.read_bytes() == content[:1000]
    assert not fetch.file.exists()
    record.faults.clear()
    fetch(content)
    assert fetch.file.read_bytes() == content
    assert record.sent[NAME] == len(content)


def test_progress_of_a_megabyte_begins_the_count_of_tries_anew(fetch, record):
    content = zipped(size=9 << 20)
    record.faults[NAME] = [{"cut": 1 << 20}] * 8
    fetch(content)
    assert fetch.file.read_bytes() == content
    assert len(record.requests[NAME]) == 9


def leave_a_part(fetch, record, content, size=100_001):
    record.files[NAME] = content
    record.faults[NAME] = [{"cut": size}, *[{"status": 403}]]
    with pytest.raises(UserError):
        fetch(content)
    assert fetch.part.stat().st_size == size
    record.requests.clear()
    record.sent.clear()


@pytest.mark.parametrize("ignore_if_range", [False, True])
def test_a_part_of_another_version_is_not_joined_to_the_right_one(fetch, record, ignore_if_range):
    old, new = zipped(seed=1), zipped(seed=2)
    record.files[NAME] = old
    leave_a_part(fetch, record, old)
    # The same size and name; the part's own note is made to expect the new bytes, as if the server had lied before.
    note = fetch.part.with_name(f"{fetch.part.name}.json")
    note.write_text(json.dumps({**json.loads(note.read_text()), "md5": md5(new)}))
    (fetch.folder / CHECKSUMS).unlink()
    record.files[NAME], record.ignore_if_range = new, ignore_if_range
    fetch(new)
    assert fetch.file.read_bytes() == new


def test_a_part_without_a_validator_that_does_not_fit_is_fetched_anew_once(fetch, record, capsys):
    old, new = zipped(seed=1), zipped(seed=2)
    leave_a_part(fetch, record, old)
    note = fetch.part.with_name(f"{fetch.part.name}.json")
    note.write_text(json.dumps({"size": len(new), "md5": md5(new), "validator": ""}))
    (fetch.folder / CHECKSUMS).unlink()
    record.files[NAME] = new
    fetch(new)
    assert fetch.file.read_bytes() == new
    assert record.requests[NAME] == ["bytes=100001-", None]
    assert "It was joined from several connections: fetching it anew." in capsys.readouterr().out


def test_a_part_of_another_file_or_of_nobody_is_not_continued(fetch, record):
    content = zipped()
    fetch.folder.mkdir()
    fetch.part.write_bytes(b"x" * 100)
    fetch(content)
    assert fetch.file.read_bytes() == content
    assert record.requests[NAME] == [None]


def test_another_file_behind_the_same_name_is_refused_and_its_part_kept(fetch, record):
    content = zipped()
    leave_a_part(fetch, record, content)
    record.files[NAME] = zipped(size=300_001)
    sentence = f"{NAME}: the server offers {len(content) + 1:,} bytes, expected {len(content):,}: the published file"
    with pytest.raises(UserError, match=re.escape(sentence)):
        fetch(content)
    assert fetch.part.read_bytes() == content[:100_001]
    record.files[NAME] = content
    fetch(content)
    # Not by what was sent: the server may still be at what was refused.
    assert record.requests[NAME][-1] == "bytes=100001-"


def test_a_file_that_became_shorter_than_its_part_is_refused(fetch, record):
    content = zipped()
    leave_a_part(fetch, record, content)
    record.files[NAME] = content[:50_000]
    record.faults[NAME] = [{"status": 416}]
    with pytest.raises(UserError, match=f"{NAME}: the server offers 50,000 bytes"):
        fetch(content)
    assert record.requests[NAME] == ["bytes=100001-", None]
    assert names(fetch.folder) == [".lock", CHECKSUMS]


def test_more_bytes_than_expected_are_refused_also_without_a_stated_length(fetch, record):
    content = zipped()
    record.files[NAME] = content + b"more"
    record.faults[NAME] = [{"length": False}]
    with pytest.raises(UserError, match=r"offers more than [0-9,]+ bytes"):
        fetch(content)
    assert names(fetch.folder) == [".lock", CHECKSUMS]


def test_a_wrong_checksum_is_never_taken_for_whole(fetch, record):
    good, bad = zipped(seed=1), zipped(seed=2)
    record.files[NAME] = bad
    with pytest.raises(
        UserError, match=f"{NAME} has MD5 {md5(bad)}, expected {md5(good)}. What the server sent was not kept"
    ):
        fetch(good)
    assert names(fetch.folder) == [".lock", CHECKSUMS]
    assert record.requests[NAME] == [None]


def test_a_member_with_a_wrong_crc_is_never_taken_for_whole(fetch):
    content = bytearray(zipped())
    content[1000] ^= 1
    with pytest.raises(UserError, match=r"holds 'Actor_01/01-01-01-01-01-01-01\.mp4', whose CRC is wrong"):
        fetch(bytes(content))
    assert names(fetch.folder) == [".lock", CHECKSUMS]


def test_what_is_no_zip_is_never_taken_for_whole(fetch):
    with pytest.raises(UserError, match="is not a whole zip"):
        fetch(zipped()[:-100])
    assert names(fetch.folder) == [".lock", CHECKSUMS]


def test_a_power_cut_leaves_no_half_file_with_a_whole_name(fetch, monkeypatch):
    seen = watch_disk(monkeypatch)
    fetch(zipped())
    order = [("sync", str(fetch.part)), ("name", str(fetch.part)), ("sync", str(fetch.folder))]
    begin = seen.index(order[0])
    assert seen[begin : begin + 3] == order
    # Only then is it written down as verified.
    assert begin + 2 < max(i for i, (_, path) in enumerate(seen) if f"/.{CHECKSUMS}." in path)
