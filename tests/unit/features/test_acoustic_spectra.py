"""Frames, spectra, mel bands and the region of speech: against librosa and SciPy."""

import librosa
import numpy as np
import pytest
import scipy.fft

from emocore.features.acoustic import spectra

RATE = spectra.RATE_HZ


def noise(samples, seed=0):
    return (0.2 * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)


def test_power_spectra_are_those_of_librosa():
    signal = noise(RATE)
    power = spectra.power_spectra(spectra.framed(signal, spectra.N_FFT))
    short = librosa.stft(signal, n_fft=spectra.N_FFT, hop_length=spectra.HOP, pad_mode="constant")
    window = spectra.hann(spectra.N_FFT)
    np.testing.assert_allclose(power, np.abs(short.T) ** 2 * (2 / window.sum()) ** 2, rtol=1e-3, atol=1e-9)


def test_a_sine_of_full_scale_has_a_power_of_one():
    sine = np.sin(2 * np.pi * 1_000 * np.arange(RATE) / RATE).astype(np.float32)
    power = spectra.power_spectra(spectra.framed(sine, spectra.FRAME))[5:-5]
    assert power[:, 32].min() == pytest.approx(1.0, rel=1e-3)
    assert spectra.decibels(power[:, 32]).max() == pytest.approx(0.0, abs=0.01)


@pytest.mark.parametrize("n_mels", [40, 64])
def test_mel_filters_are_those_of_librosa(n_mels):
    expected = librosa.filters.mel(sr=RATE, n_fft=512, n_mels=n_mels, fmin=50, fmax=8_000, htk=True, norm=None)
    np.testing.assert_allclose(spectra.mel_filters(n_mels), expected.T, atol=1e-5)


def test_cosines_are_those_of_scipy():
    levels = noise(10 * 40).reshape(10, 40)
    expected = scipy.fft.dct(levels, type=2, norm="ortho", axis=1)[:, :20]
    np.testing.assert_allclose(levels @ spectra.cosines(40, 20), expected, atol=1e-5)


def test_mfcc_are_those_of_librosa():
    signal = noise(RATE)
    power = spectra.power_spectra(spectra.framed(signal, spectra.FRAME))
    levels = spectra.decibels(power @ spectra.mel_filters(40))
    expected = librosa.feature.mfcc(S=levels.T, n_mfcc=20)
    np.testing.assert_allclose(levels @ spectra.cosines(40, 20), expected.T, atol=1e-3)


def test_speech_is_found_between_silences():
    signal = np.concatenate([1e-4 * noise(RATE), noise(RATE, 1), 1e-4 * noise(RATE // 2)])
    said = spectra.spoken(spectra.power_spectra(spectra.framed(signal, spectra.FRAME)))
    assert abs(said.start - 98) <= 4
    assert abs(said.stop - 203) <= 4


def test_all_of_silence_is_kept():
    power = spectra.power_spectra(spectra.framed(np.zeros(3_200, np.float32), spectra.FRAME))
    assert spectra.spoken(power) == slice(0, 21)
