"""The corpora by name. A new one is one line here and one file."""

from collections.abc import Iterable, Sequence

from emocore.corpora.annotations.catalogue import ANNOTATIONS
from emocore.corpora.corpus import ActorFolds, Corpus
from emocore.corpora.crema_d import CREMA_D
from emocore.corpora.emo_db import EMO_DB
from emocore.corpora.emovo import EMOVO
from emocore.corpora.fer2013 import FER2013
from emocore.corpora.folder import FOLDER
from emocore.corpora.manifest import MANIFEST
from emocore.corpora.nemo import NEMO
from emocore.corpora.ravdess import RAVDESS
from emocore.corpora.savee import SAVEE
from emocore.corpora.tess import TESS
from emocore.errors import UserError
from emocore.own import load_own

CORPORA = {
    corpus.name: corpus
    for corpus in (
        RAVDESS,
        CREMA_D,
        TESS,
        SAVEE,
        EMO_DB,
        EMOVO,
        NEMO,
        FER2013,
        FOLDER,
        MANIFEST,
        ANNOTATIONS,
    )
}
AUTO = "auto"


def find_corpus(name: str) -> Corpus:
    """Return a corpus of the catalogue, or one of a module of the user's own, named `my_module:NAME`.

    Raises UserError where there is none.
    """
    if name in CORPORA:
        return CORPORA[name]
    if ":" not in name:
        known = ", ".join((AUTO, *CORPORA))
        raise UserError(f"--corpus {name!r} is unknown: choose one of {known}, or one of your own as my_module:NAME.")
    return load_own(name, Corpus, "--corpus")[0]


def named(corpora: Iterable[str]) -> list[Corpus]:
    """Return those of the catalogue that have these names, in any case."""
    names = {name.lower() for name in corpora}
    return [corpus for name, corpus in CORPORA.items() if name in names]


def published_among(stems: Sequence[str]) -> list[str]:
    """Return the names of the corpora after which any of these file names, without suffixes, is named."""
    return [corpus.name for corpus in CORPORA.values() if corpus.matches and any(map(corpus.matches, stems))]


def protocols() -> dict[str, tuple[Corpus, ActorFolds]]:
    """Return the published protocols, and the corpus of each."""
    return {name: (corpus, folds) for corpus in CORPORA.values() for name, folds in corpus.protocols.items()}


def licences(corpora: Iterable[str]) -> list[str]:
    """Return the sentence on each of these corpora's licences."""
    return [corpus.licence for corpus in named(corpora) if corpus.licence]


def accuracy_of_people(corpora: Sequence[str]) -> str:
    """Return the sentence on how well people do on a corpus, where it is the only one."""
    found = named(corpora)
    return found[0].people if len(corpora) == len(found) == 1 else ""
