"""Whether a model serves everyone alike: the same numbers by gender, intensity, statement and actor."""

from collections.abc import Sequence
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri  # scipy.stats.norm.ppf, without the second that scipy.stats takes to import

from emocore.arrays import Ints
from emocore.evaluation.metrics import (
    Interval,
    accuracy,
    confusion_matrix,
    intervals,
    natural_order,
    recall,
    uar,
)
from emocore.labels import EMOTIONS

UNKNOWN = "unknown"


class Gap(TypedDict):
    """The distance in UAR between the worst and the best group, over the emotions that all groups hold."""

    uar: float
    worst: str
    best: str
    emotions: list[str]


def by_group(
    emotion: Ints,
    predicted: Ints,
    group: Sequence[str | None],
    actors: Sequence[str | None] | None = None,
    seed: int = 0,
    emotions: Sequence[str] = EMOTIONS,
) -> list[dict[str, Any]]:
    """Return one row a group, by name; `emotion`, `predicted` int64[n] into `emotions`, `group`, `actors` n names.

    Keys: `group, n, n_emotions, accuracy, uar, recall, ci95_accuracy, ci95_uar, ci95_method`. Nulls form the
    group "unknown", last; all nulls give no rows. Intervals resample the actors of a group; a group of one
    actor has a Wilson interval on accuracy and none on UAR; where actors are unknown, clips are resampled.
    `ci95_method` says which: actors, wilson or clips.
    """
    known = sorted({g for g in group if g is not None}, key=natural_order)
    names = [*known, None] if known and None in group else known
    return [_row(name, emotion, predicted, _where(group, name), actors, seed, emotions) for name in names]


def largest_gap(rows: Sequence[dict[str, Any]]) -> Gap | None:
    """Return the worst and the best known group of `by_group`, compared over the emotions that all hold.

    None with fewer than two known groups, or no emotion in common.
    """
    known = [row for row in rows if row["group"] != UNKNOWN]
    common = [e for e in (known[0]["recall"] if known else ()) if all(row["recall"][e] is not None for row in known)]
    if len(known) < 2 or not common:
        return None
    scores = [float(np.mean([row["recall"][e] for e in common])) for row in known]
    low, high = int(np.argmin(scores)), int(np.argmax(scores))
    return {
        "uar": scores[high] - scores[low],
        "worst": known[low]["group"],
        "best": known[high]["group"],
        "emotions": common,
    }


def wilson_interval(right: int, n: int, level: float = 0.95) -> Interval:
    """Return the score interval of a share of n independent trials (Wilson 1927); None for n = 0.

    >>> [round(v, 4) for v in wilson_interval(8, 10)]
    [0.4902, 0.9433]
    """
    if n == 0:
        return None
    z = float(ndtri(0.5 + level / 2))
    share = right / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * float(np.sqrt(share * (1 - share) / n + z * z / (4 * n * n)))
    return [max(0.0, centre - half), min(1.0, centre + half)]


def _where(group: Sequence[str | None], name: str | None) -> NDArray[np.intp]:
    return np.array([i for i, g in enumerate(group) if g == name], dtype=np.intp)


def _row(
    name: str | None,
    emotion: Ints,
    predicted: Ints,
    at: NDArray[np.intp],
    actors: Sequence[str | None] | None,
    seed: int,
    emotions: Sequence[str],
) -> dict[str, Any]:
    table = confusion_matrix(emotion[at], predicted[at], len(emotions))
    recalls = recall(table, emotions)
    own = None if actors is None else [actors[i] for i in at]
    row = {
        "group": UNKNOWN if name is None else name,
        "n": len(at),
        "n_emotions": sum(value is not None for value in recalls.values()),
        "accuracy": accuracy(table),
        "uar": uar(table),
        "recall": recalls,
    }
    if own is not None and None not in own and len(set(own)) == 1:
        interval = wilson_interval(int(np.trace(table)), len(at))
        return {**row, "ci95_accuracy": interval, "ci95_uar": None, "ci95_method": "wilson"}
    spread = intervals(emotion[at], predicted[at], own, seed=seed, emotions=emotions)
    return {
        **row,
        "ci95_accuracy": spread["accuracy"],
        "ci95_uar": spread["uar"],
        "ci95_method": spread["resampled"],
    }
