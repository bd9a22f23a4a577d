"""What a training on everything is said to reach: each inner fold as the other folds calibrate it, weights too."""

import numpy as np

from emocore.models.fitting import InnerFit, calibrate
from emocore.models.fusion import fuse
from emocore.pipeline.training.fit_arrays import _score_inner
from emocore.probabilities import softmax


def fits(n=3, rows=60, seed=0):
    """Inner folds of a late fusion of two members, the first of which knows the labels better."""
    random = np.random.default_rng(seed)
    y = random.integers(0, 4, n * rows)
    found = []
    for held in np.split(np.arange(n * rows), n):
        members = random.standard_normal((rows, 2, 4)) + np.array([2.0, 0.5])[:, None] * np.eye(4)[y[held]][:, None]
        found.append(InnerFit(held, members.sum(axis=1), {}, members))
    return found, np.eye(4, dtype=np.float32)[y]


def test_each_fold_is_scored_by_the_weights_of_the_others():
    inner, soft = fits()
    rows, probabilities = _score_inner(soft, inner)
    np.testing.assert_array_equal(rows, np.arange(len(soft)))
    others = calibrate(inner[1:], soft)
    expected = softmax(fuse(inner[0].members, others.weights), others.temperature)
    np.testing.assert_array_equal(probabilities[:60], expected)


def test_the_labels_of_a_fold_do_not_weigh_its_own_scores():
    inner, soft = fits()
    turned = soft.copy()
    turned[:60] = np.roll(soft[:60], 1, axis=1)
    before, after = _score_inner(soft, inner)[1], _score_inner(turned, inner)[1]
    np.testing.assert_array_equal(before[:60], after[:60])
    assert (before[60:] != after[60:]).any()


def test_one_fold_alone_keeps_its_scores():
    inner, soft = fits(1)
    np.testing.assert_array_equal(_score_inner(soft, inner)[1], softmax(inner[0].logits))
