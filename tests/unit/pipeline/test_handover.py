"""What is read of a shard arrives as it was sent, however rows are joined and cut on the way."""

import numpy as np
import pyarrow as pa
import pytest

from emocore.features.article import ARTICLE, ARTICLE_FRAMES
from emocore.features.extract import PLANNED, featurize_batch, featurized_schema, reading_of
from emocore.media.video import Picture
from emocore.pipeline.archive.handover import DONE, is_done, pack, pack_done, unpack
from emocore.pipeline.archive.stage import ReadShard
from emocore.pipeline.featurize import Featurizing
from emocore.schema import FAILURES, rows_to_table

FAMILIES = (ARTICLE, ARTICLE_FRAMES)
STAGE = Featurizing(FAMILIES, reading_of(FAMILIES))
PIXELS = STAGE.reading.pixels


@pytest.fixture
def read(media_files):
    """Two files that were read, and one that failed."""
    path = media_files.sound("a.wav")
    rows = [
        {"clip": name, "path": path, "extra": [("rater", name)], "soft_label": np.eye(8, dtype="f4")[2]}
        for name in "ab"
    ]
    good = featurize_batch(rows_to_table(rows, PLANNED), FAMILIES)
    failures = rows_to_table([{"path": "c.wav", "reason": "broken", "attempts": 2}], FAILURES)
    return ReadShard(7, good, failures, {path: 0.25, "c.wav": 1.5}, {path: 0, "c.wav": 1}, "ab12")


def pictures(*values):
    rows = enumerate(values)
    return [Picture(i, 0.04 * i, np.full((PIXELS, PIXELS), v, np.uint8), "ok", (1.0, 2.0, 3.5, 4.0)) for i, v in rows]


def same(one, other):
    return all(getattr(one, name) == getattr(other, name) for name in ReadShard._fields)


def test_a_shard_arrives_as_it_was(read):
    taken = [(["a", "a too"], pictures(3, 250)), (["b"], pictures(9))]
    row = pack(read, taken, PIXELS)
    assert len(row) == 1 and not is_done(row)
    arrived, found = unpack(row)
    assert same(arrived, read) and arrived.good.schema == featurized_schema(FAMILIES)
    found = list(found)
    assert [clips for clips, _ in found] == [clips for clips, _ in taken]
    for (_, sent), (_, got) in zip(taken, found, strict=True):
        for one, other in zip(sent, got, strict=True):
            np.testing.assert_array_equal(one.image, other.image)
            assert (one.frame_index, one.time_seconds, one.state, one.box) == (
                other.frame_index,
                other.time_seconds,
                other.state,
                other.box,
            )


def test_rows_of_shards_are_joined_and_cut_apart(read):
    """As Ray does with blocks: through its store, too."""
    nothing = read._replace(number=8, good=read.good.slice(0, 0), failures=read.failures.slice(0, 0))
    rows = [pack(read, [(["a"], pictures(1, 2))], PIXELS), pack_done({"files": 5, "failed": 1}, STAGE)]
    rows += [pack(nothing, [], PIXELS), pack(read, [(["b"], pictures(3))], PIXELS), pack_done({"fault": "No."}, STAGE)]
    joined = pa.concat_tables(rows).combine_chunks()
    with pa.BufferOutputStream() as sink:
        with pa.ipc.new_stream(sink, joined.schema) as writer:
            writer.write_table(joined)
        joined = pa.ipc.open_stream(sink.getvalue()).read_all()
    one, done, empty, other, fault = (joined.slice(i, 1) for i in range(5))
    assert [is_done(row) for row in (one, done, empty, other, fault)] == [False, True, False, False, True]
    assert done.select(DONE.names).to_pylist() == [{"files": 5, "failed": 1, "fault": None}]
    for row, clip, values in ((one, "a", [1, 2]), (other, "b", [3])):
        arrived, taken = unpack(row)
        ((clips, found),) = taken
        assert same(arrived, read) and clips == [clip] and [picture.image[0, 0] for picture in found] == values
    arrived, taken = unpack(empty)
    assert same(arrived, nothing) and list(taken) == []


def test_what_ray_counts_is_what_pictures_take(read):
    without, with_ = pack(read, [], PIXELS), pack(read, [(["a"], pictures(*range(20)))], PIXELS)
    assert with_.nbytes - without.nbytes == pytest.approx(20 * PIXELS**2, rel=0.01)
