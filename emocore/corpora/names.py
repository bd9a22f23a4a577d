"""Corpora whose file names say everything: how the rows of a listing come of a function that reads one name."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath

from emocore.corpora.corpus import LabelRules
from emocore.corpora.scan import MediaFile, Row, failure_row
from emocore.errors import UserError, amount
from emocore.labels import is_emotion, parse_emotion
from emocore.media.source import VIDEO_SUFFIXES
from emocore.progress import say

ReadName = Callable[[PurePosixPath], Row]


def rows_of_names(
    files: Sequence[MediaFile], rules: LabelRules, read: ReadName, language: str | None
) -> tuple[list[Row], list[Row]]:
    """Return LISTING rows of files by their names, and FAILURES rows for wrong names.

    `read` returns what the name of a file says: `clip`, its name without the suffix, `emotion` by its English name, and
    other LISTING columns. Raises UserError for a wrong name. Sound and film of one clip are one take. An emotion that
    neither the set nor `--map` knows, such as boredom, leaves its files unlabelled, and a line says so.
    """
    rows: list[Row] = []
    failures: list[Row] = []
    unknown: Counter[str] = Counter()
    for file in files:
        path = PurePosixPath(file.path)
        try:
            told = {"language": language, **read(path)}
        except UserError as error:
            failures.append(failure_row(file.path, "bad_name", str(error)))
            continue
        if is_emotion(told["emotion"], rules.mapping, rules.emotions):
            told["emotion"] = parse_emotion(told["emotion"], rules.mapping, rules.emotions)
        else:
            unknown[told["emotion"]] += 1
            told["emotion"] = None
        modality = "audio-video" if path.suffix.lower() in VIDEO_SUFFIXES else "audio-only"
        rows.append({**file.row(), "modality": modality, "take": told["clip"], **told})
    for emotion, n in unknown.items():
        say(
            f"{amount(n, 'file')} of {emotion}, which is not among the emotions, taken as unlabelled: "
            f"--map {emotion}=EMOTION joins it to one, --emotions NAME,NAME,… adds it"
        )
    return rows, failures


def code_in(name: str, part: str, code: str, known: Sequence[str]) -> str:
    """Return the code. Raises UserError where it is not among the known ones.

    >>> code_in("1001_DFA_ANG_XX", "emotion", "ANG", ["ANG", "SAD"])
    'ANG'
    """
    if code not in known:
        raise UserError(f"{name!r} has {part} {code!r}, expected one of {', '.join(known)}.")
    return code


def parts_of(name: str, shape: re.Pattern[str], expected: str) -> tuple[str, ...]:
    """Return the groups of a name's shape. Raises UserError where it has another; `expected`: which, and an example."""
    found = shape.fullmatch(name)
    if not found:
        raise UserError(f"{name!r} is not named as its corpus names files: expected {expected}.")
    return found.groups()


def named_as(shape: re.Pattern[str]) -> Callable[[str], bool]:
    """Return what tells whether a name has a shape; its parts may still be wrong.

    >>> named_as(re.compile("[0-9]+"))("12")
    True
    """
    return lambda name: shape.fullmatch(name) is not None
