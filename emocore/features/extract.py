"""From a batch of listed files to a batch of features: one open per file, faults as columns."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from emocore.errors import MediaError
from emocore.features.family import Extractor, FeatureFamily, FrameInput, SoundInput, SoundWindow
from emocore.media.audio import Sound, prepare, sound_state
from emocore.media.bandwidth import bandwidth_hz
from emocore.media.limit import TimeLimit
from emocore.media.reading import Media, Reading, read_media
from emocore.media.source import content_id, open_source
from emocore.media.video import Picture
from emocore.schema import CLIPS, LISTING, SHARES, features_schema, pictures_schema, soft_labels
from emocore.timeline import Window
from emocore.tracks.pictures import keeper

# A file that cannot be used: these three say why, and are null for every other.
FAULT = [pa.field("stage", pa.string()), pa.field("reason", pa.string()), pa.field("detail", pa.string())]
SOFT = "soft_label"
PLANNED = pa.schema(
    [
        *LISTING.set(LISTING.get_field_index(SOFT), pa.field(SOFT, SHARES)),
        pa.field("duplicate_of", pa.string()),
        pa.field("planned_id", pa.string()),  # the content id that made it a copy; null where none was needed
    ]
)

Guard = Callable[[str], AbstractContextManager[object]]
Sink = Callable[[list[str], list[Picture]], None]


def featurized_schema(families: Sequence[FeatureFamily]) -> pa.Schema:
    """Return what `featurize_batch` gives: a row a file, with its windows of each family of sound in a list."""
    return pa.schema([*CLIPS, *FAULT, *(pa.field(family.name, _windows_type(family)) for family in heard_by(families))])


def reading_of(
    families: Sequence[FeatureFamily], seconds_per_file: float = 600.0, sound_track: int | None = None
) -> Reading:
    """Return what is read of a file for these families; `sound_track`: which, from 1 on, where it has several."""
    frames = next((family.reads for family in families if isinstance(family.reads, FrameInput)), None)
    sound = bool(heard_by(families))
    reading = Reading(sound=sound, sound_track=sound_track, seconds_per_file=seconds_per_file)
    if frames is None:
        return reading
    return replace(reading, every=frames.every, pixels=frames.pixels, faces=frames.faces)


def heard_by(families: Sequence[FeatureFamily]) -> list[FeatureFamily]:
    """Return the families of sound among these."""
    return [family for family in families if isinstance(family.reads, SoundInput)]


def load_families(families: Sequence[FeatureFamily]) -> None:
    """Load what takes long of these families, before a file's time runs; once a process."""
    for family in heard_by(families):
        _loaded(family)


def featurize_batch(
    planned: pa.Table,
    families: Sequence[FeatureFamily],
    reading: Reading | None = None,
    guard: Guard = nullcontext,
    sink: Sink | None = None,
) -> pa.Table:
    """Return `featurized_schema` rows for PLANNED rows, in their order; equal bytes are computed once a batch.

    A file that is not what was planned any more speaks for none of its copies: the next of them is read.
    A row with a fault has no windows; nor has one without sound, whose state is "no_audio" where sound was asked for.
    `guard(path)` is entered around each file, and may raise MediaError; `sink(clips, pictures)` takes the pictures of
    a clip and of its copies, at once, so that they need not be held.
    """
    reading = reading or reading_of(families)
    heard = heard_by(families) if reading.sound else []
    for family in heard:
        _loaded(family)
    paths, clips, ids = (planned[name].to_pylist() for name in ("path", "clip", "planned_id"))
    results = [_Result()] * planned.num_rows
    for rows in _copies(planned):
        while rows:
            first = rows[0]
            try:
                with guard(paths[first]):
                    result, pictures = _featurize_file(paths[first], heard, reading)
                    alike = rows if result.content_id and result.content_id == ids[first] else [first]
                    if sink and pictures:
                        sink([clips[row] for row in alike], pictures)
            except MediaError as fault:  # the guard's, of a file that ended processes: no copy is to end more
                result, alike = _Result(fault=fault), rows
            for row in alike:
                results[row] = result
            rows = rows[len(alike) :]
    return _to_table(planned, results, families)


def _copies(planned: pa.Table) -> Iterable[list[int]]:
    """Return the rows whose files had equal bytes when they were planned, together."""
    rows_of: dict[str, list[int]] = {}
    paths, firsts = planned["path"].to_pylist(), planned["duplicate_of"].to_pylist()
    for row, (path, first) in enumerate(zip(paths, firsts, strict=True)):
        rows_of.setdefault(first or path, []).append(row)
    return rows_of.values()


def windows_of(featurized: pa.Table, family: FeatureFamily) -> pa.Table:
    """Return the windows of all files as a table of features: keyed by clip, track and window."""
    lists = featurized[family.name].combine_chunks()
    rows, entries = pc.list_parent_indices(lists), pc.list_flatten(lists)
    schema = features_schema(family.shape, family.columns)
    made = {name: entries.field(name) for name in ("window", "start_seconds", "end_seconds", "state")}
    made |= {"clip": featurized["clip"].take(rows), "track": pa.array(np.zeros(len(rows), np.int32))}
    values = _numbers(entries.field("values"), family)
    made |= value_columns(values, family)
    return pa.table({name: made[name] for name in schema.names}, schema)


def value_columns(values: NDArray[np.float32], family: FeatureFamily) -> dict[str, pa.Array]:
    """Return float32[n, *shape] as the columns of a table of features: by name, or a tensor called values."""
    if family.columns:
        return {name: pa.array(values[:, i]) for i, name in enumerate(family.columns)}
    kind = pa.fixed_shape_tensor(pa.float32(), list(family.shape))
    storage = pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(values).ravel()), family.size)
    return {"values": pa.ExtensionArray.from_storage(kind, storage)}


def values_of(windows: pa.Table, family: FeatureFamily) -> NDArray[np.float32]:
    """Return what a table of features holds, float32[n, *shape]."""
    if family.columns:
        return np.column_stack([windows[name].to_numpy() for name in family.columns]).astype(np.float32)
    return np.asarray(windows["values"].combine_chunks().to_numpy_ndarray(), np.float32)


def picture_rows(pictures: Sequence[tuple[str, Picture]], pixels: int) -> pa.Table:
    """Return pictures, each with its clip, as rows of `pictures_schema`; `pixels` is their side."""
    schema = pictures_schema(pixels)
    images = np.stack([picture.image for _, picture in pictures])
    storage = pa.FixedSizeListArray.from_arrays(pa.array(images.ravel()), pixels**2)
    return pa.table(
        {
            "clip": [clip for clip, _ in pictures],
            "track": np.zeros(len(pictures), np.int32),
            "frame_index": [picture.frame_index for _, picture in pictures],
            "time_seconds": [picture.time_seconds for _, picture in pictures],
            "state": [picture.state for _, picture in pictures],
            "box": [picture.box for _, picture in pictures],
            "image": pa.ExtensionArray.from_storage(schema.field("image").type, storage),
        },
        schema,
    )


@dataclass(frozen=True)
class _Windows:
    """One family's windows of a clip: their states, and their values float32[n, *shape]."""

    windows: list[Window]
    states: list[str]
    values: NDArray[np.float32]


@dataclass(frozen=True)
class _Result:
    """What one file's bytes gave."""

    content_id: str | None = None
    duration_seconds: float | None = None
    state: str | None = None
    fault: MediaError | None = None
    sound_begin_seconds: float | None = None
    bandwidth_hz: float | None = None
    sound_tracks: int | None = None
    windows: dict[str, _Windows] = field(default_factory=dict)


def _featurize_file(path: str, heard: list[FeatureFamily], reading: Reading) -> tuple[_Result, list[Picture]]:
    identity: str | None = None
    limit = TimeLimit(reading.seconds_per_file)
    try:
        with open_source(path, limit) as stream:
            identity = content_id(stream, limit)
            media = read_media(stream, replace(reading, limit=limit), keeper(reading))
        return _compute(identity, media, heard, reading), media.pictures or []
    except MediaError as fault:
        return _Result(identity, fault=fault), []
    except Exception as error:  # one strange file must not take the archive along
        ours = MediaError("featurize", "internal", f"{type(error).__name__}: {error}")
        return _Result(identity, fault=ours), []


def _compute(identity: str, media: Media, heard: list[FeatureFamily], reading: Reading) -> _Result:
    sound = media.sound
    if sound is None:
        state = "no_audio" if reading.sound else "no_video" if media.pictures is None else "ok"
        return _Result(identity, media.duration_seconds, state=state, sound_tracks=media.sound_tracks)
    signals: dict[Any, NDArray[np.float32]] = {}  # families of one input share the resampling
    windows = {family.name: _windows(sound, family, signals) for family in heard}
    states = [state for found in windows.values() for state in found.states]
    missing = "no_video" if reading.every and media.pictures is None else "ok"
    return _Result(
        identity,
        sound.duration_seconds,
        state=missing if not heard or "ok" in states else next(iter(states), "too_short"),
        sound_begin_seconds=media.sound_begin_seconds,
        bandwidth_hz=bandwidth_hz(sound.signal, sound.sample_rate_hz),
        sound_tracks=media.sound_tracks,
        windows=windows,
    )


def _windows(sound: Sound, family: FeatureFamily, signals: dict[Any, NDArray[np.float32]]) -> _Windows:
    assert isinstance(family.reads, SoundInput)
    rate = family.reads.sample_rate_hz
    if family.reads not in signals:
        signals[family.reads] = prepare(sound, rate, family.reads.level)
    signal = signals[family.reads]
    windows = list(family.grid.windows(sound.duration_seconds))
    parts = [SoundWindow(window, _cut(signal, window, rate), rate) for window in windows]
    own_rate = sound.sample_rate_hz
    states: list[str] = [sound_state(_cut(sound.signal, window, own_rate), own_rate) for window in windows]
    values = _loaded(family)(parts)
    if not np.isfinite(values).all():
        raise MediaError("featurize", "not_finite", f"the features {family.name} of its sound hold NaN or infinity")
    # What a recipe pads a window with is none of the clip's time.
    ended = [replace(window, end_seconds=min(window.end_seconds, sound.duration_seconds)) for window in windows]
    return _Windows(ended, states, values)


def _cut(signal: NDArray[np.float32], window: Window, sample_rate_hz: int) -> NDArray[np.float32]:
    return signal[round(window.start_seconds * sample_rate_hz) : round(window.end_seconds * sample_rate_hz)]


@lru_cache(maxsize=16)
def _loaded(family: FeatureFamily) -> Extractor:
    return family.load(family)


def _windows_type(family: FeatureFamily) -> pa.DataType:
    values = pa.list_(pa.float32(), family.size)
    names = [("window", pa.int32()), ("start_seconds", pa.float64()), ("end_seconds", pa.float64())]
    return pa.list_(pa.struct([*names, ("state", pa.string()), ("values", values)]))


def _numbers(values: pa.FixedSizeListArray, family: FeatureFamily) -> NDArray[np.float32]:
    return np.asarray(values.flatten().to_numpy(zero_copy_only=False), np.float32).reshape(-1, *family.shape)


def _to_table(planned: pa.Table, results: list[_Result], families: Sequence[FeatureFamily]) -> pa.Table:
    schema = featurized_schema(families)
    made: dict[str, Any] = {
        "content_id": [r.content_id for r in results],
        "duration_seconds": [r.duration_seconds for r in results],
        "sound_begin_seconds": [r.sound_begin_seconds for r in results],
        "bandwidth_hz": [r.bandwidth_hz for r in results],
        "sound_tracks": [r.sound_tracks for r in results],
        "state": [r.state for r in results],
        "stage": [r.fault and r.fault.stage for r in results],
        "reason": [r.fault and r.fault.reason for r in results],
        "detail": [r.fault and r.fault.detail for r in results],
    }
    columns = []
    for column in schema:
        if column.name == SOFT:
            columns.append(soft_labels(planned[SOFT]))
        elif column.name in PLANNED.names:
            columns.append(planned[column.name].combine_chunks())
        elif column.name in made:
            columns.append(pa.array(made[column.name], column.type))
    columns += [_list_column(results, family) for family in heard_by(families)]
    place = schema.get_field_index(SOFT)
    return pa.Table.from_arrays(columns, schema=schema.set(place, pa.field(SOFT, columns[place].type)))


def _list_column(results: list[_Result], family: FeatureFamily) -> pa.Array:
    kind = _windows_type(family)
    empty = _Windows([], [], np.zeros((0, *family.shape), np.float32))
    found = [result.windows.get(family.name, empty) for result in results]
    windows = [window for one in found for window in one.windows]
    values = np.concatenate([empty.values, *(one.values for one in found)]).astype(np.float32)
    fields = [
        pa.array([window.index for window in windows], pa.int32()),
        pa.array([window.start_seconds for window in windows], pa.float64()),
        pa.array([window.end_seconds for window in windows], pa.float64()),
        pa.array([state for one in found for state in one.states], pa.string()),
        pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), family.size),
    ]
    entries = pa.StructArray.from_arrays(fields, fields=list(kind.value_type))
    offsets = np.cumsum([0, *(len(one.windows) for one in found)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), entries, type=kind)
