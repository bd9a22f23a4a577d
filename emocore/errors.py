"""The two ways in which an input can be wrong: the user's (one sentence, exit code 2) and a file's (a failures row)."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
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
    "killed",  # ended the process that read it or answered for it, twice
    "too_large",  # over a limit on lengths or sizes
    "internal",  # a fault of ours that hit only this file
]


class UserError(Exception):
    """A value, an option or an input is wrong: one sentence that holds the value, the rule and the remedy."""


class OutputError(UserError):
    """What is to be written cannot be: the disk is full, or does not take it."""


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


def fault_of(error: Exception) -> MediaError:
    """Return the fault of a file whose reading raised this: one strange file must not take the archive along.

    Raises what is the user's to mend, and of no file.
    """
    if isinstance(error, UserError):
        raise error
    if isinstance(error, MediaError):
        return error
    return MediaError("featurize", "internal", f"{type(error).__name__}: {error}")


def amount(n: int, unit: str) -> str:
    """Return a number with its unit in the singular or the plural.

    >>> amount(1, "file"), amount(2000, "file"), amount(0, "clip")
    ('1 file', '2,000 files', '0 clips')
    """
    return f"{n:,} {unit}{'' if n == 1 else 's'}"


FULL = (errno.ENOSPC, errno.EDQUOT)
_ONLY_OF_WRITING = (*FULL, errno.EFBIG, errno.EROFS)  # no reader of a file gets these
_MAKE_ROOM = "free some space and run the same command again"
_REMEDIES = {
    errno.ENOSPC: _MAKE_ROOM,
    errno.EDQUOT: _MAKE_ROOM,
    errno.EACCES: "name another folder, or make this one writable",
    errno.EPERM: "name another folder, or make this one writable",
    errno.EROFS: "name another folder, or make this one writable",
    errno.ENAMETOOLONG: "name a folder with a shorter path",
    errno.EFBIG: "raise the limit on the size of a file (ulimit -f), and run the same command again",
    errno.EIO: "see to that disk, and run the same command again",
}


def output_error(path: Path | None, error: OSError) -> OutputError:
    """Return what is said of a file or a folder that cannot be written: why, how much is free, and what to do.

    `path` None: nobody knows which.

    >>> print(output_error(Path("out/labels.csv"), PermissionError(errno.EACCES, "Permission denied")))
    out/labels.csv cannot be written (Permission denied): name another folder, or make this one writable.
    """
    why = os.strerror(error.errno) if error.errno in FULL else error.strerror or str(error) or type(error).__name__
    remedy = _REMEDIES.get(error.errno or 0, "see to that folder, and run the same command again")
    if path is None:
        return OutputError(f"A file cannot be written ({why}): {remedy}.")
    if error.errno not in FULL:
        return OutputError(f"{path} cannot be written ({why}): {remedy}.")
    there = next(folder for folder in (path, *path.absolute().parents) if folder.is_dir())
    folder = path if there == path else path.parent
    free = ""
    if error.errno == errno.ENOSPC:  # of a quota the disk does not know
        with suppress(OSError):
            free = f"; {_size(shutil.disk_usage(there).free)} are free there"
    return OutputError(f"The disk of {folder} is full ({why}): {remedy}{free}.")


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:,.1f} MB" if n_bytes >= 1e6 else f"{n_bytes / 1e3:,.0f} KB"


def said_to_user(error: BaseException, place: Path | None) -> UserError | None:
    """Return the sentence for the user that lies at the bottom of an error that others wrapped; None where none does.

    Ray puts a page of its own around what a worker raises. A full disk is one too, where something else than our own
    storage wrote to it, somewhere below `place`; None: anywhere.
    """
    for cause in _causes(error):
        if isinstance(cause, UserError) and not hasattr(cause, "cause"):  # Ray's are of the worker's type too
            return cause
        if isinstance(cause, OSError) and cause.errno in _ONLY_OF_WRITING and not hasattr(cause, "cause"):
            return output_error(Path(cause.filename) if isinstance(cause.filename, str) else place, cause)
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    waiting: list[object] = [error]
    seen: set[int] = set()
    while waiting:
        found = waiting.pop(0)
        if not isinstance(found, BaseException) or id(found) in seen:
            continue
        seen.add(id(found))
        yield found
        workers = getattr(found, "worker_failures", None)  # of Ray Train
        inner = (getattr(found, name, None) for name in ("cause", "controller_failure"))
        waiting += [*inner, found.__cause__, found.__context__]
        waiting += workers.values() if isinstance(workers, dict) else []


def plain(text: str) -> str:
    """Return a text in which control characters are spelled out: what is said of files comes from files.

    >>> plain(chr(27) + "[31m") == "\\\\x1b[31m"
    True
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
