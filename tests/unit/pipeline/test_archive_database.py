"""What an archive's next round is: new, changed, renamed, copied and lost files, each path once."""

import hashlib
import os
import resource
from pathlib import Path

import numpy as np
import pytest

from emocore.corpora.segments import cut
from emocore.errors import OutputError, UserError
from emocore.media.fragment import Segment
from emocore.media.source import file_of
from emocore.pipeline.archive.database import Archive
from emocore.pipeline.archive.plan import cut_shards
from emocore.storage.folder import ARCHIVE


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


def test_a_shard_has_the_id_of_the_round_that_planned_it(folder):
    with Archive(folder.out) as archive:
        for name in ("a", "b"):
            folder.write(name, name)
            folder.plan(archive)
            folder.work(archive)
        ids = archive.known_shards()
        assert sorted(ids) == [0, 1] and len(set(ids.values())) == 2


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
    before = (folder.out / ARCHIVE).read_bytes()
    assert folder.plan(archive) == ((0, 0, 0), []) and not archive.is_open
    assert (folder.out / ARCHIVE).read_bytes() == before


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
    assert folder.known(archive)["z.wav"] == (1, None)


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
    changes, shards = folder.plan(archive, retry_before=archive.shards.stop)
    assert changes == (1, 0, 0) and shards == [["bad.wav"]] and moves(archive) == ({}, {1: {"bad.wav"}})
    folder.work(archive)
    assert folder.plan(archive, retry_before=archive.shards.stop) == ((0, 0, 0), [])


def test_a_failure_that_is_tried_again_says_how_often_it_failed(folder, archive):
    folder.write("bad.wav", "bad, bad")
    folder.plan(archive)
    folder.work(archive, failing={"bad.wav"})
    archive.take_in(folder.rows())
    seen = []

    def write(shards):
        seen.extend(one for shard in shards for one in shard)
        return 1

    archive.plan(folder.identify, cut_shards, write, shard_files=2, retry_before=archive.shards.stop)
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
    archive.forget([0])
    folder.compared.clear()
    assert folder.plan(archive)[0] == (3, 0, 0) and list(archive.shards) == [1]
    assert not folder.compared  # their bytes are known


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
    (folder.out / ARCHIVE).write_bytes(b"no database at all, but long enough to be looked at" * 10)
    with pytest.raises(UserError, match=r"\.archive\.sqlite cannot be read .+: choose another --out\."):
        Archive(folder.out)


def test_rows_of_what_could_not_be_looked_at_stay(folder, archive):
    """A folder, a zip and a file that the storage does not show this time; another file is really gone."""
    rows = [row for row, _ in folder.rows()]
    more = ["/mnt/far/1.wav", "/mnt/far.wav", "/mnt/z.zip!/in.wav", "/mnt/lost.wav", "/mnt/fargo/2.wav"]
    rows += [{"path": path, "bytes": 7 + i} for i, path in enumerate(more)]

    def listed(*paths):
        return [
            (row, [row["path"]]) for row in rows if row["path"] in paths or row["path"].startswith(str(folder.media))
        ]

    def plan(*paths, unlisted=()):
        archive.take_in(listed(*paths))
        spared = archive.spare(unlisted)
        return spared, archive.plan(folder.identify, cut_shards, lambda shards: len(list(shards)), shard_files=2)

    folder.identify = lambda chunks, _: ([None] * len(chunk) for chunk in chunks)
    plan(*more)
    folder.work(archive)
    spared, changes = plan("/mnt/far.wav", unlisted=["/mnt/far", "/mnt/z.zip", "/mnt/lost.wav", "/mnt/never.wav"])
    assert spared == {"/mnt/lost.wav"} and (changes.to_do, changes.gone) == (0, 1)
    assert set(archive.paths()) >= {"/mnt/far/1.wav", "/mnt/far.wav", "/mnt/z.zip!/in.wav", "/mnt/lost.wav"}
    assert "/mnt/fargo/2.wav" not in set(archive.paths())


def test_most_files_gone_looks_like_storage_that_is_missing(folder):
    for number in range(30):
        folder.write(f"{number:02d}.wav", f"{number:03d}")
    with Archive(folder.out) as archive:
        folder.plan(archive, drop_gone=False)
        folder.work(archive)
        for path in sorted(folder.media.iterdir())[:15]:
            path.unlink()
        assert folder.plan(archive, drop_gone=False)[0].gone == 15  # half may go
        folder.work(archive)
        for path in sorted(folder.media.iterdir())[:12]:
            path.unlink()
        with pytest.raises(
            UserError, match=r"^12 of the 15 files that .+ has rows of are not there any more: mount .+"
        ):
            folder.plan(archive, drop_gone=False)
        assert not archive.is_open
        assert folder.plan(archive, drop_gone=True)[0].gone == 12


def test_a_renamed_folder_is_not_gone(folder):
    for number in range(30):
        folder.write(f"{number:02d}.wav", f"{number:03d}")
    with Archive(folder.out) as archive:
        folder.plan(archive)
        folder.work(archive)
        for path in list(folder.media.iterdir()):
            path.rename(path.with_name(f"moved-{path.name}"))
        assert folder.plan(archive, drop_gone=False)[0] == (0, 30, 30)


def test_a_file_that_changed_while_it_waited_is_looked_at_again(folder, archive):
    """b was planned as a copy of a, whose bytes became others: b was given the numbers of these."""
    for name in ("d.wav", "e.wav"):
        folder.write(name, "twins")
    folder.plan(archive)
    folder.write("d.wav", "other")
    other = content(folder.media / "d.wav")
    archive.close([(str(folder.media / name), other) for name in ("d.wav", "e.wav")], [])
    assert archive.has_surprises
    _, shards = folder.plan(archive)
    assert shards == [["e.wav"]]
    folder.work(archive)
    assert not archive.has_surprises and folder.plan(archive)[0] == (0, 0, 0)


def test_a_file_that_changed_while_it_waited_and_then_failed_is_looked_at_again(folder, archive):
    """b was planned as a copy of a, and is good: it is a copy of none."""
    for name in ("d.wav", "e.wav"):
        folder.write(name, "twins")
    folder.plan(archive)
    twins = content(folder.media / "d.wav")
    folder.write("d.wav", "other")
    archive.close(
        [(str(folder.media / "e.wav"), twins)], [(str(folder.media / "d.wav"), content(folder.media / "d.wav"), 1)]
    )
    assert archive.has_surprises
    changes, shards = folder.plan(archive)
    assert changes == (0, 1, 0) and not shards and moves(archive)[0] == {"e.wav": "e.wav"}
    assert folder.known(archive)["e.wav"][1] is None and folder.known(archive)["d.wav"][1] is None


def test_two_files_that_change_places_are_noticed(folder, archive):
    a, c = folder.media / "c.wav", folder.media / "d.wav"
    folder.write("d.wav", "ANOTHER")
    folder.plan(archive)
    folder.work(archive)
    times = a.stat().st_mtime_ns
    os.utime(c, ns=(times, times))
    folder.plan(archive)
    a.rename(folder.media / "swap")
    c.rename(a)
    (folder.media / "swap").rename(c)
    os.utime(a, ns=(times, times))
    changes, _ = folder.plan(archive)
    assert changes.carried == 2


def test_dates_and_names_that_no_column_holds(folder):
    rows = [{"path": "/a.wav", "bytes": 2**64 - 1, "real": "/\udcff/a.wav"}]
    with Archive(folder.out) as archive:
        archive.take_in([(row, ["a.wav"]) for row in rows])
        assert archive.plan(folder.identify, cut_shards, lambda shards: len(list(shards)), shard_files=2)[0] == 1


def test_many_equal_files_are_carried_in_no_time(folder):
    import time  # noqa: PLC0415 - beside its use

    rows = [({"path": f"/{i}", "bytes": 1}, [str(i)]) for i in range(6_000)]
    folder.identify = lambda chunks, _: (["same"] * len(chunk) for chunk in chunks)
    with Archive(folder.out) as archive:
        archive.take_in(rows)
        archive.plan(folder.identify, cut_shards, lambda shards: len(list(shards)), shard_files=64)
        archive.close([(f"/{i}", "same") for i in range(6_000)], [])
        archive.take_in([({**row, "path": f"/b{row['path'][1:]}"}, names) for row, names in rows])
        begun = time.perf_counter()
        changes = archive.plan(folder.identify, cut_shards, lambda shards: len(list(shards)), shard_files=64)
        assert changes.carried == 6_000 and time.perf_counter() - begun < 5  # it was 40 s


# A disk that is full


@pytest.mark.parametrize("most", [1, 3, 20])
def test_a_full_disk_is_one_sentence_and_the_same_command_goes_on(folder, most):
    for number in range(400):
        folder.write(f"{number:03d}-{'x' * 100}.wav", str(number))
    with pytest.raises(OutputError, match=r"out is full .* run the same command again"), Archive(folder.out) as archive:
        pages = archive._one("PRAGMA page_count")
        archive.db.execute(f"PRAGMA max_page_count = {pages + most}")
        folder.plan(archive)
    with Archive(folder.out) as archive:
        assert not archive.is_open and folder.plan(archive)[0] == (400, 0, 0)


def test_a_database_that_finds_no_room_at_all_is_no_other_command_s(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, hard))
    try:
        with pytest.raises(OutputError, match=r"\.archive\.sqlite cannot be written .* run the same command again"):
            Archive(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    with Archive(tmp_path) as archive:
        assert not archive.has_rounds


def of_segments(folder, *names):
    """A listing of two segments of each of these files."""
    for name in names:
        path = folder.media / name
        for start in (0.0, 1.0):
            segment = Segment(start, start + 1)
            row = cut({"path": str(path), "bytes": path.stat().st_size}, segment)
            yield row, [f"{name}{segment.fragment}"]


def test_segments_of_a_file_are_compared_with_those_of_other_files_alone(folder, monkeypatch):
    """All of them have one size: of a thousand none can be the copy of another."""

    def listed(*names):
        monkeypatch.setattr(folder, "rows", lambda **_: of_segments(folder, *names))

    def identify(chunks, _):
        for chunk in chunks:
            folder.compared += [Path(path).name for path in chunk]
            yield [content(file_of(path)) + path.partition("#")[2] for path in chunk]

    monkeypatch.setattr(folder, "identify", identify)
    folder.write("a.wav", "same")
    with Archive(folder.out) as archive:
        listed("a.wav")
        assert folder.plan(archive)[0] == (2, 0, 0) and not folder.compared
        archive.close([(path, content(file_of(path)) + path.partition("#")[2]) for path in archive.paths()], [])
        assert folder.plan(archive)[0] == (0, 0, 0) and not folder.compared
        folder.write("b.wav", "same")
        listed("a.wav", "b.wav")
        assert folder.plan(archive)[0] == (0, 2, 0)
        assert folder.compared == ["b.wav#t=0.0,1.0", "b.wav#t=1.0,2.0"]
        carried, _ = moves(archive)
        assert carried == {"b.wav#t=0.0,1.0": "a.wav#t=0.0,1.0", "b.wav#t=1.0,2.0": "a.wav#t=1.0,2.0"}


def test_a_file_that_changes_changes_all_of_its_segments(folder, monkeypatch):
    monkeypatch.setattr(folder, "rows", lambda **_: of_segments(folder, "a.wav"))
    path = folder.write("a.wav", "same")
    with Archive(folder.out) as archive:
        folder.plan(archive)
        archive.close([(one, one) for one in archive.paths()], [])
        Path(path).write_text("longer")
        assert folder.plan(archive)[0] == (2, 0, 0)
