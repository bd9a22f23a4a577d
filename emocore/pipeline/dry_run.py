"""What a run would take: how many files there are, how much media, how much time, by a sample that is read."""

import os
import random
import shutil
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.parquet as pq

from emocore.corpus.scan import Row
from emocore.media.source import AUDIO_SUFFIXES, STILL_SUFFIXES, VIDEO_SUFFIXES
from emocore.pipeline import cluster
from emocore.pipeline.archive import DATABASE, Archive, Planned
from emocore.pipeline.planning import shard_table
from emocore.pipeline.progress import duration, megabytes
from emocore.pipeline.stages import Stage, run_shard, shard_file

SAMPLE_FILES = 24  # of each kind
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
    """Return in words what a run would do. Nothing is written into `out`; the sample is read by this process."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        if (out / DATABASE).exists():
            shutil.copy(out / DATABASE, work)
        with Archive(work) as archive:
            archive.forget_lost({int(path.stem) for path in (out / stage.main).glob("*.parquet")})
            archive.take_in(listed)
            kinds = draw_sample(archive.to_read(retry_failed), random.Random(seed))
        for name, kind in kinds.items():
            _measure(kind, stage, work / name)
    return describe_kinds(kinds, _cpus())


def draw_sample(rows: Iterable[Row], generator: random.Random) -> dict[str, Kind]:
    """Return the kinds of files that there are, each with a sample in which every file is as likely as another."""
    kinds: dict[str, Kind] = {}
    for row in rows:
        suffix = os.path.splitext(row["path"])[1].lower()  # noqa: PTH122 - a Path for each of a million files is slow
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
    lines = [f"{files:,} files to read, which are new or changed" if files else "nothing to read: all files are known"]
    for name, kind in kinds.items():
        media = f", about {duration(kind.scale * kind.media_seconds)} of media" if kind.media_seconds else ""
        each = 1000 * kind.seconds / max(len(kind.drawn), 1)
        lines.append(f"  {kind.files:,} {name}, {megabytes(kind.size)}{media}, {each:.0f} ms each")
    if files:
        seconds = sum(kind.scale * kind.seconds for kind in kinds.values()) / cpus
        read, failed = sum(len(kind.drawn) for kind in kinds.values()), sum(kind.failed for kind in kinds.values())
        lines.append(
            f"about {duration(seconds)} on {cpus} CPUs, by {read} files that were read, {failed} of which fail"
        )
    return lines


def _measure(kind: Kind, stage: Stage, work: Path) -> None:
    """Label the sample as a run would."""
    first = shard_table([Planned(kind.drawn[0], None, 0)], 0)
    run_shard(first, stage, work / "first")  # what is loaded and compiled once does not count
    started = time.perf_counter()
    kind.failed = run_shard(shard_table([Planned(row, None, 0) for row in kind.drawn], 0), stage, work)
    kind.seconds = time.perf_counter() - started
    durations = pq.ParquetFile(shard_file(work / stage.main, 0)).read(columns=["duration_seconds"])
    kind.media_seconds = sum(value for value in durations["duration_seconds"].to_pylist() if value)


def _cpus() -> int:
    if not cluster.is_joined():
        return os.cpu_count() or 1
    cluster.connect()
    return cluster.cpus()
