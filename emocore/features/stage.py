"""From a batch of listed files to a batch of features: one open per file, faults as columns."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from emocore.config import FeatureConfig, Inputs
from emocore.errors import MediaError
from emocore.features.mfcc import COLUMNS, N_FRAMES, N_MFCC, article_features
from emocore.media.audio import decode_audio, prepare
from emocore.media.container import open_container
from emocore.media.source import content_id, open_source
from emocore.schema import CLIPS, LISTING, MFCC_FRAMES

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


def featurize_batch(planned: pa.Table, config: FeatureConfig) -> pa.Table:
    """Return FEATURIZED rows for PLANNED rows, in their order; files with equal bytes are computed once a batch.

    A row with a fault has null features; so has one without sound, whose state is "no_audio".
    """
    paths = planned["path"].to_pylist()
    firsts = [first or path for first, path in zip(planned["duplicate_of"].to_pylist(), paths, strict=True)]
    by_content: dict[str, _Result] = {}
    for path, first in zip(paths, firsts, strict=True):
        if first not in by_content:
            by_content[first] = _featurize_file(path, config)
    return _to_table(planned, [by_content[first] for first in firsts])


def inputs_of(featurized: pa.Table, inputs: Inputs) -> NDArray[np.float32]:
    """Return what a model reads of rows that have features: the columns [n, 160], or the frames [n, 157, 39]."""
    if inputs == "frames":
        return np.asarray(featurized["frames"].combine_chunks().to_numpy_ndarray(), np.float32)
    return np.column_stack([featurized[name].to_numpy() for name in COLUMNS]).astype(np.float32)


def _featurize_file(path: str, config: FeatureConfig) -> _Result:
    identity: str | None = None
    try:
        with open_source(path) as stream:
            identity = content_id(stream)
            with open_container(stream) as container:
                sound = decode_audio(container)
        if sound is None:
            return _Result(identity, state="no_audio")
        columns, frames = article_features(prepare(sound, config.sample_rate_hz, config.level), config.sample_rate_hz)
    except MediaError as fault:
        return _Result(identity, fault=fault)
    except Exception as error:  # one strange file must not take the archive along
        return _Result(identity, fault=MediaError("featurize", "internal", f"{type(error).__name__}: {error}"))
    state = "silent" if sound.silent else "ok"
    return _Result(identity, sound.duration_seconds, state, None, columns, frames)


def _to_table(planned: pa.Table, results: list[_Result]) -> pa.Table:
    made: dict[str, Any] = {
        "content_id": [r.content_id for r in results],
        "duration_seconds": [r.duration_seconds for r in results],
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
