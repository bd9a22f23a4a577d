"""What a setting is worth: the mean UAR on held actors, whole or after each part of the training."""

import json
import time
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from xgboost import XGBClassifier

from emocore.corpus.protocols import Fold
from emocore.errors import UserError
from emocore.models.fitting import Recipe
from emocore.models.network_settings import default_settings
from emocore.pipeline import frame_candidates
from emocore.pipeline.candidates import ArrayCandidates
from emocore.pipeline.folds import FoldResult, Split
from emocore.pipeline.frame_candidates import FrameCandidates
from emocore.pipeline.frame_folds import FramePlan

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


# Frames: the training itself is a stand-in that writes what Ray Train's reporter writes.

FOLDS = [Fold(f"all search {i}", *(np.array(rows) for rows in ([0, 1], [2, 3], [4, 5]))) for i in (1, 2)]
TRUTH = np.array([0, 1, 0, 1, 0, 1])
# Fold → what it answers for rows 4 and 5: both right, one right.
ANSWERS = {"all search 1": [0, 1], "all search 2": [0, 0]}


class Training:
    """Takes the place of `run_frame_folds`: three epochs, of which one loses a worker."""

    def __init__(self, error=None):
        self.calls, self.error = [], error

    def __call__(self, _, folds, plan, group_column, out, keep):
        (fold,) = folds
        self.calls.append((fold.name, plan.settings, group_column, out, keep))
        path = out / ".training" / fold.name.replace(" ", "%20") / "progress.jsonl"
        path.parent.mkdir(parents=True)
        entries = [{"lost": [0], "cause": ""}]
        entries += [{"epoch": i, "epochs": 3, "loss": 1.0, "val_accuracy": i / 10} for i in (1, 2, 3)]
        for entry in entries:
            with path.open("a") as file:
                file.write(json.dumps(entry) + "\n")
            time.sleep(0.05)
        if self.error:
            raise self.error
        return [FoldResult(fold.name, fold.test, np.eye(8)[ANSWERS[fold.name]], 1.0, {}, {}, True)]


@pytest.fixture
def frames(monkeypatch, tmp_path):
    """Return reports of a setting, and the calls that the training got."""
    monkeypatch.setattr(frame_candidates, "_POLL_SECONDS", 0.01)

    def reports(setting, in_parts, error=None):
        training = Training(error)
        monkeypatch.setattr(frame_candidates, "run_frame_folds", training)
        plan = FramePlan(Recipe("cnn"), default_settings("cnn"), "mean-log")
        work = FrameCandidates(SimpleNamespace(truth=TRUTH), FOLDS, plan, "school", tmp_path / "work")
        return work.reports(setting, in_parts), training.calls

    return reports


def test_a_network_is_scored_on_the_test_clips_of_each_fold(frames):
    reports, calls = frames({"learning_rate": 0.5, "filters": [4, 8]}, in_parts=False)
    assert list(reports) == [(1.0, [1.0, 0.5])]
    assert [name for name, *_ in calls] == ["all search 1", "all search 2"]
    for _, settings, group_column, _, keep in calls:
        assert (settings.learning_rate, settings.filters, settings.epochs) == (0.5, (4, 8), 50)
        assert (group_column, keep) == ("school", True)


def test_in_parts_it_tells_the_validation_accuracy_of_epochs_then_the_scores_of_folds(frames):
    reports, _ = frames({"learning_rate": 0.5}, in_parts=True)
    found = list(reports)
    assert [share for share, _ in found] == pytest.approx(np.array([1, 2, 2.97, 3, 4, 5, 5.97, 6]) / 6)
    assert [scores for _, scores in found] == [[0.1], [0.2], [0.3], [1.0], [1.0], [1.0], [1.0], [1.0, 0.5]]
    assert all(share < 1 for share, _ in found[:-1]) and found[-1].share == 1  # whole only at the very end


def test_each_setting_works_in_a_folder_of_its_own_whatever_the_order_of_its_values(frames):
    outs = []
    for setting in ({"dropout": 0.1, "dense": 8}, {"dense": 8, "dropout": 0.2}, {"dropout": 0.2, "dense": 16}):
        reports, calls = frames(setting, in_parts=False)
        list(reports)
        outs.append({out for *_, out, _ in calls})
    assert [len(found) for found in outs] == [1, 1, 1] and len(set.union(*outs)) == 3


@pytest.mark.parametrize("in_parts", [False, True])
@pytest.mark.parametrize("error", [UserError("The loss became NaN."), MemoryError("8 GB")])
def test_what_goes_wrong_in_a_training_is_raised(frames, in_parts, error):
    reports, calls = frames({"learning_rate": 9.0}, in_parts, error)
    with pytest.raises(type(error), match=str(error)):
        list(reports)
    assert len(calls) == 1


def test_a_setting_that_no_network_can_have_is_not_trained(frames):
    reports, calls = frames({"batch_size": 0}, in_parts=False)
    with pytest.raises(UserError, match="--batch-size 0 is too small"):
        list(reports)
    assert calls == []
