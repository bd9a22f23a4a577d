"""Stretches of a clip: windows on a grid, on one clock that begins where the file begins."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

from emocore.errors import UserError

_MICROSECONDS = 1_000_000


@dataclass(frozen=True)
class Window:
    """A stretch [start, end) of a clip, in seconds on its clock; `index` is its place on the grid, and its key."""

    index: int
    start_seconds: float
    end_seconds: float


@dataclass(frozen=True)
class WindowGrid:
    """Where the windows of a clip lie. Times are whole microseconds: they are never joined on, `index` is.

    `length_seconds` None: one window, the whole clip. `hop_seconds` None: the first window alone. `tail` says what
    becomes of a last window that the clip does not fill: it is kept as it is, is padded to the whole length, or
    dropped.

    >>> [(w.start_seconds, w.end_seconds) for w in WindowGrid(2.0, 1.0).windows(3.5)]
    [(0.0, 2.0), (1.0, 3.0), (2.0, 3.5)]
    >>> list(WindowGrid().windows(3.5))
    [Window(index=0, start_seconds=0.0, end_seconds=3.5)]
    """

    length_seconds: float | None = None
    hop_seconds: float | None = None
    tail: Literal["keep", "pad", "drop"] = "keep"

    def __post_init__(self) -> None:
        for name, value in (("window", self.length_seconds), ("hop", self.hop_seconds)):
            if value is not None and not 1e-3 <= value <= 3600:
                raise UserError(f"A {name} lasts from 0.001 to 3600 seconds: got {value:g}.")
        if self.length_seconds is None and self.hop_seconds is not None:
            raise UserError("A hop parts windows, and one window is the whole clip: give a length too.")

    def at(self, index: int) -> Window:
        """Return the window at a place, whatever the clip's length. Raises ValueError where the grid has no length."""
        if self.length_seconds is None or (index and self.hop_seconds is None):
            raise ValueError(f"This grid has no window {index} without the clip's duration.")
        start = index * _whole(self.hop_seconds or 0.0)
        return Window(index, start / _MICROSECONDS, (start + _whole(self.length_seconds)) / _MICROSECONDS)

    def windows(self, duration_seconds: float) -> Iterator[Window]:
        """Yield the windows of a clip in their order; the first that reaches the clip's end is the last."""
        end = _whole(duration_seconds)
        if self.length_seconds is None:
            yield Window(0, 0.0, end / _MICROSECONDS)
            return
        index = 0
        while True:
            window = self.at(index)
            is_full = _whole(window.end_seconds) <= end
            if is_full or self.tail == "pad":
                yield window
            elif self.tail == "keep":
                yield Window(index, window.start_seconds, end / _MICROSECONDS)
            index += 1
            if self.hop_seconds is None or _whole(window.end_seconds) >= end:
                return

    def covering(self, seconds: float) -> range:
        """Return the places of the windows that hold this moment of a clip that goes on for ever.

        >>> WindowGrid(2.0, 1.0).covering(2.5)
        range(1, 3)
        """
        moment = _whole(seconds)
        if self.length_seconds is None:
            return range(1)
        length = _whole(self.length_seconds)
        if self.hop_seconds is None:
            return range(int(0 <= moment < length))
        hop = _whole(self.hop_seconds)
        return range(max(0, (moment - length) // hop + 1), max(0, moment // hop + 1))

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)


WHOLE_CLIP = WindowGrid()


def _whole(seconds: float) -> int:
    return round(seconds * _MICROSECONDS)
