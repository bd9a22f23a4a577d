"""What a labelled archive's tables hold, counted a shard at a time: its page and its summary."""

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from emocore.errors import amount
from emocore.labels import EMOTIONS
from emocore.reports.curves import Longest
from emocore.reports.tables import Table, percent, plain
from emocore.schema import emotions_of

MOST_SLOW = 10
MOST_ANSWERS = 500
CONFIDENCE_BINS = 20
_BARS = 40
_STEPS = [1.0, 2.0, 5.0, 10.0, 30.0, *(60.0 * n for n in (1, 2, 5, 10, 15, 30, 60, 120, 240, 480, 1440))]


class Answer(NamedTuple):
    """What was answered for a file; confidence −1: nothing, for the reason that `state` names."""

    confidence: float
    clip: str
    predicted: str | None
    runner_up: str | None
    state: str | None


@dataclass
class LabelCounts:
    """What LABELS rows hold."""

    files: int = 0
    emotions: tuple[str, ...] = EMOTIONS
    predicted: Counter[str] = field(default_factory=Counter)
    states: Counter[str] = field(default_factory=Counter)
    media_seconds: float = 0.0
    windows: int = 0  # with those that have no row, as there was no number to answer from or with
    n_duplicates: int = 0
    confidence: NDArray[np.int64] = field(default_factory=lambda: np.zeros(CONFIDENCE_BINS, np.int64))
    seconds: Counter[str] = field(default_factory=Counter)  # that were answered for, by emotion
    longest: Longest = field(default_factory=Longest)
    answers: list[Answer] = field(default_factory=list)  # MOST_ANSWERS of them, the most confident first

    @property
    def answered(self) -> int:
        """How many files have an answer; the others could be read, and held nothing to answer from."""
        return self.predicted.total()


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
        counts.emotions = emotions_of(part.schema)
        counts.predicted.update(value for value in part["predicted"].to_pylist() if value is not None)
        counts.states.update(plain(value) for value in part["state"].to_pylist())
        seconds = part["duration_seconds"].to_pylist()
        counts.media_seconds += sum(value for value in seconds if value is not None and np.isfinite(value))
        counts.longest.add(part)
        counts.windows += sum(n or 0 for n in part["windows"].to_pylist())
        for shares in part["shares"].to_pylist():
            counts.seconds.update({plain(name): seconds for name, seconds in shares or ()})
        counts.n_duplicates += part.num_rows - part["duplicate_of"].null_count
        counts.confidence += confidence_histogram(part["confidence"].to_pylist())
        counts.answers = heapq.nsmallest(MOST_ANSWERS, [*counts.answers, *_answers(part)], key=_by_confidence)
    return counts


def _answers(part: pa.Table) -> Iterator[Answer]:
    columns = (part[name].to_pylist() for name in ("confidence", "clip", "predicted", "runner_up", "state"))
    for confidence, *rest in zip(*columns, strict=True):
        yield Answer(-1.0 if confidence is None or not np.isfinite(confidence) else confidence, *rest)


def _by_confidence(answer: Answer) -> tuple[float, str]:
    return -answer.confidence, answer.clip


def answer_table(counts: LabelCounts) -> Table:
    """Return what was answered for each file, up to MOST_ANSWERS."""
    rows = [
        [
            plain(answer.clip),
            plain(answer.predicted or answer.state),
            plain(answer.runner_up),
            percent(answer.confidence if answer.confidence >= 0 else None),
        ]
        for answer in counts.answers
    ]
    shown, files = len(rows), amount(counts.files, "file")
    caption = f"All {files}" if shown == counts.files else f"The {shown:,} most confident of {files}"
    return Table(caption, ["file", "emotion", "runner-up", "confidence"], rows, text=3)


def summarize_timings(parts: Iterable[pa.Table]) -> Timings:
    """Sum up TIMINGS rows that come in parts, one a shard."""
    slowest: list[tuple[float, str]] = []
    ends: list[NDArray[np.float64]] = []  # of each file: a shard's rows all bear the time of its commit
    begun = np.inf
    for part in parts:
        if part.num_rows:
            seconds, finished = part["seconds"].to_pylist(), part["finished"][0].as_py()
            slowest = heapq.nlargest(MOST_SLOW, [*slowest, *zip(seconds, part["path"].to_pylist(), strict=True)])
            begun = min(begun, finished - sum(seconds))
            ends.append(finished - sum(seconds) + np.cumsum(seconds, dtype=np.float64))
    if not ends:
        return Timings([], [], 0.0)
    ended = np.concatenate(ends)
    span = max(ended.max() - begun, 1e-3)
    step = next((step for step in _STEPS if span <= _BARS * step), span / _BARS)
    places = np.minimum(((ended - begun) / step).astype(int), int(np.ceil(span / step)) - 1)
    counts = np.bincount(places).tolist()
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
