"""Files that are read by some processes and answered for by others, each with a model and, where there are, a GPU."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pyarrow as pa

from emocore.features.one_file import Found, Sink
from emocore.pipeline import cluster
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
from emocore.pipeline.archive.items import Item, committed, counts_of, do_item, items_of, told_to_user
from emocore.pipeline.archive.plan import Plan
from emocore.pipeline.archive.sections import answer_section, cut_of, read_piece, section_journal
from emocore.pipeline.archive.stage import Stage, answer_shard, number_of, open_journal, read_shard, shard_file
from emocore.progress import say

MOST_ANSWERING = 64
AS_TABLES: Any = {"batch_size": None, "batch_format": "pyarrow"}


def run_apart(data: Any, told: dict[str, Any], gpus: float) -> Any:
    """Read shards on CPUs, and answer for them in processes that hold a model each; neither runs far ahead."""
    places = _places(gpus) if gpus else 1
    answering: Any = _Answering
    return data.map_batches(cast(Any, _read_task), fn_kwargs=told, num_cpus=1, **AS_TABLES).map_batches(
        answering,
        fn_constructor_args=(told["stage"], told["plan"], told["out"], gpus > 0),
        num_cpus=0 if gpus or cluster.cpus() == 1 else 1,
        num_gpus=gpus,
        concurrency=(1, places),
        **AS_TABLES,
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
    for item in items_of(table):
        shard = plan.shard(item[0])
        done = committed(shard, item[1], stage, out)
        try:
            yield _read(item, shard, stage, out) if done is None else pack_done(done, stage)
        except Exception as error:
            yield pack_done(told_to_user(error, out), stage)


def _read(item: Item, shard: pa.Table, stage: Stage, out: Path) -> pa.Table:
    place, part = item
    number = number_of(shard)
    cut = cut_of(shard, stage, out)
    taken = Taken()
    if cut and part >= 0:
        if part >= len(cut.sections) or cut.piece(part).exists():
            return pack_done({}, stage)
        journal = section_journal(number, part, "", stage, out)
        return pack_section((place, part), read_piece(cut, part, stage, journal, taken), taken, stage)
    if cut or part >= 0:  # joining needs no model, as a rule
        return pack_done(do_item(item, shard, stage, out), stage)
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
            self.fault = told_to_user(error, out)

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
            return told_to_user(error, self.out)

    def _answer(self, row: pa.Table) -> dict[str, Any]:
        read, replay = unpack(row, self.stage)
        files = len(read.good) + len(read.failures)
        if not shard_file(self.out / self.stage.main, read.number).exists():
            answer_shard(read, replay, self.stage, self.out)
        return counts_of(read.number, files, self.stage, self.out)

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
