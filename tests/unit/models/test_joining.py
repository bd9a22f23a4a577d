"""Windows of several families are answered for together, in whatever order the families give them."""

from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest

from emocore.errors import UserError
from emocore.features.family import FeatureFamily, FrameInput, SoundInput, joined
from emocore.features.listen import Windows
from emocore.labels import EMOTIONS
from emocore.models.joining import JoiningSink
from emocore.timeline import Window

A, B = (FeatureFamily(name, 1, SoundInput(rate), (2,), load=None) for name, rate in (("a", 16_000), ("b", 48_000)))
WATCH = SimpleNamespace(suspects=frozenset(), answering=lambda _: nullcontext())


def windows(indices, value, state="ok"):
    n = len(indices)
    values = np.column_stack([np.array(indices, float), np.full(n, value)]).astype(np.float32)
    return Windows([Window(i, float(i), i + 1.0) for i in indices], [state] * n, np.ones(n), values)


class Made:
    def __init__(self, families=(A, B)):
        self.read, self.rows = [], []
        self.sink = JoiningSink(
            self.answer, families, EMOTIONS, lambda _, rows: self.rows.extend(rows.to_pylist()), WATCH
        )

    def answer(self, values):
        self.read.append(values)
        return np.full((len(values), 8), 1 / 8)

    def told(self):
        self.sink.finish()
        return np.concatenate(self.read).tolist()


def test_values_stand_end_to_end_once_both_are_there():
    made = Made()
    made.sink.windows(["c"], A, windows([0, 1], 10))
    made.sink.windows(["c"], B, windows([0], 20))
    made.sink.windows(["c"], B, windows([1, 2], 21))
    made.sink.windows(["c"], A, windows([2], 11))
    assert made.told() == [[0, 10, 0, 20], [1, 10, 1, 21], [2, 11, 2, 21]]
    assert [row["window"] for row in made.rows] == [0, 1, 2]
    assert made.rows[0]["answered_by"] == ["a", "b"]
    assert made.sink.sums["c"][0].answered_by == ["a", "b"]


def test_a_window_that_one_lacks_is_left_out_and_not_taken_for_the_next_clip():
    made = Made()
    made.sink.windows(["c"], A, windows([0, 1], 10))
    made.sink.windows(["c"], B, windows([0], 20))
    made.sink.windows(["d"], B, windows([1], 30))
    made.sink.windows(["d"], A, windows([1], 40))
    assert made.told() == [[0, 10, 0, 20], [1, 40, 1, 30]]
    assert [row["clip"] for row in made.rows] == ["c", "d"]


def test_a_window_in_which_one_hears_nothing_is_not_answered_for():
    made = Made()
    made.sink.windows(["c"], A, windows([0], 10))
    made.sink.windows(["c"], B, windows([0], 20, "silent"))
    made.sink.finish()
    assert not made.read
    assert made.rows[0]["state"] == "silent"
    assert made.rows[0]["answered_by"] == []


def test_of_one_family_nothing_changes():
    made = Made((A,))
    made.sink.windows(["c"], A, windows([0, 5], 10))
    assert made.told() == [[0, 10], [5, 10]]
    assert joined([A]) is A


def test_only_vectors_of_sound_are_joined():
    assert (joined([A, B]).name, joined([A, B]).shape) == ("a+b", (4,))
    for other in (FeatureFamily("s", 1, SoundInput(), (5, 2), None), FeatureFamily("p", 1, FrameInput(), (4,), None)):
        with pytest.raises(UserError) as error:
            joined([A, other])
        assert str(error.value) == f"The family {other.name!r} is no vector of sound: a model reads it alone."
