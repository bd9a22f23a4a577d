"""A recording over time: each step is the mean of the windows that cover it."""

import numpy as np
import pyarrow as pa
import pytest

from emocore.reports.curves import MOST_CURVES, STEPS, Longest, curve_of, curves_of
from emocore.reports.plots import curve_plot

EMOTIONS = ("happy", "sad")


def test_steps_are_means_of_the_windows_that_cover_them_and_nan_where_none_does():
    curve = curve_of("a", 0.0, 10.0, [(0.0, 4.0, [1.0, 0.0]), (2.0, 6.0, [0.5, 0.5])], EMOTIONS)
    at = dict(zip(curve.seconds.round(3), curve.shares.tolist(), strict=True))
    assert (at[1.0], at[3.0], at[5.0]) == ([1.0, 0.0], [0.75, 0.25], [0.5, 0.5])
    assert np.isnan(curve.shares[curve.seconds >= 6.0]).all() and len(curve.seconds) == 100


def test_an_hour_has_as_many_steps_as_a_page_shows():
    windows = [(3.0 * n, 3.0 * n + 3.62, [0.3, 0.7]) for n in range(1_200)]
    curve = curve_of("a", 0.0, 3_600.0, windows, EMOTIONS)
    assert len(curve.seconds) == STEPS and not np.isnan(curve.shares).any()


def windows(clip, *rows, track=0):
    return [
        {
            "clip": clip,
            "track": track,
            "start_seconds": s,
            "end_seconds": e,
            "predicted": p and "happy",
            "p_happy": p,
            "p_sad": p and 1 - p,
        }
        for s, e, p in rows
    ]


def test_curves_are_read_part_by_part_and_windows_without_an_answer_are_none():
    rows = [
        windows("a", (0.0, 1.0, 0.25), (1.0, 2.0, None)),
        windows("b", (0.0, 1.0, 0.5)) + windows("a", (2.0, 3.0, 0.75)),
    ]
    parts = [pa.Table.from_pylist(part) for part in rows]
    (curve,) = curves_of(parts, {"a": 3.0}, {}, EMOTIONS)
    assert curve.shares[5].tolist() == [0.25, 0.75] and np.isnan(curve.shares[15]).all()
    assert curve.shares[25].tolist() == [0.75, 0.25]


def test_voices_have_a_curve_each():
    both = windows("a", (0.0, 1.0, 0.25), track=2) + windows("a", (0.0, 1.0, 0.75), track=1)
    first, second = curves_of([pa.Table.from_pylist(both)], {"a": 1.0}, {}, EMOTIONS)
    assert (first.clip, second.clip) == ("a, voice 1", "a, voice 2")
    assert (first.shares[5].tolist(), second.shares[5].tolist()) == ([0.75, 0.25], [0.25, 0.75])


def test_the_recordings_with_the_most_windows_are_shown():
    found = Longest()
    for part in ([3, 1, 0, None], [9, 2, 5, 7]):
        clips = [f"{n}" for n in part]
        told = {"clip": clips, "path": clips, "duration_seconds": [4.0] * 4}
        found.add(pa.table({"windows": pa.array(part, pa.int32()), **told}))
    assert list(found.durations) == list(found.paths) == ["9", "7", "5", "3"][:MOST_CURVES]


def test_a_segment_is_drawn_on_the_clock_of_its_file():
    parts = [pa.Table.from_pylist(windows("a", (100.0, 101.0, 0.25), (102.0, 103.0, 0.75)))]
    (curve,) = curves_of(parts, {"a": 3.0}, {"a": 100.0}, EMOTIONS)
    assert (curve.seconds[0], len(curve.seconds)) == (100.0, 30)
    assert (curve.shares[5].tolist(), curve.shares[25].tolist()) == ([0.25, 0.75], [0.75, 0.25])


@pytest.mark.parametrize(("seconds", "unit"), [(60.0, "seconds"), (600.0, "minutes"), (20_000.0, "hours")])
def test_the_plot_names_its_unit_and_every_emotion_and_is_the_same_each_time(seconds, unit):
    curve = curve_of("a", 0.0, seconds, [(0.0, seconds / 2, [0.9, 0.1])], EMOTIONS)
    drawn = str(curve_plot(curve, 1))
    assert drawn == str(curve_plot(curve, 1))
    assert all(word in drawn for word in (unit, *EMOTIONS, "probability"))
