"""What becomes of a shard of files: read, computed, and committed by the last of its tables.

Ray Data's own checkpoints (2.60) do not do this. They write nothing twice, but commit what one task of the fused
read, map and write has done: eight runs that were killed after ten seconds each had kept nothing. They know one table,
whose rows are added and never replaced or taken out, and load the ids of all rows before they begin. Here the main
table of a shard is its commit: the file is there whole, under a name that no second attempt can add to.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from emocore.errors import MediaError
from emocore.features.clock import begins_of, on_file_clock
from emocore.features.extract import PLANNED, featurize_batch
from emocore.features.family import FeatureFamily
from emocore.features.one_file import Found, Sink
from emocore.media.reading import Reading
from emocore.models.labelling import Give, Write
from emocore.models.labelling import Sink as Answering
from emocore.pipeline import cluster
from emocore.pipeline.archive.journal import DEATHS_ALLOWED, Journal
from emocore.pipeline.archive.plan import ATTEMPTS_BEFORE, ROUND_KEY, SHARD, signature
from emocore.pipeline.archive.writing import Parts, open_parts
from emocore.schema import FAILURES, rows_to_table
from emocore.storage.files import delete
from emocore.storage.folder import JOURNALS
from emocore.storage.tables import read_table, take_out, write_table
from emocore.timeline import HowCut

TIMINGS = pa.schema([("path", pa.string()), ("seconds", pa.float32()), ("finished", pa.float64())])
TIMINGS_FOLDER = ".timings"
LISTING_FAILURES = "listing.parquet"


class ReadShard(NamedTuple):
    """The FEATURIZED rows of a shard without faults, its FAILURES rows, and the seconds that each path took."""

    number: int
    good: pa.Table
    failures: pa.Table
    seconds: dict[str, float]
    attempts_before: dict[str, int]  # of each path
    round_id: str


class Taking(Sink, Protocol):
    """Takes what is made of a shard's files, and writes the tables that have several rows a clip as they come."""

    @property
    def faults(self) -> dict[str, MediaError]:
        """Of the clips that there is no answer for."""

    def finish(self) -> None:
        """Take in that nothing more comes."""

    def rows(self, good: pa.Table) -> pa.Table:
        """Return the rows of the main table for FEATURIZED rows without faults."""


class Stage(Protocol):
    """What becomes of a shard: it is sent to workers, and loads there what it needs."""

    @property
    def name(self) -> str:
        """What the progress is called."""

    @property
    def main(self) -> str:
        """The table with one row a path, which is written last."""

    @property
    def keeps_broken(self) -> bool:
        """Whether a file has a row that breaks after something was found in it; else it is a failure."""

    @property
    def tables(self) -> Mapping[str, pa.Schema]:
        """The tables with none or several rows a clip; every shard has a part of each."""

    @property
    def families(self) -> tuple[FeatureFamily, ...]:
        """What is computed of sound, and looked at in films."""

    @property
    def reading(self) -> Reading:
        """What is read of a file."""

    @property
    def how(self) -> HowCut:
        """How a sound is cut into windows."""

    def load(self) -> None:
        """Load what takes long, before a file's time runs; once a process."""

    def take(self, write: Write, journal: Journal) -> Taking:
        """Return what takes in a shard's files, and writes rows.

        Where it answers for clips it says so to the journal, whose suspects are answered for alone.
        """


@runtime_checkable
class SectionStage(Stage, Protocol):
    """A stage of which several processes may work on one long file, a section each."""

    def take(self, write: Write, journal: Journal) -> Answering:
        """Return what takes in a shard's files, as of any stage."""

    def take_section(self, give: Give, journal: Journal) -> Answering:
        """Return what takes in a section of a file, and gives rows to be kept until all sections are joined."""

    def join(self, taking: Any, clips: list[str], rows: pa.Table, section: Found, before: Found) -> None:
        """Let what takes in a shard's files take in the rows of a section of the only one, behind those `before`."""


def run_shard(shard: pa.Table, stage: Stage, out: Path) -> int:
    """Read, compute and commit one shard of SHARDED rows; return how many files failed."""
    number = number_of(shard)
    journal = open_journal(f"{number:06d}", out, stage.reading.seconds_per_file)
    stage.load()  # behind the journal, which counts the processes that this ends
    with open_parts(out, f"{number:06d}.parquet", stage.tables, signature(round_of(shard))) as parts:
        taking = stage.take(on_file_clock(parts.write, _begins(shard)), journal)
        read = read_shard(shard, stage, journal, taking)
        read, rows = finish_shard(read, taking, journal)
    return commit_shard(read, rows, stage, out, parts)


def read_shard(shard: pa.Table, stage: Stage, journal: Journal, sink: Sink) -> ReadShard:
    """Read the files of a shard of SHARDED rows; what is made of them goes to the sink."""
    planned = shard.select(PLANNED.names)
    table = featurize_batch(planned, stage.families, stage.reading, journal.guard, sink, stage.how)
    return sort_out(table, shard, stage, journal)


def sort_out(table: pa.Table, shard: pa.Table, stage: Stage, journal: Journal) -> ReadShard:
    """Part FEATURIZED rows of a shard's files into good ones and failures."""
    is_good = pc.is_null(table["reason"])
    if stage.keeps_broken:
        is_good = pc.or_(is_good, pc.is_valid(table["broken_after_seconds"]))
    failures = failure_rows(
        table.filter(pc.invert(is_good)), journal.deaths, shard[ATTEMPTS_BEFORE].filter(pc.invert(is_good))
    )
    before = dict(zip(shard["path"].to_pylist(), shard[ATTEMPTS_BEFORE].to_pylist(), strict=True))
    return ReadShard(number_of(shard), table.filter(is_good), failures, journal.seconds, before, round_of(shard))


def _begins(rows: pa.Table) -> dict[str, float]:
    """Return when those clips begin that are segments, on the clocks of their files."""
    return begins_of(dict(zip(rows["clip"].to_pylist(), rows["path"].to_pylist(), strict=True)))


def finish_shard(read: ReadShard, taking: Taking, journal: Journal) -> tuple[ReadShard, pa.Table]:
    """Return the shard without the clips that there is no answer for, and the rows of its main table."""
    taking.finish()
    read = without(read, taking.faults, journal.answers_deaths)
    return read, taking.rows(read.good)


def answer_shard(read: ReadShard, replay: Callable[[Sink], None], stage: Stage, out: Path) -> int:
    """Answer for what another process has read, and commit it; return how many files failed."""
    # Ray Data starts such a process again and again: the journal counts how often.
    journal = open_journal(f"{read.number:06d}-answer", out, stage.reading.seconds_per_file)
    with open_parts(out, f"{read.number:06d}.parquet", stage.tables, signature(read.round_id)) as parts:
        taking = stage.take(on_file_clock(parts.write, _begins(read.good)), journal)
        replay(taking)
        read, rows = finish_shard(read, taking, journal)
    return commit_shard(read, rows, stage, out, parts)


def commit_shard(read: ReadShard, rows: pa.Table, stage: Stage, out: Path, parts: Parts) -> int:
    """Write what is left of a shard's tables, the main one last; return how many files failed."""
    signed = signature(read.round_id)
    clips = set(rows["clip"].to_pylist())
    for table, found in parts.clips.items():  # of a file that failed in its midst
        take_out(shard_file(out / table, read.number), "clip", pa.array(sorted(found - clips), pa.string()))
    _write_failures(read.failures.replace_schema_metadata(signed), shard_file(out / "failures", read.number))
    for name, written in ((TIMINGS_FOLDER, _timings(read.seconds)), (stage.main, rows)):
        write_table(written.replace_schema_metadata(signed), shard_file(out / name, read.number))
    for done in (out / JOURNALS).glob(f"{read.number:06d}*"):
        delete(done)
    return len(read.failures)


def _among(rows: pa.Table, clips: Iterable[str]) -> pa.ChunkedArray:
    """Return which rows are of these clips."""
    return pc.is_in(rows["clip"], pa.array(sorted(clips), pa.string()))


def without(read: ReadShard, faults: Mapping[str, MediaError], deaths: Counter[str]) -> ReadShard:
    """Return the shard with the clips that have a fault among its failures.

    `deaths`: how many processes ended while they answered for a clip.
    """
    if not faults:
        return read
    fails = _among(read.good, faults)
    rows = []
    for row in read.good.select(["clip", "path", "content_id"]).filter(fails).to_pylist():
        fault = faults[row["clip"]]
        tries = DEATHS_ALLOWED if fault.reason == "killed" else 1 + deaths[row["clip"]]
        why = {"stage": fault.stage, "reason": fault.reason, "detail": fault.detail}
        rows.append({**row, **why, "attempts": read.attempts_before[row["path"]] + tries})
    failures = pa.concat_tables([read.failures, rows_to_table(rows, FAILURES)])
    return read._replace(good=read.good.filter(pc.invert(fails)), failures=failures)


def open_journal(name: str, out: Path, seconds_per_file: float, *, of_section: bool = False) -> Journal:
    """Return the journal of a shard or section, as the process finds it that is about to work on it."""
    return Journal(out / JOURNALS / name, seconds_per_file, cluster.here(), cluster.is_lost, of_section=of_section)


def number_of(shard: pa.Table) -> int:
    """Return the number of a shard."""
    return int(shard[SHARD][0].as_py())


def round_of(shard: pa.Table) -> str:
    """Return the id of the round that planned a shard."""
    return str((shard.schema.metadata or {}).get(ROUND_KEY, b"").decode())


def shard_file(folder: Path, number: int) -> Path:
    """Return where a shard's rows of this table lie."""
    return folder / f"{number:06d}.parquet"


def failure_rows(featurized: pa.Table, deaths: Mapping[str, int], before: pa.ChunkedArray) -> pa.Table:
    """Return the FAILURES rows of FEATURIZED rows that have a fault.

    `deaths`: how many processes each path ended; `before`: how often each file failed in earlier runs.
    """
    failed = featurized
    paths = failed["path"].to_pylist()
    firsts = pc.coalesce(failed["duplicate_of"], failed["path"]).to_pylist()
    of_copies: dict[str, int] = {}  # of which only one is read, unless it changed
    for path, first in zip(paths, firsts, strict=True):
        of_copies[first] = max(of_copies.get(first, 0), deaths.get(path, 0))
    rows = zip(firsts, paths, failed["reason"].to_pylist(), strict=True)
    attempts = [of_copies[first] if reason == "killed" else deaths.get(path, 0) + 1 for first, path, reason in rows]
    total = np.array(attempts, np.int32) + before.to_numpy().astype(np.int32)
    return failed.append_column("attempts", pa.array(total, pa.int32())).select(FAILURES.names).cast(FAILURES)


def _write_failures(failures: pa.Table, path: Path) -> None:
    """Write the shard's failures, in the place of those of a process that died before it committed the shard."""
    if failures.num_rows:
        write_table(failures, path)
    else:
        delete(path)


def _timings(seconds: Mapping[str, float]) -> pa.Table:
    now = time.time()
    rows = [{"path": path, "seconds": taken, "finished": now} for path, taken in seconds.items()]
    return pa.Table.from_pylist(rows, TIMINGS)


def read_listing_failures(out: Path) -> pa.Table:
    """Return the FAILURES rows of what could not even be listed."""
    path = out / "failures" / LISTING_FAILURES
    return read_table(path, FAILURES).replace_schema_metadata() if path.exists() else FAILURES.empty_table()


def write_listing_failures(failures: pa.Table, out: Path) -> None:
    """Write what could not even be listed beside the shards' failures."""
    path = out / "failures" / LISTING_FAILURES
    if failures.num_rows:
        write_table(failures, path)
    else:
        delete(path)
