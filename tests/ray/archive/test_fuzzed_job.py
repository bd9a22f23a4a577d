"""A folder of damaged files of every container, through the whole job. More of them: make soak."""

import importlib.util
import sys
from pathlib import Path

import pytest
import ray

from emocore.pipeline.archive import shards

FUZZ = Path(__file__).parents[2] / "fuzz"
EACH = 50
FIRST_SEED = 1_000  # others than tests/fuzz reads


@pytest.fixture(scope="module")
def whole_job():
    spec = importlib.util.spec_from_file_location("whole_job", FUZZ / "whole_job.py")
    module = importlib.util.module_from_spec(spec)
    path = list(sys.path)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    sys.path[:] = path
    return module


@pytest.fixture(scope="module")
def fuzzed(whole_job, cluster, tmp_path_factory):
    """(work folder, what came of its files)."""
    work = tmp_path_factory.mktemp("fuzzed") / "work"
    return work, whole_job.run_job(work, EACH, FIRST_SEED)


def test_the_job_ends_with_every_damaged_file_once_and_reaches_for_nothing(fuzzed):
    _, job = fuzzed
    assert job.bugs == []
    assert {sum(count.values()) for count in job.counts.values()} == {EACH}
    assert job.done.clips + job.done.failures == len(job.counts) * EACH
    for name, count in job.counts.items():  # the damage is neither always fatal nor without effect
        assert len(count) >= 2, name
    assert job.done.clips > EACH


def test_ray_is_well_after_them(fuzzed, whole_job):
    work, job = fuzzed
    assert all(node["Alive"] for node in ray.nodes())
    done = whole_job.featurize_folder(work / "samples", work / "after")
    assert (done.clips, done.failures) == (len(job.counts), 0)


def stumbling():
    """Return the stage, but reading a.wav-0.wav opens the bait, and then fails as only a mistake of ours would."""

    def run_task(table, **arguments):  # defined here, so that Ray sends it by value
        from pathlib import Path  # noqa: PLC0415 - in the worker

        from emocore.features import one_file as stage  # noqa: PLC0415
        from emocore.pipeline.archive import shards  # noqa: PLC0415

        original = stage.stream_media

        def stream_media(stream, *rest):
            if stream.name.endswith("a.wav-0.wav"):
                (Path(stream.name).parents[1] / "elsewhere" / ".bait.ts").read_bytes()
                raise ZeroDivisionError
            return original(stream, *rest)

        stage.stream_media = stream_media
        try:
            yield from shards._run_task(table, **arguments)
        finally:
            stage.stream_media = original

    return run_task


def test_a_mistake_of_ours_and_a_bait_opened_by_a_worker_would_be_told(whole_job, cluster, tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "_run_task", stumbling())
    job = whole_job.run_job(tmp_path / "work", 1)
    opened = [f"opened {tmp_path / 'work' / 'elsewhere' / '.bait.ts'}"] if sys.platform == "linux" else []
    assert job.bugs == [*opened, "a.wav-0.wav: ['internal']"]
