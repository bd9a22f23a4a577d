"""A search of a network's settings: each is trained by Ray Train, fold after fold, in a trial of its own."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from emocore.errors import UserError
from emocore.features.article import ARTICLE
from emocore.features.catalogue import to_json
from emocore.features.pictures import PICTURES
from emocore.labels import EMOTIONS
from emocore.models.bundle import load_bundle
from emocore.models.predictions import answer_frames
from emocore.pipeline.options.run import EvaluateOptions, TuneOptions
from emocore.pipeline.runs import evaluate, tune
from emocore.pipeline.training import fit_frames as frame_folds
from emocore.pipeline.training.folds import FoldResult
from emocore.pipeline.tuning import trainer as searching
from emocore.schema import CLIPS, FRAME_LABELS, SCHEMA_VERSION, pictures_schema, rows_to_table
from emocore.storage.files import read_json, write_json
from emocore.storage.tables import write_table

pytestmark = pytest.mark.usefixtures("cluster")
PIXELS = 16
SHOWN = ("happy", "sad")


@pytest.fixture(scope="module")
def seen(acted, tmp_path_factory):
    """FEATURES of four actors: two emotions, one light and one dark, two clips each of two pictures."""
    folder = tmp_path_factory.mktemp("seen") / "F"
    rows = acted(range(1, 5), SHOWN)
    clips = [
        {**row, "path": f"/data/{row['clip']}", "take": row["clip"], "content_id": row["clip"], "state": "ok"}
        | {"soft_label": np.array([name == row["emotion"] for name in EMOTIONS], "f4")}
        for row in rows
    ]
    light = dict(zip(SHOWN, (190, 60), strict=True))
    noise = np.random.default_rng(0)
    pictures = [
        {"clip": row["clip"], "track": 0, "frame_index": 20 * i, "time_seconds": 0.8 * i, "state": "ok"}
        | {"image": (light[row["emotion"]] + noise.integers(-50, 50, (PIXELS, PIXELS))).astype("u1")}
        for row in rows
        for i in range(2)
    ]
    write_table(rows_to_table(clips, CLIPS), folder / "clips" / "000000.parquet")
    write_table(rows_to_table(pictures, pictures_schema(PIXELS)), folder / "frames" / "000000.parquet")
    families = to_json([PICTURES.with_input(pixels=PIXELS)])
    manifest = {"schema_version": SCHEMA_VERSION, "families": families, "synthetic": True}
    write_json(folder / "manifest.json", manifest | {"fingerprint": "seen"})
    return folder


def told_of(data, folder, **options):
    (folder / "space.toml").write_text("learning_rate = { log = [0.0005, 0.01] }\nfilters = [[4, 8], [8]]\n")
    told = {"data": (str(data),), "out": str(folder / "RUN"), "model": "cnn", "folds": 2, "samples": 1}
    return {**told, "space": str(folder / "space.toml"), "epochs": 1, "steps_per_epoch": 2, "batch_size": 4, **options}


@pytest.mark.cluster
@pytest.mark.usefixtures("trains_here")
def test_a_network_is_searched_trained_and_loaded(seen, tmp_path):
    """One setting, the defaults: two trainings by Ray Train score it, a third, in this process, gives the model."""
    metrics = tune(TuneOptions(**told_of(seen, tmp_path))).metrics
    run = tmp_path / "RUN"
    (row,) = pq.read_table(run / "trials.parquet").to_pylist()
    assert (row["number"], row["state"], row["share"], row["fold"]) == (0, "ok", 1.0, "all")
    assert json.loads(row["setting"]) == {"learning_rate": 0.001, "filters": [16, 32, 64, 96, 128]}
    assert len(row["scores"]) == 2 and all(0 <= score <= 1 for score in row["scores"])
    settings = load_bundle(str(run)).card["settings"]
    assert (settings["epochs"], settings["batch_size"], settings["pixels"]) == (1, 4, PIXELS)
    assert metrics["chosen"]["all"] == {**json.loads(row["setting"]), "epoch": 1}
    assert (metrics["estimate"], metrics["n"]) == ("searched", 4)  # one actor chose the epoch, and is scored
    assert {entry.name for entry in run.iterdir()} == {
        *("config.json", "metrics.json", "predictions.parquet", "report.html", "history.json", "trials.parquet"),
        *("frames", "model", "tensorboard", ".lock"),
    }
    assert tune(TuneOptions(**told_of(seen, tmp_path))).already_finished


def test_each_fold_is_searched_on_its_own_actors_and_fitted_with_what_was_found(seen, tmp_path, monkeypatch):
    """The search and the training are stand-ins that keep what they were given."""
    searches, plans = [], []

    def search(candidates, room, *rest):
        searches.append(candidates)
        found = {"learning_rate": 0.002 * len(searches), "filters": [4, 8]}
        return found, [{"number": 0, "setting": found, "score": 0.5, "scores": [0.5], "share": 1.0, "state": "ok"}]

    def fit(examples, fold, plan, work):
        plans.append(plan)
        names = examples.clips["clip"].take(pa.array(fold.test)).to_pylist()
        frames = answer_frames(rows_to_table([{"clip": n} for n in names], FRAME_LABELS), np.full((len(names), 8), 0.1))
        return FoldResult(fold.name, fold.test, np.full((len(names), 8), 0.125), 1.0, {"epoch": 3}, {}, True, frames)

    monkeypatch.setattr(searching, "search_settings", search)
    monkeypatch.setattr(frame_folds, "_run_fold", fit)
    told = {**told_of(seen, tmp_path), "folds": 3, "protocol": "loso", "search": "random"}
    metrics = evaluate(EvaluateOptions(**told)).metrics
    assert [plan.settings.learning_rate for plan in plans] == pytest.approx([0.002, 0.004, 0.006, 0.008])
    assert {(plan.settings.filters, plan.settings.epochs, plan.settings.pixels) for plan in plans} == {
        ((4, 8), 1, PIXELS)
    }
    assert metrics["chosen"]["02"] == {"learning_rate": 0.004, "filters": [4, 8], "epoch": 3}
    assert pq.read_table(tmp_path / "RUN" / "trials.parquet")["fold"].to_pylist() == ["01", "02", "03", "04"]
    for tested, work in zip(("01", "02", "03", "04"), searches, strict=True):
        actors = np.array(work.examples.clips["actor"])
        assert len(work.folds) == 3 and work.plan.settings.epochs == 1
        for fold in work.folds:
            sides = [set(actors[rows]) for rows in (fold.train, fold.validation, fold.test)]
            assert all(sides) and sum(map(len, sides)) == len(set.union(*sides)) == 3  # no actor on two sides
            assert tested not in set.union(*sides)


def test_what_cannot_be_searched_is_said_before_anything_is_trained(seen, acted, tmp_path):
    told = told_of(seen, tmp_path)
    with pytest.raises(UserError, match="--folds 5 is more than the 4 training actors of fold 'all': give at most 4"):
        tune(TuneOptions(**{**told, "folds": 5}))
    with pytest.raises(UserError, match="--folds 4 is more than the 3 training actors of fold '01': give at most 3"):
        evaluate(EvaluateOptions(**{**told, "folds": 4, "protocol": "loso", "search": "random"}))
    with pytest.raises(UserError, match="holds no pictures, which this model reads"):
        manifest = read_json(seen / "manifest.json")
        (tmp_path / "F").mkdir()
        write_json(tmp_path / "F" / "manifest.json", {**manifest, "families": to_json([ARTICLE])})
        tune(TuneOptions(**{**told, "data": (str(tmp_path / "F"),)}))
    assert not (tmp_path / "RUN" / "config.json").exists()
