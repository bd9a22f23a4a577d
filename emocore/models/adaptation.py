"""Statistics of the tested clips themselves, without their labels: by archive, or by speaker.

Columns of a group take the mean and the deviation that training had, as in cepstral mean and variance normalisation
(Viikki and Laurila 1998). What clips of one emotion have in common is lost by that as well, so it is trusted by the
number of clips, and by how evenly the emotions are spread over them as the model sees it: Hill's number of order 1
(1973) by the number of emotions that it knows. Where there are few, or one emotion is all there is, the answers stay
those of the model as it is.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emocore.arrays import Floats
from emocore.features.family import ABSENT
from emocore.models.lda import scale_of

Adapt = Literal["none", "archive", "speaker"]
Model = Callable[[NDArray[np.float32]], Floats]  # inputs float32[n, d] → probabilities float64[n, k]
Names = Sequence[Any] | NDArray[Any]

_LEAST_DEVIATION = 0.2  # of a group's column, by the training's: one that hardly moves is not blown up
# Chosen on RAVDESS's folds and from RAVDESS to nEMO, by whole sets and by those of which one emotion is 50 to 100 %.
_UNEVEN, _EVEN = 0.55, 0.75  # not trusted below, wholly above
_NARROW, _WIDE = 0.55, 0.8  # and by how far a speaker's answers spread, by the spread of all answers


class Counts(NamedTuple):
    """Clips of a group up to which it is not trusted, and from which it wholly is."""

    least: int
    enough: int


COUNTS = {"archive": Counts(32, 96), "speaker": Counts(12, 32)}


@dataclass(frozen=True)
class Adaptation:
    """How a model was adapted: `by` archive or speaker, each group's trust, 0…1, and the answers without, float[n, k].

    The trust of 0 is a step back to the answers without.
    """

    by: str
    trust: dict[str, float] = field(default_factory=dict)
    plain: Floats = field(default_factory=lambda: np.zeros((0, 0)))


def evenness(shares: NDArray[np.floating[Any]], n_emotions: int) -> float:
    """Return how evenly float[n, k] spreads over the emotions that are known: exp(entropy of the mean) / number.

    >>> evenness(np.array([[1.0, 0.0], [0.0, 1.0]]), 2), evenness(np.array([[1.0, 0.0]]), 2)
    (1.0, 0.5)
    """
    mean = shares.astype(np.float64).mean(axis=0)
    logs = np.log(np.where(mean > 0, mean, 1.0))
    return float(np.exp(-(mean * logs).sum())) / n_emotions


def trust(
    shares: NDArray[np.floating[Any]],
    n_emotions: int,
    counts: Counts,
    among: NDArray[np.floating[Any]] | None = None,
) -> float:
    """Return from 0 to 1 how far the statistics of n clips are trusted, whose emotions float[n, k] are these.

    `among`: those of all clips, float[m, k], beside which the clips of one emotion spread little, even where a model
    that is far from home takes them for all kinds.
    """
    by_count = _ramp(len(shares), *counts)
    if not by_count:
        return 0.0
    by_mix = _ramp(evenness(shares, n_emotions), _UNEVEN, _EVEN)
    by_spread = 1.0 if among is None else _ramp(_variance(shares), _NARROW * _variance(among), _WIDE * _variance(among))
    return by_count * min(by_mix, by_spread)


def _ramp(value: float, low: float, high: float) -> float:
    return min(max((value - low) / max(high - low, 1e-12), 0.0), 1.0)


def _variance(shares: NDArray[np.floating[Any]]) -> float:
    return float(shares.astype(np.float64).var(axis=0, ddof=1).sum())


def rows_by_group(groups: Names) -> dict[str, NDArray[np.int64]]:
    """Return the rows of each group, sorted by name.

    >>> {name: rows.tolist() for name, rows in rows_by_group(["b", "a", "b"]).items()}
    {'a': [1], 'b': [0, 2]}
    """
    names = np.asarray([str(group) for group in groups])
    return {str(name): np.flatnonzero(names == name) for name in np.unique(names)}


def shifted(
    x: NDArray[np.float32], groups: Names, reference: Floats, shares: Mapping[str, float] | None = None
) -> NDArray[np.float32]:
    """Return columns float32[n, d] with each group's means and deviations moved to those of `reference`, float64[2, d].

    `shares`: how far each group is moved, 0 to 1, by its name; wholly unless given. ABSENT values stay.
    """
    moved = x.copy()
    for name, rows in rows_by_group(groups).items():
        share = 1.0 if shares is None else shares[name]
        if not share:
            continue
        of_group = scale_of(x[rows])
        mean, deviation = reference + share * (of_group - reference)
        deviation = np.maximum(deviation, _LEAST_DEVIATION * reference[1])
        there = x[rows] != np.float32(ABSENT)
        values = (x[rows] - mean) / deviation * reference[1] + reference[0]
        moved[rows] = np.where(there, values, x[rows])
    return moved


def shifted_training(
    x: NDArray[np.float32], soft: NDArray[np.float32], groups: Names, reference: Floats, counts: Counts
) -> NDArray[np.float32]:
    """Return training columns float32[n, d], each group moved as far as its labels [n, k] are many and mixed."""
    n_emotions = int((soft.sum(axis=0) > 0).sum())
    shares = {name: trust(soft[rows], n_emotions, counts) for name, rows in rows_by_group(groups).items()}
    return shifted(x, groups, reference, shares)


def adapted(
    x: NDArray[np.float32],
    archives: Names,
    plain: Model,
    moved: Model,
    reference: Floats,
    speakers: Names | None = None,
) -> tuple[Floats, Adaptation]:
    """Return the probabilities float64[n, k] of inputs float32[n, d], and how they came about.

    `plain` learnt from the training as it is, `moved` from one moved as `shifted_training` does, by the same kind of
    groups. With `speakers` each speaker is judged by the answers that the archive's own statistics give: a
    language or a room that makes all of an archive look like one emotion is gone from those.
    """
    as_is = plain(x)
    of_archives = _trusts(as_is, archives, COUNTS["archive"])
    model = moved if speakers is None else plain
    of_archive = pooled(as_is, model(shifted(x, archives, reference)), _by_row(of_archives, archives))
    if speakers is None:
        return of_archive, Adaptation("archive", of_archives, as_is)
    of_speakers = _trusts(of_archive, speakers, COUNTS["speaker"], among=of_archive)
    by_speaker = moved(shifted(x, speakers, reference))
    return pooled(as_is, by_speaker, _by_row(of_speakers, speakers)), Adaptation("speaker", of_speakers, as_is)


def pooled(one: Floats, other: Floats, share: Floats) -> Floats:
    """Return the logarithmic pool float64[n, k] of probabilities: `share` float64[n] of `other`, the rest of `one`.

    A share of 0 gives `one` and of 1 `other`, to the last bit; what is 0 in both, as of a class that was absent from
    training, stays 0. Genest and Zidek 1986, 3.2.
    """
    logs = (1 - share)[:, None] * _logarithm(one) + share[:, None] * _logarithm(other)
    powers = np.where((one > 0) | (other > 0), np.exp(logs - logs.max(axis=1, keepdims=True)), 0.0)
    mixed = powers / powers.sum(axis=1, keepdims=True)
    return np.where(share[:, None] == 0, one, np.where(share[:, None] == 1, other, mixed))


def _logarithm(probabilities: Floats) -> Floats:
    return np.log(np.maximum(probabilities, 1e-300))


def _trusts(probabilities: Floats, groups: Names, counts: Counts, among: Floats | None = None) -> dict[str, float]:
    n_emotions = int((probabilities > 0).any(axis=0).sum())
    return {name: trust(probabilities[rows], n_emotions, counts, among) for name, rows in rows_by_group(groups).items()}


def _by_row(shares: Mapping[str, float], groups: Names) -> Floats:
    return np.array([shares[str(group)] for group in groups], np.float64)
