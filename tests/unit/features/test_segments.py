"""Segments of a file beside clips that are cut by hand: one gives the numbers of the other, on the file's clock."""

import numpy as np
import pyarrow as pa
import pytest
from whole_media import featurized as featurize_batch
from whole_media import spoken, windows_of

from emocore.features.article import ARTICLE, ARTICLE_FRAMES
from emocore.features.clock import begins_of, on_file_clock
from emocore.features.extract import PLANNED
from emocore.features.rows import values_of
from emocore.media.reading import Reading
from emocore.schema import rows_to_table
from emocore.timeline import HowCut

RATE = 16_000
FAMILIES = (ARTICLE, ARTICLE_FRAMES)


@pytest.fixture(scope="module")
def recording(shared_media):
    """Eight seconds, in which somebody speaks from 2 to 3 and from 5 to 6, and what cuts them by hand."""
    signal = np.zeros(8 * RATE, np.float32)
    signal[2 * RATE : 3 * RATE] = signal[5 * RATE : 6 * RATE] = 0.5 * spoken(RATE)
    signal += np.random.default_rng(0).normal(0, 1e-4, len(signal)).astype(np.float32)

    def cut(start, end):
        name = f"{start}-{end}.wav"
        return shared_media.sound(name, signal[round(start * RATE) : round(end * RATE)], RATE, subtype="FLOAT")

    return shared_media.sound("all.wav", signal, RATE, subtype="FLOAT"), cut


def read(path, how, reading=None):
    row = {"clip": path, "path": path, "soft_label": np.zeros(8, "f4")}
    return featurize_batch(rows_to_table([row], PLANNED), FAMILIES, reading, how=how)


@pytest.mark.parametrize("how", [HowCut(), HowCut("speech", vad=True), HowCut("tiled", 0.7, 0.3, vad=True)])
@pytest.mark.parametrize(("start", "end"), [(1.5, 3.5), (4.25, 7.125), (6.5, 7.5), (5.0, 5.05)])
def test_a_segment_is_the_clip_that_is_cut_by_hand(recording, how, start, end):
    path, cut = recording
    ours, theirs = read(f"{path}#t={start},{end}", how), read(cut(start, end), how)
    for family in FAMILIES:
        a, b = windows_of(ours, family), windows_of(theirs, family)
        assert a.drop_columns(["clip"]).equals(b.drop_columns(["clip"]))
        np.testing.assert_array_equal(values_of(a, family), values_of(b, family))
    facts = ["duration_seconds", "bandwidth_hz", "sound_tracks", "state", "speech_seconds", "reason"]
    assert ours.select(facts).equals(theirs.select(facts))
    assert ours["sound_begin_seconds"].to_pylist() == [start]


def test_a_segment_behind_the_end_of_its_file_is_a_failure(recording):
    (row,) = read(f"{recording[0]}#t=9,10", HowCut()).to_pylist()
    assert (row["reason"], row["detail"]) == ("no_samples", "the segment begins at 9 s, and the file ends at 8 s")


def test_what_breaks_within_a_segment_is_told_on_the_clock_of_the_file(recording, media_files):
    with open(recording[0], "rb") as whole:  # noqa: PTH123 - as it is
        content = whole.read()
    path = media_files.bytes("cut.wav", content[: int(len(content) * 5.75 / 8)])
    (row,) = read(f"{path}#t=4.5,7", HowCut("speech", vad=True)).to_pylist()
    assert (row["reason"], row["state"]) == ("truncated", "ok")
    assert row["broken_after_seconds"] == pytest.approx(5.75, abs=0.05)
    assert row["duration_seconds"] == pytest.approx(1.25, abs=0.05)


def test_a_film_without_a_sampled_picture_in_the_segment_shows_nothing(media_files):
    film = media_files.encoded("a.mp4", None, 0, video="libx264")  # ten pictures, 40 ms apart
    row = rows_to_table([{"clip": "a", "path": f"{film}#t=0.1,0.3", "soft_label": np.zeros(8, "f4")}], PLANNED)
    table = featurize_batch(row, [], Reading(every=20, sound=False))
    assert (table["reason"][0].as_py(), table["duration_seconds"][0].as_py()) == (None, pytest.approx(0.2))


def test_rows_are_written_on_the_clock_of_the_file():
    written = {}
    begins = begins_of({"a": "/a.wav#t=12.3,14.0", "b": "/b.wav"})
    write = on_file_clock(lambda name, rows: written.update({name: rows.to_pylist()}), begins)
    write("windows", pa.table({"clip": ["a", "b"], "start_seconds": [0.1, 0.1], "end_seconds": [0.4, None]}))
    write("frames", pa.table({"clip": ["b", "a"], "time_seconds": [1.0, 1.0], "window": [1, 2]}))
    assert written["windows"] == [
        {"clip": "a", "start_seconds": 12.4, "end_seconds": 12.7},
        {"clip": "b", "start_seconds": 0.1, "end_seconds": None},
    ]
    assert [(row["time_seconds"], row["window"]) for row in written["frames"]] == [(1.0, 1), (13.3, 2)]
