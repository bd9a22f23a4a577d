"""Downloads from a server that cuts, lies, refuses and waits: what is whole gets its name, nothing else does."""

import errno
import hashlib
import importlib.util
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections import defaultdict
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from emocore.cli import run_job
from emocore.corpus import server as server_module
from emocore.corpus.checksums import CHECKSUMS
from emocore.corpus.download import download
from emocore.corpus.ravdess_record import Archive
from emocore.corpus.server import Transfer
from emocore.errors import UserError

ROOT = Path(__file__).parents[2]
QUICK = Transfer(tries=4, timeout_seconds=5.0, backoff_seconds=0.01)
NAME = "Video_Speech_Actor_01.zip"


def zipped(seed=0, size=300_000, actors=("01",)):
    """A zip of noise, so that it does not get smaller."""
    stream, noise = io.BytesIO(), np.random.default_rng(seed)
    with zipfile.ZipFile(stream, "w") as archive:
        for actor in actors:
            archive.writestr(f"Actor_{actor}/01-01-01-01-01-01-{actor}.mp4", noise.bytes(size))
    return stream.getvalue()


def md5(content):
    return hashlib.md5(content).hexdigest()


class FakeRecord(BaseHTTPRequestHandler):
    """Serves `state.files`; each request for a file takes the next of its `state.faults`."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def do_GET(self):
        state = self.server.state
        self.close_connection = True
        if self.path.startswith("/api/records/"):
            state.asked.append(self.path)
            files = [
                {"key": name, "size": len(content), "checksum": f"md5:{md5(content)}"}
                for name, content in state.files.items()
            ]
            return self.answer(200, state.api or json.dumps({"files": files}).encode())
        name = self.path.partition("?")[0].rpartition("/")[2]
        wanted = self.headers.get("Range")
        state.requests[name].append(wanted)
        state.agents.add(self.headers["User-Agent"])
        fault = state.faults[name].pop(0) if state.faults[name] else {}
        if "status" in fault:
            return self.answer(fault["status"], b"no", headers=fault.get("headers", {}))
        if name not in state.files:
            return self.answer(404, b"no")
        content, tag = state.files[name], f'"{md5(state.files[name])}"'
        if wanted and state.ranges and (state.ignore_if_range or self.headers.get("If-Range", tag) == tag):
            start = int(re.fullmatch(r"bytes=([0-9]+)-", wanted)[1])
            headers = {"ETag": tag, "Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
            return self.answer(206, content[start:], headers, fault, name)
        return self.answer(200, content, {"ETag": tag}, fault, name)

    def answer(self, status, body, headers=None, fault=None, name=None):
        fault = fault or {}
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        if fault.get("length", True):
            self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        part = body[: fault.get("cut", len(body))]
        self.wfile.write(part)
        self.server.state.sent[name] += len(part)
        if "wait" in fault:
            self.wfile.flush()
            fault["wait"].wait(5)


@pytest.fixture
def record(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    http = ThreadingHTTPServer(("127.0.0.1", 0), FakeRecord)
    http.daemon_threads = True
    http.state = SimpleNamespace(
        files={}, faults=defaultdict(list), requests=defaultdict(list), sent=defaultdict(int), asked=[], agents=set(),
        ranges=True, ignore_if_range=False, api=None, url=f"http://127.0.0.1:{http.server_port}",
    )  # fmt: skip
    threading.Thread(target=partial(http.serve_forever, poll_interval=0.01), daemon=True).start()
    yield http.state
    http.shutdown()
    http.server_close()


@pytest.fixture
def fetch(record, tmp_path):
    """Download one file that the record has as `content`; its checksum is published unless `md5` says otherwise."""

    def run(content, name=NAME, dest=tmp_path / "D", transfer=QUICK, verify=False, **published):
        record.files.setdefault(name, content)
        archive = Archive(name, "1", **{"size": len(content), "md5": md5(content), **published})
        return download([archive], str(dest), transfer, verify=verify, base_url=record.url)

    run.folder = tmp_path / "D"
    run.file = run.folder / NAME
    run.part = run.folder / f"{NAME}.part"
    return run


def names(folder):
    return sorted(path.name for path in folder.iterdir())


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
    assert re.search(r"download: 0.3 MB of 0.3 MB, 1 of 1 files in 0 s, 0 failed", capsys.readouterr().out)


def test_a_cut_connection_is_continued_at_the_byte_where_it_was_cut(fetch, record, capsys):
    content = zipped()
    record.faults[NAME] = [{"cut": 100_001}, {"cut": 70_000}]
    fetch(content)
    assert fetch.file.read_bytes() == content
    assert record.requests[NAME] == [None, "bytes=100001-", "bytes=170001-"]
    assert record.sent[NAME] == len(content)
    assert f"{NAME}: the connection was cut; try 2 of 4 in 0 s" in capsys.readouterr().out


def test_a_log_says_how_far_how_fast_and_how_long(fetch, monkeypatch, capsys):
    monkeypatch.setattr("emocore.pipeline.progress.LOG_SECONDS", 0)
    fetch(zipped(size=2_000_000))
    line = r"download: [0-9.]+ MB of 2\.0 MB, 0 of 1 files, [0-9.]+ MB/s, 0 failed, [0-9]+ s left\n"
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
    record.sent.clear()
    fetch(content)
    assert record.sent[NAME] == len(content) - 100_001


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


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_passing_fault_of_the_server_is_tried_again(fetch, record, capsys, status):
    record.faults[NAME] = [{"status": status}] * 3
    content = zipped()
    fetch(content)
    assert fetch.file.read_bytes() == content
    assert f"{NAME}: the server says HTTP {status}" in capsys.readouterr().out


def test_the_server_may_ask_to_wait(fetch, record):
    record.faults[NAME] = [{"status": 429, "headers": {"Retry-After": "1"}}]
    began = time.monotonic()
    fetch(zipped())
    assert 1 <= time.monotonic() - began < 4


def test_a_wish_to_wait_for_long_is_one_sentence(fetch, record):
    record.faults[NAME] = [{"status": 503, "headers": {"Retry-After": "7200"}}]
    with pytest.raises(UserError, match="HTTP 503 Service Unavailable, and asks to wait 2 h 00 min: then run the same"):
        fetch(zipped())


def test_retry_after_is_a_number_or_a_date():
    soon = "Fri, 31 Dec 2999 23:59:59 GMT"
    assert server_module._wish("12") == 12
    assert server_module._wish(soon) > 1e9
    assert server_module._wish("Fri, 31 Dec 1999 23:59:59 GMT") == 0
    assert server_module._wish("9" * 999) == server_module._wish("soon") == server_module._wish(None) == 0


@pytest.mark.parametrize(
    ("status", "sentence"), [(404, "does not exist"), (410, "does not exist"), (403, "refuses this program or network")]
)
def test_a_lasting_refusal_is_one_sentence_at_once(fetch, record, status, sentence):
    record.faults[NAME] = [{"status": status}] * 9
    with pytest.raises(UserError, match=f"HTTP {status} .*|{sentence}") as caught:
        fetch(zipped())
    assert sentence in str(caught.value)
    assert record.requests[NAME] == [None]


def test_a_server_that_falls_silent_is_cut_off_and_asked_again(fetch, record):
    content, silence = zipped(), threading.Event()
    record.faults[NAME] = [{"cut": 100_001, "wait": silence}]
    fetch(content, transfer=Transfer(tries=2, timeout_seconds=0.3, backoff_seconds=0.01))
    silence.set()
    assert fetch.file.read_bytes() == content
    assert record.sent[NAME] == len(content)


def test_no_network_is_one_sentence_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    began = time.monotonic()
    with pytest.raises(UserError, match=r"No connection to http://127.0.0.1:9 \(Connection refused\): check the netw"):
        download([Archive(NAME, "1", 1, "0" * 32)], str(tmp_path), base_url="http://127.0.0.1:9")
    assert time.monotonic() - began < 2


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
    monkeypatch.setattr("emocore.corpus.download.check_file", refuse)
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


@pytest.mark.parametrize("api", [b"<html>log in</html>", b"[]", b'{"files": [{"key": "a"}]}'])
def test_a_record_in_another_shape_is_one_sentence(fetch, record, api):
    record.api = api
    with pytest.raises(UserError, match="Record 1 answers in a shape that emocore does not know"):
        fetch(zipped(), md5=None)


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
    def full(write, chunk):
        write(chunk[:1000])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    content = zipped()
    with (
        monkeypatch.context() as patch,
        pytest.raises(UserError, match=r"D is full \(No space left on device\): free some space and run the same"),
    ):
        patch.setattr("emocore.corpus.fetch._write", full)
        fetch(content)
    assert fetch.part.read_bytes() == content[:1000]
    fetch(content)
    assert fetch.file.read_bytes() == content
    assert record.requests[NAME] == [None, "bytes=1000-"]


SCRIPT = """
import resource, sys
from emocore.corpus.download import download
from emocore.corpus.ravdess_record import Archive
from emocore.errors import UserError
url, dest, name, size, md5, limit = sys.argv[1:]
if int(limit):
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
try:
    download([Archive(name, "1", int(size), md5)], dest, base_url=url)
except UserError as error:
    sys.exit(str(error))
"""


def start(record, folder, content, limit=0):
    arguments = [record.url, str(folder), NAME, str(len(content)), md5(content), str(limit)]
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *arguments],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )


def test_a_limit_of_the_system_keeps_every_byte_below_it(fetch, record):
    content = zipped()
    record.files[NAME] = content
    process = start(record, fetch.folder, content, limit=200_000)
    assert "cannot be written (File too large)" in process.communicate(timeout=20)[1]
    assert process.returncode == 1
    assert fetch.part.read_bytes() == content[:200_000]
    fetch(content)
    assert fetch.file.read_bytes() == content
    assert record.requests[NAME] == [None, "bytes=200000-"]


def wait_for(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_killed_download_goes_on_and_fetches_no_byte_twice(fetch, record):
    content, silence = zipped(), threading.Event()
    record.files[NAME] = content
    record.faults[NAME] = [{"cut": 123_457, "wait": silence}]
    process = start(record, fetch.folder, content)
    wait_for(lambda: fetch.part.exists() and fetch.part.stat().st_size == 123_457)
    process.kill()
    process.communicate()
    silence.set()
    fetch(content)
    assert fetch.file.read_bytes() == content
    assert record.requests[NAME] == [None, "bytes=123457-"]
    assert record.sent[NAME] == len(content)


def test_control_c_ends_at_once_even_while_the_server_is_silent(fetch, record):
    content, silence = zipped(), threading.Event()
    record.files[NAME] = content
    record.faults[NAME] = [{"cut": 1000, "wait": silence}]
    process = start(record, fetch.folder, content)
    wait_for(lambda: fetch.part.exists() and fetch.part.stat().st_size == 1000)
    process.send_signal(signal.SIGINT)
    assert "KeyboardInterrupt" in process.communicate(timeout=3)[1]
    silence.set()
    assert fetch.part.read_bytes() == content[:1000]


def test_two_downloads_at_once_the_second_stops(fetch, record):
    content, silence = zipped(), threading.Event()
    record.files[NAME] = content
    record.faults[NAME] = [{"cut": 1000, "wait": silence}]
    process = start(record, fetch.folder, content)
    wait_for(fetch.part.exists)
    with pytest.raises(UserError, match=r"Another download is writing to .*D: wait until it ends"):
        fetch(content)
    process.kill()
    process.communicate()
    silence.set()


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


@pytest.fixture
def job(record, monkeypatch, capsys):
    """Run jobs/download.py in this process, against the record of the test."""
    spec = importlib.util.spec_from_file_location("emocore_job_download_test", ROOT / "jobs" / "download.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "download", partial(download, base_url=record.url))

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["jobs/download.py", *map(str, arguments)])
        code = 0
        try:
            run_job(module.Download, module.main)
        except SystemExit as stop:
            code = stop.code
        said = capsys.readouterr()
        return SimpleNamespace(code=code, out=said.out, err=said.err)

    return run


def test_the_job_fetches_unpacks_and_says_when_it_had_finished(job, record, tmp_path):
    for actor in ("01", "02"):
        record.files[f"Video_Song_Actor_{actor}.zip"] = zipped(actors=[actor])
    arguments = ["ravdess", "--subset", "video-song", "--actors", "1-2,18", "--dest", tmp_path / "D"]
    first = job(*arguments)
    assert first.code == 0, first.err
    assert "CC BY-NC-SA 4.0" in first.out
    assert first.out.endswith("D fetched 2 of 2 files, 0.6 MB, verified\n")
    second = job(*arguments, "--unpack", tmp_path / "U")
    assert "D was complete already: 2 files, 0.6 MB, verified\n" in second.out
    assert second.out.endswith("U has 2 files of these actors\n")
    assert len(record.requests) == 2


def test_the_job_stops_with_one_sentence_and_code_2(job, record, tmp_path):
    for wrong, sentence in [
        (["cremad"], "The corpus 'cremad' is unknown: choose one of ravdess."),
        (["ravdess", "--subset", "talk"], "--subset 'talk' is unknown: choose one of speech, song, video-speech, "),
        (["ravdess", "--actors", "25"], "--actors '25' has '25': expected numbers from 1 to 24"),
        (["ravdess", "--unpack", tmp_path / "D" / "U"], "lie in one another"),
        (["ravdess", "--subset", "speech"], "Audio_Speech_Actors_01-24.zip?download=1 does not exist"),
    ]:
        stopped = job(*wrong, "--dest", tmp_path / "D")
        assert (stopped.code, stopped.err.count("\n")) == (2, 1)
        assert sentence in stopped.err
