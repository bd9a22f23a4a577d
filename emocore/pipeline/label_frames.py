"""One shard of an archive, labelled by a model of frames: every frame gets an answer, and by all of them the clip."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from emocore.datasets.frames import FRAMES, images_of
from emocore.errors import MediaError, UnansweredClips
from emocore.features.extract import picture_rows
from emocore.features.family import FeatureFamily
from emocore.labels import EMOTIONS
from emocore.media.reading import Reading
from emocore.media.video import Picture
from emocore.models.aggregation import How
from emocore.models.labelling import label_seen
from emocore.models.predictions import FRAMES_AT_ONCE, answer_frames, answers_of
from emocore.pipeline.archive.journal import Journal
from emocore.pipeline.training.score_frames import NetworkPlace
from emocore.schema import FRAME_LABELS, of_emotions
from emocore.storage.tables import write_table

WINDOWS_FOLDER = "windows"


@dataclass(frozen=True)
class FrameLabelling:
    """A network answers for frames; how a clip's frames answer together, and at which temperature."""

    network: NetworkPlace
    combine: How
    temperature: float
    reading: Reading
    families: tuple[FeatureFamily, ...]
    emotions: tuple[str, ...] = EMOTIONS
    name: ClassVar[str] = "label"
    main: ClassVar[str] = "labels"
    by_clip: ClassVar[tuple[str, ...]] = (FRAMES, WINDOWS_FOLDER)

    def load(self) -> None:
        """Load the network."""
        self.network.load()

    @contextmanager
    def pictures(self, file: Path, signed: dict[bytes, bytes], journal: Journal) -> Iterator["_Scorer"]:
        """Take in pictures; write what the network says of them."""
        scorer = _Scorer(self.network, self.reading.pixels, journal, self.emotions)
        yield scorer
        scorer.finish()
        write_table(scorer.frames.replace_schema_metadata(signed), file)

    def tables(self, good: pa.Table, sink: "_Scorer") -> Iterator[tuple[str, pa.Table]]:
        """Yield the clips' windows, each the whole of its clip, and their labels. Raises UnansweredClips."""
        faults = {clip: sink.faults[clip] for clip in good["clip"].to_pylist() if clip in sink.faults}
        if faults:
            raise UnansweredClips(faults)
        family = self.families[0].name
        windows, labels = label_seen(good, sink.frames, sink.shown, self.combine, self.temperature, family)
        yield WINDOWS_FOLDER, windows
        yield self.main, labels


class _Scorer:
    """Takes the pictures of one clip after the other, and gives them to the network many at a time, copies once.

    Those of a clip that is among the journal's suspects are given alone.
    """

    def __init__(self, network: NetworkPlace, pixels: int, journal: Journal, emotions: tuple[str, ...]) -> None:
        self.network, self.pixels, self.journal, self.emotions = network, pixels, journal, emotions
        self.shown: set[str] = set()  # clips that have pictures
        self.faults: dict[str, MediaError] = {}  # of clips with a picture that the network has no answer for
        self._copies: dict[str, list[str]] = {}
        self._waiting: list[tuple[str, Picture]] = []
        self.frames = of_emotions(FRAME_LABELS, emotions).empty_table()
        self._scored = [self.frames]

    def __call__(self, clips: list[str], pictures: list[Picture]) -> None:
        self.shown.update(clips)
        if len(clips) > 1:
            self._copies[clips[0]] = clips[1:]
        alone = not self.journal.suspects.isdisjoint(clips)
        if alone:
            self._score()
        for picture in pictures:
            if picture.state == "ok":
                self._waiting.append((clips[0], picture))
            if len(self._waiting) == FRAMES_AT_ONCE:
                self._score()
        if alone:
            self._score()

    def finish(self) -> None:
        """Make `frames`, FRAME_LABELS rows of all pictures that could be used."""
        self._score()
        scored = pa.concat_tables(self._scored).combine_chunks()
        if self.faults:
            scored = scored.filter(pc.invert(pc.is_in(scored["clip"], pa.array(list(self.faults), pa.string()))))
            copies = {name: fault for clip, fault in self.faults.items() for name in self._copies.get(clip, ())}
            self.faults |= copies
        copied = [_under_names(scored, first, names) for first, names in self._copies.items()]
        self.frames = pa.concat_tables([scored, *copied]).combine_chunks()

    def _score(self) -> None:
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        frames = picture_rows(waiting, self.pixels)
        images = images_of(frames)
        clips = list(dict.fromkeys(clip for clip, _ in waiting))
        try:
            with self.journal.answering(clips):
                given, faults = answers_of(
                    lambda rows: self.network.probabilities(images[rows]), len(images), len(self.emotions)
                )
        except MediaError as fault:  # of the only one, which is not tried again
            self.faults.setdefault(clips[0], fault)
            return
        for row, of_row in faults.items():
            self.faults.setdefault(waiting[row][0], of_row)
        self._scored.append(answer_frames(frames, given, self.emotions))


def _under_names(frames: pa.Table, clip: str, names: list[str]) -> pa.Table:
    found = frames.filter(pc.equal(frames["clip"], clip))
    copies = pa.concat_tables([found] * len(names))
    clips = pa.array(np.repeat(np.array(names, object), found.num_rows), pa.string())
    return copies.set_column(0, FRAME_LABELS.field("clip"), clips)
