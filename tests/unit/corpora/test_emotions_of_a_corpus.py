"""Corpora that are labelled with a set of emotions: folders, manifests, RAVDESS, a corpus of one's own."""

import numpy as np
import pyarrow as pa
import pytest

from emocore.corpora.fingerprint import fingerprint
from emocore.corpora.listing import list_corpora
from emocore.errors import UserError
from emocore.labels import EMOTIONS, SETS
from emocore.schema import LISTING

OWN = ("angry", "happy", "boredom")


def put(root, *paths):
    for path in paths:
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x" * 3)
    return str(root)


def labels(listing):
    rows = listing.clips.sort_by("path").to_pylist()
    return [(row["emotion"], np.round(row["soft_label"], 3).tolist()) for row in rows]


def test_folders_of_three_emotions(tmp_path):
    root = put(tmp_path, "Freude/2.wav", "Langeweile/3.wav", "Wut/1.wav")
    listing = list_corpora([root], mapping={"Langeweile": "boredom"}, emotions=OWN)
    assert listing.emotions == OWN
    assert listing.clips.schema.field("soft_label").type == pa.fixed_shape_tensor(pa.float32(), [3])
    assert labels(listing) == [("happy", [0, 1, 0]), ("boredom", [0, 0, 1]), ("angry", [1, 0, 0])]


def test_the_eight_have_the_table_that_they_had(tmp_path):
    listing = list_corpora([put(tmp_path, "sad/1.wav")])
    assert listing.emotions == EMOTIONS and listing.clips.schema == LISTING
    assert fingerprint(listing) == fingerprint(list_corpora([str(tmp_path)], emotions=EMOTIONS))


def test_a_map_to_what_is_not_in_the_set_is_one_sentence(tmp_path):
    root = put(tmp_path, "Wut/1.wav")
    with pytest.raises(UserError, match="Unknown emotion 'boredom': expected one of neutral"):
        list_corpora([root], mapping={"Langeweile": "boredom"})
    with pytest.raises(UserError) as error:
        list_corpora([root], mapping={"Langeweile": "calm"}, emotions=OWN)
    assert str(error.value) == ("--map Langeweile=calm: calm is not among angry, happy, boredom: add it to --emotions.")


def test_an_emotion_outside_of_the_set_is_unlabelled_and_said(tmp_path, capsys):
    root = put(tmp_path, "boredom/1.wav", "sad/2.wav", "sad/3.wav", "calm/4.wav")
    listing = list_corpora([root], emotions=OWN)
    assert labels(listing) == [("boredom", [0, 0, 1]), *[(None, [0, 0, 0])] * 3]
    said = "3 files of other emotions than the set's, taken as unlabelled: sad (2), calm (1)\n"
    assert capsys.readouterr().out == said


def test_raters_vote_within_the_set(tmp_path):
    put(tmp_path, "a.wav", "b.wav")
    manifest = tmp_path / "m.csv"
    manifest.write_text("path,emotion\na.wav,joy\na.wav,boredom\na.wav,boredom\na.wav,sad\nb.wav,sad\n")
    listing = list_corpora([str(manifest)], emotions=OWN)
    assert labels(listing) == [("boredom", [0, 0.333, 0.667]), (None, [0, 0, 0])]
    with pytest.raises(UserError, match=r"Unknown emotion 'boredom' \(2 rows\)"):
        list_corpora([str(manifest)])


@pytest.mark.parametrize(
    ("votes", "label", "said"),
    [
        ("calm calm happy", (None, [0] * 7), "1 file of other emotions than the set's, taken as unlabelled: calm (1)"),
        ("happy calm calm happy sad", ("happy", [0, 0.667, 0.333, 0, 0, 0, 0]), ""),
        ("calm happy", ("happy", [0, 1, 0, 0, 0, 0, 0]), ""),
    ],
)
def test_the_majority_is_that_of_all_votes(votes, label, said, tmp_path, capsys):
    put(tmp_path, "a.wav")
    manifest = tmp_path / "m.csv"
    manifest.write_text("\n".join(["path,emotion", *(f"a.wav,{vote}" for vote in votes.split())]))
    assert labels(list_corpora([str(manifest)], emotions=SETS["fer"])) == [label]
    assert capsys.readouterr().out.strip() == said


def test_ravdess_with_calm_as_neutral(tmp_path):
    root = put(tmp_path, "03-01-01-01-01-01-01.wav", "03-01-02-01-01-01-01.wav", "03-01-08-01-01-01-01.wav")
    listing = list_corpora([root], mapping={"calm": "neutral"}, emotions=SETS["fer"])
    assert [emotion for emotion, _ in labels(listing)] == ["neutral", "neutral", "surprised"]
