"""From a batch of listed files to a batch of features: one open per file, faults as columns, windows as they come."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import pyarrow as pa

from emocore.errors import MediaError, fault_of
from emocore.features.clock import later
from emocore.features.family import FeatureFamily, FrameInput, SoundInput
from emocore.features.listen import Windows, loaded, no_numbers
from emocore.features.one_file import Found, Job, Sink, conclude, read_on, read_section, read_whole
from emocore.media.limit import TimeLimit
from emocore.media.reading import Reading
from emocore.media.source import clip_id, open_source, split_segment
from emocore.media.video import Picture
from emocore.schema import CLIPS, LISTING, SHARES, soft_labels
from emocore.timeline import AS_FAMILIES_SAY, HowCut
from emocore.tracks.vad import load_network

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
        pa.field("windows_left_out", pa.int32()),  # as what was made of them is no number
    ]
)
Alive = Callable[[float], None]
"""Told now and then that a file is still being read, and up to how many seconds of it."""
Guard = Callable[[str], AbstractContextManager[Alive | None]]


class Nothing:
    """A sink for which nothing is kept."""

    def windows(self, clips: list[str], family: FeatureFamily, windows: Windows) -> None:
        """Keep nothing."""

    def pictures(self, clips: list[str], pictures: list[Picture]) -> None:
        """Keep nothing."""

    def finish(self) -> None:
        """Nothing waits."""


def reading_of(
    families: Sequence[FeatureFamily], seconds_per_file: float = 600.0, sound_track: int | None = None
) -> Reading:
    """Return what is read of a file for these families; `sound_track`: which, from 1 on, where it has several."""
    frames = next((family.reads for family in families if isinstance(family.reads, FrameInput)), None)
    sound = bool(heard_by(families))
    reading = Reading(sound=sound, sound_track=sound_track, seconds_per_file=seconds_per_file)
    if frames is None:
        return reading
    return replace(reading, **asdict(frames))


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
    job = Job(heard_by(families), reading or reading_of(families), sink or Nothing(), how)
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
    """What one file's bytes gave, as its row says it."""

    content_id: str | None = None
    duration_seconds: float | None = None
    state: str | None = None
    fault: MediaError | None = None
    sound_begin_seconds: float | None = None
    bandwidth_hz: float | None = None
    sound_tracks: int | None = None
    speech_seconds: float | None = None
    broken_after_seconds: float | None = None
    windows_left_out: int = 0

    def later(self, seconds: float) -> Self:
        """Return it on a clock that began so many seconds before the clip's."""
        begins, broken = self.sound_begin_seconds, self.broken_after_seconds
        return replace(
            self,
            sound_begin_seconds=None if begins is None else later(begins, seconds),
            broken_after_seconds=None if broken is None else later(broken, seconds),
        )


def _featurize_file(path: str, job: Job, taken: _Taken, alive: Alive | None) -> _Result:
    limit = TimeLimit(job.reading.seconds_per_file, alive or (lambda _: None))
    try:
        found = _read_file(path, job, taken, limit)
    except Exception as error:
        return _Result(taken.content_id, fault=fault_of(error))
    segment = split_segment(path)[1]
    return _result(found, job.reading, taken.content_id).later(segment.start_seconds if segment else 0.0)


def _read_file(path: str, job: Job, taken: _Taken, limit: TimeLimit) -> Found:
    segment = split_segment(path)[1]
    with open_source(path, limit) as stream:
        clips = taken.identify(clip_id(path, stream, limit))
        sections = None if segment else job.sections_of(path, stream, limit)
        if sections is None:
            return read_whole(stream, job, clips, limit, segment)
        found = Found()
        for number in range(len(sections)):
            found += read_section(stream, job, clips, limit, sections, number, found)
            job.sink.finish()
            if found.fault or found.unproven:
                break
        return read_on(stream, job, clips, limit, found) if found.unproven else conclude(found, sections)


def _result(found: Found, reading: Reading, content: str | None) -> _Result:
    heard, fault = found.heard, found.fault
    if found.unfit and not found.answerable:
        fault = no_numbers()
    if fault and not found.answerable:
        return _Result(content, fault=fault)
    if heard is None:
        state = "ok" if fault else "no_audio" if reading.sound else "ok" if found.shown else "no_video"
    else:
        state = "no_video" if reading.sees and not found.shown and heard.state == "ok" else heard.state
    return _Result(
        content,
        found.until_seconds if fault else found.duration_seconds,
        state,
        fault,
        heard.begins if heard else None,
        heard.spectrum.bandwidth_hz if heard else None,
        found.sound_tracks,
        heard.speech_seconds if heard else None,
        found.until_seconds if fault else None,
        found.unfit,
    )


def rows_of_file(planned: pa.Table, found: Found, reading: Reading, content: str | None) -> pa.Table:
    """Return FEATURIZED rows for PLANNED rows of one file and its copies, by what was found in it."""
    return _to_table(planned, [_result(found, reading, content)] * planned.num_rows)


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
        "windows_left_out": [r.windows_left_out for r in results],
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
