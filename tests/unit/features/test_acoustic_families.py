"""The acoustic families: defined for every window, the same whatever the level and the file's rate."""

import numpy as np
import pytest
import soxr
from whole_media import spoken

from emocore.errors import UserError
from emocore.features import functionals, gabor, high_band, logmel, prosody
from emocore.features.acoustic.spectra import HOP_SECONDS
from emocore.features.catalogue import FAMILIES
from emocore.features.family import ABSENT, SoundWindow
from emocore.features.listen import Ear
from emocore.timeline import AS_FAMILIES_SAY, Window

NAMES = ("functionals", "gabor", "high-band", "logmel", "prosody")
RANDOM = np.random.default_rng(0)


def of_window(name, samples):
    family = FAMILIES[name]
    window = SoundWindow(Window(0, 0.0, 1.0), samples.astype(np.float32), family.reads.sample_rate_hz)
    return family.load(family)([window])[0]


def heard(name, signal, rate):
    """What a family gives of a whole clip at some rate."""
    given = []
    ear = Ear([FAMILIES[name]], AS_FAMILIES_SAY, lambda _, windows: given.append(windows.values), rate, 0.0)
    ear.feed(signal.astype(np.float32))
    ear.finish()
    return given[0][0]


def speech(rate):
    """Three seconds of a voice, and hiss up to half of the rate."""
    said = soxr.resample(np.concatenate([spoken(16_000)] * 3), 16_000, rate)
    return 0.3 * said / np.abs(said).max() + 0.003 * RANDOM.standard_normal(len(said))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("samples", [0, 1, 100, 3_200, 160_000])
@pytest.mark.parametrize("kind", ["silence", "constant", "noise"])
def test_defined_for_every_window(name, samples, kind):
    signal = {"silence": np.zeros, "constant": np.ones, "noise": RANDOM.standard_normal}[kind](samples)
    values = of_window(name, signal)
    assert values.shape == FAMILIES[name].shape
    assert values.dtype == np.float32
    assert np.isfinite(values).all()


@pytest.mark.parametrize("name", NAMES)
def test_an_answer_does_not_hang_on_the_level(name):
    signal = speech(48_000)
    loud, quiet = heard(name, signal, 48_000), heard(name, 0.1 * signal, 48_000)
    assert (np.isclose(loud, quiet, rtol=2e-3, atol=2e-3)).mean() > 0.99


@pytest.mark.parametrize("name", ["functionals", "gabor", "logmel", "prosody"])
def test_an_answer_does_not_hang_on_the_rate(name):
    signal = speech(48_000)
    full, resampled = heard(name, signal, 48_000), heard(name, soxr.resample(signal, 48_000, 16_000), 16_000)
    apart = np.abs(full - resampled) / (0.05 + 0.05 * np.abs(full))
    assert (apart < 1).mean() > 0.97


def test_names_are_as_many_as_values_and_differ():
    for name in NAMES:
        family = FAMILIES[name]
        names = family.columns or family.names or logmel.VALUES
        assert len(set(names)) == len(names) == family.shape[-1]


def test_a_named_value_is_what_its_name_says():
    signal = speech(16_000)
    signal = (signal / np.abs(signal).max()).astype(np.float32)
    all_of_them = dict(zip(functionals.COLUMNS, functionals.functionals(signal), strict=True))
    few = dict(zip(prosody.COLUMNS, prosody.prosody(signal), strict=True))
    for name in ("voiced_ratio", "log_duration", "f0_mean", "f0_p90", "level_std", "loudness_mean", "alpha_ratio_std"):
        assert few[name] == pytest.approx(all_of_them[name], rel=1e-5), name
    assert all_of_them["mel_03_range"] >= all_of_them["mel_03_iqr"] > 0
    assert all_of_them["mfcc_01_3_1"] - all_of_them["mfcc_01_mean"] == pytest.approx(
        all_of_them["mfcc_01_3_1_off"], abs=1e-3
    )


def test_a_higher_voice_is_higher():
    signal = speech(16_000)
    low = dict(zip(prosody.COLUMNS, of_window("prosody", signal), strict=True))
    faster = soxr.resample(signal, 16_000, 16_000 * 0.8)  # read at 16 kHz: 3.86 semitones higher, in 0.8 of the time
    high = dict(zip(prosody.COLUMNS, of_window("prosody", faster), strict=True))
    assert high["f0_p50"] - low["f0_p50"] == pytest.approx(12 * np.log2(1.25), abs=0.5)
    assert high["log_duration"] - low["log_duration"] == pytest.approx(np.log(0.8), abs=0.03)


def test_what_is_unvoiced_has_no_pitch():
    values = dict(zip(functionals.COLUMNS, of_window("functionals", RANDOM.standard_normal(16_000)), strict=True))
    assert values["f0_mean"] == values["f1_3_2_off"] == values["level_voiced_mean"] == ABSENT
    assert values["level_unvoiced_mean"] != ABSENT
    assert dict(zip(prosody.COLUMNS, of_window("prosody", np.zeros(16_000)), strict=True))["f0_mean"] == ABSENT


def test_filters_have_no_mean_and_a_norm_of_one():
    banks = gabor._banks()
    assert sum(len(bank) for _, bank in banks) == gabor.N_FILTERS
    for _, bank in banks:
        np.testing.assert_allclose(bank.sum(axis=1), 0, atol=1e-4)
        np.testing.assert_allclose((bank**2).sum(axis=1), 1, rtol=1e-4)


def test_filters_are_correlated_with_the_levels():
    levels = RANDOM.standard_normal((60, gabor.N_MELS)).astype(np.float32)
    outputs, row = gabor.filtered(levels), 0
    for reach, bank in gabor._banks():
        kernel = bank[0].reshape(-1, gabor.N_MELS)
        assert outputs[row, 30] == pytest.approx((levels[30 - reach : 31 + reach] * kernel).sum(), abs=1e-3)
        row += len(bank)


def bands(signal, rate):
    values = heard("high-band", signal, rate).reshape(-1, len(high_band.BANDS))
    return values, (values == ABSENT).any(axis=0)


def test_bands_that_a_file_lacks_are_absent():
    full = speech(48_000)
    assert not bands(full, 48_000)[1].any()
    values, absent = bands(soxr.resample(full, 48_000, 16_000), 16_000)
    assert absent.tolist() == [False, *[True] * 9]
    assert (values[:, absent] == ABSENT).all()
    assert bands(soxr.resample(full, 48_000, 32_000), 32_000)[1].tolist() == [False] * 7 + [True] * 3


def test_a_tone_stands_in_its_band():
    tone = np.sin(2 * np.pi * 10_000 * np.arange(48_000) / 48_000)
    values, _ = bands(tone + 0.01 * RANDOM.standard_normal(48_000), 48_000)
    assert values[0].argmax() == np.searchsorted(high_band.EDGES_HZ, 10_000) - 1
    # Under a Hann window the powers of a sine's bins add up to 1.5.
    assert values[0].max() == pytest.approx(10 * np.log10(1.5), abs=0.5)


def test_steps_of_log_mels_end_with_speech():
    steps = of_window("logmel", speech(16_000))
    there = steps[:, 0] != ABSENT
    assert there[: there.sum()].all()
    assert (steps[there.sum() :] == ABSENT).all()
    assert there.sum() * logmel.HOP_SECONDS <= 3.1
    assert set(np.unique(steps[there, -1])) == {0.0, 1.0}
    assert logmel.HOP_SECONDS == 2 * HOP_SECONDS
    assert np.abs(steps[there]).max() < 6


@pytest.mark.parametrize("name", NAMES)
def test_another_input_is_refused(name):
    family = FAMILIES[name]
    assert family.with_input(level="peak") == family
    with pytest.raises(UserError) as error:
        family.with_input(level="as-is")
    assert str(error.value).startswith(f"The family {name!r} is made for SoundInput(sample_rate_hz=")
    assert str(error.value).endswith("leave out --sample-rate-hz and --level.")
