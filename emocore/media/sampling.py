"""Which pictures of a film are looked at: every n-th of them, or so many a second of its time."""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from av.video.stream import VideoStream

from emocore.errors import MediaError

# Matroska and FLV round stamps to a millisecond: so far before its begin a picture is in an interval already.
ROUNDING_SECONDS = Fraction(1, 2_000)


@dataclass(frozen=True)
class Sampling:
    """A film in intervals, of each of which the first picture that is shown in it is looked at.

    `every`: of so many pictures each. `frames_per_second`: the k-th is [k / f, (k + 1) / f) of the film's own seconds,
    since its first picture; in one that no picture begins in, none is looked at.

    >>> [Sampling(frames_per_second=2.0).interval(20, Fraction(time)) for time in ("0", "0.49", "0.4995", "1")]
    [0, 0, 1, 2]
    """

    every: int | None = None
    frames_per_second: float | None = None

    def interval(self, index: int, seconds: Fraction | None) -> int:
        """Return the number of the interval of a picture: its index among all, and when it is shown, are given."""
        if self.every is not None:
            return index // self.every
        assert self.frames_per_second is not None and seconds is not None
        return math.floor((seconds + ROUNDING_SECONDS) * Fraction(str(self.frames_per_second)))


class Intervals:
    """Numbers the intervals of one film by its own stamps."""

    def __init__(self, stream: VideoStream, sampling: Sampling) -> None:
        self.stream = stream
        self.sampling = sampling

    def of_frame(self, index: int, frame: Any) -> int:
        """Return the interval of a decoded picture. Raises MediaError where nothing says when it is shown."""
        return self.sampling.interval(index, since_begin(index, frame, self.stream) if self._by_time else None)

    def of_stamp(self, index: int, pts: int | None) -> int | None:
        """Return the interval of a picture whose packet has this stamp; None before the first one."""
        if index < 0:
            return None
        if not self._by_time or pts is None or not self.stream.time_base:
            return self.sampling.interval(index, None)
        return self.sampling.interval(index, (pts - (self.stream.start_time or 0)) * self.stream.time_base)

    @property
    def _by_time(self) -> bool:
        return self.sampling.every is None


def since_begin(index: int, frame: Any, stream: VideoStream) -> Fraction:
    """Return when a picture is shown, in seconds since the film's begin. Raises MediaError where nothing says so."""
    # Not of H.264 in AVI: FFmpeg numbers those pictures as they are stored.
    is_numbered = is_avi(stream) and stream.codec_context.name in ("h264", "hevc")
    if frame.pts is not None and stream.time_base and not is_numbered:
        return Fraction((frame.pts - (stream.start_time or 0)) * stream.time_base)
    if stream.average_rate:
        return Fraction(index / stream.average_rate)
    raise MediaError("decode", "broken", "the pictures carry no times, and the stream no frame rate")


def is_avi(stream: VideoStream) -> bool:
    """Whether a film is in AVI, which numbers its packets: when their pictures are shown is FFmpeg's guess."""
    return bool(stream.container.format.name == "avi")
