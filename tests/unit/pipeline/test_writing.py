"""Rows of a shard are flushed as they come, whatever their number, and are there whole or not at all."""

import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from emocore.pipeline.archive import writing
from emocore.pipeline.archive.writing import open_parts

SCHEMA = pa.schema([("clip", pa.string()), *((f"c{i}", pa.float32()) for i in range(160))])


def row(clip):
    return pa.table({"clip": [clip], **{f"c{i}": pa.array([1.0], pa.float32()) for i in range(160)}}, SCHEMA)


def test_rows_are_those_that_were_written_in_their_order(tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "FLUSH_BYTES", 20_000)
    with open_parts(tmp_path, "a.parquet", {"t": SCHEMA, "none": SCHEMA}, {b"round": b"7"}) as parts:
        for n in range(300):
            parts.write("t", row(str(n)))
    file = pq.ParquetFile(tmp_path / "t" / "a.parquet")
    assert file.read()["clip"].to_pylist() == [str(n) for n in range(300)] and file.num_row_groups > 5
    assert parts.clips == {"t": {str(n) for n in range(300)}, "none": set()}
    assert pq.read_schema(tmp_path / "none" / "a.parquet").metadata[b"round"] == b"7"


def test_what_raises_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError), open_parts(tmp_path, "a.parquet", {"t": SCHEMA}, {}) as parts:
        parts.write("t", row("a"))
        raise ZeroDivisionError
    assert list(tmp_path.rglob("*.parquet")) == []


def test_many_rows_take_no_longer_each_than_a_few(tmp_path):
    one = row("a")

    def seconds(n):
        with open_parts(tmp_path, f"{n}.parquet", {"t": SCHEMA}, {}) as parts:
            started = time.process_time()
            for _ in range(n):
                parts.write("t", one)
            return (time.process_time() - started) / n

    seconds(50)
    assert seconds(1_000) < 5 * seconds(100)
