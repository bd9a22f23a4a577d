"""The fundamental frequency of a voice, frame by frame: autocorrelation, and the best path through its candidates."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emocore.features.acoustic.spectra import RATE_HZ, blocks, framed, hann

LOWEST_HZ, HIGHEST_HZ = 65.0, 700.0
FRAME, N_FFT = 640, 1_024  # 40 ms
_LAGS = slice(RATE_HZ // int(HIGHEST_HZ), int(RATE_HZ / LOWEST_HZ) + 2)
_CANDIDATES = 6
_OCTAVE = 0.02  # what an octave lower costs a candidate: 600 Hz is not taken for 200
_OCTAVE_JUMP, _VOICING_CHANGE = 0.45, 0.16  # what a step of 10 ms costs
_UNVOICED, _SILENCE = 0.42, 0.03
_REFERENCE_HZ = 27.5  # of semitones: GeMAPS's


@dataclass(frozen=True)
class Pitch:
    """The path through n frames.

    `hz` float32[t], 0 where the frame is unvoiced; `periodicity` float32[t], the height 0 … 1 of the best candidate's
    peak in the autocorrelation; `spectra` float32[t, 513], power spectra of the frames of 40 ms.
    """

    hz: NDArray[np.float32]
    periodicity: NDArray[np.float32]
    spectra: NDArray[np.float32]

    @property
    def voiced(self) -> NDArray[np.bool_]:
        """Which frames are voiced, bool[t]."""
        return self.hz > 0


def track_pitch(signal: NDArray[np.float32], hop: int) -> Pitch:
    """Return the pitch of float32[samples] at 16 kHz every so many samples.

    Boersma, "Accurate short-term analysis of the fundamental frequency" (1993), with frames of 40 ms.
    """
    frames = framed(signal, FRAME, hop)
    parts = [_of_frames(frames[part]) for part in blocks(len(frames))]
    loudest, power, lags, heights = (np.concatenate(one) for one in zip(*parts, strict=True))
    hz = np.where(np.isfinite(heights), RATE_HZ / lags, 0.0)
    silence = np.maximum(0, 2 - loudest / max(float(loudest.max()), 1e-9) * (1 + _UNVOICED) / _SILENCE)
    strengths = np.concatenate(
        [(_UNVOICED + silence)[:, None], heights - _OCTAVE * np.log2(LOWEST_HZ * lags / RATE_HZ)], axis=1
    )
    path = _best_path(np.concatenate([np.zeros((len(hz), 1)), hz], axis=1), strengths)
    best = np.where(path > 0, path - 1, heights.argmax(axis=1))
    rows = np.arange(len(path))
    periodicity = np.nan_to_num(heights[rows, best], neginf=0.0).clip(0, 1)
    found = np.where(path > 0, hz[rows, best], 0.0)
    return Pitch(found.astype(np.float32), periodicity.astype(np.float32), power)


def semitones(hz: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return semitones above 27.5 Hz.

    >>> semitones(np.float32([55, 110])).tolist()
    [12.0, 24.0]
    """
    return np.asarray(12 * np.log2(hz / _REFERENCE_HZ), np.float32)


def _of_frames(frames: NDArray[np.float32]) -> tuple[NDArray[Any], ...]:
    """Return the largest magnitudes [t], the power spectra [t, 513] and the candidates of frames float32[t, 640]."""
    spectrum = np.fft.rfft((frames - frames.mean(axis=1, keepdims=True)) * hann(FRAME), N_FFT, axis=1)
    power = np.asarray(spectrum.real**2 + spectrum.imag**2, np.float32)
    correlation = np.asarray(np.fft.irfft(power, axis=1)[:, : _LAGS.stop], np.float32)
    correlation /= np.maximum(correlation[:, :1], 1e-9) * _of_the_window()
    scale = np.float32((2 / hann(FRAME).sum()) ** 2)
    return (np.abs(frames).max(axis=1), power * scale, *_candidates(correlation))


@cache
def _of_the_window() -> NDArray[np.float32]:
    """Return the Hann window's own autocorrelation, float32[lags], 1 at lag 0."""
    found = np.fft.irfft(np.abs(np.fft.rfft(hann(FRAME), N_FFT)) ** 2)[: _LAGS.stop]
    return np.asarray(found / found[0], np.float32)


def _candidates(correlation: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the lags in samples and the heights of the highest peaks, float64[t, 6]; −inf where there is none."""
    inner = correlation[:, _LAGS]
    before, after = correlation[:, _LAGS.start - 1 : _LAGS.stop - 1], correlation[:, _LAGS.start + 1 :]
    inner, before = inner[:, : after.shape[1]], before[:, : after.shape[1]]
    peaks = np.where((inner > before) & (inner >= after) & (inner > 0), inner, -np.inf)
    places = np.argpartition(peaks, -_CANDIDATES, axis=1)[:, -_CANDIDATES:]
    y = np.take_along_axis(peaks, places, axis=1).astype(np.float64)
    left, right = (np.take_along_axis(part, places, axis=1).astype(np.float64) for part in (before, after))
    middle = np.where(np.isfinite(y), y, 0.0)
    curve = np.where(np.isfinite(y), left - 2 * middle + right, -1.0)
    offset = np.where(np.isfinite(y), 0.5 * (left - right) / np.minimum(curve, -1e-12), 0.0).clip(-0.5, 0.5)
    height = y - 0.25 * (left - right) * offset
    height = np.where(height > 1, 1 / np.maximum(height, 1), height)
    return places + _LAGS.start + offset, height


def _best_path(hz: NDArray[np.float64], strengths: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the candidate of each frame, int64[t], 0 for unvoiced, by Viterbi's algorithm."""
    count = len(hz)
    octaves = np.log2(np.where(hz > 0, hz, 1.0))
    steps = _OCTAVE_JUMP * np.abs(octaves[1:, None, :] - octaves[:-1, :, None])  # [t − 1, from, to]
    steps[:, 0, :] = steps[:, :, 0] = _VOICING_CHANGE
    steps[:, 0, 0] = 0.0
    came_from = np.zeros(hz.shape, np.int64)
    score = strengths[0]
    columns = np.arange(hz.shape[1])
    for t in range(1, count):
        reached = score[:, None] - steps[t - 1]
        came_from[t] = reached.argmax(axis=0)
        score = reached[came_from[t], columns] + strengths[t]
    path = np.zeros(count, np.int64)
    path[-1] = score.argmax()
    for t in range(count - 1, 0, -1):
        path[t - 1] = came_from[t, path[t]]
    return path
