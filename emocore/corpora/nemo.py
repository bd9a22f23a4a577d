"""nEMO: nine Polish actors, 90 sentences, 5 emotions and neutral, 4,481 clips.

`EB0_anger_1.wav` is speaker EB0, angry, sentence 1. Christop (2024), https://arxiv.org/abs/2404.06292
"""

import re
from pathlib import PurePosixPath

from emocore.corpora.corpus import Corpus
from emocore.corpora.names import code_in, named_as, parts_of, rows_of_names
from emocore.corpora.scan import Row

SPEAKERS = {
    "EB0": ("female", 27),
    "IC0": ("female", 28),
    "KD0": ("female", 28),
    "KS0": ("male", 23),
    "MK0": ("female", 23),
    "MP0": ("male", 24),
    "SM0": ("male", 24),
    "TP0": ("male", 26),
    "WR0": ("male", 23),
}
N_SENTENCES = 90
EMOTION_WORDS = {
    "anger": "angry",
    "fear": "fearful",
    "happiness": "happy",
    "neutral": "neutral",
    "sadness": "sad",
    "surprised": "surprised",
}
_SHAPE = re.compile(r"([A-Z]{2}[0-9])_([a-z]+)_([0-9]{1,3})")


def read_name(path: PurePosixPath) -> Row:
    """Return what a name says. Raises UserError for a wrong one.

    >>> read_name(PurePosixPath("WR0_surprised_90.wav"))["emotion"]
    'surprised'
    """
    name = path.stem
    speaker, emotion, sentence = parts_of(name, _SHAPE, "speaker, emotion and sentence, as EB0_anger_1")
    gender, age = SPEAKERS[code_in(name, "speaker", speaker, list(SPEAKERS))]
    return {
        "clip": name,
        "actor": speaker,
        "gender": gender,
        "age": age,
        "statement": code_in(name, "sentence", sentence, [str(n) for n in range(1, N_SENTENCES + 1)]),
        "emotion": EMOTION_WORDS[code_in(name, "emotion", emotion, list(EMOTION_WORDS))],
    }


NEMO = Corpus(
    name="nemo",
    rows=lambda files, rules: rows_of_names(files, rules, read_name, "pl"),
    matches=named_as(_SHAPE),
    is_take=named_as(_SHAPE),
    actors=tuple(SPEAKERS),
    licence="nEMO (Christop, 2024) is licensed CC BY-NC-SA 4.0, and so are models trained on it: name the source, no "
    "commercial use, share alike.",
    citation="Christop (2024), https://arxiv.org/abs/2404.06292",
)
