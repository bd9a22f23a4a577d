"""The plan of an archive: which files make a shard, and which files are copies of another."""

import itertools
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import ray

from emocore.features.stage import PLANNED
from emocore.media.limit import TimeLimit
from emocore.media.reading import SOUND_ONLY, Reading
from emocore.media.source import STILL_SUFFIXES, VIDEO_SUFFIXES, content_id, open_source
from emocore.pipeline.progress import Counter
from emocore.schema import write_table

SHARD_FILES = 64
MOST_SHARD_FILES = 512
FILM_FILES = 8.0  # a film whose pictures are decoded takes the time of so many recordings and more
STILL_FILES = 0.125
_HASH_CHUNK = 256
_PLAN = ".plan.parquet"
SHARD = "shard"


def load_or_plan(clips: pa.Table, out: Path, reading: Reading = SOUND_ONLY) -> list[pa.Table]:
    """Return the plan that an earlier call left in `out`, else make it and leave it there.

    A second plan could differ: a file that could not be hashed then may be found to be a copy now.
    """
    path = out / _PLAN
    if not path.exists():
        shards = plan_shards(clips, reading)
        empty = PLANNED.append(pa.field(SHARD, pa.int64())).empty_table()
        write_table(pa.concat_tables([empty, *shards]), path)
    plan = pq.read_table(path)
    ends = np.flatnonzero(np.diff(plan[SHARD].to_numpy())) + 1
    cuts = [0, *ends.tolist(), plan.num_rows]
    return [plan.slice(start, end - start) for start, end in itertools.pairwise(cuts) if end > start]


def plan_shards(clips: pa.Table, reading: Reading = SOUND_ONLY) -> list[pa.Table]:
    """Cut a LISTING into shards of PLANNED rows with a `shard` number; files with equal bytes stay together.

    The same listing gives the same shards, whatever the cluster. Where pictures are read a film counts as several
    files, and several stills as one.
    """
    first_of = _find_duplicates(clips, reading.seconds_per_file)
    paths = clips["path"].to_pylist()
    place = {path: i for i, path in enumerate(paths)}
    order = sorted(range(len(paths)), key=lambda i: (place[first_of.get(paths[i], paths[i])], i))
    planned = clips.append_column("duplicate_of", pa.array([first_of.get(path) for path in paths], pa.string()))
    planned = planned.take(pa.array(order, pa.int64())).combine_chunks().cast(PLANNED)
    weights = [_weight(paths[i], reading) for i in order]
    shards: list[pa.Table] = []
    for start, end in _cuts(weights, [paths[i] in first_of for i in order]):
        numbers = pa.array([len(shards)] * (end - start), pa.int64())
        shards.append(planned.slice(start, end - start).append_column(SHARD, numbers))
    return shards


def _cuts(weights: list[float], is_copy: list[bool]) -> Iterator[tuple[int, int]]:
    """Yield the first row of each shard and the one after its last: a copy is in the shard of the file before it."""
    start, total = 0, 0.0
    for row, weight in enumerate(weights):
        # Of a file with very many copies, each shard computes one.
        if (total >= SHARD_FILES and not is_copy[row]) or row - start == MOST_SHARD_FILES:
            yield start, row
            start, total = row, 0.0
        total += weight
    if weights:
        yield start, len(weights)


def _weight(path: str, reading: Reading) -> float:
    suffix = Path(path).suffix.lower()
    if not reading.every:
        return 1.0
    return FILM_FILES if suffix in VIDEO_SUFFIXES else STILL_FILES if suffix in STILL_SUFFIXES else 1.0


def _find_duplicates(clips: pa.Table, seconds_per_file: float) -> dict[str, str]:
    """Return path → first path with the same bytes; only files of equal size are read for it."""
    by_size: dict[int, list[str]] = {}
    for path, size in zip(clips["path"].to_pylist(), clips["bytes"].to_pylist(), strict=True):
        by_size.setdefault(size, []).append(path)
    alike = [path for paths in by_size.values() if len(paths) > 1 for path in paths]
    chunks = [alike[i : i + _HASH_CHUNK] for i in range(0, len(alike), _HASH_CHUNK)]
    first: dict[str, str] = {}
    first_of = {}
    tasks = [_content_ids.remote(chunk, seconds_per_file) for chunk in chunks]
    with Counter("compare files of equal size", len(alike), "files") if alike else nullcontext() as counter:
        for chunk, task in zip(chunks, tasks, strict=True):
            for path, identity in zip(chunk, _get(task), strict=True):
                if identity and first.setdefault(identity, path) != path:
                    first_of[path] = first[identity]
            if counter:
                counter.add(len(chunk))
    return first_of


def _get(task: Any) -> list[str | None]:
    ids: list[str | None] = ray.get(task)
    return ids


@ray.remote(num_cpus=1)
def _content_ids(paths: list[str], seconds_per_file: float) -> list[str | None]:
    ids: list[str | None] = []
    for path in paths:
        try:
            limit = TimeLimit(seconds_per_file)
            with open_source(path, limit) as stream:
                ids.append(content_id(stream, limit))
        except Exception:  # becomes a failure where the file is decoded
            ids.append(None)
    return ids
