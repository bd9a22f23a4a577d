"""Linear discriminant analysis with a ridge, in closed form: for few clips of many columns.

Hastie, Tibshirani and Friedman, "The Elements of Statistical Learning" (2009), 4.3.1 and 18.3.
"""

import io
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from emocore.errors import UserError
from emocore.features.family import ABSENT, FeatureFamily
from emocore.features.functionals import FUNCTIONALS
from emocore.features.gabor import GABOR
from emocore.features.high_band import HIGH_BAND
from emocore.models.base import Classifier, ModelSpec, Pair, Parts, Settings, weighted_rows
from emocore.models.classes import OfClasses, check_classes, spread
from emocore.models.foreign import read_array
from emocore.storage.files import write_bytes

READS = (FUNCTIONALS, GABOR, HIGH_BAND)
DEFAULTS: Settings = {"ridge": 0.3, "clip": 4.0}
_LEAST_SPREAD = 1e-6  # of a column, relative to its mean: below it stands still


class RidgeLda(OfClasses):
    """Means of classes, and one scatter within them that a ridge keeps from being singular.

    Columns are z-scored by the training and kept within ±`clip`; ABSENT ones count as their mean. With M the means of
    the classes and S the scatter about them, each class (by its weights) counting as much as the others,
    the scores are x·W + b, W = (S + λI)⁻¹M, bₖ = log πₖ − ½ mₖᵀWₖ, and λ = `ridge` · tr(S) / n, n the number of clips
    by their weights, (Σw)² / Σw²: how far chance moves the scatter falls as n rises. Where there are more columns than
    clips the inverse is taken of clips (Woodbury), so that the work is n²·columns + n³.
    """

    reads: ClassVar[tuple[FeatureFamily, ...]] = READS
    defaults: ClassVar[Settings] = DEFAULTS

    def __init__(self, name: str, seed: int = 0, threads: int = 1, settings: Settings | None = None) -> None:
        told = {**self.defaults, **(settings or {})}
        self.ridge, self.clip = (_positive(key, told[key]) for key in ("ridge", "clip"))
        self.threads = threads
        self.classes = np.zeros(0, np.int64)
        self.scale = np.zeros((2, 0))  # means and deviations
        self.weights = np.zeros((0, 0))
        self.bias = np.zeros(0)

    def fit_parts(
        self,
        x: NDArray[np.float32],
        soft: NDArray[np.float32],
        weights: NDArray[np.float32],
        validation: Pair | None = None,
    ) -> Parts:
        """Fit on float32[n, columns], soft labels [n, k] and the classes' weights [k]; in one piece."""
        from threadpoolctl import threadpool_limits  # noqa: PLC0415 - what lists models needs none

        rows, target, weight = weighted_rows(soft, weights)
        self.classes, self.n_emotions = np.unique(target), soft.shape[1]
        self.scale = scale_of(x)
        with threadpool_limits(self.threads):
            members = (target[:, None] == self.classes) * (weight / weight.sum())[:, None]
            shares = members.sum(axis=0)
            z = self._scaled(x[rows])
            means = (members / shares).T @ z
            parts = (z - means[np.searchsorted(self.classes, target)]) * np.sqrt(members.sum(axis=1))[:, None]
            ridge = self.ridge * max(float((parts**2).sum()), 1e-12) * float((members**2).sum())
            self.weights = solve_ridge(parts, means, ridge)
            self.bias = np.log(shares) - 0.5 * (self.weights * means).sum(axis=1)
        yield 1.0
        return {}

    def _scaled(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return columns as float64[n, columns] within ±clip; 0 where they are absent."""
        z = (x.astype(np.float64) - self.scale[0]) / self.scale[1]
        return np.where(x == np.float32(ABSENT), 0.0, z.clip(-self.clip, self.clip))

    def logits(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return scores float64[n, k] whose softmax over a temperature is the probability; −inf: class unknown."""
        # Row by row of one width: the sums of a row do not depend on the rows beside it.
        scores = np.einsum("np,kp->nk", self._scaled(x), self.weights) + self.bias
        return spread(scores, self.classes, self.n_emotions)

    def save(self, folder: Path) -> None:
        """Write arrays, one a file."""
        arrays = {"classes": self.classes, "scale": self.scale, "weights": self.weights, "bias": self.bias}
        arrays["clip"] = np.array([self.clip])
        for name, array in arrays.items():
            content = io.BytesIO()
            np.save(content, array, allow_pickle=False)
            write_bytes(folder / f"{name}.npy", content.getvalue())

    @classmethod
    def load(cls, folder: Path, name: str) -> Self:
        """Read what `save` wrote. Raises UserError where it is something else."""
        columns = sum(family.size for family in cls.reads)
        classes = read_array(folder / "classes.npy", (None,), np.int64)
        k = len(classes)
        clip = read_array(folder / "clip.npy", (1,), np.float64)
        try:
            check_classes(classes)
            found = cls(name, settings={"clip": float(clip[0])})
        except ValueError as error:
            raise UserError(f"{folder} is no {name} ({error}): train it again.") from error
        found.classes = classes
        found.scale = read_array(folder / "scale.npy", (2, columns), np.float64)
        found.weights = read_array(folder / "weights.npy", (k, columns), np.float64)
        found.bias = read_array(folder / "bias.npy", (k,), np.float64)
        return found


def scale_of(x: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the means and deviations of columns float32[n, d] where they are there, float64[2, d].

    A column that stands still, or is never there, has the deviation 1.
    """
    there = x != np.float32(ABSENT)
    counts = np.maximum(there.sum(axis=0), 1)
    values = np.where(there, x, 0).astype(np.float64)
    means = values.sum(axis=0) / counts
    deviations = np.sqrt((np.where(there, values - means, 0) ** 2).sum(axis=0) / counts)
    return np.stack([means, np.where(deviations > _LEAST_SPREAD * (1 + np.abs(means)), deviations, 1.0)])


def solve_ridge(rows: NDArray[np.float64], means: NDArray[np.float64], ridge: float) -> NDArray[np.float64]:
    """Return means · (rowsᵀ·rows + ridge·I)⁻¹, float64[k, d], for rows [n, d] and means [k, d]; of the smaller side."""
    import scipy.linalg  # noqa: PLC0415 - what answers needs none

    n, d = rows.shape
    small = rows @ rows.T if n < d else rows.T @ rows
    small[np.diag_indices(len(small))] += ridge
    if n >= d:
        return np.asarray(scipy.linalg.solve(small, means.T, assume_a="pos").T)
    inner = scipy.linalg.solve(small, rows @ means.T, assume_a="pos")
    return np.asarray((means - inner.T @ rows) / ridge)


def _positive(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < np.inf:
        raise ValueError(f"parameter {name} must be a number above 0: got {value!r}")
    return float(value)


def _load() -> type[Classifier]:
    return RidgeLda


LDA = ModelSpec("lda", tuple(family.name for family in READS), _load, parameters=lambda: dict(DEFAULTS))
