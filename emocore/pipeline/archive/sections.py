"""A long file in sections: each is read and answered for by any process, and kept until one joins them all.

What is kept bears the name of the file and of its state, not of a shard: a job that is stopped and started again, which
plans anew, finds it.
"""

import hashlib
import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa

from emocore.errors import MediaError, UserError, fault_of
from emocore.features.extract import heard_by, rows_of_file
from emocore.features.one_file import NOTHING_FOUND, Found, Job, Sink, conclude, cuts, read_on, read_section
from emocore.media.limit import TimeLimit
from emocore.media.sections import Sections, may_be_long
from emocore.media.source import Stream, content_id, open_source
from emocore.pipeline.archive.journal import Journal
from emocore.pipeline.archive.plan import signature
from emocore.pipeline.archive.stage import (
    SectionStage,
    Stage,
    commit_shard,
    finish_shard,
    number_of,
    open_journal,
    round_of,
    sort_out,
)
from emocore.pipeline.archive.writing import open_parts
from emocore.storage.files import delete, read_json, write_json
from emocore.storage.folder import SECTIONS
from emocore.storage.tables import read_table, write_table

Said = TypeVar("Said")
_PLAN = "plan.json"
_FOUND = b"emocore_found"


@dataclass(frozen=True)
class Cut:
    """The only file of a shard, where it is cut, and where what was made of its sections is kept."""

    path: str
    clips: list[str]
    content_id: str
    sections: Sections
    folder: Path

    def piece(self, number: int) -> Path:
        """Return where what was made of a section is kept."""
        return self.folder / f"{number:05d}.parquet"


def cut_of(shard: pa.Table, stage: Stage, out: Path) -> Cut | None:
    """Return where the only file of a shard is cut; None where there are others, or it is read in one piece."""
    path = str(shard["path"][0].as_py())
    if not may_cut(stage) or not _is_alone(shard):
        return None
    try:
        state = Path(path).stat()
    except OSError:
        return None
    if not may_be_long(path, state.st_size):
        return None
    key = hashlib.sha256(f"{path}\0{state.st_size}\0{state.st_mtime_ns}".encode(errors="surrogateescape"))
    folder = out / SECTIONS / key.hexdigest()[:32]
    told = _kept_plan(folder / _PLAN)
    if told is None:
        told = _plan(path, shard, stage, out)
        if told is None:
            return None
        write_json(folder / _PLAN, told)
    planned = shard["planned_id"][0].as_py()
    if told["sections"] is None or (shard.num_rows > 1 and told["content_id"] != planned):
        return None  # its copies speak for themselves where it is not what it was
    return Cut(path, shard["clip"].to_pylist(), told["content_id"], Sections.from_json(told["sections"]), folder)


def may_cut(stage: Stage) -> bool:
    """Whether long files are worked on by several processes."""
    return isinstance(stage, SectionStage) and cuts(heard_by(stage.families), stage.reading, stage.how)


def _is_alone(shard: pa.Table) -> bool:
    firsts = zip(shard["duplicate_of"].to_pylist(), shard["path"].to_pylist(), strict=True)
    return len({first or path for first, path in firsts}) == 1


def _kept_plan(file: Path) -> dict[str, Any] | None:
    try:
        return read_json(file) if file.exists() else None
    except (UserError, ValueError):  # torn
        return None


def _plan(path: str, shard: pa.Table, stage: Stage, out: Path) -> dict[str, Any] | None:
    """Return the content id of a file and its sections, as JSON; None where it has a fault: who reads it says so."""
    name = f"{number_of(shard):06d}-plan"
    journal = open_journal(name, out, stage.reading.seconds_per_file, of_section=True)

    def look(stream: Stream, limit: TimeLimit) -> dict[str, Any]:
        content = content_id(stream, limit)
        sections = _job(stage, None).sections_of(path, stream, limit)
        return {"content_id": content, "sections": sections.to_json() if sections else None}

    said = _with_file(path, stage, journal, look)
    return None if isinstance(said, MediaError) else said


def _job(stage: Stage, sink: Any) -> Job:
    return Job(heard_by(stage.families), stage.reading, sink, stage.how)


def _with_file(path: str, stage: Stage, journal: Journal, do: Callable[[Stream, TimeLimit], Said]) -> Said | MediaError:
    """Do something with an open file under the watch of a journal; what the file raises is said, not raised."""
    try:
        with journal.guard(path) as alive:
            limit = TimeLimit(stage.reading.seconds_per_file, alive)
            with open_source(path, limit) as stream:
                return do(stream, limit)
    except Exception as error:
        return fault_of(error)


def read_piece(cut: Cut, number: int, stage: Stage, journal: Journal, sink: Sink) -> Found:
    """Read a section; what is made of it goes to the sink. What ended processes is a fault."""
    job = _job(stage, sink)

    def read(stream: Stream, limit: TimeLimit) -> Found:
        return read_section(stream, job, cut.clips[:1], limit, cut.sections, number)

    said = _with_file(cut.path, stage, journal, read)
    return Found(fault=said) if isinstance(said, MediaError) else said


def run_section(cut: Cut, number: int, shard: int, stage: Stage, out: Path) -> float:
    """Read a section, answer for it, and keep the rows, where that was not done; return the seconds of media in it."""
    if cut.piece(number).exists():
        return 0.0
    journal = section_journal(shard, number, "", stage, out)
    stage.load()
    return answer_section(cut, number, stage, journal, lambda sink: read_piece(cut, number, stage, journal, sink))


def answer_section(cut: Cut, number: int, stage: Stage, journal: Journal, read: Callable[[Sink], Found]) -> float:
    """Answer for what `read` gives of a section, and keep the rows; return the seconds of media in it."""
    assert isinstance(stage, SectionStage)
    started = time.perf_counter()
    rows: list[pa.Table] = []
    taking = stage.take_section(rows.append, journal)
    found = read(taking)
    taking.finish()
    ended = [[fault.stage, fault.reason, fault.detail] for fault in taking.ended.values()]  # of the only clip
    missed = [(n, why.stage, why.reason, why.detail) for n, why in taking.missed.values()]
    table = pa.concat_tables(rows) if rows else pa.table({"clip": pa.array([], pa.string())})
    told = {"found": found.to_json(), "ended": ended, "missed": missed, "seconds": time.perf_counter() - started}
    write_table(table.replace_schema_metadata({_FOUND: json.dumps(told)}), cut.piece(number))
    return max(0.0, found.until_seconds - cut.sections.begins[number])


def section_journal(shard: int, number: int, what: str, stage: Stage, out: Path) -> Journal:
    """Return the journal of a section."""
    return open_journal(f"{shard:06d}-{number:05d}{what}", out, stage.reading.seconds_per_file, of_section=True)


def join_sections(cut: Cut, shard: pa.Table, stage: Stage, out: Path) -> int:
    """Commit the shard of a file by its sections; return how many files failed. One that is missing is read anew."""
    assert isinstance(stage, SectionStage)
    number = number_of(shard)
    journal = open_journal(f"{number:06d}", out, stage.reading.seconds_per_file)
    with open_parts(out, f"{number:06d}.parquet", stage.tables, signature(round_of(shard))) as parts:
        taking = stage.take(parts.write, journal)
        seconds = 0.0
        found = NOTHING_FOUND
        for place in range(len(cut.sections)):
            table, told = _kept_piece(cut, place, number, stage, out)
            piece = Found.from_json(told["found"])
            stage.join(taking, cut.clips, table, piece, found)
            for fault in told["ended"]:
                taking.ended.update(dict.fromkeys(cut.clips, MediaError(*fault)))
            for n, *why in told["missed"]:
                taking.miss(cut.clips, n, MediaError(*why))
            found, seconds = found + piece, seconds + told["seconds"]
            if found.fault or found.unproven:
                break
        if found.unproven:
            found = _read_on(cut, found, stage, journal, taking)
        found = conclude(found, cut.sections)
        table = rows_of_file(shard, found, stage.reading, cut.content_id)
        journal.seconds[cut.path] = seconds
        read, rows = finish_shard(sort_out(table, shard, stage, journal), taking, journal)
    failed = commit_shard(read, rows, stage, out, parts)
    shutil.rmtree(cut.folder, ignore_errors=True)
    return failed


def _kept_piece(cut: Cut, place: int, number: int, stage: Stage, out: Path) -> tuple[pa.Table, dict[str, Any]]:
    """Return the rows of a section and what was told of it; where that is not whole it is read anew."""
    run_section(cut, place, number, stage, out)
    try:
        table = read_table(cut.piece(place))
    except UserError:
        delete(cut.piece(place))
        run_section(cut, place, number, stage, out)
        table = read_table(cut.piece(place))
    return table.replace_schema_metadata(), json.loads((table.schema.metadata or {})[_FOUND])


def _read_on(cut: Cut, found: Found, stage: Stage, journal: Journal, sink: Sink) -> Found:
    stage.load()
    job = _job(stage, sink)
    read = partial(read_on, job=job, clips=cut.clips, found=found)
    said = _with_file(cut.path, stage, journal, lambda stream, limit: read(stream, limit=limit))
    return replace(found, fault=said, unproven=False) if isinstance(said, MediaError) else said


def clear_sections(out: Path) -> None:
    """Remove what is kept of sections, once every shard is committed."""
    shutil.rmtree(out / SECTIONS, ignore_errors=True)
