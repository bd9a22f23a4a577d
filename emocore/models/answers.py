"""From probabilities to the answer columns that predictions and labels share."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from emocore.labels import EMOTIONS
from emocore.schema import PROBABILITIES


def answer_columns(probabilities: NDArray[np.float64], absent: NDArray[np.bool_] | None = None) -> dict[str, pa.Array]:
    """Return predicted, confidence, runner_up and the eight p columns for probabilities [n, 8].

    The answer is the largest of the p columns as they are stored, in float32. Where `absent` [n] is true there
    was nothing to predict from, and all are null.
    """
    shares = probabilities.astype(np.float32)
    mask = np.zeros(len(shares), bool) if absent is None else absent
    order = np.argsort(-shares, axis=1, kind="stable")
    names = np.array(EMOTIONS, dtype=object)
    rows = np.arange(len(shares))
    return {
        "predicted": pa.array(names[order[:, 0]], pa.string(), mask=mask),
        "confidence": pa.array(shares[rows, order[:, 0]], pa.float32(), mask=mask),
        "runner_up": pa.array(names[order[:, 1]], pa.string(), mask=mask),
        **{name: pa.array(shares[:, i], pa.float32(), mask=mask) for i, name in enumerate(PROBABILITIES)},
    }
