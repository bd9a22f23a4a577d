"""Acoustic functionals: what 97 tracks of a voice and its sound amount to over a window, 6,000 columns with names.

The tracks and their units are those of acoustic/spectral.py (25), of acoustic/voice.py (12, over voiced frames), 20
MFCC and 40 mel levels in dB. A column is named by its track and what was taken of it: FULL statistics of the track
smoothed over three frames, BASIC ones of its slope (`_delta`, units a frame), few of the slope's slope (`_delta2`), of
voiced and unvoiced frames alone, means of thirds and sixths of the window (`_3_1` … `_6_6`, and `_off` minus the
window's mean), the power of its changes by frequency, dB, correlations (`__`), and acoustic/timing.py's.
"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from emocore.features.acoustic import spectral, statistics, timing, voice
from emocore.features.acoustic.tracks import CEPSTRAL, WHOLE, tracks_of
from emocore.features.family import ABSENT, Extractor, FeatureFamily, SoundInput, each_alone

_WHOLE = tuple(name for name, _ in WHOLE)
_VOICE = tuple(name for name, _ in voice.TRACKS)
_ALL = (*_WHOLE, *_VOICE)
_MOVING = len(spectral.TRACKS) + len(CEPSTRAL)  # tracks whose acceleration counts
_DELTA = (*statistics.BASIC, "mean_change")
_DELTA2 = ("std", "p05", "p95")
_VOICED = ("mean", "std", "p10", "p50", "p90", "iqr")
_UNVOICED = ("mean", "std")
_PARTS = (3, 6)
# Whose changes are told apart by how fast they are: level, loudness, centroid, flux, alpha ratio, harmonicity, F0.
_MODULATED = (*(0, 1, 2, 10, 13, 21), len(_WHOLE), *(_WHOLE.index(f"mfcc_{i:02d}") for i in range(12)))
_TOGETHER = (*(_WHOLE.index(f"mfcc_{i:02d}") for i in range(14)), 0, len(_WHOLE))


def _names(tracks: Sequence[str], statistics_of: Sequence[str], middle: str = "") -> list[str]:
    return [f"{track}{middle}_{name}" for name in statistics_of for track in tracks]


COLUMNS = (
    *_names(_WHOLE, statistics.FULL),
    *_names(_WHOLE, _DELTA, "_delta"),
    *_names(_WHOLE[:_MOVING], _DELTA2, "_delta2"),
    *_names(_WHOLE, _VOICED, "_voiced"),
    *_names(_WHOLE, _UNVOICED, "_unvoiced"),
    *_names(_VOICE, statistics.FULL),
    *_names(_VOICE, _DELTA, "_delta"),
    *(f"{track}_{n}_{i + 1}{off}" for n in _PARTS for off in ("", "_off") for i in range(n) for track in _ALL),
    *(f"{_ALL[i]}_modulation_{band}" for band in timing.BANDS for i in _MODULATED),
    *(f"{_ALL[i]}__{_ALL[j]}" for i, j in combinations(_TOGETHER, 2)),
    *(name for name, _ in timing.COLUMNS),
)


def functionals(signal: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return COLUMNS float32[n] of float32[samples] at 16 kHz, whose largest magnitude is 1.

    What is said of voiced or unvoiced frames is ABSENT where too few are.

    >>> values = functionals(np.zeros(16_000, np.float32))
    >>> len(values) == len(COLUMNS), bool(np.isfinite(values).all())
    (True, True)
    """
    tracks = tracks_of(signal)
    whole, voiced = statistics.smoothed(tracks.whole), tracks.hz > 0
    voices = statistics.smoothed(tracks.voice)
    both = np.concatenate([whole, voices], axis=1)
    slopes = statistics.deltas(both)
    n = whole.shape[1]
    parts = [
        statistics.full(whole),
        _of_slopes(slopes[:, :n]),
        _of_changes(statistics.deltas(slopes[:, :_MOVING])),
        _of_frames(tracks.whole, voiced)[: len(_VOICED)],
        _of_frames(tracks.whole, ~voiced)[: len(_UNVOICED)],
        statistics.full(voices[voiced]) if tracks.has_voice else _absent(len(statistics.FULL), len(_VOICE)),
        _of_slopes(slopes[voiced, n:]) if tracks.has_voice else _absent(len(_DELTA), len(_VOICE)),
        *_of_parts(both, tracks.has_voice),
        timing.modulation(both[:, list(_MODULATED)]),
        timing.correlations(both[:, list(_TOGETHER)]),
        timing.timing(tracks.whole[:, 0], tracks.whole[:, 1], tracks.hz),
    ]
    return np.concatenate([part.ravel() for part in parts]).astype(np.float32)


def _of_slopes(slopes: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.concatenate([statistics.basic(slopes), np.abs(slopes).mean(axis=0, keepdims=True)])


def _of_changes(changes: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.stack([changes.std(axis=0), *np.percentile(changes, (5, 95), axis=0)])


def _of_frames(x: NDArray[np.float32], which: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return _VOICED of some frames, float32[6, d]."""
    if which.sum() < voice.LEAST_FRAMES:
        return _absent(len(_VOICED), x.shape[1])
    mean, std, _, p10, _, p50, _, p90, _, iqr, _ = statistics.basic(x[which])
    return np.stack([mean, std, p10, p50, p90, iqr])


def _of_parts(both: NDArray[np.float32], has_voice: bool) -> list[NDArray[np.float32]]:
    found = []
    for count in _PARTS:
        means = statistics.part_means(both, count)
        found += [means, means - both.mean(axis=0)]
    if not has_voice:
        for means in found:
            means[:, -len(_VOICE) :] = ABSENT
    return found


def _absent(*shape: int) -> NDArray[np.float32]:
    return np.full(shape, ABSENT, np.float32)


def _load(family: FeatureFamily) -> Extractor:
    return each_alone(functionals, family)


FUNCTIONALS = FeatureFamily(
    name="functionals",
    version=1,
    reads=SoundInput(16_000, "peak"),
    shape=(len(COLUMNS),),
    load=_load,
    names=COLUMNS,
    is_fixed=True,
)
