"""Ridge LDA: as scikit-learn where both give a number; the same by either side; soft labels, weights, gaps, files."""

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from emocore.errors import UserError
from emocore.features.family import ABSENT, FeatureFamily, SoundInput
from emocore.models.base import class_weights
from emocore.models.catalogue import classifier_class
from emocore.models.lda import RidgeLda, scale_of, solve_ridge


def clips(n=(40, 40, 40), columns=12, seed=0):
    random = np.random.default_rng(seed)
    y = np.repeat(np.arange(len(n)), n)
    centres = random.standard_normal((len(n), columns))
    return (centres[y] + 1.5 * random.standard_normal((len(y), columns))).astype(np.float32), y


def onehot(y, k=8):
    return np.eye(k, dtype=np.float32)[y]


def fitted(x, soft, weights=None, **settings):
    model = RidgeLda("lda", settings={"clip": 100.0, **settings})
    model.fit(x, soft, class_weights(soft, balanced=True) if weights is None else weights)
    return model


@pytest.mark.parametrize(("n", "columns"), [((40, 40, 40), 12), ((30, 60, 15), 12), ((10, 12, 14), 200)])
def test_scores_are_those_of_scikit_learn(n, columns):
    x, y = clips(n, columns)
    share = 0.2  # of the shrunk covariance
    weights = np.repeat(1 / (len(n) * np.array(n)), n)
    ridge = share / (1 - share) / columns / (weights**2).sum()
    ours = fitted(x, onehot(y), ridge=ridge)
    z = (x.astype(float) - x.mean(axis=0, dtype=float)) / x.std(axis=0, dtype=float)
    theirs = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=share, priors=np.full(len(n), 1 / len(n))).fit(z, y)
    scores = ours.logits(x)
    np.testing.assert_allclose(ours.weights / (1 - share), theirs.coef_, rtol=1e-4, atol=1e-6)
    expected = theirs.decision_function(z) + np.log(len(n))  # without the logarithms of the priors
    np.testing.assert_allclose((scores[:, : len(n)] + np.log(len(n))) / (1 - share), expected, rtol=1e-3, atol=1e-3)
    assert np.isneginf(scores[:, len(n) :]).all()


@pytest.mark.parametrize("shape", [(30, 7), (7, 30), (10, 10)])
def test_the_smaller_side_gives_the_same(shape):
    random = np.random.default_rng(0)
    rows, means = random.standard_normal(shape), random.standard_normal((3, shape[1]))
    expected = means @ np.linalg.inv(rows.T @ rows + 0.7 * np.eye(shape[1]))
    np.testing.assert_allclose(solve_ridge(rows, means, 0.7), expected, rtol=1e-9, atol=1e-9)


def test_a_soft_label_is_a_clip_in_each_of_its_classes():
    x, y = clips((20, 20, 20))
    soft = onehot(y)
    soft[0] = [0.25, 0.75, 0, 0, 0, 0, 0, 0]
    halves = np.concatenate([np.repeat(x[:1], 4, axis=0), np.repeat(x[1:], 4, axis=0)])
    hard = onehot(np.concatenate([[0, 1, 1, 1], np.repeat(y[1:], 4)]))
    ones = np.ones(8, np.float32)
    # Four times as many clips as they weigh: the ridge knows only weights.
    one, four = fitted(x, soft, ones, ridge=0.3), fitted(halves, hard, ones, ridge=1.2)
    np.testing.assert_allclose(one.bias, four.bias, rtol=2e-2)
    assert np.corrcoef(one.weights.ravel(), four.weights.ravel())[0, 1] > 0.999


def test_weights_of_classes_are_their_priors():
    x, y = clips((60, 20, 20))
    balanced, plain = fitted(x, onehot(y)), fitted(x, onehot(y), np.ones(8, np.float32))
    assert (plain.logits(x).argmax(axis=1) == 0).sum() > (balanced.logits(x).argmax(axis=1) == 0).sum()


def test_the_ridge_shrinks_and_does_not_know_the_number_of_columns():
    x, y = clips()
    weak, strong = fitted(x, onehot(y), ridge=0.1), fitted(x, onehot(y), ridge=100.0)
    assert np.linalg.norm(strong.weights) < np.linalg.norm(weak.weights)
    both = np.concatenate([x, x], axis=1)
    twice = fitted(both, onehot(y), ridge=0.1).logits(both)
    np.testing.assert_allclose(twice[:, :3], weak.logits(x)[:, :3], rtol=1e-6, atol=1e-6)


def test_what_is_absent_counts_as_the_mean_and_what_stands_still_not_at_all():
    x, y = clips()
    x[::3, 2] = ABSENT
    x[:, 5], x[:, 6] = 3.0, ABSENT
    there = x[x[:, 2] != ABSENT, 2].astype(float)
    scale = scale_of(x)
    np.testing.assert_allclose(scale[:, 2], [there.mean(), there.std()], rtol=1e-6)
    np.testing.assert_array_equal(scale[:, [5, 6]], [[3.0, 0.0], [1.0, 1.0]])
    model = fitted(x, onehot(y))
    meant, other = x.copy(), x.copy()
    meant[::3, 2] = scale[0, 2]
    other[:, [5, 6]] = 1e6
    np.testing.assert_allclose(model.logits(meant)[:, :3], model.logits(x)[:, :3], atol=1e-5)
    np.testing.assert_allclose(model.logits(other)[:, :3], model.logits(x)[:, :3], atol=1e-9)


def test_an_outlier_counts_as_far_as_the_clip():
    x, y = clips()
    model = fitted(x, onehot(y), clip=3.0)
    far, farther = x[:1].copy(), x[:1].copy()
    far[0, 0], farther[0, 0] = 1e3, 1e6
    np.testing.assert_array_equal(model.logits(far), model.logits(farther))


def test_a_clip_is_answered_for_the_same_alone():
    x, y = clips((10, 12, 14), 200)
    model = fitted(x, onehot(y))
    np.testing.assert_array_equal(model.logits(x)[3:4], model.logits(x[3:4]))


@pytest.mark.parametrize("settings", [{"ridge": 0.0}, {"ridge": "large"}, {"clip": -1.0}, {"ridge": True}])
def test_a_setting_without_sense_is_refused(settings):
    with pytest.raises(ValueError, match=f"parameter {next(iter(settings))} must be a number above 0"):
        RidgeLda("lda", settings=settings)


@pytest.fixture
def twelve(monkeypatch):
    monkeypatch.setattr(RidgeLda, "reads", (FeatureFamily("twelve", 1, SoundInput(), (12,), load=None),))


def test_it_is_saved_without_pickle_and_read_again(tmp_path, twelve):
    x, y = clips()
    model = fitted(x, onehot(y))
    model.save(tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} == {".npy"}
    assert all(b"\x80\x04" not in path.read_bytes()[:8] for path in tmp_path.iterdir())
    loaded = classifier_class("lda").load(tmp_path, "lda")
    np.testing.assert_array_equal(loaded.logits(x)[:, :3], model.logits(x)[:, :3])


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("weights", np.zeros((3, 13))),
        ("weights", np.zeros((2, 12))),
        ("scale", np.zeros((2, 12), np.float32)),
        ("bias", np.zeros(4)),
        ("classes", np.array([0, 2, 1])),
        ("classes", np.array([0, 1, 99])),
        ("clip", np.array([-1.0])),
    ],
)
def test_files_of_another_model_are_refused(tmp_path, twelve, name, array):
    fitted(*(lambda pair: (pair[0], onehot(pair[1])))(clips())).save(tmp_path)
    np.save(tmp_path / f"{name}.npy", array)
    with pytest.raises(UserError):
        RidgeLda.load(tmp_path, "lda")
