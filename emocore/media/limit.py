"""The time that one file may take: it grows with what is read of it."""

import math
import time
from collections.abc import Callable

from emocore.errors import MediaError, Stage

MEDIA_SECONDS = 1_200.0  # of sound or film that --seconds-per-file is for: more media have more time, as much for each
READ_BYTES = 2**30  # the same of bytes
BYTES_A_SECOND = 2**25  # that take about as long to read, where it is said how far a file was read


class TimeLimit:
    """The seconds that one file may take from now on, to find, to hash and to decode it; more where it is long."""

    def __init__(self, seconds: float, alive: Callable[[float], None] = lambda _: None) -> None:
        self.seconds = seconds
        self.alive = alive  # told, at each check, that the file goes on, and how far, in about seconds of media
        self.started = time.monotonic()
        self._media = self._bytes = 0.0

    @property
    def allowed(self) -> float:
        """How many they are by now."""
        return self.seconds * (1 + self._media / MEDIA_SECONDS + self._bytes / READ_BYTES)

    def read(self, *, media_seconds: float = 0.0, n_bytes: int = 0) -> None:
        """Take in that the file was read up to here: so many seconds of media, or so many more bytes."""
        self._media = max(self._media, media_seconds)
        self._bytes += n_bytes

    def check(self, stage: Stage) -> None:
        """Raise MediaError (too_slow) once they are over."""
        self.alive(self._media + self._bytes / BYTES_A_SECOND)
        if time.monotonic() > self.started + self.allowed:
            raise MediaError(stage, "too_slow", f"not done after {self.allowed:.0f} s: see --seconds-per-file")


NO_LIMIT = TimeLimit(math.inf)
