"""The catalogue: what is known of corpora by name, and corpora of one's own."""

import pytest

from emocore.corpora.catalogue import CORPORA, accuracy_of_people, find_corpus, licences, protocols, published_among
from emocore.corpora.listing import list_corpora
from emocore.errors import UserError

OWN = """
from emocore.corpora.corpus import Corpus

def rows(files, rules):
    return [{**file.row(), "clip": file.below, "emotion": "sad", "actor": file.below[0]} for file in files], []

MINE = Corpus(name="mine", rows=rows)
OTHER = 1
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working directory with a module of one's own, and a file."""
    (tmp_path / "own_corpus.py").write_text(OWN)
    (tmp_path / "a1.wav").write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_corpus_of_ones_own_needs_a_module_and_no_line(here):
    (row,) = list_corpora([here], kind="own_corpus:MINE").clips.to_pylist()
    assert (row["clip"], row["emotion"], row["actor"], row["take"]) == ("a1.wav", "sad", "a", "a1.wav")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (
            "cremad",
            "--corpus 'cremad' is unknown: choose one of auto, ravdess, crema-d, tess, savee, emo-db, emovo, nemo, ",
        ),
        (
            "no_such_module:MINE",
            "--corpus no_such_module:MINE cannot be imported (No module named ",
        ),
        (":MINE", "--corpus :MINE cannot be imported (Empty module name): expected a Python module in the "),
        ("own_corpus:OTHER", "--corpus own_corpus:OTHER is a int: a Corpus is expected there."),
        ("own_corpus:", "--corpus own_corpus: cannot be imported (module 'own_corpus' has no attribute '')"),
    ],
)
def test_a_corpus_that_is_not_there_is_one_sentence(here, name, sentence):
    with pytest.raises(UserError) as error:
        find_corpus(name)
    assert str(error.value).startswith(sentence) and "\n" not in str(error.value)


def test_every_published_corpus_says_its_licence_and_whom_to_cite():
    for corpus in CORPORA.values():
        assert bool(corpus.licence) == bool(corpus.citation) == corpus.is_published
        assert corpus.is_published or not (corpus.matches or corpus.people)
        for folds in corpus.protocols.values():
            tested = [actor for fold in folds.test_actors for actor in fold]
            assert set(tested) <= set(corpus.actors) and len(set(tested)) == len(tested)
    assert list(protocols()) == ["article", "article-video", "luna5", "emobox6", "sequential6"]


def test_what_a_page_says_follows_the_clips():
    assert published_among(["x", "03-01-05-01-02-01-12"]) == ["ravdess"] and published_among(["x"]) == []
    assert licences(["RAVDESS", "mine"]) == [CORPORA["ravdess"].licence]
    assert "62.4" in accuracy_of_people(["ravdess"]) and accuracy_of_people(["ravdess", "mine"]) == ""
