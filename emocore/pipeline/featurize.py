"""Media to feature tables, on many workers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from emocore.corpora.fingerprint import fingerprint
from emocore.corpora.listing import Listing
from emocore.corpora.scan import Row
from emocore.corpora.synthetic.notice import is_synthetic
from emocore.datasets.examples import MANIFEST
from emocore.errors import MediaError
from emocore.features.catalogue import to_json
from emocore.features.extract import heard_by, load_families, reading_of
from emocore.features.family import FeatureFamily
from emocore.features.listen import Windows
from emocore.features.rows import picture_rows, window_table
from emocore.media.reading import Reading
from emocore.media.video import Picture
from emocore.models.labelling import Write
from emocore.pipeline.archive.database import Archive
from emocore.pipeline.archive.update import Update
from emocore.pipeline.options.files import FREE_OPTIONS, ArchiveOptions
from emocore.schema import CLIPS, CUT_CLIPS, SCHEMA_VERSION, features_schema, pictures_schema
from emocore.storage.files import read_json, write_json
from emocore.storage.folder import FEATURES, FRAMES_FOLDER, output_folder
from emocore.storage.tables import count_rows
from emocore.timeline import AS_FAMILIES_SAY, HowCut
from emocore.versions import versions


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
    how: HowCut = AS_FAMILIES_SAY,
) -> Featurized:
    """Write the FEATURES folder of a listing, shard by shard; the same call goes on where it stopped.

    Where the folder is finished and the corpus has changed since, what is new is added and what is gone is removed.
    What the listing passed over and left out, and the sound track that was asked for, stand in its manifest; so does
    `how` recordings were cut, where it is not as families say: such tables are for `label`.
    """
    config = {
        "command": "featurize",
        "options": options,
        "families": to_json(families),
        "schema_version": SCHEMA_VERSION,
        **_how_cut(how),
    }
    data = fingerprint(listing)
    with output_folder(out, config, MANIFEST, FREE_OPTIONS) as folder:
        facts = {"fingerprint": data, **listing.unlisted.to_json(), "sound_track": sound_track}
        before = read_json(folder.path / MANIFEST) if folder.finished else {}
        stage = Featurizing(tuple(families), reading_of(families, seconds_per_file, sound_track), how)
        update = Update(stage, folder.path, MANIFEST, archive_options, max_failures)
        same = folder.finished and before["fingerprint"] == data
        with Archive(folder.path) as archive:
            if same and not archive_options.retry_failed and update.is_whole(archive):
                if not facts.items() <= before.items():
                    write_json(folder.path / MANIFEST, before | facts)
                return Featurized(**_counts(folder.path), already_finished=True)
            update.run(archive, lambda: _named(listing.clips), lambda: listing.failures)
        facts["synthetic"] = is_synthetic(listing.clips["path"].to_pylist())
        manifest = _manifest(families, listing.emotions, options.get("seed", 0), how) | facts | _counts(folder.path)
        write_json(folder.path / MANIFEST, manifest)
        return Featurized(**_counts(folder.path), already_finished=False)


def _manifest(families: Sequence[FeatureFamily], emotions: Sequence[str], seed: int, how: HowCut) -> dict[str, Any]:
    return {
        "kind": "features",
        "schema_version": SCHEMA_VERSION,
        "families": to_json(families),
        **_how_cut(how),
        "emotions": list(emotions),
        "seed": seed,
        "versions": versions(),
    }


def _how_cut(how: HowCut) -> dict[str, Any]:
    return {} if how == AS_FAMILIES_SAY else {"how": asdict(how)}


def _named(clips: pa.Table) -> Iterator[tuple[Row, list[str]]]:
    for batch in clips.to_batches(max_chunksize=1_000):
        yield from ((row, [row["clip"]]) for row in batch.to_pylist())


@dataclass(frozen=True)
class Featurizing:
    """Features of sound and pictures, as they are."""

    families: tuple[FeatureFamily, ...]
    reading: Reading
    how: HowCut = AS_FAMILIES_SAY
    name: ClassVar[str] = "featurize"
    main: ClassVar[str] = "clips"

    @property
    def keeps_broken(self) -> bool:
        """Whether a clip that breaks in its midst has a row: models are trained on whole ones, and answer for parts."""
        return self.how != AS_FAMILIES_SAY

    @property
    def tables(self) -> Mapping[str, pa.Schema]:
        """The tables with none or several rows a clip."""
        frames = {FRAMES_FOLDER: pictures_schema(self.reading.pixels)} if self.reading.sees else {}
        heard = {_table(one): features_schema(one.shape, one.columns) for one in heard_by(self.families)}
        return {**heard, **frames}

    def load(self) -> None:
        """Load what takes long."""
        load_families(self.families, self.how)

    def take(self, write: Write, journal: object) -> "_Writing":  # noqa: ARG002 - nothing is answered for
        """Return what writes features."""
        schema = CLIPS if self.how == AS_FAMILIES_SAY else CUT_CLIPS
        return _Writing(write, self.reading.pixels, tuple(schema.names))


class _Writing:
    """Writes windows and pictures as they come."""

    def __init__(self, write: Write, pixels: int, columns: tuple[str, ...]) -> None:
        self.write, self.pixels, self.columns = write, pixels, columns
        self.faults: dict[str, MediaError] = {}

    def windows(self, clips: list[str], family: FeatureFamily, windows: Windows) -> None:
        """Write windows."""
        self.write(_table(family), window_table(clips, family, windows))

    def pictures(self, clips: list[str], pictures: list[Picture]) -> None:
        """Write pictures."""
        for clip in clips:
            self.write(FRAMES_FOLDER, picture_rows([(clip, picture) for picture in pictures], self.pixels))

    def finish(self) -> None:
        """Nothing waits."""

    def rows(self, good: pa.Table) -> pa.Table:
        """Return the clips."""
        return good.select(self.columns)


def _table(family: FeatureFamily) -> str:
    return f"{FEATURES}/{family.name}"


def _counts(out: Path) -> dict[str, int]:
    return {"clips": count_rows(out / "clips"), "failures": count_rows(out / "failures")}
