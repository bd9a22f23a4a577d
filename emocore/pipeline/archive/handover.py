"""What is read of a shard, on its way to the process that answers for it: typed columns, whose sizes Ray sees."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import pyarrow as pa

from emocore.datasets.frames import images_of
from emocore.features.extract import featurized_schema, picture_rows
from emocore.media.video import Picture
from emocore.pipeline.archive.stage import ReadShard, Stage
from emocore.schema import FAILURES, pictures_schema

DONE = pa.schema([("files", pa.int64()), ("failed", pa.int64()), ("fault", pa.string())])
Taken = tuple[list[str], list[Picture]]
_BY_PATH = {"seconds": pa.map_(pa.string(), pa.float64()), "attempts_before": pa.map_(pa.string(), pa.int32())}
_COPIES = pa.map_(pa.string(), pa.list_(pa.string()))  # of clips with pictures: their names, by the first


def pack(read: ReadShard, taken: Sequence[Taken], pixels: int) -> pa.Table:
    """Return the row of a shard that was read, with its pictures, of this side, each with its clip and copies."""
    pictures = [(clips[0], picture) for clips, found in taken for picture in found]
    rows = picture_rows(pictures, pixels) if pictures else pictures_schema(pixels).empty_table()
    columns: dict[str, pa.Array] = {
        "number": pa.array([read.number], pa.int64()),
        "round_id": pa.array([read.round_id]),
        "good": _nested(read.good),
        "failures": _nested(read.failures),
        **{name: pa.array([list(getattr(read, name).items())], kind) for name, kind in _BY_PATH.items()},
        "pictures": _nested(rows),
        "copies": pa.array([[(clips[0], clips) for clips, _ in taken]], _COPIES),
    }
    return pa.table(columns | _columns({}))


def pack_done(done: Mapping[str, Any], stage: Stage) -> pa.Table:
    """Return the row of a shard with which there is nothing to do any more, beside those of others."""
    nothing = ReadShard(0, featurized_schema(stage.families).empty_table(), FAILURES.empty_table(), {}, {}, "")
    row = pack(nothing, [], stage.reading.pixels).drop_columns(DONE.names)
    return pa.table(dict(zip(row.column_names, row.columns, strict=True)) | _columns(done))


def is_done(row: pa.Table) -> bool:
    """Whether a row says what has become of its shard."""
    return any(row[name][0].is_valid for name in DONE.names)


def unpack(row: pa.Table) -> tuple[ReadShard, Iterator[Taken]]:
    """Return what was packed into a row, and the clips with their pictures."""
    plain = row.select(["number", "round_id", *_BY_PATH, "copies"]).to_pylist()[0]
    by_path: dict[str, Any] = {name: dict(plain[name]) for name in _BY_PATH}
    good, failures, pictures = (_flat(row[name]) for name in ("good", "failures", "pictures"))
    read = ReadShard(plain["number"], good, failures, round_id=plain["round_id"], **by_path)
    return read, _taken(pictures, dict(plain["copies"]))


def _columns(done: Mapping[str, Any]) -> dict[str, pa.Array]:
    return {field.name: pa.array([done.get(field.name)], field.type) for field in DONE}


def _taken(pictures: pa.Table, copies: dict[str, list[str]]) -> Iterator[Taken]:
    images = images_of(pictures)
    told = pictures.select(["clip", "frame_index", "time_seconds", "state", "box"]).to_pylist()
    for clip, rows in groupby(zip(told, images, strict=True), lambda pair: pair[0]["clip"]):
        yield copies[clip], [_picture(row, image) for row, image in rows]


def _picture(row: dict[str, Any], image: Any) -> Picture:
    box = None if row["box"] is None else tuple(row["box"])
    return Picture(row["frame_index"], row["time_seconds"], np.asarray(image), row["state"], box)


def _nested(table: pa.Table) -> pa.ListArray:
    """Return a table as one list of structures."""
    columns = [column.combine_chunks() for column in table.columns]
    rows = pa.StructArray.from_arrays(columns, fields=list(table.schema))
    return pa.ListArray.from_arrays(pa.array([0, len(table)], pa.int32()), rows)


def _flat(column: pa.ChunkedArray) -> pa.Table:
    return pa.Table.from_struct_array(column.combine_chunks().flatten())
