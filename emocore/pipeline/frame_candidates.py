"""What a setting of a network of frames is worth."""

import hashlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from emocore.corpus.protocols import Fold
from emocore.frame_examples import FrameExamples
from emocore.models.base import Settings
from emocore.models.network_settings import changed
from emocore.models.spaces import setting_key
from emocore.pipeline.candidates import Report, mean_recall
from emocore.pipeline.folds import safe_name
from emocore.pipeline.frame_folds import WORK, FramePlan, run_frame_folds
from emocore.pipeline.network_progress import read_progress

_POLL_SECONDS = 0.3


@dataclass(frozen=True)
class FrameCandidates:
    """Settings of a network of frames, each trained by Ray Train, fold after fold; `work`: on shared storage."""

    examples: FrameExamples
    folds: list[Fold]  # with validation clips, which choose the epoch, and test clips, which are scored
    plan: FramePlan
    group_column: str | None
    work: Path

    def reports(self, setting: Settings, in_parts: bool) -> Iterator[Report]:
        """Return one report of the whole training, or one after each epoch.

        Until the first fold is scored, the score is the accuracy of its validation frames.
        """
        plan = replace(self.plan, settings=changed(self.plan.settings, setting))
        out = self.work / hashlib.sha256(setting_key(setting).encode()).hexdigest()[:16]
        out.mkdir(parents=True, exist_ok=True)
        scores: list[float] = []
        for number, fold in enumerate(self.folds):
            done: list[float] = []
            thread = threading.Thread(target=self._fit, args=(plan, fold, out, done), daemon=True)
            thread.start()
            for entry in self._epochs(thread, out, fold) if in_parts else ():
                share = (number + min(0.99, entry["epoch"] / entry["epochs"])) / len(self.folds)
                yield Report(share, scores or [entry["val_accuracy"]])
            thread.join()
            if isinstance(done[0], BaseException):
                raise done[0]
            scores = [*scores, *done]
            if in_parts or number + 1 == len(self.folds):
                yield Report((number + 1) / len(self.folds), scores)

    def _fit(self, plan: FramePlan, fold: Fold, out: Path, done: list[Any]) -> None:
        try:
            (result,) = run_frame_folds(self.examples, [fold], plan, self.group_column, out, keep=True)
            done.append(mean_recall(self.examples.truth[result.rows], result.probabilities))
        except BaseException as error:  # raised where the report is waited for
            done.append(error)

    def _epochs(self, thread: threading.Thread, out: Path, fold: Fold) -> Iterator[dict[str, Any]]:
        path, shown = out / WORK / safe_name(fold.name) / "progress.jsonl", 0
        while thread.is_alive():
            time.sleep(_POLL_SECONDS)
            entries = [entry for entry in read_progress(path) if "val_accuracy" in entry]
            yield from entries[shown:]
            shown = len(entries)
