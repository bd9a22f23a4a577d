"""Bring an output folder up to what its archive holds: what is new is worked on, what is known keeps its rows."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from emocore.corpora.scan import Row
from emocore.errors import UserError, amount
from emocore.pipeline import cluster
from emocore.pipeline.archive import plan as planning
from emocore.pipeline.archive.database import Archive
from emocore.pipeline.archive.here import MOST_SHARDS
from emocore.pipeline.archive.parts import match_rows, numbered_files, sweep
from emocore.pipeline.archive.plan import Plan, cut_shards, identify
from emocore.pipeline.archive.reuse import carry_rows, drop_rows
from emocore.pipeline.archive.sections import may_cut
from emocore.pipeline.archive.shards import run_shards
from emocore.pipeline.archive.stage import Stage, read_listing_failures, shard_file, write_listing_failures
from emocore.pipeline.options.files import ArchiveOptions
from emocore.progress import say
from emocore.schema import FAILURES
from emocore.storage.files import delete
from emocore.storage.folder import ARCHIVE
from emocore.storage.local import clear_unfinished
from emocore.storage.tables import read_table

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
        if numbered_files(self.out / self.stage.main) and not archive.has_rounds:
            raise UserError(
                f"{self.out} has tables but no {ARCHIVE}, which says what they are of: choose another --out."
            )
        first = archive.shards.start if archive.is_open else archive.shards.stop  # what failed since is not read again
        changed = archive.is_open
        sweep(self.out, self.stage, archive)
        if changed:
            self._close(archive)
        match_rows(self.out, self.stage, archive)
        for _ in range(_MOST_ROUNDS):
            did = self._round(archive, listed, unlisted, first)
            changed |= did
            differs = did and self._differs(archive)
            if not differs and not archive.has_surprises:
                break
        if differs:
            raise UserError(f"Something else writes to {self.out}: end it, and give the same command again.")
        return changed

    def is_whole(self, archive: Archive) -> bool:
        """Whether a finished folder still holds what it did, as far as a database says; what does not is forgotten."""
        return not archive.has_rounds or not (archive.is_open or self._differs(archive))

    def _differs(self, archive: Archive) -> bool:
        """Whether another process has written meanwhile, or taken away: mended, but for what is to be read again."""
        sweep(self.out, self.stage, archive)
        return match_rows(self.out, self.stage, archive)

    def _round(self, archive: Archive, listed: Listed, unlisted: Callable[[], pa.Table], retry_before: int) -> bool:
        archive.take_in(listed())
        failures = unlisted()
        spared = archive.spare(failures["path"].to_pylist())
        failures = failures.filter(pc.invert(pc.is_in(failures["path"], pa.array(sorted(spared), pa.string()))))
        changes = archive.plan(
            self._identify,
            lambda files: cut_shards(files, self.stage.reading, alone=may_cut(self.stage)),
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
        first = archive.shards.start
        plan = Plan(self.out, archive.round_id(first))
        run_shards(self.stage, plan, self.out, first, self.max_failures, self.gpus)
        self._close(archive)
        return True

    def _identify(self, chunks: Iterator[list[str]], n: int) -> Iterator[list[str | None]]:
        if n > MOST_SHARDS * planning.SHARD_FILES or (n and cluster.is_joined()):
            cluster.connect()
        return identify(chunks, n, self.stage.reading.seconds_per_file)

    def _move(self, archive: Archive) -> None:
        """Carry and drop rows; what is done twice is the same."""
        for carries in archive.carries():
            round_id = archive.round_id(carries[0].shard)
            carry_rows(self.out, carries, self.stage.main, self.stage.tables, round_id)
        for shard, paths in archive.drops():
            drop_rows(self.out, shard, paths, self.stage.main, self.stage.tables)

    def _close(self, archive: Archive) -> None:
        """End the open round with what is committed of it; the rest is planned anew."""
        self._move(archive)
        shards = archive.shards
        archive.close(
            _rows(self.out / self.stage.main, shards, ["path", "content_id"]),
            _rows(self.out / "failures", shards, ["path", "content_id", "attempts"], self.out / self.stage.main),
        )
        delete(Plan(self.out).path)


def _rows(folder: Path, shards: range, columns: list[str], main: Path | None = None) -> Iterator[tuple[Any, ...]]:
    """Yield rows of the shards' files; those of failures only where the shard is committed in `main`."""
    for shard in shards:
        file = shard_file(folder, shard)
        if file.exists() and shard_file(main or folder, shard).exists():
            table = read_table(file, pa.schema([FAILURES.field(column) for column in columns]))
            yield from zip(*(table[column].to_pylist() for column in columns), strict=True)
