"""The clocks of segments: one is read and answered for on its own, and tables tell times on that of its file."""

from collections.abc import Callable, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from emocore.media.source import split_segment

_DIGITS = 9  # of a second behind the point: what sums of decimals have beyond that is noise
_TIMES = ("start_seconds", "end_seconds", "time_seconds")


def begins_of(path_of: Mapping[str, str]) -> dict[str, float]:
    """Return when each clip begins that is a segment, in seconds on its file's clock.

    >>> begins_of({"a": "a.wav#t=1.5,2.0", "b": "b.wav"})
    {'a': 1.5}
    """
    found = {clip: split_segment(path)[1] for clip, path in path_of.items()}
    return {clip: segment.start_seconds for clip, segment in found.items() if segment}


def later(time: float, begins: float) -> float:
    """Return a time on a clock that began so many seconds before: of a segment that on the clock of its file."""
    return round(time + begins, _DIGITS) if begins else time


def on_file_clock(
    write: Callable[[str, pa.Table], None], begins: Mapping[str, float]
) -> Callable[[str, pa.Table], None]:
    """Return what writes rows of windows and frames with their times on the clock of the clips' files."""
    if not begins:
        return write

    def written(table: str, rows: pa.Table) -> None:
        own = pa.array([begins.get(clip, 0.0) for clip in rows["clip"].to_pylist()], pa.float64())
        for name in _TIMES:
            if name in rows.column_names:
                place = rows.column_names.index(name)
                rows = rows.set_column(place, rows.schema.field(place), pc.round(pc.add(rows[name], own), _DIGITS))
        write(table, rows)

    return written
