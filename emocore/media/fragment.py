"""A stretch of a file as a clip of its own: `dir/file.wav#t=12.5,14.0`.

That is a media fragment (W3C Media Fragments URI 1.0, 4.2.1: the temporal dimension, in seconds of normal play time).
"""

import math
import re
from dataclasses import dataclass
from decimal import Decimal

_NUMBER = r"[0-9]+(?:\.[0-9]*)?"
_FRAGMENT = re.compile(rf"#t=(?:npt:)?({_NUMBER})?(?:,({_NUMBER}))?$")


@dataclass(frozen=True)
class Segment:
    """The stretch [start, end) of a file, in seconds on its clock; `end_seconds` None: to the end of the file."""

    start_seconds: float
    end_seconds: float | None = None

    @property
    def is_possible(self) -> bool:
        """Whether there is such a stretch: it begins at 0 or later, and ends after that."""
        ends = math.inf if self.end_seconds is None else self.end_seconds
        return 0 <= self.start_seconds < ends

    @property
    def fragment(self) -> str:
        """How it is written behind the name of its file: the shortest decimals that give the numbers back.

        >>> Segment(12.5, 14.0).fragment, Segment(1e-3).fragment
        ('#t=12.5,14.0', '#t=0.001')
        """
        numbers = [self.start_seconds] if self.end_seconds is None else [self.start_seconds, self.end_seconds]
        return "#t=" + ",".join(f"{Decimal(repr(number)):f}" for number in numbers)


def split_fragment(path: str) -> tuple[str, Segment | None]:
    """Return what stands before a fragment, and the stretch that it names; None where there is none.

    Whether a file bears the whole name is not asked: see `source.split_segment`.

    >>> split_fragment("a.wav#t=1.5,2")
    ('a.wav', Segment(start_seconds=1.5, end_seconds=2.0))
    >>> split_fragment("a.wav#t=,2"), split_fragment("a.wav#t=2,1")
    (('a.wav', Segment(start_seconds=0.0, end_seconds=2.0)), ('a.wav#t=2,1', None))
    """
    found = _FRAGMENT.search(path) if "#t=" in path else None
    if found is None or not (found[1] or found[2]):
        return path, None
    segment = Segment(float(found[1] or 0), float(found[2]) if found[2] else None)
    return (path[: found.start()], segment) if segment.is_possible else (path, None)
