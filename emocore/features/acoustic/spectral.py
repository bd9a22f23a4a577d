"""What a spectrum says of each frame, whoever or whatever sounds: level, shape, slopes, change, periodicity."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from emocore.features.acoustic.spectra import band, bins_hz, decibels

TRACKS = (
    *(("level", "dB of full scale"), ("loudness", "Σ of mel powers to the power 0.3"), ("centroid", "kHz")),
    *(("spread", "kHz"), ("spectral_skew", "1"), ("spectral_kurtosis", "1"), ("roll_off_25", "kHz")),
    *(("roll_off_50", "kHz"), ("roll_off_75", "kHz"), ("roll_off_90", "kHz"), ("flux", "1"), ("entropy", "0 … 1")),
    *(("flatness", "dB"), ("alpha_ratio", "dB"), ("hammarberg", "dB"), ("slope_0_500", "dB/kHz")),
    *(("slope_500_1500", "dB/kHz"), ("slope", "dB/kHz"), ("zero_crossings", "a sample"), ("sharpness", "0 … 1")),
    *(("periodicity", "0 … 1"), ("harmonicity", "dB"), ("energy_250_650", "dB of all"), ("energy_1k_4k", "dB of all")),
    ("energy_4k_8k", "dB of all"),
)
_SLOPES_HZ = ((0, 500), (500, 1_500), (0, 8_001))


def spectral_tracks(
    frames: NDArray[np.float32],
    power: NDArray[np.float32],
    mel: NDArray[np.float32],
    periodicity: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Return TRACKS float32[t, 25].

    `frames` float32[t, 400], their spectra `power` [t, 257] and mel bands `mel` [t, 40], and the heights [t] of their
    autocorrelations' peaks.
    """
    specific = np.power(mel, np.float32(0.3))
    loudness = specific.sum(axis=1)
    sharpness = specific @ np.linspace(0, 1, mel.shape[1], dtype=np.float32) / np.maximum(loudness, 1e-9)
    crossings = (np.signbit(frames[:, 1:]) != np.signbit(frames[:, :-1])).mean(axis=1)
    level = decibels(np.mean(frames * frames, axis=1))
    known = np.clip(periodicity, 1e-3, 1 - 1e-3)
    columns = [
        *(level, loudness, *_shape(power).T, _flux(power), *_evenness(power), *_balance(power)),
        *(*_slopes(power).T, crossings, sharpness, periodicity, 10 * np.log10(known / (1 - known))),
        *_energies(power),
    ]
    return np.stack(columns, axis=1).astype(np.float32)


def _shape(power: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return centroid, spread, skew, kurtosis of the magnitudes and roll-offs of the powers, float64[t, 8], in kHz."""
    khz = bins_hz() / 1_000
    magnitudes = np.sqrt(power).astype(np.float64) + 1e-9
    raw = magnitudes @ np.stack([np.ones_like(khz), khz, khz**2, khz**3, khz**4], axis=1)
    m1, m2, m3, m4 = (raw[:, 1:] / raw[:, :1]).T
    spread = np.sqrt(np.maximum(m2 - m1**2, 1e-9))
    skew = (m3 - 3 * m1 * m2 + 2 * m1**3) / spread**3
    kurtosis = (m4 - 4 * m1 * m3 + 6 * m1**2 * m2 - 3 * m1**4) / spread**4
    running = np.cumsum(power + np.float32(1e-12), axis=1)
    rolls = [(running < share * running[:, -1:]).sum(axis=1) * khz[1] for share in (0.25, 0.5, 0.75, 0.9)]
    return np.stack([m1, spread, skew, kurtosis, *rolls], axis=1)


def _flux(power: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return how far the magnitudes, scaled to a sum of 1, lie from those of the frame before; 0 for the first."""
    magnitudes = np.sqrt(power) + np.float32(1e-7)
    magnitudes /= magnitudes.sum(axis=1, keepdims=True)
    steps = np.diff(magnitudes, axis=0, prepend=magnitudes[:1])
    return np.asarray(np.sqrt(np.einsum("tf,tf->t", steps, steps)), np.float32)


def _evenness(power: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Return the entropy of the powers as a share of the largest there is, and their flatness in dB."""
    kept = power + np.float32(1e-10)
    total = kept.sum(axis=1)
    logs = np.log(kept)
    entropy = np.log(total) - np.einsum("tf,tf->t", kept, logs) / total
    flatness = 10 / np.log(10) * (logs.mean(axis=1) - np.log(total / kept.shape[1]))
    return [entropy / np.log(kept.shape[1]), flatness]


def _balance(power: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Return the alpha ratio and the Hammarberg index, in dB (Eyben et al., GeMAPS, 2016)."""
    alpha = _level(power, 50, 1_000) - _level(power, 1_000, 5_000)
    low, high = (decibels(power[:, band(*edges)].max(axis=1)) for edges in ((0, 2_000), (2_000, 5_000)))
    return [alpha, low - high]


def _energies(power: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Return the shares of three bands in all of the energy, in dB."""
    whole = decibels(power.sum(axis=1))
    return [_level(power, *edges) - whole for edges in ((250, 650), (1_000, 4_000), (4_000, 8_001))]


def _level(power: NDArray[np.float32], low_hz: float, high_hz: float) -> NDArray[np.float32]:
    return decibels(power[:, band(low_hz, high_hz)].sum(axis=1))


def _slopes(power: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the slopes of straight lines through the levels of three bands, float32[t, 3], in dB/kHz."""
    return decibels(power) @ _slope_weights()


@cache
def _slope_weights() -> NDArray[np.float32]:
    weights = np.zeros((len(bins_hz()), len(_SLOPES_HZ)), np.float32)
    for i, edges in enumerate(_SLOPES_HZ):
        inside = band(*edges)
        centred = (bins_hz()[inside] - bins_hz()[inside].mean()) / 1_000
        weights[inside, i] = centred / (centred**2).sum()
    return weights
