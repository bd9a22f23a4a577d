"""The cells of a CSV or Parquet file, as spreadsheets and data frames write them: all as strings.

Cells of text may be parted by semicolons or tabs. An empty row is none.
"""

import csv
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from emocore.errors import UserError
from emocore.progress import say
from emocore.storage.tables import read_table

TAB = "\t"
_SEPARATOR = re.compile(r"sep=([,;\t])", re.IGNORECASE)  # the first line that Excel reads, and writes, of itself


def read_cells(manifest: str, known: frozenset[str]) -> dict[int, dict[str, str]]:
    """Return the cells of each row that has any, by the row's number; all but paths are stripped.

    Names of columns that are `known` are so in any case. A duration in Parquet becomes seconds. Raises UserError for a
    file that cannot be read, has no column `path`, one of them twice, or no rows.
    """
    try:
        names, rows = (_read_parquet if manifest.lower().endswith(".parquet") else _read_text)(manifest)
    except (OSError, ValueError, csv.Error, pa.ArrowException) as error:
        raise UserError(
            f"Manifest {manifest!r} cannot be read, expected UTF-8 CSV or Parquet: {str(error).rstrip('.')}."
        ) from error
    filled = {number: row for number, row in enumerate(rows, 1) if any(map(str.strip, row))}
    names = [name.strip() for name in names]
    names = [name.lower() if name.lower() in known else name for name in names]
    # Spreadsheets write columns that were once touched, without a name and without a cell.
    kept = [place for place, name in enumerate(names) if name or _is_filled(filled, place)]
    names = [names[place] for place in kept]
    if "path" not in names:
        raise UserError(f"Manifest {manifest!r} has no column 'path', only {names}: expected path, emotion, actor, ….")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UserError(f"Manifest {manifest!r} has two columns {twice!r}: expected every name once.")
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
    columns = [[value or "" for value in _text(column)] for column in table.columns]
    return table.column_names, [list(row) for row in zip(*columns, strict=True)]


def _text(column: pa.ChunkedArray) -> list[str | None]:
    if pa.types.is_duration(column.type):
        nanoseconds = pc.cast(pc.cast(column, pa.duration("ns")), pa.int64()).to_pylist()
        return [None if value is None else repr(value / 1e9) for value in nanoseconds]
    texts: list[str | None] = column.cast(pa.string()).to_pylist()
    return texts
