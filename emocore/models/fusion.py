"""Late fusion: models that answer each on its own, and weights by which their scores are added.

Kittler, Hatef, Duin and Matas, "On combining classifiers" (1998); the weights are those of a logistic regression on
scores that no member was fitted on, Brümmer et al., "Fusion of heterogeneous speaker recognition systems" (2007).
"""

import io
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from emocore.errors import UserError
from emocore.features.catalogue import find_family
from emocore.models.base import Classifier, ModelSpec, Pair, Parts, Settings, exhaust
from emocore.models.foreign import read_array
from emocore.probabilities import softmax
from emocore.storage.files import write_bytes
from emocore.storage.local import scratch, writing

_OWN = "fusion.npy"
_LEAST, _MOST = 0.01, 100.0  # weights of scores whose deviation is 1: as far as a temperature goes


class Member(NamedTuple):
    """A model inside of another; its settings and its files bear its name, and a hyphen or underscore."""

    name: str
    spec: ModelSpec


class LateFusion(Classifier):
    """The models `parts`, each on its own feature families, and one weight each by which their scores are added.

    `fit` weighs each by the deviation of its scores over the training clips; what `fit_final` knows of inner folds
    takes its place.
    """

    parts: ClassVar[tuple[Member, ...]]

    def __init__(self, name: str, seed: int = 0, threads: int = 1, settings: Settings | None = None) -> None:
        self.members = [
            member.spec.load()(member.spec.name, seed, threads, settings_of(member, settings or {}))
            for member in self.parts
            if member.spec.load is not None
        ]
        self.weights = np.ones(len(self.members))

    def fit_parts(
        self,
        x: NDArray[np.float32],
        soft: NDArray[np.float32],
        weights: NDArray[np.float32],
        validation: Pair | None = None,
    ) -> Parts:
        """Fit each member on its columns of float32[n, columns]; return what they chose, under their names."""
        chosen: Settings = {}
        for part, member in zip(self.parts, self.members, strict=True):
            rows = places(self.parts, part)
            pair = (validation[0].take(rows, axis=1), validation[1]) if validation is not None else None
            own = exhaust(member.fit_parts(x.take(rows, axis=1), soft, weights, pair))
            chosen |= {f"{part.name}_{key}": value for key, value in own.items()}
        self.weights = 1 / deviations(self.scores(x))
        yield 1.0
        return chosen

    def scores(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return what each member says, float64[n, members, k]; −inf: class unknown."""
        columns = [x.take(places(self.parts, part), axis=1) for part in self.parts]
        return np.stack([member.logits(own) for member, own in zip(self.members, columns, strict=True)], axis=1)

    def logits(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the weighted sum of the members' scores, float64[n, k]; −inf: class unknown."""
        return fuse(self.scores(x), self.weights)

    def told_weights(self) -> Settings:
        """Return what each member weighs, as a run reports it, to four digits."""
        return {f"{part.name}_weight": float(f"{w:.4g}") for part, w in zip(self.parts, self.weights, strict=True)}

    def answer_for(self, n_emotions: int) -> None:
        """Take in how many emotions a loaded model answers for. Raises ValueError where a member knows of others."""
        for member in self.members:
            member.answer_for(n_emotions)

    def save(self, folder: Path) -> None:
        """Write each member's files, with its name ahead of theirs, and the weights."""
        for part, member in zip(self.parts, self.members, strict=True):
            with scratch() as own, writing(own):
                member.save(own)
                for path in sorted(own.iterdir()):
                    write_bytes(folder / f"{part.name}-{path.name}", path.read_bytes())
        content = io.BytesIO()
        np.save(content, self.weights, allow_pickle=False)
        write_bytes(folder / _OWN, content.getvalue())

    @classmethod
    def load(cls, folder: Path, name: str) -> Self:
        """Read what `save` wrote. Raises UserError where it is something else."""
        found = cls(name)
        found.weights = _read_weights(folder / _OWN, len(cls.parts))
        found.members = [_read_member(folder, part) for part in cls.parts]
        return found


def settings_of(member: Member, settings: Settings) -> Settings:
    """Return those settings of a fusion that are a member's, by its own names for them.

    >>> settings_of(Member("encoder", ModelSpec("lda", ())), {"encoder_ridge": 2.0, "acoustic_ridge": 0.5})
    {'ridge': 2.0}
    """
    ahead = f"{member.name}_"
    return {name.removeprefix(ahead): value for name, value in settings.items() if name.startswith(ahead)}


def parameters_of(parts: Sequence[Member]) -> Settings:
    """Return what may be set of a fusion: the parameters of its members, under their names."""
    known = {part.name: part.spec.parameters() if part.spec.parameters else {} for part in parts}
    return {f"{name}_{key}": value for name, own in known.items() for key, value in own.items()}


def families_read(parts: Sequence[Member]) -> tuple[str, ...]:
    """Return the feature families that members read, each once, in the order in which their values stand."""
    return tuple(dict.fromkeys(chain.from_iterable(part.spec.reads for part in parts)))


def places(parts: Sequence[Member], member: Member) -> NDArray[np.int64]:
    """Return which of the columns of all families that the members read are those of one member, int64[columns]."""
    reads = families_read(parts)
    ends = np.cumsum([find_family(name).size for name in reads])
    of = {name: np.arange(end - find_family(name).size, end) for name, end in zip(reads, ends, strict=True)}
    return np.concatenate([of[name] for name in member.spec.reads])


def fuse(scores: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weighted sum float64[n, k] of scores [n, members, k]; −inf where a member does not know a class.

    >>> fuse(np.array([[[1.0, 2.0, -np.inf], [3.0, 0.0, -np.inf]]]), np.array([1.0, 2.0])).tolist()
    [[7.0, 2.0, -inf]]
    """
    unknown = np.isneginf(scores)
    sums = (np.where(unknown, 0.0, scores) * weights[:, None]).sum(axis=1)
    return np.where(unknown.any(axis=1), -np.inf, sums)


def deviations(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far each member's scores [n, members, k] lie from their mean over the classes, float64[members].

    1 where they do not differ, or where there are none.
    """
    known = np.isfinite(scores).all(axis=(0, 1))
    if not len(scores) or not known.any():
        return np.ones(scores.shape[1])
    found = scores[..., known].std(axis=2)
    spreads = np.sqrt((found**2).mean(axis=0))
    return np.where(spreads > 0, spreads, 1.0)


def fusion_weights(scores: NDArray[np.float64], soft: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the weights float64[members] of least negative log-likelihood of soft labels [n, k].

    `scores` [n, members, k] are of clips on which no member was fitted. The loss is convex in the weights; none is
    below 0.01 or above 100 deviations of its scores, so that clips that tell nothing leave an answer.
    """
    from scipy.optimize import minimize  # noqa: PLC0415 - half a second, which what answers does not need

    unit = 1 / deviations(scores)
    known = np.isfinite(scores).all(axis=1)
    shares = np.where(known, soft, 0.0).astype(np.float64)
    rows = shares.sum(axis=1) > 0
    if not rows.any():
        return unit
    shares, parts = shares[rows] / shares[rows].sum(), scores[rows] * unit[:, None]
    finite = np.where(np.isneginf(parts), 0.0, parts)

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        chances = softmax(fuse(parts, weights))
        wrong = chances * shares.sum(axis=1, keepdims=True) - shares
        told = np.log(np.maximum(chances, np.finfo(np.float64).tiny))
        return -float((shares * told).sum()), np.einsum("nmk,nk->m", finite, wrong)

    bounds = [(_LEAST, _MOST)] * len(unit)
    return np.asarray(minimize(loss, np.ones(len(unit)), jac=True, bounds=bounds, method="L-BFGS-B").x * unit)


def _read_weights(path: Path, members: int) -> NDArray[np.float64]:
    weights = read_array(path, (members,), np.float64)
    if not (np.isfinite(weights) & (weights > 0)).all():
        raise UserError(f"{path} holds weights that are not above 0: train the model again.")
    return weights


def _read_member(folder: Path, part: Member) -> Classifier:
    assert part.spec.load is not None
    ahead = f"{part.name}-"
    with scratch() as own, writing(own):
        for path in sorted(folder.glob(f"{ahead}*")):
            write_bytes(own / path.name.removeprefix(ahead), path.read_bytes())
        return part.spec.load().load(own, part.spec.name)
