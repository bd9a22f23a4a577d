"""The database of an archive may be a stranger's: what is in it that we did not make is refused, and never runs."""

import sqlite3

import pytest

from emocore.errors import UserError
from emocore.pipeline.archive.database import Archive
from emocore.storage.folder import ARCHIVE

TRIGGER = "CREATE TRIGGER t AFTER INSERT ON files BEGIN UPDATE files SET path = '/etc/passwd'; END"

ROUND = "INSERT INTO rounds VALUES (%d, 6, 0, 'x')"
CARRIED = f"{ROUND % 0}; INSERT INTO files (path, bytes, shard, listing) VALUES ('a.wav', 1, 0, '%s')"


@pytest.fixture
def database(tmp_path):
    with Archive(tmp_path):
        pass
    return tmp_path / ARCHIVE


@pytest.mark.parametrize(
    "statement", [TRIGGER, "CREATE VIEW v AS SELECT 1", "CREATE TABLE more (x)", "CREATE INDEX i ON files (failed)"]
)
def test_what_we_did_not_make_is_refused(database, statement):
    with sqlite3.connect(database) as db:
        db.execute(statement)
    with pytest.raises(UserError, match=r"that is not ours: choose another --out\.$"):
        Archive(database.parent)


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("INSERT INTO rounds VALUES (0, 9000000000000000000, 1, 'x')", "values that are not of its types"),
        ("INSERT INTO rounds VALUES (0, 1000000000, 1, 'x')", "empty rounds"),
        ("INSERT INTO rounds VALUES (3, 2, 0, 'x')", "values that are not of its types"),
        ("INSERT INTO files (path, shard) VALUES ('a.wav', 0)", "files of no round"),
        (f"{ROUND % 5}; INSERT INTO files (path, shard) VALUES ('a.wav', 3)", "files of no round"),
        ("INSERT INTO drops VALUES (0, 'a.wav')", "rows to drop of no round"),
        (f"{ROUND % 0}; INSERT INTO drops VALUES (NULL, 'a.wav')", "rows to drop of no round"),
        (f"{ROUND % 0}; INSERT INTO drops VALUES (0, NULL)", "rows to drop of no round"),
        (f"{ROUND % 0}; INSERT INTO carries VALUES (0, 'a.wav', 'b.wav', 0)", "rows to carry of no file"),
        (f"{CARRIED % '{}'}; INSERT INTO carries VALUES (0, 'a.wav', 'b.wav', NULL)", "rows to carry of no file"),
        (f"{CARRIED % '[]'}; INSERT INTO carries VALUES (0, 'a.wav', 'b.wav', 0)", "rows to carry of no file"),
        ("INSERT INTO files (path, shard) VALUES ('a.wav', -1)", "values that are not of its types"),
    ],
)
def test_values_that_no_call_of_ours_writes_are_refused(database, statement, what):
    with sqlite3.connect(database) as db:
        db.execute("PRAGMA ignore_check_constraints = ON")
        db.executescript(statement)
    with pytest.raises(UserError, match=f"has {what}, as none of ours has: choose another --out\\.$"):
        Archive(database.parent)


@pytest.mark.parametrize("values", ["(0, 1, 1, NULL)", "('q', 1, 1, 'x')"])
def test_a_column_holds_its_type_alone(database, values):
    with sqlite3.connect(database) as db, pytest.raises(sqlite3.IntegrityError):
        db.execute(f"INSERT INTO rounds VALUES {values}")


def test_a_table_of_other_columns_is_refused(database):
    with sqlite3.connect(database) as db:
        db.executescript("DROP TABLE drops; CREATE VIEW drops AS SELECT shard, path FROM files")
    with pytest.raises(UserError, match="that is not ours"):
        Archive(database.parent)


def test_ours_is_opened_again(database):
    with Archive(database.parent) as archive:
        assert not archive.is_open
