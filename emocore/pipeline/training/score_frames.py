"""Frames scored by a trained network, in parallel, read where they lie and never all at once."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from emocore.arrays import Rows
from emocore.datasets.examples import Examples
from emocore.datasets.frames import frame_files, frames_of, images_of, read_frames
from emocore.errors import UserError
from emocore.labels import EMOTIONS
from emocore.models.bundle import bundle_folder, bundle_hash, readable
from emocore.models.catalogue import SHIPPED
from emocore.models.predictions import FRAMES_AT_ONCE, answer_frames
from emocore.pipeline import cluster
from emocore.progress import Counter
from emocore.schema import FRAME_LABELS, of_emotions
from emocore.storage.files import write_bytes

_TASKS_A_CPU = 4


@dataclass(frozen=True)
class NetworkPlace:
    """Where every worker finds a network: a folder that all machines share, or the name of a shipped bundle."""

    place: str
    model: str
    digest: str  # of the files: a process keeps the network that it loaded last

    @property
    def folder(self) -> Path:
        """Return the folder, which for what is shipped each machine has at a place of its own."""
        return bundle_folder(self.place) if self.place in SHIPPED else Path(self.place)

    def load(self) -> None:
        """Load the network, where this process has not."""
        _network(self)

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return float64[n, k] for pictures uint8[n, h, w], by a network that is loaded once a process."""
        parts = [images[i : i + FRAMES_AT_ONCE] for i in range(0, len(images), FRAMES_AT_ONCE)]
        return np.concatenate([_network(self).probabilities(part) for part in parts or [images]])


def write_network(folder: Path, files: Mapping[str, bytes], model: str) -> NetworkPlace:
    """Write a network's files where workers find them."""
    for name, content in files.items():
        write_bytes(folder / name, content)
    return NetworkPlace(str(folder), model, bundle_hash(folder))


def finished_network(run: str, model: str) -> NetworkPlace:
    """Return the network of a finished RUN, or of the shipped bundle of that name."""
    folder = bundle_folder(run)
    return NetworkPlace(run if run in SHIPPED else str(folder), model, bundle_hash(folder))


def check_network(network: NetworkPlace) -> None:
    """Raise UserError where a network cannot be loaded; done in a worker, so that this process need no TensorFlow."""
    import ray  # noqa: PLC0415 - Ray takes seconds to import: only where it is needed

    cluster.connect()
    problem = ray.get(ray.remote(num_cpus=1)(_problem).remote(network))
    if problem:
        raise UserError(problem)


def _problem(network: NetworkPlace) -> str | None:
    try:
        network.load()
    except UserError as error:
        return str(error)
    return None


def score_frames(examples: Examples, rows: Rows, network: NetworkPlace) -> pa.Table:
    """Return FRAME_LABELS of all usable frames of these clips, sorted by clip and frame."""
    import ray  # noqa: PLC0415 - as above

    cluster.connect()
    inputs = frames_of(examples)
    clips = frozenset(examples.clips["clip"].take(pa.array(rows)).to_pylist())
    files = [str(path) for path in frame_files(inputs.folders)]
    tasks = min(len(files), _TASKS_A_CPU * cluster.cpus())
    task: Callable[..., Any] = _score_files
    data = ray.data.from_arrow([pa.table({"file": files[i::tasks]}) for i in range(tasks)]).map_batches(
        task,
        batch_size=None,
        batch_format="pyarrow",
        num_cpus=1,
        fn_kwargs={"clips": clips, "network": network, "emotions": examples.emotions},
    )
    schema = of_emotions(FRAME_LABELS, examples.emotions)
    parts = [schema.empty_table()]
    with Counter("score", int(inputs.n_frames[rows].sum()), "frame") as counter:
        batches: Iterator[pa.Table] = iter(data.iter_batches(batch_size=None, batch_format="pyarrow"))
        for part in batches:
            parts.append(part.cast(schema))
            counter.add(part.num_rows)
    return pa.concat_tables(parts).sort_by([("clip", "ascending"), ("frame_index", "ascending")]).combine_chunks()


def _score_files(
    table: pa.Table, clips: frozenset[str], network: NetworkPlace, emotions: tuple[str, ...] = EMOTIONS
) -> Iterator[pa.Table]:
    waiting: list[pa.Table] = []
    for file in table["file"].to_pylist():
        for frames in read_frames(Path(file), clips):
            waiting.append(frames)
            if sum(part.num_rows for part in waiting) >= FRAMES_AT_ONCE:
                yield _score(waiting, network, emotions)
                waiting = []
    if waiting:
        yield _score(waiting, network, emotions)


def _score(parts: list[pa.Table], network: NetworkPlace, emotions: tuple[str, ...]) -> pa.Table:
    frames = pa.concat_tables(parts)
    return answer_frames(frames, network.probabilities(images_of(frames)), emotions)


@lru_cache(maxsize=1)
def _network(network: NetworkPlace) -> Any:
    from emocore.models.keras.devices import use_cpu  # noqa: PLC0415 - as above
    from emocore.models.keras.frame_network import FrameNetwork  # noqa: PLC0415 - TensorFlow takes seconds to import

    use_cpu(1)
    with readable(network.folder):
        return FrameNetwork.load(network.folder, network.model)
