"""What windows and frames say together, summed up one by one, is what they say all at once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from emocore.models.aggregation import HOW, combine
from emocore.models.answers import ClipSum, FrameSum

EMOTIONS = ("neutral", "happy", "sad")


def shares(values):
    return values / values.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("how", HOW)
@given(arrays(np.float64, st.tuples(st.integers(1, 40), st.just(3)), elements=st.floats(0.001, 1)), st.integers(1, 39))
def test_frames_in_pieces_are_those_of_all_at_once(how, values, cut):
    p = shares(values)
    total = FrameSum(3)
    for part in (p[:cut], p[cut:]):
        total.add(part)
    np.testing.assert_allclose(total.answer(how), combine(p, np.zeros(len(p), int), 1, how)[0], rtol=1e-15, atol=1e-17)


def test_a_class_that_is_impossible_stays_so():
    total = FrameSum(3)
    total.add(np.array([[0.5, 0.5, 0.0]]))
    assert total.answer("mean-log")[2] == 0
    with pytest.raises(ZeroDivisionError):
        FrameSum(3).answer("mean-log")


def clip(*windows):
    total = ClipSum(EMOTIONS)
    for start, end, probabilities, *weight in windows:
        total.add(np.array(probabilities), start, end, *(weight or [end - start]), "article")
    total.finish()
    return total


def test_one_window_is_the_clips_answer_to_the_bit():
    said = [0.1, 0.30000000000000004, 0.6]
    assert clip((0.0, 3.0, said, 0.7)).answer.tolist() == said


def test_a_recording_whose_emotion_changes_is_sure_of_none():
    total = clip((0.0, 3.0, [0.0, 0.98, 0.02]), (3.0, 6.0, [0.0, 0.02, 0.98]))
    assert total.answer.max() == pytest.approx(0.5)
    assert total.shares == {"happy": pytest.approx(3.0), "sad": pytest.approx(3.0)}


def test_windows_weigh_what_is_said_in_them():
    total = clip((0.0, 4.0, [0.0, 1.0, 0.0], 1.0), (4.0, 8.0, [0.0, 0.0, 1.0], 3.0))
    assert total.answer.tolist() == [0.0, 0.25, 0.75]


def test_seconds_are_counted_once_and_say_the_mean_of_the_windows_that_cover_them():
    total = clip((0.0, 4.0, [0.0, 0.9, 0.1]), (2.0, 6.0, [0.0, 0.3, 0.7]), (10.0, 12.0, [1.0, 0.0, 0.0]))
    assert total.heard_seconds == pytest.approx(8.0)
    # 0–2 happy; 2–4 the mean of both, happy by 0.6; 4–6 sad; nothing; 10–12 neutral
    assert total.shares == {"happy": pytest.approx(4.0), "sad": pytest.approx(2.0), "neutral": pytest.approx(2.0)}
    assert total.answered_by == ["article"]


@given(st.lists(st.tuples(st.floats(0, 50), st.floats(0.1, 5)), min_size=1, max_size=15))
def test_the_shares_sum_to_what_was_heard_which_is_the_union(spans):
    spans = sorted((round(start, 2), round(start + length, 2)) for start, length in spans)
    total = clip(*((start, end, [0.2, 0.5, 0.3]) for start, end in spans))
    grid = np.arange(0, 60, 0.01) + 0.005
    union = sum(any(start <= at < end for start, end in spans) for at in grid) * 0.01
    assert total.heard_seconds == pytest.approx(union, abs=0.011)
    assert sum(total.shares.values()) == pytest.approx(total.heard_seconds)
