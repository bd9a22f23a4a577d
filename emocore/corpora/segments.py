"""Rows of segments: the cells that say when one begins and ends, and what such a row is called."""

import re
from collections.abc import Mapping
from typing import Any

from emocore.errors import UserError
from emocore.media.fragment import Segment
from emocore.media.source import split_segment

# As we write them, as a person would, and as audformat does.
_STARTS = ("start_seconds", "start", "segment_start_seconds")
_ENDS = ("end_seconds", "end", "segment_end_seconds")
SEGMENT_COLUMNS = (*_STARTS, *_ENDS)
_NOTHING = ("", "NaT")  # audformat's word for the end of the file
# As pandas and Python write a duration: "0 days 00:00:01.500000", "1 day, 0:00:01.5".
_DURATION = re.compile(r"(?:([0-9]+) days?,? )?([0-9]{1,2}):([0-5][0-9]):([0-5][0-9](?:\.[0-9]+)?)")
_SECONDS = re.compile(r"[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?|[0-9]+\.")


def segment_in(where: str, cells: Mapping[str, str]) -> Segment | None:
    """Return the stretch that a row's cells name; None: the whole file.

    Without a begin it is from the file's begin on, without an end up to its end. Times are seconds, or durations as
    pandas writes them. Raises UserError, which begins with `where`, for anything else, and for an end that is not
    behind the begin.

    >>> segment_in("row 1", {"start": "0 days 00:00:01.5", "end": "NaT"})
    Segment(start_seconds=1.5, end_seconds=None)
    """
    start, end = (_seconds(where, cells, names) for names in (_STARTS, _ENDS))
    if end is None and not start:
        return None
    segment = Segment(start or 0.0, end)
    if not segment.is_possible:
        raise UserError(
            f"{where}: the segment begins at {segment.start_seconds:g} s and ends at {segment.end_seconds:g} s, "
            "expected an end behind the begin."
        )
    return segment


def _seconds(where: str, cells: Mapping[str, str], names: tuple[str, ...]) -> float | None:
    told = {name: cells[name] for name in names if cells.get(name, "") not in _NOTHING}
    if not told:
        return None
    if len(told) > 1:
        raise UserError(f"{where}: {' and '.join(told)} both say one thing: expected one of {', '.join(names)}.")
    ((name, cell),) = told.items()
    duration = _DURATION.fullmatch(cell)
    if duration:
        days, hours, minutes = (int(part or 0) for part in duration.groups()[:3])
        return 86_400 * days + 3_600 * hours + 60 * minutes + float(duration[4])
    if not _SECONDS.fullmatch(cell) or float(cell) == float("inf"):
        raise UserError(f"{where}: {name} is {cell!r}, expected seconds from the begin of the file on, as 12.5.")
    return float(cell)


def fragment_of(row: Mapping[str, Any]) -> str:
    """Return what the path of a LISTING row ends in that is of a segment; of any other nothing.

    >>> fragment_of({"path": "a.wav#t=1.5,2.0", "segment_start_seconds": 1.5, "segment_end_seconds": 2.0})
    '#t=1.5,2.0'
    """
    start = row.get("segment_start_seconds")
    return "" if start is None else Segment(start, row.get("segment_end_seconds")).fragment


def cut(row: Mapping[str, Any], segment: Segment | None) -> dict[str, Any]:
    """Return the row of a segment of the file that a LISTING row is of: its path and its clip name the stretch.

    Raises UserError where another file has that name.

    >>> cut({"clip": "a", "path": "/a.wav"}, Segment(1.0))["path"]
    '/a.wav#t=1.0'
    """
    if segment is None:
        return dict(row)
    named = {name: f"{row[name]}{segment.fragment}" for name in ("path", "clip", "real") if name in row}
    if split_segment(named["path"])[1] is None:
        raise UserError(f"{named['path']!r} is a file of its own, and would be read for the segment: rename it.")
    times = {"segment_start_seconds": segment.start_seconds, "segment_end_seconds": segment.end_seconds}
    return {**row, **named, **times}
