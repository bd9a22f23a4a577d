"""A search of settings from FEATURES to the RUN: figures that scikit-learn gives too, and a model that is used."""

import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from xgboost import XGBClassifier

from emocore.datasets.examples import labelled, load_examples
from emocore.datasets.protocols import inner_folds, make_folds
from emocore.errors import UserError
from emocore.features.article import ARTICLE
from emocore.models.bundle import load_bundle
from emocore.models.fitting import Recipe
from emocore.models.spaces import setting_key
from emocore.pipeline.label import LabelOptions, label
from emocore.pipeline.options.run import EvaluateOptions, TuneOptions
from emocore.pipeline.runs import evaluate, tune
from emocore.pipeline.training.fit_arrays import run_folds
from emocore.pipeline.tuning import trainer as searching
from emocore.schema import PROBABILITIES, TRIALS
from emocore.storage.files import read_json

pytestmark = pytest.mark.usefixtures("cluster")
SPACE = "C = { log = [0.1, 100] }\ngamma = { log = [0.0005, 0.05] }\n"


@pytest.fixture(scope="module")
def four(acted, write_features, tmp_path_factory):
    """Hand-written FEATURES: actors 1 to 4, 64 clips, told apart fairly well."""
    return write_features(tmp_path_factory.mktemp("four") / "F", acted(range(1, 5)))


def told_of(folder, data, space=SPACE, **options):
    """The options of a small search, with the space in a file."""
    (folder / "space.toml").write_text(space)
    told = {"data": (str(data),), "out": str(folder / "RUN"), "model": "svc", "samples": 4, "folds": 2}
    return {**told, "space": str(folder / "space.toml"), **options}


def trials_of(run):
    return pq.read_table(run / "trials.parquet")


@pytest.fixture(scope="module")
def tuned(four, cluster, tmp_path_factory):
    """What found an svc's settings, and its RUN, in a folder whose name needs care. Read only."""
    root = tmp_path_factory.mktemp("tuned")
    told = told_of(root, four, out=str(root / "a RUN, 50% #1"))
    tune(TuneOptions(**told))
    return told, root / "a RUN, 50% #1"


# The scores are those of scikit-learn

REFERENCES = {
    "svc": (
        Pipeline([("scale", StandardScaler()), ("model", OneVsRestClassifier(SVC()))]),
        {"model__estimator__C": [0.5, 10.0], "model__estimator__gamma": ["scale", 0.002]},
        'C = [0.5, 10.0]\ngamma = ["scale", 0.002]',
    ),
    "random-forest": (
        RandomForestClassifier(random_state=7),
        {"n_estimators": [10, 20], "max_features": ["sqrt", 0.3]},
        'n_estimators = [10, 20]\nmax_features = ["sqrt", 0.3]',
    ),
    "xgboost": (
        XGBClassifier(random_state=7, n_jobs=1),
        {"n_estimators": [3, 6], "subsample": [0.6, 1.0]},
        "n_estimators = [3, 6]\nsubsample = [0.6, 1.0]",
    ),
}


@pytest.mark.parametrize("model", REFERENCES)
def test_scores_are_those_of_a_grid_search_of_scikit_learn(model, four, tmp_path):
    estimator, parameters, space = REFERENCES[model]
    told = told_of(tmp_path, four, space, model=model, search="grid", seed=7, class_weight="none")
    tune(TuneOptions(**told))
    found = {setting_key(json.loads(row["setting"])): row for row in trials_of(tmp_path / "RUN").to_pylist()}

    examples = labelled(load_examples([str(four)], [ARTICLE], "speech"))
    parts = inner_folds(examples.clips, np.arange(64), 2, 7)
    x, y = examples.x.astype("f8" if model == "svc" else "f4"), examples.truth
    grid = GridSearchCV(estimator, parameters, scoring="balanced_accuracy", cv=parts, refit=False)
    results = grid.fit(x, y).cv_results_
    for i, setting in enumerate(results["params"]):
        row = found[setting_key({name.rpartition("__")[2]: value for name, value in setting.items()})]
        assert row["scores"] == pytest.approx([results[f"split{k}_test_score"][i] for k in (0, 1)], abs=1e-6)
        assert row["score"] == pytest.approx(results["mean_test_score"][i], abs=1e-6)
    assert len(set(results["mean_test_score"])) > 1 and len(found) == 4 + (model != "svc")  # the defaults


@pytest.mark.parametrize("how", ["asha", "bayes"])
def test_a_setting_that_was_stopped_early_is_never_the_best(how, four, tmp_path):
    space = "n_estimators = { int = [10, 30] }\nmax_depth = [1, 2, 3]\nlearning_rate = { log = [0.001, 0.5] }"
    tune(TuneOptions(**told_of(tmp_path, four, space, model="xgboost", search=how, samples=8)))
    rows = trials_of(tmp_path / "RUN").to_pylist()
    assert [row["number"] for row in rows] == list(range(8)) and rows[0]["state"] == "ok"
    assert json.loads(rows[0]["setting"]) == {"n_estimators": 100, "max_depth": 6, "learning_rate": 0.3}
    for row in rows:
        assert (row["share"] == 1) == (row["state"] == "ok") and row["state"] in ("ok", "stopped")
        assert row["score"] == pytest.approx(np.mean(row["scores"])) and len(row["scores"]) == 2
    best = max((row for row in rows if row["state"] == "ok"), key=lambda row: row["score"])
    assert load_bundle(str(tmp_path / "RUN")).card["settings"] == json.loads(best["setting"])


# The RUN


def test_a_run_holds_all_that_was_tried_and_a_model_with_the_best(tuned):
    _, run = tuned
    table, metrics = trials_of(run), read_json(run / "metrics.json")
    rows = table.to_pylist()
    assert table.schema.remove_metadata() == TRIALS and [row["number"] for row in rows] == [0, 1, 2, 3]
    assert json.loads(rows[0]["setting"]) == {"C": 10.0, "gamma": "scale"}
    assert {row["fold"] for row in rows} == {"all"} and {row["state"] for row in rows} == {"ok"}
    best = json.loads(max(rows, key=lambda row: row["score"])["setting"])
    assert len({row["score"] for row in rows}) > 1
    assert load_bundle(str(run)).card["settings"] == best and metrics["chosen"] == {"all": best}
    assert metrics["estimate"] == "searched" and metrics["n"] == 64
    assert metrics["search"] == {
        **{"search": "random", "samples": 4, "folds": 2, "trials": 4},
        "space": {"C": "0.1 to 100, log", "gamma": "0.0005 to 0.05, log"},
    }
    report = (run / "report.html").read_text()
    assert "How its settings were found" in report and "on which the settings were chosen" in report
    assert {entry.name for entry in run.iterdir()} == {
        *("config.json", "metrics.json", "predictions.parquet", "report.html", "trials.parquet", "model", ".lock")
    }


def test_the_model_is_one_that_was_fitted_with_these_settings(tuned, four):
    _, run = tuned
    examples = labelled(load_examples([str(four)], [ARTICLE], "speech"))
    (fold,), _ = make_folds("all", examples.clips)
    setting = load_bundle(str(run)).card["settings"]
    (plain,) = run_folds(examples, [fold], Recipe("svc", settings=setting), None)
    table = pq.read_table(run / "predictions.parquet")
    np.testing.assert_allclose(
        np.column_stack([table[name].to_numpy() for name in PROBABILITIES]), plain.probabilities, atol=1e-6
    )


def test_inner_folds_by_actor_are_speaker_independent(tuned):
    """Their held clips choose nothing, but the temperature of others."""
    assert read_json(tuned[1] / "metrics.json")["speaker_independent"] is True


def test_a_tuned_run_labels_and_is_evaluated_with_its_settings(tuned, four, tone, write_wav, tmp_path):
    _, run = tuned
    write_wav(tmp_path / "media" / "a.wav", tone(300))
    done = label(LabelOptions(media=(str(tmp_path / "media"),), model=str(run), out=str(tmp_path / "L")))
    assert (done.summary["labels"], done.summary["failures"]) == (1, 0)
    told = {"data": (str(four),), "model": str(run), "protocol": "loso"}
    metrics = evaluate(EvaluateOptions(out=str(tmp_path / "E"), **told)).metrics
    assert "search" not in metrics and not (tmp_path / "E" / "trials.parquet").exists()
    examples = labelled(load_examples([str(four)], [ARTICLE], "speech"))
    recipe = Recipe("svc", settings=load_bundle(str(run)).card["settings"])
    plain = run_folds(examples, make_folds("loso", examples.clips)[0], recipe, None)
    right = np.concatenate([examples.truth[r.rows] == r.probabilities.argmax(axis=1) for r in plain])
    assert metrics["accuracy"] == pytest.approx(right.mean())


def test_a_finished_search_is_left_alone_and_another_one_is_refused(tuned, acted, write_features, tmp_path):
    told, _ = tuned
    assert tune(TuneOptions(**told)).already_finished
    (tmp_path / "wider.toml").write_text(SPACE.replace("100", "1000"))
    other = write_features(tmp_path / "G", acted([1, 2, 3]))
    for change, named in [
        ({"search": "asha"}, "options.search"),
        ({"samples": 5}, "options.samples"),
        ({"folds": 3}, "options.folds"),
        ({"seed": 1}, "options.seed"),
        ({"model": "xgboost", "space": None}, "options.model"),
        ({"data": (str(other),)}, "options.data"),
        ({"space": str(tmp_path / "wider.toml")}, "options.space"),
    ]:
        with pytest.raises(UserError, match=rf"was made with {named} = .* choose another --out"):
            tune(TuneOptions(**{**told, **change}))
    with pytest.raises(UserError, match=r"command = .tune., this command has .evaluate."):
        evaluate(EvaluateOptions(**{**told, "protocol": "loso", "search": "random"}))


@pytest.mark.parametrize(
    "text",
    [SPACE.replace("100", "1000"), SPACE.replace("0.1,", "0.10000004,"), "".join(SPACE.splitlines(True)[::-1])],
    ids=["another bound", "the eighth digit", "another order, from which others are drawn"],
)
def test_a_space_that_was_edited_is_another_space(text, tuned, tmp_path):
    _, run = tuned
    shutil.copytree(run, tmp_path / "RUN")
    told = {**tuned[0], "out": str(tmp_path / "RUN"), "space": str(tmp_path / "space.toml")}
    config = read_json(run / "config.json")
    config["options"]["space"] = told["space"]
    (tmp_path / "RUN" / "config.json").write_text(json.dumps(config))
    (tmp_path / "space.toml").write_text(SPACE)
    assert tune(TuneOptions(**told)).already_finished
    (tmp_path / "space.toml").write_text(text)
    with pytest.raises(UserError, match=r"was made with space"):
        tune(TuneOptions(**told))


def test_a_setting_that_the_library_refuses_is_a_row_and_the_search_goes_on(four, tmp_path):
    tune(TuneOptions(**told_of(tmp_path, four, 'C = [1.0, -1.0]\nkernel = ["rbf", "cubic"]', search="grid")))
    rows = {row["setting"]: row for row in trials_of(tmp_path / "RUN").to_pylist()}
    states = {tuple(json.loads(setting).values()): row["state"] for setting, row in rows.items()}
    assert states == {
        **{(10.0, "rbf"): "ok", (1.0, "rbf"): "ok"},
        **{(1.0, "cubic"): "failed", (-1.0, "rbf"): "failed", (-1.0, "cubic"): "failed"},
    }
    failed = rows['{"C": 1.0, "kernel": "cubic"}']
    assert failed["reason"].startswith("InvalidParameterError: The 'kernel' parameter of SVC must be")
    assert failed["score"] is None and failed["scores"] == []
    assert "InvalidParameterError" in (tmp_path / "RUN" / "report.html").read_text()


def test_a_search_that_was_cut_off_ends_as_one_that_was_not(tuned, interrupt, tmp_path):
    told, run = tuned
    again = {**told, "out": str(tmp_path / "RUN")}
    interrupt(lambda: tune(TuneOptions(**again)), 2)
    lines = (tmp_path / "RUN" / ".search" / "all" / "trials.jsonl").read_text().splitlines()
    with pytest.raises(UserError, match=r"options.samples = 4, this command has 3"):
        tune(TuneOptions(**{**again, "samples": 3}))
    tune(TuneOptions(**again))
    found, whole = (trials_of(folder).to_pylist() for folder in (tmp_path / "RUN", run))
    for row, other in zip(found, whole, strict=True):
        assert {**row, "seconds": 0, "finished_seconds": 0} == {**other, "seconds": 0, "finished_seconds": 0}
    before = {row["number"]: row for row in map(json.loads, lines)}
    assert len(before) == 2
    for number, row in before.items():  # not run again
        assert [found[number][name] for name in ("seconds", "finished_seconds")] == [
            *(row["seconds"], row["finished_seconds"])
        ]
    assert pq.read_table(tmp_path / "RUN" / "predictions.parquet").equals(pq.read_table(run / "predictions.parquet"))
    assert not (tmp_path / "RUN" / ".search").exists()


# What cannot be searched


def test_more_folds_than_actors(four, tmp_path):
    told = told_of(tmp_path, four, folds=5)
    with pytest.raises(UserError) as error:
        tune(TuneOptions(**told))
    assert str(error.value) == ("--folds 5 is more than the 4 training actors of fold 'all': give at most 4.")
    with pytest.raises(UserError, match="--folds 4 is more than the 3 training actors of fold '01': give at most 3"):
        evaluate(EvaluateOptions(**{**told, "folds": 4, "protocol": "loso", "search": "random"}))
    assert not (tmp_path / "RUN" / "config.json").exists()  # a refused run does not claim its folder


def test_a_fold_with_one_emotion(acted, write_features, tmp_path):
    rows = [*acted([1, 2], ("happy", "sad")), *acted([3], ("happy",))]
    data = write_features(tmp_path / "F", rows)
    with pytest.raises(UserError) as error:
        tune(TuneOptions(**told_of(tmp_path, data, folds=3)))
    assert str(error.value) == ("A fold of the search in fold 'all' shows one emotion only: give fewer --folds.")


@pytest.mark.parametrize(
    ("model", "options", "named"),
    [("svc", {"cpus_per_fit": 1_000}, "--cpus-per-fit 1000"), ("xgboost", {"gpus_per_trial": 64}, "--gpus-per-trial")],
)
def test_room_that_no_machine_has(model, options, named, four, tmp_path, monkeypatch):
    def never(*_, **__):
        raise AssertionError("waits for what no machine has")

    monkeypatch.setattr(searching, "search_settings", never)
    with pytest.raises(UserError, match=named):
        tune(TuneOptions(**{**told_of(tmp_path, four, model=model, **options), "space": None}))
