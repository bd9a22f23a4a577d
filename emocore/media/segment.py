"""What is heard and shown of a segment, as of a clip of its own: on a clock that begins where the segment does.

The file is decoded from its begin, or from shortly before the segment (see `midway`), and no further than that goes.
"""

from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from emocore.errors import MediaError
from emocore.media.audio import Enough, Take
from emocore.media.fragment import Segment
from emocore.media.reading import Hear, Media
from emocore.media.video import Keep, Picture, Show

_LEAST_SECONDS = 1e-6  # between times that are not the same: stamps and segments are both rounded
_DIGITS = 9  # of a second behind the point: what differences of decimals have beyond that is noise
_NO_IMAGE: NDArray[np.uint8] = np.zeros((0, 0), np.uint8)


class Excerpt:
    """Lets pass what lies in a segment of a file, and ends the reading behind it; None: all of the file passes."""

    def __init__(self, segment: Segment | None, *, sees: bool) -> None:
        self.segment = segment or Segment(0.0)
        self.is_whole = segment is None
        self.ended = False
        self._expects = {"pictures"} if sees else set()  # behind whose end nothing more is read

    def hear(self, hear: Hear) -> Hear:
        """Return what takes the sound tracks of the file; samples are the segment's by the moment they begin at."""
        return hear if self.is_whole else partial(self._hear, hear)

    def show(self, show: Show) -> Show:
        """Return what takes the pictures of the file."""
        return show if self.is_whole else partial(self._show, show)

    def keep(self, keep: Keep | None) -> Keep | None:
        """Return what keeps frames of the file: no face is looked for in those outside of the segment."""
        return keep if self.is_whole or keep is None else partial(self._keep, keep)

    def part_of(self, media: Media) -> Media:
        """Return what the segment held of what its file did, on its own clock.

        Raises MediaError where the file ends before the segment begins.
        """
        if self.is_whole:
            return media
        start, end = self.segment.start_seconds, self.segment.end_seconds
        if self.ended or media.duration_seconds is None:  # a still does not end
            lasts = None if end is None else end - start
        else:
            lasts = (media.duration_seconds if end is None else min(end, media.duration_seconds)) - start
        if lasts is not None and lasts <= 0:
            detail = f"the segment begins at {start:g} s, and the file ends at {media.duration_seconds:g} s"
            raise MediaError("decode", "no_samples", detail)
        lasts = lasts and round(lasts, _DIGITS)
        return replace(media, sound_seconds=lasts, sound_begin_seconds=0.0)

    def _hear(self, hear: Hear, sample_rate_hz: int, begins: float) -> Take:
        start, end = self.segment.start_seconds, self.segment.end_seconds
        self._expects.add("sound")
        take = hear(sample_rate_hz, max(0.0, begins - start))
        first = max(0, round((start - begins) * sample_rate_hz))
        last = None if end is None else max(0, round((end - begins) * sample_rate_hz))
        samples = 0

        def taken(signal: NDArray[np.float32]) -> None:
            nonlocal samples
            part = signal[..., max(0, first - samples) : None if last is None else max(0, last - samples)]
            samples += signal.shape[-1]
            if part.size:
                take(part)
            if last is not None and samples >= last:
                self._end("sound")

        return taken

    def _keep(self, keep: Keep, index: int, seconds: float, grey: NDArray[np.uint8]) -> Picture:
        return keep(index, seconds, grey) if self._holds(seconds) else Picture(index, seconds, _NO_IMAGE)

    def _show(self, show: Show, picture: Picture) -> None:
        seconds, end = picture.time_seconds, self.segment.end_seconds
        if self._holds(seconds):
            show(replace(picture, time_seconds=max(0.0, seconds - self.segment.start_seconds)))
        elif end is not None and seconds >= end - _LEAST_SECONDS:
            self._end("pictures")

    def _holds(self, seconds: float) -> bool:
        end = self.segment.end_seconds
        begun = seconds >= self.segment.start_seconds - _LEAST_SECONDS
        return begun and (end is None or seconds < end - _LEAST_SECONDS)

    def _end(self, what: str) -> None:
        self._expects.discard(what)
        if not self._expects:
            self.ended = True
            raise Enough
