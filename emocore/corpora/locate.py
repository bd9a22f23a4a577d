"""Where the files that a list names lie, and how large they are: a list may name what is not there."""

import zipfile
from collections.abc import Sequence
from functools import lru_cache
from os.path import realpath

from emocore.corpora.scan import Row, check_member, failure_row, file_size, zip_members
from emocore.corpora.segments import fragment_of
from emocore.errors import MediaError
from emocore.media.source import split_member

_BACKSLASHES = " (with / in place of its backslashes there is no such file either: paths are those of this machine)"


def locate(rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """Return the rows, with sizes and real paths, of the files that are there, and FAILURES rows for the others.

    A row's `path` is absolute; of a segment the size is that of its file.
    """
    archives: dict[str, dict[str, zipfile.ZipInfo]] = {}
    reals: dict[str, str] = {}
    found: list[Row] = []
    failures: list[Row] = []
    size_of = lru_cache(maxsize=1)(file_size)  # the segments of one file stand together
    for row in rows:
        file, member = split_member(row["path"].removesuffix(fragment_of(row)))
        folder = file.rpartition("/")[0]
        if folder not in reals:  # a system call for every level
            reals[folder] = realpath(folder or "/")
        try:
            size = size_of(file) if member is None else _member_size(row["path"], file, member, archives)
        except MediaError as error:
            hint = _BACKSLASHES if "\\" in row["path"] else ""
            failures.append(failure_row(row["path"], error.reason, error.detail + hint))
            continue
        found.append({**row, "bytes": size, "real": reals[folder] + row["path"][len(folder) :]})
    return found, failures


def _member_size(path: str, file: str, member: str, archives: dict[str, dict[str, zipfile.ZipInfo]]) -> int:
    if file not in archives:
        archives[file] = {info.filename: info for info in zip_members(file)}
    if member not in archives[file]:
        raise MediaError("list", "not_found", f"{path}: no such member")
    return check_member(path, archives[file][member])
