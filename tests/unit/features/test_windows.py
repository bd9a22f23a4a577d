"""Windows are cut while a sound is heard: the same whatever the chunks, and none straddles a pause."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emocore.features.windows import Heard, SpeechCutter, TiledCutter
from emocore.timeline import WindowGrid
from emocore.tracks.vad import CHUNK_SECONDS, Speech

RATE = 1_000


def cut(cutter, seconds, steps, speech=None, probabilities=()):
    """Hear `seconds` of sound up to each of `steps` and then to its end; return the windows, and what was held."""
    found, held, said, needed = [], 0, 0, 0
    for at in [*sorted(step for step in steps if step < seconds), seconds]:
        while speech is not None and said < len(probabilities) and (said + 1) * CHUNK_SECONDS <= at:
            speech.add(probabilities[said])
            said += 1
        end = seconds if at == seconds else None
        if speech is not None and end is not None:
            speech.finish()
        heard = Heard(round(at * RATE), RATE, speech, end)
        ready = list(cutter.ready(heard))
        assert all(one.first >= needed for one in ready), "a window begins before what was said to be needed"
        found += ready
        needed = cutter.needed(heard)
        held = max(held, heard.samples - needed)
        if speech is not None:
            speech.forget(cutter.needed(heard) / RATE)
    return found, held / RATE


def spans(found):
    return [(round(one.window.start_seconds, 2), round(one.window.end_seconds, 2)) for one in found]


STEPS = st.lists(st.floats(0.01, 30), max_size=12)


@given(STEPS, st.floats(0.2, 30), st.sampled_from([(4.0, 2.0), (3.0, 1.0), (1.0, 3.0), (5.0, None)]))
def test_tiles_are_those_of_the_grid_whatever_the_chunks(steps, seconds, shape):
    seconds = round(seconds, 3)
    grid = WindowGrid(*shape)
    found, _ = cut(TiledCutter(grid), seconds, steps)
    expected = [(w.index, round(w.start_seconds, 3), round(w.end_seconds, 3)) for w in grid.windows(seconds)]
    got = [(c.window.index, round(c.window.start_seconds, 3), round(c.window.end_seconds, 3)) for c in found]
    assert got == expected
    assert [(c.first, c.last) for c in found] == [(round(s * RATE), round(e * RATE)) for _, s, e in got]


def test_a_sound_that_begins_late_has_no_windows_before_it():
    found, _ = cut(TiledCutter(WindowGrid(4.0, 2.0), begins_seconds=9.0), 20.0, [10.0, 12.0])
    assert spans(found)[0] == (6.0, 10.0) and found[0].window.index == 3


def test_the_own_window_of_a_family_counts_from_the_begin_of_the_sound():
    (one,), _ = cut(TiledCutter(WindowGrid(4.0), origin=9_000), 20.0, [10.0])
    assert (one.first, one.last, spans([one])) == (9_000, 13_000, [(9.0, 13.0)])


def said(seconds, *stretches):
    """Probabilities of speech, a chunk each."""
    times = (np.arange(round(seconds / CHUNK_SECONDS)) + 0.5) * CHUNK_SECONDS
    return [0.97 if any(start <= time < end for start, end in stretches) else 0.02 for time in times]


def speech_windows(seconds, *stretches, steps=(), longest=4.0, hop=2.0, step=1):
    speech = Speech()
    return cut(SpeechCutter(longest, hop, step), seconds, steps, speech, said(seconds, *stretches))


def test_a_short_stretch_has_what_is_around_it():
    found, _ = speech_windows(20.0, (8.0, 10.0))
    ((start, end),) = spans(found)
    assert end - start == pytest.approx(4.0, abs=0.01) and start == pytest.approx(7.0, abs=0.05)


def test_at_the_begin_and_at_the_end_what_is_around_lies_on_one_side():
    found, _ = speech_windows(20.0, (0.5, 2.5), (18.0, 19.5))
    (first, last) = spans(found)
    assert first == pytest.approx((0.0, 4.0), abs=0.05) and last == pytest.approx((16.0, 20.0), abs=0.05)


def test_no_window_holds_parts_of_two_stretches():
    found, _ = speech_windows(20.0, (5.0, 6.5), (7.0, 8.5), (9.0, 9.5))
    assert len(found) == 3
    for one, (start, end) in zip(found, [(5.0, 6.5), (7.0, 8.5), (9.0, 9.5)], strict=True):
        window = one.window
        assert window.start_seconds <= start + 0.05 and window.end_seconds >= end - 0.05
        others = [span for span in [(5.0, 6.5), (7.0, 8.5), (9.0, 9.5)] if span != (start, end)]
        assert all(
            window.end_seconds <= since + 0.05 or window.start_seconds >= until - 0.05 for since, until in others
        )


def test_a_long_stretch_is_tiled_and_its_last_window_ends_with_it():
    found, _ = speech_windows(30.0, (2.0, 13.0))
    starts, ends = np.array(spans(found)).T
    assert starts == pytest.approx([2, 4, 6, 8, 9], abs=0.05) and ends == pytest.approx([6, 8, 10, 12, 13], abs=0.05)


def test_windows_begin_at_multiples_of_the_features_steps():
    found, _ = speech_windows(20.0, (8.0, 10.0), (12.0, 18.0), step=23)
    assert len(found) > 2 and {one.first % 23 for one in found} == {0}


def test_without_speech_there_are_no_windows_and_little_is_held():
    found, held = speech_windows(300.0, steps=np.arange(0.5, 300, 0.5))
    assert found == [] and held < 6


def test_an_hour_of_speech_is_not_held():
    found, held = speech_windows(600.0, (1.0, 599.0), steps=np.arange(0.5, 600, 0.5))
    assert len(found) > 290 and held < 8


@given(STEPS)
def test_windows_of_speech_are_the_same_whatever_the_chunks(steps):
    stretches = ((0.3, 1.0), (1.5, 9.0), (11.0, 11.4), (12.0, 15.0), (20.0, 29.9))
    whole, _ = speech_windows(30.0, *stretches)
    parts, _ = speech_windows(30.0, *stretches, steps=steps)
    assert parts == whole and len(whole) >= 8
    assert [one.window.index for one in whole] == list(range(len(whole)))
    starts = [one.first for one in whole]
    assert starts == sorted(starts)


def test_a_window_of_late_sound_begins_with_it():
    speech = Speech(6.0)
    found, _ = cut(SpeechCutter(4.0, 2.0, 1, 6.0), 12.0, [], speech, said(6.0, (0.5, 2.0)))
    assert spans(found) == [(6.0, 10.0)]
