"""A few files without Ray: in a process of its own, which may die of a file as a worker of Ray may."""

import contextlib
import errno
import os
import signal
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from emocore.errors import UserError
from emocore.features.extract import PLANNED, reading_of
from emocore.media.reading import Reading
from emocore.pipeline.archive import here, shards
from emocore.pipeline.archive.plan import Plan
from emocore.pipeline.archive.rows import Planned
from emocore.pipeline.archive.shards import run_shards

FILES = [f"{i}.wav" for i in range(4)]


def no_room(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@dataclass(frozen=True)
class Listening:
    """A stage that computes nothing; the process that reads a file named here dies, or hangs."""

    fates: dict[str, str] = field(default_factory=dict)
    reading: Reading = reading_of([], 600.0)  # noqa: RUF009 - frozen
    families: tuple[()] = ()
    name: str = "listen"
    main: str = "heard"
    by_clip: tuple[()] = ()
    deadly: str = ""  # answering for this clip ends the process

    def load(self):
        from emocore.features import extract  # noqa: PLC0415 - in the process that reads

        original = extract.read_media

        def read_media(stream, *rest):
            fate = self.fates.get(Path(stream.name).name)
            while fate == "hang":
                pass
            if fate == "disk full":
                os.fsync = no_room
            if fate == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            return original(stream, *rest)

        extract.read_media = read_media

    def pictures(self, *_):
        return contextlib.nullcontext()

    def tables(self, good, sink):  # noqa: ARG002
        if self.deadly in good["clip"].to_pylist():
            os.kill(os.getpid(), signal.SIGKILL)
        yield self.main, good.select(["path"]).append_column("process", pa.array([os.getpid()] * len(good), pa.int64()))


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
    heard, failures = run(Listening({"3.wav": "hang"}, reading_of([], 1.0)))
    assert sorted(heard) == FILES[:3]
    assert failures == {"3.wav": "too_slow"}


def test_a_disk_that_fills_up_is_one_sentence_and_the_same_call_goes_on(run, tmp_path):
    with pytest.raises(UserError, match=rf"^The disk of {tmp_path}/\S+ is full .* run the same command again"):
        run(Listening({"2.wav": "disk full"}))
    heard, failures = run(Listening())
    assert sorted(heard) == FILES and failures == {}


def prepare(path, refusal=""):
    """What a process is to call before it has work."""
    if refusal == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    with Path(path).open("a") as file:
        file.write(f"{os.getpid()} ")
    if refusal:
        raise UserError(refusal)


def test_a_process_that_was_begun_prepares_itself_once_and_does_the_work(run, tmp_path):
    with here.begun("test_here:prepare", str(tmp_path / "prepared")):
        assert here.wait_prepared()
        heard, failures = run(Listening({"1.wav": "die"}))
    assert (sorted(heard), failures) == (["0.wav", "2.wav", "3.wav"], {"1.wav": "killed"})
    (number,) = (tmp_path / "prepared").read_text().split()
    assert str(heard["3.wav"]) != number  # what comes after it is told its work at once


def test_what_a_process_refuses_as_it_prepares_itself_is_the_users_sentence(run, tmp_path):
    with here.begun("test_here:prepare", str(tmp_path / "prepared"), "No model."):
        with pytest.raises(UserError, match=r"^No model\.$"):
            here.wait_prepared()
        with pytest.raises(UserError, match=r"^No model\.$"):
            run(Listening())


def test_a_process_that_dies_as_it_prepares_itself_is_told(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    with here.begun("test_here:prepare", str(tmp_path / "prepared"), "die"), pytest.raises(UserError, match="code -9"):
        here.wait_prepared()


def test_no_process_begins_where_a_cluster_is_named(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    with here.begun("test_here:prepare", "/nowhere"):
        assert not here.wait_prepared()


@pytest.mark.parametrize("reader", ["one process", "two"])
@pytest.mark.parametrize("call", ["os.fsync", "pyarrow.parquet.write_table"])
def test_a_full_disk_is_a_row_that_ray_carries(call, reader, run, tmp_path, monkeypatch):
    """By our storage and by other code; where files are read and answered for in one process, and in two."""
    run(Listening())
    (tmp_path / "heard" / "000001.parquet").unlink()
    plan, stage = Plan(tmp_path), Listening()
    monkeypatch.setattr(call, no_room)
    if reader == "two":
        (read,) = shards._read_task(pa.table({"place": [1]}), stage, plan, tmp_path)
        (row,) = shards._Answering(stage, tmp_path, on_gpu=False)(read).to_pylist()
    else:
        row = shards.run_place(1, stage, plan, tmp_path)
    assert row["fault"].startswith(f"The disk of {tmp_path}") and "run the same command again" in row["fault"]


def test_ray_has_many_files_and_a_cluster_that_is_named(monkeypatch):
    monkeypatch.setattr(here.cluster, "is_running", lambda: False)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert here.is_enough(here.MOST_SHARDS, None)
    assert not here.is_enough(here.MOST_SHARDS + 1, None)
    assert not here.is_enough(1, 0.5)
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert not here.is_enough(1, None)
