"""Frames of sound at 16 kHz, their power spectra and mel bands: a frame every 10 ms, centred on it."""

from collections.abc import Iterator
from functools import cache

import numpy as np
from numpy.typing import NDArray

RATE_HZ = 16_000
HOP = 160  # samples between the middles of two frames
FRAME, N_FFT = 400, 512  # 25 ms
HOP_SECONDS = HOP / RATE_HZ
_FRAMES_AT_ONCE = 512
LEAST_POWER = 1e-10  # −100 dB; a sine of full scale has a power of 1


def framed(signal: NDArray[np.float32], length: int, hop: int = HOP) -> NDArray[np.float32]:
    """Return a view float32[t, length] of frames around the samples 0, hop, 2·hop …; silence lies outside.

    >>> framed(np.arange(1, 7, dtype=np.float32), 4, 3).tolist()
    [[0.0, 0.0, 1.0, 2.0], [2.0, 3.0, 4.0, 5.0], [5.0, 6.0, 0.0, 0.0]]
    """
    padded = np.pad(signal, length // 2)
    count = 1 + len(signal) // hop
    return np.lib.stride_tricks.sliding_window_view(padded, length)[: count * hop : hop]


def power_spectra(frames: NDArray[np.float32], n_fft: int = N_FFT) -> NDArray[np.float32]:
    """Return float32[t, n_fft // 2 + 1] of frames float32[t, length] under a Hann window; a full-scale sine has 1."""
    window = hann(frames.shape[1])
    scale = np.float32((2 / window.sum()) ** 2)
    power = np.empty((len(frames), n_fft // 2 + 1), np.float32)
    for part in blocks(len(frames)):
        spectrum = np.fft.rfft(frames[part] * window, n_fft, axis=1)
        power[part] = (spectrum.real**2 + spectrum.imag**2) * scale
    return power


def blocks(count: int) -> Iterator[slice]:
    """Yield the frames in pieces that fit a processor's cache: a clip of an hour needs no copy of all its frames.

    >>> list(blocks(600))
    [slice(0, 512, None), slice(512, 600, None)]
    """
    yield from (slice(at, min(at + _FRAMES_AT_ONCE, count)) for at in range(0, count, _FRAMES_AT_ONCE))


@cache
def hann(length: int) -> NDArray[np.float32]:
    """Return a periodic Hann window, float32[length]."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)).astype(np.float32)


@cache
def bins_hz(n_fft: int = N_FFT, rate_hz: int = RATE_HZ) -> NDArray[np.float64]:
    """Return the frequencies of the bins of a spectrum, float64[n_fft // 2 + 1]."""
    return np.asarray(np.arange(n_fft // 2 + 1) * (rate_hz / n_fft), np.float64)


@cache
def band(low_hz: float, high_hz: float) -> NDArray[np.bool_]:
    """Return which bins of a 25 ms spectrum lie in [low, high)."""
    return np.asarray((bins_hz() >= low_hz) & (bins_hz() < high_hz))


def decibels(power: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return 10 · log₁₀ of powers, −100 dB at least."""
    return np.float32(10) * np.log10(np.maximum(power, np.float32(LEAST_POWER)))


@cache
def mel_filters(n_mels: int, low_hz: float = 50.0, high_hz: float = 8_000.0) -> NDArray[np.float32]:
    """Return triangles float32[n_fft // 2 + 1, n_mels], evenly spaced on the mel scale 2595 · log₁₀(1 + f/700).

    They are librosa's `filters.mel(htk=True, norm=None)`, transposed.
    """
    low, high = (2595 * np.log10(1 + hz / 700) for hz in (low_hz, high_hz))
    corners = 700 * (10 ** (np.linspace(low, high, n_mels + 2) / 2595) - 1)
    rising = (bins_hz()[:, None] - corners[:-2]) / np.diff(corners)[:-1]
    falling = (corners[2:] - bins_hz()[:, None]) / np.diff(corners)[1:]
    return np.maximum(0, np.minimum(rising, falling)).astype(np.float32)


@cache
def cosines(n_mels: int, n_coefficients: int) -> NDArray[np.float32]:
    """Return the orthonormal cosine transform of type 2 as a matrix float32[n_mels, n_coefficients]."""
    angles = np.pi / n_mels * (np.arange(n_mels)[:, None] + 0.5) * np.arange(n_coefficients)
    scale = np.sqrt(np.where(np.arange(n_coefficients), 2, 1) / n_mels)
    return np.asarray(np.cos(angles) * scale, np.float32)


def spoken(power: NDArray[np.float32], bin_hz: float = RATE_HZ / N_FFT) -> slice:
    """Return the frames from the first to the last in which somebody speaks, two more at each end; all if nobody does.

    `power` float32[t, bins], so many Hz apart. A frame counts whose energy from 150 to 6,000 Hz, as the median of nine,
    lies in the upper 35 dB of the loud frames and above the quiet ones.
    """
    levels = decibels(power[:, round(150 / bin_hz) : round(6_000 / bin_hz)].sum(axis=1))
    quiet, loud = np.percentile(levels, (8, 97))
    threshold = max(loud - 35, min(quiet + 8, loud - 12))
    smooth = np.median(np.lib.stride_tricks.sliding_window_view(np.pad(levels, 4, mode="edge"), 9), axis=1)
    active = np.flatnonzero(smooth > threshold)
    if not len(active):
        return slice(0, len(levels))
    return slice(max(0, int(active[0]) - 2), min(len(levels), int(active[-1]) + 3))
