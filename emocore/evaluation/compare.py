"""Whether models differ on the same clips beyond what other people would have changed: a paired bootstrap.

All models are judged on the same draws of actors, each with all of their clips (Efron 1979; paired as in Bisani and Ney
2004, https://doi.org/10.1109/ICASSP.2004.1326009). Of several comparisons the p-values are corrected (Holm 1979).
"""

from collections.abc import Sequence
from itertools import combinations
from typing import Any, Literal, TypedDict

import numpy as np

from emocore.arrays import Floats, Ints
from emocore.evaluation.metrics import accuracy, confusion_matrix, uar

DRAWS = 10_000
LEVEL = 0.05  # of all comparisons together
_AT_ONCE = 1_000  # draws: bounds the memory


class Difference(TypedDict):
    """How much higher the second model scores than the first, in shares of 1."""

    value: float
    ci95: list[float]  # percentiles of the draws, of this comparison alone
    p: float  # two-sided: how often draws lie on the other side of no difference, twice
    p_holm: float  # corrected for all comparisons by this measure
    beyond_noise: bool


class Comparison(TypedDict):
    """Two models by their numbers, `first` and `second`, and what both make of the clips."""

    first: int
    second: int
    accuracy: Difference
    uar: Difference
    both_right: int
    first_only: int
    second_only: int
    neither: int


class Compared(TypedDict):
    """What `compare` returns."""

    resampled: Literal["actors", "clips"]
    n: int
    n_actors: int
    draws: int
    models: list[dict[str, Any]]  # accuracy, uar, ci95_accuracy, ci95_uar of each, on the same clips
    pairs: list[Comparison]


def compare(
    truth: Ints,
    predicted: Ints,
    actors: Sequence[str | None],
    k: int,
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> Compared:
    """Compare the answers int64[m, n] of m models for the same n clips, whose emotions are int64[n], indices below k.

    Actors are resampled with all their clips; clips, where an actor is unknown or there are fewer than two. An emotion
    that a draw lacks is left out of its UAR. Raises ValueError for fewer than two models, and for no clips.

    >>> truth = np.array([0, 1] * 20)
    >>> found = compare(truth, np.array([truth, 1 - truth]), list("abcd") * 10, 2)
    >>> found["pairs"][0]["uar"]["value"], found["pairs"][0]["uar"]["beyond_noise"]
    (-1.0, True)
    """
    if len(predicted) < 2 or not len(truth):
        raise ValueError(f"Expected two or more models and one or more clips: got {len(predicted)} and {len(truth)}.")
    right = predicted == truth
    known = None not in actors and len(set(actors)) > 1
    accuracies, uars = _drawn(truth, right, actors if known else None, k, draws, np.random.default_rng(seed))
    tables = [confusion_matrix(truth, answers, k) for answers in predicted]
    scores = [(accuracy(table) or 0.0, uar(table) or 0.0) for table in tables]
    numbers = list(combinations(range(len(predicted)), 2))
    by_accuracy = _differences([scores[b][0] - scores[a][0] for a, b in numbers], accuracies, numbers)
    by_uar = _differences([scores[b][1] - scores[a][1] for a, b in numbers], uars, numbers)
    return {
        "resampled": "actors" if known else "clips",
        "n": len(truth),
        "n_actors": len(set(actors) - {None}),
        "draws": draws,
        "models": [
            {"accuracy": one, "uar": other, "ci95_accuracy": _ci95(accuracies[i]), "ci95_uar": _ci95(uars[i])}
            for i, (one, other) in enumerate(scores)
        ],
        "pairs": [
            {"first": a, "second": b, "accuracy": by_accuracy[i], "uar": by_uar[i], **_counts(right[a], right[b])}  # type: ignore[typeddict-item]  # the counts
            for i, (a, b) in enumerate(numbers)
        ],
    }


def holm(p: Sequence[float]) -> list[float]:
    """Return p-values corrected for as many comparisons as there are (Holm 1979), in their order.

    >>> [round(value, 3) for value in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p, kind="stable")
    corrected = np.maximum.accumulate([(len(p) - i) * p[place] for i, place in enumerate(order)])
    found = np.empty(len(p))
    found[order] = np.minimum(corrected, 1.0)
    return [float(value) for value in found]


def _drawn(
    truth: Ints, right: Any, actors: Sequence[str | None] | None, k: int, draws: int, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Return the accuracy and the UAR of each model in each draw, float64[m, draws] twice."""
    counts = _counts_by_unit(truth, right, actors, k)
    of_unit = counts.reshape(len(counts), -1)
    # Clips that are alike to all models are one unit, drawn as often as there are such; actors are drawn once each.
    weights = of_unit[:, :k].sum(axis=1) if actors is None else np.ones(len(counts))
    if actors is None:
        of_unit = of_unit / weights[:, None]
    size = int(weights.sum())
    parts = []
    for begin in range(0, draws, _AT_ONCE):
        times = rng.multinomial(size, weights / size, size=min(_AT_ONCE, draws - begin))
        parts.append((times.astype(np.float64) @ of_unit).reshape(len(times), -1, k))
    drawn = np.concatenate(parts)
    total, hits = drawn[:, 0], drawn[:, 1:]
    recalls = np.divide(hits, total[:, None], out=np.zeros_like(hits), where=total[:, None] > 0)
    present = (total > 0).sum(axis=1)
    return (hits.sum(axis=2) / total.sum(axis=1)[:, None]).T, (recalls.sum(axis=2) / present[:, None]).T


def _counts_by_unit(truth: Ints, right: Any, actors: Sequence[str | None] | None, k: int) -> Floats:
    """Return float64[units, 1 + m, k]: of each emotion the clips of a unit, and those that each model had right."""
    alike = np.column_stack([truth, *right]) if actors is None else np.asarray(actors, str)
    unit = np.unique(alike, axis=0, return_inverse=True)[1].ravel()
    cell, size = unit * k + truth, int(unit.max()) + 1
    counted = [np.ones(len(truth)), *(hits.astype(np.float64) for hits in right)]
    tallies = [np.bincount(cell, weights=one, minlength=size * k).reshape(size, k) for one in counted]
    return np.stack(tallies, axis=1)


def _differences(values: list[float], drawn: Floats, numbers: Sequence[tuple[int, int]]) -> list[Difference]:
    gaps = [drawn[b] - drawn[a] for a, b in numbers]
    p = [_p_value(gap) for gap in gaps]
    return [
        {"value": value, "ci95": _ci95(gap), "p": one, "p_holm": corrected, "beyond_noise": corrected < LEVEL}
        for value, gap, one, corrected in zip(values, gaps, p, holm(p), strict=True)
    ]


def _p_value(gaps: Floats) -> float:
    # The observed data count as a draw, so that no p is 0 (Davison and Hinkley 1997, 4.2).
    tail = min(int((gaps <= 0).sum()), int((gaps >= 0).sum()))
    return float(min(1.0, 2 * (1 + tail) / (1 + len(gaps))))


def _ci95(values: Floats) -> list[float]:
    return [float(value) for value in np.percentile(values, [2.5, 97.5])]


def _counts(first: Any, second: Any) -> dict[str, int]:
    return {
        "both_right": int((first & second).sum()),
        "first_only": int((first & ~second).sum()),
        "second_only": int((~first & second).sum()),
        "neither": int((~first & ~second).sum()),
    }
