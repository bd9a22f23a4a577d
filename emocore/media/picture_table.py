"""Pictures that stand as numbers in a table, a row each, as in Kaggle's fer2013.csv: 48 × 48 values of grey a cell."""

import csv
import os
from functools import lru_cache
from math import isqrt
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from emocore.errors import MediaError

PIXELS = "pixels"  # the column of the values, parted by blanks
MOST_ROW_BYTES = 2**17  # as many as Python's csv takes in a cell: 48 × 48 values are a tenth of that


class _Table(NamedTuple):
    column: int
    begins: list[int]  # of each row, in bytes; the header is row 0


def is_table(file: str) -> bool:
    """Whether a file may be a table of pictures, by its suffix."""
    return file[-4:].lower() == ".csv"


def still_in_table(file: str, member: str) -> bytes:
    """Return a row's picture as the bytes of a BMP file; `member` ends in its number, from 1 on, as TEST/00012.bmp.

    Raises MediaError (stage open) where there is no such row, or no square picture in it; OSError.
    """
    table = _open_table(file, os.stat(file).st_mtime_ns)  # noqa: PTH116 - asked for every picture
    number = member.rpartition("/")[2].partition(".")[0]
    if not (number.isascii() and number.isdigit()) or not 0 < int(number) < len(table.begins):
        raise MediaError("open", "not_found", f"{file}: no such row")
    with Path(file).open("rb") as stream:
        stream.seek(table.begins[int(number)])
        line = stream.readline(MOST_ROW_BYTES).decode("utf-8", "replace")
    try:
        values = np.array(next(csv.reader([line]))[table.column].split(), dtype=np.uint8)
    except (ValueError, OverflowError, IndexError, StopIteration, csv.Error) as error:
        raise MediaError("open", "broken", f"{file}: row {int(number)} holds no values of grey, 0 to 255") from error
    side = isqrt(len(values))
    if not side or side * side != len(values):
        raise MediaError("open", "broken", f"{file}: row {int(number)} holds {len(values)} values, which are no square")
    return bytes(cv2.imencode(".bmp", values.reshape(side, side))[1])


@lru_cache(maxsize=4)
def _open_table(file: str, changed_ns: int) -> _Table:  # noqa: ARG001 - a changed table is another one
    with Path(file).open("rb") as stream:
        first = stream.readline(MOST_ROW_BYTES).decode("utf-8-sig", "replace")
        header = [name.strip().lower() for name in first.split(",")]
        if PIXELS not in header:
            raise MediaError("open", "unsupported", f"{file}: no column {PIXELS!r}")
        begins = [0]
        at = stream.tell()
        for line in stream:
            if line.strip():
                begins.append(at)
            at += len(line)
    return _Table(header.index(PIXELS), begins)
