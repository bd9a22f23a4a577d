"""What the Ray and job tests share: one Ray session, a small generated corpus, its features, and a trained bundle."""

import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow.parquet as pq
import pytest
import ray

from emocore.cli import run_job
from emocore.config import FeatureConfig
from emocore.corpus.demo import DemoSettings, plan, write_clip
from emocore.corpus.listing import list_corpora
from emocore.features.mfcc import COLUMNS
from emocore.labels import EMOTIONS
from emocore.outputs import write_json
from emocore.pipeline import cluster as ray_cluster
from emocore.pipeline.featurize import featurize
from emocore.pipeline.runs import RunOptions, train
from emocore.schema import CLIPS, SCHEMA_VERSION, SOFT_LABEL, rows_to_table, write_table

ROOT = Path(__file__).parents[1]
JOBS = ("demo", "featurize", "train", "evaluate", "label")


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def cluster():
    ray_cluster.connect()
    yield
    ray.shutdown()


def _generate(folder, actors):
    for clip in plan(DemoSettings(actors=max(actors), video=False)):
        if clip.actor in actors and clip.intensity == "normal":
            write_clip(clip, folder)
    return folder


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """64 wav files: actors 1 to 4, eight emotions, two statements."""
    return _generate(tmp_path_factory.mktemp("corpus"), {1, 2, 3, 4})


@pytest.fixture(scope="session")
def newcomer(tmp_path_factory):
    """16 wav files of actor 5, whom `bundle` never heard."""
    return _generate(tmp_path_factory.mktemp("newcomer"), {5})


@pytest.fixture(scope="session")
def features_of(cluster):
    """Featurize a corpus in this process."""

    def run(corpus, out, *, frames=False, max_failures=None, config=None, **options):
        roots = [str(corpus)]
        return featurize(
            list_corpora(roots),
            str(out),
            config or FeatureConfig(),
            frames=frames,
            options=options,
            roots=roots,
            max_failures=max_failures,
        )

    return run


@pytest.fixture(scope="session")
def features(corpus, features_of, tmp_path_factory):
    """The corpus's feature tables, with MFCC frames. Read only."""
    out = tmp_path_factory.mktemp("features") / "F"
    features_of(corpus, out, frames=True)
    return out


@pytest.fixture(scope="session")
def bundle(features, tmp_path_factory):
    """The RUN of an svc trained on the whole corpus. Read only."""
    out = tmp_path_factory.mktemp("bundle") / "RUN"
    train(RunOptions(data=(str(features),), out=str(out)), "svc", "all")
    return out


def acted(actors, emotions=EMOTIONS, times=2):
    """Rows for `write_features`: every actor plays every emotion so many times."""
    return [
        {"clip": f"{actor}-{emotion}-{n}", "actor": actor, "emotion": emotion}
        for actor in actors
        for emotion in emotions
        for n in range(times)
    ]


def write_features(folder, rows, *, signal=0.7, config=None, **manifest):
    """Write a FEATURES folder by hand: random columns in which each emotion has a centre of its own.

    A clip's columns depend on its own row alone. `x` in a row are its columns, `soft` its soft label, `heard` the
    emotion whose centre it is given where that is not its label.
    """
    config = config or FeatureConfig()
    centres = np.random.default_rng(1).normal(size=(len(EMOTIONS), len(COLUMNS)))
    clips, columns = [], []
    for row in rows:
        row = dict(row)
        emotion = row.get("emotion")
        rng = np.random.default_rng(list(row["clip"].encode()))
        heard = row.pop("heard", emotion)
        centre = centres[EMOTIONS.index(heard)] if heard else 0.0
        columns.append(row.pop("x", signal * centre + rng.normal(size=len(COLUMNS))))
        soft = np.zeros(len(EMOTIONS), np.float32)
        if emotion:
            soft[EMOTIONS.index(emotion)] = 1
        soft = np.asarray(row.pop("soft", soft), np.float32)
        defaults = {"take": row["clip"], "path": f"/data/{row['clip']}.wav", "content_id": row["clip"], "state": "ok"}
        clips.append({**defaults, "soft_label": soft, "duration_seconds": 3.0, **row})
    table = rows_to_table(clips, CLIPS)
    audio = {name: np.asarray(columns, np.float32)[:, i] for i, name in enumerate(COLUMNS)}
    write_table(table, folder / "clips" / "000000.parquet")
    write_table(
        rows_to_table([{"clip": row["clip"]} for row in clips], CLIPS).select(["clip"]).append_column_dict(audio)
        if False
        else _audio_table(clips, audio),
        folder / "audio" / "000000.parquet",
    )
    facts = {
        "kind": "features",
        "schema_version": SCHEMA_VERSION,
        "features": config.to_json(),
        "features_hash": config.hash(),
        "fingerprint": f"{folder.name}-{len(rows)}",
        "mfcc": False,
        "synthetic": True,
    }
    write_json(folder / "manifest.json", facts | manifest)
    return folder
