"""How far a confidence can be trusted: temperature scaling, calibration errors, selective prediction."""

from typing import TypedDict

import numpy as np

from emocore.arrays import Floats, Ints


class Bin(TypedDict):
    """One bar of a reliability diagram; `confidence` and `accuracy` are None where it holds no clip."""

    low: float
    high: float
    n: int
    confidence: float | None
    accuracy: float | None


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


def _answers(probabilities: Floats, truth: Ints) -> tuple[Floats, Floats]:
    """The confidence of each answer, float64[n], and whether it is right, as 0 or 1."""
    probabilities = np.asarray(probabilities, dtype=np.float64)
    if len(truth) == 0:
        return np.zeros(0), np.zeros(0)
    return probabilities.max(axis=1), (probabilities.argmax(axis=1) == truth).astype(np.float64)
