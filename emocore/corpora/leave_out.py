"""What is left out of a corpus or an archive by its name: what storage keeps for itself, and what the user excludes."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from fnmatch import translate

from emocore.errors import UserError

# Thumbnails, waste bins, snapshots and repairs of NAS boxes, Windows, macOS and Linux. Hidden files (.Trash-1000) never
# count as media.
KEPT_BY_STORAGE = (
    *("@eaDir", "#recycle", "@Recycle", "#snapshot", "@Recently-Snapshot", "$RECYCLE.BIN", "RECYCLER"),
    *("System Volume Information", "lost+found", "__MACOSX"),
)


class LeaveOut:
    """Says of every name whether it is left out, and counts by glob what was.

    A glob without "/" is compared with the name of each level, one with "/" with the whole path below the root; neither
    tells capitals from small letters. Raises UserError for an empty one.

    >>> leave_out = LeaveOut(["*_noise.wav", "raw/*"])
    >>> [leave_out.has(below) for below in ("a/x_noise.wav", "raw/1.wav", "a/raw/1.wav", "@eaDir")]
    [True, True, False, True]
    >>> print(leave_out)
    left out by name: *_noise.wav (1), raw/* (1), @eaDir (1)
    """

    def __init__(self, exclude: Sequence[str] = ()) -> None:
        if not all(glob.strip("/") for glob in exclude):
            raise UserError("--exclude '' names nothing: give a name, a path or a glob, such as '*_noise.wav'.")
        globs = {glob.strip("/"): re.compile(translate(glob.strip("/").lower())) for glob in exclude}
        self._own = {glob: pattern for glob, pattern in globs.items() if "/" not in glob}
        self._paths = {glob: pattern for glob, pattern in globs.items() if "/" in glob}
        self._storage = {name.lower(): name for name in KEPT_BY_STORAGE}
        self.counts: Counter[str] = Counter()

    def has(self, below: str) -> bool:
        """Whether the last level of this path below the root is left out; the levels above it were asked before."""
        below = below.lower()
        name = below.rpartition("/")[2]
        glob = self._storage.get(name) or _first(self._own, name) or _first(self._paths, below)
        if glob:
            self.counts[glob] += 1
        return glob is not None

    def has_any(self, below: str) -> bool:
        """Whether any level of this path is left out."""
        parts = below.split("/")
        return any(self.has("/".join(parts[:n])) for n in range(1, len(parts) + 1))

    def __str__(self) -> str:
        found = ", ".join(f"{glob} ({n:,})" for glob, n in self.counts.items())
        return f"left out by name: {found}" if found else ""


def _first(globs: dict[str, re.Pattern[str]], text: str) -> str | None:
    return next((glob for glob, pattern in globs.items() if pattern.match(text)), None)


def without(rows: Iterable[dict[str, object]], leave_out: LeaveOut) -> list[dict[str, object]]:
    """Return the rows whose path below the root is not left out."""
    return [row for row in rows if not leave_out.has_any(str(row["below"]))]
