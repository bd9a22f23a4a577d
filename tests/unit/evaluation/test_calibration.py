import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import brute
from scipy.special import log_softmax as scipy_log_softmax
from scipy.special import softmax as scipy_softmax
from sklearn.calibration import calibration_curve
from sklearn.metrics import log_loss as sklearn_log_loss

from emocore import probabilities as probs
from emocore.evaluation import calibration as cal


def case(n=400, k=8, seed=0, scale=1.0):
    """Logits whose softmax is the true distribution of the targets, then multiplied by `scale`."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, k)) * 2
    shares = scipy_softmax(logits, axis=1)
    targets = np.array([rng.choice(k, p=p) for p in shares])
    return logits * scale, targets, shares


@given(arrays(float, (3, 4), elements=st.floats(-1e4, 1e4)), st.floats(0.01, 100))
def test_softmax_agrees_with_scipy(logits, temperature):
    found = probs.softmax(logits, temperature)
    np.testing.assert_allclose(found, scipy_softmax(logits / temperature, axis=1), rtol=1e-9, atol=1e-300)


def test_softmax_gives_exactly_zero_to_an_unknown_class():
    found = probs.softmax(np.array([[1.0, -np.inf, 2.0], [-np.inf, -np.inf, 5.0]]), 0.5)
    assert found[:, 1].tolist() == [0.0, 0.0]
    np.testing.assert_allclose(found[0, [0, 2]], scipy_softmax([2.0, 4.0]))
    assert found[1, 2] == 1.0


@pytest.mark.parametrize("bad", [[np.nan, 0.0], [np.inf, 0.0], [-np.inf, -np.inf]])
def test_softmax_refuses_what_has_no_distribution(bad):
    with pytest.raises(ValueError, match="every row a finite one"):
        probs.softmax([bad])


@pytest.mark.parametrize("temperature", [0.0, -1.0, np.nan])
def test_softmax_refuses_a_temperature_that_is_not_positive(temperature):
    with pytest.raises(ValueError, match="must be positive"):
        probs.softmax([[0.0, 1.0]], temperature)


@pytest.mark.parametrize("scale", [0.2, 1.0, 7.0])
def test_temperature_recovers_the_scale_of_soft_targets(scale):
    logits, _, shares = case(scale=scale)
    assert probs.fit_temperature(logits, shares) == pytest.approx(scale, rel=1e-4)


def test_temperature_agrees_with_a_grid_search_and_takes_weights():
    logits, targets, _ = case(scale=3.0)
    weights = np.random.default_rng(1).integers(0, 4, len(targets))

    def loss(log_t):
        logs = scipy_log_softmax(logits / np.exp(log_t[0]), axis=1)
        return -np.sum(weights * logs[np.arange(len(targets)), targets])

    reference = np.exp(brute(loss, [slice(-2, 3, 0.05)])[0])
    found = probs.fit_temperature(logits, targets, weights)
    assert found == pytest.approx(reference, rel=1e-3)
    repeated = np.repeat(np.arange(len(targets)), weights)
    assert probs.fit_temperature(logits[repeated], targets[repeated]) == pytest.approx(found, rel=1e-4)
    assert probs.fit_temperature(logits, np.eye(8)[targets], weights) == pytest.approx(found)


def test_temperature_of_degenerate_input():
    logits, targets, _ = case(60)
    separated = np.eye(8)[targets]
    assert probs.fit_temperature(separated, targets) == probs.LOWEST_TEMPERATURE
    assert probs.fit_temperature(-separated, targets) == pytest.approx(probs.HIGHEST_TEMPERATURE)
    assert probs.fit_temperature(np.zeros((0, 8)), np.zeros(0, dtype=int)) == 1.0
    assert probs.fit_temperature(np.zeros((0, 8)), []) == 1.0
    assert probs.fit_temperature(np.zeros((5, 8)), np.arange(5)) == 1.0
    assert probs.fit_temperature(logits, targets, np.zeros(60)) == 1.0


def test_temperature_leaves_out_targets_on_unknown_classes():
    logits, targets, _ = case(scale=2.0)
    logits[:, 1] = -np.inf
    keep = targets != 1
    assert 0 < (~keep).sum() < len(keep)
    assert probs.fit_temperature(logits, targets) == pytest.approx(
        probs.fit_temperature(logits[keep], targets[keep]), rel=1e-6
    )


@pytest.mark.parametrize(
    ("targets", "weights"),
    [
        (np.zeros((3, 7)), None),
        (np.zeros(3), None),
        (np.array([0, 1, 2]), [1, -1, 1]),
        (-np.ones((3, 8)), None),
    ],
)
def test_temperature_refuses_wrong_targets_and_weights(targets, weights):
    with pytest.raises(ValueError, match=r"targets|weights|target shares"):
        probs.fit_temperature(np.zeros((3, 8)), targets, weights)


def test_calibration_error_by_hand():
    # Four clips at 0.95 with one right, two at 0.55 with one right: (4·0.70 + 2·0.05) / 6.
    high, low = [0.95] + [0.05 / 7] * 7, [0.55] + [0.45 / 7] * 7
    probabilities = np.array([high] * 4 + [low] * 2)
    found = cal.expected_calibration_error(probabilities, np.array([0, 1, 1, 1, 0, 1]))
    assert found == pytest.approx((4 * 0.70 + 2 * 0.05) / 6)


def test_reliability_agrees_with_sklearn():
    logits, targets, _ = case(scale=2.5)
    shares = probs.softmax(logits)
    right = shares.argmax(axis=1) == targets
    accuracy, confidence = calibration_curve(right, shares.max(axis=1), n_bins=15)
    used = [row for row in cal.reliability(shares, targets) if row["n"]]
    assert [row["accuracy"] for row in used] == pytest.approx(accuracy)
    assert [row["confidence"] for row in used] == pytest.approx(confidence)
    assert cal.expected_calibration_error(shares, targets) > 0.1
    assert cal.expected_calibration_error(probs.softmax(logits, 2.5), targets) < 0.08


def test_confidence_of_one_and_empty_bins_have_their_place():
    rows = cal.reliability(np.eye(8), np.zeros(8, dtype=int))
    assert rows[-1] == {
        "low": pytest.approx(14 / 15),
        "high": 1.0,
        "n": 8,
        "confidence": 1.0,
        "accuracy": 0.125,
    }
    assert rows[0]["accuracy"] is None


def test_selective_accuracy_answers_equal_confidences_together():
    confidence = np.array([0.9, 0.6, 0.9, 0.7])
    probabilities = np.column_stack([confidence, 1 - confidence])
    threshold, coverage, accuracy = cal.selective_accuracy(probabilities, np.array([0, 1, 1, 0]))
    assert threshold.tolist() == [0.9, 0.7, 0.6]
    assert coverage.tolist() == [0.5, 0.75, 1.0]
    assert accuracy.tolist() == pytest.approx([1 / 2, 2 / 3, 2 / 4])


def test_log_loss_and_brier():
    logits, targets, _ = case()
    shares = probs.softmax(logits)
    assert cal.log_loss(shares, targets) == pytest.approx(sklearn_log_loss(targets, shares, labels=range(8)))
    assert cal.log_loss(np.eye(8), np.full(8, 1)) < 37  # p = 0 costs -ln 2.2e-16 = 36.04, not infinity
    assert cal.brier_score(np.array([[0.5, 0.5, 0.0]]), np.array([0])) == 0.5
    assert cal.brier_score(np.eye(8)[[1]], np.array([0])) == 2.0
