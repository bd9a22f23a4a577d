"""Channels that hold two people: each is a track, for its own voice alone, and is what it is in a file alone."""

import numpy as np
import pyarrow as pa
import pytest
from whole_media import Collected, spoken

from emocore.features.article import ARTICLE
from emocore.features.ears import Levels
from emocore.features.extract import PLANNED, featurize_batch
from emocore.schema import rows_to_table
from emocore.timeline import how_cut

RATE = 16_000
APART, MIXED = how_cut(channels="separate"), how_cut()


def told(*seconds, gain=0.5, total=12):
    """A channel in which a sentence begins at each of these seconds, over a room's noise."""
    rng = np.random.default_rng(len(seconds))
    signal = (1e-4 * rng.standard_normal(total * RATE)).astype(np.float32)
    for second in seconds:
        signal[second * RATE : (second + 1) * RATE] += np.float32(gain) * spoken(RATE)
    return signal


AGENT, CALLER = told(1, 6), told(3, 8, 10, gain=0.3)


@pytest.fixture
def heard(media_files):
    """Return the FEATURIZED row of samples [n] or [n, channels], and the windows' table."""

    def heard(signal, how=APART, name="a.wav"):
        path = media_files.sound(name, signal, RATE, subtype="FLOAT")
        planned = rows_to_table([{"clip": "a", "path": path, "soft_label": np.zeros(8, "f4")}], PLANNED)
        sink = Collected()
        (row,) = featurize_batch(planned, [ARTICLE], sink=sink, how=how).to_pylist()
        return row, sink.table(ARTICLE)

    return heard


def of_track(windows, track):
    rows = windows.filter(pa.array([found == track for found in windows["track"].to_pylist()]))
    return rows.drop_columns(["track"])


@pytest.mark.parametrize("grid", ["speech", "tiled"])
def test_a_voice_has_the_windows_that_its_channel_has_in_a_file_alone(heard, grid):
    how = how_cut(grid, channels="separate")
    row, windows = heard(np.column_stack([AGENT, CALLER]), how)
    alone = [heard(signal, how) for signal in (AGENT, CALLER)]
    assert set(windows["track"].to_pylist()) == {1, 2}
    for track, (_, expected) in enumerate(alone, 1):
        assert set(expected["track"].to_pylist()) == {0}
        found = of_track(windows, track)
        assert found["window"].equals(expected["window"]) and found["state"].equals(expected["state"])
        for name in ("start_seconds", "end_seconds", "speech_seconds"):
            np.testing.assert_allclose(found[name], expected[name], atol=0.15)  # noise beside the other is not heard
        for name in ARTICLE.columns if grid == "tiled" else ():
            np.testing.assert_array_equal(found[name], expected[name])
    assert row["speech_seconds"] == pytest.approx(sum(one["speech_seconds"] for one, _ in alone), abs=0.5)


@pytest.mark.parametrize("share", [1.0, 0.5, -1.0], ids=["equal", "fainter", "anti-phase"])
def test_channels_of_one_sound_are_mixed(heard, share):
    both = np.column_stack([AGENT, np.float32(share) * AGENT])
    (row, windows), (expected_row, expected) = heard(both), heard(both, MIXED)
    del row["content_id"], expected_row["content_id"]  # the time of writing is in the file
    assert row == expected_row and windows.equals(expected) and set(windows["track"].to_pylist()) == {0}


def test_a_channel_in_which_nobody_speaks_has_no_window(heard):
    row, windows = heard(np.column_stack([0 * AGENT, CALLER]))
    assert set(windows["track"].to_pylist()) == {2} and row["state"] == "ok"
    row, windows = heard(np.column_stack([told(), told()]) * [1, 0.1])
    assert (row["state"], len(windows)) == ("silent", 0)


@pytest.mark.parametrize("leak_db", [-30, -20, -14])
def test_a_faint_copy_of_the_other_person_is_not_answered_for(heard, leak_db):
    leak = np.float32(10 ** (leak_db / 20))
    _, windows = heard(np.column_stack([AGENT + leak * CALLER, CALLER + leak * AGENT]))
    _, expected = heard(np.column_stack([AGENT, CALLER]))
    for track in (1, 2):
        found, wanted = (of_track(table, track) for table in (windows, expected))
        assert len(found) == len(wanted)
        np.testing.assert_allclose(found["start_seconds"], wanted["start_seconds"], atol=0.3)
        np.testing.assert_allclose(found["speech_seconds"], wanted["speech_seconds"], atol=0.3)


def test_two_who_speak_at_once_are_both_heard(heard):
    _, windows = heard(np.column_stack([told(2, 5), told(2, 8, gain=0.25)]))
    assert [len(of_track(windows, track)) for track in (1, 2)] == [2, 2]


def test_levels_do_not_depend_on_chunks_nor_on_an_offset():
    rng = np.random.default_rng(0)
    loud, faint = 0.3 * rng.standard_normal(RATE), 0.01 * rng.standard_normal(RATE)
    channels = np.stack([np.r_[loud, faint], np.r_[faint, loud] + 0.4]).astype(np.float32)
    whole = Levels(2, RATE).own(channels)
    levels = Levels(2, RATE)
    parts = [levels.own(part) for part in np.split(channels, [1, 700, 9_000, 20_000], axis=1)]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)
    half = slice(RATE // 2, RATE), slice(RATE + RATE // 2, 2 * RATE)  # a while after the change
    np.testing.assert_array_equal(whole[0, half[0]], channels[0, half[0]])
    np.testing.assert_array_equal(whole[1, half[1]], channels[1, half[1]])
    assert not whole[1, half[0]].any() and not whole[0, half[1]].any()


def test_voices_of_a_file_that_is_cut_and_of_a_segment(media_files):
    path = media_files.sound("a.flac", np.column_stack([AGENT, CALLER]), RATE)
    content = (media_files.folder / "a.flac").read_bytes()
    cut = media_files.bytes("cut.flac", content[: len(content) * 6 // 10])
    for name, tracks in ((cut, {1, 2}), (f"{path}#t=2.5,5.0", {2}), (f"{path}#t=5.5,9.5", {1, 2})):
        planned = rows_to_table([{"clip": "a", "path": name, "soft_label": np.zeros(8, "f4")}], PLANNED)
        sink = Collected()
        (row,) = featurize_batch(planned, [ARTICLE], sink=sink, how=APART).to_pylist()
        assert set(sink.table(ARTICLE)["track"].to_pylist()) == tracks and row["state"] == "ok"
        assert (row["broken_after_seconds"] is not None) == (name == cut)
