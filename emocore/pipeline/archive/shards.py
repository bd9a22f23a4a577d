"""An archive in shards: each is worked on by one task at a time, and committed by that task alone."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pyarrow as pa

from emocore.errors import TooManyFailures, UserError, said_to_user
from emocore.pipeline import cluster
from emocore.pipeline.archive import here
from emocore.pipeline.archive.handover import DONE, Taken, is_done, pack, pack_done, unpack
from emocore.pipeline.archive.journal import clear_journals
from emocore.pipeline.archive.plan import Plan
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
from emocore.storage.local import clear_unfinished
from emocore.storage.tables import rows_of

MOST_SHARDS_A_TASK = 4
MOST_ANSWERING = 64
_AS_TABLES: Any = {"batch_size": None, "batch_format": "pyarrow"}
_PLACE = "place"


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
    _check_failures(failed, max_failures)
    if not waiting:
        return
    n_files = sum(sizes[place] for place in waiting)
    told = {"stage": stage, "plan": plan, "out": out}
    is_few = here.is_enough(len(waiting), gpus)
    rows = here.run_here(run_place, waiting, told) if is_few else _run_on_ray(waiting, told, gpus)
    with Counter(stage.name, n_files, "file") as counter:
        clear_journals(out)
        clear_unfinished(out)
        for done in rows:
            if done["fault"]:
                raise UserError(done["fault"])
            counter.add(done["files"], done["failed"])
            _check_failures(failed + counter.failed, max_failures)
        clear_journals(out)


def _run_on_ray(places: list[int], told: dict[str, Any], gpus: float | None) -> Iterator[dict[str, Any]]:
    """Yield DONE rows of the shards at these places of the plan."""
    here.end_begun()
    import ray  # noqa: PLC0415 - Ray takes seconds to import: only where it is needed

    cluster.connect()
    data: Any = ray.data.from_arrow(_task_tables(places, cluster.cpus()))
    # Ray Data retries for ever when a process dies; a file that ended two is left out, see Journal.
    if gpus is None:
        data = data.map_batches(cast(Any, _run_task), fn_kwargs=told, num_cpus=1, **_AS_TABLES)
    else:
        data = run_apart(data, told, gpus)
    yield from data.iter_rows()


def run_place(place: int, stage: Stage, plan: Plan, out: Path) -> dict[str, Any]:
    """Run the stage on one shard; what a process before committed, and then died, stays as it is."""
    shard = plan.shard(place)
    return _committed(number_of(shard), len(shard), stage, out) or _run_once(shard, stage, out)


def _task_tables(places: list[int], cpus: int) -> list[pa.Table]:
    """Join shards into one table a task: many at first, single ones at the end, so that all CPUs end together.

    Ray Data only looks now and then for tasks that ended: with one shard a task, CPUs wait for work.
    """
    tables = []
    start = 0
    while start < len(places):
        size = min(MOST_SHARDS_A_TASK, max(1, (len(places) - start) // (2 * cpus)))
        tables.append(pa.table({_PLACE: places[start : start + size]}))
        start += size
    return tables


def _run_task(table: pa.Table, stage: Stage, plan: Plan, out: Path) -> Iterator[pa.Table]:
    """Run the stage on each shard of the table."""
    for place in table[_PLACE].to_pylist():
        yield pa.Table.from_pylist([run_place(place, stage, plan, out)], DONE)


def _run_once(shard: pa.Table, stage: Stage, out: Path) -> dict[str, Any]:
    try:
        return {"files": shard.num_rows, "failed": run_shard(shard, stage, out)}
    except Exception as error:
        return _told(error, out)


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
        fn_constructor_args=(told["stage"], told["out"], gpus > 0),
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
    """Yield a row a shard: what was read of its files, or what was done of it before."""
    for shard in map(plan.shard, table[_PLACE].to_pylist()):
        done = _committed(number_of(shard), len(shard), stage, out)
        yield pack_done(done, stage) if done else _read_once(shard, stage, out)


def _read_once(shard: pa.Table, stage: Stage, out: Path) -> pa.Table:
    taken = Taken()
    try:
        journal = open_journal(f"{number_of(shard):06d}", out, stage.reading.seconds_per_file)
        read = read_shard(shard, stage, journal, taken)
    except Exception as error:
        return pack_done(_told(error, out), stage)
    return pack(read, taken, stage)


class _Answering:
    """A process that holds the stage's model, and commits what others have read."""

    def __init__(self, stage: Stage, out: Path, on_gpu: bool) -> None:
        self.stage, self.out, self.fault = stage, out, None
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
        return self.fault or self._answer(row)

    def _answer(self, row: pa.Table) -> dict[str, Any]:
        read, replay = unpack(row, self.stage)
        files = len(read.good) + len(read.failures)
        done = _committed(read.number, files, self.stage, self.out)
        if done:
            return done
        try:
            failed = answer_shard(read, replay, self.stage, self.out)
        except Exception as error:
            return _told(error, self.out)
        return {"files": files, "failed": failed}


def _committed(number: int, files: int, stage: Stage, out: Path) -> dict[str, Any] | None:
    """Return the DONE row of a shard that is committed."""
    if not shard_file(out / stage.main, number).exists():
        return None
    failures = shard_file(out / "failures", number)
    return {"files": files, "failed": rows_of(failures) if failures.exists() else 0}


def _check_failures(failed: int, limit: int | None) -> None:
    if limit is not None and failed > limit:
        raise TooManyFailures(f"{failed} files failed, more than --max-failures {limit}: see the failures folder.")
