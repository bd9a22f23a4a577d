"""Which media files lie below a root: a walk that no link, name, permission or broken zip can stop."""

import heapq
import os
import re
import stat
import zipfile
from collections import Counter
from collections.abc import Iterator
from os.path import realpath
from pathlib import Path
from typing import Any, NamedTuple

from emocore.corpora.leave_out import LeaveOut
from emocore.errors import MediaError, Reason, UserError
from emocore.media.source import BAD_ZIP, MEDIA_SUFFIXES, MEMBER, STILL_SUFFIXES
from emocore.storage.folder import ARCHIVE, CONFIG, LOCK

Row = dict[str, Any]

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]+:/")  # pathlib folds s3:// to s3:/


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
    if not os.path.exists(root):  # noqa: PTH110  Path("") is the current folder
        check_local(str(root))
        raise UserError(f"{str(root)!r} does not exist: expected {expected}.")
    return os.path.abspath(root)  # noqa: PTH100  resolve() would follow links, which users named on purpose


def media_suffixes(stills: bool) -> frozenset[str]:
    """Return the suffixes that we read; those of still images only where `stills`, as models of sound want none."""
    return MEDIA_SUFFIXES | STILL_SUFFIXES if stills else MEDIA_SUFFIXES


def is_media(name: str, stills: bool = False) -> bool:
    """Whether the suffix, in any case, is one that we read."""
    return _suffix(name) in media_suffixes(stills)


def is_zip(name: str) -> bool:
    """Whether the suffix, in any case, is that of a zip."""
    return _suffix(name) == ".zip"


def is_folder(path: str) -> bool:
    """Whether the path is a folder or a link to one; a link to a place that may not be looked at is not."""
    return os.path.isdir(path)  # noqa: PTH112  Path.is_dir() raises PermissionError


def check_local(path: str) -> None:
    """Raise UserError for a URL such as s3://bucket/corpus."""
    if _URL.match(path):
        raise UserError(f"{path!r} is a URL and this version reads local paths only: copy or mount it first.")


def scan(root: str, stills: bool = False, leave_out: LeaveOut | None = None) -> tuple[list[MediaFile], list[Row]]:
    """Return all media below an absolute path in path order, and FAILURES rows for what could not be listed."""
    found = list(walk(root, stills, leave_out))
    files = sorted(item for item in found if isinstance(item, MediaFile))
    return files, sorted((item for item in found if isinstance(item, dict)), key=lambda row: str(row["path"]))


def walk(root: str, stills: bool = False, leave_out: LeaveOut | None = None) -> Iterator[MediaFile | Row]:
    """Yield all media below an absolute path, and FAILURES rows for what could not be listed, in the walk's order.

    The root is a folder, a zip, or one media file. Zips inside a folder are looked into, zips inside a zip
    are not. Hidden files are skipped, and what `leave_out` has. A linked folder is entered once, and only where the
    walk does not reach the folder itself. What is no media by its suffix is counted in `leave_out.unlisted`, but for
    hidden files and what our own commands wrote.
    """
    leave_out = leave_out or LeaveOut()
    folder, _, name = root.rpartition("/")
    found = (
        _walk(root, stills, leave_out)
        if is_folder(root)
        else _list_file(root, name, "", realpath(folder or "/"), stills, leave_out, leave_out.unlisted.passed_over)
    )
    # A zip is a level below a folder, but not below itself.
    own = f"{name}{MEMBER}" if is_zip(name) and not is_folder(root) else ""
    for item in found:
        if isinstance(item, dict):
            yield item
        elif _is_unicode(item.path):
            yield item._replace(below=item.below.removeprefix(own)) if own else item
        else:
            yield failure_row(item.path, "bad_name", f"{item.path}: the name is not valid UTF-8")


def _walk(root: str, stills: bool, leave_out: LeaveOut) -> Iterator[MediaFile | Row]:
    real_root = realpath(root)
    entered: set[str] = set()
    ours: Counter[str] = Counter()  # what our own commands wrote is not counted
    our_folders: set[str] = set()
    folders = [(root, "")]
    # Links wait until every folder proper was entered: its own path names it best.
    links: list[tuple[str, str]] = []
    while folders or links:
        folder, below = folders.pop() if folders else heapq.heappop(links)
        real = realpath(folder)
        if real in entered:
            continue
        entered.add(real)
        everything = _entries(folder)
        if isinstance(everything, dict):
            yield everything
            continue
        names = {entry.name for entry in everything}
        if ARCHIVE in names or {CONFIG, LOCK} <= names:
            our_folders.add(below)
        count = ours if any(below.startswith(own) for own in our_folders) else leave_out.unlisted.passed_over
        for entry in everything:
            if _is_hidden(entry.name) or leave_out.has(f"{below}{entry.name}"):
                continue
            to_folder = entry.is_symlink() and is_folder(entry.path)
            is_read = to_folder or is_zip(entry.name) or is_media(entry.name, stills)
            if entry.is_symlink() and is_read and leave_out.has_link(entry.path, real_root):
                continue
            if entry.is_dir(follow_symlinks=False):
                folders.append((entry.path, f"{below}{entry.name}/"))
            elif to_folder:
                heapq.heappush(links, (entry.path, f"{below}{entry.name}/"))
            else:
                yield from _list_file(entry.path, entry.name, below, real, stills, leave_out, count)


def _entries(folder: str) -> list[os.DirEntry[str]] | Row:
    """Return what a folder holds, or the FAILURES row that says why it cannot be listed."""
    try:
        with os.scandir(folder) as listing:
            return list(listing)
    except OSError as error:
        failed = _os_error(folder, error)
        return failure_row(folder, failed.reason, failed.detail)


def file_size(path: str) -> int:
    """Return the size of a regular file in bytes. Raises MediaError (stage list)."""
    try:
        status = os.stat(path)  # noqa: PTH116  a Path object per file doubles the time of a scan
    except OSError as error:
        raise _os_error(path, error) from error
    if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
        raise MediaError("list", "unsupported", f"{path}: not a regular file")
    return status.st_size


def zip_members(path: str) -> list[zipfile.ZipInfo]:
    """Return the directory of a zip. Raises MediaError (stage list)."""
    file_size(path)
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.infolist()
    except PermissionError as error:
        raise _os_error(path, error) from error
    except (OSError, *BAD_ZIP) as error:
        raise MediaError("list", "broken", f"{path}: {error}") from error


def check_member(path: str, member: zipfile.ZipInfo) -> int:
    """Return the unpacked size of a member in bytes. Raises MediaError (stage list) where it is encrypted."""
    if member.flag_bits & 1:
        raise MediaError("list", "unsupported", f"{path}: encrypted")
    return member.file_size


def _list_file(
    path: str, name: str, below: str, real: str, stills: bool, leave_out: LeaveOut, passed_over: Counter[str]
) -> Iterator[MediaFile | Row]:
    try:
        if is_zip(name):
            yield from _list_zip(path, f"{below}{name}{MEMBER}", f"{real}/{name}", stills, leave_out, passed_over)
        elif is_media(name, stills):
            yield MediaFile(path, f"{below}{name}", file_size(path), f"{real}/{name}")
        else:
            passed_over[_suffix(name)] += 1
    except MediaError as error:
        yield failure_row(path, error.reason, error.detail)


def _list_zip(
    path: str, below: str, real: str, stills: bool, leave_out: LeaveOut, passed_over: Counter[str]
) -> Iterator[MediaFile | Row]:
    members = {member.filename: member for member in zip_members(path)}  # of two with one name the last is read
    for name, member in members.items():
        if member.is_dir() or any(map(_is_hidden, name.split("/"))):
            continue
        if leave_out.has_any(name):
            continue
        if not is_media(name, stills):
            passed_over[_suffix(name.rpartition("/")[2])] += 1
            continue
        inside = f"{path}{MEMBER}{name}"
        try:
            yield MediaFile(inside, f"{below}{name}", check_member(inside, member), f"{real}{MEMBER}{name}")
        except MediaError as error:
            yield failure_row(inside, error.reason, error.detail)


def _suffix(name: str) -> str:
    suffix = name[name.rfind(".") :].lower() if "." in name else ""
    return suffix if _is_unicode(suffix) else _escape(suffix)


def _os_error(path: str, error: OSError) -> MediaError:
    reason: Reason = "not_permitted" if isinstance(error, PermissionError) else "not_found"
    return MediaError("list", reason, f"{path}: {error.strerror or error}")


def _is_hidden(name: str) -> bool:
    return name.startswith(".") and name not in (".", "..")


def _is_unicode(text: str) -> bool:
    return text.isascii() or _escape(text) == text


def _escape(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
