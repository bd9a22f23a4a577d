"""The database of an archive may be a stranger's: what is in it that we did not make is refused, and never runs."""

import sqlite3

import pytest

from emocore.errors import UserError
from emocore.pipeline.archive.database import Archive
from emocore.storage.folder import ARCHIVE

TRIGGER = "CREATE TRIGGER t AFTER INSERT ON files BEGIN UPDATE files SET path = '/etc/passwd'; END"


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


def test_a_table_of_other_columns_is_refused(database):
    with sqlite3.connect(database) as db:
        db.executescript("DROP TABLE drops; CREATE VIEW drops AS SELECT shard, path FROM files")
    with pytest.raises(UserError, match="that is not ours"):
        Archive(database.parent)


def test_ours_is_opened_again(database):
    with Archive(database.parent) as archive:
        assert not archive.is_open
