"""The time that one file may take."""

import math
import time

from emocore.errors import MediaError, Stage


class TimeLimit:
    """The seconds that one file may take from now on: to find, to hash and to decode it."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.end = time.monotonic() + seconds

    def check(self, stage: Stage) -> None:
        """Raise MediaError (too_slow) once they are over."""
        if time.monotonic() > self.end:
            raise MediaError(stage, "too_slow", f"not done after {self.seconds:.0f} s: see --seconds-per-file")


NO_LIMIT = TimeLimit(math.inf)
