"""What is left out of a corpus or an archive, by its name or as a link, and the count of all that is not listed."""

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import translate
from os.path import realpath
from typing import Any

from emocore.errors import UserError, amount

# Thumbnails, waste bins, snapshots and repairs of NAS boxes, Windows, macOS and Linux. Hidden files (.Trash-1000) never
# count as media.
KEPT_BY_STORAGE = (
    *("@eaDir", "#recycle", "@Recycle", "#snapshot", "@Recently-Snapshot", "$RECYCLE.BIN", "RECYCLER"),
    *("System Volume Information", "lost+found", "__MACOSX"),
)


@dataclass
class Unlisted:
    """What a walk came upon and did not list, and how many links led it out of its root."""

    passed_over: Counter[str] = field(default_factory=Counter)  # files that are no media, by suffix
    left_out: Counter[str] = field(default_factory=Counter)  # files and folders, by the glob that names them
    links_left_out: int = 0
    links_out: int = 0  # followed, to folders and files that are not below the root
    link_out: str = ""  # the first of them, and where it leads

    def to_json(self) -> dict[str, Any]:
        """Return the counts, as manifest.json and summary.json have them."""
        return {
            "passed_over": dict(self.passed_over.most_common()),
            "left_out": dict(self.left_out.most_common()),
            "links_left_out": self.links_left_out,
            "links_out": self.links_out,
        }

    def lines(self) -> list[str]:
        """Return in words what was left out, and by which links the walk left its root."""
        lines = []
        if self.left_out:
            lines.append(f"left out by name: {', '.join(f'{glob} ({n:,})' for glob, n in self.left_out.items())}")
        if self.links_left_out:
            lines.append(f"left out: {amount(self.links_left_out, 'link')}")
        if self.links_out:
            links = amount(self.links_out, "link")
            lines.append(
                f"{links} followed to what lies elsewhere, such as {self.link_out}: --no-follow leaves links out"
            )
        return lines


def describe_passed_over(passed_over: Mapping[str, int]) -> str:
    """Return in words how many files were no media by their suffix, most first.

    >>> describe_passed_over({".txt": 1_200, "": 3})
    'passed over as no media: 1,200 .txt, 3 without a suffix'
    """
    most = sorted(passed_over.items(), key=lambda one: (-one[1], one[0]))
    counts = [f"{count:,} {suffix or 'without a suffix'}" for suffix, count in most]
    return f"passed over as no media: {', '.join(counts)}"


class LeaveOut:
    """Says of every name and link whether it is left out, and counts in `unlisted` what was.

    Links are followed unless `no_follow`. A glob without "/" is compared with the name of each level, one with "/" with
    the whole path below the root; neither tells capitals from small letters. Raises UserError for an empty one.

    >>> leave_out = LeaveOut(["*_noise.wav", "raw/*"])
    >>> [leave_out.has(below) for below in ("a/x_noise.wav", "raw/1.wav", "a/raw/1.wav", "@eaDir")]
    [True, True, False, True]
    >>> leave_out.unlisted.lines()
    ['left out by name: *_noise.wav (1), raw/* (1), @eaDir (1)']
    """

    def __init__(self, exclude: Sequence[str] = (), *, no_follow: bool = False) -> None:
        if not all(glob.strip("/") for glob in exclude):
            raise UserError("--exclude '' names nothing: give a name, a path or a glob, such as '*_noise.wav'.")
        globs = {glob.strip("/"): re.compile(translate(glob.strip("/").lower())) for glob in exclude}
        self._own = {glob: pattern for glob, pattern in globs.items() if "/" not in glob}
        self._paths = {glob: pattern for glob, pattern in globs.items() if "/" in glob}
        self._storage = {name.lower(): name for name in KEPT_BY_STORAGE}
        self._no_follow = no_follow
        self.unlisted = Unlisted()

    def has(self, below: str) -> bool:
        """Whether the last level of this path below the root is left out; the levels above it were asked before."""
        below = below.lower()
        name = below.rpartition("/")[2]
        glob = self._storage.get(name) or _first(self._own, name) or _first(self._paths, below)
        if glob:
            self.unlisted.left_out[glob] += 1
        return glob is not None

    def has_any(self, below: str) -> bool:
        """Whether any level of this path is left out."""
        parts = below.split("/")
        return any(self.has("/".join(parts[:n])) for n in range(1, len(parts) + 1))

    def has_link(self, link: str, root: str) -> bool:
        """Whether this link is left out; one that is followed out of the root (its real path) is counted."""
        if self._no_follow:
            self.unlisted.links_left_out += 1
            return True
        target = realpath(link)
        if not f"{target}/".startswith(f"{root.rstrip('/')}/") and os.path.exists(target):  # noqa: PTH110 - not asked of a million files
            self.unlisted.links_out += 1
            self.unlisted.link_out = self.unlisted.link_out or f"{link} (to {target})"
        return False

    def restart(self) -> None:
        """Count anew, for another walk."""
        self.unlisted = Unlisted()


def _first(globs: dict[str, re.Pattern[str]], text: str) -> str | None:
    return next((glob for glob, pattern in globs.items() if pattern.match(text)), None)


def without(rows: Iterable[dict[str, object]], leave_out: LeaveOut) -> list[dict[str, object]]:
    """Return the rows whose path below the root is not left out."""
    return [row for row in rows if not leave_out.has_any(str(row["below"]))]
