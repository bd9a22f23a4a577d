"""Sets of emotions: named ones, and ones of one's own, with the columns, figures and pages that follow from them."""

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import confusion_matrix as sklearn_confusion
from sklearn.metrics import recall_score

from emocore.errors import UserError
from emocore.evaluation.bias import by_group, largest_gap
from emocore.evaluation.metrics import summarize
from emocore.labels import EMOTIONS, SETS, check_emotions, check_set, emotion_set, parse_emotion
from emocore.models.answers import ClipSum
from emocore.models.predictions import (
    answer_clips,
    answer_columns,
    answer_frames,
    answers_of,
    label_rows,
    shares_of,
    window_rows,
)
from emocore.reports.labels import count_labels
from emocore.schema import (
    CLIPS,
    FRAME_LABELS,
    FRAME_PREDICTIONS,
    LABELS,
    LISTING,
    PREDICTIONS,
    TRACKS,
    WINDOWS,
    emotions_of,
    of_emotions,
)

OWN = ("angry", "happy", "boredom")
RNG = np.random.default_rng(3)


def test_named_sets():
    assert emotion_set([]) == emotion_set(["RAVDESS"]) == EMOTIONS
    assert len(emotion_set(["ekman"])) == 6 and not {"neutral", "calm"} & set(SETS["ekman"])
    assert set(EMOTIONS) - set(emotion_set(["fer"])) == {"calm"}


def test_names_of_ones_own_with_spaces_or_commas():
    assert emotion_set(["Wut", "Freude", "Langeweile"]) == ("angry", "happy", "langeweile")
    assert emotion_set(["neutral,boredom,joy"]) == ("neutral", "boredom", "happy")


@pytest.mark.parametrize(
    ("told", "word"),
    [
        (["boredom"], "1 emotion where a set has 2 to 64"),
        (["joy", "happiness"], "'happy' is there twice"),
        (["a b", "happy"], "'a b' is no word"),
        (["$x$", "happy"], "'$x$' is no word"),
        (["x" * 33, "happy"], "is no word"),
        ([",".join(f"e{i}" for i in range(65))], "65 emotions where a set has 2 to 64"),
    ],
)
def test_a_set_that_is_none_is_one_sentence(told, word):
    with pytest.raises(UserError) as error:
        emotion_set(told)
    assert word in str(error.value) and "ravdess, ekman, fer" in str(error.value)


@pytest.mark.parametrize("names", [["happy", 3], ["happy", None], [], ["happy", "sad\n"], ["happy", ["sad"]]])
def test_a_strangers_set_is_looked_at(names):
    with pytest.raises(ValueError, match=r"set has|is no word"):
        check_set(names)


def test_the_names_of_the_set_are_known_and_so_are_the_built_in_ones():
    assert parse_emotion("BOREDOM", None, OWN) == "boredom"
    assert parse_emotion("Langeweile", {"langeweile": "Boredom"}, OWN) == "boredom"
    assert parse_emotion("Angst", None, OWN) == "fearful"
    with pytest.raises(UserError, match="expected one of angry, happy, boredom, a mapping"):
        parse_emotion("Langeweile", None, OWN)


def test_all_unknown_names_with_their_counts():
    with pytest.raises(UserError) as error:
        check_emotions({"Langeweile": 2, "happy": 9, "Stolz": 3}, None, OWN)
    assert str(error.value).startswith("Unknown emotions 'Stolz' (3 files), 'Langeweile' (2 files): expected one of ")


@pytest.mark.parametrize(
    "schema", [LISTING, CLIPS, PREDICTIONS, LABELS, WINDOWS, TRACKS, FRAME_LABELS, FRAME_PREDICTIONS]
)
def test_tables_have_the_columns_of_the_set(schema):
    assert of_emotions(schema, EMOTIONS) is schema
    own = of_emotions(schema, OWN)
    first = schema.names.index("p_neutral") if "p_neutral" in schema.names else 0
    n = 8 if first else 0
    expected = [*schema.names[:first], *[f"p_{name}" for name in OWN][:n], *schema.names[first + n :]]
    assert own.names == expected
    assert emotions_of(own) == (OWN if first else ())
    assert all(own.field(f"p_{name}").type == pa.float32() for name in emotions_of(own))
    if "soft_label" in own.names:
        assert own.field("soft_label").type == pa.fixed_shape_tensor(pa.float32(), [3])


def test_figures_of_three_emotions_are_scikit_learns():
    truth, shares = RNG.integers(0, 3, 60), RNG.dirichlet(np.ones(3), 60)
    found = summarize(truth, shares, protocol="loso", model="svc", folds=["a"] * 60, emotions=OWN)
    predicted = shares.argmax(axis=1)
    assert found["classes"] == list(OWN) and list(found["recall"]) == list(OWN) == list(found["ci95_recall"])
    assert found["confusion"] == sklearn_confusion(truth, predicted).tolist()
    assert found["uar"] == pytest.approx(recall_score(truth, predicted, average="macro"))
    assert found["folds"][0]["uar"] == pytest.approx(found["uar"])


def test_groups_are_compared_over_the_emotions_of_the_set():
    truth, predicted = np.array([0, 1, 2] * 20), np.array([0, 1, 1] * 20)
    rows = by_group(truth, predicted, ["f", "m"] * 30, emotions=OWN)
    assert [list(row["recall"]) for row in rows] == [list(OWN)] * 2
    assert largest_gap(rows)["emotions"] == list(OWN)


def test_more_emotions_than_eight():
    names = tuple(f"e{i}" for i in range(11))
    found = summarize(np.arange(11), np.eye(11), protocol="loso", model="svc", emotions=names)
    assert found["accuracy"] == 1.0 and np.shape(found["confusion"]) == (11, 11)


def test_answers_bear_the_names_of_the_set():
    columns = answer_columns(np.array([[0.1, 0.2, 0.7]]), None, OWN)
    assert columns["predicted"].to_pylist() == ["boredom"] and columns["runner_up"].to_pylist() == ["happy"]
    assert [name for name in columns if name.startswith("p_")] == ["p_angry", "p_happy", "p_boredom"]
    with pytest.raises(UserError, match="answers for 3 emotions, and its bundle names 8"):
        answer_columns(np.array([[0.1, 0.2, 0.7]]))


def test_windows_clips_and_frames_of_three_emotions():
    shares = np.array([[0.2, 0.2, 0.6], [0.5, 0.4, 0.1]])
    rows = [{"clip": c, "track": 0, "window": 0, "start_seconds": 0.0, "end_seconds": 1.0, "state": "ok"} for c in "ab"]
    windows = window_rows(pa.Table.from_pylist(rows), shares, "article", OWN)
    assert windows.schema == of_emotions(WINDOWS, OWN)
    sums = [ClipSum(OWN) for _ in range(3)]
    for total, said in ((sums[0], shares[1]), (sums[2], shares[0])):
        total.add(said, 0.0, 1.0, 1.0, "article")
        total.finish()
    answers = [one.answer if one.answered else None for one in sums]
    labels = label_rows(pa.table({"clip": ["b", "none", "a"]}), sums, answers, ["ok"] * 3)
    assert labels["shares"].to_pylist() == [[("angry", 1.0)], [], [("boredom", 1.0)]]
    assert labels.schema == of_emotions(LABELS, OWN)
    assert labels["predicted"].to_pylist() == ["angry", None, "boredom"]
    assert count_labels([labels]).emotions == OWN
    heads = pa.table({"clip": ["a", "a"], "track": [0, 0], "frame_index": [0, 20], "time_seconds": [0.0, 0.8]})
    heads = heads.cast(pa.schema([FRAME_LABELS.field(name) for name in heads.column_names]))
    frames = answer_frames(heads, shares, OWN)
    np.testing.assert_allclose(shares_of(frames), shares, atol=1e-7)
    assert answer_clips(frames, ["a"], "weighted").shape == (1, 3)


def test_a_model_of_three_that_fails_is_asked_row_by_row():
    def model(rows):
        if 1 in rows:
            raise RuntimeError("bad row")
        return np.full((len(rows), 3), 1 / 3)

    given, faults = answers_of(model, 3, 3)
    assert given.shape == (3, 3) and set(faults) == {1}
