"""From a batch of listed files to a batch of features: one open per file, faults as columns, windows as they come."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

import pyarrow as pa

from emocore.errors import MediaError, UserError
from emocore.features.clock import later
from emocore.features.family import FeatureFamily, FrameInput, SoundInput
from emocore.features.listen import Ear, Windows, loaded
from emocore.media.audio import Take
from emocore.media.limit import TimeLimit
from emocore.media.reading import Media, Reading, stream_media
from emocore.media.segment import Section
from emocore.media.source import clip_id, open_source, split_segment
from emocore.media.video import Picture
from emocore.schema import CLIPS, LISTING, SHARES, soft_labels
from emocore.timeline import AS_FAMILIES_SAY, HowCut
from emocore.tracks.pictures import keeper
from emocore.tracks.vad import is_installed, load_network, speaks

# A file that cannot be used: these three say why, and are null for every other.
FAULT = [pa.field("stage", pa.string()), pa.field("reason", pa.string()), pa.field("detail", pa.string())]
SOFT = "soft_label"
PLANNED = pa.schema(
    [
        *LISTING.set(LISTING.get_field_index(SOFT), pa.field(SOFT, SHARES)),
        pa.field("duplicate_of", pa.string()),
        pa.field("planned_id", pa.string()),  # the content id that made it a copy; null where none was needed
    ]
)

FEATURIZED = pa.schema(
    [
        *CLIPS,
        *FAULT,
        pa.field("speech_seconds", pa.float64()),  # null where nobody looked for speech
        pa.field("broken_after_seconds", pa.float64()),  # where it cannot be read any further
    ]
)
PICTURES_AT_ONCE = 64
_OF_THE_FILE = ("broken", "truncated", "not_finite")  # faults before which there may be something to answer from

Alive = Callable[[], None]
"""Told now and then that a file is still being read."""
Guard = Callable[[str], AbstractContextManager[Alive | None]]


class Sink(Protocol):
    """Takes what is made of the clips of one file, those of equal bytes together, piece by piece."""

    def windows(self, clips: list[str], family: FeatureFamily, windows: Windows) -> None:
        """Take the next windows of a family."""

    def pictures(self, clips: list[str], pictures: list[Picture]) -> None:
        """Take the next pictures."""


class Nothing:
    """A sink for which nothing is kept."""

    def windows(self, clips: list[str], family: FeatureFamily, windows: Windows) -> None:
        """Keep nothing."""

    def pictures(self, clips: list[str], pictures: list[Picture]) -> None:
        """Keep nothing."""


def reading_of(
    families: Sequence[FeatureFamily], seconds_per_file: float = 600.0, sound_track: int | None = None
) -> Reading:
    """Return what is read of a file for these families; `sound_track`: which, from 1 on, where it has several."""
    frames = next((family.reads for family in families if isinstance(family.reads, FrameInput)), None)
    sound = bool(heard_by(families))
    reading = Reading(sound=sound, sound_track=sound_track, seconds_per_file=seconds_per_file)
    if frames is None:
        return reading
    return replace(reading, every=frames.every, pixels=frames.pixels, faces=frames.faces)


def heard_by(families: Sequence[FeatureFamily]) -> list[FeatureFamily]:
    """Return the families of sound among these."""
    return [family for family in families if isinstance(family.reads, SoundInput)]


def load_families(families: Sequence[FeatureFamily], how: HowCut = AS_FAMILIES_SAY) -> None:
    """Load what takes long of these families, before a file's time runs; once a process."""
    for family in heard_by(families):
        loaded(family)
    if how.vad:
        load_network()


def featurize_batch(
    planned: pa.Table,
    families: Sequence[FeatureFamily],
    reading: Reading | None = None,
    guard: Guard = lambda _: nullcontext(),
    sink: Sink | None = None,
    how: HowCut = AS_FAMILIES_SAY,
) -> pa.Table:
    """Return FEATURIZED rows for PLANNED rows, in their order; equal bytes are computed once a batch.

    A file that is not what was planned any more speaks for none of its copies: the next of them is read.
    What is made of a file goes to the `sink` as it comes, and stays there where the file then has a fault: the row
    says how far it was read. Of a segment (FILE#t=START,END) that is on a clock that begins with it; see `clock`.
    `guard(path)` is entered around each file, and may raise MediaError.
    """
    job = _Job(heard_by(families), reading or reading_of(families), sink or Nothing(), how)
    load_families(job.heard, how)
    paths, clips, ids = (planned[name].to_pylist() for name in ("path", "clip", "planned_id"))
    results = [_Result()] * planned.num_rows
    for rows in _copies(planned):
        while rows:
            first = rows[0]
            taken = _Taken(clips, rows, ids[first])
            try:
                with guard(paths[first]) as alive:
                    result = _featurize_file(paths[first], job, taken, alive)
            except MediaError as fault:  # the guard's, of a file that ended processes: no copy is to end more
                result, taken.alike = _Result(fault=fault), rows
            for row in taken.alike:
                results[row] = result
            rows = rows[len(taken.alike) :]
    return _to_table(planned, results)


@dataclass(frozen=True)
class _Job:
    """What is to be made of every file of a batch."""

    heard: list[FeatureFamily]
    reading: Reading
    sink: Sink
    how: HowCut


class _Taken:
    """The rows that a file speaks for: its own, and those of its copies once its bytes are those that were planned."""

    def __init__(self, clips: list[str], rows: list[int], planned_id: str | None) -> None:
        self.clips, self.rows, self.planned_id = clips, rows, planned_id
        self.alike = rows[:1]
        self.content_id: str | None = None

    def identify(self, content: str) -> list[str]:
        """Return the clips of the rows that have these bytes."""
        self.content_id = content
        if content == self.planned_id:
            self.alike = self.rows
        return [self.clips[row] for row in self.alike]


def _copies(planned: pa.Table) -> Iterable[list[int]]:
    """Return the rows whose files had equal bytes when they were planned, together."""
    rows_of: dict[str, list[int]] = {}
    paths, firsts = planned["path"].to_pylist(), planned["duplicate_of"].to_pylist()
    for row, (path, first) in enumerate(zip(paths, firsts, strict=True)):
        rows_of.setdefault(first or path, []).append(row)
    return rows_of.values()


@dataclass(frozen=True)
class _Result:
    """What one file's bytes gave."""

    content_id: str | None = None
    duration_seconds: float | None = None
    state: str | None = None
    fault: MediaError | None = None
    sound_begin_seconds: float | None = None
    bandwidth_hz: float | None = None
    sound_tracks: int | None = None
    speech_seconds: float | None = None
    broken_after_seconds: float | None = None

    def later(self, seconds: float) -> Self:
        """Return it on a clock that began so many seconds before the clip's."""
        begins, broken = self.sound_begin_seconds, self.broken_after_seconds
        return replace(
            self,
            sound_begin_seconds=None if begins is None else later(begins, seconds),
            broken_after_seconds=None if broken is None else later(broken, seconds),
        )


def _featurize_file(path: str, job: _Job, taken: _Taken, alive: Alive | None) -> _Result:
    try:
        return _read_file(path, job, taken, TimeLimit(job.reading.seconds_per_file, alive or (lambda: None)))
    except UserError:
        raise
    except Exception as error:  # one strange file must not take the archive along
        fault = MediaError("featurize", "internal", f"{type(error).__name__}: {error}")
        return _Result(taken.content_id, fault=fault)


def _read_file(path: str, job: _Job, taken: _Taken, limit: TimeLimit) -> _Result:
    work: _Work | None = None
    section = Section(split_segment(path)[1], sees=job.reading.every is not None)
    begins = section.segment.start_seconds
    try:
        with open_source(path, limit) as stream:
            work = _Work(job, taken.identify(clip_id(path, stream, limit)))
            media = stream_media(
                stream,
                replace(job.reading, limit=limit),
                section.hear(work.hear) if job.heard else None,
                section.show(work.show),
                section.keep(keeper(job.reading)),
                speaks if is_installed() else None,
            )
            media = section.part_of(media)
            work.finish()
        return replace(work.result(media).later(begins), content_id=taken.content_id)
    except MediaError as fault:
        found = work.broken(fault) if work and fault.reason in _OF_THE_FILE else _Result(fault=fault)
        return replace(found.later(begins), content_id=taken.content_id)


class _Work:
    """What is made of one file, as it is decoded."""

    def __init__(self, job: _Job, clips: list[str]) -> None:
        self.job, self.clips = job, clips
        self.ear: Ear | None = None
        self.waiting: list[Picture] = []
        self.seen_seconds = 0.0
        self.answerable = False

    def hear(self, sample_rate_hz: int, begins: float) -> Take:
        """Begin to listen to a sound track."""
        self.ear = Ear(self.job.heard, self.job.how, self._give, sample_rate_hz, begins)
        return self.ear.feed

    def _give(self, family: FeatureFamily, windows: Windows) -> None:
        self.answerable |= "ok" in windows.states
        self.job.sink.windows(self.clips, family, windows)

    def show(self, picture: Picture) -> None:
        """Take a picture."""
        self.waiting.append(picture)
        self.seen_seconds = max(self.seen_seconds, picture.time_seconds)
        if len(self.waiting) == PICTURES_AT_ONCE:
            self._give_pictures()

    def _give_pictures(self) -> None:
        waiting, self.waiting = self.waiting, []
        self.answerable |= any(picture.state == "ok" for picture in waiting)
        if waiting:
            self.job.sink.pictures(self.clips, waiting)

    def finish(self) -> None:
        """Give what waits."""
        if self.ear:
            self.ear.finish()
        self._give_pictures()

    def result(self, media: Media) -> _Result:
        """Return what a file gave that was read to its end."""
        if self.ear is None:
            state = "no_audio" if self.job.reading.sound else "ok" if media.shown else "no_video"
            found = _Result(state=state)
        else:
            found = self._heard()
            if self.job.reading.every and not media.shown and found.state == "ok":
                found = replace(found, state="no_video")
        return replace(found, duration_seconds=media.duration_seconds, sound_tracks=media.sound_tracks)

    def _heard(self) -> _Result:
        assert self.ear
        return _Result(
            state=self.ear.state,
            sound_begin_seconds=self.ear.begins,
            bandwidth_hz=self.ear.bandwidth_hz,
            speech_seconds=self.ear.speech_seconds,
        )

    def broken(self, fault: MediaError) -> _Result:
        """Return what a file gave before it broke: that is answered for where there is something to answer from."""
        try:
            self.finish()
        except MediaError as other:
            fault = other
        if not self.answerable:
            return _Result(fault=fault)
        heard = self._heard() if self.ear else _Result(state="ok")
        seconds = max(self.seen_seconds, self.ear.seconds if self.ear else 0.0)
        return replace(heard, duration_seconds=seconds, broken_after_seconds=seconds, fault=fault)


def _to_table(planned: pa.Table, results: list[_Result]) -> pa.Table:
    schema = FEATURIZED
    made: dict[str, Any] = {
        "content_id": [r.content_id for r in results],
        "duration_seconds": [r.duration_seconds for r in results],
        "sound_begin_seconds": [r.sound_begin_seconds for r in results],
        "bandwidth_hz": [r.bandwidth_hz for r in results],
        "sound_tracks": [r.sound_tracks for r in results],
        "speech_seconds": [r.speech_seconds for r in results],
        "broken_after_seconds": [r.broken_after_seconds for r in results],
        "state": [r.state for r in results],
        "stage": [r.fault and r.fault.stage for r in results],
        "reason": [r.fault and r.fault.reason for r in results],
        "detail": [r.fault and r.fault.detail for r in results],
    }
    columns = []
    for column in schema:
        if column.name == SOFT:
            columns.append(soft_labels(planned[SOFT]))
        elif column.name in PLANNED.names:
            columns.append(planned[column.name].combine_chunks())
        elif column.name in made:
            columns.append(pa.array(made[column.name], column.type))
    place = schema.get_field_index(SOFT)
    return pa.Table.from_arrays(columns, schema=schema.set(place, pa.field(SOFT, columns[place].type)))
