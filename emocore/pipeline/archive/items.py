"""The items of a plan, and how each is done: a shard, a section of its only file, or the joining of its sections."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from emocore.errors import said_to_user
from emocore.pipeline.archive.plan import Plan
from emocore.pipeline.archive.sections import cut_of, join_sections, run_section
from emocore.pipeline.archive.stage import Stage, number_of, run_shard, shard_file
from emocore.schema import CLIPS
from emocore.storage.tables import read_table, rows_of

WHOLE, JOIN = -1, -2  # in the place of a section's number
Item = tuple[int, int]
"""What is to be done: the place of a shard in the plan, and WHOLE, the section of its only file, or JOIN."""


def run_item(item: Item, stage: Stage, plan: Plan, out: Path) -> dict[str, Any]:
    """Do an item of a plan, and return what is DONE; what a process did before, and then died, stays as it is."""
    place, part = item
    shard = plan.shard(place)
    done = committed(shard, part, stage, out)
    if done is not None:
        return done
    try:
        return do_item(item, shard, stage, out)
    except Exception as error:
        return told_to_user(error, out)


def do_item(item: Item, shard: pa.Table, stage: Stage, out: Path) -> dict[str, Any]:
    """Do an item of this shard, and return what is DONE."""
    place, part = item
    cut = cut_of(shard, stage, out)
    if cut is None:
        if part >= 0:  # it is not what it was when it was cut: who joins the sections reads it
            return {}
        run_shard(shard, stage, out)
        return counts_of(number_of(shard), len(shard), stage, out)
    if part == WHOLE:
        return {"place": place, "sections": len(cut.sections)}
    if part == JOIN:
        join_sections(cut, shard, stage, out)
        # The seconds of media were counted with the sections.
        return {**counts_of(number_of(shard), len(shard), stage, out), "media_seconds": 0.0}
    if part >= len(cut.sections):  # the same
        return {}
    return {"media_seconds": run_section(cut, part, number_of(shard), stage, out)}


def items_of(table: pa.Table) -> list[Item]:
    """Return the items of a task's table."""
    return list(zip(table["place"].to_pylist(), table["part"].to_pylist(), strict=True))


def told_to_user(error: Exception, out: Path) -> dict[str, Any]:
    """Return the row that says an error's words for the user: Ray Data loses them. Raises what has none."""
    said = said_to_user(error, out)
    if said is None:
        raise error
    return {"fault": str(said)}


def committed(shard: pa.Table, part: int, stage: Stage, out: Path) -> dict[str, Any] | None:
    """Return the DONE row of a shard that is committed; of a section of it there is nothing to count."""
    number = number_of(shard)
    if not shard_file(out / stage.main, number).exists():
        return None
    return counts_of(number, len(shard), stage, out) if part in (WHOLE, JOIN) else {}


def counts_of(number: int, files: int, stage: Stage, out: Path) -> dict[str, Any]:
    """Return what is DONE of a shard that is committed."""
    failures, main = (shard_file(out / table, number) for table in ("failures", stage.main))
    seconds = read_table(main, pa.schema([CLIPS.field("duration_seconds")]))["duration_seconds"]
    failed = rows_of(failures) if failures.exists() else 0
    return {"files": files, "failed": failed, "media_seconds": pc.sum(seconds).as_py() or 0.0}
