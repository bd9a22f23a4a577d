"""What the database of an archive gives away: files to work on, rows to carry, and how much of each."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from emocore.corpora.scan import Row
from emocore.labels import EMOTIONS
from emocore.schema import LISTING

NO_VOTE = [0.0] * len(EMOTIONS)
LISTED = [name for name in LISTING.names if name not in ("path", "bytes")]


class Planned(NamedTuple):
    """A file to work on: its LISTING row, the path of its first copy, how often it failed before, its content id."""

    row: Row
    duplicate_of: str | None
    attempts: int
    content_id: str | None = None  # where its bytes were compared


class Carry(NamedTuple):
    """A path whose rows are made from those of equal bytes: in this shard, from those of `source` in another one."""

    shard: int
    row: Row
    duplicate_of: str | None
    source: str
    source_shard: int


class Changes(NamedTuple):
    """How many files are new or changed, have rows from equal bytes, and are gone."""

    to_do: int
    carried: int
    gone: int


def to_listing(row: Mapping[str, Any]) -> str:
    """Return what is known of a file beside its path and size, as JSON."""
    told: dict[str, Any] = {name: row[name] for name in LISTED if row.get(name) is not None}
    if "soft_label" in told:
        told["soft_label"] = [float(share) for share in told["soft_label"]]
    return json.dumps(told, ensure_ascii=False)


def from_listing(path: str, size: int, listing: str) -> Row:
    """Return the LISTING row of a file."""
    row = json.loads(listing)
    if "extra" in row:
        row["extra"] = [(name, value) for name, value in row["extra"]]
    return {**row, "path": path, "bytes": size, "soft_label": np.array(row.get("soft_label", NO_VOTE), np.float32)}
