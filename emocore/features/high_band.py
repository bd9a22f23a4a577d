"""What lies above telephone and wide-band speech: ten bands from 7 to 20 kHz, where fricatives and breath are.

Levels are dB of full scale; each band's statistics are FULL ones of the level and BASIC ones of its slope a frame. A
band that carries nothing, because the file's rate or its coding left it out, is ABSENT in all of its columns.
"""

from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from emocore.features.acoustic import spectra, statistics
from emocore.features.family import ABSENT, Extractor, FeatureFamily, SoundInput, each_alone

RATE_HZ = 48_000
EDGES_HZ = np.linspace(7_000, 20_000, 11)  # the band needed: without 8 to 20 kHz most columns are absent
_FRAME, _N_FFT, _HOP = 1_200, 1_200, 480
# Of a band's loudest twentieth, below which it holds rounding noise of 16 bits or a resampler's rest. RAVDESS's studio
# speech lies above −80 dB, and the same stretched from 16 kHz below −100.
_LEAST_DECIBELS = -95.0
BANDS = tuple(f"{low / 1000:g}_{high / 1000:g}khz" for low, high in pairwise(EDGES_HZ))
COLUMNS = (
    *(f"band_{name}_{statistic}" for statistic in statistics.FULL for name in BANDS),
    *(f"band_{name}_delta_{statistic}" for statistic in statistics.BASIC for name in BANDS),
)


def high_band(signal: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return COLUMNS float32[320] of float32[samples] at 48 kHz, whose largest magnitude is 1."""
    frames = spectra.framed(signal if len(signal) else np.zeros(1, np.float32), _FRAME, _HOP)
    power = spectra.power_spectra(frames, _N_FFT)
    below_8_khz = power[:, : int(8_000 / RATE_HZ * _N_FFT) + 1]
    said = spectra.spoken(below_8_khz, RATE_HZ / _N_FFT)
    levels = spectra.decibels(power[said] @ _bands())
    x = statistics.smoothed(levels)
    columns = np.concatenate([statistics.full(x), statistics.basic(statistics.deltas(x))])
    columns[:, np.percentile(levels, 95, axis=0) < _LEAST_DECIBELS] = ABSENT
    return columns.ravel()


@cache
def _bands() -> NDArray[np.float32]:
    hz = spectra.bins_hz(_N_FFT, RATE_HZ)[:, None]
    return ((hz >= EDGES_HZ[:-1]) & (hz < EDGES_HZ[1:])).astype(np.float32)


def _load(family: FeatureFamily) -> Extractor:
    return each_alone(high_band, family)


HIGH_BAND = FeatureFamily(
    name="high-band",
    version=1,
    reads=SoundInput(RATE_HZ, "peak"),
    shape=(len(COLUMNS),),
    load=_load,
    names=COLUMNS,
    is_fixed=True,
)
