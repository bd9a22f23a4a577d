"""Bring an output folder up to what its archive holds: what is new is worked on, what is known keeps its rows."""

import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from emocore.corpora.scan import Row
from emocore.errors import UserError, amount
from emocore.pipeline import cluster
from emocore.pipeline.archive import plan as planning
from emocore.pipeline.archive.database import Archive
from emocore.pipeline.archive.here import MOST_FILES
from emocore.pipeline.archive.plan import Plan, cut_shards, identify
from emocore.pipeline.archive.reuse import carry_rows, drop_rows, forget_shard
from emocore.pipeline.archive.shards import run_shards
from emocore.pipeline.archive.stage import (
    TIMINGS_FOLDER,
    Stage,
    read_listing_failures,
    shard_file,
    write_listing_failures,
)
from emocore.pipeline.options.files import ArchiveOptions
from emocore.progress import say
from emocore.schema import FAILURES
from emocore.storage.files import delete
from emocore.storage.folder import ARCHIVE
from emocore.storage.local import clear_unfinished
from emocore.storage.tables import count_rows, forget_types, read_table

_MOST_ROUNDS = 3  # of one call, where files go on changing while they are read

Listed = Callable[[], Iterable[tuple[Row, Iterable[str]]]]
"""What the archive holds now: rows, each with the names that its clip may have."""


@dataclass(frozen=True)
class Update:
    """An output folder that is brought up to what its archive holds; `last_file` says that it was, and goes first."""

    stage: Stage
    out: Path
    last_file: str
    options: ArchiveOptions
    max_failures: int | None = None
    gpus: float | None = None

    def run(self, archive: Archive, listed: Listed, unlisted: Callable[[], pa.Table]) -> bool:
        """Close the round that an earlier call left open, and do what is new or changed; return whether any was.

        `unlisted` gives, once all is listed, the FAILURES rows of what could not be. Raises TooManyFailures, and
        UserError from a worker, for tables that are nobody's, and where most files are gone.
        """
        clear_unfinished(self.out)
        drop_cut(self.out / self.stage.main)
        there = numbered_files(self.out / self.stage.main)
        if there and not archive.has_rounds:
            raise UserError(
                f"{self.out} has tables but no {ARCHIVE}, which says what they are of: choose another --out."
            )
        first = archive.shards.start if archive.is_open else archive.shards.stop  # what failed since is not read again
        changed = archive.is_open
        if changed:
            self._close(archive)
        self._forget_lost(archive)
        for _ in range(_MOST_ROUNDS):
            changed |= self._round(archive, listed, unlisted, first)
            if not archive.has_surprises:
                break
        self._check(archive)
        return changed

    def _round(self, archive: Archive, listed: Listed, unlisted: Callable[[], pa.Table], retry_before: int) -> bool:
        archive.take_in(listed())
        failures = unlisted()
        spared = archive.spare(failures["path"].to_pylist())
        failures = failures.filter(pc.invert(pc.is_in(failures["path"], pa.array(sorted(spared), pa.string()))))
        changes = archive.plan(
            self._identify,
            lambda files: cut_shards(files, self.stage.reading),
            lambda shards: Plan(self.out).write(shards, archive.shards.stop),
            shard_files=planning.SHARD_FILES,
            retry_before=retry_before if self.options.retry_failed else 0,
            drop_gone=self.options.drop_gone,
        )
        differ = not failures.equals(read_listing_failures(self.out))
        if archive.is_open or differ:
            delete(self.out / self.last_file)
            write_listing_failures(failures, self.out)
        if not archive.is_open:
            return differ
        if archive.shards.start:
            say(
                f"{amount(changes.to_do, 'file')} {'is' if changes.to_do == 1 else 'are'} new or changed, "
                f"{changes.carried:,} known by their bytes, {changes.gone:,} gone"
            )
        self._move(archive)
        run_shards(self.stage, Plan(self.out), self.out, archive.shards.start, self.max_failures, self.gpus)
        self._close(archive)
        return True

    def _identify(self, chunks: Iterator[list[str]], n: int) -> Iterator[list[str | None]]:
        if n > MOST_FILES or (n and cluster.is_joined()):
            cluster.connect()
        return identify(chunks, n, self.stage.reading.seconds_per_file)

    def _move(self, archive: Archive) -> None:
        """Carry and drop rows; what is done twice is the same."""
        for carries in archive.carries():
            carry_rows(self.out, carries, self.stage.main, self.stage.by_clip)
        for shard, paths in archive.drops():
            drop_rows(self.out, shard, paths, self.stage.main, self.stage.by_clip)

    def _close(self, archive: Archive) -> None:
        """End the open round with what is committed of it; the rest is planned anew."""
        self._move(archive)
        shards = archive.shards
        archive.close(
            _rows(self.out / self.stage.main, shards, ["path", "content_id"]),
            _rows(self.out / "failures", shards, ["path", "content_id", "attempts"], self.out / self.stage.main),
        )
        delete(Plan(self.out).path)

    def _forget_lost(self, archive: Archive) -> None:
        lost = archive.lost(numbered_files(self.out / self.stage.main))
        for shard in lost:  # before it is forgotten: a kill between the two is mended by the next call
            forget_shard(self.out, shard, (*self.stage.by_clip, self.stage.main, TIMINGS_FOLDER))
        archive.forget(lost)

    def _check(self, archive: Archive) -> None:
        """Raise UserError unless the tables have one row for each file."""
        n = sum(count_rows(self.out / table) for table in (self.stage.main, "failures"))
        n -= read_listing_failures(self.out).num_rows
        if n != archive.n_files():
            raise UserError(
                f"{self.out} has {n:,} rows for {archive.n_files():,} files, as if something else had written there: "
                "choose another --out."
            )


def drop_cut(folder: Path) -> None:
    """Take away parts that are empty or cut, and say so: they are then lost parts, whose files are read again."""
    forget_types()
    for shard in sorted(numbered_files(folder)):
        file = shard_file(folder, shard)
        try:
            pq.read_metadata(file)
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:  # of storage, not of what it holds
                raise
            say(f"{file} is not whole: its files are read again")
            delete(file)


def numbered_files(folder: Path) -> set[int]:
    """Return the shards that have a file in this folder."""
    if not folder.exists():
        return set()
    with os.scandir(folder) as entries:  # unlike glob it does not take a folder that may not be read for an empty one
        return {int(entry.name[:-8]) for entry in entries if re.fullmatch(r"\d{6,}\.parquet", entry.name)}


def _rows(folder: Path, shards: range, columns: list[str], main: Path | None = None) -> Iterator[tuple[Any, ...]]:
    """Yield rows of the shards' files; those of failures only where the shard is committed in `main`."""
    for shard in shards:
        file = shard_file(folder, shard)
        if file.exists() and shard_file(main or folder, shard).exists():
            table = read_table(file, pa.schema([FAILURES.field(column) for column in columns]))
            yield from zip(*(table[column].to_pylist() for column in columns), strict=True)
