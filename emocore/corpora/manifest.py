"""A CSV or Parquet manifest: one row a file, or several where several people judged it.

Columns that LISTING knows (in any case) say what they say; all others go to `extra`, as do an age that is no number of
years, and a language that is no code. Cells are read as strings, so that actor "01" stays "01"; an empty cell is
unknown, an empty row none. Paths may be parted by backslashes, as spreadsheets write them. Where a row says when it
begins and ends, it is of that stretch of its file.
"""

import os
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from os.path import normpath
from pathlib import Path
from typing import Any

import numpy as np

from emocore.corpora.corpus import Corpus, LabelRules
from emocore.corpora.folder import actor_finder, parse_split
from emocore.corpora.locate import locate
from emocore.corpora.scan import Row, check_local
from emocore.corpora.segments import SEGMENT_COLUMNS, cut, segment_in
from emocore.corpora.spreadsheet import read_cells
from emocore.errors import UserError
from emocore.labels import EMOTIONS, check_emotions, parse_emotion
from emocore.media.fragment import Segment, split_fragment
from emocore.media.source import MEMBER, split_member, split_segment

MANIFEST_SUFFIXES = (".csv", ".tsv", ".parquet")
ALLOWED: dict[str, dict[str, str]] = {
    "modality": {name: name for name in ("audio-video", "video-only", "audio-only")},
    "channel": {name: name for name in ("speech", "song")},
    "intensity": {name: name for name in ("normal", "strong")},
    "gender": {"female": "female", "f": "female", "male": "male", "m": "male"},
}
KNOWN = ("path", "corpus", "clip", "take", "emotion", "statement", "repetition", "actor", "split", *ALLOWED)
_NOT_EXTRA = (*KNOWN, *SEGMENT_COLUMNS)
# Columns that hold a number or a code; what a manifest says in words, as "twenties" or "German", stays in `extra`.
WHERE_WRITTEN_SO: dict[str, tuple[re.Pattern[str], Callable[[str], Any]]] = {
    "age": (re.compile(r"[0-9]{1,2}|1[0-2][0-9]"), int),  # in years
    "language": (re.compile(r"(?!NA$)[A-Za-z]{2,3}"), str.lower),  # ISO 639
}


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

    A path is absolute or relative to the manifest's folder, and may be ARCHIVE.zip!/MEMBER. Raises UserError for a
    manifest that cannot be read, has no `path` column or no rows, and as `rows_of`.
    """
    return rows_of(manifest, _read(manifest), LabelRules(mapping, actor_from, tuple(emotions)))


def rows_of(manifest: str, table: Mapping[str, Mapping[str, str]], rules: LabelRules) -> tuple[list[Row], list[Row]]:
    """Return the LISTING and FAILURES rows of cells, by where they stand in a file: as those of a manifest.

    Several rows of one path, or of one segment of it, are several raters: `emotion` is the majority of all their votes,
    of a tie the earlier in the set, and where it is in the set `soft_label` is the share of the votes for each; other
    columns that they fill differently are left out of `extra`. Empty actors are those that the rules find in paths.
    Raises UserError for a value that its column does not allow, and for rows of one clip that disagree about anything
    but the emotion.
    """
    actor_of = actor_finder(rules.actor_from)
    labels = Counter(cells.get("emotion", "") for cells in table.values())
    told = {label: n for label, n in labels.items() if label}
    check_emotions(told, rules.mapping, rules.emotions, unit="row", where=f" in {manifest!r}")
    by_clip: dict[tuple[str, Segment | None], list[tuple[str, Row]]] = {}
    for where, cells in table.items():
        row = _parse_row(where, cells, rules.mapping, rules.emotions)
        row["path"], segment = _place(where, cells, manifest)
        by_clip.setdefault((_absolute(row["path"], manifest), segment), []).append((where, row))
    rows: list[Row] = []
    for (path, segment), rated in by_clip.items():
        row = _merge(rated, rules.emotions)
        below = row["path"]
        row["actor"] = row.get("actor") or actor_of(below)
        found = {**row, "path": path, "below": below, "clip": below}
        rows.append(cut(found, segment) | ({"clip": row["clip"]} if row.get("clip") else {}))
    return locate(rows)


def media_rows(manifest: str) -> tuple[list[Row], list[Row]]:
    """Return unlabelled LISTING rows for the files and segments that a manifest names."""
    return unlabelled(manifest, _read(manifest))


def unlabelled(manifest: str, table: Mapping[str, Mapping[str, str]]) -> tuple[list[Row], list[Row]]:
    """Return the LISTING and FAILURES rows of cells, of which none but those of places are looked at."""
    rows: dict[tuple[str, Segment | None], Row] = {}
    for where, cells in table.items():
        below, segment = _place(where, cells, manifest)
        path = _absolute(below, manifest)
        rows.setdefault((path, segment), cut({"clip": below, "path": path, "below": below}, segment))
    return locate(list(rows.values()))


def _read(manifest: str) -> dict[str, dict[str, str]]:
    cells = read_cells(manifest, frozenset((*KNOWN, *WHERE_WRITTEN_SO, *SEGMENT_COLUMNS)))
    return {f"{manifest!r}, row {number}": row for number, row in cells.items()}


def _place(where: str, cells: Mapping[str, str], manifest: str) -> tuple[str, Segment | None]:
    """Return the path of a row's file, as it is written, and the stretch of it that the row is of."""
    path = _path_cell(where, cells, manifest)
    told = segment_in(where, cells)
    whole, named = split_fragment(path)
    if named is None or split_segment(_absolute(path, manifest))[1] is None:
        return path, told
    if told not in (None, named):
        raise UserError(f"{where}: {path!r} names another segment than the cells of its begin and its end: give one.")
    return whole, named


def _parse_row(where: str, cells: Mapping[str, str], mapping: Mapping[str, str] | None, emotions: Sequence[str]) -> Row:
    typed = {
        name: read(cells[name]) for name, (how, read) in WHERE_WRITTEN_SO.items() if how.fullmatch(cells.get(name, ""))
    }
    others = {name: cell for name, cell in cells.items() if name not in _NOT_EXTRA and name not in typed and cell}
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


MANIFEST = Corpus(
    name="manifest",
    rows=lambda files, rules: manifest_rows(files[0].path, rules.mapping, rules.actor_from, rules.emotions),
)
