"""The kinds of annotation files by suffix, and their rows. A new kind is one line here and one file."""

from collections import Counter
from collections.abc import Sequence
from os.path import exists, isdir, splitext
from pathlib import Path

from emocore.corpora.annotations import audformat_tables, eaf, rttm, textgrid
from emocore.corpora.annotations.interval import Interval, Read, Tiers
from emocore.corpora.corpus import Corpus, LabelRules
from emocore.corpora.manifest import rows_of, unlabelled
from emocore.corpora.scan import Row
from emocore.errors import UserError, amount
from emocore.labels import is_emotion
from emocore.progress import say

READERS: dict[str, Read] = {
    ".rttm": rttm.read,
    ".eaf": eaf.read,
    ".textgrid": textgrid.read,
}
_MOST_TOLD = 8


def reader_of(root: str) -> Read | None:
    """Return what reads a file of annotations, or the folder of a database of them; None where it is neither."""
    if isdir(root):  # noqa: PTH112 - as `scan` asks
        return audformat_tables.read if exists(f"{root}/{audformat_tables.HEADER}") else None  # noqa: PTH110 - as above
    return READERS.get(splitext(root)[1].lower())  # noqa: PTH122 - as above


def annotated_rows(root: str, rules: LabelRules) -> tuple[list[Row], list[Row]]:
    """Return LISTING rows for the segments of annotations, and FAILURES rows for those whose media are missing.

    A text that is an emotion is the segment's; any other goes to `extra`, as does the tier's name where several are
    meant. Raises UserError as the readers and `rows_of`, and where it is not plain which of several tiers is meant.
    """
    told, others, n = {}, Counter[str](), 0
    chosen = _chosen(root, rules)
    several = len({tier for _, tier, _ in chosen}) > 1
    for where, tier, one in chosen:
        is_known = is_emotion(one.text, rules.mapping, rules.emotions) if one.text.strip() else False
        n += is_known
        others.update([] if is_known or not one.text.strip() else [one.text.strip()])
        label = {"emotion": one.text.strip()} if is_known else {"label": one.text.strip()}
        told[where] = {**_place(one), **one.told, **label, **({"tier": tier} if several else {})}
    if others:
        words = ", ".join(f"{word[:40]!r} ({k:,})" for word, k in others.most_common(_MOST_TOLD))
        say(f"{root}: {amount(n, 'label')} of emotions, {others.total():,} others, taken as none: {words}")
    return rows_of(_root_file(root), told, rules)


def segment_rows(root: str, tiers: Sequence[str] = ()) -> tuple[list[Row], list[Row]]:
    """Return unlabelled LISTING rows for the segments of annotations, and FAILURES rows. Raises UserError as above."""
    told = {where: _place(one) for where, _, one in _chosen(root, LabelRules(tiers=tuple(tiers)))}
    return unlabelled(_root_file(root), told)


def _chosen(root: str, rules: LabelRules) -> list[tuple[str, str, Interval]]:
    """Return the intervals of the tiers that are meant, each with where it stands, and its tier."""
    read = reader_of(root)
    assert read
    tiers = {name: intervals for name, intervals in read(root).items() if intervals}
    if not tiers:
        raise UserError(f"{root!r} holds no segments: expected annotations of stretches of media.")
    return [
        (f"{root!r}, {name!r} {number}", name, one)
        for name in _names(root, tiers, rules)
        for number, one in enumerate(tiers[name], 1)
    ]


def _names(root: str, tiers: Tiers, rules: LabelRules) -> list[str]:
    there = ", ".join(map(repr, tiers))
    asked = [name for name in tiers if name in rules.tiers]
    if rules.tiers and not asked:
        raise UserError(f"--tier {' '.join(rules.tiers)}: {root!r} has none of that name, only {there}: name one.")
    if asked or len(tiers) == 1:
        return asked or list(tiers)
    emotional = [
        name
        for name, intervals in tiers.items()
        if any(one.text.strip() and is_emotion(one.text, rules.mapping, rules.emotions) for one in intervals)
    ]
    if len(emotional) != 1:
        raise UserError(f"{root!r} has several tiers, {there}: say which are meant (--tier NAME …).")
    return emotional


def _place(one: Interval) -> dict[str, str]:
    ends = "" if one.end_seconds is None else repr(one.end_seconds)
    return {"path": one.media, "start_seconds": repr(one.start_seconds), "end_seconds": ends}


def _root_file(root: str) -> str:
    """Return the file in whose folder relative paths begin."""
    return str(Path(root) / audformat_tables.HEADER) if isdir(root) else root  # noqa: PTH112 - as above


ANNOTATIONS = Corpus(name="annotations", rows=lambda files, rules: annotated_rows(files[0].path, rules))
