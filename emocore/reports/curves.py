"""What a recording says over time: its windows as a curve of even steps, each the mean of the windows that cover it."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from emocore.arrays import Floats

STEPS = 300  # of a curve at most: what a page's width shows
LEAST_STEP_SECONDS = 0.1
MOST_CURVES = 4


class Curve(NamedTuple):
    """A recording over time: begins of the steps [n] in seconds, how long one is, and shares [n, k]; NaN: no answer."""

    clip: str
    seconds: Floats
    step_seconds: float
    shares: Floats
    emotions: tuple[str, ...]


class _Sums:
    def __init__(self, clip: str, duration_seconds: float, k: int, begins: float) -> None:
        self.clip, self.begins = clip, begins
        self.step = max(LEAST_STEP_SECONDS, duration_seconds / STEPS)
        n = max(1, int(np.ceil(duration_seconds / self.step - 1e-9)))
        self.sums, self.counts = np.zeros((n, k)), np.zeros(n)

    def add(self, start: float, end: float, shares: Floats) -> None:
        first = max(0, round((start - self.begins) / self.step))
        steps = slice(first, max(first + 1, round((end - self.begins) / self.step)))
        self.sums[steps] += shares
        self.counts[steps] += 1

    def curve(self, emotions: tuple[str, ...]) -> Curve:
        with np.errstate(invalid="ignore", divide="ignore"):
            shares = np.where(self.counts[:, None] > 0, self.sums / self.counts[:, None], np.nan)
        seconds = self.begins + self.step * np.arange(len(self.counts), dtype=np.float64)
        return Curve(self.clip, seconds, self.step, shares, emotions)


def curves_of(
    parts: Iterable[pa.Table], durations: dict[str, float], begins: dict[str, float], emotions: Sequence[str]
) -> list[Curve]:
    """Return the curves of the clips whose durations are given, from WINDOWS rows that come in parts.

    A clip whose voices are tracks has a curve a track. `begins`: of segments, when they do on their files' clocks, on
    which windows are.
    """
    sums: dict[str, dict[int, _Sums]] = {clip: {} for clip in durations}
    names = [f"p_{name}" for name in emotions]
    for part in parts:
        mine = part.filter(
            pc.and_(pc.is_in(part["clip"], pa.array(list(durations), pa.string())), pc.is_valid(part["predicted"]))
        )
        shares = np.column_stack([mine[name].to_numpy() for name in names])
        told = (mine[name].to_pylist() for name in ("clip", "track", "start_seconds", "end_seconds"))
        for clip, track, start, end, said in zip(*told, shares, strict=True):
            if track not in sums[clip]:
                name = f"{clip}, voice {track}" if track else clip
                sums[clip][track] = _Sums(name, durations[clip], len(emotions), begins.get(clip, 0.0))
            sums[clip][track].add(start, end, said)
    return [one.curve(tuple(emotions)) for tracks in sums.values() for _, one in sorted(tracks.items())]


def curve_of(
    clip: str,
    begins: float,
    ends: float,
    windows: Iterable[tuple[float, float, Sequence[float]]],
    emotions: Sequence[str],
) -> Curve:
    """Return the curve of a clip from its begin to its end, whose windows are given: begin, end, and float[k]."""
    sums = _Sums(clip, ends - begins, len(emotions), begins)
    for start, end, shares in windows:
        sums.add(start, end, np.asarray(shares, np.float64))
    return sums.curve(tuple(emotions))


class Longest:
    """The recordings with the most windows of all LABELS rows that were added."""

    def __init__(self) -> None:
        self._found: list[tuple[int, str, float, str]] = []

    def add(self, part: pa.Table) -> None:
        """Add LABELS rows."""
        rows = zip(*(part[name].to_pylist() for name in ("windows", "clip", "duration_seconds", "path")), strict=True)
        several = [(n, clip, seconds, path) for n, clip, seconds, path in rows if n and n > 1 and seconds]
        self._found = sorted([*self._found, *several], key=lambda row: (-row[0], row[1]))[:MOST_CURVES]

    @property
    def durations(self) -> dict[str, float]:
        """How long they are, by clip, the one with the most windows first."""
        return {clip: seconds for _, clip, seconds, _ in self._found}

    @property
    def paths(self) -> dict[str, str]:
        """Where they are, by clip."""
        return {clip: path for _, clip, _, path in self._found}
