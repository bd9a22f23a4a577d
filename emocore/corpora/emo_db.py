"""EMO-DB: ten German actors, ten texts, 6 emotions and neutral, 535 published clips.

`03a01Fa.wav` is speaker 03, text a01, F for Freude (happy), version a. Burkhardt et al. (2005),
https://doi.org/10.21437/Interspeech.2005-446, and http://emodb.bilderbar.info/docu/
"""

import re
from pathlib import PurePosixPath

from emocore.corpora.corpus import Corpus
from emocore.corpora.names import code_in, named_as, parts_of, rows_of_names
from emocore.corpora.scan import Row

SPEAKERS = {
    "03": ("male", 31),
    "08": ("female", 34),
    "09": ("female", 21),
    "10": ("male", 32),
    "11": ("male", 26),
    "12": ("male", 30),
    "13": ("female", 32),
    "14": ("female", 35),
    "15": ("male", 25),
    "16": ("female", 31),
}
TEXTS = ("a01", "a02", "a04", "a05", "a07", "b01", "b02", "b03", "b09", "b10")
EMOTION_LETTERS = {
    "W": "angry",  # Wut
    "L": "boredom",  # Langeweile
    "E": "disgust",  # Ekel
    "A": "fearful",  # Angst
    "F": "happy",  # Freude
    "T": "sad",  # Trauer
    "N": "neutral",
}
_SHAPE = re.compile(r"([0-9]{2})([a-z][0-9]{2})([A-Z])([a-z]?)")


def read_name(path: PurePosixPath) -> Row:
    """Return what a name says. Raises UserError for a wrong one.

    >>> read_name(PurePosixPath("03a01Fa.wav"))["age"]
    31
    """
    name = path.stem
    speaker, text, emotion, version = parts_of(name, _SHAPE, "speaker, text, emotion and version, as 03a01Fa")
    gender, age = SPEAKERS[code_in(name, "speaker", speaker, list(SPEAKERS))]
    return {
        "clip": name,
        "actor": speaker,
        "gender": gender,
        "age": age,
        "statement": code_in(name, "text", text, TEXTS),
        "emotion": EMOTION_LETTERS[code_in(name, "emotion", emotion, list(EMOTION_LETTERS))],
        "repetition": ord(version) - ord("a") + 1 if version else None,
    }


EMO_DB = Corpus(
    name="emo-db",
    rows=lambda files, rules: rows_of_names(files, rules, read_name, "de"),
    matches=named_as(_SHAPE),
    is_take=named_as(_SHAPE),
    actors=tuple(SPEAKERS),
    licence="EMO-DB (Burkhardt et al., 2005) is free to use: name the source.",
    people="people named the emotion of each published clip of EMO-DB in at least 80\N{NO-BREAK SPACE}% of the trials: "
    "the others were left out of it.",
    citation="Burkhardt et al. (2005), https://doi.org/10.21437/Interspeech.2005-446",
)
