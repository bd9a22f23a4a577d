"""Prosody: how high, how loud, how fast and how steadily somebody speaks, in 44 columns that a person can read.

`f0_…` and `…_semitones` are semitones above 27.5 Hz (A0), `level_…` dB of the window's peak, `…_change` what changes
within 10 ms; the other units are those of acoustic/timing.py and acoustic/voice.py. What is said of the voice is ABSENT
where fewer than three frames are voiced.
"""

import numpy as np
from numpy.typing import NDArray

from emocore.features.acoustic import statistics, timing, voice
from emocore.features.acoustic.tracks import WHOLE, tracks_of
from emocore.features.family import ABSENT, Extractor, FeatureFamily, SoundInput, each_alone

_OF_F0 = ("mean", "std", "p10", "p50", "p90", "iqr", "range", "slope", "curvature")
_OF_LEVEL = ("mean", "std", "p10", "p50", "p90", "range", "slope")
_OF_VOICE = ("h1_h2", "h1_a3", "jitter", "shimmer")
_OF_SOUND = ("loudness", "alpha_ratio", "hammarberg", "harmonicity")
_VOICE = tuple(name for name, _ in voice.TRACKS)
_WHOLE = tuple(name for name, _ in WHOLE)
_FULL = {name: i for i, name in enumerate(statistics.FULL)}
COLUMNS = (
    *(name for name, _ in timing.COLUMNS),
    *(f"f0_{name}" for name in _OF_F0),
    "f0_change",
    *(f"{name}_mean" for name in _OF_VOICE),
    *(f"level_{name}" for name in _OF_LEVEL),
    "level_change",
    *(f"{track}_{name}" for track in _OF_SOUND for name in ("mean", "std")),
)


def prosody(signal: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return COLUMNS float32[44] of float32[samples] at 16 kHz, whose largest magnitude is 1.

    >>> prosody(np.zeros(16_000, np.float32)).shape == (len(COLUMNS),)
    True
    """
    tracks = tracks_of(signal)
    voiced = tracks.hz > 0
    whole, voices = statistics.smoothed(tracks.whole), statistics.smoothed(tracks.voice)
    of_level = statistics.full(whole[:, :1])[:, 0]
    of_voice = np.full(len(_OF_F0) + 1 + len(_OF_VOICE), ABSENT, np.float32)
    if tracks.has_voice:
        of_f0 = statistics.full(voices[voiced, :1])[:, 0]
        means = voices[voiced].mean(axis=0)
        of_voice = np.asarray(
            [
                *(of_f0[_FULL[name]] for name in _OF_F0),
                np.abs(statistics.deltas(voices[:, :1])[voiced]).mean(),
                *(means[_VOICE.index(name)] for name in _OF_VOICE),
            ]
        )
    sound = whole[:, [_WHOLE.index(name) for name in _OF_SOUND]]
    return np.concatenate(
        [
            timing.timing(tracks.whole[:, 0], tracks.whole[:, 1], tracks.hz),
            of_voice,
            [of_level[_FULL[name]] for name in _OF_LEVEL],
            [np.abs(statistics.deltas(whole[:, :1])).mean()],
            np.stack([sound.mean(axis=0), sound.std(axis=0)], axis=1).ravel(),
        ]
    ).astype(np.float32)


def _load(family: FeatureFamily) -> Extractor:
    return each_alone(prosody, family)


PROSODY = FeatureFamily(
    name="prosody",
    version=1,
    reads=SoundInput(16_000, "peak"),
    shape=(len(COLUMNS),),
    load=_load,
    columns=COLUMNS,
    is_fixed=True,
)
