"""One shard of an archive, labelled: each window or frame gets an answer, and by all of them the clip."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from emocore.errors import UserError
from emocore.features.extract import load_families
from emocore.features.family import FeatureFamily
from emocore.features.one_file import Found
from emocore.labels import EMOTIONS
from emocore.media.reading import Reading
from emocore.models.aggregation import How
from emocore.models.bundle import Bundle, load_bundle
from emocore.models.joining import JoiningSink
from emocore.models.labelling import Give, Sink, Write, tables_of
from emocore.models.labelling_films import SeenSink, seen_grid
from emocore.pipeline.archive.journal import Journal
from emocore.pipeline.training.score_frames import NetworkPlace
from emocore.timeline import AS_FAMILIES_SAY, HowCut


@dataclass(frozen=True)
class BundlePlace:
    """Where every worker finds a model of sound."""

    folder: str
    digest: str  # of the files: a process keeps the model that it loaded last

    def load(self) -> None:
        """Load the model, where this process has not."""
        _loaded(self)

    def probabilities(self, values: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return float64[n, k] for float32[n, *shape]."""
        return _loaded(self).probabilities(values)


@lru_cache(maxsize=1)
def _loaded(place: BundlePlace) -> Bundle:
    """Load a model of sound once a process. Raises UserError where it is not the one of this hash any more."""
    bundle = load_bundle(place.folder)
    if bundle.hash != place.digest:
        raise UserError(f"{place.folder} changed while it was in use: label with a finished model.")
    return bundle


def _write_nothing(table: str, rows: pa.Table) -> None:
    """Take rows that are summed up when the sections are joined."""


@dataclass(frozen=True)
class Labelling:
    """A model answers for windows of sound, or a network for frames, and for windows by theirs."""

    model: BundlePlace | NetworkPlace
    families: tuple[FeatureFamily, ...]
    reading: Reading
    how: HowCut = AS_FAMILIES_SAY
    emotions: tuple[str, ...] = EMOTIONS
    combine: How = "mean-log"  # of frames: how those of a clip, or of a window, answer together
    temperature: float = 1.0  # of what frames answer together
    name: ClassVar[str] = "label"
    main: ClassVar[str] = "labels"
    keeps_broken: ClassVar[bool] = True

    @property
    def tables(self) -> Mapping[str, pa.Schema]:
        """The tables beside the labels."""
        sees = self.reading.sees
        return tables_of(self.emotions, sees, apart=self.how.channels == "separate" and not sees)

    def load(self) -> None:
        """Load the model and what it reads."""
        self.model.load()
        load_families(self.families, self.how)

    def take(self, write: Write, journal: Journal) -> Sink:
        """Return what answers for a shard's files."""
        return self._sink(write, journal, None)

    def take_section(self, give: Give, journal: Journal) -> Sink:
        """Return what answers for a section of a file."""
        return self._sink(_write_nothing, journal, give)

    def join(self, taking: Sink, clips: list[str], rows: pa.Table, section: Found, before: Found) -> None:
        """Let the answers for a whole file take in those for a section of it."""
        if isinstance(taking, SeenSink):
            for span in section.seen:
                taking.see(clips, span)
        elif self.how.grid == "speech" and rows.num_rows:  # a grid's windows have their numbers from it
            behind = [before.windows_before(track) for track in rows["track"].to_pylist()]
            place = rows.column_names.index("window")
            numbers = pc.add(rows["window"], pa.array(behind, pa.int32()))
            rows = rows.set_column(place, rows.field("window"), numbers)
        if rows.num_rows:
            taking.take_rows(clips, rows)

    def _sink(self, write: Write, journal: Journal, give: Give | None) -> Sink:
        told: tuple[Any, ...] = (self.emotions, write, journal, give)
        if not self.reading.sees:
            return JoiningSink(self.model.probabilities, self.families, *told)
        (family,) = self.families
        seen: dict[str, Any] = {"how": self.combine, "temperature": self.temperature, "grid": seen_grid(self.how)}
        return SeenSink(self.model.probabilities, family, *told, **seen)
