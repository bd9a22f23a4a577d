"""What is made of one file: windows and pictures go to a sink as they come, and what was found says the rest."""

import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol

from emocore.errors import MediaError
from emocore.features.ears import Ears
from emocore.features.family import FeatureFamily
from emocore.features.listen import Windows
from emocore.features.listened import Listened
from emocore.media.audio import Take, check_whole
from emocore.media.fragment import Segment
from emocore.media.limit import TimeLimit
from emocore.media.midway import stream_from
from emocore.media.reading import Media, Reading, stream_media
from emocore.media.sections import SectionRead, Sections, may_be_long, sections_of, stream_section
from emocore.media.segment import Excerpt
from emocore.media.source import Stream
from emocore.media.video import CannotSkip, Picture
from emocore.timeline import HowCut
from emocore.tracks.pictures import keeper
from emocore.tracks.vad import Span, is_installed, speaks

PICTURES_AT_ONCE = 64
MOST_UNSEEN_SECONDS = 600.0  # without a picture: in more there are no windows, as stamps may make no sense
OF_THE_FILE = ("broken", "truncated", "not_finite")  # faults before which there may be something to answer from


class Sink(Protocol):
    """Takes what is made of the clips of one file, those of equal bytes together, piece by piece."""

    def windows(self, clips: list[str], family: FeatureFamily, windows: Windows) -> None:
        """Take the next windows of a family."""

    def pictures(self, clips: list[str], pictures: list[Picture]) -> None:
        """Take the next pictures."""

    def finish(self) -> None:
        """Take in that what comes next is no part of what came before, and is not to change it."""


@dataclass(frozen=True)
class Job:
    """What is to be made of every file: families of sound, and pictures where the reading asks for them."""

    heard: list[FeatureFamily]
    reading: Reading
    sink: Sink
    how: HowCut

    def sections_of(self, path: str, stream: Stream, limit: TimeLimit) -> Sections | None:
        """Return the sections that a file is read in; None: in one piece. Raises MediaError (too_slow)."""
        if not cuts(self.heard, self.reading, self.how) or not may_be_long(path, stream.seek(0, io.SEEK_END)):
            return None
        return sections_of(stream, self.reading_of(limit), limit, speaks if is_installed() else None)

    def reading_of(self, limit: TimeLimit) -> Reading:
        """Return the reading of one file, whose time runs."""
        return replace(self.reading, apart=self.how.channels == "separate", limit=limit)


def cuts(heard: Sequence[FeatureFamily], reading: Reading, how: HowCut) -> bool:
    """Whether long files are cut: where windows of a sound are asked for, or the pictures of a film, not both."""
    return not reading.sees and how.grid is not None if heard else reading.sees


@dataclass(frozen=True)
class Found:
    """What was found in a file, or in a section of it: one can be added to those before.

    `unproven`: the film must be read in one piece behind its last picture, as its packets do not prove which is which.
    """

    heard: Listened | None = None
    shown: bool = False  # whether there were pictures
    seen: tuple[Span, ...] = ()  # in which there were, but for gaps of MOST_UNSEEN_SECONDS
    last_picture: int = -1
    sound_tracks: int | None = None
    duration_seconds: float | None = None
    windows: dict[str, int] = field(default_factory=dict)  # how many there were, by `row_of` family and track
    unfit: int = 0  # windows that were left out, as what was made of them is no number
    answerable: bool = False  # whether a model may answer for some of it
    fault: MediaError | None = None
    unproven: bool = False

    @property
    def until_seconds(self) -> float:
        """Up to when there was something."""
        return max(self.heard.seconds if self.heard else 0.0, self.seen[-1][1] if self.seen else 0.0)

    def windows_before(self, track: int) -> int:
        """Return how many windows a track has, by the family that has most: by a rounding one may lack one."""
        return max((n for row, n in self.windows.items() if row.endswith(f" {track}")), default=0)

    def __add__(self, other: "Found") -> "Found":
        """Return both, the other one behind this one."""
        heard = self.heard + other.heard if self.heard and other.heard else self.heard or other.heard
        ends = [one.duration_seconds for one in (self, other) if one.duration_seconds is not None]
        seen = list(self.seen)
        for span in other.seen:
            see(seen, span)
        return replace(
            other,
            heard=heard,
            shown=self.shown or other.shown,
            seen=tuple(seen),
            last_picture=max(self.last_picture, other.last_picture),
            sound_tracks=self.sound_tracks if other.sound_tracks is None else other.sound_tracks,
            duration_seconds=max(ends, default=None),
            windows={
                name: self.windows.get(name, 0) + other.windows.get(name, 0) for name in (self.windows | other.windows)
            },
            unfit=self.unfit + other.unfit,
            answerable=self.answerable or other.answerable,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        fault = self.fault and [self.fault.stage, self.fault.reason, self.fault.detail]
        plain = asdict(replace(self, heard=None, fault=None))
        return {**plain, "heard": self.heard and self.heard.to_json(), "fault": fault}

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> "Found":
        """Return what `to_json` gave."""
        heard = Listened.from_json(told["heard"]) if told["heard"] else None
        fault = MediaError(*told["fault"]) if told["fault"] else None
        return cls(**{**told, "heard": heard, "fault": fault, "seen": tuple(map(tuple, told["seen"]))})


NOTHING_FOUND = Found()


def row_of(family: str, track: int) -> str:
    """Return the key of what is numbered together: the windows of a track, by one family."""
    return f"{family} {track}"


def see(spans: list[Span], span: Span) -> None:
    """Add a stretch in which there were pictures, joined to the last but for a gap of MOST_UNSEEN_SECONDS."""
    if spans and span[0] <= spans[-1][1] + MOST_UNSEEN_SECONDS:
        spans[-1] = (min(spans[-1][0], span[0]), max(spans[-1][1], span[1]))
    else:
        spans.append(span)


def read_whole(
    stream: Stream, job: Job, clips: list[str], limit: TimeLimit, segment: Segment | None = None, after: int = -1
) -> Found:
    """Read a file in one piece, or a segment of it; `after`: pictures up to this index were handed on before."""
    work = _Work(job, clips)
    excerpt = Excerpt(segment, sees=job.reading.sees)
    reading, hear = job.reading_of(limit), excerpt.hear(work.hear) if job.heard else None
    vad = speaks if is_installed() else None
    try:
        media = stream_from(stream, reading, segment.start_seconds, hear, vad, limit) if segment and hear else None
        if media is None:
            show, keep = excerpt.show(work.show), excerpt.keep(keeper(job.reading))
            media = stream_media(stream, reading, hear, show, keep, vad, after)
        media = excerpt.part_of(media)
        work.finish()
    except MediaError as fault:
        return work.broken(fault)
    return work.found(media)


def read_section(
    stream: Stream,
    job: Job,
    clips: list[str],
    limit: TimeLimit,
    sections: Sections,
    number: int,
    before: Found = NOTHING_FOUND,
) -> Found:
    """Read one section of a file; `before`: what was found in those before, behind whose windows these are numbered."""
    work = _Work(job, clips, sections.span(number), before)
    try:
        try:
            reading = job.reading_of(limit)
            keep = keeper(job.reading)
            read = stream_section(stream, reading, sections, number, work.hear, work.show, keep, work.is_done)
        except CannotSkip:
            work.finish()
            return replace(work.found(), unproven=True)
        work.finish()
    except MediaError as fault:
        return work.broken(fault)
    return work.section(read, sections)


def read_on(stream: Stream, job: Job, clips: list[str], limit: TimeLimit, found: Found) -> Found:
    """Return what a film gave whose sections proved nothing from one on: it is read in one piece behind them."""
    return replace(found + read_whole(stream, job, clips, limit, after=found.last_picture), unproven=False)


def conclude(found: Found, sections: Sections) -> Found:
    """Return what the sections of a file gave together, with a fault where that is less than its header says."""
    if found.fault:
        return found
    what, until = "sound" if sections.sound else "film", found.duration_seconds
    try:
        if until is None and sections.sound:
            raise MediaError("decode", "no_samples", "the sound track holds no samples")
        check_whole(what, (until or 0.0) - sections.begins_seconds, sections.stated_seconds)
    except MediaError as fault:
        return replace(found, fault=fault)
    return found


@dataclass
class _Work:
    """What is made of a file, or of a section, as it is decoded."""

    job: Job
    clips: list[str]
    span: Span | None = None
    before: Found = NOTHING_FOUND
    ears: Ears | None = None
    waiting: list[Picture] = field(default_factory=list)
    seen: list[Span] = field(default_factory=list)
    last_picture: int = -1
    n_windows: dict[str, int] = field(default_factory=dict)
    answerable: bool = False

    def hear(self, sample_rate_hz: int, begins: float) -> Take:
        """Begin to listen to a sound track."""
        span = () if self.span is None else (self.span,)
        self.ears = Ears(self.job.heard, self.job.how, self._give, sample_rate_hz, begins, *span)
        return self.ears.feed

    def _give(self, family: FeatureFamily, windows: Windows) -> None:
        self.answerable |= "ok" in windows.states
        row = row_of(family.name, windows.track)
        self.n_windows[row] = windows.windows[-1].index + 1
        if self.job.how.grid == "speech":  # a grid's windows have their numbers from it
            windows = windows.numbered(self.before.windows_before(windows.track))
        self.job.sink.windows(self.clips, family, windows)

    def show(self, picture: Picture) -> None:
        """Take a picture."""
        self.waiting.append(picture)
        self.last_picture = picture.frame_index
        see(self.seen, (picture.time_seconds, picture.time_seconds))
        if len(self.waiting) == PICTURES_AT_ONCE:
            self._give_pictures()

    def _give_pictures(self) -> None:
        waiting, self.waiting = self.waiting, []
        self.answerable |= any(picture.state == "ok" for picture in waiting)
        if waiting:
            self.job.sink.pictures(self.clips, waiting)

    def finish(self) -> None:
        """Give what waits."""
        if self.ears:
            self.ears.finish()
        self._give_pictures()

    def is_done(self) -> bool:
        """Whether the section was heard."""
        return self.ears is not None and self.ears.is_done

    def found(self, media: Media | None = None) -> Found:
        """Return what was found."""
        return Found(
            self.ears.listened if self.ears else None,
            bool(self.seen) if media is None else media.shown,
            tuple(self.seen),
            self.last_picture,
            media.sound_tracks if media else None,
            media.duration_seconds if media else None,
            self.n_windows,
            self.ears.unfit if self.ears else 0,
            self.answerable,
        )

    def section(self, read: SectionRead, sections: Sections) -> Found:
        """Return what was found in a section that was read to its end."""
        until = read.sound_until if sections.sound else read.film_until
        return replace(self.found(), shown=read.shown, sound_tracks=sections.sound_tracks, duration_seconds=until)

    def broken(self, fault: MediaError) -> Found:
        """Return what was found before a fault."""
        if self.span is None and fault.reason not in OF_THE_FILE:
            return Found(fault=fault)
        try:
            self.finish()
        except MediaError as other:
            fault = other
        return replace(self.found(), fault=fault)
