"""RAVDESS: a seven-part file name says everything about a clip.

`03-01-05-01-02-01-12.wav` is audio only, speech, angry, normal intensity, "Dogs are sitting by the door", the
first repetition, actor 12. Livingstone and Russo (2018), https://doi.org/10.1371/journal.pone.0196391
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from emocore.corpora.scan import MediaFile, Row, failure_row
from emocore.errors import UserError
from emocore.labels import EMOTIONS

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


def ravdess_rows(files: Iterable[MediaFile]) -> tuple[list[Row], list[Row]]:
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
        rows.append({**file.row(), **vars(name), "clip": clip, "take": clip[3:], "gender": name.gender})
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
