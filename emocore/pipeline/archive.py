"""What an archive holds and where each file's rows are: a database in the output folder, not the driver's memory."""

import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from emocore.corpus.scan import Row
from emocore.errors import UserError
from emocore.labels import EMOTIONS
from emocore.media.source import split_member
from emocore.schema import LISTING

DATABASE = ".archive.sqlite"
_NO_VOTE = [0.0] * len(EMOTIONS)
_AT_ONCE = 256  # paths whose bytes are compared by one task
_LISTED = [name for name in LISTING.names if name not in ("path", "bytes")]

Identify = Callable[[Iterator[list[str]], int], Iterator[list[str | None]]]
"""From chunks of paths, and how many paths they hold, to the content ids of each chunk."""

# `files` is what the tables hold once the open round has ended: a row a path, and the shard in which its rows are.
_TABLES = """
CREATE TABLE IF NOT EXISTS files (
    path TEXT PRIMARY KEY, bytes INT, changed INT, listing TEXT, content_id TEXT, duplicate_of TEXT,
    shard INT, failed INT, attempts INT) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_bytes ON files (bytes);
CREATE INDEX IF NOT EXISTS by_content ON files (content_id);
CREATE INDEX IF NOT EXISTS by_shard ON files (shard);
CREATE TABLE IF NOT EXISTS carries (shard INT, path TEXT, source TEXT, source_shard INT);
CREATE TABLE IF NOT EXISTS drops (shard INT, path TEXT);
CREATE TABLE IF NOT EXISTS rounds (first_shard INT, end_shard INT, is_open INT);
CREATE TEMP TABLE IF NOT EXISTS now (
    path TEXT PRIMARY KEY, real TEXT UNIQUE, clip TEXT UNIQUE, bytes INT, changed INT, listing TEXT,
    content_id TEXT, duplicate_of TEXT, same INT, action TEXT, source TEXT, source_shard INT, shard INT,
    attempts INT DEFAULT 0) WITHOUT ROWID;
CREATE TEMP TABLE IF NOT EXISTS places (path TEXT, shard INT);
CREATE TEMP TABLE IF NOT EXISTS compared (path TEXT);
"""
# The bytes are known where size and time of change are as they were.
_RECOGNIZE = """
UPDATE now SET content_id = f.content_id, same = 1, attempts = f.attempts FROM files f
WHERE f.path = now.path AND f.bytes = now.bytes AND f.changed = now.changed;
"""
# Only a file whose size another one has, or had, can be its copy or bear its name.
_TO_COMPARE = """
INSERT INTO compared SELECT path FROM now WHERE same IS NULL AND (
    bytes IN (SELECT bytes FROM now GROUP BY bytes HAVING count(*) > 1)
    OR bytes IN (SELECT bytes FROM files WHERE content_id IS NOT NULL)) ORDER BY path
"""
_FIND_COPIES = """
WITH ranked AS (
    SELECT now.path, first_value(now.path) OVER (
        PARTITION BY now.content_id ORDER BY f.path IS NULL, now.path) AS first
    FROM now LEFT JOIN files f
        ON f.path = now.path AND f.content_id = now.content_id AND f.duplicate_of IS NULL
    WHERE now.content_id IS NOT NULL)
UPDATE now SET duplicate_of = first FROM ranked WHERE ranked.path = now.path AND first <> now.path;
"""
_KEEP = """
UPDATE now SET action = 'keep', shard = f.shard FROM files f
WHERE f.path = now.path AND f.listing = now.listing AND f.duplicate_of IS now.duplicate_of
    AND (now.same OR f.content_id = now.content_id) AND NOT (? AND f.failed);
"""
# Rows of the same bytes are there: a renamed file, a new copy, other words in a manifest.
_CARRY = """
WITH sources AS (
    SELECT now.path, f.path AS source, f.shard AS source_shard,
        row_number() OVER (PARTITION BY now.path ORDER BY f.path <> now.path, f.path) AS place
    FROM now JOIN files f ON f.content_id = now.content_id
    WHERE now.action IS NULL AND NOT f.failed)
UPDATE now SET action = 'carry', source = sources.source, source_shard = sources.source_shard
FROM sources WHERE sources.path = now.path AND place = 1;
"""
_TO_DO = """
SELECT path, bytes, listing, duplicate_of, attempts FROM now WHERE action = 'do'
ORDER BY coalesce(duplicate_of, path), duplicate_of IS NOT NULL, path
"""
_TOUCH = """
UPDATE files SET changed = now.changed FROM now
WHERE now.path = files.path AND action = 'keep' AND now.changed <> files.changed;
"""
_COMMIT = """
DELETE FROM carries; DELETE FROM drops;
INSERT INTO drops SELECT f.shard, f.path FROM files f LEFT JOIN now ON now.path = f.path
    WHERE now.path IS NULL OR now.action <> 'keep';
INSERT INTO carries SELECT shard, path, source, source_shard FROM now WHERE action = 'carry';
DELETE FROM files WHERE path IN (SELECT path FROM drops);
INSERT INTO files SELECT path, bytes, changed, listing, content_id, duplicate_of, shard, 0, 0 FROM now
    WHERE action <> 'keep';
"""


class Planned(NamedTuple):
    """A file to work on: its LISTING row, the path of its first copy, and how often it failed before."""

    row: Row
    duplicate_of: str | None
    attempts: int


class Carry(NamedTuple):
    """A path whose rows are made from those of equal bytes: in this shard, from those of `source` in another one."""

    shard: int
    row: Row
    duplicate_of: str | None
    source: str
    source_shard: int


class Changes(NamedTuple):
    """How many files are new or changed, have rows from equal bytes, and are gone."""

    to_do: int
    carried: int
    gone: int


class Archive:
    """The files of an output folder. A round takes in what changed in the archive: planned, worked on, closed."""

    def __init__(self, out: Path) -> None:
        self.path = out / DATABASE
        try:
            self.db = sqlite3.connect(self.path, isolation_level=None)
            self.db.executescript(_TABLES)
        except sqlite3.DatabaseError as error:
            raise UserError(f"{self.path} cannot be read ({error}): choose another --out.") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.db.close()

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
        self.db.executescript("DELETE FROM now; DELETE FROM places; DELETE FROM compared")
        with self._step():
            for row, names in rows:
                self._add(row, names)

    def plan(
        self,
        identify: Identify,
        cut: Callable[[Iterable[Planned]], Iterator[list[Planned]]],
        write: Callable[[Iterator[list[Planned]]], int],
        *,
        shard_files: int,
        retry_failed: bool = False,
    ) -> Changes:
        """Open a round for what was listed, where it differs from what the tables hold.

        `cut` parts the files into shards, and `write` writes these and returns how many they are.
        """
        with self._step():
            self.db.execute(_RECOGNIZE)
            self._compare(identify)
            self.db.execute(_FIND_COPIES)
            self.db.execute(_KEEP, (retry_failed,))
            self.db.execute(_CARRY)
            self.db.execute("UPDATE now SET action = 'do' WHERE action IS NULL")
            changes = self._changes()
            if any(changes) or not self._one("SELECT count(*) FROM rounds"):
                first = self.shards.stop
                end = first + write(self._number(cut(self._to_do()), first))
                end = self._number_carries(end, shard_files)
                self.db.execute("UPDATE now SET shard = places.shard FROM places WHERE places.path = now.path")
                self.db.execute("INSERT INTO rounds VALUES (?, ?, 1)", (first, end))
                for statement in _COMMIT.split(";"):
                    self.db.execute(statement)
            self.db.execute(_TOUCH)
        return changes

    def changes(self) -> Changes:
        """Return what the open round has to do."""
        first, end = self.shards.start, self.shards.stop
        of_round = self._one("SELECT count(*) FROM files WHERE shard >= ? AND shard < ?", first, end)
        carried, dropped = self._one("SELECT count(*) FROM carries"), self._one("SELECT count(*) FROM drops")
        again = self._one("SELECT count(*) FROM drops JOIN files USING (path)")
        return Changes(of_round - carried, carried, dropped - again)

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
            waiting.append(Carry(shard, _row(path, size, listing), duplicate_of, source, source_shard))
        if waiting:
            yield waiting

    def drops(self) -> Iterator[tuple[int, set[str]]]:
        """Yield shards, and the paths whose rows there are to go."""
        with closing(self.db.cursor()) as cursor:
            for (shard,) in self.db.execute("SELECT DISTINCT shard FROM drops ORDER BY shard").fetchall():
                yield shard, {path for (path,) in cursor.execute("SELECT path FROM drops WHERE shard = ?", (shard,))}

    def close(self, content_ids: Iterable[tuple[str, str]], failures: Iterable[tuple[str, str | None, int]]) -> None:
        """End the round: of the paths with rows their content ids, of those that failed also the attempts."""
        with self._step():
            self.db.executemany("UPDATE files SET content_id = ?2 WHERE path = ?1", content_ids)
            self.db.executemany(
                "UPDATE files SET failed = 1, content_id = coalesce(?2, content_id), attempts = ?3 WHERE path = ?1",
                failures,
            )
            for statement in ("DELETE FROM carries", "DELETE FROM drops", "UPDATE rounds SET is_open = 0"):
                self.db.execute(statement)

    def forget_lost(self, there: set[int]) -> list[int]:
        """Forget the files of shards that are not there any more; return these shards."""
        known = {shard for (shard,) in self.db.execute("SELECT DISTINCT shard FROM files")}
        lost = sorted(known - there)
        self.db.executemany("DELETE FROM files WHERE shard = ?", [(shard,) for shard in lost])
        return lost

    def to_read(self, retry_failed: bool) -> Iterator[Row]:
        """Yield LISTING rows of what was listed and is not known, or changed; whose bytes are known is not asked."""
        found = self.db.execute(
            "SELECT now.path, now.bytes, now.listing FROM now LEFT JOIN files f ON f.path = now.path "
            "WHERE f.path IS NULL OR f.bytes <> now.bytes OR f.changed <> now.changed OR (? AND f.failed)",
            (retry_failed,),
        )
        for path, size, listing in found:
            yield _row(path, size, listing)

    def paths(self) -> Iterator[str]:
        """Yield the path of every file."""
        for (path,) in self.db.execute("SELECT path FROM files"):
            yield path

    def _add(self, row: Row, names: Iterable[str]) -> None:
        path = row["path"]
        file, _ = split_member(path)
        changed = 0
        with suppress(OSError):  # a file that went meanwhile becomes a failure where it is read
            changed = os.stat(file).st_mtime_ns  # noqa: PTH116 - a Path object for each file costs more than the call
        real = row.get("real", path)
        if self._one("SELECT count(*) FROM now WHERE path = ? OR real = ?", path, real):
            return  # reached by two ways
        for name in names:
            if not self._one("SELECT count(*) FROM now WHERE clip = ?", name):
                break
        told = _listing({**row, "clip": name, "take": row.get("take") or name})
        self.db.execute(
            "INSERT INTO now (path, real, clip, bytes, changed, listing) VALUES (?, ?, ?, ?, ?, ?)",
            (path, real, name, row["bytes"], changed, told),
        )

    def _compare(self, identify: Identify) -> None:
        self.db.execute(_TO_COMPARE)
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
        for path, size, listing, duplicate_of, attempts in self.db.execute(_TO_DO):
            yield Planned(_row(path, size, listing), duplicate_of, attempts)

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

    def _one(self, query: str, *values: Any) -> int:
        return int(self.db.execute(query, values).fetchone()[0])

    @contextmanager
    def _step(self) -> Iterator[None]:
        """All or nothing, and on disk when it ends."""
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.db.execute("ROLLBACK")
            raise
        self.db.execute("COMMIT")


def _listing(row: Mapping[str, Any]) -> str:
    """Return what is known of a file beside its path and size, as JSON."""
    told: dict[str, Any] = {name: row[name] for name in _LISTED if row.get(name) is not None}
    if "soft_label" in told:
        told["soft_label"] = [float(share) for share in told["soft_label"]]
    return json.dumps(told, ensure_ascii=False)


def _row(path: str, size: int, listing: str) -> Row:
    row = json.loads(listing)
    if "extra" in row:
        row["extra"] = [(name, value) for name, value in row["extra"]]
    return {**row, "path": path, "bytes": size, "soft_label": np.array(row.get("soft_label", _NO_VOTE), np.float32)}
