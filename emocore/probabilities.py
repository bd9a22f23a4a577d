"""From scores to probabilities: softmax over a temperature, and the temperature that fits best."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emocore.arrays import Floats

LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE = 0.01, 100.0


def softmax(logits: ArrayLike, temperature: float = 1.0) -> Floats:
    """Return probabilities float64[n, k] of logits float[n, k] divided by a temperature.

    A logit of -inf stands for a class that the model does not know and becomes exactly 0. Raises ValueError
    for NaN, +inf, a row without any finite logit, and a temperature that is not positive.

    >>> softmax([[0.0, 0.0, -np.inf]]).tolist()
    [[0.5, 0.5, 0.0]]
    """
    return np.exp(_log_softmax(logits, temperature))


def fit_temperature(logits: ArrayLike, targets: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Return the temperature in [0.01, 100] of least weighted negative log-likelihood (Guo et al. 2017).

    `logits` float[n, k], `targets` int[n] or shares float[n, k], `weights` float[n]. Perfectly separated
    logits end at the lower bound; 1.0 where none is better than another (no rows, no weight, equal logits).
    A target on a class whose logit is -inf says nothing about the temperature and is left out.
    """
    logits = np.asarray(logits, dtype=np.float64)
    shares = _as_shares(np.asarray(targets), logits.shape)
    if weights is not None:
        weights = np.asarray(weights, dtype=np.float64)
        if weights.shape != (len(logits),) or not np.all(np.isfinite(weights) & (weights >= 0)):
            raise ValueError("The weights must be n finite numbers, none negative.")
        shares = shares * weights[:, None]
    shares = np.where(np.isneginf(logits), 0.0, shares)
    used = shares.sum(axis=1) > 0
    if not used.any():
        return 1.0
    logits, shares = logits[used], shares[used] / shares.sum()

    def loss(temperature: float) -> float:
        logs = _log_softmax(logits, temperature)
        return -float(np.sum(shares * np.where(shares > 0, logs, 0.0)))

    # Convex in 1/T, hence one minimum in log T as well.
    bounds = (np.log(LOWEST_TEMPERATURE), np.log(HIGHEST_TEMPERATURE))
    from scipy.optimize import minimize_scalar  # noqa: PLC0415 - half a second, which --help does not have

    best = minimize_scalar(lambda t: loss(float(np.exp(t))), bounds=bounds, method="bounded")
    candidates = [1.0, LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE, float(np.exp(best.x))]
    losses = np.array([loss(t) for t in candidates])
    return candidates[int(np.flatnonzero(losses <= losses.min() + 1e-12)[0])]


def _log_softmax(logits: ArrayLike, temperature: float) -> Floats:
    logits = np.asarray(logits, dtype=np.float64)
    if len(logits) == 0:
        return np.zeros(logits.shape)
    if not temperature > 0:
        raise ValueError(f"The temperature must be positive: got {temperature}.")
    if np.any(np.isnan(logits) | np.isposinf(logits)) or np.any(np.isneginf(logits).all(axis=1)):
        raise ValueError("The logits must hold neither NaN nor +inf, and every row a finite one.")
    shifted: Floats = (logits - logits.max(axis=1, keepdims=True)) / temperature
    total: Floats = np.exp(shifted).sum(axis=1, keepdims=True)
    return shifted - np.log(total)


def _as_shares(targets: NDArray[np.generic], shape: tuple[int, ...]) -> Floats:
    """Targets float64[n, k] from int[n] or float[n, k]."""
    if len(shape) == 2 and targets.shape == shape:
        shares = targets.astype(np.float64)
        if not np.all(np.isfinite(shares) & (shares >= 0)):
            raise ValueError("The target shares must be finite and not negative.")
        return shares
    if len(shape) == 2 and targets.shape == shape[:1] and np.issubdtype(targets.dtype, np.integer):
        return np.eye(shape[1])[targets] if len(targets) else np.zeros(shape)
    if len(shape) == 2 and targets.shape == (0,) and shape[0] == 0:
        return np.zeros(shape)
    raise ValueError(f"Expected targets int[n] or float[n, k] for logits {shape}, got {targets.dtype} {targets.shape}.")
