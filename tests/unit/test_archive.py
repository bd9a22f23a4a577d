"""What an archive's next round is: new, changed, renamed, copied and lost files, each path once."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from emocore.errors import UserError
from emocore.pipeline.archive import DATABASE, Archive
from emocore.pipeline.planning import cut_shards


class Folder:
    """An archive of small files, and the tables that were made of it: the shard of each path."""

    def __init__(self, root):
        self.root, self.media, self.out = root, root / "media", root / "out"
        for folder in (self.media, self.out):
            folder.mkdir()
        self.compared = []

    def write(self, name, text):
        path = self.media / name
        path.write_text(text)
        return str(path)

    def rows(self, **told):
        for path in sorted(self.media.iterdir()):
            yield {"path": str(path), "bytes": path.stat().st_size, **told}, [path.name]

    def identify(self, chunks, _):
        for chunk in chunks:
            self.compared += chunk
            yield [content(path) for path in chunk]

    def plan(self, archive, **options):
        """Open a round; return the changes and its shards, as lists of names."""
        shards = []

        def write(files):
            shards.extend([[Path(one.row["path"]).name for one in shard] for shard in files])
            return len(shards)

        told = options.pop("told", {})
        archive.take_in(self.rows(**told))
        changes = archive.plan(self.identify, cut_shards, write, shard_files=2, **options)
        return changes, shards

    def work(self, archive, failing=()):
        """Close the round as if everything had been read, but for what fails."""
        paths = [path for path in archive.paths() if Path(path).exists()]
        good = [(path, content(path)) for path in paths if Path(path).name not in failing]
        archive.close(good, [(path, None, 1) for path in paths if Path(path).name in failing])

    def known(self, archive):
        rows = archive.db.execute("SELECT path, shard, duplicate_of FROM files ORDER BY path")
        return {Path(path).name: (shard, first and Path(first).name) for path, shard, first in rows}


def content(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path)


@pytest.fixture
def archive(folder):
    """Three files, two of them equal, labelled."""
    for name, text in {"a.wav": "same", "b.wav": "same", "c.wav": "another"}.items():
        folder.write(name, text)
    with Archive(folder.out) as archive:
        changes, shards = folder.plan(archive)
        assert changes == (3, 0, 0) and shards == [["a.wav", "b.wav", "c.wav"]] and archive.is_open
        folder.work(archive)
        yield archive


def moves(archive):
    carried = {
        Path(carry.row["path"]).name: Path(carry.source).name for carries in archive.carries() for carry in carries
    }
    return carried, {shard: {Path(path).name for path in paths} for shard, paths in archive.drops()}


def test_only_files_of_equal_size_are_compared(folder, archive):
    assert {Path(path).name for path in folder.compared} == {"a.wav", "b.wav"}
    assert folder.known(archive) == {"a.wav": (0, None), "b.wav": (0, "a.wav"), "c.wav": (0, None)}


def test_nothing_new_is_no_round(folder, archive):
    before = (folder.out / DATABASE).read_bytes()
    assert folder.plan(archive) == ((0, 0, 0), []) and not archive.is_open
    assert (folder.out / DATABASE).read_bytes() == before


def test_a_new_file_is_the_only_work(folder, archive):
    folder.write("d.wav", "the fourth")
    changes, shards = folder.plan(archive)
    assert changes == (1, 0, 0) and shards == [["d.wav"]] and list(archive.shards) == [1]
    assert moves(archive) == ({}, {})


def test_a_changed_file_is_done_again_and_its_old_row_goes(folder, archive):
    folder.write("c.wav", "ANOTHER")
    changes, shards = folder.plan(archive)
    assert changes == (1, 0, 0) and shards == [["c.wav"]] and moves(archive) == ({}, {0: {"c.wav"}})
    assert folder.known(archive)["c.wav"] == (1, None)


def test_a_file_that_was_only_touched_keeps_its_row(folder, archive):
    path = Path(folder.write("c.wav", "another"))
    changed = path.stat().st_mtime_ns + 10**9
    os.utime(path, ns=(changed, changed))
    assert folder.plan(archive)[0] == (0, 0, 0)
    folder.compared.clear()
    assert folder.plan(archive)[0] == (0, 0, 0) and not folder.compared  # and is not looked at a second time


def test_a_renamed_file_keeps_its_numbers(folder, archive):
    (folder.media / "c.wav").rename(folder.media / "z.wav")
    changes, shards = folder.plan(archive)
    assert changes == (0, 1, 1) and shards == [] and moves(archive) == ({"z.wav": "c.wav"}, {0: {"c.wav"}})
    assert folder.known(archive)["z.wav"] == (1, None) and archive.changes() == (0, 1, 1)


def test_a_copy_of_a_known_file_names_it(folder, archive):
    folder.write("0.wav", "same")  # before it in the order of names
    assert folder.plan(archive) == ((0, 1, 0), [])
    assert folder.known(archive)["0.wav"] == (1, "a.wav") and moves(archive)[1] == {}


def test_copies_of_a_file_that_went_name_another_one(folder, archive):
    (folder.media / "a.wav").unlink()
    changes, shards = folder.plan(archive)
    assert changes == (0, 1, 1) and shards == []
    assert moves(archive) == ({"b.wav": "b.wav"}, {0: {"a.wav", "b.wav"}})
    assert folder.known(archive) == {"b.wav": (1, None), "c.wav": (0, None)}


def test_a_file_that_is_gone_takes_its_row_along(folder, archive):
    (folder.media / "c.wav").unlink()
    assert folder.plan(archive) == ((0, 0, 1), []) and moves(archive) == ({}, {0: {"c.wav"}})
    assert set(folder.known(archive)) == {"a.wav", "b.wav"}


def test_other_words_in_a_manifest_do_not_decode_again(folder, archive):
    changes, shards = folder.plan(archive, told={"actor": "07"})
    assert changes == (0, 3, 0) and shards == []
    told = [carry for carries in archive.carries() for carry in carries]
    assert {carry.row["actor"] for carry in told} == {"07"} and [carry.shard for carry in told] == [1, 1, 2]


def test_what_failed_is_tried_again_when_told_and_when_its_bytes_change(folder, archive):
    folder.write("bad.wav", "bad, bad")
    folder.plan(archive)
    folder.work(archive, failing={"bad.wav"})
    assert folder.plan(archive) == ((0, 0, 0), [])
    changes, shards = folder.plan(archive, retry_failed=True)
    assert changes == (1, 0, 0) and shards == [["bad.wav"]] and moves(archive) == ({}, {1: {"bad.wav"}})
    folder.work(archive)
    assert folder.plan(archive, retry_failed=True) == ((0, 0, 0), [])


def test_a_failure_that_is_tried_again_says_how_often_it_failed(folder, archive):
    folder.write("bad.wav", "bad, bad")
    folder.plan(archive)
    folder.work(archive, failing={"bad.wav"})
    archive.take_in(folder.rows())
    seen = []

    def write(shards):
        seen.extend(one for shard in shards for one in shard)
        return 1

    archive.plan(folder.identify, cut_shards, write, shard_files=2, retry_failed=True)
    assert [(Path(one.row["path"]).name, one.attempts) for one in seen] == [("bad.wav", 1)]


def test_a_plan_that_was_cut_off_never_was(folder, archive):
    folder.write("d.wav", "the fourth")

    def full_disk(_):
        raise OSError("no space left")

    archive.take_in(folder.rows())
    with pytest.raises(OSError, match="no space"):
        archive.plan(folder.identify, cut_shards, full_disk, shard_files=2)
    assert not archive.is_open and set(folder.known(archive)) == {"a.wav", "b.wav", "c.wav"}
    assert folder.plan(archive)[0] == (1, 0, 0)


def test_files_of_a_shard_that_is_lost_are_new(folder, archive):
    assert archive.forget_lost({0}) == [] and archive.forget_lost(set()) == [0]
    assert folder.plan(archive)[0] == (3, 0, 0) and list(archive.shards) == [1]


def test_an_archive_without_files_has_a_round_once(folder):
    with Archive(folder.out) as archive:
        assert folder.plan(archive) == ((0, 0, 0), []) and archive.is_open
        folder.work(archive)
        assert folder.plan(archive) == ((0, 0, 0), []) and not archive.is_open


def test_two_ways_to_a_file_and_two_files_with_one_name(folder):
    rows = [
        ({"path": f"/{i}", "bytes": i, "real": real}, iter([f"c{i % 2}", f"c{i}"])) for i, real in enumerate("aabc")
    ]
    with Archive(folder.out) as archive:
        archive.take_in(rows)
        archive.plan(folder.identify, cut_shards, lambda shards: len(list(shards)), shard_files=2)
        listed = archive.db.execute("SELECT path, json_extract(listing, '$.clip') FROM files ORDER BY path").fetchall()
    assert listed == [("/0", "c0"), ("/2", "c2"), ("/3", "c1")]


def test_what_is_known_of_a_file_comes_back_as_it_was(folder):
    soft = np.array([0.1, 0.9, 0, 0, 0, 0, 0, 0], np.float32)
    folder.write("a.wav", "same")
    told = {"soft_label": soft, "extra": [("rater", "x")], "repetition": 2, "emotion": "calm"}
    seen = []
    with Archive(folder.out) as archive:
        archive.take_in(folder.rows(**told))
        archive.plan(folder.identify, cut_shards, lambda shards: len([seen.extend(s) for s in shards]), shard_files=2)
    (one,) = seen
    np.testing.assert_array_equal(one.row.pop("soft_label"), soft)
    assert one.row == {
        **{"path": str(folder.media / "a.wav"), "bytes": 4, "clip": "a.wav", "take": "a.wav"},
        **{"extra": [("rater", "x")], "repetition": 2, "emotion": "calm"},
    }


def test_a_database_that_cannot_be_read(folder):
    (folder.out / DATABASE).write_bytes(b"no database at all, but long enough to be looked at" * 10)
    with pytest.raises(UserError, match=r"\.archive\.sqlite cannot be read .+: choose another --out\."):
        Archive(folder.out)
