"""A sound that is heard chunk by chunk, and what families make of its windows: nothing is kept of what has passed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from emocore.errors import MediaError
from emocore.features.family import Extractor, FeatureFamily, SoundInput, SoundWindow
from emocore.features.listened import Listened
from emocore.features.windows import ALL, Cut, Cutter, Heard, SpeechCutter, TiledCutter
from emocore.media.audio import Resampler, sound_state
from emocore.media.bandwidth import Bandwidth
from emocore.timeline import HowCut, Window, WindowGrid
from emocore.tracks.vad import Span, Speech, SpeechDetector

LEAST_SPEECH_SECONDS = 0.2  # in a window that is answered for
WINDOWS_AT_ONCE = 64
STRETCH_SECONDS = 60.0  # that windows are computed together of


def cutter_of(how: HowCut, family: FeatureFamily, begins: float = 0.0, span: Span = ALL) -> Cutter:
    """Return what cuts a sound for a family that begins at so many seconds of its clip, into windows of `span`."""
    assert isinstance(family.reads, SoundInput)
    if how.grid is None:
        return TiledCutter(family.grid, round(begins * family.reads.sample_rate_hz))
    longest = how.window_seconds or family.longest_seconds
    hop = how.hop_seconds or longest / 2
    if how.grid == "speech":
        return SpeechCutter(longest, hop, family.step_samples, begins, span)
    return TiledCutter(tiles_of(family, longest, hop), begins_seconds=begins, span=span)


def tiles_of(family: FeatureFamily, window_seconds: float, hop_seconds: float) -> WindowGrid:
    """Return the grid of a family, whose windows begin at multiples of the samples between its steps."""
    assert isinstance(family.reads, SoundInput)
    rate, step = family.reads.sample_rate_hz, family.step_samples
    hop = max(1, round(hop_seconds * rate / step)) * step
    return WindowGrid(window_seconds, hop / rate, "keep", rate)


@dataclass(frozen=True)
class Windows:
    """One family's windows of a track, in their order: their states, how much of each is speech, and their values.

    `speech_seconds` float64[n], NaN where nobody looked; `values` float32[n, *shape].
    """

    windows: list[Window]
    states: list[str]
    speech_seconds: NDArray[np.float64]
    values: NDArray[np.float32]
    track: int = 0  # 0: the clip as a whole

    def part(self, wanted: NDArray[np.bool_]) -> "Windows":
        """Return those that are wanted, bool[n]."""
        places = np.flatnonzero(wanted)
        return replace(
            self,
            windows=[self.windows[place] for place in places],
            states=[self.states[place] for place in places],
            speech_seconds=self.speech_seconds[places],
            values=self.values[places],
        )

    def numbered(self, behind: int) -> "Windows":
        """Return them behind so many others."""
        if not behind:
            return self
        return replace(self, windows=[replace(window, index=behind + window.index) for window in self.windows])


def no_numbers() -> MediaError:
    """Return the fault of a sound of which no window has features that are numbers."""
    return MediaError("featurize", "not_finite", "the features of its sound hold NaN or infinity")


Give = Callable[[FeatureFamily, Windows], None]


class Ear:
    """Listens to one sound track for families, and gives their windows as they become whole.

    Of a section what is heard outside of `span` helps to hear what is in it, and is not counted.
    """

    def __init__(
        self,
        families: Sequence[FeatureFamily],
        how: HowCut,
        give: Give,
        sample_rate_hz: int,
        begins: float,
        span: Span = ALL,
    ) -> None:
        self.rate = sample_rate_hz
        self.begins = begins
        self.samples = 0
        self.states: set[str] = set()
        self.unfit = 0  # windows that were left out, as what was made of them is no number
        self.span = span
        self._counted = 0  # of the samples those within the span
        self._bandwidth = Bandwidth(sample_rate_hz)
        self._is_one = how.grid is None
        self._detector = SpeechDetector(sample_rate_hz, begins, span) if how.vad else None
        self._least = self._most = self._sum = 0.0  # of the samples
        inputs = {family.reads for family in families}
        self._inputs = [
            _Input(reads, [family for family in families if family.reads == reads], how, give, self)  # type: ignore[arg-type] # of sound
            for reads in inputs
        ]

    @property
    def seconds(self) -> float:
        """How far it was heard, on the clip's clock."""
        return self.begins + self.samples / self.rate

    @property
    def speech(self) -> Speech | None:
        """Where somebody speaks; None where nobody looks."""
        return self._detector.speech if self._detector else None

    @property
    def is_done(self) -> bool:
        """Whether nothing of the span is still to come."""
        behind = self.seconds >= self.span[1]
        return behind and all(cutter.is_done for one in self._inputs for _, cutter, _ in one.cutters)

    @property
    def listened(self) -> Listened:
        """What was heard; nothing more comes."""
        return Listened(
            max(self.begins, self.span[0]),
            min(self.seconds, self.span[1]),
            self._counted,
            self.rate,
            (self._least, self._most, self._sum),
            self._bandwidth.spectrum(),
            frozenset(self.states),
            self.speech.total_seconds if self.speech else None,
        )

    def feed(self, signal: NDArray[np.float32], own: NDArray[np.float32] | None = None) -> None:
        """Take float32[samples]; `own`: the same, as far as what is heard may be this track's own voice."""
        if not len(signal):
            return
        self._count(signal)
        self.samples += len(signal)
        if self._detector:
            self._detector.feed(signal if own is None else own)
        for one in self._inputs:
            one.feed(signal)
        self._forget()

    def _count(self, signal: NDArray[np.float32]) -> None:
        first, last = (round(max(-1.0, min(1e9, edge - self.begins)) * self.rate) - self.samples for edge in self.span)
        signal = signal[max(0, first) : max(0, last)]
        if not len(signal):
            return
        self._least = float(min(signal.min(), self._least if self._counted else np.inf))
        self._most = float(max(signal.max(), self._most if self._counted else -np.inf))
        self._sum += float(signal.sum(dtype=np.float64))
        self._counted += len(signal)
        self._bandwidth.feed(signal)

    def finish(self) -> None:
        """Give the windows that are left: nothing more comes."""
        if self._detector:
            self._detector.finish()
        for one in self._inputs:
            one.finish()

    def leave_out(self, n: int) -> None:
        """Count windows without numbers. Raises MediaError where a clip is one window."""
        if self._is_one:
            raise no_numbers()
        self.unfit += n

    def _forget(self) -> None:
        if self._detector:
            self._detector.speech.forget(min(one.needed_seconds for one in self._inputs))


class _Input:
    """The families of one rate and level, and as much of the sound as their next windows need."""

    def __init__(self, reads: SoundInput, families: list[FeatureFamily], how: HowCut, give: Give, ear: Ear) -> None:
        self.reads, self.ear, self.give = reads, ear, give
        self.rate = reads.sample_rate_hz
        self.cutters: list[tuple[FeatureFamily, Cutter, list[Cut]]] = [
            (one, cutter_of(how, one, ear.begins, ear.span), []) for one in families
        ]
        self._resampler = Resampler(ear.rate, self.rate)
        ahead = round(ear.begins * self.rate)
        self._first, self._signal = ahead, np.zeros(0, np.float32)  # silence before the sound is not held
        self._chunks: list[NDArray[np.float32]] = []  # behind the signal: joined where they are needed
        self._ahead, self._samples = ahead, ahead

    @property
    def needed_seconds(self) -> float:
        return self._first / self.rate

    def feed(self, signal: NDArray[np.float32]) -> None:
        self._add(self._resampler.feed(signal))
        self._cut(None)

    def finish(self) -> None:
        self._add(self._resampler.finish())
        self._cut(self.ear.seconds)

    def _add(self, signal: NDArray[np.float32]) -> None:
        self._chunks.append(signal)
        self._samples += len(signal)

    def _cut(self, end_seconds: float | None) -> None:
        heard = Heard(self._samples, self.rate, self.ear.speech, end_seconds)
        for family, cutter, waiting in self.cutters:
            for cut in cutter.ready(heard):
                waiting.append(cut)
                if len(waiting) == WINDOWS_AT_ONCE or cut.last - waiting[0].first > STRETCH_SECONDS * self.rate:
                    self._compute(family, waiting)
            if heard.ended and waiting:
                self._compute(family, waiting)
        firsts = [cut.first for _, _, waiting in self.cutters for cut in waiting]
        needed = min([heard.samples, *firsts, *(cutter.needed(heard) for _, cutter, _ in self.cutters)])
        if needed - self._first > STRETCH_SECONDS * self.rate / 4:
            self._join()
            self._signal, self._first = self._signal[needed - self._first :].copy(), needed

    def _join(self) -> None:
        self._signal, self._chunks = np.concatenate([self._signal, *self._chunks]), []

    def _compute(self, family: FeatureFamily, waiting: list[Cut]) -> None:
        cuts = waiting[:]
        waiting.clear()
        start, end = min(cut.first for cut in cuts), max(cut.last for cut in cuts)
        stretch = self._between(start, end)
        parts = [self._part(cut, stretch, start) for cut in cuts]
        speech = self.ear.speech
        seconds = np.array(
            [speech.seconds_in(cut.window.start_seconds, cut.window.end_seconds) if speech else np.nan for cut in cuts]
        )
        states = [_state(part, said) for part, said in zip(parts, seconds, strict=True)]
        windows = Windows([cut.window for cut in cuts], states, seconds, loaded(family)(parts))
        fit = np.asarray(np.isfinite(windows.values.reshape(len(cuts), -1)).all(axis=1), np.bool_)
        if not fit.all():
            self.ear.leave_out(int((~fit).sum()))
            windows = windows.part(fit)
        self.ear.states.update(windows.states)
        if windows.windows:
            self.give(family, windows)

    def _between(self, start: int, end: int) -> NDArray[np.float32]:
        """Return the samples [start, end); there is silence before the sound begins."""
        self._join()
        if max(start, self._ahead) < self._first:
            raise IndexError(f"samples from {start} on are asked for, and {self._first} is the first that is held")
        missing = max(0, min(self._ahead, end) - start)
        found = self._signal[max(0, start - self._first) : max(0, end - self._first)]
        return np.concatenate([np.zeros(missing, np.float32), found]) if missing else found

    def _part(self, cut: Cut, stretch: NDArray[np.float32], start: int) -> SoundWindow:
        samples = stretch[cut.first - start : cut.last - start]
        if self.reads.level == "as-is":
            return SoundWindow(cut.window, samples, self.rate, stretch, cut.first - start)
        peak = float(np.abs(samples).max(initial=0.0))
        return SoundWindow(cut.window, samples / np.float32(peak) if peak > 0 else samples, self.rate)


def _state(part: SoundWindow, speech_seconds: float) -> str:
    state = sound_state(part.samples, part.sample_rate_hz)
    return "no_speech" if state == "ok" and speech_seconds < LEAST_SPEECH_SECONDS else state


@lru_cache(maxsize=16)
def loaded(family: FeatureFamily) -> Extractor:
    """Load a family, once a process."""
    return family.load(family)
