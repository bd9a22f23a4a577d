"""What a run would take: how many files there are, how much media, how much time, by a sample that is read."""

import multiprocessing
import os
import random
import sqlite3
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from emocore.corpora.scan import Row
from emocore.errors import UserError, amount
from emocore.media.source import AUDIO_SUFFIXES, STILL_SUFFIXES, VIDEO_SUFFIXES, file_suffix
from emocore.pipeline import cluster
from emocore.pipeline.archive.database import Archive
from emocore.pipeline.archive.parts import without_rows
from emocore.pipeline.archive.plan import shard_table
from emocore.pipeline.archive.rows import Planned
from emocore.pipeline.archive.stage import Stage, run_shard, shard_file
from emocore.progress import duration, megabytes
from emocore.schema import CLIPS
from emocore.storage.folder import ARCHIVE
from emocore.storage.local import scratch
from emocore.storage.tables import read_table

SAMPLE_FILES = 24  # of each kind
SAMPLE_SECONDS = 20.0  # the same
AT_ONCE = 4
KINDS = {"recordings": AUDIO_SUFFIXES, "films": VIDEO_SUFFIXES, "stills": STILL_SUFFIXES}


@dataclass
class Kind:
    """How many files of a kind are to be read, and what reading some of them gave."""

    files: int = 0
    size: int = 0
    drawn: list[Row] = field(default_factory=list)
    seconds: float = 0.0
    media_seconds: float = 0.0
    failed: int = 0

    @property
    def scale(self) -> float:
        """How many files each of the sample stands for."""
        return self.files / max(len(self.drawn), 1)


def describe_run(
    stage: Stage, out: Path, listed: Iterable[tuple[Row, Iterable[str]]], *, retry_failed: bool, seed: int
) -> list[str]:
    """Return in words what a run would do. Nothing is written into `out`; the sample is read by a process of its own.

    Raises UserError while another run plans.
    """
    with scratch() as work:
        if (out / ARCHIVE).exists():
            _copy(out / ARCHIVE, work / ARCHIVE)
        with Archive(work) as archive:
            archive.forget_files(without_rows(out, stage, archive))
            archive.take_in(listed)
            kinds = draw_sample(archive.to_read(retry_failed), random.Random(seed))
        for name, kind in kinds.items():
            _measure(kind, stage, work / name)
    return describe_kinds(kinds, _cpus())


def _copy(database: Path, target: Path) -> None:
    try:
        with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(target)) as copy:
            source.backup(copy)
    except sqlite3.Error as error:
        raise UserError(f"{database} cannot be read ({error}): wait until the other run has planned.") from error


def draw_sample(rows: Iterable[Row], generator: random.Random) -> dict[str, Kind]:
    """Return the kinds of files that there are, each with a sample in which every file is as likely as another."""
    kinds: dict[str, Kind] = {}
    for row in rows:
        suffix = file_suffix(row["path"])
        name = next((name for name, suffixes in KINDS.items() if suffix in suffixes), "other files")
        kind = kinds.setdefault(name, Kind())
        kind.files += 1
        kind.size += row["bytes"]
        if len(kind.drawn) < SAMPLE_FILES:
            kind.drawn.append(row)
        elif (place := generator.randrange(kind.files)) < SAMPLE_FILES:
            kind.drawn[place] = row
    return kinds


def describe_kinds(kinds: dict[str, Kind], cpus: int) -> list[str]:
    """Return the lines of a dry run."""
    files = sum(kind.files for kind in kinds.values())
    new = f"{amount(files, 'file')} {'is' if files == 1 else 'are'} new or changed"
    lines = [f"{new}; of these, what is known by its bytes is not read again"]
    if not files:
        return ["nothing to read: all files are known"]
    for name, kind in kinds.items():
        media = f", about {duration(kind.scale * kind.media_seconds)} of media" if kind.media_seconds else ""
        each = 1000 * kind.seconds / max(len(kind.drawn), 1)
        lines.append(f"  {kind.files:,} {name}, {megabytes(kind.size)}{media}, {each:.0f} ms each")
    seconds = sum(kind.scale * kind.seconds for kind in kinds.values()) / cpus
    read, failed = sum(len(kind.drawn) for kind in kinds.values()), sum(kind.failed for kind in kinds.values())
    how = f"by {amount(read, 'file')} that {'was' if read == 1 else 'were'} read, {failed} of which fail"
    return [*lines, f"about {duration(seconds)} on {amount(cpus, 'CPU')}, {how}"]


def _measure(kind: Kind, stage: Stage, work: Path) -> None:
    """Label the sample as a run would, some files at a time, until SAMPLE_SECONDS have passed."""
    rows, kind.drawn = kind.drawn, []
    with _process() as process:
        # What is loaded and compiled once does not count: the first file is read twice.
        for number, few in enumerate([rows[:1], *_some(rows)]):
            if kind.seconds > SAMPLE_SECONDS:
                break
            try:
                seconds, failed, media_seconds = process.submit(_read, few, stage, work / str(number)).result()
            except BrokenProcessPool:  # a file ended it, as it would end a worker of the run
                kind.drawn, kind.failed = [*kind.drawn, *few], kind.failed + len(few)
                break
            if number:
                kind.drawn += few
                kind.seconds += seconds
                kind.failed += failed
                kind.media_seconds += media_seconds


def _process() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))


def _read(rows: list[Row], stage: Stage, out: Path) -> tuple[float, int, float]:
    """Return the seconds that these files took, how many failed, and the seconds of media of the others."""
    started = time.perf_counter()
    failed = run_shard(shard_table([Planned(row, None, 0) for row in rows], 0), stage, out)
    seconds = time.perf_counter() - started
    durations = read_table(shard_file(out / stage.main, 0), pa.schema([CLIPS.field("duration_seconds")]))
    return seconds, failed, sum(value for value in durations["duration_seconds"].to_pylist() if value)


def _some(rows: list[Row]) -> list[list[Row]]:
    return [rows[start : start + AT_ONCE] for start in range(0, len(rows), AT_ONCE)]


def _cpus() -> int:
    if not cluster.is_joined():
        return os.cpu_count() or 1
    cluster.connect()
    return cluster.cpus()
