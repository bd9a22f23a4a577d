"""Which media files lie below a root: a walk that no link, name, permission or broken zip can stop."""

import heapq
import os
import re
import stat
import struct
import zipfile
from collections.abc import Iterator
from os.path import abspath, basename, dirname, isdir, realpath, splitext
from pathlib import Path
from typing import Any, NamedTuple

from emocore.errors import Reason, UserError
from emocore.media.source import MEDIA_SUFFIXES, MEMBER

Row = dict[str, Any]

ZIP_SUFFIX = ".zip"
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]+):/")  # pathlib folds s3:// to s3:/
_BAD_ZIP = (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError, ValueError, EOFError, struct.error)


class MediaFile(NamedTuple):
    """One media file: where it is, and where that is below the root."""

    path: str  # absolute; inside a zip: ARCHIVE.zip!/MEMBER
    below: str  # the same below the root, levels parted by "/"
    size: int  # bytes
    real: str  # the path by its folder's real path: two ways to one file share it

    def row(self) -> Row:
        """Return what a LISTING row says of any file, and what `listing` needs to tell files apart."""
        return {"path": self.path, "bytes": self.size, "below": self.below, "real": self.real}


def failure_row(path: str, reason: Reason, detail: str) -> Row:
    """Return a FAILURES row of stage list; what Arrow cannot hold in a name is escaped with backslashes."""
    return {
        "path": _escape(path),
        "stage": "list",
        "reason": reason,
        "detail": _escape(detail),
        "attempts": 1,
    }


def check_root(root: str | Path, expected: str) -> str:
    """Return the root as an absolute path. Raises UserError for a URL and for what does not exist."""
    if not os.path.exists(root):  # noqa: PTH110  Path("") would be the current folder
        if match := _URL.match(str(root)):
            raise UserError(
                f"{str(root)!r} is a {match[1]} URL and this version reads local paths only: copy or mount it first."
            )
        raise UserError(f"{str(root)!r} does not exist: expected {expected}.")
    return abspath(root)


def scan(root: str) -> tuple[list[MediaFile], list[Row]]:
    """Return all media below an absolute path in path order, and FAILURES rows for what could not be listed.

    The root is a folder, a zip, or one media file. Zips inside a folder are looked into, zips inside a zip are not.
    Hidden files and `__MACOSX` are skipped. A linked folder is entered once, and only if no folder proper is the same.
    """
    found = _walk(root) if isdir(root) else _list_file(root, basename(root), "", realpath(dirname(root)))
    files: dict[str, MediaFile] = {}  # a zip may hold one name twice, and reads the last
    failures: list[Row] = []
    for item in found:
        if isinstance(item, dict):
            failures.append(item)
        elif _is_unicode(item.path):
            files[item.path] = item
        else:
            failures.append(failure_row(item.path, "bad_name", f"{item.path}: the name is not valid UTF-8"))
    return [files[path] for path in sorted(files)], sorted(failures, key=lambda row: str(row["path"]))


def _walk(root: str) -> Iterator[MediaFile | Row]:
    entered: set[str] = set()
    folders = [(root, "")]
    links: list[tuple[str, str]] = []  # wait until every folder proper was entered: its own path names it best
    while folders or links:
        folder, below = folders.pop() if folders else heapq.heappop(links)
        real = realpath(folder)
        if real in entered:
            continue
        entered.add(real)
        try:
            with os.scandir(folder) as listing:
                entries = [entry for entry in listing if not _is_hidden(entry.name)]
        except OSError as error:
            yield _os_failure(folder, error)
            continue
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                folders.append((entry.path, f"{below}{entry.name}/"))
            elif entry.is_symlink() and isdir(entry.path):
                heapq.heappush(links, (entry.path, f"{below}{entry.name}/"))
            else:
                yield from _list_file(entry.path, entry.name, below, real)


def _list_file(path: str, name: str, below: str, real: str) -> Iterator[MediaFile | Row]:
    suffix = splitext(name)[1].lower()
    if suffix != ZIP_SUFFIX and suffix not in MEDIA_SUFFIXES:
        return
    try:
        status = os.stat(path)  # noqa: PTH116  a Path object per file doubles the time of a scan
    except OSError as error:
        yield _os_failure(path, error)
        return
    if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
        yield failure_row(path, "unsupported", f"{path}: not a regular file")
    elif suffix == ZIP_SUFFIX:
        prefix = f"{below}{name}{MEMBER}" if below or path != real else ""
        yield from _list_zip(path, prefix, f"{real}/{name}")
    else:
        yield MediaFile(path, f"{below}{name}", status.st_size, f"{real}/{name}")


def _list_zip(path: str, below: str, real: str) -> Iterator[MediaFile | Row]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except PermissionError as error:
        yield _os_failure(path, error)
        return
    except _BAD_ZIP as error:
        yield failure_row(path, "broken", f"{path}: {error}")
        return
    for member in members:
        name = member.filename
        if splitext(name)[1].lower() not in MEDIA_SUFFIXES or any(map(_is_hidden, name.split("/"))):
            continue
        inside = f"{path}{MEMBER}{name}"
        if member.flag_bits & 1:
            yield failure_row(inside, "unsupported", f"{inside}: encrypted")
        else:
            yield MediaFile(inside, f"{below}{name}", member.file_size, f"{real}{MEMBER}{name}")


def _os_failure(path: str, error: OSError) -> Row:
    reason: Reason = "not_permitted" if isinstance(error, PermissionError) else "not_found"
    return failure_row(path, reason, f"{path}: {error.strerror or error}")


def _is_hidden(name: str) -> bool:
    return (name.startswith(".") and name not in (".", "..")) or name == "__MACOSX"


def _is_unicode(text: str) -> bool:
    return text.isascii() or _escape(text) == text


def _escape(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
