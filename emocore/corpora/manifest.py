"""A CSV or Parquet manifest: one row a file, or several where several people judged it.

Columns that LISTING knows (in any case) say what they say; all others go to `extra`, as do an age that is no number of
years, and a language that is no code. Cells are read as strings, so that actor "01" stays "01"; an empty cell is
unknown, an empty row none. Cells may be parted by semicolons or tabs, and paths by backslashes, as spreadsheets write
them.
"""

import csv
import os
import re
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from os.path import normpath, realpath
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from emocore.corpora.corpus import Corpus
from emocore.corpora.folder import actor_finder, parse_split
from emocore.corpora.scan import Row, check_local, check_member, failure_row, file_size, zip_members
from emocore.errors import MediaError, UserError
from emocore.labels import EMOTIONS, check_emotions, parse_emotion
from emocore.media.source import MEMBER, split_member
from emocore.progress import say
from emocore.storage.tables import read_table

MANIFEST_SUFFIXES = (".csv", ".tsv", ".parquet")
TAB = "\t"
ALLOWED: dict[str, dict[str, str]] = {
    "modality": {name: name for name in ("audio-video", "video-only", "audio-only")},
    "channel": {name: name for name in ("speech", "song")},
    "intensity": {name: name for name in ("normal", "strong")},
    "gender": {"female": "female", "f": "female", "male": "male", "m": "male"},
}
KNOWN = ("path", "clip", "take", "emotion", "statement", "repetition", "actor", "split", *ALLOWED)
UNREAD = ("segment_start_seconds", "segment_end_seconds")
# Columns that hold a number or a code; what a manifest says in words, as "twenties" or "German", stays in `extra`.
WHERE_WRITTEN_SO: dict[str, tuple[re.Pattern[str], Callable[[str], Any]]] = {
    "age": (re.compile(r"[0-9]{1,2}|1[0-2][0-9]"), int),  # in years
    "language": (re.compile(r"(?!NA$)[A-Za-z]{2,3}"), str.lower),  # ISO 639
}
_SEPARATOR = re.compile(r"sep=([,;\t])", re.IGNORECASE)  # the first line that Excel reads, and writes, of itself
_BACKSLASHES = " (with / in place of its backslashes there is no such file either: paths are those of this machine)"


def is_manifest(path: str) -> bool:
    """Whether the suffix, in any case, is that of a manifest."""
    return path.lower().endswith(MANIFEST_SUFFIXES)


def manifest_rows(
    manifest: str,
    mapping: Mapping[str, str] | None = None,
    actor_from: str | None = None,
    emotions: Sequence[str] = EMOTIONS,
) -> tuple[list[Row], list[Row]]:
    """Return LISTING rows for the files that a manifest names, and FAILURES rows for those that are missing.

    A path is absolute or relative to the manifest's folder, and may be ARCHIVE.zip!/MEMBER. Several rows of
    one path are several raters: `emotion` is the majority of all their votes, of a tie the earlier in `emotions`,
    and where it is among these `soft_label` is the share of the votes for each; other columns that they fill
    differently are left out of `extra`. `actor_from` fills empty actors. Raises UserError for a manifest that
    cannot be read, has no `path` column or no rows, for a value that its column does not allow, and for rows of one
    path that disagree about anything but the emotion.
    """
    actor_of = actor_finder(actor_from)
    table = _read(manifest)
    labels = Counter(cells.get("emotion", "") for cells in table.values())
    told = {label: n for label, n in labels.items() if label}
    check_emotions(told, mapping, emotions, unit="row", where=f" in {manifest!r}")
    by_path: dict[str, list[tuple[str, Row]]] = {}
    for number, cells in table.items():
        where = f"{manifest!r}, row {number}"
        row = _parse_row(where, cells, mapping, emotions)
        row["path"] = _path_cell(where, cells, manifest)
        by_path.setdefault(_absolute(row["path"], manifest), []).append((where, row))
    rows: list[Row] = []
    for path, rated in by_path.items():
        row = _merge(rated, emotions)
        row["actor"] = row.get("actor") or actor_of(row["path"])
        rows.append({**row, "clip": row.get("clip") or row["path"], "path": path, "below": row["path"]})
    return _locate(rows)


def media_rows(manifest: str) -> tuple[list[Row], list[Row]]:
    """Return unlabelled LISTING rows for the files that a manifest names: no other column is looked at."""
    rows: dict[str, Row] = {}
    for number, cells in _read(manifest).items():
        below = _path_cell(f"{manifest!r}, row {number}", cells, manifest)
        path = _absolute(below, manifest)
        rows.setdefault(path, {"clip": below, "path": path, "below": below})
    return _locate(list(rows.values()))


def _read(manifest: str) -> dict[int, dict[str, str]]:
    """Return the cells of each row that has any, by the row's number; all but paths are stripped."""
    try:
        names, rows = (_read_parquet if manifest.lower().endswith(".parquet") else _read_text)(manifest)
    except (OSError, ValueError, csv.Error, pa.ArrowException) as error:
        raise UserError(
            f"Manifest {manifest!r} cannot be read, expected UTF-8 CSV or Parquet: {str(error).rstrip('.')}."
        ) from error
    filled = {number: row for number, row in enumerate(rows, 1) if any(map(str.strip, row))}
    names = [name.strip() for name in names]
    ours = {*KNOWN, *WHERE_WRITTEN_SO, *UNREAD}
    names = [name.lower() if name.lower() in ours else name for name in names]
    # Spreadsheets write columns that were once touched, without a name and without a cell.
    kept = [place for place, name in enumerate(names) if name or _is_filled(filled, place)]
    names = [names[place] for place in kept]
    if "path" not in names:
        raise UserError(f"Manifest {manifest!r} has no column 'path', only {names}: expected path, emotion, actor, ….")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UserError(f"Manifest {manifest!r} has two columns {twice!r}: expected every name once.")
    segments = [name for name, old in zip(names, kept, strict=True) if name in UNREAD and _is_filled(filled, old)]
    if segments:
        raise UserError(
            f"Manifest {manifest!r} has a column {segments[0]!r}, and this version "
            "reads whole files only: cut them, or take the column out."
        )
    if not filled:
        raise UserError(f"Manifest {manifest!r} has no rows: expected one for every file.")
    # A file's name may end in a blank.
    return {
        number: {name: row[old] if name == "path" else row[old].strip() for name, old in zip(names, kept, strict=True)}
        for number, row in filled.items()
    }


def _is_filled(rows: Mapping[int, Sequence[str]], place: int) -> bool:
    return any(row[place].strip() for row in rows.values())


def _read_text(manifest: str) -> tuple[list[str], list[list[str]]]:
    with Path(manifest).open(newline="", encoding="utf-8-sig") as stream:
        lines = list(stream)
    told = _SEPARATOR.fullmatch(lines[0].rstrip("\r\n")) if lines else None
    lines = lines[1:] if told else lines
    delimiter = told[1] if told else _delimiter(next((line for line in lines if line.strip()), ""))
    if delimiter != ",":
        say(f"{manifest}: read as cells parted by {'tabs' if delimiter == TAB else repr(delimiter)}")
    names, *rows = [row for row in csv.reader(lines, strict=True, delimiter=delimiter) if row] or [[]]
    for number, row in enumerate(rows, 1):
        while len(row) > len(names) and not row[-1].strip():
            row.pop()
        if not any(map(str.strip, row)):
            row[:] = [""] * len(names)
        if len(row) != len(names):
            raise ValueError(f"row {number} has {len(row)} cells for {len(names)} columns")
    return names, rows


def _delimiter(header: str) -> str:
    """Return what parts a header's cells: with it one of them is `path`, else it parts the most."""

    def found(delimiter: str) -> tuple[bool, int]:
        names = [name.strip().lower() for name in next(csv.reader([header], delimiter=delimiter), [])]
        return "path" in names, len(names)

    return max((",", ";", TAB), key=found)


def _read_parquet(manifest: str) -> tuple[list[str], list[list[str]]]:
    try:
        table = read_table(Path(manifest))
    except UserError as error:
        raise error.__cause__ or error from None  # a broken file is told as one of CSV is
    columns = [[value or "" for value in column.cast(pa.string()).to_pylist()] for column in table.columns]
    return table.column_names, [list(row) for row in zip(*columns, strict=True)]


def _parse_row(where: str, cells: Mapping[str, str], mapping: Mapping[str, str] | None, emotions: Sequence[str]) -> Row:
    typed = {
        name: read(cells[name]) for name, (how, read) in WHERE_WRITTEN_SO.items() if how.fullmatch(cells.get(name, ""))
    }
    others = {name: cell for name, cell in cells.items() if name not in KNOWN and name not in typed and cell}
    row: Row = {**typed, "extra": others}
    try:
        for name in KNOWN:
            cell = cells.get(name, "")
            if cell and name == "emotion":
                row[name] = parse_emotion(cell, mapping, emotions)
            elif cell and name != "path":
                row[name] = _parse_cell(name, cell)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
    return row


def _parse_cell(name: str, cell: str) -> Any:
    if name == "split":
        return parse_split(cell)
    if name == "repetition":
        if not (cell.isascii() and cell.isdigit() and len(cell) < 10):
            raise UserError(f"repetition is {cell!r}, expected a whole number.")
        return int(cell)
    if name in ALLOWED:
        if cell.lower() not in ALLOWED[name]:
            raise UserError(f"{name} is {cell!r}, expected one of {', '.join(ALLOWED[name])}, or nothing.")
        return ALLOWED[name][cell.lower()]
    return cell


def _path_cell(where: str, cells: Mapping[str, str], manifest: str) -> str:
    path = cells["path"]
    if not path.strip():
        raise UserError(f"{where}: path is empty, expected a file, absolute or relative to the manifest's folder.")
    if "\0" in path:
        raise UserError(f"{where}: path {path!r} holds a zero character, which no file name can.")
    try:
        check_local(path.strip())
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
    stripped = path.strip()
    ways = dict.fromkeys((path, stripped, stripped.replace("\\", "/")))
    if len(ways) == 1:  # the file system is not asked
        return path
    files = {way: split_member(_absolute(way, manifest))[0] for way in ways}
    return next((way for way, file in files.items() if os.path.exists(file)), stripped)  # noqa: PTH110 - fast


def _absolute(path: str, manifest: str) -> str:
    file, member = split_member(path)
    file = normpath(Path(manifest).parent / file)
    return file if member is None else f"{file}{MEMBER}{member}"


def _merge(rated: Sequence[tuple[str, Row]], emotions: Sequence[str]) -> Row:
    (where, first), rest = rated[0], rated[1:]
    merged = dict(first)
    for other_where, other in rest:
        for name in other.keys() - {"emotion", "extra", "path", *WHERE_WRITTEN_SO}:
            if merged.setdefault(name, other[name]) != other[name]:
                raise UserError(
                    f"{where} and {other_where.rpartition(', ')[2]} name one path but disagree about {name}, "
                    f"{merged[name]!r} and {other[name]!r}: raters may differ in the emotion only."
                )
    for name in WHERE_WRITTEN_SO:  # as any other column that raters fill, perhaps of themselves
        told_by = {row.get(name) for _, row in rated}
        merged[name] = told_by.pop() if len(told_by) == 1 else None
    extras = [row["extra"] for _, row in rated]
    shared = {name for name in extras[0] if len({extra.get(name) for extra in extras}) == 1}
    merged["extra"] = sorted((name, extras[0][name]) for name in shared) or None
    told = Counter(row["emotion"] for _, row in rated if row.get("emotion"))
    if told:
        merged["emotion"] = max((*emotions, *told), key=lambda emotion: told[emotion])  # the first of a tie
    if merged.get("emotion") in emotions:
        votes = np.array([told[emotion] for emotion in emotions], np.float32)
        merged["soft_label"] = votes / votes.sum()
    return merged


def _locate(rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    archives: dict[str, dict[str, zipfile.ZipInfo]] = {}
    reals: dict[str, str] = {}
    found: list[Row] = []
    failures: list[Row] = []
    for row in rows:
        file, member = split_member(row["path"])
        folder = file.rpartition("/")[0]
        if folder not in reals:  # a system call for every level
            reals[folder] = realpath(folder or "/")
        try:
            size = file_size(file) if member is None else _member_size(row["path"], file, member, archives)
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


MANIFEST = Corpus(
    name="manifest",
    rows=lambda files, rules: manifest_rows(files[0].path, rules.mapping, rules.actor_from, rules.emotions),
)
