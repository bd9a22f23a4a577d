"""Evaluate with a search: in every fold apart, on its training actors alone."""

import json
from collections import Counter

import numpy as np
import pyarrow.parquet as pq
import pytest

from emocore.datasets.examples import labelled, load_examples
from emocore.datasets.protocols import make_folds
from emocore.errors import UserError
from emocore.features.article import ARTICLE
from emocore.models.fitting import Recipe
from emocore.pipeline.options.run import EvaluateOptions, TuneOptions
from emocore.pipeline.runs import evaluate, tune
from emocore.pipeline.training.fit_arrays import run_folds
from emocore.pipeline.tuning import trainer as searching
from emocore.storage.files import read_json

pytestmark = pytest.mark.usefixtures("cluster")
ACTORS = {1: "a/b", 2: "ü 2", 3: "50% .."}  # an actor may be called anything, also as a folder


@pytest.fixture(scope="module")
def three(acted, write_features, tmp_path_factory):
    """Hand-written FEATURES: three actors, 48 clips."""
    rows = [{**row, "actor": ACTORS[int(row["actor"])]} for row in acted(ACTORS)]
    return write_features(tmp_path_factory.mktemp("three") / "F", rows)


@pytest.fixture(scope="module")
def space(tmp_path_factory):
    path = tmp_path_factory.mktemp("space") / "space.toml"
    path.write_text("C = { log = [0.1, 100] }\ngamma = { log = [0.0005, 0.05] }\n")
    return str(path)


@pytest.fixture
def searches(monkeypatch):
    """The candidates of each search, and what was said of it, in their order."""
    seen, search = [], searching.search_settings

    def spy(candidates, *rest):
        seen.append((candidates, rest[-1]))
        return search(candidates, *rest)

    monkeypatch.setattr(searching, "search_settings", spy)
    return seen


def score(data, out, space, **options):
    told = {"model": "svc", "protocol": "loso", "search": "random", "samples": 3, "folds": 2, "seed": 5}
    return evaluate(EvaluateOptions(**{**told, "data": (str(data),), "out": str(out), "space": space, **options}))


def read(run):
    """What was predicted, and the trials but for their times."""
    trials = pq.read_table(run / "trials.parquet").drop_columns(["seconds", "finished_seconds"])
    return pq.read_table(run / "predictions.parquet"), trials


def settings_of(trials, fold):
    """The best setting of a fold, from the table."""
    rows = [row for row in trials.to_pylist() if row["fold"] == fold]
    return json.loads(max(rows, key=lambda row: (row["score"], -row["number"]))["setting"])


def test_a_search_in_each_fold_never_meets_its_test_clips(three, space, searches, interrupt, tmp_path):
    """The second run is ended in the search of the second fold, and goes on there."""
    run, cut = tmp_path / "RUN", tmp_path / "CUT"
    metrics = score(three, run, space).metrics
    predictions, trials = read(run)
    examples = labelled(load_examples([str(three)], [ARTICLE], "speech"))
    actors = np.array(examples.clips["actor"].to_pylist())
    folds, _ = make_folds("loso", examples.clips)
    assert len(searches) == len(folds) == 3 and {fold.name for fold in folds} == set(ACTORS.values())

    for fold, (work, said) in zip(folds, searches, strict=True):
        assert said == f"search svc, {fold.name}" and len(work.splits) == 2
        for split in work.splits:
            assert not set(np.concatenate(split)) & set(fold.test)
            assert set(split.train) | set(split.held) == set(fold.train)
            assert not set(actors[split.train]) & set(actors[split.held])
        assert Counter(np.concatenate([split.held for split in work.splits])) == Counter(fold.train)

    assert trials["fold"].to_pylist() == [fold.name for fold in folds for _ in range(3)]
    assert trials["number"].to_pylist() == 3 * [0, 1, 2]
    assert metrics["chosen"] == {fold.name: settings_of(trials, fold.name) for fold in folds}
    assert metrics["estimate"] == "test" and metrics["speaker_independent"] is True and metrics["n"] == 48
    assert (metrics["search"]["search"], metrics["search"]["trials"]) == ("random", 9)
    for fold in folds:
        (plain,) = run_folds(examples, [fold], Recipe("svc", 5, settings=settings_of(trials, fold.name)), None)
        mine = predictions.filter(np.array(predictions["fold"].to_pylist()) == fold.name)
        names = examples.clips["clip"].take(plain.rows).to_pylist()
        np.testing.assert_allclose(plain.probabilities.max(axis=1), mine["confidence"].to_numpy(), atol=1e-6)
        assert mine["clip"].to_pylist() == names
    assert "How its settings were found" in (run / "report.html").read_text()
    assert {entry.name for entry in run.iterdir() if entry.name.startswith(".")} == {".lock"}
    assert not (run / "model").exists() and len(list(tmp_path.iterdir())) == 1

    interrupt(lambda: score(three, cut, space), 5)
    assert len(list((cut / ".folds").glob("*.npz"))) == 1 and len(list((cut / ".search").iterdir())) == 2
    again = score(three, cut, space).metrics
    for table, other in zip(read(cut), (predictions, trials), strict=True):
        assert table.equals(other)
    assert {**again, "seconds": 0} == {**metrics, "seconds": 0}
    assert {entry.name for entry in cut.iterdir() if entry.name.startswith(".")} == {".lock"}


def test_test_clips_choose_nothing(acted, write_features, space, tmp_path):
    """Neither their labels, which are all wrong here, nor their sounds."""
    heard = acted([1, 2, 3], split="train")
    honest = [*heard, *acted([4], split="test")]
    wrong = [*heard, *acted([4], split="test", emotion="calm", sounds="angry")]
    runs = [tmp_path / name for name in ("honest", "wrong")]
    for run, rows in zip(runs, (honest, wrong), strict=True):
        score(write_features(tmp_path / f"F-{run.name}", rows), run, space, protocol="given")
    (before, trials), (after, others) = map(read, runs)
    assert trials.equals(others) and not before.equals(after)
    chosen = [read_json(run / "metrics.json")["chosen"] for run in runs]
    assert chosen[0] == chosen[1] and len(set(trials["score"].to_pylist())) > 1


def test_validation_clips_of_a_given_split_take_part_in_the_search_and_test_clips_do_not(
    acted, write_features, space, searches, tmp_path
):
    rows = [*acted([1, 2], split="train"), *acted([3], split="validation"), *acted([4], split="test")]
    data = write_features(tmp_path / "F", rows)
    told = {"data": (str(data),), "model": "svc", "space": space, "samples": 2, "folds": 3}
    metrics = tune(TuneOptions(out=str(tmp_path / "R"), protocol="given", **told)).metrics
    ((work, _),) = searches
    actors = np.array(labelled(load_examples([str(data)], [ARTICLE], "speech")).clips["actor"])
    assert sorted(actors[split.held[0]] for split in work.splits) == ["01", "02", "03"]
    assert all(set(actors[np.concatenate(split)]) == {"01", "02", "03"} for split in work.splits)
    assert (metrics["estimate"], metrics["n"], metrics["protocol"]) == ("test", 16, "given")
    assert metrics["folds"][0]["test_actors"] == ["04"]


def test_what_no_fold_can_search_is_said_before_the_first(three, space, searches, tmp_path):
    with pytest.raises(UserError, match=r"--folds 3 is more than the 2 training actors of fold '.+': give at most 2"):
        score(three, tmp_path / "RUN", space, folds=3)
    assert searches == [] and not (tmp_path / "RUN" / "config.json").exists()
