"""SAVEE: four Englishmen, 7 emotions, 480 clips in sound and picture.

`DC_a01.wav`, or `DC/a01.wav` in a folder for each speaker, is speaker DC, angry, sentence 1. Jackson and Haq (2014),
http://kahlan.eps.surrey.ac.uk/savee/
"""

import re
from pathlib import PurePosixPath

from emocore.corpora.corpus import Corpus
from emocore.corpora.names import code_in, named_as, parts_of, rows_of_names
from emocore.corpora.scan import Row

ACTORS = ("DC", "JE", "JK", "KL")
EMOTION_LETTERS = {
    "a": "angry",
    "d": "disgust",
    "f": "fearful",
    "h": "happy",
    "n": "neutral",
    "sa": "sad",
    "su": "surprised",
}
_SHAPE = re.compile(rf"({'|'.join(ACTORS)})[_/]([a-z]{{1,2}})([0-9]{{2}})")


def read_name(path: PurePosixPath) -> Row:
    """Return what a name, or the name and its folder, say. Raises UserError for wrong ones.

    >>> read_name(PurePosixPath("AudioData/JK/su07.wav"))["clip"]
    'JK_su07'
    """
    name = path.stem
    whole = name if _SHAPE.fullmatch(name) else f"{path.parent.name}/{name}"
    actor, emotion, sentence = parts_of(whole, _SHAPE, "speaker, emotion and sentence, as DC_a01, or as DC/a01")
    return {
        "clip": f"{actor}_{emotion}{sentence}",
        "actor": actor,
        "gender": "male",
        "statement": f"{emotion}{sentence}",  # but for three of them, sentences are of one emotion
        "emotion": EMOTION_LETTERS[code_in(name, "emotion", emotion, list(EMOTION_LETTERS))],
    }


SAVEE = Corpus(
    name="savee",
    rows=lambda files, rules: rows_of_names(files, rules, read_name, "en"),
    matches=named_as(_SHAPE),
    is_take=named_as(_SHAPE),
    actors=ACTORS,
    licence="SAVEE (Jackson and Haq, 2014) is given to registered users for research: ask its authors for any other "
    "use.",
    people="people name the emotion that SAVEE's speakers acted in 66.5\N{NO-BREAK SPACE}% of the clips from sound "
    "alone, in 88.0\N{NO-BREAK SPACE}% from the picture alone and in 91.8\N{NO-BREAK SPACE}% from both.",
    citation="Jackson & Haq (2014), http://kahlan.eps.surrey.ac.uk/savee/",
)
