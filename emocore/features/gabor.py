"""Spectro-temporal modulation: what 500 fixed random Gabor filters find in a window's log-mel spectrogram.

Filters of this kind stand for the receptive fields of the auditory cortex (Schädler et al., "Spectro-temporal
modulation subspace-spanning filter bank features", 2012). A value is named by its filter and what its output amounts to
over the window; outputs have no unit: levels are (dB + 30) / 20, filters have a norm of 1 and no mean.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from emocore.features.acoustic import spectra
from emocore.features.family import Extractor, FeatureFamily, SoundInput, each_alone

N_FILTERS, N_MELS = 500, 64
STATISTICS = ("mean", "std", "p05", "p25", "p75", "p95", "mean_change")
COLUMNS = tuple(f"gabor_{i:03d}_{name}" for name in STATISTICS for i in range(N_FILTERS))
_SEED = 20_121  # of the filters: their numbers are part of the family's version
_STEP = 2  # frames of 10 ms
_GROUPS_REACH = (4, 9, 18)  # frames on each side: filters as long are computed together
_PERCENTILES = (5, 25, 75, 95)
_BANDS_SIGMA, _FRAMES_SIGMA = (4.0, 20.0), (1.5, 9.0)
_MOST_CYCLES = 0.5  # of the modulation, within a σ


def gabor_statistics(signal: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return COLUMNS float32[3500] of float32[samples] at 16 kHz, whose largest magnitude is 1.

    >>> gabor_statistics(np.zeros(16_000, np.float32)).shape
    (3500,)
    """
    outputs = filtered(log_mels(signal))
    ordered = np.sort(outputs, axis=1)
    places = np.asarray(_PERCENTILES) / 100 * (outputs.shape[1] - 1)
    below = places.astype(np.int64)
    share = (places - below).astype(np.float32)
    above = np.minimum(below + 1, outputs.shape[1] - 1)
    points = ordered[:, below] * (1 - share) + ordered[:, above] * share
    changes = np.abs(np.diff(outputs, axis=1, append=outputs[:, -1:])).mean(axis=1)
    return np.concatenate([outputs.mean(axis=1), outputs.std(axis=1), *points.T, changes])


def log_mels(signal: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the levels (dB + 30) / 20 of 64 mel bands every 20 ms of the window's speech, float32[t, 64]."""
    power = spectra.power_spectra(spectra.framed(signal if len(signal) else np.zeros(1, np.float32), spectra.FRAME))
    power = power[spectra.spoken(power)][::_STEP]
    return (spectra.decibels(power @ spectra.mel_filters(N_MELS)) + np.float32(30)) / np.float32(20)


def filtered(levels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the filters' outputs float32[500, t] of levels float32[t, 64]; the first and last frame go on outside."""
    outputs = []
    for reach, bank in _banks():
        padded = np.pad(levels, ((reach, reach), (0, 0)), mode="edge")
        windows = np.lib.stride_tricks.sliding_window_view(padded.ravel(), (2 * reach + 1) * N_MELS)[::N_MELS]
        outputs.append(np.concatenate([bank @ windows[part].T for part in spectra.blocks(len(windows))], axis=1))
    return np.concatenate(outputs)


@cache
def _banks() -> list[tuple[int, NDArray[np.float32]]]:
    """Return the filters by how far they reach: float32[n, (2 · reach + 1) · 64]."""
    drawn = _drawn()
    reaches = np.array([min(reach for reach in _GROUPS_REACH if reach >= 2 * sigma - 1e-9) for sigma in drawn[:, 2]])
    banks = []
    for reach in _GROUPS_REACH:
        mine = [_filter(reach, *row) for row in drawn[reaches == reach]]
        banks += [(reach, np.stack(mine).astype(np.float32))] if mine else []
    return banks


def _drawn() -> NDArray[np.float64]:
    """Return middle and σ in bands, σ in frames, phase shifts a band and a frame, and the phase: float64[500, 6]."""
    random = np.random.default_rng(_SEED)
    middles = random.uniform(0, N_MELS, N_FILTERS)
    bands, frames = (
        np.exp(random.uniform(np.log(low), np.log(high), N_FILTERS)) for low, high in (_BANDS_SIGMA, _FRAMES_SIGMA)
    )
    cycles = random.uniform(-_MOST_CYCLES, _MOST_CYCLES, (N_FILTERS, 2))
    cycles[::2, 0] = 0.0
    phases = random.uniform(0, 2 * np.pi, N_FILTERS)
    shifts = 2 * np.pi * cycles / np.stack([bands, frames], axis=1)
    return np.column_stack([middles, bands, frames, shifts, phases])


def _filter(
    reach: int, middle: float, bands: float, frames: float, by_band: float, by_frame: float, phase: float
) -> NDArray[np.float64]:
    """Return one filter, float64[(2 · reach + 1) · 64]: a wave under a bell, without a mean, of norm 1."""
    t = np.arange(-reach, reach + 1)[:, None]
    f = np.arange(N_MELS)[None] - middle
    bell = np.exp(-0.5 * ((f / bands) ** 2 + (t / frames) ** 2)) * (np.abs(t) <= 2 * frames)
    wave = bell * np.cos(by_band * f + by_frame * t + phase)
    wave -= bell * (wave.sum() / bell.sum())
    return np.asarray(wave / np.linalg.norm(wave), np.float64).ravel()


def _load(family: FeatureFamily) -> Extractor:
    _banks()
    return each_alone(gabor_statistics, family)


GABOR = FeatureFamily(
    name="gabor",
    version=1,
    reads=SoundInput(16_000, "peak"),
    shape=(len(COLUMNS),),
    load=_load,
    names=COLUMNS,
    is_fixed=True,
)
