"""What a search is told: every mistake is one sentence, before anything is read or written."""

import json

import pytest

from emocore.cli import options_to_json, parse
from emocore.errors import UserError
from emocore.features.article import ARTICLE
from emocore.features.catalogue import to_json
from emocore.models.bundle import save_bundle
from emocore.models.fitting import Recipe
from emocore.models.parameters import SEARCHED
from emocore.pipeline.options.run import EvaluateOptions, TuneOptions
from emocore.pipeline.options.search import SearchOptions, check_search
from emocore.pipeline.runs import evaluate, tune
from emocore.schema import CLIPS

ALL = ", ".join(SEARCHED)


def refused(call, *arguments, **options):
    with pytest.raises(UserError) as error:
        call(*arguments, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def tuning(model="svc", **options):
    return TuneOptions(**{"data": ("nowhere",), "out": "RUN", "model": model, **options})


def scoring(model="svc", protocol="loso", **options):
    return EvaluateOptions(**{"data": ("nowhere",), "out": "RUN", "model": model, "protocol": protocol, **options})


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty working directory, which stays empty."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    assert not (tmp_path / "RUN").exists()


@pytest.mark.parametrize("make", [tuning, scoring])
@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        ("samples", 0, "--samples must be at least 1: got 0."),
        ("samples", -3, "--samples must be at least 1: got -3."),
        ("folds", 1, "--folds must be at least 2: got 1."),
        ("gpus_per_trial", 1.5, "--gpus-per-trial must be from 0 to 1: got 1.5."),
        ("gpus_per_trial", -0.5, "--gpus-per-trial must be from 0 to 1: got -0.5."),
        ("gpus_per_trial", -1.0, "--gpus-per-trial must be from 0 to 1: got -1.0."),
        ("gpus_per_trial", float("nan"), "--gpus-per-trial must be from 0 to 1: got nan."),
        ("gpus_per_trial", float("inf"), "--gpus-per-trial must be from 0 to 1: got inf."),
    ],
)
def test_a_wrong_number(make, option, value, sentence):
    assert refused(make, **{"search": "random", option: value}) == sentence


@pytest.mark.parametrize("gpus", [0, 0.25, 1])
def test_a_gpu_may_be_shared(gpus):
    check_search("xgboost", SearchOptions(search="asha", gpus_per_trial=gpus))


@pytest.mark.parametrize("make", [tuning, scoring])
def test_what_is_not_given_has_a_value(make):
    told = make()
    assert (told.n_samples, told.n_folds, told.gpus_per_trial) == (50, 3, None)
    assert (make(samples=1).n_samples, make(folds=2).n_folds) == (1, 2)
    assert told.search == ("random" if make is tuning else None)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"samples": 5}, "--samples 5"),
        ({"folds": 3}, "--folds 3"),
        ({"space": "space.toml"}, "--space space.toml"),
        ({"gpus_per_trial": 0}, "--gpus-per-trial 0"),
    ],
)
def test_an_evaluation_without_a_search_reads_nothing_of_it(folder, options, named):
    sentence = refused(evaluate, scoring(**options))
    assert sentence == f"{named} is read with --search: give that too, or leave it out."


@pytest.mark.parametrize(
    ("options", "named"), [({"search": "random"}, "--search random"), ({"samples": 5}, "--samples 5")]
)
def test_a_finished_model_as_it_is_searches_nothing(folder, options, named):
    assert named in refused(evaluate, scoring("face-cnn", "as-is", **options))


@pytest.mark.parametrize(
    ("model", "remedy"), [("svc", "leave it out"), ("cnn", "give --workers and --gpus-per-worker")]
)
def test_gpus_of_a_trial_are_for_those_that_compute_there(folder, model, remedy):
    sentence = f"--gpus-per-trial 0.5 is read by xgboost, audio-conv1d, audio-cnn, not by {model}: {remedy}."
    assert refused(tune, tuning(model, gpus_per_trial=0.5)) == sentence
    assert refused(evaluate, scoring(model, search="random", gpus_per_trial=0.5)) == sentence


@pytest.mark.parametrize("model", ["face-cnn", "transfer", "svm", "RUN"])
def test_a_model_that_cannot_be_tuned(folder, model):
    assert refused(tuning, model) == f"--model {model!r} is not for this command: choose one of {ALL}."
    sentence = f"--search is for one of {ALL}: got --model {model}."
    assert refused(evaluate, scoring(model, search="grid")) == sentence


def test_a_search_starts_from_a_name_not_from_a_run(folder):
    (folder / "trained").mkdir()
    heard = {"families": to_json([ARTICLE]), "temperature": 1.0}
    save_bundle(folder / "trained" / "model", {}, Recipe("svc"), CLIPS.empty_table(), heard)
    assert refused(evaluate, scoring("trained", search="random")) == (
        "--search starts from a model's name, and --model trained is a RUN: give --model svc."
    )


def test_a_space_is_read_before_the_data(folder):
    (folder / "space.toml").write_text("C = { log = [0.1, 10] }\ngama = [1]\n")
    expected = "--space space.toml has 'gama' (did you mean gamma?), which a search of svc cannot vary: choose from"
    for sentence in (
        refused(tune, tuning(space="space.toml")),
        refused(evaluate, scoring(search="random", space="space.toml")),
    ):
        assert sentence.startswith(expected)
    assert refused(tune, tuning(space="none.toml")).startswith("--space none.toml cannot be read (No such file")


@pytest.mark.parametrize("protocol", ["loso", "grouped5", "luna5"])
def test_tune_fits_one_model(folder, protocol):
    assert refused(tune, tuning(protocol=protocol)).startswith(
        f"--protocol {protocol!r} is not for this command: choose one of all, article, article-video, given "
    )


def test_a_coarsest_grid_that_is_too_large_is_said_before_the_data(folder):
    assert refused(tune, tuning(search="grid", samples=3)).startswith("The coarsest grid has 8 settings, more than")


def test_options_come_back_from_a_config(tmp_path):
    told = tuning("xgboost", search="random+grid", samples=7, gpus_per_trial=0.5)
    (tmp_path / "config.json").write_text(json.dumps({"options": options_to_json(told)}))
    assert parse(TuneOptions, ["--config", f"{tmp_path}/config.json"]) == told


def test_a_search_of_another_name():
    assert "halving" in refused(parse, TuneOptions, ["F", "--model", "svc", "--out", "R", "--search", "halving"])
