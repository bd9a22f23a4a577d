"""Files that end the process that reads them: the job goes on, and leaves out a file that did so twice."""

from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from emocore.corpora.listing import list_corpora
from emocore.features.article import ARTICLE
from emocore.pipeline import featurize as featurizing
from emocore.pipeline.archive import plan as planning
from emocore.pipeline.archive import shards
from emocore.pipeline.archive.stage import _write_failures, shard_file
from emocore.pipeline.label import LabelOptions, label
from emocore.schema import FAILURES, rows_to_table
from emocore.storage.files import read_json
from emocore.storage.folder import JOURNALS

pytestmark = pytest.mark.usefixtures("cluster")


def deadly(fates):
    """Return the task that works on shards, but reading a file named in `fates` ends or hangs its process."""

    def run_task(table, **arguments):  # defined here, so that Ray sends it by value
        import os  # noqa: PLC0415 - in the worker
        import signal  # noqa: PLC0415
        from pathlib import Path  # noqa: PLC0415

        from emocore.features import one_file as stage  # noqa: PLC0415
        from emocore.pipeline.archive import shards  # noqa: PLC0415

        original = stage.stream_media

        def stream_media(stream, *rest):
            fate = fates.get(Path(stream.name).name)
            tries = arguments["out"] / f".tries-{Path(stream.name).name}"
            with tries.open("a") as file:
                file.write("x")
            if fate == "hang":
                while True:
                    pass
            if fate == "die after decoding":
                stage.Ears.finish = lambda _: os.kill(os.getpid(), signal.SIGKILL)
            if fate == "die" or (fate == "die once" and tries.read_text() == "x"):
                os.kill(os.getpid(), signal.SIGKILL)
            return original(stream, *rest)

        stage.stream_media = stream_media
        try:
            yield from shards._run_task(table, **arguments)
        finally:
            stage.stream_media = original

    return run_task


@pytest.fixture
def folder(tone, write_wav, tmp_path):
    """Twelve wav files, 00.wav to 11.wav."""
    for i in range(12):
        write_wav(tmp_path / "corpus" / f"{i:02d}.wav", tone(300 + 20 * i, 0.3))
    return tmp_path / "corpus"


@pytest.fixture
def run(folder, tmp_path, monkeypatch):
    """Featurize the folder where some files are deadly; return ({clip: times}, {file: failures row}, {file: tries})."""

    def call(fates, shard_files=6, **reading):
        monkeypatch.setattr(shards, "_run_task", deadly(fates))
        monkeypatch.setattr(planning, "SHARD_FILES", shard_files)
        out = tmp_path / "F"
        done = featurizing.featurize(
            list_corpora([str(folder)]),
            str(out),
            [ARTICLE],
            options={},
            **reading,
        )
        return done, *rows_of(out, "clips")

    return call


def rows_of(out, part):
    clips = Counter(name(row) for row in read(out, part))
    failures = {name(row): row for row in read(out, "failures")}
    assert len(failures) == len(read(out, "failures"))
    tries = {path.name.removeprefix(".tries-"): len(path.read_text()) for path in out.glob(".tries-*")}
    assert not list((out / JOURNALS).glob("*"))
    return clips, failures, tries


def read(out, part):
    files = sorted((out / part).glob("*.parquet"))
    return pa.concat_tables([pq.read_table(file) for file in files]).to_pylist() if files else []


def name(row):
    return row["path"].rpartition("/")[2]


def others(*killers):
    return {f"{i:02d}.wav": 1 for i in range(12) if f"{i:02d}.wav" not in killers}


def assert_killed(row, attempts=2):
    assert (row["stage"], row["reason"], row["attempts"]) == ("decode", "killed", attempts)
    assert row["detail"]


def test_files_that_kill_their_process_are_failures_and_every_other_is_there_once(run):
    """Two killers in one shard; in the other a file whose process dies once, of something else."""
    done, clips, failures, tries = run({"01.wav": "die", "04.wav": "die", "09.wav": "die once"})
    assert (done.clips, done.failures) == (10, 2)
    assert clips == others("01.wav", "04.wav")
    assert set(failures) == {"01.wav", "04.wav"}
    for row in failures.values():
        assert_killed(row)
    assert (tries["01.wav"], tries["04.wav"], tries["09.wav"]) == (2, 2, 2)


def test_a_shard_that_was_committed_before_its_task_died_is_not_done_again(run):
    """A task of three shards, one file each, dies in its second."""
    done, clips, failures, tries = run({"01.wav": "die once"}, shard_files=1)
    assert (done.clips, done.failures) == (12, 0)
    assert clips == others() and not failures
    assert tries == {f"{i:02d}.wav": 1 for i in range(12)} | {"01.wav": 2}


def test_a_death_after_decoding_is_the_files_too(folder, run, monkeypatch):
    (folder / "copy of 04.wav").write_bytes((folder / "04.wav").read_bytes())
    done, clips, failures, tries = run({"04.wav": "die after decoding"})
    assert (done.clips, done.failures) == (11, 2)
    assert clips == others("04.wav")
    assert set(failures) == {"04.wav", "copy of 04.wav"}
    for row in failures.values():
        assert_killed(row)
    assert tries["04.wav"] == 2


def test_a_failure_of_a_process_that_died_does_not_outlive_its_second_try(tmp_path):
    file = shard_file(tmp_path / "failures", 7)
    row = rows_to_table([{"path": "a.wav", "reason": "too_slow"}], FAILURES)
    _write_failures(row, file)
    assert [found["path"] for found in read(tmp_path, "failures")] == ["a.wav"]
    _write_failures(row.slice(0, 0), file)
    assert read(tmp_path, "failures") == []


def test_a_file_that_hangs_in_an_archive_that_is_labelled(folder, bundle, tmp_path, monkeypatch):
    """Nothing but our alarm ends it, with its process: a second reading would end as the first."""
    monkeypatch.setattr(shards, "_run_task", deadly({"05.wav": "hang"}))
    out = tmp_path / "L"
    told = {"media": (str(folder),), "model": str(bundle), "out": str(out)}
    label(LabelOptions(**told, seconds_per_file=1.0))
    labels, failures, tries = rows_of(out, "labels")
    assert labels == others("05.wav")
    assert set(failures) == {"05.wav"}
    assert (failures["05.wav"]["reason"], failures["05.wav"]["attempts"]) == ("too_slow", 1)
    assert "see --seconds-per-file" in failures["05.wav"]["detail"]
    assert tries["05.wav"] == 1
    assert read_json(out / "summary.json")["failures_by_reason"] == {"too_slow": 1}
    monkeypatch.setattr(shards, "_run_task", deadly({}))
    assert label(LabelOptions(**told, seconds_per_file=60.0)).already_finished
    label(LabelOptions(**told, seconds_per_file=60.0, retry_failed=True))
    labels, failures, tries = rows_of(out, "labels")
    assert (labels, failures, tries["05.wav"]) == (others(), {}, 2)
