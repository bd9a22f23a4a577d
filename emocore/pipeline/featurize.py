"""Media to feature tables, on many workers."""

import itertools
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from emocore.corpora.fingerprint import fingerprint
from emocore.corpora.listing import Listing
from emocore.corpora.scan import Row
from emocore.corpora.synthetic.notice import is_synthetic
from emocore.datasets.examples import FEATURES, MANIFEST
from emocore.features.catalogue import to_json
from emocore.features.extract import Sink, heard_by, picture_rows, reading_of, windows_of
from emocore.features.family import FeatureFamily
from emocore.media.reading import Reading
from emocore.media.video import Picture
from emocore.pipeline.archive.database import Archive
from emocore.pipeline.archive.update import Update
from emocore.pipeline.options.files import FREE_OPTIONS, ArchiveOptions
from emocore.schema import CLIPS, SCHEMA_VERSION, pictures_schema
from emocore.storage.files import read_json, write_json
from emocore.storage.folder import output_folder
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
    families: Sequence[FeatureFamily],
    *,
    options: dict[str, Any],
    seconds_per_file: float = 600.0,
    sound_track: int | None = None,
    max_failures: int | None = None,
    archive_options: ArchiveOptions = ArchiveOptions(),  # noqa: B008 - frozen
) -> Featurized:
    """Write the FEATURES folder of a listing, shard by shard; the same call goes on where it stopped.

    Where the folder is finished and the corpus has changed since, what is new is added and what is gone is removed.
    What the listing passed over and left out, and the sound track that was asked for, stand in its manifest.
    """
    config = {
        "command": "featurize",
        "options": options,
        "families": to_json(families),
        "schema_version": SCHEMA_VERSION,
    }
    data = fingerprint(listing)
    with output_folder(out, config, MANIFEST, FREE_OPTIONS) as folder:
        facts = {"fingerprint": data, **listing.unlisted.to_json(), "sound_track": sound_track}
        before = read_json(folder.path / MANIFEST) if folder.finished else {}
        stage = Featurizing(tuple(families), reading_of(families, seconds_per_file, sound_track))
        update = Update(stage, folder.path, MANIFEST, archive_options, max_failures)
        same = folder.finished and before["fingerprint"] == data
        with Archive(folder.path) as archive:
            if same and not archive_options.retry_failed and update.is_whole(archive):
                if not facts.items() <= before.items():
                    write_json(folder.path / MANIFEST, before | facts)
                return Featurized(**_counts(folder.path), already_finished=True)
            update.run(archive, lambda: _named(listing.clips), lambda: listing.failures)
        facts["synthetic"] = is_synthetic(listing.clips["path"].to_pylist())
        manifest = _manifest(families, listing.emotions, options.get("seed", 0)) | facts | _counts(folder.path)
        write_json(folder.path / MANIFEST, manifest)
        return Featurized(**_counts(folder.path), already_finished=False)


def _manifest(families: Sequence[FeatureFamily], emotions: Sequence[str], seed: int) -> dict[str, Any]:
    return {
        "kind": "features",
        "schema_version": SCHEMA_VERSION,
        "families": to_json(families),
        "emotions": list(emotions),
        "seed": seed,
        "versions": versions(),
    }


def _named(clips: pa.Table) -> Iterator[tuple[Row, list[str]]]:
    for batch in clips.to_batches(max_chunksize=1_000):
        yield from ((row, [row["clip"]]) for row in batch.to_pylist())


@dataclass(frozen=True)
class Featurizing:
    """Features of sound and pictures, as they are."""

    families: tuple[FeatureFamily, ...]
    reading: Reading
    name: ClassVar[str] = "featurize"
    main: ClassVar[str] = "clips"

    @property
    def by_clip(self) -> tuple[str, ...]:
        """The tables with none or several rows a clip."""
        frames = ("frames",) if self.reading.every else ()
        return (*(_table(family) for family in heard_by(self.families)), *frames)

    def load(self) -> None:
        """Load nothing."""

    def pictures(self, file: Path, signed: dict[bytes, bytes], journal: object) -> AbstractContextManager[Sink | None]:  # noqa: ARG002
        """Write pictures as they come."""
        return _pictures_file(file, self.reading, signed)

    def tables(self, good: pa.Table, sink: Sink | None) -> Iterator[tuple[str, pa.Table]]:  # noqa: ARG002 - written
        """Yield the windows of each family, and the clips."""
        for family in heard_by(self.families):
            yield _table(family), windows_of(good, family)
        yield self.main, good.select(CLIPS.names)


def _table(family: FeatureFamily) -> str:
    return f"{FEATURES}/{family.name}"


@contextmanager
def _pictures_file(path: Path, reading: Reading, signed: dict[bytes, bytes]) -> Iterator[Sink | None]:
    if reading.every is None:
        yield None
        return
    most = max(1, _BYTES_AT_ONCE // reading.pixels**2)
    waiting: list[tuple[str, Picture]] = []  # a still is one picture: a part of the file for each would be slow
    with table_writer(pictures_schema(reading.pixels).with_metadata(signed), path) as write:

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
