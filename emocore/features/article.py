"""The article's features: MFCC, their two differences and the RMS energy, each summed up over the clip."""

from collections.abc import Sequence
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray

from emocore.features.compile import compile_alone
from emocore.features.family import Extractor, FeatureFamily, SoundInput, SoundWindow, first_window

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
    import librosa  # noqa: PLC0415 - seconds to import
    import scipy.fft  # noqa: PLC0415 - beside it

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
    import librosa  # noqa: PLC0415 - seconds to import

    return np.asarray(librosa.filters.mel(sr=sample_rate_hz, n_fft=N_FFT), dtype=np.float32)


@cache
def _delta_matrices() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    import librosa  # noqa: PLC0415 - seconds to import

    # A Savitzky-Golay difference is linear in the frames: its matrix is what it makes of the identity.
    identity = np.eye(N_FRAMES)
    return tuple(librosa.feature.delta(identity, order=order).astype(np.float32) for order in (1, 2))  # type: ignore[return-value] # two


def _load_columns(family: FeatureFamily) -> Extractor:
    compile_features()
    return lambda windows: _stacked(windows, 0, family)


def _load_frames(family: FeatureFamily) -> Extractor:
    compile_features()
    return lambda windows: _stacked(windows, 1, family)


@cache
def compile_features() -> None:
    """Compile what the features need of librosa, once a process."""
    compile_alone(lambda: article_features(np.zeros(N_SAMPLES, np.float32), 22_050))


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
