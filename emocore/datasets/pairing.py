"""Which clips of several runs are the same performance: by their bytes, else by their take."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from emocore.corpora.catalogue import CORPORA
from emocore.errors import UserError, amount

Key = tuple[str, ...]


@dataclass(frozen=True)
class Paired:
    """Clips that all of m runs answered for: emotions [n], answers [m, n], actors [n], and how many each has beside."""

    truth: NDArray[np.object_]
    answers: NDArray[np.object_]
    actors: list[str | None]
    unpaired: list[int]


def pair_clips(runs: Sequence[pa.Table], names: Sequence[str]) -> Paired:
    """Pair the labelled clips of runs: tables with clip, take, content_id, actor, emotion and predicted.

    Clips of equal bytes are one; so are files of one take, as the sound and the film of it, where each run has one of
    them and the take is more than the clip's own name. Raises UserError where no clip is in all, and where one bears
    different labels.
    """
    tables = [run.to_pylist() for run in runs]
    keys = _keys(tables)
    rows = [dict(zip(own, table, strict=True)) for own, table in zip(keys, tables, strict=True)]
    shared = [key for key in rows[0] if all(key in others for others in rows[1:])]
    if not shared:
        raise UserError(f"{' and '.join(names)} share no labelled clip: compare runs that tested the same recordings.")
    _check_labels(shared, rows, names)
    first = rows[0]
    return Paired(
        truth=np.array([first[key]["emotion"] for key in shared], object),
        answers=np.array([[others[key]["predicted"] for key in shared] for others in rows], object),
        actors=[next((r[key]["actor"] for r in rows if r[key]["actor"]), None) for key in shared],
        unpaired=[len(table) - len(shared) for table in tables],
    )


def _check_labels(shared: Sequence[Key], rows: Sequence[dict[Key, Any]], names: Sequence[str]) -> None:
    for others, name in zip(rows[1:], names[1:], strict=True):
        other = [key for key in shared if others[key]["emotion"] != rows[0][key]["emotion"]]
        if other:
            one, two = rows[0][other[0]], others[other[0]]
            raise UserError(
                f"{amount(len(other), 'clip')} of {names[0]} and {name} have other labels, such as {one['clip']!r}, "
                f"{one['emotion']} and {two['emotion']}: evaluate both with the same --map and --emotions."
            )


def _keys(tables: Sequence[list[dict[str, Any]]]) -> list[list[Key]]:
    """Return a key for each row, the same in all runs for what is the same, and in no run twice."""
    contents = [_by_content(table) for table in tables]
    in_all = set(contents[0]).intersection(*contents[1:])
    return [_by_take(table, keys, in_all) for table, keys in zip(tables, contents, strict=True)]


def _by_content(table: Sequence[dict[str, Any]]) -> list[Key]:
    """Return the content of each row, and which copy it is, in the order of the clips' names."""
    place: Counter[str] = Counter()
    keys: dict[str, Key] = {}
    for row in sorted(table, key=lambda row: str(row["clip"])):
        content = str(row["content_id"] or f"clip {row['clip']}")
        keys[row["clip"]] = ("content", content, str(place[content]))
        place[content] += 1
    return [keys[row["clip"]] for row in table]


def _by_take(table: Sequence[dict[str, Any]], keys: Sequence[Key], in_all: set[Key]) -> list[Key]:
    """Return the take of rows whose content is not in all runs, where the take is known and has no other such row."""
    known = [key not in in_all and _has_take(row) for key, row in zip(keys, table, strict=True)]
    of_take = Counter(row["take"] for row, is_known in zip(table, known, strict=True) if is_known)
    return [
        ("take", row["take"]) if is_known and of_take[row["take"]] == 1 else key
        for row, key, is_known in zip(table, keys, known, strict=True)
    ]


def _has_take(row: dict[str, Any]) -> bool:
    # The take of a clip of one's own is the clip's name, unless somebody says more: two corpora may share such.
    take = row["take"]
    return bool(take) and (take != row["clip"] or any(corpus.is_take(take) for corpus in CORPORA.values()))
