"""How far a confidence can be trusted: temperature scaling, calibration errors, selective prediction."""

from typing import TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE = 0.01, 100.0


class Bin(TypedDict):
    """One bar of a reliability diagram; `confidence` and `accuracy` are None where it holds no clip."""

    low: float
    high: float
    n: int
    confidence: float | None
    accuracy: float | None


def softmax(logits: ArrayLike, temperature: float = 1.0) -> Floats:
    """Return probabilities float64[n, k] of logits float[n, k] divided by a temperature.

    A logit of -inf stands for a class that the model does not know and becomes exactly 0. Raises ValueError
    for NaN, +inf, a row without any finite logit, and a temperature that is not positive.

    >>> softmax([[0.0, 0.0, -np.inf]]).tolist()
    [[0.5, 0.5, 0.0]]
    """
    return np.exp(_log_softmax(logits, temperature))


def fit_temperature(logits: ArrayLike, targets: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Return the temperature in [0.01, 100] of least weighted negative log-likelihood (Guo et al. 2017).

    `logits` float[n, k], `targets` int[n] or shares float[n, k], `weights` float[n]. Perfectly separated
    logits end at the lower bound; 1.0 where none is better than another (no rows, no weight, equal logits).
    A target on a class whose logit is -inf says nothing about the temperature and is left out.
    """
    logits = np.asarray(logits, dtype=np.float64)
    shares = _as_shares(np.asarray(targets), logits.shape)
    if weights is not None:
        weights = np.asarray(weights, dtype=np.float64)
        if weights.shape != (len(logits),) or not np.all(np.isfinite(weights) & (weights >= 0)):
            raise ValueError("The weights must be n finite numbers, none negative.")
        shares = shares * weights[:, None]
    shares = np.where(np.isneginf(logits), 0.0, shares)
    used = shares.sum(axis=1) > 0
    if not used.any():
        return 1.0
    logits, shares = logits[used], shares[used] / shares.sum()

    def loss(temperature: float) -> float:
        logs = _log_softmax(logits, temperature)
        return -float(np.sum(shares * np.where(shares > 0, logs, 0.0)))

    # Convex in 1/T, hence one minimum in log T as well.
    bounds = (np.log(LOWEST_TEMPERATURE), np.log(HIGHEST_TEMPERATURE))
    best = minimize_scalar(lambda t: loss(float(np.exp(t))), bounds=bounds, method="bounded")
    candidates = [1.0, LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE, float(np.exp(best.x))]
    losses = np.array([loss(t) for t in candidates])
    return candidates[int(np.flatnonzero(losses <= losses.min() + 1e-12)[0])]


def expected_calibration_error(probabilities: Floats, truth: Ints, bins: int = 15) -> float | None:
    """Mean gap of confidence and accuracy over equal-width bins, weighted by clips (Guo et al. 2017).

    `probabilities` float[n, k], `truth` int64[n]; in [0, 1], None without clips.
    """
    if len(truth) == 0:
        return None
    gaps = [
        row["n"] * abs(row["confidence"] - row["accuracy"])
        for row in reliability(probabilities, truth, bins)
        if row["confidence"] is not None and row["accuracy"] is not None
    ]
    return float(sum(gaps) / len(truth))


def reliability(probabilities: Floats, truth: Ints, bins: int = 15) -> list[Bin]:
    """Return mean confidence and accuracy of the clips in each of `bins` equal intervals (low, high]."""
    confidence, right = _answers(probabilities, truth)
    edges = np.linspace(0, 1, bins + 1)
    index = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    counts = np.bincount(index, minlength=bins)
    confidences = np.bincount(index, weights=confidence, minlength=bins)
    hits = np.bincount(index, weights=right, minlength=bins)
    return [
        {
            "low": float(edges[i]),
            "high": float(edges[i + 1]),
            "n": int(n),
            "confidence": float(confidences[i] / n) if n else None,
            "accuracy": float(hits[i] / n) if n else None,
        }
        for i, n in enumerate(counts)
    ]


def selective_accuracy(probabilities: Floats, truth: Ints) -> tuple[Floats, Floats, Floats]:
    """Accuracy where the model answers only above a confidence (El-Yaniv & Wiener 2010).

    Returns three float64[m], one entry a distinct confidence, highest first: the threshold, the coverage
    (share of the clips at or above it) and the accuracy of those. Equal confidences are answered together.
    """
    confidence, right = _answers(probabilities, truth)
    order = np.argsort(-confidence, kind="stable")
    sorted_confidence, hits = confidence[order], np.cumsum(right[order])
    last = np.flatnonzero(np.diff(sorted_confidence, append=-1.0))
    answered = last + 1
    return sorted_confidence[last], answered / max(len(truth), 1), hits[last] / answered


def log_loss(probabilities: Floats, truth: Ints) -> float | None:
    """Mean -ln p of the true class, p clipped at 2.2e-16 as scikit-learn does; None without clips."""
    if len(truth) == 0:
        return None
    given = np.asarray(probabilities, dtype=np.float64)[np.arange(len(truth)), truth]
    return float(-np.log(np.clip(given, np.finfo(np.float64).eps, 1.0)).mean())


def brier_score(probabilities: Floats, truth: Ints) -> float | None:
    """Mean squared distance between the probabilities and the one-hot truth, 0 to 2 (Brier 1950)."""
    if len(truth) == 0:
        return None
    onehot = np.eye(probabilities.shape[1])[truth]
    return float(np.mean(np.sum((probabilities - onehot) ** 2, axis=1)))


def _log_softmax(logits: ArrayLike, temperature: float) -> Floats:
    logits = np.asarray(logits, dtype=np.float64)
    if len(logits) == 0:
        return np.zeros(logits.shape)
    if not temperature > 0:
        raise ValueError(f"The temperature must be positive: got {temperature}.")
    if np.any(np.isnan(logits) | np.isposinf(logits)) or np.any(np.isneginf(logits).all(axis=1)):
        raise ValueError("The logits must hold neither NaN nor +inf, and every row a finite one.")
    shifted: Floats = (logits - logits.max(axis=1, keepdims=True)) / temperature
    total: Floats = np.exp(shifted).sum(axis=1, keepdims=True)
    return shifted - np.log(total)


def _as_shares(targets: NDArray[np.generic], shape: tuple[int, ...]) -> Floats:
    """Targets float64[n, k] from int[n] or float[n, k]."""
    if len(shape) == 2 and targets.shape == shape:
        shares = targets.astype(np.float64)
        if not np.all(np.isfinite(shares) & (shares >= 0)):
            raise ValueError("The target shares must be finite and not negative.")
        return shares
    if len(shape) == 2 and targets.shape == shape[:1] and np.issubdtype(targets.dtype, np.integer):
        return np.eye(shape[1])[targets] if len(targets) else np.zeros(shape)
    if len(shape) == 2 and targets.shape == (0,) and shape[0] == 0:
        return np.zeros(shape)
    raise ValueError(f"Expected targets int[n] or float[n, k] for logits {shape}, got {targets.dtype} {targets.shape}.")


def _answers(probabilities: Floats, truth: Ints) -> tuple[Floats, Floats]:
    """The confidence of each answer, float64[n], and whether it is right, as 0 or 1."""
    probabilities = np.asarray(probabilities, dtype=np.float64)
    if len(truth) == 0:
        return np.zeros(0), np.zeros(0)
    return probabilities.max(axis=1), (probabilities.argmax(axis=1) == truth).astype(np.float64)
