"""A record on a server of this process, which cuts, lies, refuses and waits as a test tells it; zips to serve."""

import hashlib
import io
import json
import os
import re
import zipfile
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import numpy as np

from emocore.corpora.download.http import Transfer

QUICK = Transfer(tries=4, timeout_seconds=5.0, backoff_seconds=0.01)
NAME = "Video_Speech_Actor_01.zip"
CLIPS = {
    f"Actor_{actor}/03-01-0{emotion}-01-01-01-{actor}.wav": b"%d" % emotion
    for actor in ("01", "02")
    for emotion in (1, 3)
}


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
        with suppress(ConnectionError):  # who has read enough goes away
            self.wfile.write(part)
        self.server.state.sent[name] += len(part)
        if "wait" in fault:
            self.wfile.flush()
            fault["wait"].wait(5)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def below(folder):
    return {name: content for name, content in files(folder).items() if not name.startswith(".")}


def watch_disk(monkeypatch):
    """A list that gets ("sync" or "name", path) for every fsync and every rename, as they happen."""
    seen, fsync, replace = [], os.fsync, Path.replace

    def synced(descriptor):
        seen.append(("sync", str(Path(f"/proc/self/fd/{descriptor}").readlink())))
        fsync(descriptor)

    def renamed(path, target):
        seen.append(("name", str(path)))
        return replace(path, target)

    monkeypatch.setattr("os.fsync", synced)
    monkeypatch.setattr(Path, "replace", renamed)
    return seen
