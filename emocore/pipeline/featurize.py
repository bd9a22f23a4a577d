"""Media to feature tables, on many workers."""

import itertools
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from emocore.corpora.fingerprint import fingerprint
from emocore.corpora.listing import Listing
from emocore.corpora.scan import Row
from emocore.corpora.synthetic.notice import is_synthetic
from emocore.datasets.examples import MANIFEST
from emocore.features.extract import AUDIO, Sink, picture_rows
from emocore.features.family import FeatureConfig
from emocore.media.reading import SOUND_ONLY, Reading
from emocore.media.video import Picture
from emocore.pipeline.archive.database import Archive
from emocore.pipeline.archive.update import Update
from emocore.pipeline.options.files import FREE_OPTIONS, ArchiveOptions
from emocore.schema import CLIPS, SCHEMA_VERSION, pictures_schema
from emocore.storage.folder import output_folder
from emocore.storage.local import read_json, write_json
from emocore.storage.tables import count_rows, table_writer
from emocore.versions import versions

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
    archive_options: ArchiveOptions = ArchiveOptions(),  # noqa: B008 - frozen
) -> Featurized:
    """Write the FEATURES folder of a listing, shard by shard; the same call goes on where it stopped.

    Where the folder is finished and the corpus has changed since, what is new is added and what is gone is removed.
    """
    config = {
        "command": "featurize",
        "options": options,
        "features_hash": features.hash(),
        "schema_version": SCHEMA_VERSION,
    }
    data = fingerprint(listing)
    with output_folder(out, config, MANIFEST, FREE_OPTIONS) as folder:
        if (
            folder.finished
            and read_json(folder.path / MANIFEST)["fingerprint"] == data
            and not archive_options.retry_failed
        ):
            return Featurized(**_counts(folder.path), already_finished=True)
        stage = Featurizing(features, reading, mfcc)
        update = Update(stage, folder.path, MANIFEST, archive_options, max_failures)
        with Archive(folder.path) as archive:
            update.run(archive, lambda: _named(listing.clips), lambda: listing.failures)
        facts = {"fingerprint": data, "synthetic": is_synthetic(listing.clips["path"].to_pylist())}
        manifest = _manifest(stage, options.get("seed", 0)) | facts | _counts(folder.path)
        write_json(folder.path / MANIFEST, manifest)
        return Featurized(**_counts(folder.path), already_finished=False)


def _manifest(stage: "Featurizing", seed: int) -> dict[str, Any]:
    reading = stage.reading
    return {
        "kind": "features",
        "schema_version": SCHEMA_VERSION,
        "features": stage.features.to_json(),
        "features_hash": stage.features.hash(),
        "seed": seed,
        "mfcc": stage.mfcc,
        "sound": reading.sound,
        "every": reading.every,
        "pixels": reading.pixels if reading.every else None,
        "faces": reading.faces,
        "versions": versions(),
    }


def _named(clips: pa.Table) -> Iterator[tuple[Row, list[str]]]:
    for batch in clips.to_batches(max_chunksize=1_000):
        yield from ((row, [row["clip"]]) for row in batch.to_pylist())


@dataclass(frozen=True)
class Featurizing:
    """Features of sound and pictures, as they are."""

    features: FeatureConfig
    reading: Reading
    mfcc: bool = False
    name: ClassVar[str] = "featurize"
    main: ClassVar[str] = "clips"
    by_clip: ClassVar[tuple[str, ...]] = ("audio", "mfcc", "frames")

    def load(self) -> None:
        """Load nothing."""

    def pictures(self, file: Path) -> AbstractContextManager[Sink | None]:
        """Write pictures as they come."""
        return _pictures_file(file, self.reading)

    def tables(self, good: pa.Table, sink: Sink | None) -> Iterator[tuple[str, pa.Table]]:  # noqa: ARG002 - written
        """Yield the columns, the MFCC frames where these are kept, and the clips."""
        heard = good.filter(pc.is_valid(good[AUDIO[0].name]))
        yield "audio", heard.select(["clip", *(field.name for field in AUDIO)])
        if self.mfcc:
            yield "mfcc", heard.select(["clip", "frames"])
        yield self.main, good.select(CLIPS.names)


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


def _counts(out: Path) -> dict[str, int]:
    return {"clips": count_rows(out / "clips"), "failures": count_rows(out / "failures")}
