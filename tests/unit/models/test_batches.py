"""Batches of a worker: every frame as often as every other, in an order that the seed draws."""

import threading

import numpy as np
import pytest

from emocore.models.augment import NONE, Augmentation
from emocore.models.keras.batches import Feeder, Rows, endless, shuffled

SHARE, BATCH = 23, 5


def rows(numbers):
    """Frames whose pictures and weights tell their numbers."""
    numbers = np.asarray(numbers)
    images = np.broadcast_to(numbers.astype("u1")[:, None, None], (len(numbers), 8, 8)).copy()
    return Rows(images, np.eye(8, dtype="f4")[numbers % 8], numbers.astype("f4"))


def one_pass(size=4):
    return lambda: (rows(range(begin, min(begin + size, SHARE))) for begin in range(0, SHARE, size))


def draw(steps, start=0, capacity=8, seed=(3,)):
    source = endless(one_pass(), SHARE, BATCH, start, capacity, seed)
    return [next(source).weights.astype(int).tolist() for _ in range(steps)]


@pytest.mark.parametrize("capacity", [1000, 8, 4])
def test_after_whole_passes_every_frame_was_seen_as_often(capacity):
    seen = np.concatenate(draw(SHARE, capacity=capacity))  # 23 batches of 5: five passes
    assert np.bincount(seen).tolist() == [5] * SHARE


def test_at_any_time_frames_differ_by_one_at_most():
    seen = np.concatenate(draw(7))
    assert set(np.bincount(seen, minlength=SHARE)) <= {1, 2}


def test_what_was_cut_off_goes_on_with_the_same_batches():
    whole = draw(20)
    for done in (1, 4, 5, 9, 13):
        assert draw(20 - done, start=done * BATCH) == whole[done:]


def test_passes_and_seeds_have_orders_of_their_own():
    first, second = np.split(np.concatenate(draw(46)), 2)[0][:SHARE], np.concatenate(draw(46))[SHARE : 2 * SHARE]
    assert sorted(first) == sorted(second) == list(range(SHARE))
    assert first.tolist() != second.tolist()
    assert draw(5) != draw(5, seed=(4,))


def test_a_buffer_mixes_and_loses_nothing():
    found = [n for part in shuffled(one_pass()(), 8, np.random.default_rng(0)) for n in part.weights]
    assert sorted(found) == list(range(SHARE))
    assert found != sorted(found)


def test_pictures_stay_with_their_labels():
    for part in shuffled(one_pass()(), 8, np.random.default_rng(0)):
        assert (part.images[:, 0, 0] == part.weights).all()
        assert (part.soft.argmax(axis=1) == part.weights % 8).all()


def test_a_pass_of_another_length_is_noticed():
    with pytest.raises(RuntimeError, match="gave 23 rows to this worker, and 24 were due"):
        list(zip(range(9), endless(one_pass(), 24, BATCH, 0, 8, (0,)), strict=False))


def test_changes_depend_on_the_step_not_on_threads_nor_on_where_it_began():
    how = Augmentation(erase=1.0)

    def pictures(first, threads, steps=6):
        source = endless(one_pass(), SHARE, BATCH, first * BATCH, 8, (1,))
        with Feeder(source, first, how, (1,), threads) as batches:
            return [next(batches).images for _ in range(steps)]

    whole = pictures(0, 1)
    np.testing.assert_array_equal(pictures(0, 3), whole)
    np.testing.assert_array_equal(pictures(2, 1, 4), whole[2:])
    assert len({image.tobytes() for batch in whole for image in batch}) == 30  # noise, never the same


def test_a_fault_in_the_background_is_raised_in_front():
    def broken():
        yield rows([1])
        raise ValueError("no more")

    with Feeder(broken(), 0, NONE, (0,), 1) as batches, pytest.raises(ValueError, match="no more"):
        list(batches)


def test_the_background_ends_with_the_training():
    before = threading.active_count()
    with Feeder(endless(one_pass(), SHARE, BATCH, 0, 8, (0,)), 0, NONE, (0,), 2) as batches:
        next(batches)
    for thread in threading.enumerate():
        if thread.name.startswith("feeder"):
            thread.join(5)
    assert threading.active_count() <= before
