"""Fit a model on some clips; whatever it must choose, it chooses on inner folds of those clips, by actor."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from emocore.arrays import Rows
from emocore.models.base import Classifier, Settings, class_weights
from emocore.models.catalogue import classifier_class
from emocore.models.fusion import LateFusion, fuse, fusion_weights
from emocore.probabilities import fit_temperature


@dataclass(frozen=True)
class Recipe:
    """What to fit: the model's name, its settings beside the defaults, the seed, balanced class weights or none."""

    model: str
    seed: int = 0
    balanced: bool = True
    settings: Settings = field(default_factory=dict)


class Part(NamedTuple):
    """Which share of an inner fit is done, and what returns the scores float64[m, k] of its held-out rows so far."""

    share: float
    score: Callable[[], NDArray[np.float64]]


@dataclass(frozen=True)
class InnerFit:
    """What one inner fold gave: scores float64[m, k] for the held-out rows int64[m], and settings chosen there.

    Of a late fusion also what each member said, float64[m, members, k].
    """

    held: Rows
    logits: NDArray[np.float64]
    chosen: Settings
    members: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class Calibration:
    """What makes probabilities of scores: a temperature and, of a late fusion, the weights of its members."""

    temperature: float = 1.0
    weights: NDArray[np.float64] | None = None

    def logits(self, fit: InnerFit) -> NDArray[np.float64]:
        """Return the scores float64[m, k] of an inner fold, by these weights."""
        return fit.logits if self.weights is None or fit.members is None else fuse(fit.members, self.weights)


@dataclass(frozen=True)
class Fitted:
    """A fitted model, the temperature of its probabilities, and the settings that the inner folds chose."""

    classifier: Classifier
    temperature: float
    chosen: Settings


def fit_inner(
    recipe: Recipe,
    x: NDArray[np.float32],
    soft: NDArray[np.float32],
    train: Rows,
    validation: Rows,
    held: Rows,
    threads: int = 1,
) -> Generator[Part, None, InnerFit]:
    """Fit on the rows `train` of inputs [n, …] and soft labels [n, k], choose on `validation`, score `held`.

    Yields after each part of the fit; `exhaust` returns the whole.
    """
    classifier = _make(recipe, threads)
    weights = class_weights(soft[train], recipe.balanced)
    shares = classifier.fit_parts(x[train], soft[train], weights, (x[validation], soft[validation]))

    def score() -> NDArray[np.float64]:
        return classifier.logits(x[held])

    while True:
        try:
            yield Part(next(shares), score)
        except StopIteration as end:
            members = classifier.scores(x[held]) if isinstance(classifier, LateFusion) else None
            return InnerFit(held, score(), end.value, members)


def fit_final(
    recipe: Recipe,
    x: NDArray[np.float32],
    soft: NDArray[np.float32],
    train: Rows,
    inner: list[InnerFit],
    threads: int = 1,
) -> Fitted:
    """Fit on all rows `train` with the settings and the temperature that the inner folds chose."""
    chosen = {name: int(median(fit.chosen[name] for fit in inner)) for name in (inner[0].chosen if inner else {})}
    classifier = _make(replace(recipe, settings={**recipe.settings, **chosen}), threads)
    classifier.fit(x[train], soft[train], class_weights(soft[train], recipe.balanced))
    calibration = calibrate(inner, soft)
    if isinstance(classifier, LateFusion) and calibration.weights is not None:
        classifier.weights = calibration.weights
        chosen |= classifier.told_weights()
    return Fitted(classifier, calibration.temperature, chosen)


def calibrate(inner: Sequence[InnerFit], soft: NDArray[np.float32]) -> Calibration:
    """Return the temperature, and the weights of members, that fit the held-out rows of inner folds best.

    Each row was scored by models that never heard its actor, so that a member that learns its clips by heart has no
    more weight for it.
    """
    if not inner:
        return Calibration()
    target = soft[np.concatenate([fit.held for fit in inner])]
    members = [fit.members for fit in inner if fit.members is not None]
    weighed = Calibration(1.0, fusion_weights(np.concatenate(members), target) if members else None)
    logits = np.concatenate([weighed.logits(fit) for fit in inner])
    return replace(weighed, temperature=fit_temperature(logits, target))


def _make(recipe: Recipe, threads: int) -> Classifier:
    return classifier_class(recipe.model)(recipe.model, recipe.seed, threads, recipe.settings)
