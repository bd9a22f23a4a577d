"""Functionals: what the values of a track amount to over the frames of a window. All are defined from one frame on."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

PERCENTILES = (2, 10, 25, 50, 75, 90, 98)
BASIC = ("mean", "std", *(f"p{q:02d}" for q in PERCENTILES), "iqr", "range")
FULL = (
    *BASIC,
    *("skew", "kurtosis", "slope", "curvature", "fit_residual", "place_of_max", "place_of_min"),
    *("above_25", "above_75", "mean_crossings"),
)
_TINY = np.float32(1e-9)


def basic(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return BASIC of tracks float32[t, d], float32[11, d]: mean, deviation, percentiles and their spans."""
    ordered = np.sort(x, axis=0)
    points = _percentiles(ordered, PERCENTILES)
    spans = [points[4] - points[2], ordered[-1] - ordered[0]]
    return np.stack([x.mean(axis=0), x.std(axis=0), *points, *spans])


def full(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return FULL of tracks float32[t, d], float32[21, d].

    Slope and curvature are those of the parabola through a track over the window, from −1 to 1, in Legendre's
    polynomials; places lie from 0 to 1 in the window; "above 25": the share of frames above 25 % of the range; skew and
    kurtosis are scipy.stats's, and 0 where the track does not move.
    """
    first = basic(x)
    centred = x - first[0]
    moves = first[1] > 1e-6 * (1 + np.abs(first[0]))
    scaled = np.where(moves, centred / np.maximum(first[1], _TINY), 0)
    squares = scaled * scaled
    skew = (squares * scaled).mean(axis=0)
    kurtosis = np.where(moves, (squares * squares).mean(axis=0) - 3, 0)
    lines, norms = _parabola(len(x))
    weights = lines @ centred / norms[:, None]
    left = np.maximum(np.einsum("td,td->d", centred, centred) - norms @ weights**2, 0)
    highest, lowest = x.argmax(axis=0), x.argmin(axis=0)
    places = [highest / max(1, len(x) - 1), lowest / max(1, len(x) - 1)]
    low, high = x[lowest, np.arange(x.shape[1])], first[10]
    shares = [(x > low + share * high).mean(axis=0) for share in (0.25, 0.75)]
    crossings = (np.signbit(centred[1:]) != np.signbit(centred[:-1])).sum(axis=0) / max(1, len(x) - 1)
    rest = [skew, kurtosis, *weights, np.sqrt(left / len(x)), *places, *shares, crossings]
    return np.concatenate([first, np.stack(rest).astype(np.float32)])


def _percentiles(ordered: NDArray[np.float32], points: tuple[int, ...]) -> NDArray[np.float32]:
    """Return percentiles [k, d] of sorted columns float32[t, d], by lines between neighbours, as NumPy does."""
    places = np.asarray(points) / 100 * (len(ordered) - 1)
    below = places.astype(np.int64)
    above = np.minimum(below + 1, len(ordered) - 1)
    share = (places - below).astype(np.float32)[:, None]
    return np.asarray(ordered[below] * (1 - share) + ordered[above] * share, np.float32)


@lru_cache(maxsize=256)
def _parabola(count: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return a line and a curve over a window, float32[2, t], orthogonal to each other, and their squared norms [2]."""
    t = np.linspace(-1, 1, count) if count > 1 else np.zeros(1)
    both = np.stack([t, t**2 - (t**2).mean()]).astype(np.float32)
    return both, np.maximum((both**2).sum(axis=1), _TINY)


def smoothed(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return means of three frames, float32[t, d]; at the ends the first and last frame count twice."""
    padded = np.concatenate([x[:1], x, x[-1:]])
    return np.asarray((padded[:-2] + padded[1:-1] + padded[2:]) / 3, np.float32)


def deltas(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return slopes over five frames, float32[t, d], a frame: the usual regression formula (HTK book, 5.9)."""
    padded = np.concatenate([x[:1], x[:1], x, x[-1:], x[-1:]])
    return np.asarray((2 * (padded[4:] - padded[:-4]) + padded[3:-1] - padded[1:-3]) / 10, np.float32)


def part_means(x: NDArray[np.float32], parts: int) -> NDArray[np.float32]:
    """Return the means float32[parts, d] of tracks over equal parts of the window, one frame a part at least."""
    edges = np.linspace(0, len(x), parts + 1)
    first = np.minimum(edges[:-1].astype(np.int64), len(x) - 1)
    last = np.maximum(np.ceil(edges[1:]).astype(np.int64), first + 1)
    running = np.concatenate([np.zeros((1, x.shape[1])), np.cumsum(x, axis=0, dtype=np.float64)])
    return np.asarray((running[last] - running[first]) / (last - first)[:, None], np.float32)
