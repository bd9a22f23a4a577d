"""Label again without decoding again: each part of a FEATURES folder gives the part of the labels of its number.

A part of the labels bears the identity of the part of the tables that it answers for; the table of labels comes last,
so that it is there with all that belongs to it, or answered for again.
"""

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from emocore.errors import UserError, amount, said_to_user
from emocore.features.one_file import Sink
from emocore.pipeline import cluster
from emocore.pipeline.archive import here
from emocore.pipeline.archive.handover import DONE
from emocore.pipeline.archive.items import WHOLE, Item
from emocore.pipeline.archive.journal import clear_journals
from emocore.pipeline.archive.parts import numbered_files, tables_of
from emocore.pipeline.archive.plan import ROUND_KEY
from emocore.pipeline.archive.reuse import forget_shard
from emocore.pipeline.archive.shards import check_failures, count_done
from emocore.pipeline.archive.stage import answer_shard, read_listing_failures, shard_file, write_listing_failures
from emocore.pipeline.feature_tables import FeatureTables
from emocore.pipeline.label_stage import Labelling
from emocore.progress import Counter, duration
from emocore.schema import CLIPS
from emocore.storage.files import delete, store_of
from emocore.storage.local import clear_unfinished, scratch
from emocore.storage.tables import read_table, rows_of

# On two busy cores, from command to prompt, in one process and on Ray: 19 parts of 64 recordings by svc 5 and 39 s, 209
# parts 42 and 68 s, by a random forest 69 and 40 s.
PARTS_AS_ONE_SHARD = 16
MOST_PARTS_A_TASK = 16
_AS_TABLES: Any = {"batch_size": None, "batch_format": "pyarrow"}
_NUMBER = "number"


def update_labels(
    stage: Labelling, tables: FeatureTables, out: Path, last_file: str, max_failures: int | None = None
) -> bool:
    """Answer for the parts that have no labels or have changed since, and drop what is gone; return whether any was.

    `last_file` says that all was done, and goes first. Raises TooManyFailures, and UserError from a worker.
    """
    clear_unfinished(out)
    waiting, gone = waiting_parts(stage, tables, out)
    failures = read_listing_failures(tables.folder)
    differ = not failures.equals(read_listing_failures(out))
    if not (waiting or gone or differ):
        return False
    delete(out / last_file)
    for number in [*gone, *waiting]:
        forget_shard(out, number, tables_of(stage))
    write_listing_failures(failures, out)
    _run(stage, tables, out, waiting, max_failures)
    return True


def waiting_parts(stage: Labelling, tables: FeatureTables, out: Path) -> tuple[list[int], list[int]]:
    """Return the numbers of the parts to answer for, and those of labels that are of no part of the tables."""
    numbers = tables.numbers()
    there = {number for table in tables_of(stage) for number in numbered_files(out / table)}
    waiting = [number for number in numbers if number not in there or not is_answered(number, stage, tables, out)]
    return waiting, sorted(there.difference(numbers))


def is_answered(number: int, stage: Labelling, tables: FeatureTables, out: Path) -> bool:
    """Whether a part is labelled as it is now: its tables are whole, bear its identity, and hold all of its files."""
    identity, rows = tables.identity(number).encode(), 0
    for table in (stage.main, *stage.tables, "failures"):
        file = shard_file(out / table, number)
        if table == "failures" and not file.exists():
            continue
        footer = _footer(file)
        if footer is None or (footer.metadata or {}).get(ROUND_KEY) != identity:
            return False
        rows += footer.num_rows if table in (stage.main, "failures") else 0
    return rows == tables.size(number)


def run_part(item: Item, stage: Labelling, plan: FeatureTables, out: Path) -> dict[str, Any]:
    """Answer for one part, unless a process before has committed it; return its DONE row, and the seconds it took."""
    number, _ = item
    try:
        if is_answered(number, stage, plan, out):
            failures = shard_file(out / "failures", number)
            return {"files": plan.size(number), "failed": rows_of(failures) if failures.exists() else 0}
        read = plan.read(number)
        began = time.perf_counter()

        def replay(sink: Sink) -> None:
            nonlocal began
            stage.model.load()  # behind the journal, which counts the processes that this ends
            began = time.perf_counter()
            plan.replay(number, read.good, sink)

        failed = answer_shard(read, replay, stage, out)
    except Exception as error:
        said = said_to_user(error, out)  # Ray Data loses an exception's words
        if said is None:
            raise
        return {"fault": str(said)}
    files = len(read.good) + len(read.failures)
    return {"files": files, "failed": failed, "seconds": time.perf_counter() - began}


def describe_tables(stage: Labelling, tables: FeatureTables, out: Path) -> list[str]:
    """Return in words what there is to answer for, and about how long it takes, by a part that is answered for."""
    waiting, gone = waiting_parts(stage, tables, out)
    lines = [f"labels of {amount(len(gone), 'part')} that the tables have no more are dropped"] if gone else []
    if not waiting:
        return [*lines, f"nothing to answer for: all of {tables.folder} is labelled"]
    clips = sum(rows_of(shard_file(tables.folder / "clips", number)) for number in waiting)
    media = duration(sum(_media_seconds(tables, number) for number in waiting))
    parts = amount(len(waiting), "part")
    lines.append(f"{amount(clips, 'clip')} in {parts} of tables to answer for, {media} of media; none is decoded")
    with scratch() as work:  # the first part has the model get going
        *_, done = here.run_here(run_part, _items(waiting[:2]), {"stage": stage, "plan": tables, "out": work})
    if done.get("fault"):
        raise UserError(done["fault"])
    seconds = duration(done["seconds"] * len(waiting))
    return [*lines, f"about {seconds} in one process, by {amount(done['files'], 'file')} that were answered for"]


def _run(stage: Labelling, tables: FeatureTables, out: Path, numbers: list[int], max_failures: int | None) -> None:
    failed = sum(rows_of(file) for file in store_of(out).list(out / "failures"))
    check_failures(failed, max_failures)
    if not numbers:
        return
    told = {"stage": stage, "plan": tables, "out": out}
    is_few = here.is_enough(-(-len(numbers) // PARTS_AS_ONE_SHARD), None)
    rows = here.run_here(run_part, _items(numbers), told) if is_few else _run_on_ray(numbers, told)
    with Counter(stage.name, sum(map(tables.size, numbers)), "file") as counter:
        clear_journals(out)
        for done in rows:
            count_done(done, counter)
            check_failures(failed + counter.failed, max_failures)
        clear_journals(out)


def _run_on_ray(numbers: list[int], told: dict[str, Any]) -> Iterator[dict[str, Any]]:
    here.end_begun()
    import ray  # noqa: PLC0415 - Ray takes seconds to import: only where it is needed

    cluster.connect()
    size = min(MOST_PARTS_A_TASK, max(1, len(numbers) // (4 * cluster.cpus())))
    parts = [pa.table({_NUMBER: numbers[start : start + size]}) for start in range(0, len(numbers), size)]
    task = cast(Any, _run_task)
    yield from ray.data.from_arrow(parts).map_batches(task, fn_kwargs=told, num_cpus=1, **_AS_TABLES).iter_rows()


def _run_task(table: pa.Table, stage: Labelling, plan: FeatureTables, out: Path) -> Iterator[pa.Table]:
    for done in map(partial(run_part, stage=stage, plan=plan, out=out), _items(table[_NUMBER].to_pylist())):
        yield pa.Table.from_pylist([done], DONE)


def _items(numbers: list[int]) -> list[Item]:
    return [(number, WHOLE) for number in numbers]


def _footer(file: Path) -> pq.FileMetaData | None:
    """Return what a file's end says of it; None where it is not there, or not whole."""
    try:
        with store_of(file).open(file) as source:
            return pq.read_metadata(source)
    except (pa.ArrowException, FileNotFoundError):
        return None


def _media_seconds(tables: FeatureTables, number: int) -> float:
    only = pa.schema([CLIPS.field("duration_seconds")])
    clips = read_table(shard_file(tables.folder / "clips", number), only)
    return sum(float(seconds) for seconds in clips["duration_seconds"].to_pylist() if seconds)
