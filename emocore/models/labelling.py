"""A model's answers for clips while they are read: jobs and the API have them from the same sinks."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from emocore.errors import MediaError
from emocore.features.family import FeatureFamily
from emocore.features.listen import Windows
from emocore.media.video import Picture
from emocore.models.answers import ClipSum, together
from emocore.models.predictions import (
    FRAMES_AT_ONCE,
    answers_of,
    label_rows,
    shares_of,
    track_rows,
    window_rows,
)
from emocore.schema import FRAME_LABELS, TRACKS, WINDOWS, of_emotions
from emocore.storage.folder import FRAMES_FOLDER, TRACKS_FOLDER, WINDOWS_FOLDER
from emocore.timeline import Window

Answer = Callable[[NDArray[Any]], NDArray[np.float64]]
"""What a model says, float64[n, k], of what it reads of n windows or frames."""
Write = Callable[[str, pa.Table], None]
"""Takes rows of a table, by its name."""
Give = Callable[[pa.Table], None]
"""Takes rows of answers: WINDOWS of a model that hears, FRAME_LABELS of one that sees."""


class Watch(Protocol):
    """Watches over answers: clips that may have ended a process are answered for alone."""

    @property
    def suspects(self) -> set[str]:
        """The clips that are to be answered for alone."""

    def answering(self, clips: Sequence[str]) -> AbstractContextManager[None]:
        """Enter while a model answers for these clips. Raises MediaError for one alone that it must not answer for."""


class Sink(ABC):
    """Takes what a model reads of one clip after the other, and answers for many pieces at a time, for copies once.

    Rows of answers are summed up and written; of a section of a file they go to `give`, and to `take_rows` of who joins
    the sections. A piece that the model has no number for has no row. `ended`: the faults of clips for which answering
    was ended; `missed`: how many pieces of a clip have no answer, and why the first has none, by the first of copies.
    """

    def __init__(
        self,
        answer: Answer,
        family: FeatureFamily,
        emotions: Sequence[str],
        write: Write,
        watch: Any,
        give: Give | None = None,
    ) -> None:
        self.answer, self.family, self.emotions = answer, family, tuple(emotions)
        self.write, self.watch, self.give = write, watch, give or self._add
        self.ended: dict[str, MediaError] = {}
        self.missed: dict[str, tuple[int, MediaError]] = {}
        self.sums: dict[str, dict[int, ClipSum]] = {}  # by the first of several copies, and by track
        self._first: dict[str, str] = {}  # of each clip
        self._waiting: list[tuple[str, Any]] = []

    @property
    def faults(self) -> dict[str, MediaError]:
        """Of the clips without an answer: answering was ended, or the model has one for none of their pieces."""
        missed = {first: fault for first, (_, fault) in self.missed.items() if not self.is_answered(first)}
        return {clip: fault for first, fault in missed.items() for clip in self._copies(first)} | self.ended

    def miss(self, clips: list[str], n: int, fault: MediaError) -> None:
        """Take in that so many pieces of these clips have no answer."""
        self._know(clips)
        before, why = self.missed.get(clips[0], (0, fault))
        self.missed[clips[0]] = (before + n, why)

    def _take(self, clips: list[str], pieces: Sequence[Any]) -> None:
        self._know(clips)
        for piece in pieces:
            if self._waiting and not self._may_join(clips[0], self._waiting[-1][0]):
                self.finish()
            self._waiting.append((clips[0], piece))
            if len(self._waiting) == FRAMES_AT_ONCE:
                self.finish()

    def _know(self, clips: list[str]) -> None:
        for clip in clips:
            self._first[clip] = clips[0]

    def _may_join(self, clip: str, other: str) -> bool:
        """Whether a model may answer for two clips together: a suspect is answered for alone."""
        if clip == other or not self.watch.suspects:
            return True
        return bool(self.watch.suspects.isdisjoint([*self._copies(clip), *self._copies(other)]))

    def take_rows(self, clips: list[str], rows: pa.Table) -> None:
        """Take rows of answers that were given to who read a section of the file of these clips."""
        self._know(clips)
        self._add(rows.set_column(rows.column_names.index("clip"), "clip", pa.array([clips[0]] * rows.num_rows)))

    def windows(self, clips: list[str], family: FeatureFamily, windows: Windows) -> None:
        """Take windows of sound. Raises TypeError of a model that sees."""
        raise TypeError(f"{type(self).__name__} takes no windows")

    def pictures(self, clips: list[str], pictures: list[Picture]) -> None:
        """Take pictures. Raises TypeError of a model that hears."""
        raise TypeError(f"{type(self).__name__} takes no pictures")

    def finish(self) -> None:
        """Answer for what waits."""
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        try:
            self._answer(waiting)
        except MediaError as fault:  # of the only one, which is not tried again
            for clip in self._copies(waiting[0][0]):
                self.ended.setdefault(clip, fault)

    def _given(self, clips: Sequence[str], values: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Return what the model says, float64[n, k], and for which pieces it has an answer, bool[n]."""
        if not len(values):
            return np.zeros((0, len(self.emotions))), np.zeros(0, bool)
        with self.watch.answering(list(dict.fromkeys(clips))):
            given, faults = answers_of(lambda rows: self.answer(values[rows]), len(values), len(self.emotions))
        for row, fault in faults.items():
            self.miss([clips[row]], 1, fault)
        answered = np.ones(len(values), bool)
        answered[list(faults)] = False
        return given, answered

    def _copies(self, first: str) -> list[str]:
        return [clip for clip, its in self._first.items() if its == first]

    def _write(self, table: str, rows: pa.Table) -> None:
        """Write rows under the names of all copies."""
        firsts = rows["clip"].to_pylist()
        several = {first: names for first in dict.fromkeys(firsts) if len(names := self._copies(first)) > 1}
        self.write(table, rows)
        for first, names in several.items():
            mine = rows.filter(pa.array([clip == first for clip in firsts]))
            for name in names:
                if name != first:
                    named = pa.array([name] * mine.num_rows, pa.string())
                    self.write(table, mine.set_column(mine.column_names.index("clip"), "clip", named))

    def _sum(self, clip: str, track: int = 0) -> ClipSum:
        tracks = self.sums.setdefault(self._first.get(clip, clip), {})
        return tracks.setdefault(track, ClipSum(self.emotions))

    @abstractmethod
    def is_answered(self, first: str) -> bool:
        """Whether there is an answer for some piece of a clip, the first of its copies."""

    @abstractmethod
    def _answer(self, waiting: list[tuple[str, Any]]) -> None:
        """Answer for pieces, each with its clip, and give the rows."""

    @abstractmethod
    def _add(self, rows: pa.Table) -> None:
        """Sum up rows of answers, and write them."""

    @abstractmethod
    def rows(self, featurized: pa.Table) -> pa.Table:
        """Return the LABELS rows of FEATURIZED rows, all of whose pieces were taken."""


class HeardSink(Sink):
    """The answers of a model that hears: of each window, and of them together."""

    def windows(self, clips: list[str], family: FeatureFamily, windows: Windows) -> None:
        """Take windows of the family that the model reads."""
        assert family == self.family
        told = zip(windows.windows, windows.states, windows.speech_seconds, windows.values, strict=True)
        self._take(clips, [_Piece(windows.track, *one) for one in told])

    def _answer(self, waiting: list[tuple[str, Any]]) -> None:
        clips = [clip for clip, _ in waiting]
        pieces: list[_Piece] = [piece for _, piece in waiting]
        ok = np.array([piece.state == "ok" for piece in pieces])
        values = [piece.value for piece in pieces if piece.state == "ok"]
        heard = [clip for is_ok, clip in zip(ok, clips, strict=True) if is_ok]
        given, there = np.zeros((len(waiting), len(self.emotions))), np.ones(len(waiting), bool)
        shape = (0, *self.family.shape)
        given[ok], there[ok] = self._given(heard, np.stack(values) if values else np.zeros(shape, np.float32))
        columns = ([getattr(piece, name) for piece in pieces] for name in ("window", "state", "speech", "track"))
        heads = window_heads(clips, *columns).filter(pa.array(there))
        self.give(window_rows(heads, given[there], self.family.name, self.emotions))

    def is_answered(self, first: str) -> bool:
        """Whether there is an answer for some window of a clip, the first of its copies."""
        return any(total.answered for total in self.sums.get(first, {}).values())

    def _add(self, rows: pa.Table) -> None:
        names = ("clip", "track", "start_seconds", "end_seconds", "state", "speech_seconds")
        told = (rows[name].to_pylist() for name in names)
        for clip, track, start, end, state, speech, said in zip(*told, shares_of(rows), strict=True):
            total = self._sum(clip, track)
            total.windows += 1
            if state == "ok":
                total.add(said, start, end, end - start if speech is None else speech, self.family.name)
        self._write(WINDOWS_FOLDER, rows)

    def rows(self, featurized: pa.Table) -> pa.Table:
        """Return the LABELS rows of FEATURIZED rows, all of whose windows were taken."""
        told = (featurized[name].to_pylist() for name in ("clip", "windows_left_out"))
        sums = []
        for clip, left_out in zip(*told, strict=True):
            first = self._first.get(clip, clip)
            tracks = dict(sorted(self.sums.get(first, {}).items()))
            for total in tracks.values():
                total.finish()
            total = together(list(tracks.values()), self.emotions)
            total.left_out = (left_out or 0) + self.missed.get(first, (0, None))[0]
            sums.append(total)
            if any(tracks):
                self.write(TRACKS_FOLDER, track_rows(clip, tracks, self.emotions))
        answers = [total.answer if total.answered else None for total in sums]
        return label_rows(featurized, sums, answers, featurized["state"].to_pylist())


class _Piece(NamedTuple):
    """A window that waits for an answer."""

    track: int
    window: Window
    state: str
    speech: float
    value: NDArray[np.float32]


def window_heads(
    clips: Sequence[str],
    windows: Sequence[Window],
    states: Sequence[str],
    speech: Sequence[float],
    tracks: Sequence[int] | None = None,
) -> pa.Table:
    """Return what is known of windows before a model answers for them: their clips, places, speech and states."""
    n = len(clips)
    return pa.table(
        {
            "clip": pa.array(clips, pa.string()),
            "track": pa.array(np.zeros(n) if tracks is None else tracks, pa.int32()),
            "window": pa.array([window.index for window in windows], pa.int32()),
            "start_seconds": pa.array([window.start_seconds for window in windows], pa.float64()),
            "end_seconds": pa.array([window.end_seconds for window in windows], pa.float64()),
            "speech_seconds": pa.array(speech, pa.float64(), from_pandas=True),
            "state": pa.array(states, pa.string()),
        }
    )


def tables_of(emotions: Sequence[str], sees: bool, *, apart: bool = False) -> dict[str, pa.Schema]:
    """Return the tables that the answers for clips stand in beside the labels, by name; `apart`: voices are tracks."""
    frames = {FRAMES_FOLDER: of_emotions(FRAME_LABELS, emotions)} if sees else {}
    tracks = {TRACKS_FOLDER: of_emotions(TRACKS, emotions)} if apart else {}
    return {**frames, **tracks, WINDOWS_FOLDER: of_emotions(WINDOWS, emotions)}
