"""Downloads that are killed, interrupted, limited by the system, or started twice."""

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from serving import NAME, md5, zipped

from emocore.errors import UserError

ROOT = Path(__file__).parents[2]

SCRIPT = """
import resource, sys
from emocore.corpora.download.archives import download
from emocore.corpora.corpus import Archive
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
