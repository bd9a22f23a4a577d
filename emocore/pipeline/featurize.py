"""Media to feature tables, on many workers."""

import hashlib
import io
import itertools
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from emocore.config import FeatureConfig
from emocore.corpus.demo import NOTICE_NAME
from emocore.corpus.listing import Listing
from emocore.examples import MANIFEST
from emocore.features.stage import AUDIO, PLANNED, Sink, featurize_batch, picture_rows
from emocore.media.pictures import Picture
from emocore.media.reading import SOUND_ONLY, Reading
from emocore.media.source import split_member
from emocore.models.bundle import versions
from emocore.outputs import output_folder, write_json
from emocore.pipeline import cluster
from emocore.pipeline.planning import load_or_plan
from emocore.pipeline.shards import (
    done_row,
    failure_rows,
    open_journal,
    run_shards,
    shard_file,
    write_failures,
    write_listing_failures,
)
from emocore.schema import CLIPS, SCHEMA_VERSION, count_rows, pictures_schema, table_writer, write_table

_BYTES_AT_ONCE = 2**23  # of pictures: they are copied, twice


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
    max_failures: int | None = None,
) -> Featurized:
    """Write the FEATURES folder of a listing, shard by shard; the same call goes on where it stopped."""
    config = {
        "command": "featurize",
        "options": options,
        "data": fingerprint(listing),
        "features_hash": features.hash(),
        "schema_version": SCHEMA_VERSION,
    }
    with output_folder(out, config, MANIFEST) as folder:
        if not folder.finished:
            cluster.connect()
            write_listing_failures(listing.failures, folder.path)
            run_shards(
                load_or_plan(listing.clips, folder.path, reading),
                folder.path,
                "clips",
                featurize_shard,
                max_failures=max_failures,
                features=features,
                mfcc=mfcc,
                reading=reading,
            )
            manifest = {
                "kind": "features",
                "schema_version": SCHEMA_VERSION,
                "features": features.to_json(),
                "features_hash": features.hash(),
                "fingerprint": config["data"],
                "seed": options.get("seed", 0),
                "mfcc": mfcc,
                "sound": reading.sound,
                "every": reading.every,
                "pixels": reading.pixels if reading.every else None,
                "faces": reading.faces,
                "synthetic": is_synthetic(listing),
                **_counts(folder.path),
                "versions": versions(),
            }
            write_json(folder.path / MANIFEST, manifest)
        return Featurized(**_counts(folder.path), already_finished=folder.finished)


def featurize_shard(shard: pa.Table, features: FeatureConfig, out: Path, mfcc: bool, reading: Reading) -> pa.Table:
    """Featurize one shard and commit it: its file in clips/ comes last, and says that the others are whole."""
    journal = open_journal(shard, out, reading.seconds_per_file)
    with _pictures_file(shard_file(out / "frames", shard), reading) as sink:
        table = featurize_batch(shard.select(PLANNED.names), features, reading, journal.guard, sink)
    failures = failure_rows(table, journal.deaths)
    good = table.filter(pc.is_null(table["reason"]))
    heard = good.filter(pc.is_valid(good[AUDIO[0].name]))
    write_failures(failures, shard, out)
    write_table(heard.select(["clip", *(field.name for field in AUDIO)]), shard_file(out / "audio", shard))
    if mfcc:
        write_table(heard.select(["clip", "frames"]), shard_file(out / "mfcc", shard))
    write_table(good.select(CLIPS.names), shard_file(out / "clips", shard))
    journal.forget()
    return done_row(shard, failures.num_rows)


@contextmanager
def _pictures_file(path: Path, reading: Reading) -> Iterator[Sink | None]:
    if reading.every is None:
        yield None
        return
    most = max(1, _BYTES_AT_ONCE // reading.pixels**2)
    waiting: list[tuple[str, Picture]] = []  # a still is one picture: a part of the file for each would be slow
    with table_writer(pictures_schema(reading.pixels), path) as write:

        def sink(clips: list[str], pictures: list[Picture]) -> None:
            for clip, picture in itertools.product(clips, pictures):
                waiting.append((clip, picture))
                if len(waiting) == most:
                    write(picture_rows(waiting, reading.pixels))
                    waiting.clear()

        yield sink
        if waiting:
            write(picture_rows(waiting, reading.pixels))


def fingerprint(listing: Listing) -> str:
    """Return 16 hexadecimal digits over all that is listed, labels too, and the times at which files changed."""
    digest = hashlib.sha256()
    for table in (listing.clips, listing.failures):
        with pa.ipc.new_stream(pa.PythonFile(_Hashing(digest), mode="w"), table.schema) as writer:
            writer.write_table(table.combine_chunks())
    for file in sorted({split_member(path)[0] for path in listing.clips["path"].to_pylist()}):
        digest.update(str(os.stat(file).st_mtime_ns if os.path.exists(file) else 0).encode())  # noqa: PTH110, PTH116 - fast
    return digest.hexdigest()[:16]


class _Hashing(io.RawIOBase):
    """A file that keeps nothing but the hash of what is written to it."""

    def __init__(self, digest: Any) -> None:
        self.digest = digest

    def writable(self) -> bool:
        return True

    def write(self, part: Any) -> int:
        self.digest.update(part)
        return len(part)


def is_synthetic(listing: Listing) -> bool:
    """Whether any clip lies in or below a folder, or in a zip, that says of itself that it is generated."""
    files = {split_member(path) for path in listing.clips["path"].to_pylist()}
    archives = {file for file, member in files if member is not None}
    folders = {folder for file, _ in files for folder in Path(file).parents}
    return any((folder / NOTICE_NAME).exists() for folder in folders) or any(map(_has_notice, archives))


def _has_notice(archive: str) -> bool:
    with zipfile.ZipFile(archive) as members:
        return any(Path(name).name == NOTICE_NAME for name in members.namelist())


def _counts(out: Path) -> dict[str, int]:
    return {"clips": count_rows(out / "clips"), "failures": count_rows(out / "failures")}
