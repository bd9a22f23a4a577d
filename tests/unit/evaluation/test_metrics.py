import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, recall_score
from sklearn.metrics import confusion_matrix as sklearn_confusion

from emocore.evaluation import metrics
from emocore.evaluation.bias import UNKNOWN, by_group, largest_gap, wilson_interval
from emocore.labels import EMOTIONS

labels = st.integers(0, 7)


def answers(n=300, n_actors=8, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 8, n)
    predicted = np.where(rng.random(n) < 0.6, truth, rng.integers(0, 8, n))
    return truth, predicted, [f"{a:02d}" for a in rng.integers(1, n_actors + 1, n)]


def onehot(predicted):
    return np.eye(8)[np.asarray(predicted)]


def test_agrees_with_sklearn():
    truth, predicted, actors = answers()
    found = metrics.summarize(truth, onehot(predicted), protocol="loso", model="svc", actors=actors)
    assert found["accuracy"] == pytest.approx(accuracy_score(truth, predicted))
    assert found["uar"] == pytest.approx(balanced_accuracy_score(truth, predicted))
    assert found["confusion"] == sklearn_confusion(truth, predicted, labels=range(8)).tolist()
    assert list(found["recall"].values()) == pytest.approx(list(recall_score(truth, predicted, average=None)))
    assert list(found["recall"]) == found["classes"] == list(EMOTIONS)


def test_uar_leaves_out_absent_emotions():
    found = metrics.summarize(np.array([0, 0, 3]), onehot([0, 5, 3]), protocol="p", model="m")
    assert found["uar"] == 0.75
    assert found["recall"] == dict.fromkeys(EMOTIONS) | {"neutral": 0.5, "sad": 1.0}
    assert found["ci95_recall"]["happy"] is None


@given(st.lists(st.tuples(labels, labels), min_size=1, max_size=40), st.randoms(use_true_random=False))
@settings(max_examples=40)
def test_laws(pairs, random):
    def run(rows):
        truth, predicted, actors = (np.array(c) for c in zip(*rows, strict=True))
        table = metrics.confusion_matrix(truth, predicted)
        return table, metrics.intervals(truth, predicted, [str(a) for a in actors], draws=100)

    rows = [(t, p, i % 3) for i, (t, p) in enumerate(pairs)]
    table, spread = run(rows)
    recalls = [v for v in metrics.recall(table).values() if v is not None]
    assert table.sum() == len(pairs)
    assert min(recalls) - 1e-12 <= metrics.uar(table) <= max(recalls) + 1e-12
    low, high = spread["uar"]
    assert 0 <= low <= high <= 1
    random.shuffle(rows)
    assert run(rows)[1] == spread


def slow_uar_interval(truth, predicted, units, draws, seed):
    """The bootstrap as its definition says it, one draw at a time."""
    rng = np.random.default_rng(seed)
    names = np.unique(units)
    clips = {name: np.flatnonzero(units == name) for name in names}
    values = []
    for _ in range(draws):
        at = np.concatenate([clips[name] for name in rng.choice(names, len(names))])
        right, total = (
            np.bincount(truth[at], predicted[at] == truth[at], 8),
            np.bincount(truth[at], minlength=8),
        )
        values.append((right[total > 0] / total[total > 0]).mean())
    return np.percentile(values, [2.5, 97.5])


def test_bootstrap_agrees_with_a_plain_loop():
    truth, predicted, actors = answers(n=240, n_actors=6)
    truth[np.array(actors) != "01"] %= 7  # only one actor holds the last emotion: absent from a third of the draws
    fast = metrics.intervals(truth, predicted, actors, draws=8000)
    assert fast["resampled"] == "actors"
    assert fast["uar"] == pytest.approx(slow_uar_interval(truth, predicted, np.array(actors), 8000, 1), abs=0.006)
    fast = metrics.intervals(truth, predicted, None, draws=8000)
    assert fast["resampled"] == "clips"
    assert fast["uar"] == pytest.approx(slow_uar_interval(truth, predicted, np.arange(240), 8000, 1), abs=0.006)


def test_interval_by_actors_is_wider_where_actors_differ():
    truth = np.tile(np.arange(8), 40)
    actors = np.repeat(np.arange(8), 40)
    predicted = np.where(actors < 4, truth, (truth + 1) % 8)
    by_actor = metrics.intervals(truth, predicted, [str(a) for a in actors])["accuracy"]
    by_clip = metrics.intervals(truth, predicted)["accuracy"]
    assert by_actor[1] - by_actor[0] > 4 * (by_clip[1] - by_clip[0])


@pytest.mark.parametrize("actors", [None, [None, "a", "b", "a"], ["a"] * 4])
def test_clips_are_resampled_and_named_where_actors_cannot_be(actors):
    found = metrics.summarize(np.arange(4), onehot([0, 1, 2, 2]), protocol="p", model="m", actors=actors)
    assert found["ci95_resampled"] == "clips"


def test_unlabelled_clips_count_only_as_such():
    truth, predicted, actors = answers(50)
    args = {"protocol": "given", "model": "svc"}
    plain = metrics.summarize(truth, onehot(predicted), actors=actors, folds=["a"] * 50, **args)
    mixed = metrics.summarize(
        np.append(truth, -1), onehot([*predicted, 3]), actors=[*actors, "99"], folds=["a"] * 51, **args
    )
    assert mixed == plain | {"n_unlabelled": 1}


def test_nothing_labelled_is_null_and_json():
    found = metrics.summarize(np.array([-1, -1]), onehot([0, 1]), protocol="as-is", model="m", folds=["x", "x"])
    assert (found["n"], found["n_unlabelled"], found["folds"]) == (0, 2, [])
    keys = ["accuracy", "uar", "ci95_uar", "ci95_accuracy", "ece", "log_loss", "brier", "seconds"]
    assert [found[key] for key in keys] == [None] * 8
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_folds_are_scored_apart_in_natural_order():
    truth, predicted, _ = answers(90)
    folds = [f"fold {1 + i % 10}" for i in range(90)]
    actors = [f"{i % 20}" for i in range(90)]
    rows = metrics.summarize(truth, onehot(predicted), protocol="p", model="m", actors=actors, folds=folds)["folds"]
    assert [row["name"] for row in rows] == [f"fold {i}" for i in range(1, 11)]
    assert rows[1]["test_actors"] == ["1", "11"]
    at = np.arange(90) % 10 == 1
    assert rows[1]["accuracy"] == pytest.approx(accuracy_score(truth[at], predicted[at]))
    assert sum(row["n"] for row in rows) == 90


@pytest.mark.parametrize(
    ("emotion", "probabilities", "words"),
    [
        ([0, 1], np.ones((3, 8)), r"got \(2,\) and \(3, 8\)"),
        ([0, 8], np.ones((2, 8)), "got 0 to 8"),
        ([0, 1], np.full((2, 8), np.nan), "must be finite"),
    ],
)
def test_wrong_input_is_refused(emotion, probabilities, words):
    with pytest.raises(ValueError, match=words):
        metrics.summarize(np.array(emotion), probabilities, protocol="p", model="m")


def test_seed_repeats_and_matters():
    truth, predicted, actors = answers()
    first, again, other = (metrics.intervals(truth, predicted, actors, seed=s) for s in (1, 1, 2))
    assert first == again != other


@pytest.mark.parametrize(("right", "n"), [(0, 5), (8, 10), (60, 60), (311, 1440)])
def test_wilson_agrees_with_scipy(right, n):
    reference = binomtest(right, n).proportion_ci(0.95, "wilson")
    assert wilson_interval(right, n) == pytest.approx([reference.low, reference.high])


def test_groups_agree_with_sklearn_on_their_clips():
    truth, predicted, actors = answers()
    group = [None if i % 10 == 0 else ["male", "female"][i % 2] for i in range(300)]
    rows = by_group(truth, predicted, group, actors)
    assert [row["group"] for row in rows] == ["female", "male", UNKNOWN]
    assert [row["n"] for row in rows] == [150, 120, 30]
    at = np.array([g == "male" for g in group])
    assert rows[1]["uar"] == pytest.approx(balanced_accuracy_score(truth[at], predicted[at]))
    assert {row["ci95_method"] for row in rows} == {"actors"}
    assert by_group(truth, predicted, [None] * 300, actors) == []


def test_an_actors_own_interval_is_wilsons():
    truth, predicted, actors = answers()
    row = by_group(truth, predicted, actors, actors)[2]
    at = np.array(actors) == "03"
    assert row["ci95_accuracy"] == wilson_interval(int((truth[at] == predicted[at]).sum()), int(at.sum()))
    assert (row["group"], row["ci95_uar"], row["ci95_method"]) == ("03", None, "wilson")


def test_largest_gap_compares_the_emotions_that_all_groups_hold():
    # Group a: neutral 1/1, happy 0/1. Group b: happy 1/1. Unknown does not count.
    rows = by_group(np.array([0, 2, 2, 2]), np.array([0, 3, 2, 3]), ["a", "a", "b", None])
    assert largest_gap(rows) == {"uar": 1.0, "worst": "a", "best": "b", "emotions": ["happy"]}
    assert largest_gap(rows[:1]) is None
    assert largest_gap(by_group(np.array([0, 2]), np.array([0, 2]), ["a", "b"])) is None
