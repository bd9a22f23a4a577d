"""Which clips of several runs are the same."""

import re

import pyarrow as pa
import pytest

from emocore.datasets.pairing import pair_clips
from emocore.errors import UserError

COLUMNS = ("clip", "take", "content_id", "actor", "emotion", "predicted")
NAMES = ("runs/a", "runs/b")


def run(*rows):
    return pa.table({name: pa.array([row[i] for row in rows], pa.string()) for i, name in enumerate(COLUMNS)})


def test_clips_of_equal_bytes_are_one_whatever_they_are_called():
    a = run(
        ("x", "x", "1", "01", "sad", "sad"), ("y", "y", "2", "01", "happy", "sad"), ("z", "z", "3", None, "sad", "sad")
    )
    b = run(("y@d", "y@d", "2", "01", "happy", "happy"), ("q", "q", "1", None, "sad", "angry"))
    found = pair_clips([a, b], NAMES)
    assert found.truth.tolist() == ["sad", "happy"] and found.actors == ["01", "01"]
    assert found.answers.tolist() == [["sad", "sad"], ["angry", "happy"]] and found.unpaired == [1, 0]


def test_the_sound_and_the_film_of_a_take_are_one():
    take = "01-03-01-01-01-01"
    a = run((f"03-{take}", take, "1", "01", "happy", "happy"))
    b = run((f"01-{take}", take, "9", "01", "happy", "sad"))
    assert pair_clips([a, b], NAMES).answers.tolist() == [["happy"], ["sad"]]


def test_a_path_of_ones_own_corpus_is_no_take():
    a = run(("sad/1.wav", "sad/1.wav", "1", None, "sad", "sad"))
    b = run(("sad/1.wav", "sad/1.wav", "2", None, "sad", "sad"))
    with pytest.raises(
        UserError, match=r"^runs/a and runs/b share no labelled clip: compare runs that tested the same"
    ):
        pair_clips([a, b], NAMES)


def test_segments_of_one_take_are_not_confused():
    a = run(("t#1", "t", "1", "a", "sad", "sad"), ("t#2", "t", "2", "a", "happy", "sad"))
    b = run(("t#1", "t", "8", "a", "sad", "sad"), ("t#2", "t", "2", "a", "happy", "happy"))
    found = pair_clips([a, b], NAMES)
    # The first ones are the only ones of their take that are left, in both.
    assert found.truth.tolist() == ["sad", "happy"]
    c = run(
        ("t#1", "t", "8", "a", "sad", "sad"),
        ("t#2", "t", "9", "a", "happy", "happy"),
        ("u", "t", "1", "a", "sad", "sad"),
    )
    assert pair_clips([a, c], NAMES).truth.tolist() == ["sad"]


def test_copies_are_paired_one_by_one():
    a = run(("b", "b", "1", "a", "sad", "sad"), ("a", "a", "1", "a", "sad", "happy"))
    b = run(("a", "a", "1", "a", "sad", "calm"))
    found = pair_clips([a, b], NAMES)
    assert found.answers.tolist() == [["happy"], ["calm"]] and found.unpaired == [1, 0]


def test_only_what_is_in_all_of_several_is_compared():
    rows = [(name, name, name, "a", "sad", "sad") for name in "xyz"]
    found = pair_clips([run(*rows), run(*rows[:2]), run(*rows[1:])], ("a", "b", "c"))
    assert len(found.truth) == 1 and found.unpaired == [2, 1, 1]


def test_other_labels_are_one_sentence():
    a = run(("x", "x", "1", "01", "calm", "sad"))
    b = run(("x", "x", "1", "01", "neutral", "sad"))
    sentence = (
        "1 clip of runs/a and runs/b have other labels, such as 'x', calm and neutral: evaluate both with the same "
        "--map and --emotions."
    )
    with pytest.raises(UserError, match=re.escape(sentence)):
        pair_clips([a, b], NAMES)
