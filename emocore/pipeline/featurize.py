"""Media to feature tables, on many workers."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from emocore.config import FeatureConfig
from emocore.corpus.demo import NOTICE_NAME
from emocore.corpus.listing import Listing
from emocore.features.stage import AUDIO, PLANNED, Sink, featurize_batch, picture_rows
from emocore.media.reading import SOUND_ONLY, Reading
from emocore.models.bundle import versions
from emocore.outputs import output_folder, write_json
from emocore.pipeline import cluster
from emocore.pipeline.journal import JOURNALS, Journal, end_journals
from emocore.pipeline.shards import (
    done_row,
    failure_rows,
    plan_shards,
    run_shards,
    shard_file,
    write_listing_failures,
)
from emocore.schema import CLIPS, FAILURES, PICTURES, SCHEMA_VERSION, read_tables_if_any, table_writer, write_table

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Featurized:
    """What a finished feature folder holds."""

    clips: int
    failures: int
    already_finished: bool


def featurize(
    listing: Listing,
    out: str,
    features: FeatureConfig,
    *,
    mfcc: bool,
    reading: Reading = SOUND_ONLY,
    options: dict[str, Any],
    roots: Sequence[str],
    max_failures: int | None = None,
) -> Featurized:
    """Write the FEATURES folder of a listing, shard by shard; the same call goes on where it stopped."""
    identity = fingerprint(listing)
    config = {
        "command": "featurize",
        "options": options,
        "data": identity,
        "features_hash": features.hash(),
        "schema_version": SCHEMA_VERSION,
    }
    with output_folder(out, config, MANIFEST) as folder:
        if not folder.finished:
            cluster.connect()
            write_listing_failures(listing.failures, folder.path)
            run_shards(
                plan_shards(listing.clips, has_pictures=reading.every is not None),
                folder.path,
                "clips",
                featurize_shard,
                max_failures=max_failures,
                features=features,
                mfcc=mfcc,
                reading=reading,
            )
            end_journals(folder.path)
        counts = _counts(folder.path)
        if not folder.finished:
            manifest = {
                "kind": "features",
                "schema_version": SCHEMA_VERSION,
                "features": features.to_json(),
                "features_hash": features.hash(),
                "fingerprint": identity,
                "seed": options.get("seed", 0),
                "mfcc": mfcc,
                "every": reading.every,
                "synthetic": is_synthetic(roots),
                **counts,
                "versions": versions(),
            }
            write_json(folder.path / MANIFEST, manifest)
        return Featurized(**counts, already_finished=folder.finished)


def featurize_shard(shard: pa.Table, features: FeatureConfig, out: Path, mfcc: bool, reading: Reading) -> pa.Table:
    """Featurize one shard and commit it: its file in clips/ comes last, and says that the others are whole."""
    journal = Journal(shard_file(out / JOURNALS, shard), reading.seconds_per_file)
    with _pictures_file(shard_file(out / "frames", shard), reading.every) as sink:
        table = featurize_batch(shard.select(PLANNED.names), features, reading, journal.guard, sink)
    failures = failure_rows(table, journal.deaths)
    good = table.filter(pc.is_null(table["reason"]))
    heard = good.filter(pc.is_valid(good[AUDIO[0].name]))
    if failures.num_rows:
        write_table(failures, shard_file(out / "failures", shard))
    write_table(heard.select(["clip", *(field.name for field in AUDIO)]), shard_file(out / "audio", shard))
    if mfcc:
        write_table(heard.select(["clip", "frames"]), shard_file(out / "mfcc", shard))
    write_table(good.select(CLIPS.names), shard_file(out / "clips", shard))
    journal.forget()
    return done_row(shard, failures.num_rows)


@contextmanager
def _pictures_file(path: Path, every: int | None) -> Iterator[Sink | None]:
    if every is None:
        yield None
        return
    with table_writer(PICTURES, path) as write:
        yield lambda clip, pictures: write(picture_rows(clip, pictures))


def fingerprint(listing: Listing) -> str:
    """Return 16 hexadecimal digits over every path and size, in order."""
    digest = hashlib.sha256()
    for path, size in zip(listing.clips["path"].to_pylist(), listing.clips["bytes"].to_pylist(), strict=True):
        digest.update(f"{path}\0{size}\0".encode())
    for path in listing.failures["path"].to_pylist():
        digest.update(f"{path}\0".encode())
    return digest.hexdigest()[:16]


def is_synthetic(roots: Sequence[str]) -> bool:
    """Whether any of the corpora says of itself that it is generated."""
    return any((Path(root) / NOTICE_NAME).exists() for root in roots)


def _counts(out: Path) -> dict[str, int]:
    return {
        "clips": read_tables_if_any(out / "clips", pa.schema([CLIPS.field("clip")])).num_rows,
        "failures": read_tables_if_any(out / "failures", FAILURES).num_rows,
    }
