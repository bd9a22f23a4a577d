"""What a corpus or an archive holds, before any file is opened: clips with labels, and failures."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from emocore.corpora.folder import actor_finder, folder_rows
from emocore.corpora.manifest import MANIFEST_SUFFIXES, is_manifest, manifest_rows, media_rows
from emocore.corpora.ravdess import is_ravdess_name, ravdess_rows
from emocore.corpora.scan import MediaFile, Row, check_root, is_folder, is_media, is_zip, media_suffixes, scan, walk
from emocore.errors import UserError
from emocore.labels import EMOTIONS, parse_emotion
from emocore.schema import FAILURES, LISTING, rows_to_table

Kind = Literal["auto", "ravdess", "folder", "manifest"]

_CORPUS = f"a folder, a zip, or a manifest ({' or '.join(MANIFEST_SUFFIXES)})"
_MEDIA = f"a folder, a zip, a media file, or a manifest ({' or '.join(MANIFEST_SUFFIXES)})"
_ONE_HOT = dict(zip(EMOTIONS, np.eye(len(EMOTIONS), dtype=np.float32), strict=True))
_NO_VOTE = np.zeros(len(EMOTIONS), np.float32)


@dataclass(frozen=True)
class Listing:
    """The clips (schema.LISTING) in path order, and what could not be listed (schema.FAILURES)."""

    clips: pa.Table
    failures: pa.Table


def list_corpus(
    root: str | Path,
    *,
    kind: Kind = "auto",
    mapping: Mapping[str, str] | None = None,
    actor_from: str | None = None,
    stills: bool = False,
) -> Listing:
    """List one corpus: a folder, a zip, a folder of zips, or a CSV or Parquet manifest.

    `kind` auto takes a manifest by its suffix, RAVDESS where any name has its shape, else a labelled folder.
    `mapping` (label → emotion) is asked before the built-in names; `actor_from` is a regular expression on
    the path below the root whose first group is the actor, where the corpus itself does not say. With `stills`
    images are media too; a manifest's files are listed whatever they are. Raises UserError for a root that does not
    exist or holds no media, and for what `folder_rows` and `manifest_rows` refuse.
    """
    return list_corpora([root], kind=kind, mapping=mapping, actor_from=actor_from, stills=stills)


def list_corpora(
    roots: Sequence[str | Path],
    *,
    kind: Kind = "auto",
    mapping: Mapping[str, str] | None = None,
    actor_from: str | None = None,
    stills: bool = False,
) -> Listing:
    """List several corpora as one; a file reached twice is the first root's. Raises as `list_corpus`."""
    for emotion in (mapping or {}).values():
        parse_emotion(emotion)
    actor_finder(actor_from)
    return _join(
        {check_root(root, _CORPUS): None for root in roots},
        lambda root: _rows(root, kind, mapping, actor_from, stills),
    )


def list_media(roots: Sequence[str | Path], *, stills: bool = False) -> Listing:
    """List an archive to be labelled: nothing is asked of its names, and every clip is unlabelled.

    A root is a folder, a zip, a media file, or a manifest; with `stills` images are media too. Raises UserError for one
    that does not exist or holds no media.
    """
    return _join({check_root(root, _MEDIA): None for root in roots}, lambda root: _media_rows(root, stills))


def check_media(roots: Sequence[str | Path], *, stills: bool = False) -> None:
    """Raise UserError for a root that does not exist, or is none of an archive's kinds."""
    for root in roots:
        if not _is_manifest_file(found := check_root(root, _MEDIA)):
            _check_kind(found, _MEDIA, stills)


def walk_media(
    roots: Sequence[str | Path], failures: list[Row], *, stills: bool = False, passed_over: Counter[str] | None = None
) -> Iterator[tuple[Row, Iterator[str]]]:
    """Yield an archive's rows as `list_media` lists them, one at a time, each with the names that its clip may have.

    What cannot be listed is appended to `failures` as FAILURES rows, and what is no media by its suffix counted in
    `passed_over`. Raises as `list_media`.
    """
    for root in {check_root(root, _MEDIA): None for root in roots}:
        before, is_empty = len(failures), True
        for row in _walk_root(root, failures, stills, passed_over):
            is_empty = False
            yield row, _clip_names(row)
        if is_empty and len(failures) == before:
            raise _no_media(root, stills)


def _walk_root(root: str, failures: list[Row], stills: bool, passed_over: Counter[str] | None) -> Iterator[Row]:
    if _is_manifest_file(root):
        rows, failed = media_rows(root)
        failures += failed
        yield from rows
        return
    _check_kind(root, _MEDIA, stills)
    for item in walk(root, stills, passed_over):
        if isinstance(item, dict):
            failures.append(item)
        else:
            yield {**item.row(), "clip": item.below}


def _rows(
    root: str, kind: Kind, mapping: Mapping[str, str] | None, actor_from: str | None, stills: bool
) -> tuple[list[Row], list[Row]]:
    if kind == "manifest" or (kind == "auto" and _is_manifest_file(root)):
        if not _is_manifest_file(root):
            raise UserError(f"{root!r} is no manifest: expected a file ending in {' or '.join(MANIFEST_SUFFIXES)}.")
        return manifest_rows(root, mapping, actor_from)
    files, failures = _scan(root, _CORPUS, stills)
    named = sum(is_ravdess_name(_stem(file.below)) for file in files)
    if kind == "ravdess" or (kind == "auto" and 2 * named >= len(files) > 0):
        rows, bad = ravdess_rows(files)
        return rows, failures + bad
    return folder_rows(files, mapping, actor_from), failures


def _media_rows(root: str, stills: bool) -> tuple[list[Row], list[Row]]:
    if _is_manifest_file(root):
        return media_rows(root)
    files, failures = _scan(root, _MEDIA, stills)
    return [{**file.row(), "clip": file.below} for file in files], failures


def _scan(root: str, expected: str, stills: bool) -> tuple[list[MediaFile], list[Row]]:
    _check_kind(root, expected, stills)
    files, failures = scan(root, stills)
    if not files and not failures:
        raise _no_media(root, stills)
    return files, failures


def _check_kind(root: str, expected: str, stills: bool) -> None:
    if not (is_folder(root) or is_zip(root) or is_media(root, stills)):
        suffixes = ", ".join(sorted(media_suffixes(stills)))
        raise UserError(f"{root!r} is none of these: expected {expected}; media end in {suffixes}.")


def _no_media(root: str, stills: bool) -> UserError:
    suffixes = ", ".join(sorted(media_suffixes(stills)))
    return UserError(f"{root!r} holds no media: expected files ending in {suffixes}, or zips of them.")


def _join(roots: Iterable[str], read: Callable[[str], tuple[list[Row], list[Row]]]) -> Listing:
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
    return Listing(
        rows_to_table(ordered, LISTING),
        failure_table(failures.values()),
    )


def failure_table(rows: Iterable[Row]) -> pa.Table:
    """Return FAILURES rows as a table, in path order, each once."""
    known = {(row["path"], row["reason"]): row for row in rows}
    return rows_to_table(sorted(known.values(), key=_path), FAILURES)


def _part_takes(rows: Iterable[Row], root: str, take_root: dict[str, str]) -> None:
    # Two manifests may both count takes from 1. A RAVDESS take is the same performance in whatever corpus.
    for row in rows:
        take = row.get("take")
        if take and not is_ravdess_name(f"03-{take}") and take_root.setdefault(take, root) != root:
            row["take"] = f"{take}@{root}"


def _name_clips(rows: Iterable[Row]) -> None:
    used: set[str] = set()
    for row in rows:
        row["clip"] = next(name for name in _clip_names(row) if name not in used)
        used.add(row["clip"])
        row["take"] = row.get("take") or row["clip"]
        row.setdefault("soft_label", _ONE_HOT.get(row.get("emotion") or "", _NO_VOTE))


def _clip_names(row: Row) -> Iterator[str]:
    clip, path = row["clip"], row["path"]
    yield clip
    if folder := _parent(row["below"]):
        yield f"{clip}@{folder}"
    yield f"{clip}@{_parent(path)}"
    yield f"{clip}@{path}"
    yield from (f"{clip}@{path}#{number}" for number in count(2))


def _is_manifest_file(root: str) -> bool:
    return is_manifest(root) and not is_folder(root)


def _stem(below: str) -> str:
    return below.rpartition("/")[2].rpartition(".")[0]


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def _path(row: Mapping[str, Any]) -> str:
    return str(row["path"])
