"""Answers agree with the shares that are stored beside them."""

import numpy as np
import pyarrow as pa

from emocore.labels import EMOTIONS
from emocore.models.aggregation import HOW, combine
from emocore.models.predictions import answer_clips, answer_columns, answer_frames, shares_of
from emocore.probabilities import softmax
from emocore.schema import FRAME_LABELS, FRAME_PREDICTIONS, LABELS, PREDICTIONS, PROBABILITIES, rows_to_table


def stored(columns):
    return np.column_stack([columns[name].to_numpy(zero_copy_only=False) for name in PROBABILITIES])


def test_predicted_is_the_argmax_of_what_is_stored():
    rng = np.random.default_rng(0)
    base = softmax(rng.standard_normal((2_000, 8)))
    # Ties in float32 that are none in float64, the later class a little larger.
    top, second = np.sort(rng.permuted(np.tile(np.arange(8), (2_000, 1)), axis=1)[:, :2], axis=1).T
    rows = np.arange(2_000)
    base[rows, top] = base.max(axis=1)
    base[rows, second] = base[rows, top] * (1 + rng.choice([0, 1e-12, 1e-9, 1e-8, 1e-7, 3e-7], 2_000))
    base /= base.sum(axis=1, keepdims=True)
    columns = answer_columns(base)
    shares = stored(columns)
    assert shares.dtype == np.float32
    assert (base.argmax(axis=1) != shares.argmax(axis=1)).sum() > 100  # the ties are there
    assert columns["predicted"].to_pylist() == [EMOTIONS[i] for i in shares.argmax(axis=1)]
    np.testing.assert_array_equal(columns["confidence"].to_numpy(), shares.max(axis=1))
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-6)


def test_runner_up_is_the_largest_of_the_others():
    shares = softmax(np.random.default_rng(1).standard_normal((500, 8)))
    columns = answer_columns(shares)
    others = shares.astype(np.float32)
    others[np.arange(500), others.argmax(axis=1)] = -1
    assert columns["runner_up"].to_pylist() == [EMOTIONS[i] for i in others.argmax(axis=1)]


def test_even_shares_are_answered_in_the_order_of_the_emotions():
    columns = answer_columns(np.full((1, 8), 1 / 8))
    assert (columns["predicted"][0].as_py(), columns["runner_up"][0].as_py()) == EMOTIONS[:2]


def test_absent_rows_are_null_throughout_and_the_types_are_the_schemas():
    shares = np.eye(8)[[3, 0, 5]]
    columns = answer_columns(shares, np.array([False, True, False]))
    assert all(column.is_null().to_pylist() == [False, True, False] for column in columns.values())
    assert columns["predicted"].to_pylist() == ["sad", None, "fearful"]
    for schema in (LABELS, PREDICTIONS):
        assert all(schema.field(name).type == column.type for name, column in columns.items())


def test_no_rows():
    columns = answer_columns(np.zeros((0, 8)))
    assert {len(column) for column in columns.values()} == {0}
    assert columns["predicted"].type == pa.string()
    assert columns["p_calm"].type == pa.float32()


def test_clips_are_answered_from_their_own_frames_in_the_order_asked_for():
    rng = np.random.default_rng(0)
    clips = ["b", "a", "b", "x", "a", "b"]
    heads = rows_to_table(
        [{"clip": c, "frame_index": i, "time_seconds": 0.1 * i} for i, c in enumerate(clips)], FRAME_LABELS
    )
    shares = rng.dirichlet(np.ones(8), len(clips))
    frames = answer_frames(heads, shares)
    assert frames.schema == FRAME_LABELS and frames["frame_index"].to_pylist() == list(range(6))
    assert frames["predicted"].to_pylist() == [EMOTIONS[i] for i in shares.argmax(axis=1)]
    second = np.argsort(-shares, axis=1)[:, 1]
    assert frames["runner_up"].to_pylist() == [EMOTIONS[i] for i in second]
    for how in HOW:
        found = answer_clips(frames, ["a", "b"], how)
        clip_of = np.array([0, 0, 1, 1, 1])
        np.testing.assert_allclose(found, combine(shares_of(frames)[[1, 4, 0, 2, 5]], clip_of, 2, how))
        np.testing.assert_allclose(answer_clips(frames, ["b", "a"], how), found[::-1])
        assert answer_clips(frames, [], how).shape == (0, 8)


def test_frames_of_runs_have_a_fold_beside():
    assert FRAME_PREDICTIONS.names == [*FRAME_LABELS.names, "fold"]
