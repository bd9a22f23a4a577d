"""Rows of windows and pictures: what is computed of a clip, as the tables of features and frames hold it."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from emocore.features.family import FeatureFamily
from emocore.features.listen import Windows
from emocore.media.video import Picture
from emocore.schema import features_schema, pictures_schema


def window_table(clips: Sequence[str], family: FeatureFamily, windows: Windows) -> pa.Table:
    """Return a table of features: a row a window, for each of the clips, which have the same."""
    n = len(windows.windows)
    made = {
        "clip": pa.array(np.repeat(np.array(clips, object), n), pa.string()),
        "track": pa.array(np.full(n * len(clips), windows.track, np.int32)),
        "window": pa.array([window.index for window in windows.windows] * len(clips), pa.int32()),
        "start_seconds": pa.array([window.start_seconds for window in windows.windows] * len(clips), pa.float64()),
        "end_seconds": pa.array([window.end_seconds for window in windows.windows] * len(clips), pa.float64()),
        "speech_seconds": pa.array(np.tile(windows.speech_seconds, len(clips)), pa.float64(), from_pandas=True),
        "state": pa.array(windows.states * len(clips), pa.string()),
        **value_columns(np.tile(windows.values, (len(clips), *([1] * len(family.shape)))), family),
    }
    schema = features_schema(family.shape, family.columns)
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
