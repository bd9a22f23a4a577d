"""What a setting is worth: its model fitted and scored on folds of training actors, whole or in parts."""

import contextlib
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from emocore.errors import UserError
from emocore.evaluation.metrics import confusion_matrix, uar
from emocore.models.base import Settings, exhaust
from emocore.models.fitting import InnerFit, Part, Recipe, fit_inner
from emocore.pipeline.training.folds import Split


class Report(NamedTuple):
    """Which share of a setting's training is done, and the UAR on the folds that have been scored so far.

    `guide` is what is compared before the first fold is scored.
    """

    share: float
    scores: list[float]
    guide: float | None = None


class Candidates(Protocol):
    """Scores settings, in a process of its own."""

    def reports(self, setting: Settings, in_parts: bool) -> Iterator[Report]:
        """Return one report of the whole training, or one after each part of it."""


@dataclass(frozen=True)
class ArrayCandidates:
    """Settings of models of columns and of MFCC frames: inputs [n, …], soft labels [n, k], and how they are parted."""

    recipe: Recipe
    x: NDArray[np.float32]
    soft: NDArray[np.float32]
    splits: list[Split]
    threads: int
    gpus: float

    def reports(self, setting: Settings, in_parts: bool) -> Iterator[Report]:
        """Return one report of the whole training, or one after each part of it: all folds go on side by side.

        A model that learns in one piece is scored fold by fold.
        """
        # The name that XGBoost has for it, and those networks of sound.
        device = {"device": "cuda"} if self.gpus else {}
        recipe = replace(self.recipe, settings={**self.recipe.settings, **setting, **device})
        parts = [fit_inner(recipe, self.x, self.soft, *split, threads=self.threads) for split in self.splits]
        if not in_parts:
            fits = map(exhaust, parts)
            yield Report(1.0, [self._score(fit.held, fit.logits) for fit in fits])
            return
        shares, scores = [0.0] * len(parts), [float("nan")] * len(parts)
        with contextlib.ExitStack() as stack:
            # A thread each: XGBoost's random numbers are the thread's, and no fold may use up those of another.
            pools = [stack.enter_context(ThreadPoolExecutor(1)) for _ in parts]
            while min(shares) < 1:
                for i, split in enumerate(self.splits):
                    if shares[i] == 1:
                        continue
                    shares[i], logits = pools[i].submit(_next_part, parts[i]).result()
                    scores[i] = self._score(split.held, logits)
                    if shares[i] == 1 and 0.0 in shares:
                        yield Report(float(np.mean(shares)), scores[: i + 1])
                yield Report(float(np.mean(shares)), list(scores))

    def _score(self, rows: NDArray[np.int64], logits: NDArray[np.float64]) -> float:
        return mean_recall(self.soft[rows].argmax(axis=1), logits)


def _next_part(parts: Generator[Part, None, InnerFit]) -> tuple[float, NDArray[np.float64]]:
    share, score = next(parts)
    return share, score()


def mean_recall(truth: NDArray[np.int64], scores: NDArray[np.float64]) -> float:
    """Return the UAR of the classes with the highest scores. Raises UserError where there is no clip."""
    value = uar(confusion_matrix(truth, scores.argmax(axis=1), scores.shape[1]))
    if value is None:
        raise UserError("A fold of the search has no labelled clip to score: give fewer --folds.")
    return value
