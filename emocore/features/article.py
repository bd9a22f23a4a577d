"""The article's features: MFCC, their two differences and the RMS energy, each summed up over the clip.

They are librosa's to the last digit (0.11, see the test), without the second that it and its compiler take to import
in every process.
"""

from collections.abc import Sequence
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray

from emocore.features.family import Extractor, FeatureFamily, SoundInput, SoundWindow, first_window

N_FRAMES = 157
N_MFCC = 13
N_FFT = 2048
HOP_LENGTH = 512
N_MELS = 128
_LEAST_POWER = 1e-10
_RANGE_DECIBELS = 80.0
_DELTA_FRAMES = 9
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
    import scipy.fft  # noqa: PLC0415 - which --help need not wait for

    given = np.asarray(signal, dtype=np.float32)[:N_SAMPLES]
    padded = np.pad(given, (N_FFT // 2, N_FFT // 2 + N_SAMPLES - len(given)))
    cut = np.lib.stride_tricks.sliding_window_view(padded, N_FFT)[::HOP_LENGTH]
    # What is multiplied and summed up below lies in memory as librosa has it: the last digits depend on that.
    power = np.abs(np.fft.rfft(_hann() * cut, axis=1).astype(np.complex64)).T ** 2
    decibels = 10.0 * np.log10(np.maximum(_LEAST_POWER, _mel_filters(sample_rate_hz) @ power))
    decibels = np.maximum(decibels, decibels.max() - _RANGE_DECIBELS)
    mfcc = scipy.fft.dct(decibels, axis=0, type=2, norm="ortho")[:N_MFCC]
    first, second = _delta_matrices()
    frames = np.vstack([mfcc, mfcc @ first, mfcc @ second]).astype(np.float32)
    rows = np.vstack([frames, np.sqrt(np.mean(np.square(cut.T), axis=0, keepdims=True))])
    columns = np.concatenate([rows.mean(axis=1), rows.max(axis=1), rows.min(axis=1), rows.std(axis=1)])
    return columns.astype(np.float32), np.ascontiguousarray(frames.T)


@cache
def _hann() -> NDArray[np.float64]:
    # In the order in which SciPy adds: its numbers, not only to rounding.
    return (0.5 + 0.5 * np.cos(np.linspace(-np.pi, np.pi, N_FFT + 1)))[:-1]


@cache
def _mel_filters(sample_rate_hz: int) -> NDArray[np.float32]:
    """Return float32[N_MELS, N_FFT // 2 + 1]: triangles of equal area between frequencies equally far apart in mel.

    The scale is Slaney's (Auditory Toolbox, 1998): linear up to 1 kHz, logarithmic beyond.
    """
    hertz_a_mel, edge_hz, step = 200.0 / 3, 1000.0, np.log(6.4) / 27.0
    edge = edge_hz / hertz_a_mel
    highest = edge + np.log(sample_rate_hz / 2 / edge_hz) / step
    mels = np.linspace(0.0, highest, N_MELS + 2)
    hertz = np.where(mels < edge, hertz_a_mel * mels, edge_hz * np.exp(step * (mels - edge)))
    ramps = np.subtract.outer(hertz, np.fft.rfftfreq(N_FFT, 1.0 / sample_rate_hz))
    widths = np.diff(hertz)[:, None]
    filters = np.maximum(0, np.minimum(-ramps[:-2] / widths[:-1], ramps[2:] / widths[1:])).astype(np.float32)
    return np.asarray(filters * (2.0 / (hertz[2:] - hertz[:-2]))[:, None], np.float32)


@cache
def _delta_matrices() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    from scipy.signal import savgol_filter  # noqa: PLC0415 - half a second to import

    # A Savitzky-Golay difference is linear in the frames: its matrix is what it makes of the identity.
    identity = np.eye(N_FRAMES)
    first, second = (savgol_filter(identity, _DELTA_FRAMES, order, deriv=order) for order in (1, 2))
    return first.astype(np.float32), second.astype(np.float32)


def _load_columns(family: FeatureFamily) -> Extractor:
    return lambda windows: _stacked(windows, 0, family)


def _load_frames(family: FeatureFamily) -> Extractor:
    return lambda windows: _stacked(windows, 1, family)


def _stacked(windows: Sequence[SoundWindow], which: int, family: FeatureFamily) -> NDArray[np.float32]:
    values = [_both(window.samples.tobytes(), window.sample_rate_hz)[which] for window in windows]
    return np.stack(values) if values else np.zeros((0, *family.shape), np.float32)


@lru_cache(maxsize=4)  # the two families of one window are computed once
def _both(samples: bytes, sample_rate_hz: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    return article_features(np.frombuffer(samples, np.float32), sample_rate_hz)


ARTICLE = FeatureFamily(
    name="article",
    version=1,
    reads=SoundInput(22_050),
    shape=(len(COLUMNS),),
    load=_load_columns,
    columns=COLUMNS,
    grid=first_window(N_SAMPLES, 22_050),
    window_samples=N_SAMPLES,
)
ARTICLE_FRAMES = FeatureFamily(
    name="article-frames",
    version=1,
    reads=SoundInput(22_050),
    shape=(N_FRAMES, 3 * N_MFCC),
    load=_load_frames,
    hop_seconds=HOP_LENGTH / 22_050,
    grid=first_window(N_SAMPLES, 22_050),
    window_samples=N_SAMPLES,
)
