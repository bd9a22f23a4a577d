"""An archive in shards: each is worked on by one task at a time, and committed by that task alone."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import pyarrow as pa

from emocore.errors import TooManyFailures, UserError
from emocore.pipeline import cluster
from emocore.pipeline.archive import here
from emocore.pipeline.archive.apart import AS_TABLES, run_apart
from emocore.pipeline.archive.handover import DONE
from emocore.pipeline.archive.items import JOIN, WHOLE, Item, items_of, run_item
from emocore.pipeline.archive.journal import clear_journals
from emocore.pipeline.archive.plan import Plan
from emocore.pipeline.archive.sections import clear_sections
from emocore.pipeline.archive.stage import Stage, shard_file
from emocore.progress import Counter
from emocore.storage.local import clear_unfinished
from emocore.storage.tables import rows_of

MOST_SHARDS_A_TASK = 4


def run_shards(
    stage: Stage, plan: Plan, out: Path, first: int, max_failures: int | None, gpus: float | None = None
) -> None:
    """Work on the shards of a plan, numbered from `first` on, that are not committed yet.

    `gpus`: files are read by some processes, and answered for by others, each with so many GPUs; None: by the same.
    Raises TooManyFailures beyond `max_failures`, those of earlier calls included.
    """
    sizes = list(plan.sizes())
    waiting = [place for place in range(len(sizes)) if not shard_file(out / stage.main, first + place).exists()]
    names = {shard_file(out, first + place).name for place in waiting}
    before = [path for path in (out / "failures").glob("*.parquet") if path.name not in names]
    failed = sum(map(rows_of, before))
    check_failures(failed, max_failures)
    if not waiting:
        return
    n_files = sum(sizes[place] for place in waiting)
    told = {"stage": stage, "plan": plan, "out": out}
    long: dict[int, int] = {}  # in how many sections the file of a shard is cut, by place
    with Counter(stage.name, n_files, "file") as counter:
        clear_journals(out)
        clear_unfinished(out)

        def work(items: list[Item]) -> None:
            for done in _run(items, told, gpus):
                if done.get("sections"):
                    long[done["place"]] = done["sections"]
                count_done(done, counter)
                check_failures(failed + counter.failed, max_failures)

        work([(place, WHOLE) for place in waiting])
        work([(place, number) for place, n in long.items() for number in range(n)])
        work([(place, JOIN) for place in long])
        clear_journals(out)
        clear_sections(out)


def _run(items: list[Item], told: dict[str, Any], gpus: float | None) -> Iterator[dict[str, Any]]:
    if not items:
        return iter(())
    is_few = here.is_enough(len(items), gpus)
    return here.run_here(run_item, items, told) if is_few else _run_on_ray(items, told, gpus)


def _run_on_ray(items: list[Item], told: dict[str, Any], gpus: float | None) -> Iterator[dict[str, Any]]:
    """Yield DONE rows of these items of the plan."""
    here.end_begun()
    import ray  # noqa: PLC0415 - Ray takes seconds to import: only where it is needed

    cluster.connect()
    data: Any = ray.data.from_arrow(_task_tables(items, cluster.cpus()))
    # Ray Data retries for ever when a process dies; a file that ended two is left out, see Journal.
    if gpus is None:
        data = data.map_batches(cast(Any, _run_task), fn_kwargs=told, num_cpus=1, **AS_TABLES)
    else:
        data = run_apart(data, told, gpus)
    yield from data.iter_rows()


def _task_tables(items: list[Item], cpus: int) -> list[pa.Table]:
    """Join items into one table a task: many at first, single ones at the end, so that all CPUs end together.

    Ray Data only looks now and then for tasks that ended: with one shard a task, CPUs wait for work.
    """
    tables = []
    start = 0
    while start < len(items):
        size = min(MOST_SHARDS_A_TASK, max(1, (len(items) - start) // (2 * cpus)))
        places, parts = zip(*items[start : start + size], strict=True)
        tables.append(pa.table({"place": places, "part": parts}))
        start += size
    return tables


def _run_task(table: pa.Table, stage: Stage, plan: Plan, out: Path) -> Iterator[pa.Table]:
    """Do each item of the table."""
    for item in items_of(table):
        yield pa.Table.from_pylist([run_item(item, stage, plan, out)], DONE)


def count_done(done: Mapping[str, Any], counter: Counter) -> None:
    """Count what is done. Raises UserError where it says that something is the user's to mend."""
    if done.get("fault"):
        raise UserError(done["fault"])
    counter.add(done.get("files") or 0, done.get("failed") or 0, done.get("media_seconds") or 0.0)


def check_failures(failed: int, limit: int | None) -> None:
    """Raise TooManyFailures beyond the limit."""
    if limit is not None and failed > limit:
        raise TooManyFailures(f"{failed} files failed, more than --max-failures {limit}: see the failures folder.")
