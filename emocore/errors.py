"""The two ways in which an input can be wrong: the user's (one sentence, exit code 2) and a file's (a failures row)."""

from collections.abc import Mapping
from typing import Literal

Stage = Literal["list", "open", "decode", "featurize", "predict", "write"]
Reason = Literal[
    "bad_name",  # the name breaks the corpus's grammar, or is not valid Unicode
    "not_found",  # the file is gone, or the link points nowhere
    "not_permitted",  # the operating system refuses to open it
    "empty_file",  # zero bytes
    "unsupported",  # not a media container that we read, whatever its name says
    "broken",  # the container or its stream cannot be decoded
    "truncated",  # less sound or fewer pictures than its header states
    "no_pictures",  # a film without a single picture
    "no_samples",  # a sound track without a single sample
    "not_finite",  # samples, features or answers hold NaN, infinity, or what no sound can be
    "too_slow",  # over the time that one file may take
    "killed",  # ended the process that read it, twice
    "too_large",  # over a limit on lengths or sizes
    "internal",  # a fault of ours that hit only this file
]


class UserError(Exception):
    """A value, an option or an input is wrong: one sentence that holds the value, the rule and the remedy."""


class TooManyFailures(Exception):
    """More files failed than `--max-failures` allows: exit code 3."""


class MediaError(Exception):
    """One file cannot be used: becomes a row in FAILURES with this stage, reason and detail."""

    def __init__(self, stage: Stage, reason: Reason, detail: str) -> None:
        super().__init__(stage, reason, detail)
        self.stage: Stage = stage
        self.reason: Reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.reason} ({self.stage}): {self.detail}"


class UnansweredClips(Exception):
    """A model has no answer for some clips of a shard, for reasons of theirs: the others keep their answers."""

    def __init__(self, faults: Mapping[str, MediaError]) -> None:
        super().__init__(faults)
        self.faults = faults  # by clip


def amount(n: int, unit: str) -> str:
    """Return a number with its unit in the singular or the plural.

    >>> amount(1, "file"), amount(2000, "file"), amount(0, "clip")
    ('1 file', '2,000 files', '0 clips')
    """
    return f"{n:,} {unit}{'' if n == 1 else 's'}"
