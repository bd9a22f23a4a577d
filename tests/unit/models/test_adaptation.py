"""Groups are moved to the training's statistics where they are many and mixed, and left alone where they are not."""

import numpy as np
import pytest

from emocore.features.family import ABSENT
from emocore.models.adaptation import (
    COUNTS,
    adapted,
    evenness,
    pooled,
    rows_by_group,
    shifted,
    shifted_training,
    trust,
)
from emocore.models.lda import scale_of
from emocore.probabilities import softmax

RNG = np.random.default_rng(0)
CENTRES = np.array([[4.0, 0, 0], [0, 4.0, 0], [0, 0, 4.0]])
SHIFT = np.array([3.0, -2.0, 1.0])


def clips(emotions, shift=0.0):
    """Columns of clips that are near their emotion's centre, all of them shifted."""
    return (CENTRES[emotions] + RNG.normal(0, 0.5, (len(emotions), 3)) + shift).astype(np.float32)


def model(x):
    """What knows the centres: the nearest one."""
    return softmax(-((x[:, None] - CENTRES) ** 2).sum(axis=2))


TRAIN = clips(np.arange(300) % 3)
REFERENCE = scale_of(TRAIN)


def answers(x, archives=None, speakers=None):
    archives = ["a"] * len(x) if archives is None else archives
    return adapted(x, archives, model, model, REFERENCE, speakers)


def test_a_shifted_archive_is_answered_for_as_if_it_were_not():
    emotions = np.arange(120) % 3
    x = clips(emotions, SHIFT)
    found, how = answers(x)
    assert (model(x).argmax(axis=1) == emotions).mean() < 0.8
    assert (found.argmax(axis=1) == emotions).all()
    assert how.by == "archive" and how.trust["a"] > 0.9
    np.testing.assert_array_equal(how.plain, model(x))


def test_each_archive_and_each_speaker_by_its_own():
    emotions = np.arange(240) % 3
    who = np.repeat(["x", "y"], 120)
    x = clips(emotions, np.where(who[:, None] == "x", SHIFT, -SHIFT))
    for archives, speakers in ((who, None), (["a"] * 240, who)):
        found, how = answers(x, archives, speakers)
        assert (found.argmax(axis=1) == emotions).mean() == 1.0
        assert list(how.trust) == ["x", "y"] and min(how.trust.values()) > 0.5


@pytest.mark.parametrize("emotion", [0, 1, 2])
def test_a_group_of_one_emotion_steps_back_to_the_bit(emotion):
    x = clips(np.full(200, emotion))
    for speakers in (None, ["s"] * 200):
        found, how = answers(x, speakers=speakers)
        np.testing.assert_array_equal(found, model(x))
        assert list(how.trust.values()) == [0.0]


def test_a_speaker_of_one_emotion_steps_back_beside_mixed_ones():
    emotions = np.concatenate([np.arange(90) % 3, np.zeros(60, int)])
    speakers = np.repeat(["mixed", "angry"], [90, 60])
    x = clips(emotions)
    found, how = answers(x, speakers=speakers)
    assert how.trust["angry"] == 0.0 and how.trust["mixed"] == 1.0
    np.testing.assert_array_equal(found[90:], model(x)[90:])


@pytest.mark.parametrize("by", ["archive", "speaker"])
def test_few_clips_are_none(by):
    few = COUNTS[by].least
    x = clips(np.arange(few) % 3, SHIFT)
    found, how = answers(x, speakers=["s"] * few if by == "speaker" else None)
    np.testing.assert_array_equal(found, model(x))
    assert list(how.trust.values()) == [0.0]


@pytest.mark.parametrize("by", ["archive", "speaker"])
def test_the_order_of_clips_does_not_matter(by):
    emotions, order = np.arange(100) % 3, RNG.permutation(100)
    who = np.array([f"s{i % 4}" for i in range(100)])
    x = clips(emotions, SHIFT)
    speakers = who if by == "speaker" else None
    one, _ = answers(x, speakers=speakers)
    other, _ = answers(x[order], speakers=None if speakers is None else who[order])
    np.testing.assert_allclose(other, one[order], rtol=1e-4, atol=1e-9)


def test_trust_rises_with_count_and_mix():
    mixed, one = np.eye(4), np.eye(4)[[0]]
    counts = COUNTS["archive"]
    half = (counts.least + counts.enough) // 2
    assert trust(np.tile(mixed, (half // 4, 1)), 4, counts) == pytest.approx(0.5)
    assert trust(np.tile(mixed, (counts.enough, 1)), 4, counts) == 1.0
    assert trust(np.tile(one, (counts.enough, 1)), 4, counts) == 0.0
    by_mix = [trust(np.repeat(mixed, [n, 100, 100, 100], axis=0), 4, counts) for n in (100, 600, 5000)]
    assert by_mix[0] == 1.0 > by_mix[1] > by_mix[2] == 0.0


def test_answers_that_spread_less_than_all_answers_are_trusted_less():
    near = np.tile([[0.4, 0.3, 0.3], [0.3, 0.4, 0.3], [0.3, 0.3, 0.4]], (30, 1))
    far = np.tile(np.eye(3), (30, 1))
    assert trust(near, 3, COUNTS["speaker"]) == trust(near, 3, COUNTS["speaker"], near) == 1.0
    assert trust(near, 3, COUNTS["speaker"], far) == 0.0


def test_evenness_is_the_share_of_the_emotions_that_are_there():
    assert evenness(np.eye(8)[[0, 1]], 8) == pytest.approx(2 / 8)
    assert evenness(np.full((5, 8), 1 / 8), 8) == pytest.approx(1.0)


def test_a_moved_group_has_the_statistics_of_the_training():
    x = np.concatenate([clips(np.arange(60) % 3, SHIFT) * 2, clips(np.arange(90) % 3)])
    groups = np.repeat(["x", "y"], [60, 90])
    moved = shifted(x, groups, REFERENCE)
    for rows in rows_by_group(groups).values():
        np.testing.assert_allclose(moved[rows].mean(axis=0), REFERENCE[0], atol=1e-4)
        np.testing.assert_allclose(moved[rows].std(axis=0), REFERENCE[1], rtol=1e-4)
    np.testing.assert_array_equal(shifted(x, groups, REFERENCE, {"x": 0.0, "y": 0.0}), x)
    half = shifted(x, groups, REFERENCE, {"x": 0.5, "y": 0.0})
    assert (abs(half[:60].mean(axis=0) - REFERENCE[0]) < abs(x[:60].mean(axis=0) - REFERENCE[0])).all()


def test_what_is_absent_stays_so_and_what_stands_still_becomes_the_mean():
    x = clips(np.arange(30) % 3)
    x[::2, 0], x[:, 1] = ABSENT, 7.0
    moved = shifted(x, ["s"] * 30, REFERENCE)
    assert (moved[::2, 0] == np.float32(ABSENT)).all() and (moved[1::2, 0] != np.float32(ABSENT)).all()
    np.testing.assert_allclose(moved[:, 1], REFERENCE[0, 1], rtol=1e-6)


def test_a_training_speaker_of_one_emotion_is_not_moved():
    emotions = np.concatenate([np.arange(60) % 3, np.zeros(60, int)])
    x, who = clips(emotions, SHIFT), np.repeat(["mixed", "one"], 60)
    moved = shifted_training(x, np.eye(3, dtype=np.float32)[emotions], who, REFERENCE, COUNTS["speaker"])
    np.testing.assert_array_equal(moved[60:], x[60:])
    np.testing.assert_allclose(moved[:60].mean(axis=0), REFERENCE[0], atol=1e-4)


def test_a_pool_is_the_geometric_mean_and_whole_at_its_ends():
    one, other = RNG.dirichlet(np.ones(3), 3), RNG.dirichlet(np.ones(3), 3)
    one[:, 2], other[:, 2] = 0, 0  # a class that nobody learnt
    one, other = (p / p.sum(axis=1, keepdims=True) for p in (one, other))
    found = pooled(one, other, np.array([0.0, 1.0, 0.5]))
    np.testing.assert_array_equal(found[0], one[0])
    np.testing.assert_array_equal(found[1], other[1])
    wanted = np.sqrt(one[2] * other[2])
    np.testing.assert_allclose(found[2], wanted / wanted.sum(), rtol=1e-12)
