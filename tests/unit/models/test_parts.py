"""A fit in parts is the fit: what is asked for on the way changes nothing of what comes out at the end."""

import numpy as np
import pytest
import xgboost

from emocore.errors import UserError
from emocore.models.base import class_weights, exhaust, weighted_rows
from emocore.models.catalogue import classifier_class
from emocore.models.fitting import Recipe, fit_inner

RNG = np.random.default_rng(5)
FOUR, TWO = RNG.integers(0, 4, 90), RNG.integers(0, 2, 90)
SMALL = {"random-forest": {"n_estimators": 5}, "xgboost": {"n_estimators": 6}, "mlp": {"max_iter": 5}}
SETTINGS = [
    {},
    {"n_estimators": 7},
    {"n_estimators": 45, "subsample": 0.6, "colsample_bytree": 0.5, "colsample_bynode": 0.5},
    {"n_estimators": 5, "tree_method": "exact", "max_depth": 3},
    {"n_estimators": 5, "tree_method": "approx", "max_bin": 16},
    {"n_estimators": 5, "max_bin": 8, "grow_policy": "lossguide", "max_leaves": 5},
    {"n_estimators": 5, "num_parallel_tree": 3, "subsample": 0.5},
    {"n_estimators": 6, "booster": "gblinear"},
    {"n_estimators": 6, "booster": "dart"},
]
each_setting = pytest.mark.parametrize("settings", SETTINGS, ids=lambda s: "-".join(map(str, s.values())) or "defaults")
each_label = pytest.mark.parametrize("y", [FOUR, TWO], ids=["four", "two"])


def clips(y):
    """Inputs float32[n, 12] in which an emotion lifts a column of its own, and soft labels."""
    x = np.random.default_rng(6).standard_normal((len(y), 12)).astype("f4")
    return x + np.eye(12, dtype="f4")[y], np.eye(8, dtype="f4")[2 * y]


def make(settings, name="xgboost"):
    return classifier_class(name)(name, 3, 1, settings)


def in_parts(model, x, soft, weights, asked=None):
    """Fit in parts; return the shares, the settings chosen, and the logits of `asked` after each part."""
    parts, shares, logits = model.fit_parts(x, soft, weights), [], []
    while True:
        try:
            shares.append(next(parts))
        except StopIteration as end:
            return shares, end.value, logits
        if asked is not None:
            logits.append(model.logits(asked))


@each_setting
@each_label
def test_trees_grown_in_parts_are_those_of_one_fit_and_of_xgboost_itself(settings, y):
    x, soft = clips(y)
    test, _ = clips(y[::-1])
    weights = class_weights(soft, balanced=True)
    whole, parted, watched = make(settings), make(settings), make(settings)
    assert whole.fit(x, soft, weights) == {}
    shares, chosen, _ = in_parts(parted, x, soft, weights)
    _, _, seen = in_parts(watched, x, soft, weights, asked=test)
    assert shares == sorted(set(shares)) and shares[-1] == 1.0 and shares[0] > 0 and len(shares) <= 21
    assert chosen == {} and len(shares) == len(seen) >= min(5, settings.get("n_estimators", 100))
    found = whole.logits(test)
    for logits in (parted.logits(test), watched.logits(test), seen[-1]):
        np.testing.assert_array_equal(logits, found)
    assert not np.array_equal(seen[0], found)

    rows, target, weight = weighted_rows(soft, weights)
    encoded = target // 2  # the classes 0, 2, … as XGBoost counts them
    own = xgboost.XGBClassifier(**settings, random_state=3, n_jobs=1)
    margins = own.fit(x[rows], encoded, sample_weight=weight).predict(test, output_margin=True)
    if margins.ndim == 1:
        margins = np.column_stack([np.zeros_like(margins), margins])
    np.testing.assert_array_equal(found[:, : 2 * margins.shape[1] : 2].astype("f4"), margins)


@pytest.mark.parametrize("rounds", [1, 2, 19, 20, 21, 39, 40, 41, 199])
def test_about_twenty_parts_whatever_the_rounds(rounds):
    x, soft = clips(TWO)
    shares, *_ = in_parts(make({"n_estimators": rounds, "max_depth": 1}), x, soft, class_weights(soft, False))
    steps = np.diff([0, *shares])
    assert min(rounds, 10) <= len(shares) <= 21 and shares[-1] == 1.0
    assert steps.min() > 0 and steps.max() <= max(0.1, 1 / rounds) + 1e-9


def test_part_of_the_rounds_is_what_a_fit_of_so_many_rounds_gives():
    x, soft = clips(FOUR)
    weights = class_weights(soft, balanced=True)
    shares, _, seen = in_parts(make({"n_estimators": 40}), x, soft, weights, asked=x)
    half = make({"n_estimators": 20})
    half.fit(x, soft, weights)
    np.testing.assert_array_equal(seen[shares.index(0.5)], half.logits(x))


def test_no_rounds_are_one_sentence():
    x, soft = clips(TWO)
    with pytest.raises(UserError, match="n_estimators must be at least 1: got 0"):
        make({"n_estimators": 0}).fit(x, soft, class_weights(soft, False))


@pytest.mark.parametrize("name", ["svc", "svc-linear", "random-forest", "mlp"])
def test_models_that_learn_in_one_piece_yield_once(name):
    x, soft = clips(FOUR)
    weights = class_weights(soft, balanced=True)
    whole, parted = make(SMALL.get(name), name), make(SMALL.get(name), name)
    whole.fit(x, soft, weights)
    assert in_parts(parted, x, soft, weights)[:2] == ([1.0], {})
    np.testing.assert_array_equal(parted.logits(x), whole.logits(x))


@pytest.mark.parametrize("name", ["svc", "xgboost"])
def test_an_inner_fit_in_parts_scores_the_held_rows_as_the_whole_one_does(name):
    x, soft = clips(FOUR)
    train, held = np.arange(60), np.arange(60, 90)
    recipe = Recipe(name, seed=3, settings=SMALL.get(name, {}))
    reports = [(share, score()) for share, score in fit_inner(recipe, x, soft, train, held, held)]
    whole = exhaust(fit_inner(recipe, x, soft, train, held, held))
    assert [share for share, _ in reports] == ([1.0] if name == "svc" else pytest.approx(np.arange(1, 7) / 6))
    np.testing.assert_array_equal(reports[-1][1], whole.logits)
