"""The article's features: MFCC, their two differences and the RMS energy, each summed up over the clip."""

from functools import cache

import librosa
import numpy as np
import scipy.fft
from numpy.typing import NDArray

N_FRAMES = 157
N_MFCC = 13
N_FFT = 2048
HOP_LENGTH = 512
# With frames centred on multiples of the hop, this many samples give 157 frames (3.62 s at 22,050 Hz).
N_SAMPLES = (N_FRAMES - 1) * HOP_LENGTH

STATISTICS = ("mean", "max", "min", "std")
_ROWS = (
    *(f"mfcc_{i:02d}" for i in range(1, N_MFCC + 1)),
    *(f"mfcc_{i:02d}_delta" for i in range(1, N_MFCC + 1)),
    *(f"mfcc_{i:02d}_delta2" for i in range(1, N_MFCC + 1)),
    "rms",
)
COLUMNS = tuple(f"{row}_{statistic}" for statistic in STATISTICS for row in _ROWS)


def article_features(
    signal: NDArray[np.float32], sample_rate_hz: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the 160 columns, float32[160] named COLUMNS, and the MFCC frames they sum up, float32[157, 39].

    `signal`, float32[samples], is padded with zeros or cut to N_SAMPLES. The frames are librosa's `mfcc` with 13
    coefficients, then their `delta` of order 1 and 2; RMS energy is librosa's `rms`.

    >>> columns, frames = article_features(np.zeros(22050, np.float32), 22050)
    >>> columns.shape, frames.shape, COLUMNS[0]
    ((160,), (157, 39), 'mfcc_01_mean')
    """
    fixed = librosa.util.fix_length(np.asarray(signal, dtype=np.float32), size=N_SAMPLES)
    power = np.abs(librosa.stft(fixed, n_fft=N_FFT, hop_length=HOP_LENGTH)) ** 2
    decibels = librosa.power_to_db(_mel_filters(sample_rate_hz) @ power)
    mfcc = scipy.fft.dct(decibels, axis=0, type=2, norm="ortho")[:N_MFCC]
    first, second = _delta_matrices()
    frames = np.vstack([mfcc, mfcc @ first, mfcc @ second]).astype(np.float32)
    rows = np.vstack([frames, librosa.feature.rms(y=fixed, frame_length=N_FFT, hop_length=HOP_LENGTH)])
    columns = np.concatenate([rows.mean(axis=1), rows.max(axis=1), rows.min(axis=1), rows.std(axis=1)])
    return columns.astype(np.float32), np.ascontiguousarray(frames.T)


@cache
def _mel_filters(sample_rate_hz: int) -> NDArray[np.float32]:
    return np.asarray(librosa.filters.mel(sr=sample_rate_hz, n_fft=N_FFT), dtype=np.float32)


@cache
def _delta_matrices() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    # A Savitzky-Golay difference is linear in the frames: its matrix is what it makes of the identity.
    identity = np.eye(N_FRAMES)
    return tuple(librosa.feature.delta(identity, order=order).astype(np.float32) for order in (1, 2))  # type: ignore[return-value]
