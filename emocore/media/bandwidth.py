"""Up to which frequency a sound carries energy: what was said into a telephone is told from a studio's recording."""

from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import NDArray

_FRAME = 2_048
_HOP = _FRAME // 2
_DENSE_FRAMES = 256  # then one in _SPARSE: what is long costs no more than a part of its decoding
_SPARSE = 16
_NEIGHBOURS = 5  # of a bin: their mean tells a band from a stray peak
# Below the strongest band. Studio speech (RAVDESS, 48 kHz) carries energy to 17 to 22 kHz by this; the same clips as
# 8 kHz μ-law, stretched to 48 kHz and 16 bits, to 3.9 to 4.0 kHz, and at 16 kHz to 8.5 to 9.1.
_RANGE = 1e-6
_NOISE_MARGIN = 4.0
_STEP = 2.0**-15  # of 16-bit samples: no file's rounding noise counts, whatever it was stored in before
_HANN = np.hanning(_FRAME).astype(np.float32)


class Bandwidth:
    """The highest frequency at which a sound carries energy, from chunks of it.

    It is that of the last bin (of frames of 2,048 samples, Hann window, half overlapped, one in 16 after the first
    256; mean power of 5 neighbours) that lies within 60 dB of the strongest, and 6 dB above the rounding noise of 16
    bits.

    >>> tone = 0.1 * np.sin(2 * np.pi * 1_000 * np.arange(48_000) / 48_000)
    >>> band = Bandwidth(48_000)
    >>> band.feed(tone.astype(np.float32))
    >>> 950 < band.hz() < 1_250
    True
    """

    def __init__(self, sample_rate_hz: int) -> None:
        self.sample_rate_hz = sample_rate_hz
        self._power = np.zeros(_FRAME // 2 + 1)
        self._frames = self._number = 0
        self._rest = np.zeros(0, np.float32)

    def feed(self, signal: NDArray[np.float32]) -> None:
        """Add float32[samples]."""
        signal = np.concatenate([self._rest, signal])
        n = max(0, (len(signal) - _FRAME) // _HOP + 1)
        numbers = self._number + np.arange(n)
        looked_at = (numbers < _DENSE_FRAMES) | (numbers % _SPARSE == 0)
        if looked_at.any():
            self._add(np.lib.stride_tricks.sliding_window_view(signal, _FRAME)[::_HOP][looked_at])
        self._number += n
        self._rest = signal[n * _HOP :]

    def _add(self, frames: NDArray[np.float32]) -> None:
        spectrum = scipy.fft.rfft((frames - frames.mean(axis=1, keepdims=True)) * _HANN, axis=1)
        self._power += np.sum(spectrum.real**2 + spectrum.imag**2, axis=0, dtype=np.float64)
        self._frames += len(frames)

    def spectrum(self) -> "Spectrum":
        """Return what was heard, to be joined with what else was. Nothing can be added any more."""
        if not self._frames:
            self._add(
                np.pad(self._rest - self._rest.mean() if len(self._rest) else self._rest, (0, _FRAME))[None, :_FRAME]
            )
        return Spectrum(self.sample_rate_hz, self._frames, self._power)

    def hz(self) -> float:
        """Return it, in Hz; 0 for silence. Nothing can be added any more."""
        return self.spectrum().bandwidth_hz


@dataclass(frozen=True)
class Spectrum:
    """The summed power of so many frames, float64[1025], of a sound or of one after the other."""

    sample_rate_hz: int
    frames: int
    power: NDArray[np.float64]

    def __add__(self, other: "Spectrum") -> "Spectrum":
        return Spectrum(self.sample_rate_hz, self.frames + other.frames, self.power + other.power)

    @property
    def bandwidth_hz(self) -> float:
        """The highest frequency at which it carries energy, as `Bandwidth` says."""
        power = self.power / self.frames
        band = np.convolve(power, np.full(_NEIGHBOURS, 1 / _NEIGHBOURS), "same")
        noise = _NOISE_MARGIN * _STEP**2 / 12 * float((_HANN**2).sum())
        carrying = np.flatnonzero(band > max(_RANGE * band.max(), noise))
        return float(carrying[-1] * self.sample_rate_hz / _FRAME) if len(carrying) else 0.0
