"""TESS: 200 words in one carrier phrase, 7 emotions, by two actresses, one old and one young: 2,800 clips.

`OAF_back_angry.wav` is the older one, "Say the word back", angry. Pichora-Fuller and Dupuis (2020),
https://doi.org/10.5683/SP2/E8H2MF
"""

import re
from pathlib import PurePosixPath

from emocore.corpora.corpus import Corpus
from emocore.corpora.names import code_in, named_as, parts_of, rows_of_names
from emocore.corpora.scan import Row

# When they were recorded. One published file, OA_bite_neutral, lacks a letter.
AGES = {"OAF": 64, "YAF": 26}
EMOTION_WORDS = {
    "angry": "angry",
    "disgust": "disgust",
    "fear": "fearful",
    "happy": "happy",
    "neutral": "neutral",
    "ps": "surprised",  # pleasant surprise
    "sad": "sad",
}
_SHAPE = re.compile(r"(OAF|YAF|OA)_([a-z]+)_([a-z]+)")


def read_name(path: PurePosixPath) -> Row:
    """Return what a name says. Raises UserError for a wrong one.

    >>> read_name(PurePosixPath("YAF_back_ps.wav"))["emotion"]
    'surprised'
    """
    name = path.stem
    actor, word, emotion = parts_of(name, _SHAPE, "OAF or YAF, the word and the emotion, as OAF_back_angry")
    actor = "OAF" if actor == "OA" else actor
    return {
        "clip": name,
        "actor": actor,
        "gender": "female",
        "age": AGES[actor],
        "statement": word,
        "emotion": EMOTION_WORDS[code_in(name, "emotion", emotion, list(EMOTION_WORDS))],
    }


TESS = Corpus(
    name="tess",
    rows=lambda files, rules: rows_of_names(files, rules, read_name, "en"),
    matches=named_as(_SHAPE),
    is_take=named_as(_SHAPE),
    actors=tuple(AGES),
    licence="TESS (Pichora-Fuller and Dupuis, 2020) is licensed CC BY-NC-ND 4.0: name the source, no commercial use, "
    "no derivatives.",
    citation="Pichora-Fuller & Dupuis (2020), https://doi.org/10.5683/SP2/E8H2MF",
)
