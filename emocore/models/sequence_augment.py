"""Log-mel sequences as they might also have been said and heard: slower, higher, nearer, duller, in noise, with gaps.

All of it works on the levels that a family keeps, not on samples: an epoch costs milliseconds, and no sound is kept.
Park et al., "SpecAugment" (2019), for the masks; Zhang et al., "mixup" (2018).
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from emocore.features.logmel import N_MELS, VALUES

_DECIBELS = 20.0  # that a level of 1 stands for
_LEVEL, _F0, _VOICED = (VALUES.index(name) for name in ("level", "f0_octaves", "voiced"))
_OCTAVES_A_BIN = 1 / 12  # of 64 mels to 8 kHz, about 1 kHz, where a bin is a semitone
_NOISE_DB = (-45.0, -15.0)  # of noise, beside the loudest level of the clip


@dataclass(frozen=True)
class Changes:
    """How far a sequence may be changed; each change is drawn evenly from its range, both ways."""

    stretch: float = 0.15  # share of the speed
    shift_bins: float = 2.0  # up or down the mels, and the pitch with them
    gain_db: float = 3.0
    tilt_db: float = 4.0  # from the lowest to the highest mel
    noise: float = 0.3  # chance that noise lies under a clip
    masks: int = 2  # over time, and as many over mels
    mask_steps: int = 12  # at most, a mask over time
    mask_bins: int = 8  # at most, a mask over mels


class Sequences(NamedTuple):
    """Sequences float32[n, steps, 76] of `lengths` int64[n] steps each; what follows them is 0."""

    values: NDArray[np.float32]
    lengths: NDArray[np.int64]

    @property
    def there(self) -> NDArray[np.float32]:
        """1 where there is a step, float32[n, steps, 1], and 0 behind the last."""
        steps = np.arange(self.values.shape[1])
        return (steps < self.lengths[:, None])[..., None].astype(np.float32)


def change(clips: Sequences, how: Changes, random: np.random.Generator) -> Sequences:
    """Return changed copies of levels and descriptors as logmel.py gives them, but for the masks; no two alike.

    Descriptors follow the speed; the level follows the gain, and the pitch the shift.

    >>> clips = Sequences(np.zeros((1, 4, 76), "f4"), np.array([4]))
    >>> change(clips, Changes(0, 0, 0, 0, 0), np.random.default_rng(0)).values.shape
    (1, 4, 76)
    """
    n = len(clips.values)
    speed, shift, gain, tilt = random.uniform(-1, 1, (4, n))
    stretched = _stretched(clips, 1 + speed * how.stretch)
    values, bins = stretched.values, shift * how.shift_bins
    mels = _shifted(values[..., :N_MELS], bins)
    slope = np.linspace(-0.5, 0.5, N_MELS)
    added = (gain[:, None] * how.gain_db + tilt[:, None] * how.tilt_db * slope) / _DECIBELS
    mels = _with_noise(mels + added[:, None, :].astype(np.float32), how.noise, random)
    rest = values[..., N_MELS:].copy()
    rest[..., _LEVEL - N_MELS] += (gain * how.gain_db / _DECIBELS).astype(np.float32)[:, None]
    rest[..., _F0 - N_MELS] += values[..., _VOICED] * (bins * _OCTAVES_A_BIN).astype(np.float32)[:, None]
    changed = Sequences(np.concatenate([mels, rest], axis=2), stretched.lengths)
    return Sequences(changed.values * changed.there, changed.lengths)


def mask(clips: Sequences, how: Changes, random: np.random.Generator) -> Sequences:
    """Return copies of standardised sequences in which stretches of time, and bands of mels, are 0: as the mean is."""
    values = clips.values.copy()
    steps, bins = np.arange(values.shape[1]), np.arange(values.shape[2])
    for _ in range(how.masks):
        widths = random.integers(0, np.minimum(how.mask_steps, clips.lengths // 4) + 1)
        first = random.integers(0, clips.lengths - widths + 1)
        values[(steps >= first[:, None]) & (steps < (first + widths)[:, None])] = 0
        widths = random.integers(0, how.mask_bins + 1, len(values))
        first = random.integers(0, N_MELS - widths + 1)
        hidden = (bins >= first[:, None]) & (bins < (first + widths)[:, None])
        values *= ~hidden[:, None, :]
    return Sequences(values, clips.lengths)


def mix(
    clips: Sequences, soft: NDArray[np.float32], alpha: float, random: np.random.Generator
) -> tuple[Sequences, NDArray[np.float32]]:
    """Return half of the clips each mixed with another by a share of Beta(alpha, alpha), and their soft labels so.

    A mixed clip is as long as the longer of the two. With alpha 0 none is mixed.
    """
    n = len(soft)
    if not alpha:
        return clips, soft
    other = random.permutation(n)
    share = np.where(random.random(n) < 0.5, random.beta(alpha, alpha, n), 1.0).astype(np.float32)
    share = np.maximum(share, 1 - share)
    values = share[:, None, None] * clips.values + (1 - share)[:, None, None] * clips.values[other]
    lengths = np.where(share < 1, np.maximum(clips.lengths, clips.lengths[other]), clips.lengths)
    return Sequences(values, lengths), share[:, None] * soft + (1 - share)[:, None] * soft[other]


def _stretched(clips: Sequences, speeds: NDArray[np.float64]) -> Sequences:
    """Return the sequences said at these speeds, between the steps that are there by straight lines."""
    longest = clips.values.shape[1]
    lengths = np.clip(np.rint(clips.lengths / speeds), 1, None).astype(np.int64)
    steps = np.arange(max(longest, lengths.max(initial=1)))
    at = np.minimum(steps * speeds[:, None], clips.lengths[:, None] - 1)
    return Sequences(_between(clips.values, at), lengths)


def _shifted(mels: NDArray[np.float32], bins: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return levels [n, steps, mels] that were moved up by so many bins; the edge repeats."""
    at = np.clip(np.arange(N_MELS) - bins[:, None], 0, N_MELS - 1)
    return _between(mels.transpose(0, 2, 1), at).transpose(0, 2, 1)


def _between(values: NDArray[np.float32], at: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return values [n, m, d] at places [n, l] between 0 and m − 1, float32[n, l, d]."""
    low = np.floor(at).astype(np.int64)
    high = np.minimum(low + 1, values.shape[1] - 1)
    part = (at - low).astype(np.float32)[..., None]
    rows = np.arange(len(values))[:, None]
    between: NDArray[np.float32] = values[rows, low] * (1 - part) + values[rows, high] * part
    return between


def _with_noise(mels: NDArray[np.float32], chance: float, random: np.random.Generator) -> NDArray[np.float32]:
    """Return levels over steady noise of a drawn level and colour in some clips: powers are added."""
    (noisy,) = np.nonzero(random.random(len(mels)) < chance)
    heard = mels[noisy]
    levels = random.uniform(*_NOISE_DB, (len(noisy), 1))
    colours = random.uniform(-10, 10, (len(noisy), 1)) * np.linspace(-0.5, 0.5, N_MELS)
    even = heard.max(axis=(1, 2), initial=-9)[:, None] + ((levels + colours) / _DECIBELS).astype(np.float32)
    noise = even[:, None, :] + random.standard_normal(heard.shape, np.float32) / np.float32(_DECIBELS)  # about 1 dB
    nepers = np.float32(np.log(10) * _DECIBELS / 10)  # of power, in a level of 1
    louder, softer = np.maximum(heard, noise), np.minimum(heard, noise)
    changed = mels.copy()
    changed[noisy] = louder + np.log1p(np.exp((softer - louder) * nepers)) / nepers
    return changed
