"""What a setting is worth: the mean UAR on held actors, whole or after each part of the training."""

from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from xgboost import XGBClassifier

from emocore.models.fitting import Recipe
from emocore.pipeline.training.folds import Split
from emocore.pipeline.tuning import objective
from emocore.pipeline.tuning.objective import ArrayCandidates

RNG = np.random.default_rng(2)
Y = RNG.integers(0, 4, 72)
X = RNG.standard_normal((72, 160)).astype("f4")
X[:, :4] += 3 * np.eye(4, dtype="f4")[Y]
SOFT = np.eye(8, dtype="f4")[Y]
SPLITS = [Split(np.setdiff1d(np.arange(72), held), held, held) for held in np.arange(72).reshape(24, 3).T]
TREES = {"n_estimators": 10, "max_depth": 2, "subsample": 0.7}


def of(model, balanced=False, **settings):
    return ArrayCandidates(Recipe(model, 3, balanced, settings), X, SOFT, SPLITS, 1, 0)


def uar_of(model):
    """The UAR of each fold, from scikit-learn alone."""
    fitted = ((model.fit(X[s.train].astype("f8"), Y[s.train]), s.held) for s in SPLITS)
    return [balanced_accuracy_score(Y[held], model.predict(X[held].astype("f8"))) for model, held in fitted]


def test_a_whole_report_holds_the_uar_of_each_fold():
    (report,) = of("svc").reports({"C": 3.0, "gamma": 0.002}, in_parts=False)
    machine = make_pipeline(StandardScaler(), OneVsRestClassifier(SVC(C=3.0, gamma=0.002)))
    assert report.share == 1 and report.scores == pytest.approx(uar_of(machine), abs=1e-9)
    assert min(report.scores) > 0.3 and max(report.scores) < 1  # neither chance nor certain


def test_a_setting_goes_before_the_recipes_own():
    (report,) = of("svc", C=1000.0, gamma=0.002).reports({"C": 3.0}, in_parts=False)
    assert report == next(of("svc").reports({"C": 3.0, "gamma": 0.002}, in_parts=False))


def test_in_parts_all_folds_go_on_side_by_side_and_end_as_the_whole_does():
    """XGBoost draws the clips and columns of a tree from a generator that all boosters of a thread share."""
    *before, last = of("xgboost").reports(TREES, in_parts=True)
    (whole,) = of("xgboost").reports(TREES, in_parts=False)
    assert last == whole and whole.share == 1
    assert [report.share for report in before] == pytest.approx(np.arange(1, 10) / 10)
    assert all(len(report.scores) == 3 and np.isfinite(report.scores).all() for report in before)
    assert whole.scores == pytest.approx(uar_of(XGBClassifier(**TREES, random_state=3, n_jobs=1)), abs=1e-9)


def test_the_scores_on_the_way_are_those_of_fewer_trees():
    reports = list(of("xgboost").reports(TREES, in_parts=True))
    (half,) = of("xgboost").reports({**TREES, "n_estimators": 5}, in_parts=False)
    assert reports[4].share == 0.5 and reports[4].scores == half.scores


@pytest.mark.parametrize(("model", "setting"), [("svc", {"C": 3.0}), ("xgboost", {"n_estimators": 1})])
def test_what_learns_in_one_piece_is_scored_fold_by_fold(model, setting):
    reports = list(of(model, balanced=True).reports(setting, in_parts=True))
    (whole,) = of(model, balanced=True).reports(setting, in_parts=False)
    assert [report.share for report in reports] == pytest.approx([1 / 3, 2 / 3, 1])
    assert [report.scores for report in reports] == [whole.scores[:1], whole.scores[:2], whole.scores]
    assert reports[-1] == whole


def test_a_report_does_not_change_after_it_was_given():
    given = [(report, list(report.scores)) for report in of("xgboost").reports(TREES, in_parts=True)]
    assert all(report.scores == then for report, then in given)


@pytest.mark.parametrize("in_parts", [False, True])
def test_a_setting_that_a_library_refuses_is_an_exception(in_parts):
    with pytest.raises(ValueError, match="gamma"):
        list(of("svc").reports({"gamma": -1.0}, in_parts))


def test_a_trial_has_the_gpu_and_the_setting_that_it_finds_names_none(monkeypatch):
    recipes = []

    def fit(recipe, *_, **__):
        recipes.append(recipe)
        return iter(())

    monkeypatch.setattr(objective, "fit_inner", fit)
    monkeypatch.setattr(objective, "exhaust", lambda _: SimpleNamespace(held=SPLITS[0].held, logits=np.zeros((24, 8))))
    setting, candidates = dict(TREES), ArrayCandidates(Recipe("xgboost", 3), X, SOFT, SPLITS, 1, 0.5)
    list(candidates.reports(setting, in_parts=False))
    assert {recipe.settings["device"] for recipe in recipes} == {"cuda"}
    assert setting == TREES and candidates.recipe.settings == {}  # of which the last fit, on CPUs, is made
