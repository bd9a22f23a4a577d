"""A few files without Ray: in a process of its own, which may die of a file as a worker of Ray may."""

import errno
import os
import signal
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from emocore.errors import MediaError, UserError
from emocore.features.article import ARTICLE
from emocore.features.extract import PLANNED, Nothing, reading_of
from emocore.media.reading import Reading
from emocore.pipeline.archive import here
from emocore.pipeline.archive.items import WHOLE
from emocore.pipeline.archive.journal import UNEXPLAINED_ALLOWED
from emocore.pipeline.archive.plan import SHARD, Plan
from emocore.pipeline.archive.rows import Planned
from emocore.pipeline.archive.shards import run_shards
from emocore.pipeline.archive.stage import run_shard
from emocore.timeline import HowCut

pytestmark = pytest.mark.slow

FILES = [f"{i}.wav" for i in range(4)]


def no_room(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@dataclass(frozen=True)
class Listening:
    """A stage that computes nothing; the process that reads a file named here dies, or hangs."""

    fates: dict[str, str] = field(default_factory=dict)
    reading: Reading = reading_of([ARTICLE], 600.0)  # noqa: RUF009 - frozen
    families: tuple[object, ...] = (ARTICLE,)
    name: str = "listen"
    main: str = "heard"
    keeps_broken: bool = True
    tables: dict[str, object] = field(default_factory=dict)
    how: HowCut = HowCut(window_seconds=None)  # noqa: RUF009 - frozen
    deadly: str = ""  # answering for this clip ends the process
    faulty: bool = False  # answering meets a fault of ours

    def load(self):
        from emocore.features import one_file  # noqa: PLC0415 - in the process that reads

        original = one_file.stream_media

        def stream_media(stream, *rest):
            fate = self.fates.get(Path(stream.name).name)
            while fate == "hang":
                pass
            if fate == "disk full":
                os.fsync = no_room
            if fate == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            return original(stream, *rest)

        one_file.stream_media = stream_media

    def take(self, _, journal):
        return Took(self, journal)


class Took(Nothing):
    """Answers for each clip alone, as it comes."""

    def __init__(self, stage, journal):
        self.stage, self.journal, self.faults = stage, journal, {}

    def windows(self, clips, *_):
        try:
            with self.journal.answering(clips):
                if self.stage.deadly in clips:
                    os.kill(os.getpid(), signal.SIGKILL)
        except MediaError as fault:
            self.faults[clips[0]] = fault

    def finish(self):
        pass

    def rows(self, good):
        if self.stage.faulty:
            raise KeyError("a column of ours")
        return good.select(["path", "clip", "duration_seconds"]).append_column(
            "process", pa.array([os.getpid()] * len(good), pa.int64())
        )


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run a stage on four files in two shards; return {file: its process} and {file: its failure}."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    monkeypatch.setattr(here.cluster, "is_running", lambda: False)

    def call(stage):
        planned = []
        for number, name in enumerate(FILES):
            path = tmp_path / name
            soundfile.write(path, np.sin(np.arange(4800) * (0.05 + 0.01 * number)) / 4, 16_000)
            row = {"path": str(path), "bytes": path.stat().st_size, "content_id": str(number)}
            planned.append(Planned({**dict.fromkeys(PLANNED.names), **row, "clip": name}, None, 0))
        Plan(tmp_path).write([planned[:2], planned[2:]], 0)
        run_shards(stage, Plan(tmp_path), tmp_path, 0, None)
        return read(tmp_path / "heard", "process"), read(tmp_path / "failures", "reason")

    return call


def read(folder, column):
    rows = [row for file in sorted(folder.glob("*.parquet")) for row in pq.read_table(file).to_pylist()]
    assert len({row["path"] for row in rows}) == len(rows)
    return {Path(row["path"]).name: row[column] for row in rows}


def test_one_other_process_does_all_shards(run):
    heard, failures = run(Listening())
    assert sorted(heard) == FILES
    assert failures == {}
    assert len(set(heard.values())) == 1
    assert os.getpid() not in heard.values()


def test_a_file_that_ends_two_processes_is_a_failure_and_every_other_is_there_once(run):
    heard, failures = run(Listening({"1.wav": "die", "2.wav": "die"}))
    assert sorted(heard) == ["0.wav", "3.wav"]
    assert failures == {"1.wav": "killed", "2.wav": "killed"}


def test_an_answer_that_ends_two_processes_is_its_files_failure_and_every_other_is_there_once(run, tmp_path):
    heard, failures = run(Listening(deadly="1.wav"))
    assert sorted(heard) == ["0.wav", "2.wav", "3.wav"]
    assert failures == {"1.wav": "killed"}
    assert read(tmp_path / "failures", "stage") == {"1.wav": "predict"}
    assert read(tmp_path / "failures", "attempts") == {"1.wav": 2}


def test_a_file_that_never_ends_is_too_slow(run):
    heard, failures = run(Listening({"3.wav": "hang"}, reading_of([ARTICLE], 1.0)))
    assert sorted(heard) == FILES[:3]
    assert failures == {"3.wav": "too_slow"}


def test_a_disk_that_fills_up_is_one_sentence_and_the_same_call_goes_on(run, tmp_path):
    with pytest.raises(UserError, match=rf"^The disk of {tmp_path}/\S+ is full .* run the same command again"):
        run(Listening({"2.wav": "disk full"}))
    heard, failures = run(Listening())
    assert sorted(heard) == FILES and failures == {}


def test_a_fault_of_ours_says_where_it_was(run):
    with pytest.raises(RuntimeError, match=r'(?s)test_here\.py", line \d+, in rows.*KeyError: .a column of ours'):
        run(Listening(faulty=True))


@pytest.mark.parametrize("allowed", [True, False])
def test_no_more_processes_are_started_than_files_can_end(monkeypatch, allowed):
    """Three files, two processes each, one that answered for all, and those that no file ended."""
    begun = []

    class Process:
        is_free = True

        def wait_prepared(self):
            begun.append(self)

        def answers(self, *_):
            return [{"begun": 0}, *([{"done": {"files": 3}}] if allowed and len(begun) > 12 else [])]

        def end(self):
            self.is_free = False

    monkeypatch.setattr(here, "_Process", Process)
    plan = SimpleNamespace(shard=lambda _: SimpleNamespace(num_rows=3))
    if allowed:
        assert list(here.run_here(dict, [(0, WHOLE)], {"plan": plan})) == [{"files": 3}]
    else:
        with pytest.raises(UserError, match=r"^13 processes ended one after the other: look for too little memory"):
            list(here.run_here(dict, [(0, WHOLE)], {"plan": plan}))
    assert len(begun) == here.most_deaths(3) + 1 == 13


def test_a_model_whose_loading_ends_the_process_is_not_loaded_for_ever(tmp_path):
    class Deadly(Listening):
        def load(self):
            raise KeyboardInterrupt

    shard = pa.table({SHARD: [0]})
    for _ in range(UNEXPLAINED_ALLOWED + 1):
        with pytest.raises(KeyboardInterrupt):
            run_shard(shard, Deadly(), tmp_path)
    with pytest.raises(UserError, match=r"^6 processes ended while they worked on 000000, none of them reading"):
        run_shard(shard, Deadly(), tmp_path)


def test_ray_has_many_files_and_a_cluster_that_is_named(monkeypatch):
    monkeypatch.setattr(here.cluster, "is_running", lambda: False)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert here.is_enough(here.MOST_SHARDS, None)
    assert not here.is_enough(here.MOST_SHARDS + 1, None)
    assert not here.is_enough(1, 0.5)
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert not here.is_enough(1, None)
