"""Frames to clips: laws that hold for any frames, and cases worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import gmean

from emocore.models.aggregation import HOW, combine, tempered


@st.composite
def films(draw):
    """Frames of some clips: probabilities [n, 8] and the clip of each; some classes impossible throughout."""
    counts = draw(st.lists(st.integers(1, 12), min_size=1, max_size=5))
    raw = draw(arrays(np.float64, (sum(counts), 8), elements=st.floats(0.001, 1)))
    raw *= draw(arrays(np.bool_, 8).filter(np.any))
    return raw / raw.sum(axis=1, keepdims=True), np.repeat(np.arange(len(counts)), counts), len(counts)


each_how = pytest.mark.parametrize("how", HOW)


@each_how
@given(films())
def test_a_clip_gets_a_distribution_over_what_its_frames_hold_possible(how, film):
    p, clip_of, n = film
    clips = combine(p, clip_of, n, how)
    assert clips.shape == (n, 8) and np.isfinite(clips).all() and (clips >= 0).all()
    np.testing.assert_allclose(clips.sum(axis=1), 1)
    np.testing.assert_array_equal(clips[:, p.sum(axis=0) == 0], 0)


@each_how
@given(films(), st.randoms(use_true_random=False))
def test_neither_the_order_of_frames_nor_other_clips_matter(how, film, random):
    p, clip_of, n = film
    order = list(range(len(p)))
    random.shuffle(order)
    together = combine(p, clip_of, n, how)
    np.testing.assert_allclose(combine(p[order], clip_of[order], n, how), together, atol=1e-12)
    alone = [combine(p[clip_of == i], np.zeros((clip_of == i).sum(), int), 1, how)[0] for i in range(n)]
    np.testing.assert_allclose(alone, together, atol=1e-12)


@each_how
@given(films(), st.integers(1, 5))
def test_frames_that_agree_are_their_clip(how, film, times):
    p = film[0][:1]
    clip = combine(np.repeat(p, times, axis=0), np.zeros(times, int), 1, how)
    if how == "vote":
        assert clip.argmax() == p.argmax() and clip.max() >= 0.99
    else:
        np.testing.assert_allclose(clip, p, atol=1e-9)


@given(films())
def test_mean_log_is_the_geometric_mean(film):
    p, clip_of, n = film
    expected = np.array([gmean(p[clip_of == i], axis=0) for i in range(n)])
    np.testing.assert_allclose(combine(p, clip_of, n, "mean-log"), expected / expected.sum(axis=1, keepdims=True))


@given(films())
def test_weighted_is_the_mean_weighted_by_confidence(film):
    p, clip_of, n = film
    for i, clip in enumerate(combine(p, clip_of, n, "weighted")):
        mine = p[clip_of == i]
        np.testing.assert_allclose(clip, np.average(mine, axis=0, weights=mine.max(axis=1)))


@given(films())
def test_the_vote_goes_to_the_emotion_with_most_frames_and_among_equals_to_mean_log(film):
    p, clip_of, n = film
    votes, logs = combine(p, clip_of, n, "vote"), combine(p, clip_of, n, "mean-log")
    for i in range(n):
        counts = np.bincount(p[clip_of == i].argmax(axis=1), minlength=8)
        np.testing.assert_allclose(votes[i], counts / counts.sum(), atol=1e-3)
        among = np.flatnonzero(counts == counts.max())
        assert votes[i].argmax() in among
        assert logs[i][votes[i].argmax()] >= logs[i][among].max() - 1e-9


def test_ties_of_very_many_frames_do_not_overturn_a_vote():
    first = np.tile([0.501, 0.499], (2049, 1))
    second = np.tile([1e-6, 1 - 1e-6], (2047, 1))
    clip = combine(np.concatenate([first, second]), np.zeros(4096, int), 1, "vote")
    assert clip.argmax() == 0


def test_one_certain_frame_does_not_rule_out_what_all_others_see():
    p = np.array([[1.0, 0.0]] + 9 * [[0.01, 0.99]])
    assert combine(p, np.zeros(10, int), 1, "mean-log").argmax() == 1


def test_no_frame_is_an_error_and_no_clip_is_none():
    with pytest.raises(ValueError, match="Clip 1 has no frame"):
        combine(np.full((2, 8), 0.125), np.array([0, 2]), 3, "vote")
    for how in HOW:
        assert combine(np.zeros((0, 8)), np.zeros(0, int), 0, how).shape == (0, 8)


@given(films(), st.floats(0.2, 5))
def test_a_temperature_keeps_the_answer_and_its_inverse_takes_it_back(film, temperature):
    p = film[0]
    warm = tempered(p, temperature)
    assert (warm[np.arange(len(p)), p.argmax(axis=1)] >= warm.max(axis=1) - 1e-12).all()
    np.testing.assert_allclose(tempered(warm, 1 / temperature), p, atol=1e-9)
    np.testing.assert_array_equal(warm == 0, p == 0)
