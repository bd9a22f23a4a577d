"""Faults of server and network: what is worth another try, what is one sentence at once."""

import io
import threading
import time
import tracemalloc

import pytest
from requests import Response
from serving import NAME, zipped
from urllib3 import HTTPResponse

from emocore.corpora.corpus import Archive
from emocore.corpora.download import http as server_module
from emocore.corpora.download.archives import download
from emocore.corpora.download.http import Server, Transfer
from emocore.errors import UserError


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
    assert server_module._wish(soon) > 600 and server_module._wish("9" * 300) > 600
    assert server_module._wish("Fri, 31 Dec 1999 23:59:59 GMT") == 0
    assert server_module._wish("9" * 9999) == server_module._wish("soon") == server_module._wish(None) == 0


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


@pytest.mark.parametrize(
    "api",
    [
        b"<html>log in</html>",
        b"[]",
        b'{"files": [{"key": "a"}]}',
        b'{"files": [{"key": "a", "size": 1e999, "checksum": "md5:0"}]}',
        b"[" * 1_000_000,
    ],
    ids=["html", "list", "no size", "endless", "deep"],
)
def test_a_record_in_another_shape_is_one_sentence(fetch, record, api):
    record.api = api
    with pytest.raises(UserError, match="Record 1 answers in a shape that emocore does not know"):
        fetch(zipped(), md5=None)


def test_a_record_that_does_not_end_is_one_sentence_and_little_memory(fetch, record):
    record.api = b"[" + b"0," * (16 << 20) + b"0]"
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match=r"^Record 1 answers with more than 4\.2 MB, .*: fetch https://doi\.org/"):
            fetch(zipped(), md5=None)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()
    assert record.asked == ["/api/records/1"]


@pytest.fixture
def redirected(monkeypatch):
    """Send requests nowhere: an address is answered by a redirection to the one it is mapped to, any other by `{}`."""

    def run(**to):
        asked = []

        def send(adapter, request, **options):
            asked.append(request.url)
            response = Response()
            target = to.get(request.url.rpartition("/")[2])
            response.status_code, response.url, response.request = (302 if target else 200), request.url, request
            response.headers.update({"Location": target} if target else {})
            response.raw = HTTPResponse(io.BytesIO(b"{}"), preload_content=False)
            return response

        monkeypatch.setattr("requests.adapters.HTTPAdapter.send", send)
        return asked, Server("https://zenodo.test", Transfer(), note=print)

    return run


def test_a_redirection_from_https_to_http_is_refused_in_one_sentence(redirected):
    asked, server = redirected(**{"1": "//mirror.test/2", "2": "http://evil.test/3"})
    with pytest.raises(UserError) as caught:
        server.record("1")
    assert str(caught.value) == (
        "https://mirror.test/2 leads to http://evil.test, where anybody on the way could change what arrives: check "
        "the network and its proxy, or fetch the file with a browser into --dest, and run the same command again."
    )
    assert asked == ["https://zenodo.test/api/records/1", "https://mirror.test/2"]


def test_other_redirections_are_followed(redirected):
    asked, server = redirected(**{"1": "/api/2", "2": "https://mirror.test/3"})
    assert server.record("1") == {}
    assert asked[1:] == ["https://zenodo.test/api/2", "https://mirror.test/3"]
