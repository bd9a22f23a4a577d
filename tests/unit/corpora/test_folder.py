"""Labelled folders: level names are labels."""

import pytest

from emocore.corpora.folder import actor_finder, folder_rows, parse_split
from emocore.corpora.scan import MediaFile
from emocore.errors import UserError


def rows(*paths, **options):
    return folder_rows([MediaFile(f"/root/{path}", path, 1, f"/root/{path}") for path in paths], **options)


def column(name, *paths, **options):
    return [row[name] for row in rows(*paths, **options)]


@pytest.mark.parametrize(
    ("path", "emotion", "split"),
    [
        ("happy/a.wav", "happy", None),
        ("Train/FEAR/anna/a.wav", "fearful", "train"),
        ("happy/sad/a.wav", "sad", None),  # the nearest
        ("validation/a.wav", None, "validation"),
        ("happy.wav", None, None),  # a file is no level
        ("PublicTest/Surprise/1.wav", "surprised", "test"),
        ("Training.zip!/anger/1.wav", "angry", "train"),  # zips are levels
        ("neutral.ZIP!/1.wav", "neutral", None),
    ],
)
def test_levels(path, emotion, split):
    (row,) = rows(path)
    assert (row["emotion"], row["split"], row["actor"], row["clip"]) == (emotion, split, None, path)


def test_an_unlabelled_corpus_is_no_mistake():
    assert column("emotion", "tapes/1.wav", "tapes/old/2.wav", "3.wav") == [None, None, None]


@pytest.mark.parametrize("other", ["bored/1.wav", "test/bored/1.wav"])
def test_an_unknown_level_among_emotions_is_one_sentence(other):
    with pytest.raises(UserError) as error:
        rows("/".join(["train"] * other.count("test") + ["happy", "1.wav"]), other)
    assert str(error.value).startswith("Unknown emotion 'bored' (1 file) in folders beside those of emotions: ")
    assert "expected one of neutral, calm, happy, sad, angry, fearful, disgust, surprised, a mapping" in str(
        error.value
    )
    assert "--map bored=EMOTION" in str(error.value)


def test_two_emotions_in_one_path_are_told(capsys):
    assert column("emotion", "sad/Joy/1.wav", "sad/Joy/2.wav", "sad/anna/3.wav") == ["happy", "happy", "sad"]
    assert capsys.readouterr().out == "2 files below folders of two emotions ('sad/Joy'): the nearest counts\n"
    column("emotion", "angry/Anger/1.wav")
    assert not capsys.readouterr().out


def test_all_unknown_levels_are_told_at_once_with_their_files():
    with pytest.raises(UserError) as error:
        rows("Wut/1.wav", "Freude/2.wav", "Langeweile/3.wav", "Langeweile/4.wav", "odd/5.wav")
    assert str(error.value).startswith("Unknown emotions 'Langeweile' (2 files), 'odd' (1 file) in folders beside ")
    assert str(error.value).endswith(
        "(--map Langeweile=EMOTION), or a set of your own (--emotions NAME,NAME,…), or --exclude the folder."
    )


def test_a_mapping_names_the_level():
    assert column("emotion", "happy/1.wav", "Bored/1.wav", mapping={"bored": "calm"}) == ["happy", "calm"]


def test_files_above_the_labels_and_split_levels_beside_them_have_none():
    assert column("emotion", "happy/1.wav", "2.wav", "test/3.wav") == ["happy", None, None]


def test_actor_from_a_path():
    assert column("actor", "happy/anna_1.wav", "happy/1.wav", actor_from=r"/([a-z]+)_") == ["anna", None]
    with pytest.raises(UserError, match=r"--actor-from '\(' is not a regular expression"):
        actor_finder("(")
    with pytest.raises(UserError, match="--actor-from 'a' has no group: put the actor in parentheses"):
        actor_finder("a")


def test_split_names():
    assert [parse_split(name) for name in ("TRAINING", "dev", "val", "Testing")] == [
        "train",
        "validation",
        "validation",
        "test",
    ]
    with pytest.raises(UserError, match="Unknown split 'holdout': expected one of train, training"):
        parse_split("holdout")
