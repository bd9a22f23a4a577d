"""An archive in shards: each is planned on the driver, worked on by one task, and committed by that task alone."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import ray

from emocore.errors import TooManyFailures
from emocore.features.stage import PLANNED
from emocore.media.source import content_id, open_source
from emocore.pipeline.journal import clear_journals
from emocore.pipeline.progress import Counter
from emocore.schema import FAILURES, write_table

SHARD_FILES = 64
MOST_SHARD_FILES = 512
FILM_SHARD_FILES = 8  # decoding pictures takes some 20 times as long as hearing
_HASH_CHUNK = 256
SHARD = "shard"
DONE = pa.schema([(SHARD, pa.int64()), ("files", pa.int64()), ("failed", pa.int64())])


def plan_shards(clips: pa.Table, has_pictures: bool = False) -> list[pa.Table]:
    """Cut a LISTING into shards of PLANNED rows with a `shard` number; files with equal bytes stay together.

    The same listing gives the same shards, whatever the cluster.
    """
    first_of = _find_duplicates(clips)
    paths = clips["path"].to_pylist()
    place = {path: i for i, path in enumerate(paths)}
    order = sorted(range(len(paths)), key=lambda i: (place[first_of.get(paths[i], paths[i])], i))
    planned = clips.append_column("duplicate_of", pa.array([first_of.get(path) for path in paths], pa.string()))
    planned = planned.take(pa.array(order, pa.int64())).combine_chunks().cast(PLANNED)
    shards: list[pa.Table] = []
    start = 0
    firsts = planned["duplicate_of"].to_pylist()
    while start < len(order):
        end = min(start + (FILM_SHARD_FILES if has_pictures else SHARD_FILES), len(order))
        most = start + MOST_SHARD_FILES  # of a file with very many copies, each shard computes one
        while end < min(len(order), most) and firsts[end] is not None:
            end += 1
        shards.append(_numbered(planned.slice(start, end - start), len(shards)))
        start = end
    return shards


def run_shards(
    shards: Sequence[pa.Table],
    out: Path,
    last_table: str,
    stage: Callable[..., Any],
    *,
    max_failures: int | None,
    **arguments: Any,
) -> None:
    """Run a stage over the shards that are not committed yet; the stage commits its shard and returns a DONE row.

    The folder `last_table` of `out` holds one Parquet file for every committed shard; `out` and `arguments` go to
    the stage. Raises TooManyFailures beyond `max_failures`, those of an earlier call included.
    """
    waiting = [shard for shard in shards if not shard_file(out / last_table, shard).exists()]
    names = {shard_file(out, shard).name for shard in waiting}
    before = [path for path in (out / "failures").glob("*.parquet") if path.name not in names]
    failed = sum(pq.read_metadata(path).num_rows for path in before)
    _check_failures(failed, max_failures)
    with Counter(stage.__name__.removesuffix("_shard"), sum(shard.num_rows for shard in waiting), "files") as counter:
        if not waiting:
            return
        # Ray Data retries for ever when a process dies; a file that ended two is left out, see Journal.
        data = ray.data.from_arrow(waiting).map_batches(
            stage,
            batch_size=None,
            batch_format="pyarrow",
            num_cpus=1,
            fn_kwargs={"out": out, **arguments},
        )
        clear_journals(out)
        for done in data.iter_rows():
            counter.add(done["files"], done["failed"])
            _check_failures(failed + counter.failed, max_failures)
        clear_journals(out)


def _check_failures(failed: int, limit: int | None) -> None:
    if limit is not None and failed > limit:
        raise TooManyFailures(f"{failed} files failed, more than --max-failures {limit}: see the failures folder.")


def shard_file(folder: Path, shard: pa.Table) -> Path:
    """Return where the shard's rows of this table lie."""
    return folder / f"{shard[SHARD][0].as_py():06d}.parquet"


def failure_rows(featurized: pa.Table, deaths: Mapping[str, int]) -> pa.Table:
    """Return the FAILURES rows of a batch whose faults stand in columns; `deaths`: processes that a path ended."""
    failed = featurized.filter(pc.is_valid(featurized["reason"]))
    pairs = zip(failed["path"].to_pylist(), failed["reason"].to_pylist(), strict=True)
    attempts = [deaths.get(path, 0) + (reason != "killed") for path, reason in pairs]
    return failed.append_column("attempts", pa.array(attempts, pa.int32())).select(FAILURES.names).cast(FAILURES)


def write_listing_failures(failures: pa.Table, out: Path) -> None:
    """Write what could not even be listed beside the shards' failures."""
    if failures.num_rows:
        write_table(failures, out / "failures" / "listing.parquet")


def done_row(shard: pa.Table, failed: int) -> pa.Table:
    """Return the one DONE row of a committed shard."""
    return pa.Table.from_pylist(
        [{SHARD: shard[SHARD][0].as_py(), "files": shard.num_rows, "failed": failed}], schema=DONE
    )


def _numbered(shard: pa.Table, number: int) -> pa.Table:
    return shard.append_column(SHARD, pa.array([number] * shard.num_rows, pa.int64()))


def _find_duplicates(clips: pa.Table) -> dict[str, str]:
    """Return path → first path with the same bytes; only files of equal size are read for it."""
    by_size: dict[int, list[str]] = {}
    for path, size in zip(clips["path"].to_pylist(), clips["bytes"].to_pylist(), strict=True):
        by_size.setdefault(size, []).append(path)
    alike = [path for paths in by_size.values() if len(paths) > 1 for path in paths]
    chunks = [alike[i : i + _HASH_CHUNK] for i in range(0, len(alike), _HASH_CHUNK)]
    first: dict[str, str] = {}
    first_of = {}
    tasks = [_content_ids.remote(chunk) for chunk in chunks]
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
def _content_ids(paths: list[str]) -> list[str | None]:
    ids: list[str | None] = []
    for path in paths:
        try:
            with open_source(path) as stream:
                ids.append(content_id(stream))
        except Exception:  # becomes a failure where the file is decoded
            ids.append(None)
    return ids
