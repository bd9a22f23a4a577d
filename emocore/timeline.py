"""Stretches of a clip: windows on a grid, on one clock that begins where the file begins."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from emocore.errors import UserError

GridName = Literal["tiled", "speech"]
ChannelsName = Literal["mix", "separate"]

LEAST_WINDOW_SECONDS, MOST_WINDOW_SECONDS = 0.1, 60.0  # that a user may ask for, and of a hop
_MICROSECONDS = 1_000_000


@dataclass(frozen=True)
class Window:
    """A stretch [start, end) of a clip, in seconds on its clock; `index` is its place on the grid, and its key."""

    index: int
    start_seconds: float
    end_seconds: float


@dataclass(frozen=True)
class WindowGrid:
    """Where the windows of a clip lie. Times are whole ticks, microseconds: they are never joined on, `index` is.

    `length_seconds` None: one window, the whole clip. `hop_seconds` None: the first window alone. `tail` says what
    becomes of a last window that the clip does not fill: it is kept as it is, is padded to the whole length, or
    dropped. `ticks_per_second` of a sample rate: windows begin and end at samples.

    >>> [(w.start_seconds, w.end_seconds) for w in WindowGrid(2.0, 1.0).windows(3.5)]
    [(0.0, 2.0), (1.0, 3.0), (2.0, 3.5)]
    >>> list(WindowGrid().windows(3.5))
    [Window(index=0, start_seconds=0.0, end_seconds=3.5)]
    """

    length_seconds: float | None = None
    hop_seconds: float | None = None
    tail: Literal["keep", "pad", "drop"] = "keep"
    ticks_per_second: int = _MICROSECONDS

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
        start = index * self._ticks(self.hop_seconds or 0.0)
        ends = start + self._ticks(self.length_seconds)
        return Window(index, start / self.ticks_per_second, ends / self.ticks_per_second)

    def windows(self, duration_seconds: float) -> Iterator[Window]:
        """Yield the windows of a clip in their order; the first that reaches the clip's end is the last."""
        end = self._ticks(duration_seconds)
        if self.length_seconds is None:
            yield Window(0, 0.0, end / self.ticks_per_second)
            return
        index = 0
        while True:
            window = self.at(index)
            if index and self._ticks(window.start_seconds) >= end:  # of windows with gaps between them
                return
            is_full = self._ticks(window.end_seconds) <= end
            if is_full or self.tail == "pad":
                yield window
            elif self.tail == "keep":
                yield Window(index, window.start_seconds, end / self.ticks_per_second)
            index += 1
            if self.hop_seconds is None or self._ticks(window.end_seconds) >= end:
                return

    def covering(self, seconds: float) -> range:
        """Return the places of the windows that hold this moment of a clip that goes on for ever.

        >>> WindowGrid(2.0, 1.0).covering(2.5)
        range(1, 3)
        """
        moment = self._ticks(seconds)
        if self.length_seconds is None:
            return range(1)
        length = self._ticks(self.length_seconds)
        if self.hop_seconds is None:
            return range(int(0 <= moment < length))
        hop = self._ticks(self.hop_seconds)
        return range(max(0, (moment - length) // hop + 1), max(0, moment // hop + 1))

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values; the ticks only where they are others than microseconds."""
        told = asdict(self)
        if self.ticks_per_second == _MICROSECONDS:
            del told["ticks_per_second"]
        return told

    def _ticks(self, seconds: float) -> int:
        return round(seconds * self.ticks_per_second)


WHOLE_CLIP = WindowGrid()


@dataclass(frozen=True)
class HowCut:
    """How a recording is heard and cut into windows; what is None is as the features of the model say.

    `grid` None: their own, one window a clip. `vad`: whether speech is looked for, and a window without it has no
    answer. `channels` separate: those of a sound track are voices, each with windows of its own.
    """

    grid: GridName | None = None
    window_seconds: float | None = None  # None: as long as the features are made for
    hop_seconds: float | None = None  # None: half of a window, and a whole one of films
    vad: bool = False
    channels: ChannelsName = "mix"


AS_FAMILIES_SAY = HowCut()


def how_cut(
    grid: GridName | None = None,
    window_seconds: float | None = None,
    hop_seconds: float | None = None,
    *,
    vad: bool = True,
    channels: ChannelsName = "mix",
    sees: bool = False,
) -> HowCut:
    """Return how `label` cuts a recording for a model that hears or sees. Raises UserError.

    >>> how_cut(), how_cut(vad=False).grid, how_cut(sees=True).grid
    (HowCut(grid='speech', window_seconds=None, hop_seconds=None, vad=True, channels='mix'), 'tiled', 'tiled')
    """
    for option, value in (("--window-seconds", window_seconds), ("--hop-seconds", hop_seconds)):
        if value is not None and not LEAST_WINDOW_SECONDS <= value <= MOST_WINDOW_SECONDS:
            least, most = LEAST_WINDOW_SECONDS, MOST_WINDOW_SECONDS
            raise UserError(f"{option} must be from {least:g} to {most:g} seconds: got {value:g}.")
    if grid not in (None, *get_args(GridName)):
        raise UserError(f"--grid must be one of {', '.join(get_args(GridName))}: got {grid!r}.")
    if grid == "speech" and not vad:
        raise UserError("--grid speech places windows on speech, for which --no-vad does not look: leave one out.")
    if channels not in get_args(ChannelsName):
        raise UserError(f"--channels must be one of {', '.join(get_args(ChannelsName))}: got {channels!r}.")
    of_sound = {"--grid speech": grid == "speech", "--no-vad": not vad, "--channels separate": channels == "separate"}
    if sees and any(of_sound.values()):
        option = next(option for option, is_given in of_sound.items() if is_given)
        raise UserError(f"{option} is of sound, and the model reads pictures: leave it out.")
    grid = grid or ("speech" if vad and not sees else "tiled")
    return HowCut(grid, window_seconds, hop_seconds, vad and not sees, channels)
