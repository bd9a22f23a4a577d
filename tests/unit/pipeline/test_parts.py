"""Parts that are cut, gone, of another round, or older or newer than the database: every file keeps one row, or is new.

Nothing is read twice but what lost its row, and nothing of others is deleted.
"""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from emocore.pipeline.archive.database import Archive
from emocore.pipeline.archive.parts import match_rows, sweep, without_rows
from emocore.pipeline.archive.plan import signature
from emocore.pipeline.archive.reuse import drop_rows
from emocore.schema import WINDOWS
from emocore.storage.folder import ARCHIVE
from emocore.storage.tables import write_table

STAGE = SimpleNamespace(main="labels", tables={"windows": WINDOWS})
TABLES = ("labels", "windows", "failures", ".timings")
MAIN = [["/a", "/b"], ["/c", "/d"], ["/e"]]  # and /f, which failed
FAILED = "/f"


class Folder:
    """Three shards of two files, one of which failed; and what a call makes of them."""

    def __init__(self, out):
        self.out, self.archive = out, Archive(out)
        self.open_round(dict.fromkeys("abcdef", 1))
        for shard, paths in enumerate(MAIN):
            self.write(shard, paths, failed=[FAILED] if shard == 2 else [])
        rows = [(path, path * 8) for paths in MAIN for path in paths]
        self.archive.close(rows, [(FAILED, None, 1)])

    def open_round(self, files):
        """Plan what is there now: {name: its size}."""
        self.archive.take_in([({"path": f"/{name}", "bytes": size}, [name]) for name, size in files.items()])
        pairs = lambda files: (list(two) for two in zip(*[iter(files)] * 2, strict=True))  # noqa: E731
        none = lambda chunks, _: ([None] * len(chunk) for chunk in chunks)  # noqa: E731
        self.archive.plan(none, pairs, lambda shards: len(list(shards)), shard_files=2)

    def write(self, shard, paths, failed=(), signed=None):
        """Commit a shard as a worker does."""
        signed = signature(self.archive.round_id(shard)) if signed is None else signed
        for table in TABLES:
            rows = {"path": failed if table == "failures" else paths}
            rows |= {} if table == "failures" else {"clip": [path[1:] for path in paths]}
            if rows["path"] or table != "failures":
                typed = pa.table({name: pa.array(values, pa.string()) for name, values in rows.items()})
                write_table(typed.replace_schema_metadata(signed), self.part(table, shard))

    def part(self, table, shard):
        return self.out / table / f"{shard:06d}.parquet"

    def mend(self):
        """Mend the folder as a call does; a dry run said before what that would read again."""
        known, said = "".join(self.known().values()), without_rows(self.out, STAGE, self.archive)
        assert "".join(self.known().values()) == known
        sweep(self.out, STAGE, self.archive)
        differs = match_rows(self.out, STAGE, self.archive)
        assert sorted(path[1:] for path in said) == sorted(set(known) - set("".join(self.known().values())))
        return differs

    def known(self):
        return {shard: "".join(sorted(path[1:] for path in paths)) for shard, paths in self.archive.shard_paths()}

    def rows(self):
        """Return {shard: the names that have a row}."""
        found = {}
        for table in ("labels", "failures"):
            for file in (self.out / table).glob("*.parquet"):
                names = [path[1:] for path in pq.ParquetFile(file).read()["path"].to_pylist()]
                found[int(file.stem)] = "".join(sorted([*found.get(int(file.stem), ""), *names]))
        return found

    def aside(self):
        return sorted(str(path.relative_to(self.out)) for path in (self.out / ".aside").rglob("*.parquet"))


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path)


def times(folder):
    return {path: path.stat().st_mtime_ns for path in folder.out.rglob("*") if path.is_file()}


def test_where_all_is_well_nothing_is_touched(folder, capsys):
    before = times(folder)
    assert not folder.mend()
    assert times(folder) == before
    assert folder.known() == folder.rows() == {0: "ab", 1: "cd", 2: "ef"}
    assert "".join(capsys.readouterr()) == ""


@pytest.mark.parametrize("share", [0.0, 0.5])
@pytest.mark.parametrize("table", TABLES)
def test_a_shard_with_a_part_that_is_not_whole_is_read_again(folder, capsys, table, share):
    cut = folder.part(table, 2)
    cut.write_bytes(cut.read_bytes()[: int(share * cut.stat().st_size)])
    assert folder.mend()
    assert folder.known() == folder.rows() == {0: "ab", 1: "cd"}
    assert not list(folder.out.rglob("000002.parquet"))
    assert f"{cut} is not whole: its files are read again" in "".join(capsys.readouterr())


@pytest.mark.parametrize("table", ["labels", "windows"])
def test_a_shard_without_one_of_its_parts_is_read_again(folder, table):
    folder.part(table, 1).unlink()
    assert folder.mend()
    assert folder.known() == folder.rows() == {0: "ab", 2: "ef"}
    assert not folder.part("windows", 1).exists()


def test_a_lost_table_of_failures_costs_the_files_that_failed_alone(folder):
    folder.part("failures", 2).unlink()
    assert folder.mend()
    assert folder.known() == folder.rows() == {0: "ab", 1: "cd", 2: "e"}


def test_failures_of_the_listing_that_are_cut_are_made_again(folder, capsys):
    listing = folder.out / "failures" / "listing.parquet"
    listing.write_bytes(b"PAR1")
    assert not folder.mend()
    assert not listing.exists() and f"{listing} is not whole: it is made again" in "".join(capsys.readouterr())


def test_what_a_worker_commits_after_its_shard_was_given_up_is_set_aside(folder, capsys):
    for table in TABLES:
        folder.part(table, 0).unlink(missing_ok=True)
    assert folder.mend()
    capsys.readouterr()
    folder.write(0, ["/a", "/b"])
    assert not folder.mend()
    assert folder.known() == folder.rows() == {1: "cd", 2: "ef"}
    assert folder.aside() == [f".aside/1/{table}/000000.parquet" for table in (".timings", "labels", "windows")]
    (told,) = "".join(capsys.readouterr()).strip().splitlines()
    assert told.endswith(
        f"set aside: 3 files that no round of {folder.out} wrote, now in {folder.out / '.aside' / '1'}: "
        "labels/000000.parquet, windows/000000.parquet, .timings/000000.parquet"
    )


def test_what_a_shard_of_the_open_round_holds_is_its_own(folder):
    folder.open_round(dict.fromkeys("abcdefgh", 1))
    folder.write(3, ["/g", "/h"])
    sweep(folder.out, STAGE, folder.archive)
    assert folder.rows()[3] == "gh" and not folder.aside()


def test_a_table_under_another_name_is_set_aside(folder):
    shutil.copy(folder.part("labels", 0), folder.out / "labels" / "all.parquet")
    assert not folder.mend()
    assert folder.aside() == [".aside/1/labels/all.parquet"]
    assert folder.rows() == {0: "ab", 1: "cd", 2: "ef"}


@pytest.mark.parametrize("signed", [{}, signature("another round's")])
def test_a_part_of_another_round_under_a_known_number_is_set_aside_and_its_files_are_read(folder, signed):
    folder.write(1, ["/c", "/d"], signed=signed)
    assert folder.mend()
    assert folder.known() == folder.rows() == {0: "ab", 2: "ef"}
    assert ".aside/1/labels/000001.parquet" in folder.aside()


def test_a_part_whose_number_comes_next_does_not_pass_for_the_next_rounds(folder):
    """Not even without a row: that it is there says that a shard is committed."""
    folder.write(3, [])
    assert not folder.mend()
    assert not folder.part("labels", 3).exists()


def test_what_files_that_went_left_behind_may_stay(folder):
    folder.open_round(dict.fromkeys("cdef", 1))
    ((shard, paths),) = folder.archive.drops()
    sweep(folder.out, STAGE, folder.archive)  # as a call does whose round was cut off
    drop_rows(folder.out, shard, paths, STAGE.main, STAGE.tables)
    folder.archive.close([], [])
    assert not folder.mend() and not folder.aside()
    assert folder.part("labels", 0).exists()


@pytest.mark.parametrize("older", ["database", "tables"])
def test_a_database_of_another_day_than_the_tables(folder, older):
    """A round in which c changed: its row went out of shard 1, and into shard 3 beside that of g."""
    day = folder.out / "day"
    day.mkdir()
    shutil.copytree(folder.out / "labels", day / "labels")
    shutil.copy(folder.out / ARCHIVE, day)
    folder.open_round({"a": 1, "b": 1, "c": 2, "d": 1, "e": 1, "f": 1, "g": 1})
    drop_rows(folder.out, 1, {"/c"}, STAGE.main, STAGE.tables)
    folder.write(3, ["/c", "/g"])
    folder.archive.close([("/c", "new"), ("/g", "g")], [])
    assert not folder.mend() and folder.known() == folder.rows() == {0: "ab", 1: "d", 2: "ef", 3: "cg"}
    if older == "database":
        folder.archive.db.close()
        shutil.copy(day / ARCHIVE, folder.out)
        folder.archive = Archive(folder.out)
    else:
        shutil.rmtree(folder.out / "labels")
        shutil.move(day / "labels", folder.out)
    shutil.rmtree(day)
    assert folder.mend()
    assert folder.known() == folder.rows() == {0: "ab", 1: "d", 2: "ef"}
    assert not folder.mend()
    folder.open_round({"a": 1, "b": 1, "c": 2, "d": 1, "e": 1, "f": 1, "g": 1})
    assert folder.archive.db.execute("SELECT path FROM files WHERE shard >= 3").fetchall() == [("/c",), ("/g",)]


def test_a_path_with_two_rows_in_its_shard_is_read_again(folder):
    folder.write(0, ["/a", "/b", "/a"])
    assert folder.mend() and folder.known() == folder.rows() == {1: "cd", 2: "ef"}


def test_nothing_is_written_outside(folder):
    before = set(Path(folder.out).parent.iterdir())
    folder.write(9, ["/z"])
    folder.mend()
    assert set(Path(folder.out).parent.iterdir()) == before
