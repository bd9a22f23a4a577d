"""An archive in shards: each is worked on by one task at a time, and committed by that task alone."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.compute as pc

from emocore.errors import TooManyFailures, UserError, said_to_user
from emocore.features.one_file import Found, Sink
from emocore.pipeline import cluster
from emocore.pipeline.archive import here
from emocore.pipeline.archive.handover import (
    DONE,
    Taken,
    is_done,
    pack,
    pack_done,
    pack_section,
    section_of,
    unpack,
)
from emocore.pipeline.archive.journal import clear_journals
from emocore.pipeline.archive.plan import Plan
from emocore.pipeline.archive.sections import (
    answer_section,
    clear_sections,
    cut_of,
    join_sections,
    read_piece,
    run_section,
    section_journal,
)
from emocore.pipeline.archive.stage import (
    Stage,
    answer_shard,
    number_of,
    open_journal,
    read_shard,
    run_shard,
    shard_file,
)
from emocore.progress import Counter, say
from emocore.schema import CLIPS
from emocore.storage.local import clear_unfinished
from emocore.storage.tables import read_table, rows_of

MOST_SHARDS_A_TASK = 4
MOST_ANSWERING = 64
_AS_TABLES: Any = {"batch_size": None, "batch_format": "pyarrow"}
WHOLE, JOIN = -1, -2  # in the place of a section's number
Item = tuple[int, int]
"""What is to be done: the place of a shard in the plan, and WHOLE, the section of its only file, or JOIN."""


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
        data = data.map_batches(cast(Any, _run_task), fn_kwargs=told, num_cpus=1, **_AS_TABLES)
    else:
        data = run_apart(data, told, gpus)
    yield from data.iter_rows()


def run_item(item: Item, stage: Stage, plan: Plan, out: Path) -> dict[str, Any]:
    """Do an item of a plan, and return what is DONE; what a process did before, and then died, stays as it is."""
    place, part = item
    shard = plan.shard(place)
    done = _committed(shard, part, stage, out)
    if done:
        return done
    try:
        return _do(item, shard, stage, out)
    except Exception as error:
        return _told(error, out)


def _do(item: Item, shard: pa.Table, stage: Stage, out: Path) -> dict[str, Any]:
    place, part = item
    cut = cut_of(shard, stage, out)
    if cut is None:
        if part >= 0:  # it is not what it was when it was cut: who joins the sections reads it
            return {}
        run_shard(shard, stage, out)
        return _counts(number_of(shard), len(shard), stage, out)
    if part == WHOLE:
        return {"place": place, "sections": len(cut.sections)}
    if part == JOIN:
        join_sections(cut, shard, stage, out)
        return _counts(number_of(shard), len(shard), stage, out) | {"media_seconds": 0.0}  # which the sections counted
    return {"media_seconds": run_section(cut, part, number_of(shard), stage, out)}


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


def _items(table: pa.Table) -> list[Item]:
    return list(zip(table["place"].to_pylist(), table["part"].to_pylist(), strict=True))


def _run_task(table: pa.Table, stage: Stage, plan: Plan, out: Path) -> Iterator[pa.Table]:
    """Do each item of the table."""
    for item in _items(table):
        yield pa.Table.from_pylist([run_item(item, stage, plan, out)], DONE)


def _told(error: Exception, out: Path) -> dict[str, Any]:
    """Return the row that says an error's words for the user: Ray Data loses them. Raises what has none."""
    said = said_to_user(error, out)
    if said is None:
        raise error
    return {"fault": str(said)}


def run_apart(data: Any, told: dict[str, Any], gpus: float) -> Any:
    """Read shards on CPUs, and answer for them in processes that hold a model each; neither runs far ahead."""
    places = _places(gpus) if gpus else 1
    answering: Any = _Answering
    return data.map_batches(cast(Any, _read_task), fn_kwargs=told, num_cpus=1, **_AS_TABLES).map_batches(
        answering,
        fn_constructor_args=(told["stage"], told["plan"], told["out"], gpus > 0),
        num_cpus=0 if gpus or cluster.cpus() == 1 else 1,
        num_gpus=gpus,
        concurrency=(1, places),
        **_AS_TABLES,
    )


def _places(gpus: float) -> int:
    """Return how many processes with a GPU may answer at once; a cluster that was joined may grow to more."""
    cluster.check_room(1, gpus, "--gpus-per-worker")
    places = sum(int(machine.get("GPU", 0) / gpus) for machine in cluster.machines())
    if not cluster.is_joined():
        return places
    if not places:
        say("no machine of the cluster has a GPU yet: waiting for one to come")
    return max(places, MOST_ANSWERING)


def _read_task(table: pa.Table, stage: Stage, plan: Plan, out: Path) -> Iterator[pa.Table]:
    """Yield a row an item: what was read of its files, or what was done of it before."""
    for item in _items(table):
        shard = plan.shard(item[0])
        done = _committed(shard, item[1], stage, out)
        try:
            yield pack_done(done, stage) if done else _read(item, shard, stage, out)
        except Exception as error:
            yield pack_done(_told(error, out), stage)


def _read(item: Item, shard: pa.Table, stage: Stage, out: Path) -> pa.Table:
    place, part = item
    number = number_of(shard)
    cut = cut_of(shard, stage, out)
    taken = Taken()
    if cut and part >= 0:
        if cut.piece(part).exists():
            return pack_done({}, stage)
        journal = section_journal(number, part, "", stage, out)
        return pack_section((place, part), read_piece(cut, part, stage, journal, taken), taken, stage)
    if cut or part >= 0:  # joining needs no model, as a rule
        return pack_done(_do(item, shard, stage, out), stage)
    journal = open_journal(f"{number:06d}", out, stage.reading.seconds_per_file)
    return pack(read_shard(shard, stage, journal, taken), taken, stage)


class _Answering:
    """A process that holds the stage's model, and commits what others have read."""

    def __init__(self, stage: Stage, plan: Plan, out: Path, on_gpu: bool) -> None:
        self.stage, self.plan, self.out, self.fault = stage, plan, out, None
        try:
            if on_gpu:
                from emocore.models.keras.devices import use_gpu  # noqa: PLC0415 - TensorFlow takes seconds to import

                use_gpu(1)
            stage.load()
        except Exception as error:
            self.fault = _told(error, out)

    def __call__(self, table: pa.Table) -> pa.Table:
        """Return DONE rows."""
        rows = [self._row(table.slice(i, 1)) for i in range(len(table))]
        return pa.Table.from_pylist(rows, DONE)

    def _row(self, row: pa.Table) -> dict[str, Any]:
        if is_done(row):
            return dict(row.select(DONE.names).to_pylist()[0])
        if self.fault:
            return self.fault
        try:
            section = section_of(row)
            return self._answer_section(row, *section) if section else self._answer(row)
        except Exception as error:
            return _told(error, self.out)

    def _answer(self, row: pa.Table) -> dict[str, Any]:
        read, replay = unpack(row, self.stage)
        files = len(read.good) + len(read.failures)
        if not shard_file(self.out / self.stage.main, read.number).exists():
            answer_shard(read, replay, self.stage, self.out)
        return _counts(read.number, files, self.stage, self.out)

    def _answer_section(self, row: pa.Table, item: Item, found: Found) -> dict[str, Any]:
        place, part = item
        shard = self.plan.shard(place)
        cut = cut_of(shard, self.stage, self.out)
        if cut is None or cut.piece(part).exists():
            return {}
        _, replay = unpack(row, self.stage)

        def read(sink: Sink) -> Found:
            replay(sink)
            return found

        journal = section_journal(number_of(shard), part, "-answer", self.stage, self.out)
        return {"media_seconds": answer_section(cut, part, self.stage, journal, read)}


def _committed(shard: pa.Table, part: int, stage: Stage, out: Path) -> dict[str, Any] | None:
    """Return the DONE row of a shard that is committed; of a section of it there is nothing to count."""
    number = number_of(shard)
    if not shard_file(out / stage.main, number).exists():
        return None
    return _counts(number, len(shard), stage, out) if part in (WHOLE, JOIN) else {}


def _counts(number: int, files: int, stage: Stage, out: Path) -> dict[str, Any]:
    failures, main = (shard_file(out / table, number) for table in ("failures", stage.main))
    seconds = read_table(main, pa.schema([CLIPS.field("duration_seconds")]))["duration_seconds"]
    failed = rows_of(failures) if failures.exists() else 0
    return {"files": files, "failed": failed, "media_seconds": pc.sum(seconds).as_py() or 0.0}


def count_done(done: Mapping[str, Any], counter: Counter) -> None:
    """Count what is done. Raises UserError where it says that something is the user's to mend."""
    if done.get("fault"):
        raise UserError(done["fault"])
    counter.add(done.get("files") or 0, done.get("failed") or 0, done.get("media_seconds") or 0.0)


def check_failures(failed: int, limit: int | None) -> None:
    """Raise TooManyFailures beyond the limit."""
    if limit is not None and failed > limit:
        raise TooManyFailures(f"{failed} files failed, more than --max-failures {limit}: see the failures folder.")
