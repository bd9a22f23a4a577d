"""CREMA-D: 91 actors, 12 sentences, 6 emotions at 4 levels, 7,442 clips in sound and picture.

`1001_DFA_ANG_XX.wav` is actor 1001, "Don't forget a jacket", angry, of no stated level. Who the actors are stands in
the corpus's own VideoDemographics.csv. Cao et al. (2014), https://doi.org/10.1109/TAFFC.2014.2336244
"""

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from emocore.corpora.corpus import Corpus, LabelRules
from emocore.corpora.names import code_in, named_as, parts_of, rows_of_names
from emocore.corpora.scan import MediaFile, Row
from emocore.errors import UserError
from emocore.media.source import split_member

ACTORS = tuple(str(number) for number in range(1001, 1092))
SENTENCES = ("DFA", "IEO", "IOM", "ITH", "ITS", "IWL", "IWW", "MTI", "TAI", "TIE", "TSI", "WSI")
EMOTION_CODES = {"ANG": "angry", "DIS": "disgust", "FEA": "fearful", "HAP": "happy", "NEU": "neutral", "SAD": "sad"}
# One published file, 1040_ITH_SAD_X, lacks the second letter.
LEVELS = {"LO": "low", "MD": "medium", "HI": "high", "XX": "unspecified", "X": "unspecified"}
DEMOGRAPHICS = "VideoDemographics.csv"
_SHAPE = re.compile(r"([0-9]{4})_([A-Z]{3})_([A-Z]{3})_([A-Z]{1,2})")


def read_name(path: PurePosixPath) -> Row:
    """Return what a name says. Raises UserError for a wrong one.

    >>> read_name(PurePosixPath("1001_DFA_ANG_XX.wav"))["emotion"]
    'angry'
    """
    name = path.stem
    actor, sentence, emotion, level = parts_of(name, _SHAPE, "ACTOR_SENTENCE_EMOTION_LEVEL, as 1001_DFA_ANG_XX")
    return {
        "clip": name,
        "actor": code_in(name, "actor", actor, ACTORS),
        "statement": code_in(name, "sentence", sentence, SENTENCES),
        "emotion": EMOTION_CODES[code_in(name, "emotion", emotion, list(EMOTION_CODES))],
        "extra": [("level", LEVELS[code_in(name, "level", level, list(LEVELS))])],
    }


def crema_d_rows(files: Sequence[MediaFile], rules: LabelRules) -> tuple[list[Row], list[Row]]:
    """Return LISTING and FAILURES rows; age and gender are those of VideoDemographics.csv, where that is found.

    It is looked for in the folders of the files, and above them up to the one that holds the root. Raises UserError
    where it cannot be read.
    """
    who = _demographics(files)
    return rows_of_names(files, rules, lambda path: _with_person(read_name(path), who), "en")


def _with_person(row: Row, who: Mapping[str, Row]) -> Row:
    return {**row, **who.get(row["actor"], {})}


def _demographics(files: Sequence[MediaFile]) -> dict[str, Row]:
    for folder in _folders(files):
        if (folder / DEMOGRAPHICS).is_file():
            return _read_demographics(folder / DEMOGRAPHICS)
    return {}


def _folders(files: Iterable[MediaFile]) -> list[Path]:
    """Return the folders of the files and all above them, the nearest first, up to the one that holds the root."""
    found: dict[Path, None] = {}
    for file in files:
        folder = Path(split_member(file.path)[0]).parent
        up = file.path.count("/") - folder.as_posix().count("/") - 1  # levels inside a zip
        depth = file.below.count("/") - up + 1
        found.update(dict.fromkeys([folder, *list(folder.parents)[: max(depth, 0)]]))
    return sorted(found, key=lambda folder: -len(folder.parts))


def _read_demographics(path: Path) -> dict[str, Row]:
    genders = {"male": "male", "female": "female"}
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            rows = list(csv.DictReader(stream))
        return {
            row["ActorID"].strip(): {"gender": genders[row["Sex"].strip().lower()], "age": int(row["Age"])}
            for row in rows
        }
    except (OSError, ValueError, KeyError, AttributeError, csv.Error) as error:
        raise UserError(
            f"{path} cannot be read ({type(error).__name__}: {error}), expected columns ActorID, Age and Sex as "
            "CREMA-D has them: fetch it again, or take it away."
        ) from error


CREMA_D = Corpus(
    name="crema-d",
    rows=crema_d_rows,
    matches=named_as(_SHAPE),
    is_take=named_as(_SHAPE),
    actors=ACTORS,
    licence="CREMA-D (Cao et al., 2014) is under the Open Database License 1.0, its contents under the Database "
    "Contents License 1.0: name the source, share databases made of it alike.",
    people="people name the emotion that CREMA-D actors were asked for in 40.9\N{NO-BREAK SPACE}% of the clips from "
    "sound alone, in 58.2\N{NO-BREAK SPACE}% from the picture alone and in 63.6\N{NO-BREAK SPACE}% from both.",
    citation="Cao et al. (2014), https://doi.org/10.1109/TAFFC.2014.2336244",
)
