"""The voiced frames of a sound: pitch, harmonics, perturbation and the resonances of the vocal tract."""

import numpy as np
from numpy.typing import NDArray

from emocore.features.acoustic.pitch import N_FFT, Pitch, semitones
from emocore.features.acoustic.spectra import N_FFT as SHORT_FFT
from emocore.features.acoustic.spectra import RATE_HZ, bins_hz, decibels

TRACKS = (
    *(("f0", "semitones above 27.5 Hz"), ("h1_h2", "dB"), ("h1_a1", "dB"), ("h1_a3", "dB")),
    *(("jitter", "share of the period"), ("shimmer", "dB"), ("f1", "Hz"), ("f2", "Hz"), ("f3", "Hz")),
    *(("f1_bandwidth", "Hz"), ("f2_bandwidth", "Hz"), ("f3_bandwidth", "Hz")),
)
LEAST_FRAMES = 3  # that are voiced, for there to be a voice
_ORDER = 12
_TOP_HZ = 5_500  # of the spectrum in which resonances are looked for
_LOWEST_HZ, _BROADEST_HZ = 90.0, 500.0
_USUAL = np.array([500.0, 1_500.0, 2_500.0])  # of a neutral vowel: where no frame shows a resonance


def voice_tracks(power: NDArray[np.float32], pitch: Pitch) -> NDArray[np.float32]:
    """Return TRACKS float32[t, 12] from spectra of 25 ms float32[t, 257]: straight lines between the voiced frames.

    Zeros where fewer than LEAST_FRAMES are voiced.
    """
    voiced = np.flatnonzero(pitch.voiced)
    if len(voiced) < LEAST_FRAMES:
        return np.zeros((len(power), len(TRACKS)), np.float32)
    hz = pitch.hz[voiced]
    centres, widths = resonances(power[voiced])
    levels = decibels(pitch.spectra[voiced])
    first, second = (_peak(levels, order * hz, 0.3 * hz) for order in (1, 2))
    near_1, near_3 = (_peak(levels, centres[:, i], 0.6 * hz) for i in (0, 2))
    loudness = decibels(pitch.spectra[voiced].sum(axis=1))
    columns = [
        *(semitones(hz), first - second, first - near_1, first - near_3),
        *(_roughness(1 / hz, voiced) * hz, _roughness(loudness, voiced), *centres.T, *widths.T),
    ]
    times = np.arange(len(power))
    return np.stack([np.interp(times, voiced, column) for column in columns], axis=1).astype(np.float32)


def resonances(power: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the centres and bandwidths in Hz of the three lowest resonances, float64[t, 3] each, of float32[t, 257].

    Poles of linear prediction of order 12 over the spectrum below 5,500 Hz, pre-emphasised (Makhoul, "Spectral linear
    prediction", 1975). A frame that lacks one has the median of the others.
    """
    bins = int(_TOP_HZ / RATE_HZ * SHORT_FFT) + 1
    hz = bins_hz()[:bins]
    emphasis = 1 + 0.97**2 - 2 * 0.97 * np.cos(2 * np.pi * hz / RATE_HZ)
    correlation = np.fft.irfft(power[:, :bins].astype(np.float64) * emphasis, axis=1)[:, : _ORDER + 1]
    predictor = _levinson(correlation)
    companion = np.zeros((len(power), _ORDER, _ORDER))
    companion[:, 0] = -predictor[:, 1:]
    companion[:, np.arange(1, _ORDER), np.arange(_ORDER - 1)] = 1.0
    poles = np.linalg.eigvals(companion)
    rate = 2 * hz[-1]
    centres = np.angle(poles) * rate / (2 * np.pi)
    widths = -np.log(np.maximum(np.abs(poles), 1e-6)) * rate / np.pi
    usable = (centres > _LOWEST_HZ) & (centres < hz[-1] - 50) & (widths < _BROADEST_HZ)
    order = np.argsort(np.where(usable, centres, np.inf), axis=1)[:, :3]
    there = np.take_along_axis(usable, order, axis=1)
    return (
        _filled(np.take_along_axis(centres, order, axis=1), there, _USUAL),
        _filled(np.take_along_axis(widths, order, axis=1), there, np.full(3, 200.0)),
    )


def _levinson(correlation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the predictors 1, a₁ … of autocorrelations float64[t, order + 1], many at once."""
    predictor = np.zeros_like(correlation)
    predictor[:, 0] = 1.0
    error = np.maximum(correlation[:, 0], 1e-12) * (1 + 1e-6)
    for i in range(1, correlation.shape[1]):
        reflection = -(predictor[:, :i] * correlation[:, i:0:-1]).sum(axis=1) / error
        predictor[:, 1 : i + 1] += reflection[:, None] * predictor[:, i - 1 :: -1][:, :i]
        error *= np.maximum(1 - reflection**2, 1e-9)
    return predictor


def _filled(values: NDArray[np.float64], there: NDArray[np.bool_], usual: NDArray[np.float64]) -> NDArray[np.float64]:
    medians = [
        np.median(column[known]) if known.any() else one
        for column, known, one in zip(values.T, there.T, usual, strict=True)
    ]
    return np.where(there, values, medians)


def _peak(levels: NDArray[np.float32], hz: NDArray[np.floating], around: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return the highest level, float32[t], within so many Hz of a frequency, in spectra of 40 ms in dB."""
    step = RATE_HZ / N_FFT
    first = np.floor((hz - around) / step).astype(np.int64)
    last = np.ceil((hz + around) / step).astype(np.int64)
    places = np.minimum(first[:, None] + np.arange(int((last - first).max()) + 1), last[:, None])
    highest: NDArray[np.float32] = np.take_along_axis(levels, places.clip(0, levels.shape[1] - 1), axis=1).max(axis=1)
    return highest


def _roughness(values: NDArray[np.floating], frames: NDArray[np.int64]) -> NDArray[np.floating]:
    """Return how far each value lies from the mean of its neighbours' frames; 0 at the ends of a run."""
    found = np.zeros_like(values)
    inside = np.flatnonzero((np.diff(frames)[:-1] == 1) & (np.diff(frames)[1:] == 1)) + 1
    found[inside] = np.abs(values[inside] - (values[inside - 1] + values[inside + 1]) / 2)
    return found
