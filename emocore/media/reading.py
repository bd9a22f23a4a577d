"""A media file's sound and sampled pictures, from one open and one pass."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import KW_ONLY, dataclass, replace
from functools import partial
from typing import Any

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from emocore.errors import MediaError
from emocore.media.audio import MAX_SECONDS, Sound, SoundCollector, check_whole, sound_state
from emocore.media.container import begin, open_container, stated_seconds, states_length
from emocore.media.limit import TimeLimit
from emocore.media.resize import DEFAULT_PIXELS
from emocore.media.source import Stream
from emocore.media.stills import is_still, read_still
from emocore.media.video import CannotSkip, Keep, Picture, PictureCollector, whole

MOST_TRACKS = 8  # that are tried one after the other: languages and microphones


@dataclass(frozen=True)
class Reading:
    """What to read of a file, and how long it may take."""

    every: int | None = None  # every n-th picture; None: no pictures
    pixels: int = DEFAULT_PIXELS  # the side of a picture
    faces: bool = False  # keep the largest face of a picture, not the whole of it
    _: KW_ONLY
    sound: bool = True  # False: the sound is not decoded, and may be broken
    sound_track: int | None = None  # which one, from 1 on; None: the file's default, or one that can be heard
    seconds_per_file: float = 600.0
    limit: TimeLimit | None = None  # where its time runs already; else it begins with the reading


SOUND_ONLY = Reading()


@dataclass(frozen=True)
class Media:
    """What a file held: None where it has no such track, or where pictures were not asked for.

    Pictures are timed from the begin of the sound or of the film, whichever is earlier, as in players: in most files
    both begin together. Features of the sound and its duration count from its own first sample, which is heard at
    `sound_begin_seconds` of the pictures' times: 0 unless the film begins earlier. What is seen and heard at once has
    one time to within 1 ms in mp4, mov and mkv, but for what a container does not state: AVI that a track begins late,
    and MP3's delay in it (25 ms); mp4 without edit lists the delay of its codecs (AAC: 21 ms at 48 kHz), and with
    them that of Opus where it begins late (7 ms).
    """

    sound: Sound | None
    pictures: list[Picture] | None
    film_seconds: float | None = None
    sound_begin_seconds: float = 0.0  # when its first sample is heard, on the clock of the pictures' times
    sound_tracks: int = 0

    @property
    def duration_seconds(self) -> float | None:
        """How long the sound lasts, or the film where there is none."""
        return self.sound.duration_seconds if self.sound else self.film_seconds


def read_media(stream: Stream, reading: Reading, keep: Keep | None = None) -> Media:
    """Read a sound track and, where asked for, every n-th picture of the first film, or a still's only one.

    Unless the reading names a sound track it is the one that the file marks as its default, else the first; where that
    is silent or cannot be decoded, the first that can be heard. Where the mean of its channels loses what is said, one
    of them is taken alone. `keep` makes a picture of a frame: the whole of it unless given. Raises MediaError.
    """
    keep = keep or whole(reading.pixels)
    limit = reading.limit or TimeLimit(reading.seconds_per_file)
    if reading.every and is_still(stream):
        still = Media(None, [keep(0, 0.0, read_still(stream))])
        limit.check("decode")
        return still
    reading = replace(reading, limit=limit)
    try:
        media = _read_track(stream, reading, keep)
    except MediaError as fault:
        other = None if fault.reason == "too_slow" else _audible(stream, reading, keep)
        if other is None:
            raise
        return other
    if media.sound is None or media.sound_tracks < 2 or _is_heard(media.sound):
        return media
    other = _audible(stream, replace(reading, every=None), keep)
    if other is None:
        return media
    return replace(media, sound=other.sound, sound_begin_seconds=other.sound_begin_seconds)


def _audible(stream: Stream, reading: Reading, keep: Keep) -> Media | None:
    """Read the first sound track after the preferred one that can be decoded and heard; None where there is none."""
    if not reading.sound or reading.sound_track:
        return None
    try:
        with closing(open_container(_rewound(stream))) as container:
            places = _by_preference(container)
    except MediaError:
        return None
    for place in places[1:MOST_TRACKS]:
        try:
            media = _read_track(stream, replace(reading, sound_track=place + 1), keep)
        except MediaError as fault:
            if fault.reason == "too_slow":
                raise
            continue
        if media.sound and _is_heard(media.sound):
            return media
    return None


def _is_heard(sound: Sound) -> bool:
    return sound_state(sound.signal, sound.sample_rate_hz) == "ok"


def _read_track(stream: Stream, reading: Reading, keep: Keep) -> Media:
    """Read again where no picture may be skipped, and where a channel says more than the mean of all."""
    found = _read(_rewound(stream), reading, keep)
    if found is None:
        found = _read(_rewound(stream), reading, keep, may_skip=False)
    assert found is not None
    media, channel = found
    if channel is None:
        return media
    found, media = None, replace(media, sound=None)  # the second reading must not come on top of the first
    alone = _read(_rewound(stream), replace(reading, every=None), keep, channel=channel)
    assert alone is not None
    return replace(media, sound=alone[0].sound)


def _rewound(stream: Stream) -> Stream:
    stream.seek(0)
    return stream


def _by_preference(container: InputContainer) -> list[int]:
    """Return the places of the sound tracks, those that the file marks as its default first."""
    tracks = container.streams.audio
    return sorted(range(len(tracks)), key=lambda place: not tracks[place].disposition & Disposition.default)


def _chosen(container: InputContainer, wanted: int | None) -> AudioStream | None:
    tracks = container.streams.audio
    if not tracks:
        return None
    if wanted is None:
        return tracks[_by_preference(container)[0]]
    if wanted > len(tracks):
        detail = f"{len(tracks)} sound tracks where --sound-track asks for number {wanted}"
        raise MediaError("open", "unsupported", detail)
    return tracks[wanted - 1]


def _read(
    stream: Stream, reading: Reading, keep: Keep, may_skip: bool = True, channel: int | None = None
) -> tuple[Media, int | None] | None:
    """Return what was read, and the channel that would be better alone; None where no picture may be skipped.

    Not an exception: it would hold what was read until then, and the second reading would come on top of it.
    """
    every, limit = reading.every, reading.limit
    assert limit is not None
    stated = partial(stated_seconds, states_length=states_length(stream))
    with closing(open_container(stream)) as container:
        film = _film(container)
        track = _chosen(container, reading.sound_track)
        heard = track if reading.sound else None
        if track is None and film is None:
            raise MediaError("open", "unsupported", "neither a sound track nor a film in the container")
        _check_length([stated(container, stream) for stream in (heard, film if every else None) if stream])
        first = min(begin(stream) for stream in (*container.streams.audio, film) if stream)
        sound = SoundCollector(heard, channel) if heard else None
        pictures = (
            PictureCollector(film, every, may_skip, begin(film) - first, reading.pixels, keep)
            if film and every
            else None
        )
        takers = {t.index: taker for t, taker in ((heard, sound), (film, pictures)) if t and taker}
        try:
            _feed(container, takers, limit)
        except CannotSkip:
            return None
        media = Media(
            sound.finish(stated(container, heard)) if heard and sound else None,
            _finish(pictures, stated(container, film)) if film and pictures else None,
            pictures.end_seconds if pictures else stated(container, film) if film else None,
            float(begin(track) - first) if track else 0.0,
            len(container.streams.audio),
        )
        return media, sound.better_channel() if sound else None


def _feed(container: InputContainer, takers: dict[int, Any], limit: TimeLimit) -> None:
    for packet in _packets(container, list(takers), limit):
        takers[packet.stream.index].feed(packet)


def _packets(container: InputContainer, tracks: list[int], limit: TimeLimit) -> Iterator[Any]:
    try:
        for packet in container.demux([container.streams[index] for index in tracks]) if tracks else ():
            yield packet
            limit.check("decode")
    except av.error.FFmpegError as error:
        raise MediaError("decode", "broken", f"the container cannot be read to its end ({error})") from error


def _check_length(stated: list[float | None]) -> None:
    for seconds in stated:
        if seconds is not None and seconds > MAX_SECONDS:
            detail = f"{seconds:.0f} s long: cut the file into parts of {MAX_SECONDS:.0f} s at most"
            raise MediaError("decode", "too_large", detail)


def _film(container: InputContainer) -> VideoStream | None:
    """Return the film that the file marks as its default, or else the first: not the picture of a cover."""
    films = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    return min(films, key=lambda film: not film.disposition & Disposition.default, default=None)


def _finish(pictures: PictureCollector, stated: float | None) -> list[Picture]:
    check_whole("film", pictures.end_seconds, stated)
    return pictures.finish()
