"""What the windows or the frames of a clip say together, summed up one after the other: nothing is kept of each."""

from collections.abc import Sequence

import numpy as np

from emocore.arrays import Floats
from emocore.features.family import JOINED_BY
from emocore.models.aggregation import LEAST, MOST_OF_A_TIE, How


class FrameSum:
    """The frames of a clip or window: `combine` of all of them, whatever the pieces in which they come."""

    def __init__(self, k: int) -> None:
        self.n = 0
        self._logs, self._sums, self._votes, self._weighted = (np.zeros((1, k)) for _ in range(4))

    def add(self, probabilities: Floats) -> None:
        """Add frames, float64[n, k]."""
        first = np.zeros(len(probabilities), np.int64)
        self.n += len(probabilities)
        np.add.at(self._logs, first, np.log(np.maximum(probabilities, LEAST)))
        np.add.at(self._sums, first, probabilities)
        np.add.at(self._votes, first, np.eye(probabilities.shape[1])[probabilities.argmax(axis=1)])
        np.add.at(self._weighted, first, probabilities * probabilities.max(axis=1, initial=0.0)[:, None])

    def answer(self, how: How) -> Floats:
        """Return float64[k]. Raises ZeroDivisionError without a frame."""
        if not self.n:
            raise ZeroDivisionError("no frame to answer from")
        if how == "weighted":
            return _normalised(self._weighted[0])
        means = self._logs[0] / self.n
        geometric = _normalised(np.where(self._sums[0] > 0, np.exp(means - means.max()), 0.0))
        if how == "mean-log":
            return geometric
        share = min(MOST_OF_A_TIE, 0.5 / (self.n + 1))
        return _normalised((1 - share) * self._votes[0] / self.n + share * geometric)


class ClipSum:
    """The windows of a clip, added in the order of their starts: what they say together, and which seconds say what.

    The clip's answer is the mean of its windows' probabilities, each weighted by its seconds of speech (of sound, where
    nobody looked for speech): a recording whose emotion changes is sure of none, and its p columns say how much of it
    is which. What a second says is the mean of the windows that cover it.
    """

    def __init__(self, emotions: Sequence[str]) -> None:
        self.emotions = emotions
        self.windows = self.answered = 0
        self.left_out = 0  # windows that have no row, as there is no number to answer from or with
        self.heard_seconds: float = 0.0  # covered by windows that were answered for
        self.shares: dict[str, float] = {}  # of them, by emotion
        self.answered_by: list[str] = []
        self._sum = np.zeros(len(emotions))
        self._weight = 0.0
        self._only: Floats | None = None
        self._at: float = 0.0
        self._covering: list[tuple[float, Floats]] = []  # where they end, and what they say
        self.span = (np.inf, 0.0)  # from the first window to the last that was answered for

    def add(self, probabilities: Floats, start: float, end: float, weight: float, family: str) -> None:
        """Add a window that was answered for: float64[k], and what it weighs."""
        self._only = None if self.answered else probabilities
        self.answered += 1
        self._sum = self._sum + weight * probabilities
        self._weight += weight
        self.answered_by += [one for one in family.split(JOINED_BY) if one not in self.answered_by]
        self.span = min(self.span[0], start), max(self.span[1], end)
        self._advance(start)
        self._covering.append((end, probabilities))

    def finish(self) -> None:
        """Take in that no window comes any more."""
        self._advance(np.inf)

    def take_in(self, other: "ClipSum") -> None:
        """Add the windows of another voice, of which none comes any more."""
        if other.answered:
            self._only = None if self.answered else other._only
        self.windows += other.windows
        self.answered += other.answered
        self.heard_seconds += other.heard_seconds
        for emotion, seconds in other.shares.items():
            self.shares[emotion] = self.shares.get(emotion, 0.0) + seconds
        self.answered_by += [family for family in other.answered_by if family not in self.answered_by]
        self._sum = self._sum + other._sum
        self._weight += other._weight

    @property
    def answer(self) -> Floats:
        """Return float64[k]: of one window what it says."""
        return self._only if self._only is not None else self._sum / self._weight

    def _advance(self, until: float) -> None:
        while self._covering:
            ends = min(until, min(end for end, _ in self._covering))
            if ends > self._at:
                says = np.mean([said for _, said in self._covering], axis=0)
                self.heard_seconds += ends - self._at
                emotion = self.emotions[int(says.argmax())]
                self.shares[emotion] = self.shares.get(emotion, 0.0) + ends - self._at
                self._at = ends
            self._covering = [(end, said) for end, said in self._covering if end > self._at]
            if ends >= until:
                break
        self._at = max(self._at, until) if np.isfinite(until) else self._at


def together(voices: Sequence[ClipSum], emotions: Sequence[str]) -> ClipSum:
    """Return what the voices of a clip say together; seconds in which several speak count for each of them."""
    if len(voices) == 1:
        return voices[0]
    total = ClipSum(emotions)
    for voice in voices:
        total.take_in(voice)
    return total


def _normalised(values: Floats) -> Floats:
    normalised: Floats = values / values.sum()
    return normalised
