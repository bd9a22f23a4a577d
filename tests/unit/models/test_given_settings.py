"""--set: names, types and ranges are the model's own, and what it refuses is refused before anything is read."""

import json

import pytest

from emocore.cli import options_to_json, parse
from emocore.errors import UserError
from emocore.models.given_settings import read_settings
from emocore.pipeline.options.run import EvaluateOptions, TrainOptions, TuneOptions
from emocore.pipeline.runs import evaluate, tune

TOLD = {"data": ("nowhere",), "out": "RUN"}


@pytest.mark.parametrize(
    ("model", "pairs", "settings"),
    [
        ("svc", "C=5 gamma=0.01 kernel=poly", {"C": 5, "gamma": 0.01, "kernel": "poly"}),
        ("mlp", "hidden_layer_sizes=[50,20] alpha=1e-3", {"hidden_layer_sizes": [50, 20], "alpha": 1e-3}),
        ("random-forest", "max_depth=none bootstrap=False", {"max_depth": None, "bootstrap": False}),
        ("xgboost", "n_estimators=100000 max_depth=3", {"n_estimators": 100000, "max_depth": 3}),
        ("audio-conv1d", "filters=8 dropout=0", {"filters": 8, "dropout": 0}),
        ("audio-cnn", "seeds=3 mixup=0", {"seeds": 3, "mixup": 0}),
        ("cnn", "filters=[8,16] schedule=constant", {"filters": [8, 16], "schedule": "constant"}),
        ("transfer", "", {}),
    ],
)
def test_values_have_the_models_types(model, pairs, settings):
    assert read_settings(model, pairs.split()) == settings


@pytest.mark.parametrize(
    ("model", "pairs", "sentence"),
    [
        ("svc", "C", "--set 'C' is not NAME=VALUE: write for instance --set C=5 gamma=0.01."),
        ("svc", "=5", "--set '=5' is not NAME=VALUE"),
        ("svc", "C=5 C=6", "--set gives C twice: leave one out."),
        ("svc", "gama=1", "--set gama (did you mean gamma?) is no setting of svc: choose from C, coef0, "),
        ("svc", "random_state=1", "--set random_state: give --seed in its place."),
        (
            "svc",
            "C=-1",
            "--set C=-1 is refused by svc: The 'C' parameter of SVC must be a float in the range (0.0, inf",
        ),
        ("svc", "C=1e400", "--set C=1e400 is refused by svc: The 'C' parameter of SVC must be a float in the range"),
        (
            "svc",
            "kernel=precomputed",
            "--set kernel=precomputed is refused by svc: Precomputed matrix must be a square",
        ),
        (
            "random-forest",
            "n_estimators=1.5",
            "--set n_estimators=1.5 is refused by random-forest: The 'n_estimators' ",
        ),
        ("xgboost", "subsample=7", "--set subsample=7 is refused by xgboost: value 7 for Parameter subsample exceed"),
        ("xgboost", "max_depth=2.5", "--set max_depth=2.5 is not a whole number, as the default 6 is."),
        ("xgboost", "n_estimators=0", "n_estimators must be at least 1: got 0."),
        ("audio-conv1d", "dropout=1", "--set dropout=1 must be 0 or more and below 1."),
        ("audio-conv1d", "filters=0", "--set filters=0 must be at least 1."),
        ("audio-cnn", "seeds=0", "--set seeds=0 must be at least 1."),
        ("audio-cnn", "label_smoothing=1", "--set label_smoothing=1 must be 0 or more and below 1."),
        ("cnn", "epochs=3", "--set epochs: give --epochs in its place."),
        ("cnn", "filters=8", "--set filters=8 is no list of whole numbers above 0, such as [16, 32, 64, 96, 128]."),
        ("cnn", "schedule=linear", "--set schedule=linear is unknown: choose one of constant, cosine."),
        ("transfer", "dropout=0.5", "--set is for one of svc, svc-linear, random-forest, xgboost, mlp, audio-conv1d, "),
    ],
)
def test_what_a_model_does_not_take_is_one_sentence(model, pairs, sentence):
    with pytest.raises(UserError) as error:
        read_settings(model, pairs.split())
    assert str(error.value).startswith(sentence) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("call", "options", "sentence"),
    [
        (
            tune,
            TuneOptions(**TOLD, model="svc", set=("C=5", "gamma=1", "kernel=rbf")),
            "--set leaves nothing to search of svc: leave",
        ),
        (tune, TuneOptions(**TOLD, model="svc", set=("C=5",), space="s.toml"), "--set C is among what --space s.toml "),
        (tune, TuneOptions(**TOLD, model="svc", set=("C=5",), search="grid", samples=1), "The coarsest grid has 4 "),
        (
            evaluate,
            EvaluateOptions(**TOLD, model="face-cnn", protocol="as-is", set=("C=5",)),
            "--set C=5 changes nothing",
        ),
        (evaluate, EvaluateOptions(**TOLD, model="svc", protocol="loso", set=("D=5",)), "--set D is no setting of svc"),
    ],
)
def test_a_search_does_not_vary_what_is_set(call, options, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.toml").write_text("C = [1, 2]\n")
    with pytest.raises(UserError) as error:
        call(options)
    assert str(error.value).startswith(sentence)


def test_settings_are_part_of_the_config(tmp_path):
    told = parse(TrainOptions, ["F", "--model", "svc", "--out", "R", "--set", "C=5", "gamma=0.01"])
    assert told.set == ("C=5", "gamma=0.01") and told.class_weight == "auto"
    (tmp_path / "config.json").write_text(json.dumps({"options": options_to_json(told)}))
    assert parse(TrainOptions, ["--config", f"{tmp_path}/config.json"]) == told
