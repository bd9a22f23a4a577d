"""What a labelled archive's tables hold, counted a shard at a time: its page and its summary."""

import heapq
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from emocore.reports.tables import Table, plain

MOST_SLOW = 10
CONFIDENCE_BINS = 20
_BARS = 40
_STEPS = [1.0, 2.0, 5.0, 10.0, 30.0, *(60.0 * n for n in (1, 2, 5, 10, 15, 30, 60, 120, 240, 480, 1440))]


@dataclass
class LabelCounts:
    """What LABELS rows hold."""

    files: int = 0
    predicted: Counter[str] = field(default_factory=Counter)
    states: Counter[str] = field(default_factory=Counter)
    media_seconds: float = 0.0
    n_duplicates: int = 0
    confidence: NDArray[np.int64] = field(default_factory=lambda: np.zeros(CONFIDENCE_BINS, np.int64))


@dataclass
class Timings:
    """How long files took, and how many were finished in each stretch of time.

    `slowest`: (seconds, path), the slowest first; `stretches`: hours since the first, and files a second.
    """

    slowest: list[tuple[float, str]]
    stretches: list[tuple[float, float]]
    stretch_seconds: float


def count_labels(parts: Iterable[pa.Table]) -> LabelCounts:
    """Count LABELS rows that come in parts, each of which is looked at once."""
    counts = LabelCounts()
    for part in parts:
        counts.files += part.num_rows
        counts.predicted.update(value for value in part["predicted"].to_pylist() if value is not None)
        counts.states.update(plain(value) for value in part["state"].to_pylist())
        seconds = part["duration_seconds"].to_pylist()
        counts.media_seconds += sum(value for value in seconds if value is not None and np.isfinite(value))
        counts.n_duplicates += part.num_rows - part["duplicate_of"].null_count
        counts.confidence += confidence_histogram(part["confidence"].to_pylist())
    return counts


def summarize_timings(parts: Iterable[pa.Table]) -> Timings:
    """Sum up TIMINGS rows that come in parts, one a shard."""
    slowest: list[tuple[float, str]] = []
    shards: list[tuple[float, float, int]] = []  # when it began and ended, and how many files it has
    for part in parts:
        if part.num_rows:
            seconds, finished = part["seconds"].to_pylist(), part["finished"][0].as_py()
            slowest = heapq.nlargest(MOST_SLOW, [*slowest, *zip(seconds, part["path"].to_pylist(), strict=True)])
            shards.append((finished - sum(seconds), finished, part.num_rows))
    if not shards:
        return Timings([], [], 0.0)
    begun, ended, files = np.array(shards).T
    span = ended.max() - begun.min()
    step = next((step for step in _STEPS if span <= _BARS * step), span / _BARS)
    places = np.minimum(((ended - begun.min()) / step).astype(int), int(np.ceil(span / step)) - 1)
    counts = np.bincount(places, weights=files).tolist()
    rates = [count / min(step, span - i * step) for i, count in enumerate(counts)]  # the last stretch is shorter
    return Timings(slowest, [(i * step / 3600, rate) for i, rate in enumerate(rates)], float(step))


def slowest_table(slowest: Sequence[tuple[float, str]]) -> Table:
    """Return the files that took longest to read."""
    rows = [[plain(path), f"{seconds:.2f}"] for seconds, path in slowest]
    return Table("The slowest files", ["path", "seconds"], rows)


def confidence_histogram(confidence: Sequence[float | None]) -> NDArray[np.int64]:
    """Counts of CONFIDENCE_BINS equal bins over [0, 1]; what is null or not finite is left out."""
    values = np.array([v for v in confidence if v is not None and np.isfinite(v)], dtype=np.float64)
    return np.histogram(np.clip(values, 0, 1), bins=CONFIDENCE_BINS, range=(0, 1))[0].astype(np.int64)
