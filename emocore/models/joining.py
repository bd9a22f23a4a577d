"""Answers of a model that hears, whatever it reads: of several families the values of a window, end to end."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emocore.features.family import FeatureFamily, joined
from emocore.features.listen import Windows
from emocore.models.labelling import Answer, Give, HeardSink, Write
from emocore.timeline import Window

Given = tuple[Window, str, float, NDArray[np.float32]]


class JoiningSink(HeardSink):
    """Waits until each family has given a window, and answers for their values together.

    A window that one of them lacks, by a rounding at the end of the sound, is left out. Where the families' states
    differ that of the first which is not ok counts.
    """

    def __init__(
        self,
        answer: Answer,
        families: Sequence[FeatureFamily],
        emotions: Sequence[str],
        write: Write,
        watch: Any,
        give: Give | None = None,
    ) -> None:
        super().__init__(answer, joined(families), emotions, write, watch, give)
        self.families = tuple(families)
        self._clip: str | None = None
        self._partly: dict[tuple[int, int], dict[str, Given]] = {}  # windows, by track and number, by family

    def windows(self, clips: list[str], family: FeatureFamily, windows: Windows) -> None:
        """Take windows of one of the families that the model reads."""
        if len(self.families) == 1:
            super().windows(clips, family, windows)
            return
        assert family in self.families
        if clips[0] != self._clip:
            self._clip, self._partly = clips[0], {}
        given = zip(windows.windows, windows.states, windows.speech_seconds, windows.values, strict=True)
        for one in given:
            self._partly.setdefault((windows.track, one[0].index), {})[family.name] = one
        n = len(self.families)
        ready = [place for place, parts in sorted(self._partly.items()) if len(parts) == n]  # of this track
        if ready:
            taken = [self._partly.pop(place) for place in ready]
            whole = [[parts[one.name] for one in self.families] for parts in taken]
            super().windows(clips, self.family, _together(whole, windows.track))


def _together(whole: Sequence[Sequence[Given]], track: int) -> Windows:
    """Return the windows of a track from what each family has of each."""
    firsts = [parts[0] for parts in whole]
    return Windows(
        [window for window, _, _, _ in firsts],
        [next((state for _, state, _, _ in parts if state != "ok"), "ok") for parts in whole],
        np.array([speech for _, _, speech, _ in firsts]),
        np.stack([np.concatenate([values for _, _, _, values in parts]) for parts in whole]),
        track,
    )
