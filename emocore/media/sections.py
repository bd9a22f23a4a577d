"""A long file in sections, each of which can be read by itself: where they lie is a property of the file alone."""

import io
import math
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from typing import Any, NamedTuple

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Stream as Track

from emocore.errors import MediaError
from emocore.media.audio import SoundDecoder, SoundStart
from emocore.media.choice import Speaks, chosen, decode_head, film_of, packets, rewound, wanted_track
from emocore.media.container import begin, open_container, stated_seconds, states_length
from emocore.media.limit import TimeLimit
from emocore.media.reading import Hear, Reading
from emocore.media.sampling import Sampling
from emocore.media.source import MEMBER, Stream, split_segment
from emocore.media.stills import is_still
from emocore.media.video import (
    MOST_WAITING,
    WHOLE_FILM,
    CannotSkip,
    Keep,
    PictureDecoder,
    Ranks,
    Scene,
    Show,
    is_flush,
)

SECTION_SECONDS = 300.0
LEAST_SECONDS = 600.0  # what is shorter is read in one piece
LONG_BYTES = 2**24  # what has less is read in one piece too: so much is known before a file is opened
SECTION_BYTES = 2**17  # that a section has at least, whatever length a header claims
WARM_SECONDS = 8.0  # that a section hears before it begins: codecs, resamplers, and who listens for speech
_PREROLL_SECONDS = 1.0  # before those, of packets: a codec's frames overlap, and MP3's share their bits
# Where FFmpeg goes back to an exact stamp; in the other containers it guesses, or streams may be joined end to end.
_SOUND_SEEKS = frozenset({"wav", "w64", "flac", "mp3", "mov", "matroska", "aac", "aiff", "au", "caf"})
_FILM_SEEKS = frozenset({"mov", "matroska"})


@dataclass(frozen=True)
class SoundTrack:
    """The sound track that is read: its number from 1 on, the stamp of its first sample, and the channels to take."""

    number: int
    zero_pts: int
    channel: int
    voices: tuple[int, ...] = ()  # the channels that are heard each by itself


@dataclass(frozen=True)
class Sections:
    """Where a file is cut: where its sections begin, in seconds on the clip's clock, and what they all have to know.

    The first begins with the file, and the last goes on to its end. Either a sound is read or a film.
    """

    begins: tuple[float, ...]
    sound_tracks: int
    stated_seconds: float | None  # how long the header says that the track lasts
    begins_seconds: float  # when that track begins
    sound: SoundTrack | None = None
    scenes: tuple[Scene, ...] = ()

    def __len__(self) -> int:
        return len(self.begins)

    def span(self, number: int) -> tuple[float, float]:
        """Return [begin, end) of a section, −inf and inf where the file has no more."""
        ends = (*self.begins[1:], math.inf)
        return (self.begins[number] if number else -math.inf), ends[number]

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> "Sections":
        """Return what `to_json` gave."""
        track = told["sound"]
        sound = SoundTrack(**{**track, "voices": tuple(track["voices"])}) if track else None
        scenes = tuple(Scene(**scene) for scene in told["scenes"])
        return cls(**{**told, "begins": tuple(told["begins"]), "sound": sound, "scenes": scenes})


def may_be_long(path: str, n_bytes: int) -> bool:
    """Whether a file of so many bytes may be cut: no member of a zip, which is in memory, and no segment."""
    return n_bytes >= LONG_BYTES and MEMBER not in path and split_segment(path)[1] is None


def sections_of(stream: Stream, reading: Reading, limit: TimeLimit, speaks: Speaks | None = None) -> Sections | None:
    """Return where a file is cut of which either a sound or a film is read; None where it is read in one piece.

    A fault in it is found by who reads it. Raises MediaError (too_slow).
    """
    try:
        n_bytes = stream.seek(0, io.SEEK_END)
        if (reading.sees and (reading.sound or is_still(stream))) or n_bytes < LONG_BYTES:
            return None
        told = (n_bytes, states_length(stream))  # asked before FFmpeg reads the stream, as it does not look where it is
        cut: list[MediaError] = []
        with closing(open_container(rewound(stream), cut)) as container:
            if cut:
                return None
            if reading.sees:
                return _film_sections(container, limit, *told)
        wanted = wanted_track(stream, reading.sound_track, limit, speaks)
        with closing(open_container(rewound(stream))) as container:
            return _sound_sections(container, wanted, limit, *told, apart=reading.apart)
    except (MediaError, CannotSkip) as fault:
        if isinstance(fault, MediaError) and fault.reason == "too_slow":
            raise
        return None
    finally:
        rewound(stream)


def _seeks(container: InputContainer, names: frozenset[str]) -> bool:
    return not names.isdisjoint(container.format.name.split(","))


def seeks_sound(container: InputContainer) -> bool:
    """Whether FFmpeg goes back to an exact stamp in its sound tracks."""
    return _seeks(container, _SOUND_SEEKS)


def clock_begins(container: InputContainer) -> Fraction:
    """Return when the clip's clock begins, on that of the container."""
    film = film_of(container)
    return min(begin(track) for track in (*container.streams.audio, film) if track)


def _places(seconds: float, n_bytes: int) -> list[float]:
    """Return where the sections begin of a track that lasts so long, in so many bytes."""
    n = int((seconds - SECTION_SECONDS / 2) // SECTION_SECONDS) + 1 if seconds >= LEAST_SECONDS else 1
    return [SECTION_SECONDS * place for place in range(min(n, n_bytes // SECTION_BYTES))]


def _sound_sections(
    container: InputContainer, wanted: int | None, limit: TimeLimit, n_bytes: int, states_length: bool, *, apart: bool
) -> Sections | None:
    if not seeks_sound(container):
        return None
    track = chosen(container, wanted)
    if track is None:
        return None
    stated = stated_seconds(container, track, states_length)
    lasts = stated or (container.duration or 0) / 1e6
    begins = float(begin(track) - clock_begins(container))
    places = _places(begins + lasts, n_bytes)
    if len(places) < 2:
        return None
    found = sound_track_of(container, track, limit, apart=apart)
    sections = Sections(tuple(places), len(container.streams.audio), stated, begins, found)
    return sections if found else None


def sound_track_of(
    container: InputContainer, track: AudioStream, limit: TimeLimit, *, apart: bool = False
) -> SoundTrack | None:
    """Return what must be known of a sound track to read it from its midst; None where its stamps do not say."""
    sound = SoundDecoder(track, lambda _: lambda _: None)
    decode_head(container, sound, limit)
    sound.stop()
    if sound.zero_pts is None:
        return None
    voices = sound.mixer.found_voices if apart else ()
    return SoundTrack(container.streams.audio.index(track) + 1, sound.zero_pts, sound.mixer.channel, voices)


class _Key(NamedTuple):
    """The packet of a picture that needs no other one."""

    pts: int
    seek_ts: int
    rank: int  # of its picture, among all as they are shown
    before_pts: int | None = None  # of the picture that is shown before it


def _film_sections(container: InputContainer, limit: TimeLimit, n_bytes: int, states_length: bool) -> Sections | None:
    film = film_of(container)
    if film is None or not _seeks(container, _FILM_SEEKS) or film.codec_context is None:
        return None
    begins = begin(film) - clock_begins(container)
    stated = stated_seconds(container, film, states_length)
    places = _places(float(begins) + (stated or (container.duration or 0) / 1e6), n_bytes)
    if len(places) < 2:
        return None
    origin = film.start_time or 0
    tick = film.time_base or Fraction(1)
    wanted = [origin + math.ceil((Fraction(place) - begins) / tick) for place in places[1:]]
    cuts = _cuts(packets(container, [film.index], limit), wanted)
    if film.codec_context.name == "h264" and any(start != key for start, key in cuts):
        return None  # what follows such a key frame may count pictures from before it
    stops = [(key.rank, key.pts) for _, key in cuts]
    scenes = [
        WHOLE_FILM,
        *(Scene(start.pts, start.seek_ts, start.rank, key.rank, before_pts=start.before_pts) for start, key in cuts),
    ]
    for place, (rank, pts) in enumerate(stops):
        scenes[place] = replace(scenes[place], stop=rank, stop_pts=pts)
    seconds = [float(begins + (key.pts - origin) * tick) for _, key in cuts]
    found = Sections((0.0, *seconds), len(container.streams.audio), stated, float(begins), scenes=tuple(scenes))
    return found if cuts else None


def _cuts(film: Iterator[Any], wanted: list[int]) -> list[tuple[_Key, _Key]]:
    """Return the first key frame at each of these stamps or behind it, and the one from which to decode for it.

    Where pictures are shown before their key frame that refer to what is before it, that is the key frame before.
    Raises CannotSkip where the packets do not prove which picture is which.
    """
    ranks, keys = Ranks(), _Keys()
    cuts: list[tuple[_Key, _Key]] = []
    for packet in film:
        if is_flush(packet):
            break
        ranks.add(packet)
        if len(ranks.waiting) > MOST_WAITING:
            raise CannotSkip
        keys.add(packet)
        for start, key in keys.settle(ranks):
            if wanted and key.pts >= wanted[0]:
                cuts.append((start, key))
                wanted = [stamp for stamp in wanted if stamp > key.pts]
    return cuts


class _Keys:
    """The key frames of a film, as its packets come."""

    def __init__(self) -> None:
        self._seeks: dict[int, int] = {}  # of those that are not settled, by their stamps
        self._leading: set[int] = set()  # those before which later packets are shown
        self._last: int | None = None
        self._before: _Key | None = None

    def add(self, packet: Any) -> None:
        if packet.is_keyframe and not packet.is_discard:
            self._last = packet.pts
            self._seeks[packet.pts] = packet.pts if packet.dts is None else min(packet.pts, packet.dts)
        elif self._last is not None and packet.pts < self._last:
            self._leading.add(self._last)

    def settle(self, ranks: Ranks) -> Iterator[tuple[_Key, _Key]]:
        """Yield the key frames whose pictures are numbered, each with that from which to decode for it."""
        for pts, rank in ranks.rank_of.items():
            if pts in self._seeks:
                key = _Key(pts, self._seeks.pop(pts), *rank)
                start = self._before if pts in self._leading else key
                self._leading.discard(pts)
                self._before = key
                if start:
                    yield start, key
        ranks.rank_of.clear()


@dataclass(frozen=True)
class SectionRead:
    """What a section held: up to when on the clip's clock there was sound, or film; None where nothing was."""

    sound_until: float | None = None
    film_until: float | None = None
    shown: bool = False


def stream_section(
    stream: Stream,
    reading: Reading,
    sections: Sections,
    number: int,
    hear: Hear | None = None,
    show: Show | None = None,
    keep: Keep | None = None,
    is_done: Callable[[], bool] = lambda: False,
) -> SectionRead:
    """Hand on the sound of a section, from WARM_SECONDS before it on until `is_done`, or its pictures.

    Raises MediaError; CannotSkip where the film must be read in one piece from the next picture on.
    """
    limit = reading.limit or TimeLimit(reading.seconds_per_file)
    with closing(open_container(rewound(stream), [])) as container:
        if sections.sound:
            assert hear
            return _hear_section(container, sections, number, hear, is_done, limit)
        assert show and keep and reading.sampling
        return _show_section(container, sections, number, reading.sampling, show, keep, limit)


def _hear_section(
    container: InputContainer,
    sections: Sections,
    number: int,
    hear: Hear,
    is_done: Callable[[], bool],
    limit: TimeLimit,
) -> SectionRead:
    assert sections.sound
    since = sections.begins[number] - WARM_SECONDS if number else -math.inf
    return hear_from(container, sections.sound, sections.begins_seconds, since, hear, is_done, limit)


def hear_from(
    container: InputContainer,
    told: SoundTrack,
    begins: float,
    since: float,
    hear: Hear,
    is_done: Callable[[], bool],
    limit: TimeLimit,
) -> SectionRead:
    """Hand on a sound track that begins at so many seconds of the clip's clock, from a moment on until `is_done`.

    The first sample that is handed on is that of a whole second of the track.
    """
    track = container.streams.audio[told.number - 1]
    first = max(0, math.floor(max(since, begins) - begins))
    start = SoundStart(told.zero_pts, told.channel, first * int(track.rate), told.voices)
    if first > 0:
        _seek(container, track, told.zero_pts + math.floor((first - _PREROLL_SECONDS) / (track.time_base or 1)))
    sound = SoundDecoder(track, lambda rate: hear(rate, begins + start.sample / rate), start)
    try:
        for packet in packets(container, [track.index], limit):
            sound.feed(packet)
            limit.read(media_seconds=sound.decoded_seconds)
            if is_done():
                break
    finally:
        sound.stop()
    return SectionRead(begins + sound.seconds if sound.samples > sound.begin else None)


def _show_section(
    container: InputContainer,
    sections: Sections,
    number: int,
    sampling: Sampling,
    show: Show,
    keep: Keep,
    limit: TimeLimit,
) -> SectionRead:
    film = film_of(container)
    assert film
    scene, begins = sections.scenes[number], begin(film) - clock_begins(container)
    pictures = PictureDecoder(film, sampling, show, keep, begins=begins, scene=scene)
    if number:
        _seek(container, film, scene.seek_ts)
    for packet in _packets_of(scene, packets(container, [film.index], limit), number > 0):
        pictures.feed(packet)
        limit.read(media_seconds=pictures.decoded_seconds)
    return SectionRead(film_until=float(begins) + pictures.end_seconds, shown=True)


def _packets_of(scene: Scene, film: Iterator[Any], is_sought: bool) -> Iterator[Any]:
    """Yield the packets of a scene, None at its end. Raises CannotSkip where its first is not there."""
    is_there = not is_sought
    for packet in film:
        if is_flush(packet):
            break
        if packet.pts is None:
            raise CannotSkip
        is_there |= packet.pts == scene.first_pts and packet.is_keyframe
        if not is_there or (is_sought and packet.pts < scene.first_pts):
            continue
        at = packet.pts if packet.dts is None else packet.dts
        if scene.stop_pts is not None and at >= scene.stop_pts:
            break
        yield packet
    if not is_there:
        raise CannotSkip
    yield None


def _seek(container: InputContainer, track: Track, stamp: int) -> None:
    try:
        container.seek(stamp, stream=track, backward=True)
    except av.error.FFmpegError as error:
        raise MediaError("decode", "broken", f"the container cannot be read from its midst ({error})") from error
