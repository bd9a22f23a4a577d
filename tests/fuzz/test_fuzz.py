"""Damaged files of every container and kind of still: read, or refused with a reason. More of them: make soak."""

import importlib.util
import os
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
STILLS = {"a.bmp", "a.jpg", "a.png"}
SOUNDS = {"a.aif", "a.amr", "a.au", "a.caf", "a.flac", "a.m4a", "a.mp3", "a.ogg", "a.w64", "a.wav"}
CONTAINERS = {"a.avi", "a.flv", "a.mkv", "a.mp4", "a.mpg", "a.ts", "a.webm", "a.wmv", *SOUNDS, *STILLS}
EACH = 50
FILES = "files"


@pytest.fixture(scope="module")
def fuzzing():
    spec = importlib.util.spec_from_file_location("fuzzing", HERE / "fuzzing.py")
    module = importlib.util.module_from_spec(spec)
    path = list(sys.path)
    spec.loader.exec_module(module)
    sys.path[:] = path
    return module


@pytest.fixture(scope="module")
def watching(fuzzing):
    return sys.modules["watching"]


linux = pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")
PROCESSES = min(4, os.cpu_count())


def test_damaged_files_are_read_or_refused_and_open_nothing(fuzzing, tmp_path):
    run = fuzzing.Fuzzing(tmp_path, PROCESSES)
    run.run(EACH)
    assert run.bugs == []
    assert run.watch.connections == 0
    assert set(run.counts) == CONTAINERS
    assert {sum(count.values()) for count in run.counts.values()} == {EACH}
    for name, count in run.counts.items():  # the damage is neither always fatal nor without effect
        assert len(count) >= 2, name
    assert sum(count["read"] for count in run.counts.values()) > EACH


def test_damaged_files_open_nothing_anywhere_on_the_machine(fuzzing, watching, tmp_path):
    if not watching.can_trace():
        pytest.skip("strace is not installed, or may not follow a process")
    (tmp_path / "calls").mkdir()
    log = tmp_path / "calls" / "log"
    run = fuzzing.Fuzzing(tmp_path / "work", PROCESSES, [*watching.traced(log), sys.executable])
    run.run(EACH)
    assert run.bugs == []
    assert watching.strange_calls(log, tmp_path / "work") == []
    assert sum(file.read_text().count(f"/{FILES}/a.") for file in log.parent.iterdir()) >= 2 * EACH * len(CONTAINERS)


def test_the_same_seed_is_the_same_damage(fuzzing):
    mutate = sys.modules["mutate"].mutate
    content, other = bytes(range(256)) * 20, b"other" * 100
    damaged = [mutate(content, other, seed, [b"reference"]) for seed in range(50)]
    assert damaged == [mutate(content, other, seed, [b"reference"]) for seed in range(50)]
    assert len({*damaged, content}) > 45


FATAL = """
import json, os, sys
for line in sys.stdin:
    for sample, seed in json.loads(line)["items"]:
        if seed == 3 and sample == "a.wav":
            os.kill(os.getpid(), 11)
        print(json.dumps([sample, seed, "bug: no MediaError" if seed == 5 else "read"]), flush=True)
"""


def test_a_death_and_a_strange_exception_are_told_and_the_rest_is_read(fuzzing, tmp_path):
    (tmp_path / "fatal.py").write_text(FATAL)
    run = fuzzing.Fuzzing(tmp_path / "work", 2, [sys.executable, str(tmp_path / "fatal.py")])
    run.run(8)
    assert "a.wav seed 3: bug: died with code -11" in run.bugs
    assert len(run.bugs) == 1 + len(CONTAINERS)
    assert {sum(count.values()) for count in run.counts.values()} == {8}


# Every change pastes a reference; with "unguarded", FFmpeg is left without our lists of demuxers and protocols.
ONLY_REFERENCES = """
import sys
from pathlib import Path
sys.path.insert(0, str(Path(sys.argv[-1]).parent))
import mutate, reader
from emocore.media import container
mutate.CHANGES = (mutate.paste_reference,)
if sys.argv[1] == "unguarded":
    protocols = "file,http,tcp,crypto,data,concat,subfile"
    container._OPTIONS = {"safe": "0", "protocol_whitelist": protocols, "timeout": "200000"}
reader.main()
"""


@pytest.fixture
def references_only(fuzzing, watching, tmp_path):
    """Read files in which all damage names other files and addresses; return (run, calls or None without strace)."""

    def read(mode):
        (tmp_path / "calls").mkdir()
        (tmp_path / "only_references.py").write_text(ONLY_REFERENCES)
        log, work = tmp_path / "calls" / "log", tmp_path / "work"
        tracing = watching.traced(log) if watching.can_trace() else []
        run = fuzzing.Fuzzing(work, PROCESSES, [*tracing, sys.executable, str(tmp_path / "only_references.py"), mode])
        run.run(EACH)
        return run, watching.strange_calls(log, work) if tracing else None

    return read


def test_files_that_name_others_open_none(references_only):
    run, calls = references_only("guarded")
    assert run.bugs == []
    assert not calls


@linux
def test_the_same_files_open_the_baits_and_connect_where_ffmpeg_is_left_to_itself(references_only):
    run, calls = references_only("unguarded")
    opened = {f"opened {run.work}/files/.bait.ts", f"opened {run.work}/elsewhere/.bait.ts"}
    assert opened <= set(run.bugs)
    assert f"{run.watch.connections} connections" in run.bugs
    assert run.watch.connections > 0
    if calls is not None:
        assert any('"/etc/passwd"' in call for call in calls)
        assert any(call.startswith("connect(") for call in calls)


STRAY = """
import socket, sys
from pathlib import Path
sys.path.insert(0, str(Path(sys.argv[1]).parent))
import reader
def read_media(stream, reading):
    if stream.name.endswith("a.wav-1.wav"):
        Path(__file__).read_bytes()
    if stream.name.endswith("a.ogg-2.ogg"):
        socket.socket()
reader.read_media = read_media
reader.main()
"""


def test_what_python_opens_or_connects_to_is_told(fuzzing, tmp_path):
    (tmp_path / "stray.py").write_text(STRAY)
    run = fuzzing.Fuzzing(tmp_path / "work", 1, [sys.executable, str(tmp_path / "stray.py")])
    run.run(4)
    assert run.bugs == [
        f"a.wav seed 1: bug: opened {tmp_path / 'stray.py'}",
        "a.ogg seed 2: bug: socket.__new__",
    ]
