"""Which channel of a sound track to take alone, where their mean would lose what is said; and which are voices."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

# The mean may lie 12 dB below the loudest channel. Speech in one of two channels loses 6 dB in the mean, unrelated
# channels 3 dB, one of four 12 dB: those means stay. More is lost where channels cancel each other (two as loud as
# each other, by a correlation below −0.88: a wire was soldered the wrong way round), and by one channel of five.
MOST_LOSS = 0.062
# Dialogue stands in the centre of surround (ITU-R BS.775), which is taken alone unless it is this much below the
# loudest channel: then the film has none, or plays something else.
LEAST_CENTRE = 0.1
_CENTRE, _EFFECTS = "FC", "LFE"
# Channels of one sound are no two people: a mono recording that was stored as stereo, be it with a lossy codec.
ONE_SOUND = 0.999  # by their correlation
MOST_VOICES = 8  # channels that are heard apart; what has more is an array of microphones, or a film's
# Of all channels together, that are held until it is decided: 87 seconds of two channels at 48 kHz, from the first that
# is not silent on.
MOST_UNDECIDED = 2**23
MEAN = -1  # of all channels, in the place of one
SILENCE_PEAK = 1e-3  # −60 dB of full scale


@dataclass
class Powers:
    """The power of each channel, and of their mean, about its own average, over all that was added."""

    samples: int = 0
    sums: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    squares: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    products: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 0)))  # of each channel with each

    def add(self, channels: NDArray[np.float32], mean: NDArray[np.float32]) -> None:
        """Add samples float32[channels, samples] and their mean float32[samples]; one channel has no better one."""
        if len(channels) == 1 or (self.samples and len(channels) + 1 != len(self.sums)):
            return
        rows = np.vstack([channels, mean]).astype(np.float64)
        self.samples += rows.shape[1]
        self.sums = rows.sum(axis=1) + (self.sums if len(self.sums) else 0)
        self.squares = (rows * rows).sum(axis=1) + (self.squares if len(self.squares) else 0)
        self.products = rows[:-1] @ rows[:-1].T + (self.products if len(self.products) else 0)

    def better_channel(self, names: Sequence[str]) -> int | None:
        """Return the channel to take alone; `names` are FFmpeg's (FL, FR, FC, LFE …). None: the mean is as good."""
        if not self.samples:
            return None
        power = self.squares / self.samples - (self.sums / self.samples) ** 2
        channels, mean = power[:-1], power[-1]
        is_heard = np.array([name != _EFFECTS for name in names[: len(channels)]])
        if len(is_heard) != len(channels) or not is_heard.any():
            is_heard = np.ones(len(channels), bool)
        loudest = int(np.where(is_heard, channels, -1.0).argmax())
        if len(channels) > 2 and _CENTRE in names:
            centre = names.index(_CENTRE)
            if channels[centre] >= LEAST_CENTRE * channels[loudest] > 0:
                return centre
        return loudest if mean < MOST_LOSS * channels[loudest] else None

    def voices(self, names: Sequence[str]) -> tuple[int, ...]:
        """Return the channels that are heard each by itself, none for effects among them; none where all are one sound.

        Nor are there any of more than MOST_VOICES. A channel in which nothing is heard is no copy of another.
        """
        n = len(self.products)
        apart = tuple(place for place in range(n) if place >= len(names) or names[place] != _EFFECTS)
        if not 2 <= len(apart) <= MOST_VOICES:
            return ()
        covariance = self.products / self.samples - np.outer(self.sums[:-1], self.sums[:-1]) / self.samples**2
        mine = covariance[np.ix_(apart, apart)]
        deviation = np.sqrt(np.maximum(mine.diagonal(), 0.0))
        are_one = np.abs(mine[0]) > ONE_SOUND * deviation[0] * deviation
        return () if are_one.all() else apart


class Mixer:
    """Makes one channel of several: their mean, or the one that says more, by MOST_UNDECIDED samples.

    `channel`: which to take alone, where that was decided before; MEAN: none. `voices`: the channels to hand on
    together, float32[voices, samples], where that was decided.
    """

    def __init__(self, names: Sequence[str], channel: int | None = None, voices: tuple[int, ...] = ()) -> None:
        self.names = names
        self.channel = MEAN if channel is None else channel
        self.voices = voices
        self.found_voices: tuple[int, ...] = ()  # channels that could be heard each by itself, once it is decided
        self._powers = Powers()
        self._undecided: list[NDArray[np.float32]] | None = [] if channel is None else None
        self._held = 0

    @property
    def is_decided(self) -> bool:
        """Whether it is known which channel is taken alone."""
        return self._undecided is None

    def feed(self, channels: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
        """Take float32[channels, samples], and yield float32[samples] of what is decided."""
        if self._undecided is None:
            yield self._mixed(channels)
            return
        if len(channels) == 1 or (not self._undecided and np.abs(channels).max(initial=0) < SILENCE_PEAK):
            yield channels.mean(axis=0)
            return
        self._undecided.append(channels)
        self._held += channels.size
        if self._held >= MOST_UNDECIDED:
            yield from self.finish()

    def finish(self) -> Iterator[NDArray[np.float32]]:
        """Decide, and yield what waited for it."""
        waiting, self._undecided = self._undecided or [], None
        for channels in waiting:
            self._powers.add(channels, channels.mean(axis=0))
        better = self._powers.better_channel(self.names)
        self.channel = MEAN if better is None else better
        self.found_voices = self._powers.voices(self.names)
        yield from map(self._mixed, waiting)

    def _mixed(self, channels: NDArray[np.float32]) -> NDArray[np.float32]:
        if self.voices:  # a channel that is not there any more is silent
            silence = np.zeros((max(0, max(self.voices) + 1 - len(channels)), channels.shape[1]), np.float32)
            return np.concatenate([channels, silence])[list(self.voices)]
        alone = channels[self.channel : self.channel + 1] if self.channel > MEAN else channels
        mixed: NDArray[np.float32] = (alone if len(alone) else channels).mean(axis=0)
        return mixed
