"""Any labelled folder or zip: the names of its levels are the labels.

`root/train/Happy/anna/1.wav` is happy (the nearest level that `labels` knows) and its split is train. In a
folder of zips, `happy.zip` is a level named happy.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from emocore.corpora.scan import MediaFile, Row
from emocore.errors import UserError
from emocore.labels import EMOTIONS, is_emotion, parse_emotion
from emocore.media.source import MEMBER

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
    files: Sequence[MediaFile], mapping: Mapping[str, str] | None = None, actor_from: str | None = None
) -> list[Row]:
    """Return LISTING rows: emotion and split from the nearest level that names one, actor by `actor_from`.

    A file below no known emotion has none. But where emotions stand at some depth, every other level name at
    that depth must be an emotion too: raises UserError for the first that is not, in path order, so that a
    misspelt folder is not silently left out. Raises UserError for a bad `actor_from`.
    """
    actor_of = actor_finder(actor_from)
    levels = {folder: _levels(folder) for folder in dict.fromkeys(_parent(file.below) for file in files)}
    names = {name for parts in levels.values() for name in parts}
    emotions = {name: parse_emotion(name, mapping) for name in names if is_emotion(name, mapping)}
    _check_labels(levels, emotions)
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


def _check_labels(levels: Mapping[str, Sequence[str]], emotions: Mapping[str, str]) -> None:
    depths = sorted({depth for parts in levels.values() for depth, name in enumerate(parts) if name in emotions})
    for folder in sorted(levels):
        parts = levels[folder]
        if any(name in emotions for name in parts):
            continue
        unknown = [parts[depth] for depth in depths if depth < len(parts) and parts[depth].lower() not in SPLITS]
        if unknown:
            raise UserError(
                f"Unknown emotion {unknown[0]!r} of folder {folder!r}, where others are named by emotion: "
                f"expected one of {', '.join(EMOTIONS)}, or a mapping for it (--map {unknown[0]}=EMOTION), "
                f"or no media in it."
            )


def _parent(below: str) -> str:
    return below.rpartition("/")[0]


def _levels(folder: str) -> list[str]:
    mark = ".zip" + MEMBER.rstrip("/")
    levels = [level for level in folder.split("/") if level not in ("", ".")]
    return [level[: -len(mark)] if level.lower().endswith(mark) else level for level in levels]


def _nearest(parts: Iterable[str], known: Mapping[str, str]) -> str | None:
    return next((known[name] for name in reversed(list(parts)) if name in known), None)
