"""Models that know the classes that their training showed, by the numbers of the emotions."""

import numpy as np
from numpy.typing import NDArray

from emocore.labels import MOST_EMOTIONS
from emocore.models.base import Classifier


class OfClasses(Classifier):
    """Knows the emotions that its training showed, by their numbers."""

    classes: NDArray[np.int64]

    def answer_for(self, n_emotions: int) -> None:
        """Take in how many emotions a loaded model answers for. Raises ValueError where it knows of others."""
        if self.classes[-1] >= n_emotions:
            raise ValueError(f"it knows an emotion of number {self.classes[-1]}, and its bundle names {n_emotions}")
        self.n_emotions = n_emotions


def check_classes(classes: NDArray[np.int64]) -> None:
    """Raise ValueError unless these are two or more different numbers of emotions, in order."""
    if classes.ndim != 1 or len(classes) < 2 or (np.diff(classes) <= 0).any():
        raise ValueError("classes that are not different")
    if classes[0] < 0 or classes[-1] >= MOST_EMOTIONS:
        raise ValueError("classes that are no emotions")


def spread(scores: NDArray[np.float64], classes: NDArray[np.int64], n_emotions: int) -> NDArray[np.float64]:
    """Return scores float64[n, classes] in their emotions' columns: float64[n, n_emotions], −inf in the others."""
    logits = np.full((len(scores), n_emotions), -np.inf)
    logits[:, classes] = scores
    return logits
