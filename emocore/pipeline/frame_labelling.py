"""One shard of an archive, labelled by a model of frames: every frame gets an answer, and by all of them the clip."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from emocore.config import FeatureConfig
from emocore.features.stage import PLANNED, featurize_batch, picture_rows
from emocore.frame_examples import FRAMES, images_of
from emocore.labels import EMOTIONS
from emocore.media.pictures import Picture
from emocore.media.reading import Reading
from emocore.models.answers import answer_clips, answer_frames, label_rows
from emocore.models.combining import How, tempered
from emocore.pipeline.scoring import FRAMES_AT_ONCE, NetworkPlace
from emocore.pipeline.shards import done_row, failure_rows, open_journal, shard_file, write_failures
from emocore.schema import FRAME_LABELS, write_table


@dataclass(frozen=True)
class FrameAnswers:
    """What answers: a network, how a clip's frames answer together, and at which temperature."""

    network: NetworkPlace
    combine: How
    temperature: float


def label_shard(shard: pa.Table, answers: FrameAnswers, out: Path, reading: Reading) -> pa.Table:
    """Decode, predict and commit one shard: its file in labels/ comes last."""
    answers.network.load()  # before a file's time runs
    journal = open_journal(shard, out, reading.seconds_per_file)
    scorer = _Scorer(answers.network, reading.pixels)
    table = featurize_batch(shard.select(PLANNED.names), FeatureConfig(), reading, journal.guard, scorer)
    failures = failure_rows(table, journal.deaths)
    write_failures(failures, shard, out)
    frames = scorer.finish()
    write_table(frames, shard_file(out / FRAMES, shard))
    labels = _label_clips(table.filter(pc.is_null(table["reason"])), frames, scorer.shown, answers)
    write_table(labels, shard_file(out / "labels", shard))
    journal.forget()
    return done_row(shard, failures.num_rows)


class _Scorer:
    """Takes the pictures of one clip after the other, and gives them to the network many at a time, copies once."""

    def __init__(self, network: NetworkPlace, pixels: int) -> None:
        self.network, self.pixels = network, pixels
        self.shown: set[str] = set()  # clips that have pictures
        self._copies: dict[str, list[str]] = {}
        self._waiting: list[tuple[str, Picture]] = []
        self._scored = [FRAME_LABELS.empty_table()]

    def __call__(self, clips: list[str], pictures: list[Picture]) -> None:
        self.shown.update(clips)
        if len(clips) > 1:
            self._copies[clips[0]] = clips[1:]
        for picture in pictures:
            if picture.state == "ok":
                self._waiting.append((clips[0], picture))
            if len(self._waiting) == FRAMES_AT_ONCE:
                self._score()

    def finish(self) -> pa.Table:
        """Return FRAME_LABELS rows of all pictures that could be used."""
        if self._waiting:
            self._score()
        scored = pa.concat_tables(self._scored).combine_chunks()
        copied = [_under_names(scored, first, names) for first, names in self._copies.items()]
        return pa.concat_tables([scored, *copied]).combine_chunks()

    def _score(self) -> None:
        frames = picture_rows(self._waiting, self.pixels)
        self._scored.append(answer_frames(frames, self.network.probabilities(images_of(frames))))
        self._waiting = []


def _under_names(frames: pa.Table, clip: str, names: list[str]) -> pa.Table:
    found = frames.filter(pc.equal(frames["clip"], clip))
    copies = pa.concat_tables([found] * len(names))
    clips = pa.array(np.repeat(np.array(names, object), found.num_rows), pa.string())
    return copies.set_column(0, FRAME_LABELS.field("clip"), clips)


def _label_clips(featurized: pa.Table, frames: pa.Table, shown: set[str], answers: FrameAnswers) -> pa.Table:
    """Return LABELS rows; without a usable picture the state is no_face, or no_video where there is none at all."""
    clips = featurized["clip"].to_pylist()
    answered = pc.is_in(featurized["clip"], frames["clip"].unique()).to_numpy(zero_copy_only=False)
    rows = np.flatnonzero(answered)
    probabilities = np.zeros((len(clips), len(EMOTIONS)))
    names = [clips[row] for row in rows]
    probabilities[rows] = tempered(answer_clips(frames, names, answers.combine), answers.temperature)
    unanswered = {clip: "no_face" if clip in shown else "no_video" for clip in clips}
    states = ["ok" if there else unanswered[clip] for clip, there in zip(clips, answered, strict=True)]
    return label_rows(featurized, probabilities, answered, states)
