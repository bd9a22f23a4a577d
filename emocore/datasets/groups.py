"""Who must not stand on both sides of a split: actors, or what the user names instead."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from emocore.corpora.catalogue import CORPORA
from emocore.corpora.folder import actor_finder
from emocore.corpora.segments import fragment_of
from emocore.errors import UserError

TAKE = "take "  # begins the group of a clip whose group is unknown, which keeps a take named "01" apart from actor 01
_PEOPLE = re.compile(
    r"speaker|spk|actor|actress|subject|person|people|participant|performer|talker|singer|client|patient|pupil|user"
    r"|(?<![a-z])(who|name)(?![a-z])",
    re.IGNORECASE,
)


class Groups(NamedTuple):
    """The group of every clip, and whether all of them are known."""

    values: npt.NDArray[np.object_]  # str
    known: bool  # False: a clip of no known group is a group of its own, named by its take
    column: str  # actor, or the column that the user named


def groups(clips: pa.Table, group_column: str | None = None, actor_from: str | None = None) -> Groups:
    """Return the groups of a table with CLIPS or LISTING columns: actors unless another column is named.

    `group_column` is a column or a key of `extra`, where clip means that nobody is known, and only takes and copies
    stay together; `actor_from` a regular expression on the path below the root (where `clip` holds it, else the whole
    path) whose first group is the actor. Actors "1" and "01" are one. Raises UserError for an unknown column, a bad
    expression, or both at once.
    """
    if group_column is not None and actor_from is not None:
        raise UserError(f"--group-column {group_column!r} and --actor-from {actor_from!r} both name groups: give one.")
    column = group_column or "actor"
    takes = clips["take"].to_pylist()
    if column == "clip":  # files of one take, and copies, stay together
        return Groups(np.array(takes, object), known=False, column=column)
    names = actors_in_paths(clips, actor_from) if actor_from is not None else _column(clips, column)
    if column == "actor":
        names = [_actor(name) for name in names]
    values = np.empty(clips.num_rows, object)
    values[:] = [f"{TAKE}{take}" if name is None else name for name, take in zip(names, takes, strict=True)]
    return Groups(values, None not in names, column)


def tell_apart(clips: pa.Table) -> pa.Table:
    """Return the clips with actors of one name in several published corpora told apart: "ravdess 03", "emo-db 03".

    Names in folders and manifests of one's own stay as they are: who has one name there may be one person.
    """
    corpora, actors = clips["corpus"].to_pylist(), [_actor(name) for name in clips["actor"].to_pylist()]
    published = {name for name, corpus in CORPORA.items() if corpus.is_published}
    pairs = {(actor, corpus) for actor, corpus in zip(actors, corpora, strict=True) if actor and corpus in published}
    of_several = Counter(actor for actor, _ in pairs)
    names = [
        f"{corpus} {actor}" if actor and of_several[actor] > 1 and corpus in published else name
        for name, actor, corpus in zip(clips["actor"].to_pylist(), actors, corpora, strict=True)
    ]
    place = clips.schema.get_field_index("actor")
    return clips.set_column(place, clips.schema.field(place), pa.array(names, pa.string()))


def actors_in_paths(clips: pa.Table, actor_from: str) -> list[str | None]:
    """Return what the first group of a regular expression finds in each clip's path. Raises UserError for a bad one."""
    find = actor_finder(actor_from)
    pairs = zip(clips["clip"].to_pylist(), clips["path"].to_pylist(), map(fragment_of, _segments(clips)), strict=True)
    return [find(_below(clip, path).removesuffix(fragment)) for clip, path, fragment in pairs]


def _segments(clips: pa.Table) -> list[dict[str, float | None]]:
    columns = [name for name in ("segment_start_seconds", "segment_end_seconds") if name in clips.column_names]
    rows: list[dict[str, float | None]] = clips.select(columns).to_pylist() if columns else [{}] * clips.num_rows
    return rows


def archives(clips: pa.Table) -> npt.NDArray[np.object_]:
    """Return the archive of each clip: its corpus, and of clips of none one for all."""
    values = np.empty(clips.num_rows, object)
    values[:] = [name or "all" for name in _column(clips, "corpus")] if "corpus" in _choices(clips) else "all"
    return values


def columns_of_people(clips: pa.Table) -> list[str]:
    """Return the columns, but `actor`, whose names look like people: speaker, subject_id, SpeakerID, spk."""
    return [name for name in _choices(clips) if name != "actor" and _PEOPLE.search(name)]


def genders(clips: pa.Table, values: npt.NDArray[np.object_]) -> dict[str, str]:
    """Return each group's gender: that of its first clip that has one, else ""."""
    found: dict[str, str] = {}
    for group, gender in zip(values, clips["gender"].to_pylist(), strict=True):
        found[group] = found.get(group) or gender or ""
    return found


def spread(values: Sequence[str], gender: dict[str, str], n: int, seed: int) -> dict[str, int]:
    """Deal groups to n folds, balanced by gender and by size; the seed decides between equals.

    `values` holds the group of every clip. The largest group first, each goes where its gender has the fewest
    clips, of these to the smallest fold.
    """
    names, sizes = np.unique(np.asarray(values, str), return_counts=True)
    order = np.random.default_rng(seed).permutation(len(names))
    order = order[np.argsort(-sizes[order], kind="stable")]
    total = [0] * n
    by_gender: dict[str, list[int]] = {}
    fold_of: dict[str, int] = {}
    for index in order:
        name, size = str(names[index]), int(sizes[index])
        mine = by_gender.setdefault(gender.get(name, ""), [0] * n)
        fold = min(range(n), key=lambda k: (mine[k], total[k], k))
        fold_of[name] = fold
        mine[fold] += size
        total[fold] += size
    return fold_of


def _column(clips: pa.Table, column: str) -> list[str | None]:
    """Return the values of a column; where it has none, what a manifest says under that name in `extra`."""
    typed, told = [""] * clips.num_rows, [""] * clips.num_rows
    is_column = column in clips.column_names and _is_plain(clips.schema.field(column).type)
    if is_column:
        typed = clips[column].cast(pa.string()).to_pylist()
    if "extra" in clips.column_names:
        told = pc.map_lookup(clips["extra"], pa.scalar(column), "first").to_pylist()
    if not is_column and not any(told):
        raise UserError(f"No clip has a column {column!r} to group by: expected one of {', '.join(_choices(clips))}.")
    return [one or other or None for one, other in zip(typed, told, strict=True)]


def _choices(clips: pa.Table) -> list[str]:
    plain = [field.name for field in clips.schema if _is_plain(field.type)]
    maps = clips["extra"].to_pylist() if "extra" in clips.column_names else []
    return plain + sorted({key for pairs in maps for key, _ in pairs or ()})


def _is_plain(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_integer(kind) or pa.types.is_dictionary(kind))


def _actor(name: str | None) -> str | None:
    name = (name or "").strip()
    return (f"{int(name):02d}" if name.isascii() and name.isdigit() else name) or None


def _below(clip: str, path: str) -> str:
    # In a labelled folder the clip is the path below the root, and perhaps "@" and what made it unique.
    while clip and not path.endswith(clip):
        clip = clip.rpartition("@")[0]
    return clip or path
