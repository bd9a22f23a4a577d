"""The frames of a training: counted, then streamed from Parquet by Ray Data, each worker its share."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import ray
from numpy.typing import NDArray
from ray.train import DataConfig

from emocore.datasets.frames import count_frames, frame_files, images_of, read_frames
from emocore.labels import EMOTIONS
from emocore.media.resize import fit_all
from emocore.models.keras.batches import CHUNK_ROWS, Rows, joined

# Reading shares the CPUs with training: several tasks to one CPU, so that none waits for another to give its CPU back.
READ_CPUS = 0.25


@dataclass(frozen=True)
class FrameSource:
    """Folders that hold frames/*.parquet, and of which clips to read them: soft labels float32[k] by clip.

    `weights`: what a frame of each clip counts in the loss; None: 1, or what balances the emotions.
    """

    folders: tuple[Path, ...]
    labels: dict[str, NDArray[np.float32]]
    weights: dict[str, float] | None = None

    def files(self) -> list[Path]:
        """Return the Parquet files, folder by folder in name order."""
        return frame_files(self.folders)


def usable_frames(source: FrameSource) -> dict[str, int]:
    """Return how many usable frames each clip of the source has; clips without any are left out.

    Raises UserError as `count_frames`.
    """
    _, usable = count_frames(source.folders)
    return {clip: n for clip, n in usable.items() if clip in source.labels}


def stream(
    source: FrameSource,
    weights: Mapping[str, float],
    emotions: tuple[str, ...],
    pixels: int,
    seed: int,
    known: tuple[str, ...] = EMOTIONS,
) -> ray.data.Dataset:
    """Return the frames of the clips in `weights`, resized, as a lazy dataset; the seed draws the files' order.

    `emotions`: those of the network's outputs, among those of the soft labels, which are `known`.
    """
    files = source.files()
    order = np.random.default_rng([seed, 1]).permutation(len(files))
    columns = [known.index(emotion) for emotion in emotions]
    soft = np.stack([source.labels[clip][columns] for clip in weights])
    labels = {
        "clip": pa.array(list(weights)),
        "soft": soft / soft.sum(axis=1, keepdims=True),
        "weight": np.array(list(weights.values()), np.float32),
    }
    # A block and a task for each file: read_parquet would list the files in a task that asks for a whole CPU, and wait
    # for ever where the training has left less.
    read: Any = read_labelled
    return ray.data.from_arrow([pa.table({"path": [str(files[i].absolute())]}) for i in order]).map_batches(
        read,
        batch_format="pyarrow",
        batch_size=None,
        fn_kwargs={"labels": ray.put(labels), "pixels": pixels},
        num_cpus=READ_CPUS,
    )


def read_labelled(paths: Any, labels: Any, pixels: int) -> Iterator[Any]:
    """Read the usable frames of the labelled clips: image uint8[pixels, pixels], soft float32[k], weight float32."""
    known = ray.get(labels) if isinstance(labels, ray.ObjectRef) else labels
    for path in paths["path"].to_pylist():
        for frames in read_frames(Path(path), known["clip"]):
            yield _label(frames, known, pixels)


def _label(frames: pa.Table, known: Mapping[str, Any], pixels: int) -> pa.Table:
    numbers = pc.index_in(frames["clip"], value_set=known["clip"]).to_numpy()
    return pa.table(
        {
            "image": _column(fit_all(images_of(frames), pixels)),
            "soft": _column(known["soft"][numbers]),
            "weight": pa.array(known["weight"][numbers]),
        }
    )


def validation_batches(shard: Any, batch_size: int) -> Iterator[Rows]:
    """Return a worker's share of the validation frames in batches of one size, filled up with rows of no weight."""
    for rows in chunks(shard, batch_size):
        missing = batch_size - len(rows.weights)
        padding = Rows(*(np.zeros((missing, *values.shape[1:]), values.dtype) for values in rows))
        yield joined([rows, padding])


class EqualShares(DataConfig):
    """Training frames in equal shares and in a fixed order; validation frames whole, to whoever asks next."""

    def configure(self, datasets: dict[str, Any], world_size: int, *_: Any, **__: Any) -> list[dict[str, Any]]:
        """Return the shares of each worker by the datasets' names."""
        shares: list[dict[str, Any]] = [{} for _ in range(world_size)]
        for name, dataset in datasets.items():
            dataset = dataset.copy(dataset)
            dataset.context.execution_options.preserve_order = True
            for worker, part in enumerate(dataset.streaming_split(world_size, equal=name == "train")):
                shares[worker][name] = part
        return shares


def chunks(shard: Any, size: int = CHUNK_ROWS) -> Iterator[Rows]:
    """Return one pass over a worker's share."""
    for table in shard.iter_batches(batch_size=size, batch_format="pyarrow", prefetch_batches=2):
        yield Rows(_array(table["image"]), _array(table["soft"]), table["weight"].to_numpy())


def _array(column: pa.ChunkedArray) -> NDArray[Any]:
    whole = column.combine_chunks()
    values: NDArray[Any] = whole.to_numpy_ndarray()
    return values


def _column(values: NDArray[Any]) -> pa.Array:
    return pa.FixedShapeTensorArray.from_numpy_ndarray(np.ascontiguousarray(values))
