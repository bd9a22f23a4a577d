"""What every model shares: how it is called, and how soft labels and class weights reach it."""

from collections.abc import Generator
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from emocore.errors import UserError
from emocore.features.family import Inputs
from emocore.labels import EMOTIONS

Settings = dict[str, Any]
Pair = tuple[NDArray[np.float32], NDArray[np.float32]]
Parts = Generator[float, None, Settings]


class Classifier(Protocol):
    """A model of the eight emotions over one kind of inputs; models are its subclasses, and have its `fit`."""

    inputs: ClassVar[Inputs]

    def __init__(self, name: str, seed: int = 0, threads: int = 1, settings: Settings | None = None) -> None: ...

    def fit(
        self,
        x: NDArray[np.float32],
        soft: NDArray[np.float32],
        weights: NDArray[np.float32],
        validation: Pair | None = None,
    ) -> Settings:
        """Fit on inputs [n, …] and soft labels [n, 8]; return the settings chosen on the validation pair."""
        return exhaust(self.fit_parts(x, soft, weights, validation))

    def fit_parts(
        self,
        x: NDArray[np.float32],
        soft: NDArray[np.float32],
        weights: NDArray[np.float32],
        validation: Pair | None = None,
    ) -> Parts:
        """Fit as `fit` does, and yield after each part which share is done, 1.0 at last.

        `logits` may be asked for in between. A model that learns in one piece yields once.
        """
        ...

    def logits(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return scores [n, 8]; −inf for a class that was absent from training."""
        ...

    def save(self, folder: Path) -> None:
        """Write the fitted model without pickle."""
        ...

    @classmethod
    def load(cls, folder: Path, name: str) -> Self:
        """Read what `save` wrote."""
        ...


def exhaust(parts: Parts) -> Settings:
    """Go through all parts of a fit; return the settings that it chose.

    >>> def parts():
    ...     yield 1.0
    ...     return {"epochs": 3}
    >>> exhaust(parts())
    {'epochs': 3}
    """
    while True:
        try:
            next(parts)
        except StopIteration as end:
            return dict(end.value)


def class_weights(soft: NDArray[np.float32], balanced: bool) -> NDArray[np.float32]:
    """Return float32[8]: n / (classes present × n of the class), scikit-learn's "balanced"; or ones.

    Raises UserError where fewer than two classes are present.

    >>> class_weights(np.eye(8, dtype="f4")[[0, 1, 1, 1]], balanced=True)[:3].tolist() == [2.0, np.float32(2 / 3), 0.0]
    True
    """
    totals = soft.sum(axis=0)
    present = totals > 0
    if present.sum() < 2:
        names = [name for name, there in zip(EMOTIONS, present, strict=True) if there] or ["no emotion"]
        raise UserError(f"The training clips show only {names[0]}: at least two emotions are needed to train.")
    weights = np.zeros(len(EMOTIONS), np.float32)
    weights[present] = totals.sum() / (present.sum() * totals[present]) if balanced else 1.0
    return weights


def weighted_rows(
    soft: NDArray[np.float32], weights: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return row numbers, classes and weights, so that a learner of hard labels learns soft ones.

    A clip with shares in several classes stands there once a class, weighted by the share and the class.
    """
    rows, target = np.nonzero(soft)
    return rows, target, soft[rows, target].astype(np.float64) * weights[target]
