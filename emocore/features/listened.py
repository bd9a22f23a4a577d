"""What was heard of a sound, of a section of it, or of one voice: each can be added to others."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from emocore.media.audio import extent_state
from emocore.media.bandwidth import Spectrum

_PLAIN = ("begins", "seconds", "samples", "sample_rate_hz", "extent", "speech_seconds")


@dataclass(frozen=True)
class Listened:
    """What was heard of a sound, or of a section of it: one can be added to the one before."""

    begins: float  # on the clip's clock
    seconds: float  # up to when
    samples: int
    sample_rate_hz: int
    extent: tuple[float, float, float]  # the least sample, the largest, and the sum of all
    spectrum: Spectrum
    states: frozenset[str]  # of its windows
    speech_seconds: float | None  # None where nobody looked

    @property
    def state(self) -> str:
        """What the clip's state is, by its windows or, where there are none, by the sound."""
        for state in ("ok", "no_speech", "silent", "too_short"):
            if state in self.states:
                return state
        least, most, total = self.extent
        state = extent_state(self.samples, self.sample_rate_hz, least, most, total / max(self.samples, 1))
        if state != "ok":
            return state
        return "too_short" if self.speech_seconds is None else "no_speech"

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        power = [float(bin_) for bin_ in self.spectrum.power]
        heard = {"frames": self.spectrum.frames, "power": power, "states": sorted(self.states)}
        return {name: getattr(self, name) for name in _PLAIN} | heard

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> "Listened":
        """Return what `to_json` gave."""
        spectrum = Spectrum(told["sample_rate_hz"], told["frames"], np.array(told["power"], np.float64))
        plain = {name: told[name] for name in _PLAIN} | {"extent": tuple(told["extent"])}
        return cls(**plain, spectrum=spectrum, states=frozenset(told["states"]))

    def __add__(self, other: "Listened") -> "Listened":
        """Return both, the other one behind this one."""
        if not other.samples:
            return self
        (least, most, total), (other_least, other_most, other_total) = self.extent, other.extent
        return replace(
            self,
            seconds=other.seconds,
            samples=self.samples + other.samples,
            extent=(min(least, other_least), max(most, other_most), total + other_total),
            spectrum=self.spectrum + other.spectrum,
            states=self.states | other.states,
            speech_seconds=_sum(self.speech_seconds, other.speech_seconds),
        )

    def beside(self, other: "Listened") -> "Listened":
        """Return both, of voices that were heard at the same time: the seconds of speech are those of all."""
        wider = max(self, other, key=lambda one: one.extent[1] - one.extent[0])
        return replace(
            wider,
            spectrum=self.spectrum + other.spectrum,
            states=self.states | other.states,
            speech_seconds=_sum(self.speech_seconds, other.speech_seconds),
        )


def _sum(speech_seconds: float | None, others: float | None) -> float | None:
    return None if speech_seconds is None else speech_seconds + (others or 0.0)
