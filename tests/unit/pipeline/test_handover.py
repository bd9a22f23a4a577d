"""What is read of a shard arrives as it was sent, however rows are joined and cut on the way."""

import numpy as np
import pyarrow as pa
import pytest

from emocore.features.article import ARTICLE, ARTICLE_FRAMES
from emocore.features.extract import FEATURIZED, PLANNED, featurize_batch, reading_of
from emocore.features.listen import Windows
from emocore.media.video import Picture
from emocore.pipeline.archive.handover import DONE, Taken, is_done, pack, pack_done, unpack
from emocore.pipeline.archive.stage import ReadShard
from emocore.pipeline.featurize import Featurizing
from emocore.schema import FAILURES, rows_to_table
from emocore.timeline import Window

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


def taken(**by_clip):
    """What a sink took: of each clip windows of both families, and pictures."""
    found = Taken()
    rng = np.random.default_rng(1)
    for clip, clips, values in ((name, [name, *copies], values) for name, (copies, values) in by_clip.items()):
        for family in FAMILIES:
            numbers = rng.normal(size=(2, *family.shape)).astype("f4")
            windows = Windows(
                [Window(0, 0.0, 3.6), Window(1, 1.8, 5.0)],
                ["ok", "silent"],
                np.array([2.0, np.nan]),
                numbers,
                len(clip) % 2,
            )
            found.windows(clips, family, windows)
        found.pictures(clips, pictures(*values))
        assert clip == clips[0]
    return found


def check_replayed(replay, sent):
    again = Taken()
    replay(again)
    assert again.copies == sent.copies
    assert [(clip, name) for clip, name, _ in again.heard] == [(clip, name) for clip, name, _ in sent.heard]
    for (_, _, one), (_, _, other) in zip(again.heard, sent.heard, strict=True):
        assert (one.windows, one.states, one.track) == (other.windows, other.states, other.track)
        np.testing.assert_array_equal(one.values, other.values)
        np.testing.assert_array_equal(one.speech_seconds, other.speech_seconds)
    for (clip, one), (other_clip, other) in zip(again.seen, sent.seen, strict=True):
        np.testing.assert_array_equal(one.image, other.image)
        assert (clip, one.frame_index, one.time_seconds, one.state, one.box) == (
            other_clip,
            other.frame_index,
            other.time_seconds,
            other.state,
            other.box,
        )


def test_a_shard_arrives_as_it_was(read):
    sent = taken(a=(["a too"], [3, 250]), b=([], [9]))
    row = pack(read, sent, STAGE)
    assert len(row) == 1 and not is_done(row)
    arrived, replay = unpack(row, STAGE)
    assert same(arrived, read) and arrived.good.schema == FEATURIZED
    check_replayed(replay, sent)


def test_rows_of_shards_are_joined_and_cut_apart(read):
    """As Ray does with blocks: through its store, too."""
    nothing = read._replace(number=8, good=read.good.slice(0, 0), failures=read.failures.slice(0, 0))
    first, second = taken(a=([], [1, 2])), taken(b=([], [3]))
    rows = [pack(read, first, STAGE), pack_done({"files": 5, "failed": 1}, STAGE)]
    rows += [pack(nothing, Taken(), STAGE), pack(read, second, STAGE), pack_done({"fault": "No."}, STAGE)]
    joined = pa.concat_tables(rows).combine_chunks()
    with pa.BufferOutputStream() as sink:
        with pa.ipc.new_stream(sink, joined.schema) as writer:
            writer.write_table(joined)
        joined = pa.ipc.open_stream(sink.getvalue()).read_all()
    one, done, empty, other, fault = (joined.slice(i, 1) for i in range(5))
    assert [is_done(row) for row in (one, done, empty, other, fault)] == [False, True, False, False, True]
    assert done.select(DONE.names).to_pylist() == [{**dict.fromkeys(DONE.names), "files": 5, "failed": 1}]
    for row, sent in ((one, first), (other, second)):
        arrived, replay = unpack(row, STAGE)
        assert same(arrived, read)
        check_replayed(replay, sent)
    arrived, replay = unpack(empty, STAGE)
    assert same(arrived, nothing)
    check_replayed(replay, Taken())


def test_what_ray_counts_is_what_pictures_take(read):
    shown = Taken()
    shown.pictures(["a"], pictures(*range(20)))
    without, with_ = pack(read, Taken(), STAGE), pack(read, shown, STAGE)
    assert with_.nbytes - without.nbytes == pytest.approx(20 * PIXELS**2, rel=0.01)
