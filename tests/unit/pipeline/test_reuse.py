"""Rows that are made from others of the same bytes, and rows that go: each path once, whenever it was cut off."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from emocore.pipeline.archive.reuse import carry_rows, drop_rows, forget_shard
from emocore.pipeline.archive.rows import Carry
from emocore.schema import FAILURES, FRAME_LABELS, LABELS, rows_to_table
from emocore.storage import tables
from emocore.storage.tables import table_writer, write_table

NO_VOTE = np.zeros(8, np.float32)


def file(out, table, shard):
    return out / table / f"{shard:06d}.parquet"


@pytest.fixture
def out(tmp_path):
    """Two shards of labels: a (two frames) and b in the first, c (one frame) in the second; two failures."""
    for shard, clips in enumerate(["ab", "c"]):
        rows = [{"clip": c, "path": f"/{c}", "content_id": c * 4, "predicted": "calm", "state": "ok"} for c in clips]
        write_table(rows_to_table(rows, LABELS), file(tmp_path, "labels", shard))
        frames = [{"clip": c, "frame_index": i} for c, i in (("a", 0), ("a", 20), ("c", 0)) if c in clips]
        write_table(rows_to_table(frames, FRAME_LABELS), file(tmp_path, "frames", shard))
        failed = [{"path": f"/bad{shard}", "reason": "broken", "attempts": 1}]
        write_table(rows_to_table(failed, FAILURES), file(tmp_path, "failures", shard))
    return tmp_path


def carry(clip, source, source_shard, duplicate_of=None, shard=5):
    row = {"clip": clip, "take": clip, "path": f"/new/{clip}", "bytes": 1, "soft_label": NO_VOTE}
    return Carry(shard, row, duplicate_of, f"/{source}", source_shard)


def read(out, table, shard):
    return pq.read_table(file(out, table, shard)).to_pylist()


def test_rows_under_other_names(out):
    carry_rows(out, [carry("x", "a", 0), carry("y", "c", 1), carry("z", "a", 0, "/new/x")], "labels", ("frames",))
    labels = read(out, "labels", 5)
    assert [(row["clip"], row["path"], row["content_id"], row["duplicate_of"]) for row in labels] == [
        ("x", "/new/x", "aaaa", None),
        ("y", "/new/y", "cccc", None),
        ("z", "/new/z", "aaaa", "/new/x"),
    ]
    assert {row["predicted"] for row in labels} == {"calm"}
    frames = [(row["clip"], row["frame_index"]) for row in read(out, "frames", 5)]
    assert sorted(frames) == [("x", 0), ("x", 20), ("y", 0), ("z", 0), ("z", 20)]
    assert pq.read_schema(file(out, "labels", 5)).remove_metadata() == LABELS


def test_what_was_carried_is_not_carried_again(out):
    carry_rows(out, [carry("x", "a", 0)], "labels", ("frames",))
    file(out, "labels", 0).unlink()  # dropped since
    carry_rows(out, [carry("x", "a", 0)], "labels", ("frames",))
    assert len(read(out, "labels", 5)) == 1


def test_tables_that_are_not_kept_are_not_made(out):
    carry_rows(out, [carry("x", "b", 0)], "labels", ("frames", "mfcc"))
    assert read(out, "frames", 5) == [] and not (out / "mfcc").exists()


def test_rows_that_go_take_their_frames_and_failures_along(out):
    drop_rows(out, 0, {"/a", "/bad0", "/never"}, "labels", ("frames",))
    assert [row["path"] for row in read(out, "labels", 0)] == ["/b"]
    assert read(out, "frames", 0) == [] and read(out, "failures", 0) == []
    assert len(read(out, "labels", 1)) == len(read(out, "frames", 1)) == len(read(out, "failures", 1)) == 1


def test_a_drop_that_was_cut_off_is_ended(out, monkeypatch):
    real = tables.table_writer

    def die(schema, path):
        if path.parent.name == "labels":
            raise KeyboardInterrupt
        return real(schema, path)

    monkeypatch.setattr(tables, "table_writer", die)
    with pytest.raises(KeyboardInterrupt):
        drop_rows(out, 0, {"/a"}, "labels", ("frames",))
    monkeypatch.undo()
    assert [row["path"] for row in read(out, "labels", 0)] == ["/a", "/b"] and read(out, "frames", 0) == []
    drop_rows(out, 0, {"/a"}, "labels", ("frames",))
    assert [row["path"] for row in read(out, "labels", 0)] == ["/b"]


def test_nothing_to_drop_touches_nothing(out):
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.parquet")}
    drop_rows(out, 0, {"/never"}, "labels", ("frames",))
    drop_rows(out, 7, {"/a"}, "labels", ("frames",))
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.parquet")} == before


def test_what_is_left_of_a_lost_shard(out):
    forget_shard(out, 0, ("labels", "frames", "failures"))
    assert {path.name for path in out.rglob("*.parquet")} == {"000001.parquet"}


def test_folders_named_like_columns(out, tmp_path):
    moved = tmp_path / "clip=7" / "out"
    moved.parent.mkdir()
    for table in ("labels", "frames"):
        (moved / table).mkdir(parents=True)
        file(out, table, 0).rename(file(moved, table, 0))
    carry_rows(moved, [carry("x", "a", 0)], "labels", ("frames",))
    table = pq.ParquetFile(file(moved, "labels", 5)).read()
    assert table.schema.remove_metadata() == LABELS and table["clip"].to_pylist() == ["x"]
    assert isinstance(table, pa.Table)


def test_row_groups_stay_row_groups(out):
    """Scoring reads one at a time, and holds no more."""
    frames = [{"clip": clip, "frame_index": i} for i in range(3) for clip in "ab"]
    with table_writer(FRAME_LABELS, file(out, "frames", 0)) as write:
        for i in range(3):
            write(rows_to_table(frames[2 * i : 2 * i + 2], FRAME_LABELS))
    drop_rows(out, 0, {"/a"}, "labels", ("frames",))
    assert pq.read_metadata(file(out, "frames", 0)).num_row_groups == 3
    assert {row["clip"] for row in read(out, "frames", 0)} == {"b"}


@pytest.mark.parametrize("lost", [[0], [0, 1]])
def test_where_a_part_with_rows_to_carry_was_lost_nothing_is_written(out, lost):
    for shard in lost:
        file(out, "labels", shard).unlink()
    carry_rows(out, [carry("x", "a", 0), carry("y", "c", 1)], "labels", ("frames",))
    assert not file(out, "labels", 5).exists() and not file(out, "frames", 5).exists()
