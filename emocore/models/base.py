"""What every model shares: how it is called, and how soft labels and class weights reach it."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from emocore.errors import UserError
from emocore.labels import EMOTIONS

Settings = dict[str, Any]
Pair = tuple[NDArray[np.float32], NDArray[np.float32]]
Parts = Generator[float, None, Settings]
Whole = TypeVar("Whole")


@dataclass(frozen=True)
class ModelSpec:
    """All that is asked of a model by its name; importing it imports nothing heavy, `load` and `build` do."""

    name: str
    reads: tuple[str, ...]  # feature families; of several, vectors of sound, it gets the values end to end
    load: Callable[[], type["Classifier"]] | None = None  # of a model that is fitted in the memory of one process
    network: "NetworkSpec | None" = None  # of one that learns from pictures that are streamed to many
    defaults: Settings = field(default_factory=dict)  # of the first kind: the settings that are not the library's own
    parameters: Callable[[], Settings] | None = None  # with their defaults: what may be set and searched
    chooses: bool = False  # when to stop, on validation clips
    lenient: bool = False  # its library takes a text for a number, and a fraction for its whole part
    trial_gpus: bool = False  # a trial of a search may compute on a GPU
    answers_on: Literal["cpu", "gpu"] = "cpu"  # where a GPU makes it faster
    balanced: bool = True  # every emotion weighs the same in training, unless told otherwise
    protocol: str = "all"  # of a training, where the corpus says what is for what
    shipped: bool = False  # comes trained, inside the package
    module: str | None = None  # of a model outside of the package
    source_hash: str | None = None

    @property
    def sees(self) -> bool:
        """Whether it reads pictures."""
        return self.network is not None


@dataclass(frozen=True)
class NetworkSpec:
    """What a network of frames is: how it is built, from what it begins, and what it takes and gives."""

    build: Callable[..., Any]  # (settings) or, where there is a base, (settings, base network) → a Keras network
    settings: Any  # NetworkSettings: its own
    emotions: tuple[str, ...] = EMOTIONS  # what its outputs stand for, where the run's are EMOTIONS; else the run's
    input_pixels: int | None = None  # the side of the pictures that it takes; None: as its settings say
    frame_pixels: int = 256  # the side of the pictures that are kept for it, unless told otherwise
    base: str | None = None  # the model from which its training begins
    unread: tuple[str, ...] = ()  # settings that are those of other networks
    mirrored: bool = False  # it sees each picture mirrored too, and gives the mean


class Classifier(Protocol):
    """A model of k emotions over a feature family; models are its subclasses, and have its `fit`.

    How many they are the soft labels say, and of a loaded one `answer_for`.
    """

    n_emotions: int = len(EMOTIONS)

    def __init__(self, name: str, seed: int = 0, threads: int = 1, settings: Settings | None = None) -> None: ...

    def fit(
        self,
        x: NDArray[np.float32],
        soft: NDArray[np.float32],
        weights: NDArray[np.float32],
        validation: Pair | None = None,
    ) -> Settings:
        """Fit on inputs [n, …] and soft labels [n, k]; return the settings chosen on the validation pair.

        A clip whose labels sum to 2 counts as two: corpora of unlike sizes are balanced so.
        """
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
        """Return scores [n, k]; −inf for a class that was absent from training."""
        ...

    def save(self, folder: Path) -> None:
        """Write the fitted model without pickle."""
        ...

    @classmethod
    def load(cls, folder: Path, name: str) -> Self:
        """Read what `save` wrote."""
        ...

    def answer_for(self, n_emotions: int) -> None:
        """Take in how many emotions a loaded model answers for. Raises ValueError where it knows of others."""
        self.n_emotions = n_emotions


def exhaust(parts: Generator[Any, None, Whole]) -> Whole:
    """Go through all parts of a fit; return what it gives at the end.

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
            whole: Whole = end.value
            return whole


def class_weights(soft: NDArray[np.float32], balanced: bool, emotions: Sequence[str] = EMOTIONS) -> NDArray[np.float32]:
    """Return float32[k]: n / (classes present × n of the class), scikit-learn's "balanced"; or ones.

    Raises UserError, which names the class among `emotions`, where fewer than two are present.

    >>> class_weights(np.eye(8, dtype="f4")[[0, 1, 1, 1]], balanced=True)[:3].tolist() == [2.0, np.float32(2 / 3), 0.0]
    True
    """
    totals = soft.sum(axis=0)
    present = totals > 0
    if present.sum() < 2:
        names = [name for name, there in zip(emotions, present, strict=True) if there] or ["no emotion"]
        raise UserError(f"The training clips show only {names[0]}: at least two emotions are needed to train.")
    weights = np.zeros(soft.shape[1], np.float32)
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
