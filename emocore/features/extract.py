"""From a batch of listed files to a batch of features: one open per file, faults as columns."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from emocore.errors import MediaError
from emocore.features.article import COLUMNS, N_FRAMES, N_MFCC, N_SAMPLES, article_features
from emocore.features.compile import compile_features
from emocore.features.family import FeatureConfig, Inputs
from emocore.media.audio import prepare, sound_state
from emocore.media.bandwidth import bandwidth_hz
from emocore.media.limit import TimeLimit
from emocore.media.reading import SOUND_ONLY, Media, Reading, read_media
from emocore.media.source import content_id, open_source
from emocore.media.video import Picture
from emocore.schema import CLIPS, LISTING, MFCC_FRAMES, pictures_schema
from emocore.tracks.pictures import keeper

# A file that cannot be used: these three say why, and are null for every other.
FAULT = [pa.field("stage", pa.string()), pa.field("reason", pa.string()), pa.field("detail", pa.string())]
AUDIO = [pa.field(name, pa.float32()) for name in COLUMNS]
FRAMES = pa.field("frames", MFCC_FRAMES)
PLANNED = pa.schema([*LISTING, pa.field("duplicate_of", pa.string())])
FEATURIZED = pa.schema([*CLIPS, *FAULT, *AUDIO, FRAMES])

_NO_COLUMNS = np.full(len(COLUMNS), np.nan, np.float32)
_NO_FRAMES = np.zeros((N_FRAMES, 3 * N_MFCC), np.float32)


@dataclass(frozen=True)
class _Result:
    """What one file's bytes gave."""

    content_id: str | None = None
    duration_seconds: float | None = None
    state: str | None = None
    fault: MediaError | None = None
    columns: NDArray[np.float32] | None = None
    frames: NDArray[np.float32] | None = None
    sound_begin_seconds: float | None = None
    bandwidth_hz: float | None = None
    sound_tracks: int | None = None


Guard = Callable[[str], AbstractContextManager[object]]
Sink = Callable[[list[str], list[Picture]], None]


def featurize_batch(
    planned: pa.Table,
    config: FeatureConfig,
    reading: Reading = SOUND_ONLY,
    guard: Guard = nullcontext,
    sink: Sink | None = None,
) -> pa.Table:
    """Return FEATURIZED rows for PLANNED rows, in their order; files with equal bytes are computed once a batch.

    A row with a fault has null features; so has one without sound, whose state is "no_audio" where sound was asked
    for. `guard(path)` is entered around each file, and may raise MediaError; `sink(clips, pictures)` takes the
    pictures of a clip and of its copies, at once, so that they need not be held.
    """
    if reading.sound:
        compile_features()
    rows_of: dict[str, list[int]] = {}
    paths, clips = planned["path"].to_pylist(), planned["clip"].to_pylist()
    for row, first in enumerate(planned["duplicate_of"].to_pylist()):
        rows_of.setdefault(first or paths[row], []).append(row)
    results = [_Result()] * planned.num_rows
    for rows in rows_of.values():
        try:
            with guard(paths[rows[0]]):
                result, pictures = _featurize_file(paths[rows[0]], config, reading)
                if sink and pictures:
                    sink([clips[row] for row in rows], pictures)
        except MediaError as fault:
            result = _Result(fault=fault)
        for row in rows:
            results[row] = result
    return _to_table(planned, results)


def picture_rows(pictures: Sequence[tuple[str, Picture]], pixels: int) -> pa.Table:
    """Return pictures, each with its clip, as rows of `pictures_schema`; `pixels` is their side."""
    schema = pictures_schema(pixels)
    images = np.stack([picture.image for _, picture in pictures])
    storage = pa.FixedSizeListArray.from_arrays(pa.array(images.ravel()), pixels**2)
    return pa.table(
        {
            "clip": [clip for clip, _ in pictures],
            "frame_index": [picture.frame_index for _, picture in pictures],
            "time_seconds": [picture.time_seconds for _, picture in pictures],
            "state": [picture.state for _, picture in pictures],
            "box": [picture.box for _, picture in pictures],
            "image": pa.ExtensionArray.from_storage(schema.field("image").type, storage),
        },
        schema,
    )


def inputs_of(featurized: pa.Table, inputs: Inputs) -> NDArray[np.float32]:
    """Return what a model reads of rows that have features: the columns [n, 160], or the frames [n, 157, 39]."""
    if inputs == "frames":
        return np.asarray(featurized["frames"].combine_chunks().to_numpy_ndarray(), np.float32)
    return np.column_stack([featurized[name].to_numpy() for name in COLUMNS]).astype(np.float32)


def _featurize_file(path: str, config: FeatureConfig, reading: Reading) -> tuple[_Result, list[Picture]]:
    identity: str | None = None
    limit = TimeLimit(reading.seconds_per_file)
    try:
        with open_source(path, limit) as stream:
            identity = content_id(stream, limit)
            media = read_media(stream, replace(reading, limit=limit), keeper(reading))
        return _compute(identity, media, config, reading), media.pictures or []
    except MediaError as fault:
        return _Result(identity, fault=fault), []
    except Exception as error:  # one strange file must not take the archive along
        ours = MediaError("featurize", "internal", f"{type(error).__name__}: {error}")
        return _Result(identity, fault=ours), []


def _compute(identity: str, media: Media, config: FeatureConfig, reading: Reading) -> _Result:
    sound = media.sound
    if sound is None:
        state = "no_audio" if reading.sound else "no_video" if media.pictures is None else "ok"
        return _Result(identity, media.duration_seconds, state=state, sound_tracks=media.sound_tracks)
    signal = prepare(sound, config.sample_rate_hz, config.level)
    columns, frames = article_features(signal, config.sample_rate_hz)
    if not (np.isfinite(columns).all() and np.isfinite(frames).all()):
        raise MediaError("featurize", "not_finite", "the features of its sound hold NaN or infinity")
    used = sound.signal[: round(N_SAMPLES / config.sample_rate_hz * sound.sample_rate_hz)]
    state = sound_state(used, sound.sample_rate_hz)
    if state == "ok" and reading.every and media.pictures is None:
        state = "no_video"
    return _Result(
        identity,
        sound.duration_seconds,
        state,
        None,
        columns,
        frames,
        media.sound_begin_seconds,
        bandwidth_hz(sound.signal, sound.sample_rate_hz),
        media.sound_tracks,
    )


def _to_table(planned: pa.Table, results: list[_Result]) -> pa.Table:
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
    absent = np.array([r.columns is None for r in results], dtype=bool)
    values = _stack([_NO_COLUMNS if r.columns is None else r.columns for r in results], (len(COLUMNS),))
    for i, name in enumerate(COLUMNS):
        made[name] = pa.array(values[:, i], pa.float32(), mask=absent)
    frames = _stack([_NO_FRAMES if r.frames is None else r.frames for r in results], _NO_FRAMES.shape)
    storage = pa.FixedSizeListArray.from_arrays(pa.array(frames.ravel()), _NO_FRAMES.size)
    made["frames"] = pa.ExtensionArray.from_storage(MFCC_FRAMES, storage)
    return pa.Table.from_arrays(
        [
            planned[field.name].combine_chunks()
            if field.name in PLANNED.names
            else made[field.name]
            if isinstance(made[field.name], pa.Array)
            else pa.array(made[field.name], field.type)
            for field in FEATURIZED
        ],
        schema=FEATURIZED,
    )


def _stack(arrays: list[NDArray[np.float32]], shape: tuple[int, ...]) -> NDArray[np.float32]:
    return np.stack(arrays) if arrays else np.zeros((0, *shape), np.float32)
