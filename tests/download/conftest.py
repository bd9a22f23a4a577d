"""A record to download from, one file of it, and the job, all in this process."""

import importlib.util
import sys
import threading
import zipfile
from collections import defaultdict
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from emocore.cli import run_job
from emocore.corpora.corpus import Archive
from emocore.corpora.download.archives import download

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(Path(__file__).parent))  # the tests here import from serving.py

from serving import NAME, QUICK, FakeRecord, md5  # noqa: E402 - found only now


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


@pytest.fixture
def packed(tmp_path):
    def write(members, name="a.zip"):
        path = tmp_path / name
        with zipfile.ZipFile(path, "w") as archive:
            for member, content in members.items():
                archive.writestr(member, content)
        return path

    return write
