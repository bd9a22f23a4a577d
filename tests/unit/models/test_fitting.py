"""What is chosen is chosen on the held rows of inner folds, and on nothing else."""

import numpy as np
import pytest
from scipy.special import log_softmax

from emocore.models import fitting
from emocore.models.base import class_weights, exhaust
from emocore.models.fitting import InnerFit, Recipe, fit_final, fit_inner

RNG = np.random.default_rng(0)
X = RNG.standard_normal((60, 160)).astype("f4")
Y = RNG.integers(0, 4, 60)
X[:, :4] += 2 * np.eye(4)[Y]
SOFT = np.eye(8, dtype="f4")[Y]
TRAIN, HELD, TEST = np.arange(0, 30), np.arange(30, 45), np.arange(45, 60)


class Recorder:
    """Takes the place of a model: keeps what it was given, and answers with the inputs' first columns."""

    fits: list

    def __init__(self, name, seed=0, threads=1, settings=None):
        self.made = {"name": name, "seed": seed, "threads": threads, "settings": settings}

    def fit(self, x, soft, weights, validation=None):
        return exhaust(self.fit_parts(x, soft, weights, validation))

    def fit_parts(self, x, soft, weights, validation=None):
        Recorder.fits.append({**self.made, "x": x, "soft": soft, "weights": weights, "validation": validation})
        yield 1.0
        return {"epochs": 10 * len(Recorder.fits)} if validation is not None else {}

    def logits(self, x):
        return x[:, :8].astype(np.float64)


@pytest.fixture
def recorder(monkeypatch):
    Recorder.fits = []
    monkeypatch.setattr(fitting, "classifier_class", lambda _: Recorder)
    return Recorder


def test_an_inner_fit_learns_from_train_and_stops_and_scores_on_held(recorder):
    inner = exhaust(fit_inner(Recipe("m", seed=3, settings={"width": 2}), X, SOFT, TRAIN, HELD, HELD, threads=2))
    (seen,) = recorder.fits
    assert {k: seen[k] for k in ("name", "seed", "threads", "settings")} == {
        "name": "m",
        "seed": 3,
        "threads": 2,
        "settings": {"width": 2},
    }
    np.testing.assert_array_equal(seen["x"], X[TRAIN])
    np.testing.assert_array_equal(seen["soft"], SOFT[TRAIN])
    np.testing.assert_array_equal(seen["weights"], class_weights(SOFT[TRAIN], True))
    np.testing.assert_array_equal(seen["validation"][0], X[HELD])
    np.testing.assert_array_equal(seen["validation"][1], SOFT[HELD])
    np.testing.assert_array_equal(inner.logits, X[HELD, :8])
    np.testing.assert_array_equal(inner.held, HELD)
    assert inner.chosen == {"epochs": 10}


@pytest.mark.parametrize(("epochs", "median"), [([3], 3), ([9, 2, 5], 5), ([1, 80, 2], 2), ([4, 6], 5)])
def test_the_final_fit_takes_the_median_of_what_was_chosen_and_no_validation(recorder, epochs, median):
    inner = [InnerFit(HELD, X[HELD, :8].astype(float), {"epochs": n}) for n in epochs]
    fitted = fit_final(Recipe("m", settings={"epochs": 80, "width": 2}), X, SOFT, TRAIN, inner)
    (seen,) = recorder.fits
    assert fitted.chosen == {"epochs": median}
    assert seen["settings"] == {"epochs": median, "width": 2}
    assert seen["validation"] is None
    np.testing.assert_array_equal(seen["x"], X[TRAIN])


def test_without_balance_the_classes_present_weigh_one(recorder):
    fit_final(Recipe("m", balanced=False), X, SOFT, TRAIN, [])
    np.testing.assert_array_equal(recorder.fits[0]["weights"], [1, 1, 1, 1, 0, 0, 0, 0])


def test_without_inner_folds_nothing_is_chosen(recorder):
    fitted = fit_final(Recipe("m"), X, SOFT, TRAIN, [])
    assert (fitted.temperature, fitted.chosen) == (1.0, {})


def best_temperature(logits, soft):
    """By trying them all."""
    grid = np.geomspace(0.01, 100, 8_000)
    losses = [-(soft * log_softmax(logits / t, axis=1)).sum() for t in grid]
    return grid[int(np.argmin(losses))]


def test_the_temperature_is_that_of_all_held_rows_together(recorder):
    first, second = np.arange(0, 20), np.arange(20, 45)
    inner = [InnerFit(rows, 3 * X[rows, :8].astype(float), {}) for rows in (first, second)]
    both = np.concatenate([first, second])
    found = fit_final(Recipe("m"), X, SOFT, TRAIN, inner).temperature
    assert found == pytest.approx(best_temperature(3 * X[both, :8].astype(float), SOFT[both]), rel=1e-3)
    assert found != pytest.approx(best_temperature(3 * X[second, :8].astype(float), SOFT[second]), rel=1e-2)


def chosen_and_scores(soft, x=X):
    recipe = Recipe("svc")
    parts = ((TRAIN[10:], TRAIN[:10]), (TRAIN[:20], TRAIN[20:]))
    inner = [exhaust(fit_inner(recipe, x, soft, train, held, held)) for train, held in parts]
    fitted = fit_final(recipe, x, soft, TRAIN, inner)
    return fitted.temperature, fitted.classifier.logits(X[HELD])


def test_rows_that_were_not_given_decide_nothing():
    """Wrong labels, and wrong inputs, of all test rows: the model and its temperature stay what they were."""
    x, soft = X.copy(), SOFT.copy()
    soft[TEST] = np.eye(8, dtype="f4")[7]
    soft[HELD] = 0
    x[TEST] = 1e6
    temperature, scores = chosen_and_scores(SOFT)
    for other in (chosen_and_scores(soft, x), chosen_and_scores(soft)):
        assert other[0] == temperature
        np.testing.assert_array_equal(other[1], scores)


def test_the_labels_of_inner_held_rows_decide_the_temperature_but_not_that_inner_fit():
    soft = SOFT.copy()
    soft[HELD] = np.roll(SOFT[HELD], 1, axis=1)
    recipe = Recipe("svc")
    right, wrong = (exhaust(fit_inner(recipe, X, labels, TRAIN, HELD, HELD)) for labels in (SOFT, soft))
    np.testing.assert_array_equal(right.logits, wrong.logits)
    cool, warm = (fit_final(recipe, X, s, TRAIN, [i]).temperature for s, i in ((SOFT, right), (soft, wrong)))
    assert warm > cool
