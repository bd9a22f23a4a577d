"""What a model is worth on labelled clips: accuracy, recall, UAR, their intervals, the body of metrics.json.

Emotions are indices into the run's, by default EMOTIONS. UAR: unweighted average recall, over the emotions present in
the truth.
"""

from collections.abc import Sequence
from typing import Any, Literal, TypedDict

import numpy as np

from emocore.arrays import Floats, Ints
from emocore.evaluation.calibration import brier_score, expected_calibration_error, log_loss
from emocore.labels import EMOTIONS

Interval = list[float] | None

DRAWS = 2000


class Intervals(TypedDict):
    """Percentile bootstrap intervals [2.5 %, 97.5 %] and what was resampled; None where nothing was drawn."""

    resampled: Literal["actors", "clips"]
    accuracy: Interval
    uar: Interval
    recall: dict[str, Interval]


def summarize(
    emotion: Ints,
    probabilities: Floats,
    *,
    protocol: str,
    model: str,
    actors: Sequence[str | None] | None = None,
    folds: Sequence[str] | None = None,
    seconds: float | None = None,
    frame_accuracy: float | None = None,
    seed: int = 0,
    emotions: Sequence[str] = EMOTIONS,
) -> dict[str, Any]:
    """Return metrics.json as a dictionary of JSON values; what cannot be computed is None, never NaN.

    `emotion` int64[n] with -1 where unlabelled (left out of every number but `n_unlabelled`), `probabilities`
    float[n, k], `actors` and `folds` n names each, `emotions` the k classes. Raises ValueError for other shapes
    or values.
    """
    emotion, probabilities = _checked(emotion, probabilities, len(emotions))
    keep = np.flatnonzero(emotion >= 0).tolist()
    truth, shares = emotion[keep], probabilities[keep]
    predicted = np.argmax(shares, axis=1)
    names = [actors[i] for i in keep] if actors is not None else [None] * len(keep)
    table = confusion_matrix(truth, predicted, len(emotions))
    spread = intervals(truth, predicted, names, seed=seed, emotions=emotions)
    return {
        "protocol": protocol,
        "model": model,
        "classes": list(emotions),
        "n": len(keep),
        "n_unlabelled": len(emotion) - len(keep),
        "n_actors": len(set(names) - {None}),
        "accuracy": accuracy(table),
        "ci95_accuracy": spread["accuracy"],
        "uar": uar(table),
        "ci95_uar": spread["uar"],
        "ci95_resampled": spread["resampled"],
        "recall": recall(table, emotions),
        "ci95_recall": spread["recall"],
        "confusion": table.tolist(),
        "ece": expected_calibration_error(shares, truth),
        "log_loss": log_loss(shares, truth),
        "brier": brier_score(shares, truth),
        "folds": [] if folds is None else _by_fold(table, truth, predicted, names, [folds[i] for i in keep]),
        **({} if frame_accuracy is None else {"frame_accuracy": frame_accuracy}),
        "seconds": seconds,
    }


def confusion_matrix(emotion: Ints, predicted: Ints, size: int = len(EMOTIONS)) -> Ints:
    """Count the clips of each [true, predicted] pair: int64[n], int64[n] → int64[size, size].

    >>> confusion_matrix(np.array([0, 0, 3]), np.array([0, 3, 3]))[[0, 3]][:, [0, 3]].tolist()
    [[1, 1], [0, 1]]
    """
    return np.bincount(emotion * size + predicted, minlength=size * size).reshape(size, size).astype(np.int64)


def accuracy(confusion: Ints) -> float | None:
    """Share of the clips on the diagonal of a confusion matrix int64[k, k]; None without clips."""
    total = int(confusion.sum())
    return int(np.trace(confusion)) / total if total else None


def recall(confusion: Ints, emotions: Sequence[str] = EMOTIONS) -> dict[str, float | None]:
    """Share of each emotion's clips that were recognised, from int64[k, k]; None for one without clips."""
    return dict(zip(emotions, _recalls(confusion), strict=True))


def uar(confusion: Ints) -> float | None:
    """Mean recall over the emotions that have clips, from int64[k, k]; None without clips."""
    present = [value for value in _recalls(confusion) if value is not None]
    return float(np.mean(present)) if present else None


def _recalls(confusion: Ints) -> list[float | None]:
    totals = confusion.sum(axis=1)
    return [int(right) / int(n) if n else None for right, n in zip(confusion.diagonal(), totals, strict=True)]


def intervals(
    emotion: Ints,
    predicted: Ints,
    actors: Sequence[str | None] | None = None,
    draws: int = DRAWS,
    seed: int = 0,
    emotions: Sequence[str] = EMOTIONS,
) -> Intervals:
    """Return 95 % percentile bootstrap intervals, resampling actors with all their clips (Efron 1979).

    Clips are resampled instead where an actor is unknown or there are fewer than two: `resampled` says which.
    An emotion absent from a draw is left out of that draw's mean. The order of the clips does not matter.
    """
    known = actors is not None and None not in actors and len(set(actors)) > 1
    units = np.unique(np.asarray(actors, dtype=str), return_inverse=True)[1] if known else None
    drawn = _resample(emotion, predicted, units, draws, len(emotions), np.random.default_rng(seed))
    right, total = drawn[..., 1], drawn.sum(axis=-1)
    shares = np.divide(right, total, out=np.full_like(right, np.nan), where=total > 0)
    present = np.maximum((total > 0).sum(axis=1), 1)
    return {
        "resampled": "actors" if known else "clips",
        "accuracy": _percentiles(right.sum(axis=1) / np.maximum(total.sum(axis=1), 1)),
        "uar": _percentiles(np.nansum(shares, axis=1) / present),
        "recall": {name: _percentiles(shares[:, i]) for i, name in enumerate(emotions)},
    }


def _resample(
    emotion: Ints, predicted: Ints, units: Ints | None, draws: int, k: int, rng: np.random.Generator
) -> Floats:
    """Draw wrong and right counts of each emotion, float64[draws, k, 2], by units int64[n] or by clips."""
    cells = 2 * k
    cell = emotion * 2 + (predicted == emotion)
    if len(emotion) == 0:
        return np.zeros((0, k, 2))
    if units is None:
        # Clips drawn with replacement are a multinomial draw over the cells that they fall into.
        counts = rng.multinomial(len(cell), np.bincount(cell, minlength=cells) / len(cell), size=draws)
        return counts.astype(np.float64).reshape(draws, -1, 2)
    size = int(units.max()) + 1
    tallies = np.bincount(units * cells + cell, minlength=size * cells).reshape(size, cells)
    times = rng.multinomial(size, np.full(size, 1 / size), size=draws)
    return (times.astype(np.float64) @ tallies.astype(np.float64)).reshape(draws, -1, 2)


def _percentiles(values: Floats) -> Interval:
    """The 2.5 and 97.5 % percentiles of float64[draws] without its NaN; None where nothing is left."""
    values = values[~np.isnan(values)]
    return [float(v) for v in np.percentile(values, [2.5, 97.5])] if len(values) else None


def _by_fold(
    whole: Ints, emotion: Ints, predicted: Ints, actors: Sequence[str | None], folds: Sequence[str]
) -> list[dict[str, Any]]:
    """One row a fold, in name order (numbers by value where a name ends in one); `whole`: the matrix of all."""
    rows = []
    labels = np.asarray(folds, dtype=object)
    for name in sorted(set(folds), key=natural_order):
        at = np.flatnonzero(labels == name).tolist()
        table = confusion_matrix(emotion[at], predicted[at], len(whole))
        rows.append(
            {
                "name": name,
                "n": len(at),
                "accuracy": accuracy(table),
                "uar": uar(table),
                "test_actors": sorted({a for i in at if (a := actors[i]) is not None}, key=natural_order),
            }
        )
    return rows


def natural_order(name: str) -> tuple[str, int, str]:
    """Sort key that puts "fold 2" before "fold 10".

    >>> sorted(["fold 10", "fold 2", "a"], key=natural_order)
    ['a', 'fold 2', 'fold 10']
    """
    stem = name.rstrip("0123456789")
    return stem, int(name[len(stem) :] or 0), name


def _checked(emotion: Ints, probabilities: Floats, k: int) -> tuple[Ints, Floats]:
    emotion = np.asarray(emotion, dtype=np.int64)
    probabilities = np.asarray(probabilities, dtype=np.float64)
    if emotion.ndim != 1 or probabilities.shape != (len(emotion), k):
        raise ValueError(
            f"Expected emotion[n] and probabilities[n, {k}], got {emotion.shape} and {probabilities.shape}."
        )
    if np.any((emotion < -1) | (emotion >= k)):
        raise ValueError(f"The emotions must be -1 or indices below {k}: got {emotion.min()} to {emotion.max()}.")
    if not np.all(np.isfinite(probabilities)):
        raise ValueError("The probabilities must be finite: got NaN or infinity.")
    return emotion, probabilities
