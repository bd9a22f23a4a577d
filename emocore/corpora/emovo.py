"""EMOVO: six Italian actors, 14 sentences, 6 emotions and neutral, 588 clips.

`des-f1-b1.wav`, or `dis-f1-b1.wav`, is disgusto, the first actress, sentence b1. Costantini et al. (2014),
https://aclanthology.org/L14-1478/
"""

import re
from pathlib import PurePosixPath

from emocore.corpora.corpus import Corpus
from emocore.corpora.names import code_in, named_as, parts_of, rows_of_names
from emocore.corpora.scan import Row

ACTORS = ("f1", "f2", "f3", "m1", "m2", "m3")
SENTENCES = ("b1", "b2", "b3", "d1", "d2", "l1", "l2", "l3", "l4", "n1", "n2", "n3", "n4", "n5")
EMOTION_CODES = {
    "dis": "disgust",
    "des": "disgust",  # as some copies have it
    "gio": "happy",  # gioia
    "neu": "neutral",
    "pau": "fearful",  # paura
    "rab": "angry",  # rabbia
    "sor": "surprised",  # sorpresa
    "tri": "sad",  # tristezza
}
_SHAPE = re.compile(r"([a-z]{3})-([fm][0-9])-([a-z][0-9])")


def read_name(path: PurePosixPath) -> Row:
    """Return what a name says. Raises UserError for a wrong one.

    >>> read_name(PurePosixPath("tri-m2-l4.wav"))["gender"]
    'male'
    """
    name = path.stem
    emotion, actor, sentence = parts_of(name, _SHAPE, "emotion, actor and sentence, as dis-f1-b1")
    return {
        "clip": name,
        "actor": code_in(name, "actor", actor, ACTORS),
        "gender": "female" if actor.startswith("f") else "male",
        "statement": code_in(name, "sentence", sentence, SENTENCES),
        "emotion": EMOTION_CODES[code_in(name, "emotion", emotion, list(EMOTION_CODES))],
    }


EMOVO = Corpus(
    name="emovo",
    rows=lambda files, rules: rows_of_names(files, rules, read_name, "it"),
    matches=named_as(_SHAPE),
    is_take=named_as(_SHAPE),
    actors=ACTORS,
    licence="EMOVO (Costantini et al., 2014) is given for research and states no licence: ask its authors for any "
    "other use.",
    people="people named the emotions of two of EMOVO's sentences in 80\N{NO-BREAK SPACE}% of the trials.",
    citation="Costantini et al. (2014), https://aclanthology.org/L14-1478/",
)
