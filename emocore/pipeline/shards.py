"""An archive in shards: each is worked on by one task at a time, and committed by that task alone."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import ray

from emocore.errors import TooManyFailures, UserError
from emocore.pipeline import cluster
from emocore.pipeline.journal import JOURNALS, Journal, clear_journals
from emocore.pipeline.planning import SHARD
from emocore.pipeline.progress import Counter
from emocore.schema import FAILURES, clear_unfinished, write_table

MOST_SHARDS_A_TASK = 4
DONE = pa.schema([(SHARD, pa.int64()), ("files", pa.int64()), ("failed", pa.int64()), ("fault", pa.string())])


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
        task: Callable[..., Any] = _run_task
        # Ray Data retries for ever when a process dies; a file that ended two is left out, see Journal.
        data = ray.data.from_arrow(_task_tables(waiting, cluster.cpus())).map_batches(
            task,
            batch_size=None,
            batch_format="pyarrow",
            num_cpus=1,
            fn_kwargs={"stage": stage, "last_table": last_table, "out": out, "arguments": arguments},
        )
        clear_journals(out)
        clear_unfinished(out)
        for done in data.iter_rows():
            if done["fault"]:
                raise UserError(done["fault"])
            counter.add(done["files"], done["failed"])
            _check_failures(failed + counter.failed, max_failures)
        clear_journals(out)


def _task_tables(shards: Sequence[pa.Table], cpus: int) -> list[pa.Table]:
    """Join shards into one table a task: many at first, single ones at the end, so that all CPUs end together.

    Ray Data only looks now and then for tasks that ended: with one shard a task, CPUs wait for work.
    """
    tables = []
    start = 0
    while start < len(shards):
        size = min(MOST_SHARDS_A_TASK, max(1, (len(shards) - start) // (2 * cpus)))
        tables.append(pa.concat_tables(shards[start : start + size]))
        start += size
    return tables


def _run_task(
    table: pa.Table, stage: Callable[..., pa.Table], last_table: str, out: Path, arguments: dict[str, Any]
) -> pa.Table:
    """Run the stage on each shard of the table; what a process before committed, and then died, stays as it is."""
    done = [DONE.empty_table()]
    for number in pc.unique(table[SHARD]):
        shard = table.filter(pc.equal(table[SHARD], number))
        if shard_file(out / last_table, shard).exists():
            failures = shard_file(out / "failures", shard)
            done.append(done_row(shard, pq.read_metadata(failures).num_rows if failures.exists() else 0))
            continue
        try:
            done.append(stage(shard, out=out, **arguments))
        except UserError as error:  # as an exception it would arrive without its own words
            done.append(pa.Table.from_pylist([{"fault": str(error)}], schema=DONE))
    return pa.concat_tables(done)


def open_journal(shard: pa.Table, out: Path, seconds_per_file: float) -> Journal:
    """Return the shard's journal, as the process finds it that is about to work on the shard."""
    # Asking starts Ray where it does not run: a stage is also called by itself.
    here = ray.get_runtime_context().get_node_id() if ray.is_initialized() else ""
    return Journal(shard_file(out / JOURNALS, shard), seconds_per_file, here, cluster.is_lost)


def _check_failures(failed: int, limit: int | None) -> None:
    if limit is not None and failed > limit:
        raise TooManyFailures(f"{failed} files failed, more than --max-failures {limit}: see the failures folder.")


def shard_file(folder: Path, shard: pa.Table) -> Path:
    """Return where the shard's rows of this table lie."""
    return folder / f"{shard[SHARD][0].as_py():06d}.parquet"


def failure_rows(featurized: pa.Table, deaths: Mapping[str, int]) -> pa.Table:
    """Return the FAILURES rows of a batch whose faults stand in columns; `deaths`: processes that a path ended."""
    failed = featurized.filter(pc.is_valid(featurized["reason"]))
    read = pc.coalesce(failed["duplicate_of"], failed["path"])  # of copies, only the first is read
    pairs = zip(read.to_pylist(), failed["path"].to_pylist(), failed["reason"].to_pylist(), strict=True)
    attempts = [max(deaths.get(first, 0), deaths.get(path, 0)) + (reason != "killed") for first, path, reason in pairs]
    return failed.append_column("attempts", pa.array(attempts, pa.int32())).select(FAILURES.names).cast(FAILURES)


def write_failures(failures: pa.Table, shard: pa.Table, out: Path) -> None:
    """Write the shard's failures, in the place of those of a process that died before it committed the shard."""
    path = shard_file(out / "failures", shard)
    if failures.num_rows:
        write_table(failures, path)
    else:
        path.unlink(missing_ok=True)


def write_listing_failures(failures: pa.Table, out: Path) -> None:
    """Write what could not even be listed beside the shards' failures."""
    if failures.num_rows:
        write_table(failures, out / "failures" / "listing.parquet")


def done_row(shard: pa.Table, failed: int) -> pa.Table:
    """Return the one DONE row of a committed shard."""
    return pa.Table.from_pylist(
        [{SHARD: shard[SHARD][0].as_py(), "files": shard.num_rows, "failed": failed}], schema=DONE
    )
