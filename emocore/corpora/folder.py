"""Any labelled folder or zip: the names of its levels are the labels.

`root/train/Happy/anna/1.wav` is happy (the nearest level that `labels` knows) and its split is train. In a
folder of zips, `happy.zip` is a level named happy.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from emocore.corpora.corpus import Corpus
from emocore.corpora.scan import MediaFile, Row
from emocore.errors import UserError, amount
from emocore.labels import EMOTIONS, check_emotions, is_emotion, parse_emotion
from emocore.media.source import MEMBER
from emocore.progress import say

SPLITS = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
    # FER2013 calls its two test sets so; its validation images are taken from Training.
    "publictest": "test",
    "privatetest": "test",
}


def folder_rows(
    files: Sequence[MediaFile],
    mapping: Mapping[str, str] | None = None,
    actor_from: str | None = None,
    known: Sequence[str] = EMOTIONS,
) -> list[Row]:
    """Return LISTING rows: emotion and split from the nearest level that names one, actor by `actor_from`.

    `known`: the set of emotions.
    A file below no known emotion has none. But where emotions stand at some depth, every other level name at that depth
    must be an emotion too: raises UserError that names all others, so that a misspelt folder is not silently left out.
    Raises UserError for a bad `actor_from`.
    """
    actor_of = actor_finder(actor_from)
    folders = Counter(_parent(file.below) for file in files)
    levels = {folder: _levels(folder) for folder in folders}
    names = {name for parts in levels.values() for name in parts}
    emotions = {name: parse_emotion(name, mapping, known) for name in names if is_emotion(name, mapping, known)}
    _check_labels(folders, levels, emotions, known)
    _say_nested(folders, levels, emotions)
    says = {
        folder: {"emotion": _nearest(parts, emotions), "split": _nearest(map(str.lower, parts), SPLITS)}
        for folder, parts in levels.items()
    }
    return [
        {**file.row(), **says[_parent(file.below)], "clip": file.below, "actor": actor_of(file.below)} for file in files
    ]


def parse_split(name: str) -> str:
    """Return train, validation or test for a name in SPLITS, in any case. Raises UserError for any other."""
    split = SPLITS.get(name.strip().lower())
    if split is None:
        raise UserError(f"Unknown split {name!r}: expected one of {', '.join(SPLITS)}.")
    return split


def actor_finder(actor_from: str | None) -> Callable[[str], str | None]:
    """Return the function from a path below the root to the first group of the regular expression, or None.

    Raises UserError where the expression is invalid or has no group.

    >>> actor_finder(r"^([a-z]+)/")("anna/1.wav")
    'anna'
    """
    if actor_from is None:
        return lambda _: None
    try:
        pattern = re.compile(actor_from)
    except re.error as error:
        raise UserError(f"--actor-from {actor_from!r} is not a regular expression: {error}.") from error
    if not pattern.groups:
        raise UserError(f"--actor-from {actor_from!r} has no group: put the actor in parentheses, as in '^([^/]+)/'.")

    def actor_of(below: str) -> str | None:
        match = pattern.search(below)
        return (match[1] or None) if match else None

    return actor_of


def _check_labels(
    files: Mapping[str, int],
    levels: Mapping[str, Sequence[str]],
    emotions: Mapping[str, str],
    known: Sequence[str],
) -> None:
    """Raise UserError for all names that stand at the emotions' depth and are none; `files`: how many a folder has."""
    depths = sorted({depth for parts in levels.values() for depth, name in enumerate(parts) if name in emotions})
    unknown: Counter[str] = Counter()
    for folder, parts in levels.items():
        if not any(name in emotions for name in parts):
            others = [parts[depth] for depth in depths if depth < len(parts) and parts[depth].lower() not in SPLITS]
            unknown.update({others[0]: files[folder]} if others else {})
    ordered = {name: unknown[name] for name in sorted(unknown)}
    check_emotions(
        ordered, None, known, where=" in folders beside those of emotions", or_else=", or --exclude the folder"
    )


def _say_nested(files: Mapping[str, int], levels: Mapping[str, Sequence[str]], emotions: Mapping[str, str]) -> None:
    """Say where two levels name different emotions: the deeper may be a person's name, such as Joy."""
    nested = [
        folder for folder, parts in levels.items() if len({emotions[name] for name in parts if name in emotions}) > 1
    ]
    if nested:
        n = sum(files[folder] for folder in nested)
        say(f"{amount(n, 'file')} below folders of two emotions ({min(nested)!r}): the nearest counts")


def _parent(below: str) -> str:
    return below.rpartition("/")[0]


def _levels(folder: str) -> list[str]:
    mark = ".zip" + MEMBER.rstrip("/")
    levels = [level for level in folder.split("/") if level not in ("", ".")]
    return [level[: -len(mark)] if level.lower().endswith(mark) else level for level in levels]


def _nearest(parts: Iterable[str], known: Mapping[str, str]) -> str | None:
    return next((known[name] for name in reversed(list(parts)) if name in known), None)


FOLDER = Corpus(
    name="folder", rows=lambda files, rules: (folder_rows(files, rules.mapping, rules.actor_from, rules.emotions), [])
)
