"""From probabilities to the answer columns that predictions and labels share, of clips and of their frames."""

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from emocore.errors import MediaError, UserError
from emocore.labels import EMOTIONS
from emocore.models.aggregation import How, combine
from emocore.schema import FRAME_LABELS, LABELS, PROBABILITIES


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


def answers_of(
    model: Callable[[NDArray[np.intp]], NDArray[np.float64]], n: int
) -> tuple[NDArray[np.float64], dict[int, MediaError]]:
    """Return what a model says of rows 0 to n − 1, float64[n, 8], and why it says nothing of some of them.

    `model` takes numbers of rows. Where it raises, it is asked for each row alone: no exception, and no answer that is
    not finite, costs more than its own row. Raises UserError, which is of no row.
    """
    try:
        given = model(np.arange(n))
    except UserError:
        raise
    except Exception:
        return _answers_alone(model, n)
    return given, {int(row): _no_number() for row in np.flatnonzero(~np.isfinite(given).all(axis=1))}


def _answers_alone(
    model: Callable[[NDArray[np.intp]], NDArray[np.float64]], n: int
) -> tuple[NDArray[np.float64], dict[int, MediaError]]:
    given = np.full((n, len(EMOTIONS)), np.nan)
    faults: dict[int, MediaError] = {}
    for row in range(n):
        try:
            given[row] = model(np.array([row]))[0]
        except UserError:
            raise
        except Exception as error:
            faults[row] = MediaError("predict", "internal", f"{type(error).__name__}: {error}")
        else:
            if not np.isfinite(given[row]).all():
                faults[row] = _no_number()
    return given, faults


def _no_number() -> MediaError:
    return MediaError("predict", "not_finite", "the model's answer holds NaN or infinity")


def label_rows(
    featurized: pa.Table, probabilities: NDArray[np.float64], answered: NDArray[np.bool_], states: Sequence[str]
) -> pa.Table:
    """Return LABELS rows for FEATURIZED rows without faults; where not `answered` [n] the answer is null."""
    columns = {**answer_columns(probabilities, absent=~answered), "state": pa.array(states, pa.string())}
    return pa.table({name: columns[name] if name in columns else featurized[name] for name in LABELS.names}, LABELS)


def answer_frames(frames: pa.Table, probabilities: NDArray[np.float64]) -> pa.Table:
    """Return FRAME_LABELS rows for pictures (clip, frame_index, time_seconds) and their probabilities [n, 8]."""
    answers = answer_columns(probabilities)
    columns = {name: answers[name] if name in answers else frames[name] for name in FRAME_LABELS.names}
    return pa.table(columns, FRAME_LABELS)


def answer_clips(frames: pa.Table, clips: Sequence[str], how: How) -> NDArray[np.float64]:
    """Return the probabilities float64[n, 8] of n clips from FRAME_LABELS rows, of which each has one or more.

    Rows of other clips do not matter.
    """
    rows = pc.index_in(frames["clip"], pa.array(clips, pa.string())).combine_chunks()
    mine = rows.is_valid().to_numpy(zero_copy_only=False)
    clip_of = rows.drop_null().to_numpy().astype(np.int64)
    return combine(shares_of(frames)[mine], clip_of, len(clips), how)


def shares_of(table: pa.Table) -> NDArray[np.float64]:
    """Return the p columns of a table as float64[n, 8]."""
    return np.column_stack([table[name].to_numpy() for name in PROBABILITIES]).astype(np.float64)
