"""Late fusion: weights that are found again, members on their own columns, what inner folds say of them, files."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import log_softmax

from emocore.errors import UserError
from emocore.features.family import FeatureFamily, SoundInput
from emocore.models import fitting, fusion
from emocore.models.base import ModelSpec, exhaust
from emocore.models.fitting import Calibration, InnerFit, Recipe, calibrate, fit_final, fit_inner
from emocore.models.fusion import LateFusion, Member, deviations, fuse, fusion_weights, places
from emocore.models.lda import RidgeLda
from emocore.probabilities import softmax

FAMILIES = {name: FeatureFamily(name, 1, SoundInput(), (size,), load=None) for name, size in (("a", 6), ("b", 9))}


class OfA(RidgeLda):
    reads = (FAMILIES["a"],)


class OfBoth(RidgeLda):
    reads = (FAMILIES["a"], FAMILIES["b"])


class OfB(RidgeLda):
    reads = (FAMILIES["b"],)


def member(name, kind):
    return Member(name, ModelSpec("lda", tuple(family.name for family in kind.reads), lambda: kind))


class Two(LateFusion):
    parts = (member("first", OfA), member("second", OfB))


@pytest.fixture(autouse=True)
def families(monkeypatch):
    monkeypatch.setattr(fusion, "find_family", FAMILIES.__getitem__)


def clips(n=120, seed=0, classes=3):
    """Clips whose family a tells the classes well, and b badly."""
    random = np.random.default_rng(seed)
    y = np.arange(n) % classes
    x = random.standard_normal((n, 15)).astype(np.float32)
    x[:, :classes] += 1.5 * np.eye(classes)[y]
    x[:, 6 : 6 + classes] += 0.5 * np.eye(classes)[y]
    return x, np.eye(8, dtype=np.float32)[y]


def drawn(n=4_000, weights=(0.5, 3.0), seed=0):
    """Scores of two members, and labels drawn from the softmax of their sum by these weights."""
    random = np.random.default_rng(seed)
    scores = random.standard_normal((n, 2, 4)) * np.array([2.0, 0.7])[:, None]
    chances = softmax(fuse(scores, np.array(weights)))
    y = (chances.cumsum(axis=1) > random.random((n, 1))).argmax(axis=1)
    return scores, np.eye(4, dtype=np.float32)[y]


def test_the_weights_of_which_labels_were_drawn_are_found_again():
    np.testing.assert_allclose(fusion_weights(*drawn()), [0.5, 3.0], rtol=0.1)


def test_the_weights_are_those_of_least_loss():
    scores, soft = drawn(300)
    soft = 0.8 * soft + 0.05

    def loss(weights):
        return -(soft * log_softmax(np.tensordot(scores, weights, (1, 0)), axis=1)).sum()

    expected = minimize(loss, [1.0, 1.0], method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-9}).x
    np.testing.assert_allclose(fusion_weights(scores, soft), expected, rtol=1e-3)


def test_a_member_that_misleads_has_almost_no_weight_and_leaves_an_answer():
    scores, soft = drawn()
    weights = fusion_weights(np.stack([scores[:, 0], -scores[:, 1]], axis=1), soft)
    assert weights[1] * deviations(scores)[1] == pytest.approx(0.01)
    assert (fusion_weights(-scores, soft) > 0).all()


def test_a_class_that_no_member_knows_decides_nothing():
    scores, soft = drawn(500)
    wider = np.concatenate([scores, np.full((500, 2, 1), -np.inf)], axis=2)
    shares = np.concatenate([soft, np.zeros((500, 1), np.float32)], axis=1)
    shares[:50] = np.eye(5)[4]
    np.testing.assert_allclose(fusion_weights(wider, shares), fusion_weights(scores[50:], soft[50:]), rtol=2e-2)
    assert np.isneginf(fuse(wider, np.ones(2))[:, 4]).all()


def test_without_labels_each_weighs_by_its_deviation():
    scores, soft = drawn(50)
    np.testing.assert_allclose(fusion_weights(scores, 0 * soft), 1 / deviations(scores))
    np.testing.assert_array_equal(deviations(np.zeros((3, 2, 4))), [1, 1])
    np.testing.assert_array_equal(deviations(np.zeros((0, 2, 4))), [1, 1])
    np.testing.assert_allclose(deviations(scores), scores.std(axis=2).__pow__(2).mean(axis=0) ** 0.5)


def test_a_member_reads_the_columns_of_its_families():
    parts = (member("second", OfB), member("both", OfBoth))
    assert fusion.families_read(parts) == ("b", "a")
    np.testing.assert_array_equal(places(parts, parts[0]), np.arange(9))
    np.testing.assert_array_equal(places(parts, parts[1]), [*range(9, 15), *range(9)])
    x, soft = clips()
    model = Two("two")
    model.fit(x, soft, np.ones(8, np.float32))
    alone = OfB("lda")
    alone.fit(x[:, 6:], soft, np.ones(8, np.float32))
    np.testing.assert_array_equal(model.scores(x)[:, 1], alone.logits(x[:, 6:]))
    np.testing.assert_allclose(model.weights, 1 / deviations(model.scores(x)))


def test_settings_reach_their_member():
    model = Two("two", settings={"second_ridge": 7.0})
    assert [one.ridge for one in model.members] == [RidgeLda.defaults["ridge"], 7.0]


def inner_fits(x, soft):
    parts = np.array_split(np.arange(len(x)), 3)
    return [exhaust(fit_inner(Recipe("two"), x, soft, np.setdiff1d(np.arange(len(x)), p), p[:0], p)) for p in parts]


def test_inner_folds_weigh_the_members_of_the_final_model(monkeypatch):
    monkeypatch.setattr(fitting, "classifier_class", lambda _: Two)
    x, soft = clips()
    inner = inner_fits(x, soft)
    held = np.concatenate([fit.held for fit in inner])
    expected = fusion_weights(np.concatenate([fit.members for fit in inner]), soft[held])
    fitted = fit_final(Recipe("two"), x, soft, np.arange(len(x)), inner)
    np.testing.assert_array_equal(fitted.classifier.weights, expected)
    assert fitted.chosen == {
        "first_weight": pytest.approx(expected[0], rel=1e-3),
        "second_weight": pytest.approx(expected[1], rel=1e-3),
    }
    assert fitted.temperature == pytest.approx(1.0, abs=0.01)  # the weights hold it
    strength = fitted.classifier.weights * deviations(fitted.classifier.scores(x))
    assert strength[0] > strength[1]
    np.testing.assert_array_equal(fitted.classifier.logits(x), fuse(fitted.classifier.scores(x), expected))


def test_a_model_of_one_piece_has_a_temperature_alone():
    held = np.arange(4)
    inner = [InnerFit(held, np.eye(4), {})]
    soft = np.eye(4, dtype=np.float32)
    assert calibrate(inner, soft).weights is None
    assert calibrate([], soft) == Calibration()


def test_it_is_saved_without_pickle_and_answers_the_same_to_the_bit(tmp_path):
    x, soft = clips()
    model = Two("two")
    model.fit(x, soft, np.ones(8, np.float32))
    model.weights = np.array([0.3, 1.7])
    model.save(tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} == {".npy"}
    assert {"first-weights.npy", "second-weights.npy", "fusion.npy"} < {path.name for path in tmp_path.iterdir()}
    loaded = Two.load(tmp_path, "two")
    loaded.answer_for(8)
    np.testing.assert_array_equal(loaded.logits(x), model.logits(x))
    with pytest.raises(ValueError, match="knows an emotion"):
        loaded.answer_for(2)


@pytest.mark.parametrize(
    ("file", "array"),
    [
        ("fusion", np.ones(3)),
        ("fusion", np.array([1.0, np.nan])),
        ("fusion", np.array([1.0, -1.0])),
        ("first-scale", np.zeros((2, 9))),
        ("second-classes", np.array([0, 2, 1])),
        ("second-weights", None),
    ],
)
def test_files_of_another_model_are_refused(tmp_path, file, array):
    model = Two("two")
    model.fit(*clips(), np.ones(8, np.float32))
    model.save(tmp_path)
    (tmp_path / f"{file}.npy").unlink()
    if array is not None:
        np.save(tmp_path / f"{file}.npy", array)
    with pytest.raises(UserError) as error:
        Two.load(tmp_path, "two")
    assert "\n" not in str(error.value)
