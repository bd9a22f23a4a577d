"""The answers of a network that sees: of frames, of windows from their frames, and of clips from all."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from emocore.features.family import FeatureFamily
from emocore.features.one_file import MOST_UNSEEN_SECONDS
from emocore.media.video import Picture
from emocore.models.aggregation import How, tempered
from emocore.models.answers import FrameSum
from emocore.models.labelling import Answer, Give, Sink, Write, window_heads
from emocore.models.predictions import answer_frames, label_rows, shares_of, window_rows
from emocore.storage.folder import FRAMES_FOLDER, WINDOWS_FOLDER
from emocore.timeline import HowCut, Window, WindowGrid
from emocore.tracks.vad import Span

SEEN_SECONDS = 4.0  # of a window of a film, unless told otherwise


def seen_grid(how: HowCut) -> WindowGrid:
    """Return where the windows of a film lie: speech is not looked for in it."""
    length = how.window_seconds or SEEN_SECONDS
    return WindowGrid(length, how.hop_seconds or length)


class SeenSink(Sink):
    """The answers of a network that sees: of each frame, of windows from their frames, and of the clip from all.

    `grid`: where the windows of a film lie; one without a face in it has no answer.
    """

    def __init__(
        self,
        answer: Answer,
        family: FeatureFamily,
        emotions: Sequence[str],
        write: Write,
        watch: Any,
        give: Give | None = None,
        *,
        how: How,
        temperature: float,
        grid: WindowGrid,
    ) -> None:
        super().__init__(answer, family, emotions, write, watch, give)
        self.how, self.temperature, self.grid = how, temperature, grid
        self._seen: dict[str, _Seen] = {}  # by the first of several copies
        self._ended: set[str] = set()
        self._passed: list[tuple[str, Window, FrameSum | None]] = []  # to be written, in their clips' order

    def pictures(self, clips: list[str], pictures: list[Picture]) -> None:
        """Take pictures."""
        for picture in pictures:
            self.see(clips, (picture.time_seconds, picture.time_seconds))
        self._take(clips, [picture for picture in pictures if picture.state == "ok"])

    def see(self, clips: list[str], span: Span) -> None:
        """Take in that there are pictures from then to then, whether or not there is a face in them."""
        seen = self._seen.setdefault(clips[0], _Seen(FrameSum(len(self.emotions))))
        if span[0] > seen.until + MOST_UNSEEN_SECONDS:
            seen.gaps.append((seen.until, span[0]))
        seen.until = max(seen.until, span[1])

    def _answer(self, waiting: list[tuple[str, Any]]) -> None:
        clips = [clip for clip, _ in waiting]
        given, there = self._given(clips, np.stack([picture.image for _, picture in waiting]))
        answered = [one for one, is_there in zip(waiting, there, strict=True) if is_there]
        frames = {
            "clip": [clip for clip, _ in answered],
            "track": [0] * len(answered),
            "frame_index": [picture.frame_index for _, picture in answered],
            "time_seconds": [picture.time_seconds for _, picture in answered],
        }
        self.give(answer_frames(frames, given[there], self.emotions))

    def is_answered(self, first: str) -> bool:
        """Whether there is an answer for some frame of a clip, the first of its copies."""
        return first in self._seen and self._seen[first].clip.n > 0

    def _add(self, rows: pa.Table) -> None:
        told = (rows[name].to_pylist() for name in ("clip", "time_seconds"))
        for clip, seconds, said in zip(*told, shares_of(rows)[:, None], strict=True):
            seen = self._seen[clip]
            seen.clip.add(said)
            covering = self.grid.covering(seconds)
            self._pass(clip, self._windows(seen, covering.start))
            for index in covering:
                if index >= seen.next:  # stamps may go back
                    seen.windows.setdefault(index, FrameSum(len(self.emotions))).add(said)
        self._write(FRAMES_FOLDER, rows)
        self._write_passed()

    def rows(self, featurized: pa.Table) -> pa.Table:
        """Return the LABELS rows of FEATURIZED rows, all of whose pictures were taken, and write their last windows."""
        clips, durations = (featurized[name].to_pylist() for name in ("clip", "duration_seconds"))
        for clip, seconds in zip(clips, durations, strict=True):
            first = self._first.setdefault(clip, clip)
            if first not in self._ended:
                self._ended.add(first)
                self._pass(first, self._last(self._seen.get(first), seconds or 0.0))
        self._write_passed()
        sums = [self._sum(clip) for clip in clips]
        for total in sums:
            total.finish()
        found = [self._seen.get(self._first[clip]) for clip in clips]
        answers = [self._tempered(seen.clip) if seen and seen.clip.n else None for seen in found]
        states = ["no_video" if seen is None else "ok" if seen.clip.n else "no_face" for seen in found]
        return label_rows(featurized, sums, answers, states)

    def _tempered(self, frames: FrameSum) -> NDArray[np.float64]:
        answer: NDArray[np.float64] = tempered(frames.answer(self.how)[None], self.temperature)[0]
        return answer

    def _windows(self, seen: "_Seen", stop: int) -> Iterator[Window]:
        """Yield the windows of a clip from the next on, but for those that lie in a gap."""
        index = seen.next
        for start, end in seen.gaps:
            before, behind = self.grid.covering(start).stop, self.grid.covering(end).start
            yield from map(self.grid.at, range(index, min(before, stop)))
            index = max(index, min(behind, stop)) if before < behind else index
        yield from map(self.grid.at, range(index, stop))

    def _last(self, seen: "_Seen | None", seconds: float) -> Iterator[Window]:
        """Yield the windows that are left of a clip that lasts so long."""
        if seen is None:
            yield Window(0, 0.0, seconds)
            return
        # A picture may be shown behind the end that a film states, and a film may state an end without sense.
        end = max(seconds, seen.until + 1e-3) if seen.windows else seconds
        stop = self.grid.covering(max(0.0, min(end, seen.until + MOST_UNSEEN_SECONDS))).stop
        for window in self._windows(seen, stop):
            before = self.grid.at(window.index - 1).end_seconds if window.index else -1.0
            if before < end - 1e-6 and (window.start_seconds < end or not window.index):
                yield Window(window.index, window.start_seconds, min(window.end_seconds, end))

    def _pass(self, first: str, windows: Iterable[Window]) -> None:
        """Take leave of windows of a clip in which no further picture is shown."""
        seen = self._seen.get(first)
        for window in windows:
            self._passed.append((first, window, seen.windows.pop(window.index, None) if seen else None))
            if seen:
                seen.next = window.index + 1

    def _write_passed(self) -> None:
        passed, self._passed = self._passed, []
        if not passed:
            return
        clips, windows, sums = zip(*passed, strict=True)
        missing = ["no_face" if clip in self._seen else "no_video" for clip in clips]
        states = ["ok" if one else state for one, state in zip(sums, missing, strict=True)]
        nothing = np.zeros(len(self.emotions))
        given = np.array([self._tempered(one) if one else nothing for one in sums])
        table = window_heads(clips, windows, states, [np.nan] * len(windows))
        rows = window_rows(table, given, self.family.name, self.emotions)
        for clip, window, said, state in zip(clips, windows, shares_of(rows), states, strict=True):
            total = self._sum(clip)
            total.windows += 1
            if state == "ok":
                start, end = window.start_seconds, window.end_seconds
                total.add(said, start, end, end - start, self.family.name)
        self._write(WINDOWS_FOLDER, rows)


class _Seen:
    """What was seen of a clip: all of its frames, those of the windows that go on, and up to when."""

    def __init__(self, clip: FrameSum) -> None:
        self.clip = clip
        self.windows: dict[int, FrameSum] = {}
        self.next = 0  # the window that comes next
        self.until = 0.0
        self.gaps: list[tuple[float, float]] = []  # in which there is no picture for long
