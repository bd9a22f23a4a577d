"""What a corpus or an archive holds, before any file is opened: clips with labels, and failures."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from emocore.corpora.annotations.catalogue import ANNOTATIONS, READERS, reader_of, segment_rows
from emocore.corpora.catalogue import AUTO, CORPORA, find_corpus
from emocore.corpora.corpus import Corpus, LabelRules
from emocore.corpora.fer2013 import FER2013, is_table_of_pictures, pictures_in
from emocore.corpora.folder import actor_finder
from emocore.corpora.leave_out import LeaveOut, Unlisted, without
from emocore.corpora.manifest import MANIFEST, MANIFEST_SUFFIXES, is_manifest, media_rows
from emocore.corpora.recognize import of_corpus, read_names
from emocore.corpora.scan import MediaFile, Row, check_root, is_folder, is_media, is_zip, media_suffixes, scan, walk
from emocore.corpora.segments import fragment_of
from emocore.errors import UserError, amount
from emocore.labels import EMOTIONS, check_emotions, parse_emotion
from emocore.progress import say
from emocore.schema import FAILURES, LISTING, of_emotions, rows_to_table

_SUFFIXES = f"{', '.join(MANIFEST_SUFFIXES[:-1])} or {MANIFEST_SUFFIXES[-1]}"
_ANNOTATIONS = f"annotations ({', '.join(READERS)}, a database of audformat)"
_CORPUS = f"a folder, a zip, a manifest ({_SUFFIXES}), or {_ANNOTATIONS}"
_MEDIA = f"a folder, a zip, a media file, a manifest ({_SUFFIXES}), or {_ANNOTATIONS}"

_NO = {
    MANIFEST: f"no manifest: expected a file ending in {_SUFFIXES}",
    ANNOTATIONS: f"no {_ANNOTATIONS}",
    FER2013: "no table of pictures: expected a CSV with the columns emotion, pixels and Usage",
}


@dataclass(frozen=True)
class Listing:
    """The clips (schema.LISTING) in path order, what could not be listed (schema.FAILURES), and what was not."""

    clips: pa.Table
    failures: pa.Table
    unlisted: Unlisted = field(default_factory=Unlisted)
    emotions: tuple[str, ...] = EMOTIONS  # that the clips are labelled with


def list_corpora(
    roots: Sequence[str | Path],
    *,
    kind: str = AUTO,
    mapping: Mapping[str, str] | None = None,
    actor_from: str | None = None,
    stills: bool = False,
    exclude: Sequence[str] = (),
    no_follow: bool = False,
    emotions: tuple[str, ...] = EMOTIONS,
    tiers: tuple[str, ...] = (),
) -> Listing:
    """List corpora as one: folders, zips, folders of zips, CSV or Parquet manifests, or annotations.

    `kind` is the name of a corpus (`catalogue.find_corpus`); auto takes a manifest and annotations by their suffix, a
    corpus of the catalogue where half of the names have its shape, else a labelled folder. `tiers`: which of
    annotations are meant, where there are several. `mapping` (label → emotion) is asked
    before the built-in names; `actor_from` is a regular expression on the path below the root whose first group is the
    actor, where the corpus itself does not say. With `stills` images are media too; a manifest's files are listed
    whatever they are. Clips of emotions that are not among `emotions` are unlabelled. What `exclude` (globs) and
    `leave_out` name is not listed, nor with `no_follow` what links lead to; a line says so of each. A file reached
    twice is the first root's.

    Raises UserError for a root that does not exist or holds no media, for names that only a part of the files bear
    where nothing else labels them, and for what `folder_rows` and `manifest_rows` refuse.
    """
    _check_mapping(mapping or {}, emotions)
    actor_finder(actor_from)
    corpus = None if kind == AUTO else find_corpus(kind)
    leave_out = LeaveOut(exclude, no_follow=no_follow)
    rules = LabelRules(mapping, actor_from, emotions, tiers)
    listing = _join(
        {check_root(root, _CORPUS): None for root in roots},
        lambda root: _rows(root, corpus, rules, stills, leave_out),
        emotions,
    )
    _say(leave_out)
    return replace(listing, unlisted=leave_out.unlisted)


def check_media(roots: Sequence[str | Path], *, stills: bool = False) -> None:
    """Raise UserError for a root that does not exist, or is none of an archive's kinds."""
    for root in roots:
        if not _list_kind(found := check_root(root, _MEDIA)):
            _check_kind(found, _MEDIA, stills)


def walk_media(
    roots: Sequence[str | Path],
    failures: list[Row],
    *,
    stills: bool = False,
    leave_out: LeaveOut | None = None,
    tiers: Sequence[str] = (),
) -> Iterator[tuple[Row, Iterator[str]]]:
    """Yield an archive's rows, one at a time, each with the names that its clip may have; nothing is asked of names.

    A root is a folder, a zip, a media file, a manifest, or annotations (of which `tiers`); with `stills` images are
    media too. What cannot be listed
    is appended to `failures` as FAILURES rows; what is not listed is counted in `leave_out.unlisted`, and what was left
    out told at the end. Raises UserError for a root that does not exist or holds no media.
    """
    leave_out = leave_out or LeaveOut()
    for root in {check_root(root, _MEDIA): None for root in roots}:
        before, is_empty = len(failures), True
        for row in _walk_root(root, failures, stills, leave_out, tiers):
            is_empty = False
            yield row, _clip_names(row)
        if is_empty and len(failures) == before:
            raise _no_media(root, stills)
    _say(leave_out)


def _walk_root(
    root: str, failures: list[Row], stills: bool, leave_out: LeaveOut, tiers: Sequence[str]
) -> Iterator[Row]:
    if kind := _list_kind(root):
        if kind is FER2013:
            rows, failed = pictures_in(root)
        else:
            rows, failed = media_rows(root) if kind is MANIFEST else segment_rows(root, tiers)
        failures += failed
        yield from without(rows, leave_out)
        return
    _check_kind(root, _MEDIA, stills)
    for item in walk(root, stills, leave_out):
        if isinstance(item, dict):
            failures.append(item)
        else:
            yield {**item.row(), "clip": item.below}


def _rows(
    root: str, corpus: Corpus | None, rules: LabelRules, stills: bool, leave_out: LeaveOut
) -> tuple[list[Row], list[Row]]:
    kind = _list_kind(root)
    if corpus in _NO and kind is not corpus:
        raise UserError(f"{root!r} is {_NO[corpus]}.")
    if kind and corpus in (None, kind):
        rows, failures = kind.rows([MediaFile(root, root, 0, root)], rules)
        return of_corpus(kind, root, without(rows, leave_out)), failures
    files, failures = _scan(root, stills, leave_out)
    corpus, rows, bad = read_names(root, files, rules, corpus)
    return of_corpus(corpus, root, rows), failures + bad


def _scan(root: str, stills: bool, leave_out: LeaveOut) -> tuple[list[MediaFile], list[Row]]:
    _check_kind(root, _CORPUS, stills)
    files, failures = scan(root, stills, leave_out)
    if not files and not failures:
        raise _no_media(root, stills)
    return files, failures


def _say(leave_out: LeaveOut) -> None:
    for line in leave_out.unlisted.lines():
        say(line)


def _check_kind(root: str, expected: str, stills: bool) -> None:
    if not (is_folder(root) or is_zip(root) or is_media(root, stills)):
        suffixes = ", ".join(sorted(media_suffixes(stills)))
        raise UserError(f"{root!r} is none of these: expected {expected}; media end in {suffixes}.")


def _no_media(root: str, stills: bool) -> UserError:
    suffixes = ", ".join(sorted(media_suffixes(stills)))
    return UserError(f"{root!r} holds no media: expected files ending in {suffixes}, or zips of them.")


def _check_mapping(mapping: Mapping[str, str], emotions: Sequence[str]) -> None:
    for label, emotion in mapping.items():
        if parse_emotion(emotion, None, emotions) not in emotions:
            raise UserError(
                f"--map {label}={emotion}: {emotion} is not among {', '.join(emotions)}: add it to --emotions."
            )


def _join(
    roots: Iterable[str], read: Callable[[str], tuple[list[Row], list[Row]]], emotions: tuple[str, ...]
) -> Listing:
    rows: dict[str, Row] = {}
    failures: dict[tuple[str, str], Row] = {}
    take_root: dict[str, str] = {}
    for root in roots:
        found, failed = read(root)
        _part_takes(found, root, take_root)
        for row in found:
            rows.setdefault(row["real"], row)
        for row in failed:
            failures.setdefault((row["path"], row["reason"]), row)
    ordered = sorted(rows.values(), key=_path)
    _name_clips(ordered)
    _label(ordered, emotions)
    clips = rows_to_table(ordered, of_emotions(LISTING, emotions))
    return Listing(clips, failure_table(failures.values()), emotions=emotions)


def failure_table(rows: Iterable[Row]) -> pa.Table:
    """Return FAILURES rows as a table, in path order, each once."""
    known = {(row["path"], row["reason"]): row for row in rows}
    return rows_to_table(sorted(known.values(), key=_path), FAILURES)


def _part_takes(rows: Iterable[Row], root: str, take_root: dict[str, str]) -> None:
    # Two manifests may both count takes from 1. A published take is the same performance in whatever corpus.
    for row in rows:
        take = row.get("take")
        if (
            take
            and not any(corpus.is_take(take) for corpus in CORPORA.values())
            and take_root.setdefault(take, root) != root
        ):
            row["take"] = f"{take}@{root}"


def _name_clips(rows: Sequence[Row]) -> None:
    """Give each row a name of its own; the segments of a file are of one take, as is the whole of it."""
    used: set[str] = set()
    of_files = {_whole(row) for row in rows if fragment_of(row)}
    for row in rows:
        row["clip"] = next(name for name in _clip_names(row) if name not in used)
        used.add(row["clip"])
        row["take"] = row.get("take") or (_whole(row) if _whole(row) in of_files else row["clip"])


def _whole(row: Row) -> str:
    return str(row["real"]).removesuffix(fragment_of(row))


def _label(rows: Iterable[Row], emotions: Sequence[str]) -> None:
    """Give each row its soft label, by the raters' votes where it has them; other emotions than these are none.

    Raises UserError for an emotion that is none of ours, which a corpus of one's own may say.
    """
    one_hot = dict(zip(emotions, np.eye(len(emotions), dtype=np.float32), strict=True))
    no_vote = np.zeros(len(emotions), np.float32)
    others: Counter[str] = Counter()
    for row in rows:
        emotion = row.get("emotion")
        if emotion and emotion not in one_hot:
            others[emotion] += 1
            row["emotion"] = None
        row.setdefault("soft_label", one_hot.get(emotion or "", no_vote))
    check_emotions(others, None, emotions)
    if others:
        told = ", ".join(f"{name} ({n:,})" for name, n in others.most_common())
        say(f"{amount(others.total(), 'file')} of other emotions than the set's, taken as unlabelled: {told}")


def _clip_names(row: Row) -> Iterator[str]:
    clip, path = row["clip"], row["path"]
    yield clip
    if folder := _parent(row["below"]):
        yield f"{clip}@{folder}"
    yield f"{clip}@{_parent(path)}"
    yield f"{clip}@{path}"
    yield from (f"{clip}@{path}#{number}" for number in count(2))


def _list_kind(root: str) -> Corpus | None:
    """Return what reads a root that lists clips itself; None for a folder, a zip or a media file."""
    if is_table_of_pictures(root):
        return FER2013
    if is_manifest(root) and not is_folder(root):
        return MANIFEST
    return ANNOTATIONS if reader_of(root) else None


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def _path(row: Mapping[str, Any]) -> str:
    return str(row["path"])
