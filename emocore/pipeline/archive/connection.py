"""The database of an output folder: opened as a stranger's, changed in steps that are whole or not at all."""

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Self

from emocore.errors import OutputError, UserError, output_error
from emocore.pipeline.archive import queries
from emocore.storage.folder import ARCHIVE

_OF_THE_DISK = {  # by how SQLite's names for errors begin
    "SQLITE_FULL": errno.ENOSPC,
    "SQLITE_IOERR": errno.EIO,
    "SQLITE_READONLY": errno.EROFS,
    "SQLITE_CANTOPEN": errno.EACCES,
}


def _check_schema(db: sqlite3.Connection, path: Path) -> None:
    """Raise UserError for a table, index, view or trigger that is not ours: a trigger would change what we write."""
    entries = "SELECT type, name, tbl_name, sql FROM sqlite_master"
    with closing(sqlite3.connect(":memory:")) as fresh:
        fresh.executescript(queries.TABLES)
        ours = set(fresh.execute(entries))
    for kind, name, *_ in set(db.execute(entries)) - ours:
        raise UserError(f"{path} has a {kind} {name!r} that is not ours: choose another --out.")


def _check_values(db: sqlite3.Connection, path: Path) -> None:
    """Raise UserError for values that no call of ours writes: shards without number, rounds without end."""
    for query, what in queries.IMPOSSIBLE.items():
        if db.execute(query).fetchone() not in (None, ("ok",)):
            raise UserError(f"{path} has {what}, as none of ours has: choose another --out.")


def unwritten(path: Path, error: sqlite3.Error) -> OutputError | None:
    """Return what is said of a database that cannot be written for the disk's sake; None where it has another cause."""
    name = getattr(error, "sqlite_errorname", "")
    code = next((code for begin, code in _OF_THE_DISK.items() if name.startswith(begin)), None)
    return output_error(path, OSError(code, os.strerror(code))) if code else None


class Database:
    """A connection to the database in the folder `out`. Raises UserError where it is not ours, or cannot be written."""

    def __init__(self, out: Path) -> None:
        self.path = out / ARCHIVE
        try:
            self.db = sqlite3.connect(self.path, isolation_level=None)
            self.db.execute("PRAGMA trusted_schema = OFF")
            _check_schema(self.db, self.path)
            self.db.executescript(queries.TABLES)
            _check_values(self.db, self.path)
        except sqlite3.DatabaseError as error:
            fault = UserError(f"{self.path} cannot be read ({error}): choose another --out.")
            raise unwritten(self.path, error) or fault from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        self.db.close()
        if isinstance(error, sqlite3.OperationalError):
            fault = UserError(f"{self.path} cannot be written ({error}): look for another run, and repeat the command.")
            raise unwritten(self.path, error) or fault from error

    def _one(self, query: str, *values: Any) -> int:
        return int(self.db.execute(query, values).fetchone()[0])

    @contextmanager
    def _step(self) -> Iterator[None]:
        """All or nothing, and on disk when it ends."""
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            if self.db.in_transaction:  # on a full disk SQLite has done so itself
                self.db.execute("ROLLBACK")
            raise
        self.db.execute("COMMIT")
