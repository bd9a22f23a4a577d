"""Changes of log-mel sequences: what they move and by how much, what they leave, and that the seed repeats them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emocore.features.logmel import N_MELS, VALUES
from emocore.models.sequence_augment import Changes, Sequences, change, mask, mix

STILL = Changes(0, 0, 0, 0, 0, 0)
LEVEL, F0, VOICED = (VALUES.index(name) for name in ("level", "f0_octaves", "voiced"))


def clips(lengths=(40, 25, 7), seed=0):
    values = np.random.default_rng(seed).normal(size=(len(lengths), max(lengths), len(VALUES))).astype("f4")
    values[..., VOICED] = values[..., VOICED] > 0
    made = Sequences(values, np.array(lengths))
    return made._replace(values=made.values * made.there)


def rng(seed=1):
    return np.random.default_rng(seed)


def test_without_changes_nothing_changes():
    for changed in (change(clips(), STILL, rng()), mask(clips(), STILL, rng())):
        np.testing.assert_allclose(changed.values, clips().values, atol=1e-6)
        np.testing.assert_array_equal(changed.lengths, clips().lengths)


@given(st.lists(st.integers(1, 60), min_size=1, max_size=6), st.integers(0, 2**32 - 1))
def test_every_change_stays_within_its_bounds_and_behind_the_last_step_is_nothing(lengths, seed):
    how = Changes(noise=0.0)
    before = clips(tuple(lengths))
    after = mask(change(before, how, rng(seed)), how, rng(seed))
    assert after.values.dtype == np.float32 and np.isfinite(after.values).all()
    assert (after.values * (1 - after.there) == 0).all() and (after.lengths >= 1).all()
    assert (np.abs(after.lengths - before.lengths / 1.0) <= before.lengths * (1 / (1 - how.stretch) - 1) + 0.5).all()
    most = np.abs(before.values[..., :N_MELS]).max() + (how.gain_db + how.tilt_db / 2) / 20
    assert np.abs(after.values[..., :N_MELS]).max() <= most + 1e-5


def test_the_seed_repeats_it_and_another_does_not():
    first, again, other = (change(clips(), Changes(), rng(seed)).values for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert first.shape != other.shape or not np.array_equal(first, other)


def test_gain_moves_all_levels_alike_and_nothing_else():
    before, after = clips(), change(clips(), Changes(0, 0, 3.0, 0, 0), rng())
    moved = (after.values - before.values)[0]
    assert np.ptp(moved[:, :N_MELS]) < 1e-5 and 0 < abs(moved[0, 0]) <= 3 / 20
    np.testing.assert_allclose(moved[:, LEVEL], moved[:, 0], atol=1e-5)
    rest = [i for i in range(N_MELS, len(VALUES)) if i != LEVEL]
    np.testing.assert_allclose(moved[:, rest], 0, atol=1e-6)


def test_tilt_is_a_straight_line_over_the_mels_about_their_middle():
    moved = (change(clips(), Changes(0, 0, 0, 4.0, 0), rng()).values - clips().values)[0, :, :N_MELS]
    np.testing.assert_allclose(np.diff(moved, axis=1), moved[0, 1] - moved[0, 0], atol=1e-5)
    np.testing.assert_allclose(moved.mean(axis=1), 0, atol=1e-5)
    assert 0 < np.abs(moved).max() <= 2 / 20


def test_a_shift_moves_the_spectrum_and_the_pitch_of_voiced_steps_together():
    made = clips()
    made.values[..., :N_MELS] = np.arange(N_MELS) * made.there  # moved up by b bins a straight line is lower by b
    after = change(made, Changes(0, 2.0, 0, 0, 0), rng())
    bins = -(after.values - made.values)[0, 0, 10]
    assert 0 < abs(bins) <= 2
    np.testing.assert_allclose((after.values - made.values)[0, :, F0], bins / 12 * made.values[0, :, VOICED], atol=1e-5)


def test_a_stretch_passes_through_the_same_values_at_another_speed():
    made = clips((60, 60))
    made.values[:] = np.arange(60, dtype="f4")[:, None]
    after = change(made, Changes(0.15, 0, 0, 0, 0), rng())
    for values, length in zip(after.values, after.lengths, strict=True):
        speed = values[1, 0]
        assert 0.85 <= speed <= 1.15 and length == round(60 / speed)
        np.testing.assert_allclose(values[:length, 0], np.minimum(np.arange(length) * speed, 59), rtol=1e-4)


def test_noise_adds_powers_so_that_quiet_places_rise_and_loud_ones_stay():
    made = clips((400,))
    made.values[..., :N_MELS] = np.where(np.arange(400)[:, None] % 2, 3.0, -6.0)  # 30 and −150 dB
    after = change(made, Changes(0, 0, 0, 0, noise=1.0), rng()).values[0, :, :N_MELS]
    assert (after >= made.values[0, :, :N_MELS] - 1e-5).all()
    assert np.abs(after[1::2] - 3.0).max() < 0.15
    levels = after[::2] * 20 - 60  # dB beside the loudest
    assert levels.mean(axis=0).min() > -55 and levels.mean(axis=0).max() < -5 and 0.5 < levels.std(axis=0).mean() < 2


def test_masks_hide_so_many_stretches_and_bands_at_most_and_never_a_descriptor_alone():
    ones = Sequences(np.ones((50, 100, len(VALUES)), "f4"), np.full(50, 100))
    hidden = mask(ones, Changes(), rng()).values == 0
    steps, bins = hidden.all(axis=2).sum(axis=1), hidden.all(axis=1).sum(axis=1)
    assert 0 < steps.max() <= 2 * 12 and 0 < bins.max() <= 2 * 8
    assert not hidden.all(axis=1)[:, N_MELS:].any()


def test_mixed_clips_and_labels_have_the_same_shares():
    made, soft = clips((30,) * 64), np.eye(64, dtype="f4")
    mixed, target = mix(made, soft, 0.3, rng())
    np.testing.assert_allclose(target.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(mixed.values, np.einsum("ij,jtv->itv", target, made.values), atol=1e-5)
    assert (np.diag(target) >= 0.5).all() and 16 <= (np.diag(target) == 1).sum() <= 48


def test_a_mixed_clip_is_as_long_as_the_longer_and_without_alpha_none_is():
    mixed, target = mix(clips((30, 5)), np.eye(2, dtype="f4"), 0.3, rng(3))
    for row, length in zip(target, mixed.lengths, strict=True):
        assert length == max(length for length, share in zip((30, 5), row, strict=True) if share)
    whole, same = mix(clips(), np.eye(3, dtype="f4"), 0.0, rng())
    np.testing.assert_array_equal(whole.values, clips().values)
    np.testing.assert_array_equal(same, np.eye(3))


@pytest.mark.parametrize("n", [0, 1])
def test_few_clips_are_changed_too(n):
    few = Sequences(np.zeros((n, 4, len(VALUES)), "f4"), np.full(n, 4))
    assert mask(change(few, Changes(), rng()), Changes(), rng()).values.shape[0] == n
