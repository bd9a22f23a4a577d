"""What a setting of a network is worth, epoch by epoch: a stand-in trains, and writes what Ray Train's worker does."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import ray

from emocore.datasets.protocols import Fold
from emocore.errors import UserError
from emocore.models.catalogue import network_spec
from emocore.models.fitting import Recipe
from emocore.pipeline.training.fit_frames import FramePlan
from emocore.pipeline.tuning import frame_objective as frame_candidates
from emocore.pipeline.tuning.frame_objective import STOP, FrameCandidates

pytestmark = pytest.mark.usefixtures("cluster")
FOLDS = [Fold(f"all search {i}", *(np.array(rows) for rows in ([0, 1], [2, 3], [4, 5]))) for i in (1, 2)]
SCORES = {"all search 1": 1.0, "all search 2": 0.5}
EPOCHS = 3


def stand_in(calls, error=None, until_told=False):
    """A training of three epochs, of which one loses a worker; `until_told`: it goes on until it is stopped."""

    def fit(examples, fold, plan, group_column, out):  # defined here, so that Ray sends it by value
        import json  # noqa: PLC0415 - in the worker
        import time  # noqa: PLC0415

        settings = plan.settings
        said = [fold.name, settings.learning_rate, settings.filters, settings.epochs, group_column, str(out)]
        with calls.open("a") as file:
            file.write(json.dumps(said) + "\n")
        work = out / ".training" / fold.name.replace(" ", "%20")
        work.mkdir(parents=True)
        entries = [{"lost": [0], "cause": ""}]
        entries += [{"epoch": i, "epochs": EPOCHS, "loss": 1.0, "val_accuracy": (4 - i) / 10} for i in (1, 2, 3)]
        for entry in entries:
            with (work / "progress.jsonl").open("a") as file:
                file.write(json.dumps(entry) + "\n")
            time.sleep(0.05)
        while until_told and not (work / STOP).exists():
            time.sleep(0.05)
        if error:
            raise error
        with calls.open("a") as file:
            file.write(json.dumps(["ended"]) + "\n")
        return SCORES[fold.name]

    return ray.remote(num_cpus=0, max_retries=0)(fit)


@pytest.fixture
def reports(monkeypatch, tmp_path):
    """Return reports of a setting."""
    monkeypatch.setattr(frame_candidates, "_POLL_SECONDS", 0.01)

    def run(setting, in_parts, **options):
        monkeypatch.setattr(frame_candidates, "_fit", stand_in(tmp_path / "calls", **options))
        plan = FramePlan(Recipe("cnn"), network_spec("cnn").settings, "mean-log")
        work = FrameCandidates(SimpleNamespace(), FOLDS, plan, "school", tmp_path / "work")
        return work.reports(setting, in_parts)

    return run


@pytest.fixture
def calls(tmp_path):
    """What the trainings were given, and that they ended."""
    return lambda: [json.loads(line) for line in (tmp_path / "calls").read_text().splitlines()]


def test_a_network_is_scored_on_each_fold(reports, calls, tmp_path):
    assert list(reports({"learning_rate": 0.5, "filters": [4, 8]}, in_parts=False)) == [(1.0, [1.0, 0.5], None)]
    begun = [call for call in calls() if call != ["ended"]]
    assert [call[:5] for call in begun] == [[fold.name, 0.5, [4, 8], 50, "school"] for fold in FOLDS]
    assert list((tmp_path / "work").iterdir()) == []  # of networks that are scored nothing is left


def test_in_parts_the_first_fold_is_guided_by_validation_accuracy_and_the_scores_follow(reports):
    found = list(reports({"learning_rate": 0.5}, in_parts=True))
    assert [report.share for report in found] == pytest.approx(np.array([1, 2, 2.97, 2.97, 3, 4, 5, 5.97, 6]) / 6)
    assert [report.scores for report in found] == [*4 * [[]], *4 * [[1.0]], [1.0, 0.5]]
    assert [report.guide for report in found] == [0.3, 0.2, 0.1, 0.3, *5 * [None]]  # its best epoch, at last
    assert all(report.share < 1 for report in found[:-1]) and found[-1].share == 1


def test_each_setting_works_in_a_folder_of_its_own_whatever_the_order_of_its_values(reports, calls):
    for setting in ({"dropout": 0.1, "dense": 8}, {"dense": 8, "dropout": 0.1}, {"dropout": 0.1, "dense": 16}):
        list(reports(setting, in_parts=False))
    outs = [call[-1] for call in calls() if call != ["ended"]]
    assert len(outs) == 6 and len(set(outs)) == 2 and outs[0] == outs[3] != outs[4]


@pytest.mark.parametrize("in_parts", [False, True])
def test_what_goes_wrong_in_a_training_is_raised(in_parts, reports, calls):
    with pytest.raises(UserError, match=r"^The loss became NaN\.$"):
        list(reports({"learning_rate": 9.0}, in_parts, error=UserError("The loss became NaN.")))
    with pytest.raises(MemoryError, match="8 GB"):
        list(reports({"learning_rate": 8.0}, in_parts, error=MemoryError("8 GB")))
    assert len(calls()) == 2


def test_a_training_whose_trial_is_stopped_is_told_and_waited_for(reports, calls):
    going = reports({"learning_rate": 0.5}, in_parts=True, until_told=True)
    assert next(going).share == pytest.approx(1 / 6)
    assert len(calls()) == 1
    going.close()
    assert len(calls()) == 2 and calls()[1] == ["ended"]


def test_a_setting_that_no_network_can_have_is_not_trained(reports, tmp_path):
    with pytest.raises(UserError, match="--batch-size 0 is too small"):
        list(reports({"batch_size": 0}, in_parts=False))
    assert not (tmp_path / "calls").exists()
