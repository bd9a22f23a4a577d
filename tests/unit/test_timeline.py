"""Windows lie on a grid of whole microseconds, and cover a clip without gaps."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emocore.errors import UserError
from emocore.timeline import WHOLE_CLIP, Window, WindowGrid

LENGTHS = st.integers(1_000, 60_000_000).map(lambda n: n / 1e6)


def spans(grid, seconds):
    return [(window.start_seconds, window.end_seconds) for window in grid.windows(seconds)]


def test_one_window_is_the_whole_clip():
    assert list(WHOLE_CLIP.windows(3.25)) == [Window(0, 0.0, 3.25)]
    assert list(WHOLE_CLIP.windows(0.0)) == [Window(0, 0.0, 0.0)]


@pytest.mark.parametrize(("tail", "expected"), [("keep", [(0.0, 2.5)]), ("pad", [(0.0, 3.622313)]), ("drop", [])])
def test_the_first_window_alone_of_a_clip_that_does_not_fill_it(tail, expected):
    grid = WindowGrid(79_872 / 22_050, tail=tail)
    assert spans(grid, 2.5) == expected
    assert spans(grid, 8.0) == [(0.0, 3.622313)]


@pytest.mark.parametrize(("tail", "last"), [("keep", [(2.0, 3.5)]), ("pad", [(2.0, 4.0)]), ("drop", [])])
def test_the_tail(tail, last):
    assert spans(WindowGrid(2.0, 1.0, tail), 3.5) == [(0.0, 2.0), (1.0, 3.0), *last]
    assert spans(WindowGrid(2.0, 1.0, tail), 3.0) == [(0.0, 2.0), (1.0, 3.0)]  # nothing stands behind the end


@given(LENGTHS, LENGTHS, LENGTHS)
def test_windows_cover_the_clip_and_their_places_say_where_they_are(length, hop, duration):
    grid = WindowGrid(length, hop)
    n = math.ceil(duration / hop)
    if n > 2_000:
        return
    windows = list(grid.windows(duration))
    assert [window.index for window in windows] == list(range(len(windows)))
    assert windows[0].start_seconds == 0.0
    assert windows[-1].end_seconds == pytest.approx(min(duration, windows[-1].start_seconds + length), abs=1e-6)
    assert all(grid.at(window.index).start_seconds == window.start_seconds for window in windows)
    if hop <= length:
        assert windows[-1].end_seconds == pytest.approx(duration, abs=1e-6)


@given(LENGTHS, LENGTHS, st.floats(0, 100))
def test_covering_names_the_windows_that_hold_a_moment(length, hop, seconds):
    grid, moment = WindowGrid(length, hop), round(seconds * 1e6)
    found = grid.covering(seconds)
    around = range(max(0, found.start - 2), found.stop + 2)
    holds = [i for i in around if round(grid.at(i).start_seconds * 1e6) <= moment < round(grid.at(i).end_seconds * 1e6)]
    assert holds == list(found)


def test_senseless_grids_are_one_sentence():
    for values in ((0.0, None), (2.0, -1.0), (math.nan, None), (1e9, None)):
        with pytest.raises(UserError, match=r"lasts from 0\.001 to 3600 seconds"):
            WindowGrid(*values)
    with pytest.raises(UserError, match="give a length too"):
        WindowGrid(None, 1.0)
