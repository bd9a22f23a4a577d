"""Bring an output folder up to what its archive holds: what is new is worked on, what is known keeps its rows."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from emocore.corpus.scan import Row
from emocore.pipeline import cluster, planning
from emocore.pipeline.archive import Archive
from emocore.pipeline.carrying import carry_rows, drop_rows, forget_shard
from emocore.pipeline.planning import Plan, cut_shards, identify
from emocore.pipeline.progress import say
from emocore.pipeline.shards import run_shards
from emocore.pipeline.stages import TIMINGS_FOLDER, Stage, shard_file, write_listing_failures

Listed = Callable[[], Iterable[tuple[Row, Iterable[str]]]]
"""What the archive holds now: rows, each with the names that its clip may have."""


@dataclass(frozen=True)
class Update:
    """An output folder that is brought up to what its archive holds; `last_file` says that it was, and goes first."""

    stage: Stage
    out: Path
    last_file: str
    max_failures: int | None = None
    retry_failed: bool = False
    gpus: float | None = None

    def run(self, archive: Archive, listed: Listed, unlisted: Callable[[], pa.Table]) -> bool:
        """End the round that an earlier call left open, and one for what changed since; return whether any did.

        `unlisted` gives, once all is listed, the FAILURES rows of what could not be. Raises TooManyFailures, and
        UserError from a worker.
        """
        changed = archive.is_open
        if changed:
            self._finish(archive)
        for shard in archive.forget_lost({int(path.stem) for path in (self.out / self.stage.main).glob("*.parquet")}):
            forget_shard(self.out, shard, (*self.stage.by_clip, self.stage.main, TIMINGS_FOLDER))
        archive.take_in(listed())
        changes = archive.plan(
            self._identify,
            lambda files: cut_shards(files, self.stage.reading),
            lambda shards: Plan(self.out).write(shards, archive.shards.stop),
            shard_files=planning.SHARD_FILES,
            retry_failed=self.retry_failed,
        )
        if archive.is_open and archive.shards.start:
            say(
                f"{changes.to_do:,} files are new or changed, {changes.carried:,} known by their bytes, "
                f"{changes.gone:,} gone"
            )
        changed |= write_listing_failures(unlisted(), self.out) | archive.is_open
        if archive.is_open:
            self._finish(archive)
        return changed

    def _identify(self, chunks: Iterator[list[str]], n: int) -> Iterator[list[str | None]]:
        if n:
            cluster.connect()
        return identify(chunks, n, self.stage.reading.seconds_per_file)

    def _finish(self, archive: Archive) -> None:
        """Do what the open round holds and was not done yet; what is done twice is the same."""
        (self.out / self.last_file).unlink(missing_ok=True)
        for carries in archive.carries():
            carry_rows(self.out, carries, self.stage.main, self.stage.by_clip)
        for shard, paths in archive.drops():
            drop_rows(self.out, shard, paths, self.stage.main, self.stage.by_clip)
        plan, shards = Plan(self.out), archive.shards
        if plan.path.exists():  # else what is not committed is found to be lost, and planned anew
            run_shards(self.stage, plan, self.out, shards.start, self.max_failures, self.gpus)
        archive.close(
            _rows(self.out / self.stage.main, shards, ["path", "content_id"]),
            _rows(self.out / "failures", shards, ["path", "content_id", "attempts"]),
        )
        plan.path.unlink(missing_ok=True)


def _rows(folder: Path, shards: range, columns: list[str]) -> Iterator[tuple[Any, ...]]:
    for shard in shards:
        file = shard_file(folder, shard)
        if file.exists():
            table: pa.Table = pq.ParquetFile(file).read(columns=columns)
            yield from zip(*(table[column].to_pylist() for column in columns), strict=True)
