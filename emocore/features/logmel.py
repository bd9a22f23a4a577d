"""Log-mel sequences for networks: 64 mel levels and 12 descriptors of voice and sound every 20 ms of speech.

Levels are (dB + 30) / 20, as those of gabor.py. A window of less than ten seconds of speech ends in steps that are
ABSENT in all of their values.
"""

import numpy as np
from numpy.typing import NDArray

from emocore.features.acoustic import spectra
from emocore.features.acoustic.tracks import WHOLE, tracks_and_power
from emocore.features.family import ABSENT, LONGEST_SECONDS, Extractor, FeatureFamily, SoundInput, each_alone
from emocore.timeline import WindowGrid

N_MELS = 64
HOP_SECONDS = 0.02
N_STEPS = round(LONGEST_SECONDS / HOP_SECONDS)
_STEP = round(HOP_SECONDS / spectra.HOP_SECONDS)
_WHOLE = tuple(name for name, _ in WHOLE)
# What a descriptor is divided by, so that most of it lies within ±3.
_DESCRIPTORS = {
    **{"level": 20.0, "centroid": 1.0, "flux": 0.1, "flatness": 20.0, "alpha_ratio": 15.0, "slope_0_500": 50.0},
    **{"zero_crossings": 0.2, "periodicity": 0.5, "harmonicity": 10.0, "energy_4k_8k": 20.0},
}
VALUES = (*(f"mel_{i:02d}" for i in range(N_MELS)), *_DESCRIPTORS, "f0_octaves", "voiced")
_MIDDLE_HZ = 180.0  # of pitch, about which octaves are counted


def log_mel_steps(signal: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return VALUES float32[500, 76] of float32[samples] at 16 kHz, whose largest magnitude is 1.

    `f0_octaves` are octaves above 180 Hz in voiced steps, else 0, and `voiced` is 1 or 0.
    """
    tracks, power = tracks_and_power(signal)
    mel = (spectra.decibels(power @ spectra.mel_filters(N_MELS)) + np.float32(30)) / np.float32(20)
    described = [tracks.whole[:, _WHOLE.index(name)] / np.float32(scale) for name, scale in _DESCRIPTORS.items()]
    voiced = tracks.hz > 0
    octaves = np.where(voiced, np.log2(np.maximum(tracks.hz, 1.0) / _MIDDLE_HZ), 0.0)
    steps = np.column_stack([mel, *described, octaves, voiced])[::_STEP][:N_STEPS]
    found = np.full((N_STEPS, len(VALUES)), ABSENT, np.float32)
    found[: len(steps)] = steps
    return found


def _load(family: FeatureFamily) -> Extractor:
    return each_alone(log_mel_steps, family)


LOGMEL = FeatureFamily(
    name="logmel",
    version=1,
    reads=SoundInput(16_000, "peak"),
    shape=(N_STEPS, len(VALUES)),
    load=_load,
    hop_seconds=HOP_SECONDS,
    grid=WindowGrid(LONGEST_SECONDS),
    is_fixed=True,
)
