"""What an archive holds and where each file's rows are: a database in the output folder, not the driver's memory."""

import itertools
import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

from emocore.corpora.scan import Row
from emocore.errors import UserError
from emocore.media.source import file_of
from emocore.pipeline.archive import queries
from emocore.pipeline.archive.connection import Database
from emocore.pipeline.archive.rows import Carry, Changes, Planned, from_listing, to_listing

FEW_GONE = 10
_MOST = 2**63 - 1  # that a column holds
_AT_ONCE = 256  # paths whose bytes are compared by one task

Identify = Callable[[Iterator[list[str]], int], Iterator[list[str | None]]]
"""From chunks of paths, and how many paths they hold, to the content ids of each chunk."""


class Archive(Database):
    """The files of an output folder. A round takes in what changed in the archive: planned, worked on, closed."""

    @property
    def is_open(self) -> bool:
        """Whether a round was planned and has not been closed."""
        return bool(self._one("SELECT count(*) FROM rounds WHERE is_open"))

    @property
    def shards(self) -> range:
        """The shards of the last round; those of files that were carried come last."""
        found = self.db.execute("SELECT first_shard, end_shard FROM rounds ORDER BY rowid DESC").fetchone()
        return range(*found) if found else range(0)

    def take_in(self, rows: Iterable[tuple[Row, Iterable[str]]]) -> None:
        """Take in what the archive holds now: rows, each with the names that its clip may have, the best first."""
        for table in ("now", "places", "compared", "unlisted"):
            self.db.execute(f"DELETE FROM {table}")
        with self._step():
            for row, names in rows:
                self._add(row, names)

    def spare(self, unlisted: Iterable[str]) -> set[str]:
        """Keep the rows of known files that are, or lie below, a path that could not be listed this time.

        Return which of these paths are themselves files that keep their row.
        """
        with self._step():
            self.db.executemany("INSERT INTO unlisted VALUES (?)", [(path,) for path in unlisted])
            self.db.execute(queries.SPARE)
        found = self.db.execute("SELECT path FROM unlisted JOIN now USING (path)")
        return {path for (path,) in found}

    def plan(
        self,
        identify: Identify,
        cut: Callable[[Iterable[Planned]], Iterator[list[Planned]]],
        write: Callable[[Iterator[list[Planned]]], int],
        *,
        shard_files: int,
        retry_before: int = 0,
        drop_gone: bool = True,
    ) -> Changes:
        """Open a round for what was listed, where it differs from what the tables hold.

        `cut` parts the files into shards, and `write` writes these and returns how many they are. What failed in a
        shard below `retry_before` is read again. Raises UserError where most files are gone, unless `drop_gone`.
        """
        with self._step():
            self.db.execute(queries.RECOGNIZE)
            self._compare(identify)
            if not drop_gone:
                self._check_gone()
            self.db.execute(queries.FIND_COPIES)
            self.db.execute(queries.KEEP, (retry_before,))
            self.db.execute(queries.CARRY_OWN)
            self.db.execute(queries.CARRY)
            self.db.execute("UPDATE now SET action = 'do' WHERE action IS NULL")
            changes = self._changes()
            if any(changes) or not self.has_rounds:
                self._open(cut, write, shard_files)
            self.db.execute(queries.TOUCH)
        return changes

    def _open(
        self,
        cut: Callable[[Iterable[Planned]], Iterator[list[Planned]]],
        write: Callable[[Iterator[list[Planned]]], int],
        shard_files: int,
    ) -> None:
        first = self.shards.stop
        end = first + write(self._number(cut(self._to_do()), first))
        end = self._number_carries(end, shard_files)
        self.db.execute("UPDATE now SET shard = places.shard FROM places WHERE places.path = now.path")
        self.db.execute("INSERT INTO rounds VALUES (?, ?, 1, ?)", (first, end, secrets.token_hex(8)))
        for statement in queries.COMMIT.split(";"):
            self.db.execute(statement)

    def _check_gone(self) -> None:
        gone, known = self._one(queries.GONE), self._one("SELECT count(*) FROM files")
        if 2 * gone > known and gone > FEW_GONE:
            raise UserError(
                f"{gone:,} of the {known:,} files that {self.path.parent} has rows of are not there any more: "
                "mount what is missing, or give --drop-gone to take their rows out (also those of --exclude)."
            )

    def carries(self) -> Iterator[list[Carry]]:
        """Yield the rows to carry, a shard after the other."""
        found = self.db.execute(
            "SELECT c.shard, listing, bytes, path, duplicate_of, source, source_shard FROM carries c "
            "JOIN files USING (path) ORDER BY c.shard, source_shard"
        )
        waiting: list[Carry] = []
        for shard, listing, size, path, duplicate_of, source, source_shard in found:
            if waiting and waiting[0].shard != shard:
                yield waiting
                waiting = []
            waiting.append(Carry(shard, from_listing(path, size, listing), duplicate_of, source, source_shard))
        if waiting:
            yield waiting

    def drops(self) -> Iterator[tuple[int, set[str]]]:
        """Yield shards, and the paths whose rows there are to go."""
        for (shard,) in self.db.execute("SELECT DISTINCT shard FROM drops ORDER BY shard").fetchall():
            yield shard, {path for (path,) in self.db.execute("SELECT path FROM drops WHERE shard = ?", (shard,))}

    def close(self, content_ids: Iterable[tuple[str, str]], failures: Iterable[tuple[str, str | None, int]]) -> None:
        """End the round: of the paths with rows their content ids, of those that failed also the attempts.

        A file that is not what was planned any more is looked at again in the next round, and so are its copies.
        """
        with self._step():
            self.db.executemany(
                "UPDATE files SET content_id = ?2, changed = CASE WHEN content_id <> ?2 THEN -1 ELSE changed END "
                "WHERE path = ?1",
                content_ids,
            )
            self.db.executemany(
                "UPDATE files SET failed = 1, attempts = ?3, content_id = coalesce(?2, content_id), "
                "changed = CASE WHEN content_id <> ?2 THEN -1 ELSE changed END WHERE path = ?1",
                failures,
            )
            for statement in ("DELETE FROM carries", "DELETE FROM drops", "UPDATE rounds SET is_open = 0"):
                self.db.execute(statement)

    @property
    def has_rounds(self) -> bool:
        """Whether anything was planned yet."""
        return bool(self._one("SELECT count(*) FROM rounds"))

    @property
    def has_surprises(self) -> bool:
        """Whether a file was other than planned when it was read."""
        return bool(self._one("SELECT count(*) FROM files WHERE changed = -1"))

    def forget(self, shards: Iterable[int]) -> None:
        """Forget that files are in these shards."""
        with self._step():
            self.db.executemany("UPDATE files SET shard = NULL, failed = 0 WHERE shard = ?", [(n,) for n in shards])

    def forget_files(self, paths: Iterable[str]) -> None:
        """Forget that these files have rows."""
        with self._step():
            self.db.executemany("UPDATE files SET shard = NULL, failed = 0 WHERE path = ?", [(n,) for n in paths])

    def shard_paths(self) -> Iterator[tuple[int, set[str]]]:
        """Yield shards, and the paths that should have a row there."""
        found = self.db.execute("SELECT shard, path FROM files WHERE shard IS NOT NULL ORDER BY shard")
        for shard, rows in itertools.groupby(found, lambda row: row[0]):
            yield shard, {path for _, path in rows}

    def known_shards(self) -> dict[int, str]:
        """Return the shards in which rows may be: of files, of files that are to go, and of the open round.

        Each with the id of its round.
        """
        found = self.db.execute("SELECT shard FROM files WHERE shard IS NOT NULL UNION SELECT shard FROM drops")
        shards = {shard for (shard,) in found} | set(self.shards if self.is_open else ())
        return {shard: self.round_id(shard) for shard in shards}

    def round_id(self, shard: int) -> str:
        """Return the id of the round that planned this shard."""
        query = "SELECT id FROM rounds WHERE first_shard <= ? ORDER BY rowid DESC LIMIT 1"
        return "".join(*self.db.execute(query, (shard,)))

    def to_read(self, retry_failed: bool) -> Iterator[Row]:
        """Yield LISTING rows of what was listed and is not known, or changed; whose bytes are known is not asked."""
        found = self.db.execute(
            "SELECT now.path, now.bytes, now.listing FROM now LEFT JOIN files f ON f.path = now.path "
            "WHERE f.shard IS NULL OR f.bytes <> now.bytes OR f.changed <> now.changed OR (? AND f.failed)",
            (retry_failed,),
        )
        for path, size, listing in found:
            yield from_listing(path, size, listing)

    def paths(self) -> Iterator[str]:
        """Yield the path of every file."""
        for (path,) in self.db.execute("SELECT path FROM files"):
            yield path

    def _add(self, row: Row, names: Iterable[str]) -> None:
        path = row["path"]
        changed = 0
        with suppress(OSError):  # a file that went meanwhile becomes a failure where it is read
            status = os.stat(file_of(path))  # noqa: PTH116 - a Path object for each file costs more than the call
            # The second changes whenever the first was set by hand, as by `cp -p` and `unzip`.
            changed = min(max(status.st_mtime_ns, status.st_ctime_ns), _MOST)
        real = os.fsencode(str(row.get("real", path)))
        if self._one("SELECT count(*) FROM now WHERE path = ? OR real = ?", path, real):
            return  # reached by two ways
        for name in names:
            if not self._one("SELECT count(*) FROM now WHERE clip = ?", name):
                break
        told = to_listing({**row, "clip": name, "take": row.get("take") or name})
        self.db.execute(
            "INSERT INTO now (path, real, clip, bytes, changed, listing) VALUES (?, ?, ?, ?, ?, ?)",
            (path, real, name, min(row["bytes"], _MOST), changed, told),
        )

    def _compare(self, identify: Identify) -> None:
        self.db.execute(queries.TO_COMPARE)
        n = self._one("SELECT count(*) FROM compared")

        def chunks() -> Iterator[list[str]]:
            for start in range(0, n, _AT_ONCE):
                found = self.db.execute("SELECT path FROM compared WHERE rowid > ? LIMIT ?", (start, _AT_ONCE))
                yield [path for (path,) in found]

        for chunk, ids in zip(chunks(), identify(chunks(), n), strict=True):
            found = zip(ids, chunk, strict=True)
            self.db.executemany("UPDATE now SET content_id = ? WHERE path = ?", found)

    def _changes(self) -> Changes:
        to_do, carried = (self._one("SELECT count(*) FROM now WHERE action = ?", action) for action in ("do", "carry"))
        gone = self._one("SELECT count(*) FROM files LEFT JOIN now USING (path) WHERE now.path IS NULL")
        return Changes(to_do, carried, gone)

    def _to_do(self) -> Iterator[Planned]:
        for path, size, listing, duplicate_of, attempts, content_id in self.db.execute(queries.TO_DO):
            yield Planned(from_listing(path, size, listing), duplicate_of, attempts, content_id)

    def _number(self, shards: Iterator[list[Planned]], first: int) -> Iterator[list[Planned]]:
        for number, files in enumerate(shards, first):
            yield files
            places = [(planned.row["path"], number) for planned in files]
            self.db.executemany("INSERT INTO places VALUES (?, ?)", places)

    def _number_carries(self, first: int, shard_files: int) -> int:
        """Return the number behind the last shard."""
        self.db.execute(
            "INSERT INTO places SELECT path, ? + (row_number() OVER (ORDER BY source_shard, source, path) - 1) / ? "
            "FROM now WHERE action = 'carry'",
            (first, shard_files),
        )
        carried = self._one("SELECT count(*) FROM now WHERE action = 'carry'")
        return first - (-carried // shard_files)
