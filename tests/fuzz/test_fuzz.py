"""Damaged files of every container: read, or refused with a reason; nothing else happens. More of them: make soak."""

import importlib.util
import os
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
CONTAINERS = {"a.avi", "a.flac", "a.m4a", "a.mkv", "a.mp3", "a.mp4", "a.ogg", "a.wav", "a.webm"}
EACH = 50


@pytest.fixture(scope="module")
def fuzzing():
    spec = importlib.util.spec_from_file_location("fuzzing", HERE / "fuzzing.py")
    module = importlib.util.module_from_spec(spec)
    path = list(sys.path)
    spec.loader.exec_module(module)
    sys.path[:] = path
    return module


def test_damaged_files_are_read_or_refused_and_open_nothing(fuzzing, tmp_path):
    run = fuzzing.Fuzzing(tmp_path, min(4, os.cpu_count()))
    bait = fuzzing.Bait(tmp_path, run.samples["a.mp4"])
    run.run(EACH)
    assert run.bugs == []
    assert bait.opened() == 0
    assert set(run.counts) == CONTAINERS
    assert {sum(count.values()) for count in run.counts.values()} == {EACH}
    for name, count in run.counts.items():  # the damage is neither always fatal nor without effect
        assert len(count) >= 2, name
    assert sum(count["read"] for count in run.counts.values()) > EACH


def test_the_same_seed_is_the_same_damage(fuzzing):
    mutate = sys.modules["mutate"].mutate
    content, other = bytes(range(256)) * 20, b"other" * 100
    damaged = [mutate(content, other, seed) for seed in range(50)]
    assert damaged == [mutate(content, other, seed) for seed in range(50)]
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


@pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")
def test_the_bait_is_seen_when_it_is_opened(fuzzing, tmp_path):
    bait = fuzzing.Bait(tmp_path, b"x")
    assert bait.opened() == 0
    (tmp_path / sys.modules["mutate"].BAIT).read_bytes()
    assert bait.opened() == 1
