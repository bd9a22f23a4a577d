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
_EDGE = N_FFT // 2 // HOP_LENGTH  # frames at each end of a window that reach over it
_FRAMES_AT_ONCE = 256  # whose spectra fit a processor's cache
_LEAST_POWER, _MOST_DECIBELS = 1e-10, 80.0  # librosa.power_to_db's
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


def article_features_of_windows(
    stretch: NDArray[np.float32], firsts: Sequence[int], sample_rate_hz: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return what `article_features` gives for n windows of one stretch: float32[n, 160] and float32[n, 157, 39].

    Each window is the N_SAMPLES of float32[samples] from one of `firsts` on; they lie multiples of HOP_LENGTH apart.
    But for the frames that reach over a window's edges, which see silence there, spectra are computed once.

    >>> article_features_of_windows(np.zeros(N_SAMPLES + 512, np.float32), [0, 512], 22050)[0].shape
    (2, 160)
    """
    origin = min(firsts)
    spans = np.lib.stride_tricks.sliding_window_view(stretch[origin : max(firsts) + N_SAMPLES], N_FFT)[::HOP_LENGTH]
    places = (np.asarray(firsts) - origin) // HOP_LENGTH
    inner = places[:, None] + np.arange(N_FRAMES - 2 * _EDGE)
    edges = np.stack([_edges(stretch[first : first + N_SAMPLES]) for first in firsts]).reshape(-1, N_FFT)
    (of_spans, rms_of_spans), (of_edges, rms_of_edges) = (_levels(part, sample_rate_hz) for part in (spans, edges))
    n = len(firsts)

    def joined(shared: NDArray[np.float32], own: NDArray[np.float32]) -> NDArray[np.float32]:
        own = own.reshape(n, 2 * _EDGE, *own.shape[1:])
        return np.concatenate([own[:, :_EDGE], shared[inner], own[:, _EDGE:]], axis=1)

    levels = joined(of_spans, of_edges)  # [n, 157, 128]
    levels = np.maximum(levels, levels.max(axis=(1, 2), keepdims=True) - _MOST_DECIBELS)
    mfcc = (levels.reshape(-1, levels.shape[-1]) @ _cosines(levels.shape[-1]).T).reshape(n, N_FRAMES, N_MFCC)
    first, second = _delta_matrices()
    frames = np.concatenate(
        [mfcc, *(np.einsum("ntc,tu->nuc", mfcc, by, optimize=True) for by in (first, second))], axis=2
    )
    rows = np.concatenate([frames, joined(rms_of_spans[:, None], rms_of_edges[:, None])], axis=2)
    columns = np.concatenate([rows.mean(axis=1), rows.max(axis=1), rows.min(axis=1), rows.std(axis=1)], axis=1)
    return columns.astype(np.float32), frames.astype(np.float32)


def _edges(window: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the frames that reach over a window's edges, float32[2 · _EDGE, N_FFT]."""
    padded = np.pad(window, N_FFT // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, N_FFT)[::HOP_LENGTH]
    return np.concatenate([frames[:_EDGE], frames[-_EDGE:]])


def _levels(frames: NDArray[np.float32], sample_rate_hz: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the mel levels of frames float32[t, N_FFT], in decibels [t, 128], and their RMS energies [t]."""
    import scipy.fft  # noqa: PLC0415 - beside librosa

    levels = np.empty((len(frames), len(_mel_filters(sample_rate_hz))), np.float32)
    rms = np.empty(len(frames), np.float32)
    for at in range(0, len(frames), _FRAMES_AT_ONCE):
        part = frames[at : at + _FRAMES_AT_ONCE]
        spectrum = scipy.fft.rfft(part * _hann(), axis=1)
        power = spectrum.real**2 + spectrum.imag**2
        levels[at : at + len(part)] = 10 * np.log10(np.maximum(power @ _mel_filters(sample_rate_hz).T, _LEAST_POWER))
        rms[at : at + len(part)] = np.sqrt(np.mean(part * part, axis=1))
    return levels, rms


@cache
def _hann() -> NDArray[np.float32]:
    import scipy.signal  # noqa: PLC0415 - beside librosa

    return np.asarray(scipy.signal.get_window("hann", N_FFT), np.float32)


@cache
def _cosines(n_mels: int) -> NDArray[np.float32]:
    import scipy.fft  # noqa: PLC0415 - beside librosa

    return np.asarray(scipy.fft.dct(np.eye(n_mels), axis=0, type=2, norm="ortho")[:N_MFCC], np.float32)


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
    values = np.zeros((len(windows), *family.shape), np.float32)
    shared = [i for i, window in enumerate(windows) if window.stretch is not None and len(window.samples) == N_SAMPLES]
    shared = [i for i in shared if (windows[i].first - windows[shared[0]].first) % HOP_LENGTH == 0]
    if len(shared) > 1:
        stretch = windows[shared[0]].stretch
        assert stretch is not None
        firsts = [windows[i].first for i in shared]
        values[shared] = article_features_of_windows(stretch, firsts, windows[shared[0]].sample_rate_hz)[which]
    for i in set(range(len(windows))).difference(shared if len(shared) > 1 else ()):
        values[i] = _both(windows[i].samples.tobytes(), windows[i].sample_rate_hz)[which]
    return values


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
    hop_samples=HOP_LENGTH,
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
    hop_samples=HOP_LENGTH,
)
