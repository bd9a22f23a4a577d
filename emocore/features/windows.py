"""Where the windows of a sound lie, as it is heard: on a grid, or on the stretches of speech."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

from emocore.timeline import Window, WindowGrid
from emocore.tracks.vad import LEAST_SPEECH_SECONDS, Span, Speech

ALL: Span = (-math.inf, math.inf)


@dataclass(frozen=True)
class Heard:
    """How far a sound was heard, in samples at a rate on its clip's clock, and where it ended, if it has."""

    samples: int
    sample_rate_hz: int
    speech: Speech | None = None
    end_seconds: float | None = None  # where the sound ended

    @property
    def ended(self) -> bool:
        """Whether nothing more comes."""
        return self.end_seconds is not None

    @property
    def known_seconds(self) -> float:
        """Up to when it is known what is speech."""
        return float("inf") if self.ended or self.speech is None else self.speech.known_seconds


@dataclass(frozen=True)
class Cut:
    """A window, and its samples [first, last) at the rate that it was cut by."""

    window: Window
    first: int
    last: int


class Cutter(Protocol):
    """Cuts a sound into windows while it is heard."""

    def ready(self, heard: Heard) -> Iterator[Cut]:
        """Yield the windows that are whole by now."""

    def needed(self, heard: Heard) -> int:
        """Return the first sample that a window may still need."""

    @property
    def is_done(self) -> bool:
        """Whether no window comes any more, whatever is heard."""


class TiledCutter:
    """Windows of a grid, whatever is heard in them: none that ends before the sound begins.

    The grid's own beginning lies `origin` samples behind the clip's; windows begin within `span`.
    """

    def __init__(self, grid: WindowGrid, origin: int = 0, begins_seconds: float = 0.0, span: Span = ALL) -> None:
        self.grid, self.origin, self.span, self.is_done = grid, origin, span, False
        self.index = grid.covering(begins_seconds).start if grid.hop_seconds and begins_seconds else 0
        while grid.hop_seconds and grid.at(self.index).start_seconds < span[0]:
            self.index += 1

    def ready(self, heard: Heard) -> Iterator[Cut]:
        """Yield the windows that are whole by now; behind the end of the sound those that it does not fill."""
        rate = heard.sample_rate_hz
        while not self.is_done and self.grid.length_seconds is not None:
            cut = self._at(self.index, rate)
            if cut.window.start_seconds >= self.span[1]:
                self.is_done = True
                return
            if cut.last > heard.samples or cut.window.end_seconds > heard.known_seconds:
                break
            self._step()
            yield cut
            self.is_done |= heard.ended and cut.last >= heard.samples
        if heard.ended and not self.is_done:
            self.is_done = True
            yield from self._tail(heard)

    def _step(self) -> None:
        self.index += 1
        self.is_done = self.grid.hop_seconds is None

    def _at(self, index: int, rate: int) -> Cut:
        return _cut(self.grid.at(index), rate, self.origin)

    def _tail(self, heard: Heard) -> Iterator[Cut]:
        """Yield what a grid makes of a last window that the sound does not fill."""
        rate, end = heard.sample_rate_hz, heard.end_seconds or 0.0
        if self.grid.length_seconds is None:
            yield Cut(Window(0, self.origin / rate, end), self.origin, heard.samples)
            return
        cut = self._at(self.index, rate)
        covered = self.index and self._at(self.index - 1, rate).last >= heard.samples
        if not covered and self.grid.tail != "drop" and (cut.first < heard.samples or not self.index):
            yield Cut(Window(self.index, cut.window.start_seconds, end), cut.first, heard.samples)

    def needed(self, heard: Heard) -> int:
        """Return the first sample that a window may still need."""
        if self.is_done:
            return heard.samples
        return self.origin if self.grid.length_seconds is None else self._at(self.index, heard.sample_rate_hz).first


class SpeechCutter:
    """Windows on stretches of speech: none holds parts of two, or a pause between two.

    Of stretches what lies in `span` is one by itself.

    A stretch shorter than the longest window has what is around it too, evenly on both sides, as far as nobody speaks
    there: models were trained on recordings that begin before the voice. A longer one is tiled, a hop apart; its last
    window ends with it. Windows begin at multiples of `step` samples.
    """

    def __init__(
        self, longest_seconds: float, hop_seconds: float, step: int = 1, begins: float = 0.0, span: Span = ALL
    ) -> None:
        self.longest_seconds, self.hop_seconds, self.step = longest_seconds, hop_seconds, step
        self.index, self.span, self.is_done = 0, span, False
        self.before = begins  # the end of the stretch before, or the begin of the sound
        self.tile: float | None = None  # where the next window begins of a stretch that is tiled

    def ready(self, heard: Heard) -> Iterator[Cut]:
        """Yield the windows that are whole by now."""
        assert heard.speech is not None
        spans = [span for span in self._parted(heard.speech.all()) if span[1] > self.before + 1e-9]
        ended = len(spans) if heard.ended or heard.speech.begun is None else len(spans) - 1
        for place, (start, end) in enumerate(spans):
            if start >= self.span[1]:
                break
            if start >= self.span[0] and place >= ended:
                yield from self._tiles(start, end, heard)
                return
            if place >= ended:  # of the section before, or until it reaches into this one
                return
            if start < self.span[0] or (end in self.span and end - start < LEAST_SPEECH_SECONDS):
                self.before = end
                continue
            if self.tile is None and end - start <= self.longest_seconds:
                following = spans[place + 1][0] if place + 1 < len(spans) else None
                around = self._around(start, end, following, heard)
                if around is None:
                    return
                yield self._next(*around, heard)
            else:
                if not self._is_there(end, heard):
                    return
                yield from self._tiles(start, end, heard)
                yield from self._last(start, end, heard)
            self.before, self.tile = end, None
        self.is_done = heard.known_seconds >= self.span[1]

    def _parted(self, spans: Iterable[Span]) -> Iterator[Span]:
        """Yield stretches, those that reach into what is before or behind `span` in parts."""
        for start, end in spans:
            edges = [edge for edge in self.span if start < edge < end]
            yield from pairwise([start, *edges, end])

    def _around(self, start: float, end: float, following: float | None, heard: Heard) -> Span | None:
        """Return the window of a stretch; None until it is known what comes behind it."""
        spare = self.longest_seconds - (end - start)
        limit = following
        if limit is None:
            now = heard.samples / heard.sample_rate_hz
            limit = now if heard.ended else min(now, heard.known_seconds)
            if limit < end + spare and not heard.ended:
                return None
        after = min(spare / 2, limit - end)
        ahead = min(spare - after, start - self.before)
        after = min(spare - ahead, limit - end)
        return (start - ahead, end + after) if self._is_there(end + after, heard) else None

    def _is_there(self, end: float, heard: Heard) -> bool:
        return heard.ended or round(end * heard.sample_rate_hz) <= heard.samples

    def _tiles(self, start: float, end: float, heard: Heard) -> Iterator[Cut]:
        at = start if self.tile is None else self.tile
        while at + self.longest_seconds <= end and self._is_there(at + self.longest_seconds, heard):
            yield self._next(at, at + self.longest_seconds, heard)
            self.tile = at = at + self.hop_seconds

    def _last(self, start: float, end: float, heard: Heard) -> Iterator[Cut]:
        covered = start if self.tile is None else self.tile - self.hop_seconds + self.longest_seconds
        last = max(start, end - self.longest_seconds)
        is_again = self.tile is not None and self._step_of(last, heard) == self._step_of(
            self.tile - self.hop_seconds, heard
        )
        if end - covered > 1e-6 and not is_again:
            yield self._next(last, end, heard)

    def _step_of(self, seconds: float, heard: Heard) -> int:
        return int(seconds * heard.sample_rate_hz) // self.step

    def _next(self, start: float, end: float, heard: Heard) -> Cut:
        rate = heard.sample_rate_hz
        first = max(0, self._step_of(start, heard) * self.step)
        last = min(first + round(self.longest_seconds * rate), round(end * rate), heard.samples)
        window = Window(self.index, first / rate, last / rate)
        self.index += 1
        return Cut(window, first, last)

    def needed(self, heard: Heard) -> int:
        """Return the first sample that a window may still need."""
        assert heard.speech is not None
        since = None if self.tile is None else self.tile - self.hop_seconds  # the last window may begin behind that
        if since is None:
            first = next(
                (span[0] for span in heard.speech.all() if span[1] > self.before + 1e-9), heard.speech.known_seconds
            )
            since = max(self.before, min(first, heard.speech.known_seconds) - self.longest_seconds)
        return max(0, int(since * heard.sample_rate_hz) - self.step)


def _cut(window: Window, rate: int, origin: int = 0) -> Cut:
    first, last = round(window.start_seconds * rate), round(window.end_seconds * rate)
    if origin:
        window = Window(window.index, window.start_seconds + origin / rate, window.end_seconds + origin / rate)
    return Cut(window, first + origin, last + origin)
