"""RAVDESS: a seven-part file name says everything about a clip.

`03-01-05-01-02-01-12.wav` is audio only, speech, angry, normal intensity, "Dogs are sitting by the door", the
first repetition, actor 12. Livingstone and Russo (2018), https://doi.org/10.1371/journal.pone.0196391
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from emocore.corpora.corpus import ActorFolds, Archive, Corpus, LabelRules
from emocore.corpora.scan import MediaFile, Row, failure_row
from emocore.errors import UserError
from emocore.labels import EMOTIONS, parse_emotion

ACTORS = tuple(f"{number:02d}" for number in range(1, 25))
PARTS: dict[str, dict[str, str]] = {
    "modality": {"01": "audio-video", "02": "video-only", "03": "audio-only"},
    "channel": {"01": "speech", "02": "song"},
    "emotion": {f"{number:02d}": emotion for number, emotion in enumerate(EMOTIONS, 1)},
    "intensity": {"01": "normal", "02": "strong"},
    "statement": {"01": "kids", "02": "dogs"},
    "repetition": {"01": "1", "02": "2"},
    "actor": {actor: actor for actor in ACTORS},
}
_SHAPE = re.compile(r"[0-9]{2}(-[0-9]{2}){6}")
_CODES = {part: {value: code for code, value in values.items()} for part, values in PARTS.items()}
_NOT_SUNG = ("07", "08")  # disgust and surprised were recorded as speech only
NO_SONG = "18"  # this actor's song recordings are not in the published corpus


@dataclass(frozen=True)
class RavdessName:
    """What the seven parts of a name say."""

    modality: str
    channel: str
    emotion: str
    intensity: str
    statement: str
    repetition: int
    actor: str

    @property
    def gender(self) -> str:
        """Odd actors are male, even ones female."""
        return "male" if int(self.actor) % 2 else "female"

    @property
    def take(self) -> str:
        """The six ids after the modality, which the audio-only, video-only and AV files of a take share."""
        return format_name(self)[3:]


def is_ravdess_name(stem: str) -> bool:
    """Whether a stem has the shape of a RAVDESS name; its parts may still be wrong."""
    return _SHAPE.fullmatch(stem) is not None


def parse_name(name: str) -> RavdessName:
    """Read a RAVDESS name, with or without a suffix.

    Raises UserError for a wrong part, and for what was never recorded: strong neutral, disgust and surprised
    in song, and song by actor 18.

    >>> parse_name("03-01-05-01-02-01-12.wav").take
    '01-05-01-02-01-12'
    """
    codes = PurePosixPath(name).stem.split("-")
    if len(codes) != len(PARTS):
        raise UserError(f"{name!r} has {len(codes)} parts, expected {len(PARTS)}: {'-'.join(PARTS)}.")
    for code, (part, values) in zip(codes, PARTS.items(), strict=True):
        if code not in values:
            raise _wrong(name, part, code, values)
    by_part = dict(zip(PARTS, codes, strict=True))
    _check_recorded(name, by_part)
    values = {part: PARTS[part][code] for part, code in by_part.items()}
    return RavdessName(
        modality=values["modality"],
        channel=values["channel"],
        emotion=values["emotion"],
        intensity=values["intensity"],
        statement=values["statement"],
        repetition=int(values["repetition"]),
        actor=values["actor"],
    )


def format_name(name: RavdessName) -> str:
    """Write the seven-part name, without a suffix: the inverse of `parse_name`.

    Raises UserError where a field has a value that no name can say, or that was never recorded.
    """
    codes = {}
    for part, known in _CODES.items():
        value = str(getattr(name, part))
        if value not in known:
            raise _wrong(str(name), part, value, known)
        codes[part] = known[value]
    text = "-".join(codes.values())
    _check_recorded(text, codes)
    return text


def ravdess_rows(
    files: Iterable[MediaFile],
    rules: LabelRules = LabelRules(),  # noqa: B008 - frozen
) -> tuple[list[Row], list[Row]]:
    """Return LISTING rows for the files of a RAVDESS corpus, and FAILURES rows for wrong names."""
    rows: list[Row] = []
    failures: list[Row] = []
    for file in files:
        filename = file.below.rpartition("/")[2]
        try:
            name = parse_name(filename)
        except UserError as error:
            failures.append(failure_row(file.path, "bad_name", str(error)))
            continue
        clip = PurePosixPath(filename).stem
        emotion = parse_emotion(name.emotion, rules.mapping, rules.emotions)
        told = {**vars(name), "emotion": emotion, "take": clip[3:], "gender": name.gender, "language": "en"}
        rows.append({**file.row(), **told, "clip": clip})
    return rows, failures


def _check_recorded(name: str, codes: dict[str, str]) -> None:
    if codes["emotion"] == "01" and codes["intensity"] == "02":
        raise _wrong(name, "intensity", "02", ["01"], " for neutral, which has no strong intensity")
    if codes["channel"] == "02" and codes["emotion"] in _NOT_SUNG:
        sung = [code for code in PARTS["emotion"] if code not in _NOT_SUNG]
        raise _wrong(name, "emotion", codes["emotion"], sung, " in song")
    if codes["channel"] == "02" and codes["actor"] == NO_SONG:
        others = [actor for actor in ACTORS if actor != NO_SONG]
        raise _wrong(name, "actor", NO_SONG, others, " in song")


def _wrong(name: str, part: str, value: str, allowed: Iterable[str], where: str = "") -> UserError:
    return UserError(f"{name!r} has {part} {value!r}, expected one of {', '.join(allowed)}{where}.")


def _archives(subsets: Sequence[str], actors: Sequence[str]) -> list[Archive]:
    from emocore.corpora.download.ravdess_record import ravdess_archives  # noqa: PLC0415 - it imports this module

    return ravdess_archives(subsets, actors)


def _folds(words: str, *test_actors: Iterable[int]) -> ActorFolds:
    return ActorFolds(words, tuple(tuple(f"{actor:02d}" for actor in fold) for fold in test_actors))


PROTOCOLS = {
    "article": _folds("Trained on actors 1 to 20, tested on actors 21 to 24.", (21, 22, 23, 24)),
    # The article does not name its two.
    "article-video": _folds("Trained on actors 1 to 22, tested on actors 23 and 24.", (23, 24)),
    # Luna-Jiménez et al. (2021), https://doi.org/10.3390/s21227665, section 3.1
    "luna5": _folds(
        "Five folds of four or five actors, each tested once.",
        (2, 5, 14, 15, 16),
        (3, 6, 7, 13, 18),
        (10, 11, 12, 19, 20),
        (8, 17, 21, 23, 24),
        (1, 4, 9, 22),
    ),
    # Ma et al. (2024), https://arxiv.org/abs/2406.07162
    "emobox6": _folds(
        "Six folds of four actors, each tested once.",
        (1, 11, 20, 21),
        (4, 10, 12, 14),
        (8, 9, 19, 23),
        (3, 5, 7, 24),
        (2, 15, 16, 18),
        (6, 13, 17, 22),
    ),
    "sequential6": _folds(
        "Six folds of four consecutive actors, each tested once.",
        *(range(first, first + 4) for first in range(1, 25, 4)),
    ),
}
RAVDESS = Corpus(
    name="ravdess",
    rows=ravdess_rows,
    matches=is_ravdess_name,
    is_take=lambda take: is_ravdess_name(f"03-{take}"),
    actors=ACTORS,
    protocols=PROTOCOLS,
    licence="RAVDESS (Livingstone and Russo, 2018) is licensed CC BY-NC-SA 4.0, and so are models trained on it: name "
    "the source, no commercial use, share alike.",
    people="people name the emotion that RAVDESS actors were asked for in 62.4\N{NO-BREAK SPACE}% of the clips from "
    "sound alone, in about 75\N{NO-BREAK SPACE}% from the picture alone and in about 80\N{NO-BREAK SPACE}% from both.",
    citation="Livingstone & Russo (2018), https://doi.org/10.1371/journal.pone.0196391",
    archives=_archives,
)
