"""From the frames of a clip to the clip's answer."""

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from emocore.arrays import Floats
from emocore.probabilities import softmax

How = Literal["mean-log", "vote", "weighted"]
HOW: tuple[How, ...] = get_args(How)

LEAST = 1e-7  # a frame that is certain does not outvote all others
MOST_OF_A_TIE = 1e-3


def combine(
    probabilities: Floats, clip_of: NDArray[np.int64], n_clips: int, how: How, weights: Floats | None = None
) -> Floats:
    """Return the clips' probabilities float64[n_clips, k] from those of their frames or windows float64[n, k].

    `clip_of` int64[n] says to which clip a frame belongs. `mean-log`: mean of log-probabilities, the frames' geometric
    mean; `vote`: the share of frames whose largest probability it is, ties parted by mean-log; `weighted`: mean of
    probabilities, each frame weighted by its largest. `weights` float64[n] of mean-log: what each counts; 1 unless
    given. A class that no frame of a clip holds possible stays at 0.
    Raises ValueError for a clip without a frame.

    >>> frames = np.array([[0.9, 0.1], [0.4, 0.6], [0.4, 0.6]])
    >>> [combine(frames, np.zeros(3, int), 1, how)[0].argmax() for how in ("mean-log", "vote", "weighted")]
    [np.int64(0), np.int64(1), np.int64(0)]
    """
    counts = np.bincount(clip_of, minlength=n_clips)
    if n_clips and counts.min() == 0:
        raise ValueError(f"Clip {int(counts.argmin())} has no frame to answer from.")
    if how == "weighted":
        return _normalised(_sums(probabilities * probabilities.max(axis=1, initial=0.0)[:, None], clip_of, n_clips))
    geometric = _geometric(probabilities, clip_of, n_clips, np.ones(len(clip_of)) if weights is None else weights)
    if how == "mean-log":
        return geometric
    first = np.eye(probabilities.shape[1])[probabilities.argmax(axis=1)]
    votes = _sums(first, clip_of, n_clips) / counts[:, None]
    # Two different shares of n frames are 1 / n apart or more: this parts equal ones, and no others.
    share = np.minimum(MOST_OF_A_TIE, 0.5 / (counts + 1))[:, None]
    return _normalised((1 - share) * votes + share * geometric)


def tempered(probabilities: Floats, temperature: float) -> Floats:
    """Return float64[n, k] with log-probabilities divided by a temperature; 0 stays 0.

    >>> tempered(np.array([[0.8, 0.2, 0.0]]), 0.5).round(3).tolist()
    [[0.941, 0.059, 0.0]]
    """
    return softmax(logarithms(probabilities), temperature)


def logarithms(probabilities: Floats) -> Floats:
    """Return natural logarithms; −inf for a class that is impossible."""
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(probabilities))


def _geometric(probabilities: Floats, clip_of: NDArray[np.int64], n_clips: int, weights: Floats) -> Floats:
    total = np.bincount(clip_of, weights, minlength=n_clips)[:, None]
    means = _sums(weights[:, None] * np.log(np.maximum(probabilities, LEAST)), clip_of, n_clips) / total
    possible = _sums(probabilities, clip_of, n_clips) > 0
    return _normalised(np.where(possible, np.exp(means - means.max(axis=1, keepdims=True, initial=-np.inf)), 0.0))


def _sums(values: Floats, clip_of: NDArray[np.int64], n_clips: int) -> Floats:
    sums = np.zeros((n_clips, values.shape[1]))
    np.add.at(sums, clip_of, values)
    return sums


def _normalised(values: Floats) -> Floats:
    normalised: Floats = values / values.sum(axis=1, keepdims=True)
    return normalised
