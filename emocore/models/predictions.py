"""From probabilities to the answer columns that predictions and labels share, of clips and of their frames."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from emocore.errors import MediaError, UserError
from emocore.features.family import JOINED_BY
from emocore.labels import EMOTIONS
from emocore.models.aggregation import How, combine
from emocore.models.answers import ClipSum
from emocore.schema import FRAME_LABELS, LABELS, TRACKS, WINDOWS, emotions_of, of_emotions

FRAMES_AT_ONCE = 256  # a network's last digits are those of its batch: jobs and the API give it as many


def answer_columns(
    probabilities: NDArray[np.float64],
    absent: NDArray[np.bool_] | None = None,
    emotions: Sequence[str] = EMOTIONS,
) -> dict[str, pa.Array]:
    """Return predicted, confidence, runner_up and the p columns of k emotions for probabilities [n, k].

    The answer is the largest of the p columns as they are stored, in float32. Where `absent` [n] is true there
    was nothing to predict from, and all are null.
    """
    shares = probabilities.astype(np.float32)
    if shares.shape[1] != len(emotions):
        raise UserError(
            f"The model answers for {shares.shape[1]} emotions, and its bundle names {len(emotions)}: train it again."
        )
    mask = np.zeros(len(shares), bool) if absent is None else absent
    order = np.argsort(-shares, axis=1, kind="stable")
    names = np.array(emotions, dtype=object)
    rows = np.arange(len(shares))
    return {
        "predicted": pa.array(names[order[:, 0]], pa.string(), mask=mask),
        "confidence": pa.array(shares[rows, order[:, 0]], pa.float32(), mask=mask),
        "runner_up": pa.array(names[order[:, 1]], pa.string(), mask=mask),
        **{f"p_{name}": pa.array(shares[:, i], pa.float32(), mask=mask) for i, name in enumerate(emotions)},
    }


def answers_of(
    model: Callable[[NDArray[np.intp]], NDArray[np.float64]], n: int, k: int = len(EMOTIONS)
) -> tuple[NDArray[np.float64], dict[int, MediaError]]:
    """Return what a model of k emotions says of rows 0 to n − 1, float64[n, k], and why it says nothing of some.

    `model` takes numbers of rows. Where it raises, it is asked for each row alone: no exception, and no answer that is
    not finite, costs more than its own row. Raises UserError, which is of no row.
    """
    try:
        given = model(np.arange(n))
    except UserError:
        raise
    except Exception:
        return _answers_alone(model, n, k)
    return given, {int(row): _no_number() for row in np.flatnonzero(~np.isfinite(given).all(axis=1))}


def _answers_alone(
    model: Callable[[NDArray[np.intp]], NDArray[np.float64]], n: int, k: int
) -> tuple[NDArray[np.float64], dict[int, MediaError]]:
    given = np.full((n, k), np.nan)
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


def window_rows(
    windows: pa.Table, probabilities: NDArray[np.float64], family: str, emotions: Sequence[str] = EMOTIONS
) -> pa.Table:
    """Return WINDOWS rows for windows (clip, track, window, their seconds, speech and state) and probabilities [n, k].

    Where the state is another than ok there is no answer, and the row of `probabilities` is not looked at.
    """
    answered = pc.equal(windows["state"], "ok").to_numpy(zero_copy_only=False)
    by = pa.array([family.split(JOINED_BY) if there else [] for there in answered], pa.list_(pa.string()))
    columns = {**answer_columns(probabilities, ~answered, emotions), "answered_by": by}
    return _of_schema(of_emotions(WINDOWS, emotions), columns, windows)


def label_rows(
    featurized: pa.Table, sums: Sequence[ClipSum], answers: Sequence[NDArray[np.float64] | None], states: Sequence[str]
) -> pa.Table:
    """Return LABELS rows for FEATURIZED rows, by what their windows say together; None: there is no answer."""
    emotions = sums[0].emotions if sums else EMOTIONS
    nothing = np.zeros(len(emotions))
    told = np.array([nothing if answer is None else answer for answer in answers]).reshape(-1, len(emotions))
    columns = {
        **answer_columns(told, np.array([answer is None for answer in answers], bool), emotions),
        "windows": pa.array([one.windows + one.left_out for one in sums], pa.int32()),
        "heard_seconds": pa.array([one.heard_seconds for one in sums], pa.float64()),
        "shares": pa.array([list(one.shares.items()) for one in sums], LABELS.field("shares").type),
        "answered_by": pa.array([one.answered_by for one in sums], pa.list_(pa.string())),
        "state": pa.array(states, pa.string()),
    }
    return _of_schema(of_emotions(LABELS, emotions), columns, featurized)


def track_rows(clip: str, tracks: Mapping[int, ClipSum], emotions: Sequence[str] = EMOTIONS) -> pa.Table:
    """Return the TRACKS rows of a clip's voices, by what the windows of each say together."""
    sums = list(tracks.values())
    absent = np.array([not one.answered for one in sums], bool)
    nothing = np.zeros(len(emotions))
    told = np.array([one.answer if one.answered else nothing for one in sums]).reshape(-1, len(emotions))
    columns = {
        **answer_columns(told, absent, emotions),
        "clip": pa.array([clip] * len(sums), pa.string()),
        "track": pa.array(list(tracks), pa.int32()),
        "kind": pa.array(["voice"] * len(sums), pa.string()),
        "start_seconds": pa.array([one.span[0] for one in sums], pa.float64(), mask=absent),
        "end_seconds": pa.array([one.span[1] for one in sums], pa.float64(), mask=absent),
        "n_observations": pa.array([one.answered for one in sums], pa.int32()),
    }
    schema = of_emotions(TRACKS, emotions)
    return _of_schema(schema, columns, pa.table({"clip": columns["clip"]}))


def _of_schema(schema: pa.Schema, columns: dict[str, Any], other: pa.Table) -> pa.Table:
    """Return a table of the schema: of these columns, of those of another table, and of nulls."""
    n = other.num_rows
    made = [
        columns[name]
        if name in columns
        else other[name].combine_chunks()
        if name in other.column_names
        else pa.nulls(n, schema.field(name).type)
        for name in schema.names
    ]
    return pa.Table.from_arrays(made, schema=schema)


def answer_frames(
    frames: pa.Table | Mapping[str, Any], probabilities: NDArray[np.float64], emotions: Sequence[str] = EMOTIONS
) -> pa.Table:
    """Return FRAME_LABELS rows for pictures (clip, frame_index, time_seconds), by their probabilities [n, k]."""
    answers, schema = answer_columns(probabilities, None, emotions), of_emotions(FRAME_LABELS, emotions)
    return pa.table({name: answers[name] if name in answers else frames[name] for name in schema.names}, schema)


def answer_clips(frames: pa.Table, clips: Sequence[str], how: How) -> NDArray[np.float64]:
    """Return the probabilities float64[n, k] of n clips from FRAME_LABELS rows, of which each has one or more.

    Rows of other clips do not matter.
    """
    rows = pc.index_in(frames["clip"], pa.array(clips, pa.string())).combine_chunks()
    mine = rows.is_valid().to_numpy(zero_copy_only=False)
    clip_of = rows.drop_null().to_numpy().astype(np.int64)
    return combine(shares_of(frames)[mine], clip_of, len(clips), how)


def shares_of(table: pa.Table) -> NDArray[np.float64]:
    """Return the p columns of a table as float64[n, k]."""
    return np.column_stack([table[f"p_{name}"].to_numpy() for name in emotions_of(table.schema)]).astype(np.float64)
