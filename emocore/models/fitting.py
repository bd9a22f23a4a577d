"""Fit a model on some clips; whatever it must choose, it chooses on inner folds of those clips, by actor."""

from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from statistics import median
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from emocore.arrays import Rows
from emocore.models.base import Classifier, Settings, class_weights
from emocore.models.catalogue import classifier_class
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
    """What one inner fold gave: scores float64[m, k] for the held-out rows int64[m], and settings chosen there."""

    held: Rows
    logits: NDArray[np.float64]
    chosen: Settings


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
            return InnerFit(held, score(), end.value)


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
    if not inner:
        return Fitted(classifier, 1.0, chosen)
    held = np.concatenate([fit.held for fit in inner])
    logits = np.concatenate([fit.logits for fit in inner])
    return Fitted(classifier, fit_temperature(logits, soft[held]), chosen)


def _make(recipe: Recipe, threads: int) -> Classifier:
    return classifier_class(recipe.model)(recipe.model, recipe.seed, threads, recipe.settings)
