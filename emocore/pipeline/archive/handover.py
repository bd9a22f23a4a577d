"""What is read of a shard, on its way to the process that answers for it: typed columns, whose sizes Ray sees."""

import json
from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from typing import Any

import numpy as np
import pyarrow as pa

from emocore.datasets.frames import images_of
from emocore.features.extract import FEATURIZED
from emocore.features.family import FeatureFamily
from emocore.features.listen import Windows
from emocore.features.one_file import Found, Sink
from emocore.features.rows import picture_rows
from emocore.media.video import Picture
from emocore.pipeline.archive.stage import ReadShard, Stage
from emocore.schema import FAILURES, pictures_schema
from emocore.timeline import Window

DONE = pa.schema(
    [
        *(("files", pa.int64()), ("failed", pa.int64()), ("media_seconds", pa.float64()), ("fault", pa.string())),
        *(("place", pa.int64()), ("sections", pa.int64())),  # of a shard of one file that is to be read in sections
    ]
)
_ITEM = pa.schema([("item_place", pa.int64()), ("item_part", pa.int64()), ("found", pa.string())])
_BY_PATH = {"seconds": pa.map_(pa.string(), pa.float64()), "attempts_before": pa.map_(pa.string(), pa.int32())}
_COPIES = pa.map_(pa.string(), pa.list_(pa.string()))  # the names of clips of equal bytes, by the first
_WINDOWS = pa.schema(
    [
        *(("clip", pa.string()), ("family", pa.string()), ("track", pa.int32()), ("index", pa.list_(pa.int32()))),
        *((name, pa.list_(pa.float64())) for name in ("start", "end", "speech")),
        *(("states", pa.list_(pa.string())), ("values", pa.list_(pa.float32()))),
    ]
)


_NOTHING = ReadShard(0, FEATURIZED.empty_table(), FAILURES.empty_table(), {}, {}, "")


class Taken:
    """A sink that keeps what is made of a shard's files, in its order."""

    def __init__(self) -> None:
        self.copies: dict[str, list[str]] = {}  # the clips of equal bytes, by the first
        self.heard: list[tuple[str, str, Windows]] = []  # clip, family
        self.seen: list[tuple[str, Picture]] = []

    def windows(self, clips: list[str], family: FeatureFamily, windows: Windows) -> None:
        """Keep windows."""
        self.copies[clips[0]] = clips
        self.heard.append((clips[0], family.name, windows))

    def pictures(self, clips: list[str], pictures: list[Picture]) -> None:
        """Keep pictures."""
        self.copies[clips[0]] = clips
        self.seen += [(clips[0], picture) for picture in pictures]

    def finish(self) -> None:
        """Nothing waits."""


def pack(read: ReadShard, taken: Taken, stage: Stage) -> pa.Table:
    """Return the row of a shard that was read, with all that was made of its files."""
    pixels = stage.reading.pixels
    rows = picture_rows(taken.seen, pixels) if taken.seen else pictures_schema(pixels).empty_table()
    columns: dict[str, pa.Array] = {
        "number": pa.array([read.number], pa.int64()),
        "round_id": pa.array([read.round_id]),
        "good": _nested(read.good),
        "failures": _nested(read.failures),
        **{name: pa.array([list(getattr(read, name).items())], kind) for name, kind in _BY_PATH.items()},
        "pictures": _nested(rows),
        "windows": _nested(pa.Table.from_pylist(list(map(_packed, taken.heard)), _WINDOWS)),
        "copies": pa.array([list(taken.copies.items())], _COPIES),
    }
    return pa.table(columns | _columns({}, DONE) | _columns({}, _ITEM))


def pack_section(item: tuple[int, int], found: Found, taken: Taken, stage: Stage) -> pa.Table:
    """Return the row of a section that was read, of the shard at a place of the plan."""
    told = {"item_place": item[0], "item_part": item[1], "found": json.dumps(found.to_json())}
    return _with(pack(_NOTHING, taken, stage), told, _ITEM)


def section_of(row: pa.Table) -> tuple[tuple[int, int], Found] | None:
    """Return the item of which a row is, and what was found; None where it is of a whole shard."""
    (told,) = row.select(_ITEM.names).to_pylist()
    if told["found"] is None:
        return None
    return (told["item_place"], told["item_part"]), Found.from_json(json.loads(told["found"]))


def pack_done(done: Mapping[str, Any], stage: Stage) -> pa.Table:
    """Return the row of a shard with which there is nothing to do any more, beside those of others."""
    return _with(pack(_NOTHING, Taken(), stage), {"files": 0, **done}, DONE)


def is_done(row: pa.Table) -> bool:
    """Whether a row says what has become of its shard."""
    return any(row[name][0].is_valid for name in DONE.names)


def unpack(row: pa.Table, stage: Stage) -> tuple[ReadShard, Callable[[Sink], None]]:
    """Return what was packed into a row, and what gives a sink all that was made of its files."""
    plain = row.select(["number", "round_id", *_BY_PATH, "copies"]).to_pylist()[0]
    by_path: dict[str, Any] = {name: dict(plain[name]) for name in _BY_PATH}
    good, failures, pictures, windows = (_flat(row[name]) for name in ("good", "failures", "pictures", "windows"))
    read = ReadShard(plain["number"], good, failures, round_id=plain["round_id"], **by_path)
    copies, families = dict(plain["copies"]), {family.name: family for family in stage.families}

    def replay(sink: Sink) -> None:
        for one in windows.to_batches(max_chunksize=1):
            told = one.drop_columns(["values"]).to_pylist()[0]
            family = families[told["family"]]
            sink.windows(copies[told["clip"]], family, _unpacked(told, one.column("values"), family))
        for clip, found in _pictures_of(pictures):
            sink.pictures(copies[clip], found)

    return read, replay


def _packed(heard: tuple[str, str, Windows]) -> dict[str, Any]:
    clip, family, windows = heard
    return {
        "clip": clip,
        "family": family,
        "track": windows.track,
        "index": [window.index for window in windows.windows],
        "start": [window.start_seconds for window in windows.windows],
        "end": [window.end_seconds for window in windows.windows],
        "states": windows.states,
        "speech": windows.speech_seconds,
        "values": windows.values.ravel(),
    }


def _unpacked(told: dict[str, Any], values: pa.Array, family: FeatureFamily) -> Windows:
    windows = [Window(*place) for place in zip(told["index"], told["start"], told["end"], strict=True)]
    numbers = np.asarray(values.flatten(), np.float32).reshape(len(windows), *family.shape)
    return Windows(windows, told["states"], np.array(told["speech"], np.float64), numbers, told["track"])


def _with(row: pa.Table, told: Mapping[str, Any], schema: pa.Schema) -> pa.Table:
    return pa.table(dict(zip(row.column_names, row.columns, strict=True)) | _columns(told, schema))


def _columns(told: Mapping[str, Any], schema: pa.Schema) -> dict[str, pa.Array]:
    return {field.name: pa.array([told.get(field.name)], field.type) for field in schema}


def _pictures_of(pictures: pa.Table) -> Iterator[tuple[str, list[Picture]]]:
    images = images_of(pictures)
    told = pictures.select(["clip", "frame_index", "time_seconds", "state", "box"]).to_pylist()
    for clip, rows in groupby(zip(told, images, strict=True), lambda pair: pair[0]["clip"]):
        yield clip, [_picture(row, image) for row, image in rows]


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
