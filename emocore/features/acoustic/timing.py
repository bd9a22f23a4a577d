"""How speech is spread over time: its length, voiced and unvoiced runs, peaks of loudness, how fast energy changes."""

from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from emocore.features.acoustic.spectra import HOP_SECONDS, decibels

COLUMNS = (
    *(("log_duration", "ln s"), ("voiced_ratio", "of the frames"), ("voiced_runs", "1/s")),
    *(("voiced_run_mean", "s"), ("voiced_run_std", "s"), ("voiced_run_longest", "s")),
    *(("unvoiced_run_mean", "s"), ("unvoiced_run_std", "s"), ("unvoiced_run_longest", "s")),
    *(("loudness_peaks", "1/s"), ("loudness_peak_height", "of the mean loudness"), ("pauses", "1/s")),
    *(("pause_ratio", "of the frames"), ("f0_rising", "of the voiced steps")),
)
_PAUSE_DECIBELS = 25.0  # below the loud frames
EDGES_HZ = np.geomspace(0.3, 35.0, 10)
BANDS = tuple(f"{low:.1f}_{high:.1f}hz" for low, high in pairwise(EDGES_HZ))
_LEAST_TIMES = 1_024


def timing(level: NDArray[np.float32], loudness: NDArray[np.float32], hz: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return COLUMNS float32[14] from the level in dB, the loudness and the pitch of each frame, float32[t] each."""
    seconds = len(hz) * HOP_SECONDS
    voiced = hz > 0
    spoken, silent = run_lengths(voiced), run_lengths(~voiced)
    peaks = np.flatnonzero((loudness[1:-1] > loudness[:-2]) & (loudness[1:-1] >= loudness[2:])) + 1
    mean = max(float(loudness.mean()), 1e-9)
    peaks = peaks[loudness[peaks] > mean]
    pausing = level < np.percentile(level, 95) - _PAUSE_DECIBELS
    both = voiced[1:] & voiced[:-1]
    rising = (np.diff(hz)[both] > 0).mean() if both.any() else 0.5
    height = loudness[peaks].mean() / mean if len(peaks) else 1.0
    values = [
        *(np.log(seconds), voiced.mean(), len(spoken) / seconds, *_moments(spoken), *_moments(silent)),
        *(len(peaks) / seconds, height, len(run_lengths(pausing)) / seconds, pausing.mean(), rising),
    ]
    return np.asarray(values, np.float32)


def run_lengths(flags: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the lengths of the runs of true frames.

    >>> run_lengths(np.array([True, True, False, True])).tolist()
    [2, 1]
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]])))
    return edges[1::2] - edges[::2]


def _moments(lengths: NDArray[np.int64]) -> tuple[float, float, float]:
    """Return mean, deviation and longest of runs, in seconds; zeros where there is none."""
    if not len(lengths):
        return 0.0, 0.0, 0.0
    seconds = lengths * HOP_SECONDS
    return float(seconds.mean()), float(seconds.std()), float(seconds.max())


def modulation(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the power of the changes of tracks float32[t, d] in BANDS, float32[9, d], in dB, their means taken off."""
    size = max(_LEAST_TIMES, 1 << (len(x) - 1).bit_length())
    spectrum = np.fft.rfft((x - x.mean(axis=0)).T, size, axis=1)
    power = np.asarray((spectrum.real**2 + spectrum.imag**2) / len(x), np.float32)
    return decibels(_band_means(size) @ power.T + np.float32(1e-6))


@lru_cache(maxsize=16)
def _band_means(size: int) -> NDArray[np.float32]:
    """Return what takes the mean of the bins of each band, float32[9, size // 2 + 1]."""
    hz = np.arange(size // 2 + 1) / (size * HOP_SECONDS)
    inside = (hz >= EDGES_HZ[:-1, None]) & (hz < EDGES_HZ[1:, None])
    return np.asarray(inside / np.maximum(inside.sum(axis=1, keepdims=True), 1), np.float32)


def correlations(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return how tracks float32[t, d] go together, pair by pair, float32[d · (d − 1) / 2]; 0 where one stands still."""
    centred = x - x.mean(axis=0)
    norms = np.sqrt((centred**2).sum(axis=0))
    scaled = centred / np.where(norms > 1e-6, norms, np.inf)
    return np.asarray((scaled.T @ scaled)[np.triu_indices(x.shape[1], 1)], np.float32)
