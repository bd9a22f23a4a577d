"""The plan of a round: which files make a shard, on disk, so that each worker reads its own."""

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pyarrow as pa

from emocore.features.extract import PLANNED
from emocore.media.limit import TimeLimit
from emocore.media.reading import SOUND_ONLY, Reading
from emocore.media.sections import may_be_long
from emocore.media.source import STILL_SUFFIXES, VIDEO_SUFFIXES, clip_id, file_suffix, open_source
from emocore.pipeline import cluster
from emocore.pipeline.archive.rows import Planned
from emocore.progress import Counter
from emocore.schema import rows_to_table
from emocore.storage.files import put
from emocore.storage.folder import PLAN
from emocore.storage.tables import check_types, forget_types

SHARD_FILES = 64
MOST_SHARD_FILES = 512
FILM_FILES = 8.0  # a film whose pictures are decoded takes the time of so many recordings and more
STILL_FILES = 0.125
SHARD = "shard"
ROUND_KEY = b"emocore_round"  # of the metadata of every part: the id of the round that wrote it
ATTEMPTS_BEFORE = "attempts_before"  # of a file that failed, and is tried again
SHARDED = PLANNED.append(pa.field(SHARD, pa.int64())).append(pa.field(ATTEMPTS_BEFORE, pa.int32()))


class Plan:
    """The shards of a round, each a record batch of a file: a worker reads no more than its own."""

    def __init__(self, out: Path, round_id: str = "") -> None:
        self.path = out / PLAN
        self.round_id = round_id

    def write(self, shards: Iterable[list[Planned]], first: int) -> int:
        """Write the shards, numbered from `first` on; return how many they are."""
        n = 0
        with put(self.path) as file, pa.ipc.new_file(file, SHARDED) as writer:
            for n, files in enumerate(shards, 1):
                writer.write_table(shard_table(files, first + n - 1), max_chunksize=len(files))
        return n

    def __len__(self) -> int:
        with self._open() as reader:
            return int(reader.num_record_batches)

    def sizes(self) -> Iterator[int]:
        """Yield how many files each shard has."""
        with self._open(pa.memory_map) as reader:
            for i in range(reader.num_record_batches):
                yield reader.get_batch(i).num_rows

    def shard(self, place: int) -> pa.Table:
        """Return the SHARDED rows of the shard at this place of the plan, which bear the id of their round."""
        with self._open() as reader:
            rows = pa.Table.from_batches([reader.get_batch(place)])
        return rows.replace_schema_metadata(signature(self.round_id))

    @contextmanager
    def _open(self, opened: Any = pa.OSFile) -> Iterator[Any]:
        forget_types()
        with opened(str(self.path)) as file:
            reader = pa.ipc.open_file(file)
            check_types(reader.schema, SHARDED, self.path)
            yield reader


def signature(round_id: str) -> dict[bytes, bytes]:
    """Return the metadata by which a part is known as this round's."""
    return {ROUND_KEY: round_id.encode()}


def shard_table(files: Iterable[Planned], number: int) -> pa.Table:
    """Return SHARDED rows."""
    own = {SHARD: number}
    rows = (
        {
            **one.row,
            **own,
            "duplicate_of": one.duplicate_of,
            "planned_id": one.content_id,
            ATTEMPTS_BEFORE: one.attempts,
        }
        for one in files
    )
    return rows_to_table(rows, SHARDED)


def cut_shards(
    files: Iterable[Planned], reading: Reading = SOUND_ONLY, *, alone: bool = False
) -> Iterator[list[Planned]]:
    """Part files into shards; those with equal bytes, which come one behind the other, stay together.

    The same files give the same shards, whatever the cluster. Where pictures are read a film counts as several
    files, and several stills as one. `alone`: a file that may be long is a shard with its copies alone.
    """
    shard: list[Planned] = []
    total = 0.0
    for one in files:
        is_long = alone and may_be_long(one.row["path"], one.row["bytes"])
        # Of a file with very many copies, each shard computes one.
        if ((total >= SHARD_FILES or (shard and is_long)) and not one.duplicate_of) or len(shard) == MOST_SHARD_FILES:
            yield shard
            shard, total = [], 0.0
        shard.append(one)
        total += SHARD_FILES if is_long else _weight(one.row["path"], reading)
    if shard:
        yield shard


def _weight(path: str, reading: Reading) -> float:
    suffix = file_suffix(path)
    if not reading.sees:
        return 1.0
    return FILM_FILES if suffix in VIDEO_SUFFIXES else STILL_FILES if suffix in STILL_SUFFIXES else 1.0


def identify(chunks: Iterator[list[str]], n: int, seconds_per_file: float) -> Iterator[list[str | None]]:
    """Yield the content ids of chunks of paths, hashed by Ray where it runs; None where a file cannot be read."""
    if not cluster.is_running():
        for chunk in chunks:
            yield _content_ids(chunk, seconds_per_file)
        return
    import ray  # noqa: PLC0415 - Ray takes seconds to import: only where it is needed

    hashed = ray.remote(num_cpus=1)(_content_ids)
    waiting: deque[Any] = deque()
    with Counter("compare files of equal size", n, "file") if n else nullcontext() as counter:
        for chunk in chunks:
            waiting.append(hashed.remote(chunk, seconds_per_file))
            if len(waiting) > 2 * cluster.cpus():
                yield _next(waiting, counter)
        while waiting:
            yield _next(waiting, counter)


def _next(waiting: deque[Any], counter: Counter | None) -> list[str | None]:
    import ray  # noqa: PLC0415 - as above

    ids: list[str | None] = ray.get(waiting.popleft())
    if counter:
        counter.add(len(ids))
    return ids


def _content_ids(paths: list[str], seconds_per_file: float) -> list[str | None]:
    ids: list[str | None] = []
    for path in paths:
        try:
            limit = TimeLimit(seconds_per_file)
            with open_source(path, limit) as stream:
                ids.append(clip_id(path, stream, limit))
        except Exception:  # becomes a failure where the file is decoded
            ids.append(None)
    return ids
