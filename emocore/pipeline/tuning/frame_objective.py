"""What a setting of a network of frames is worth."""

import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray

from emocore.datasets.examples import Examples
from emocore.datasets.protocols import Fold
from emocore.models.base import Settings
from emocore.models.network_settings import changed
from emocore.models.spaces import setting_key
from emocore.pipeline import cluster
from emocore.pipeline.training.epoch_log import read_progress
from emocore.pipeline.training.fit_frames import WORK, FramePlan, run_frame_folds
from emocore.pipeline.training.folds import safe_name
from emocore.pipeline.training.worker import STOP
from emocore.pipeline.tuning.objective import Report, mean_recall
from emocore.storage.files import store_of

_POLL_SECONDS = 0.3
_NEARLY = 0.99  # of a fold: its clips are not scored yet


@dataclass(frozen=True)
class FrameCandidates:
    """Settings of a network of frames, each trained by Ray Train, fold after fold; `work`: on shared storage."""

    examples: Examples
    folds: list[Fold]  # with validation clips, which choose the epoch, and test clips, which are scored
    plan: FramePlan
    group_column: str | None
    work: Path

    def reports(self, setting: Settings, in_parts: bool) -> Iterator[Report]:
        """Return one report of the whole training, or one after each epoch.

        Until the first fold is scored, settings are compared by the accuracy of its validation frames.
        """
        plan = replace(self.plan, settings=changed(self.plan.settings, setting))
        out = self.work / hashlib.sha256(setting_key(setting).encode()).hexdigest()[:16]
        scores: list[float] = []
        for number, fold in enumerate(self.folds):
            # Outside of the trial's placement group, into which the tasks of its training would not fit.
            task = _fit.options(scheduling_strategy="DEFAULT").remote(self.examples, fold, plan, self.group_column, out)
            try:
                for report in self._epochs(task, number, out, scores):
                    if in_parts:
                        yield report
                scores = [*scores, _result(task)]
            except GeneratorExit:  # the trial was stopped; where its workers were killed, Ray would keep their places
                store_of(out).put_new(self._work(out, fold) / STOP, b"")
                ray.wait([task])
                raise
            if in_parts and number + 1 < len(self.folds):
                yield Report((number + 1) / len(self.folds), scores)
        shutil.rmtree(out, ignore_errors=True)
        yield Report(1.0, scores)

    def _epochs(self, task: Any, number: int, out: Path, scores: list[float]) -> Iterator[Report]:
        path, waiting = self._work(out, self.folds[number]) / "progress.jsonl", [task]
        shown, best = 0, 0.0
        while waiting:
            _, waiting = ray.wait(waiting, timeout=_POLL_SECONDS)
            entries = [entry for entry in read_progress(path) if "val_accuracy" in entry]
            for entry in entries[shown:]:
                best = max(best, entry["val_accuracy"])
                share = (number + min(_NEARLY, entry["epoch"] / entry["epochs"])) / len(self.folds)
                yield Report(share, scores, None if scores else entry["val_accuracy"])
            shown = len(entries)
        if not scores:  # also where it ended early, all are compared by the same figure
            yield Report(_NEARLY / len(self.folds), scores, best)

    def _work(self, out: Path, fold: Fold) -> Path:
        return out / WORK / safe_name(fold.name)


@ray.remote(num_cpus=0, max_retries=0)
def _fit(examples: Examples, fold: Fold, plan: FramePlan, group_column: str | None, out: Path) -> float:
    (result,) = run_frame_folds(examples, [fold], plan, group_column, out, keep=True)
    return mean_recall(examples.truth[result.rows], result.probabilities)


def _result(task: Any) -> float:
    with cluster.plainly():
        return float(ray.get(task))
