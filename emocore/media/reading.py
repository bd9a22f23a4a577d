"""A media file's sound and sampled pictures, from one open and one pass."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import KW_ONLY, dataclass
from typing import Any

import av
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from emocore.errors import MediaError
from emocore.media.audio import MAX_SECONDS, Sound, SoundCollector, check_whole
from emocore.media.container import begin, open_container, stated_seconds
from emocore.media.limit import TimeLimit
from emocore.media.resize import DEFAULT_PIXELS
from emocore.media.source import Stream
from emocore.media.stills import is_still, read_still
from emocore.media.video import CannotSkip, Keep, Picture, PictureCollector, whole


@dataclass(frozen=True)
class Reading:
    """What to read of a file, and how long it may take."""

    every: int | None = None  # every n-th picture; None: no pictures
    pixels: int = DEFAULT_PIXELS  # the side of a picture
    faces: bool = False  # keep the largest face of a picture, not the whole of it
    _: KW_ONLY
    sound: bool = True  # False: the sound is not decoded, and may be broken
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

    @property
    def duration_seconds(self) -> float | None:
        """How long the sound lasts, or the film where there is none."""
        return self.sound.duration_seconds if self.sound else self.film_seconds


def read_media(stream: Stream, reading: Reading, keep: Keep | None = None) -> Media:
    """Read the first sound track and, where asked for, every n-th picture of the first film, or a still's only one.

    `keep` makes a picture of a frame: the whole of it unless given. Raises MediaError.
    """
    keep = keep or whole(reading.pixels)
    limit = reading.limit or TimeLimit(reading.seconds_per_file)
    if reading.every and is_still(stream):
        still = Media(None, [keep(0, 0.0, read_still(stream))])
        limit.check("decode")
        return still
    media = _read(stream, reading, keep, limit, may_skip=True)
    if media is None:
        stream.seek(0)
        media = _read(stream, reading, keep, limit, may_skip=False)
    assert media is not None
    return media


def _read(stream: Stream, reading: Reading, keep: Keep, limit: TimeLimit, may_skip: bool) -> Media | None:
    """Return None where no picture may be skipped.

    Not an exception: it would hold what was read until then, and the second reading would come on top of it.
    """
    every = reading.every
    with closing(open_container(stream)) as container:
        film = _film(container)
        track = container.streams.audio[0] if container.streams.audio else None
        heard = track if reading.sound else None
        if track is None and film is None:
            raise MediaError("open", "unsupported", "neither a sound track nor a film in the container")
        _check_length(container, [stream for stream in (heard, film if every else None) if stream])
        first = min(begin(stream) for stream in (track, film) if stream)
        sound = SoundCollector(heard) if heard else None
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
        return Media(
            sound.finish(stated_seconds(container, heard)) if heard and sound else None,
            _finish(container, film, pictures) if film and pictures else None,
            pictures.end_seconds if pictures else stated_seconds(container, film) if film else None,
            float(begin(track) - first) if track else 0.0,
        )


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


def _check_length(container: InputContainer, streams: list[Any]) -> None:
    for seconds in (stated_seconds(container, stream) for stream in streams):
        if seconds is not None and seconds > MAX_SECONDS:
            detail = f"{seconds:.0f} s long: cut the file into parts of {MAX_SECONDS:.0f} s at most"
            raise MediaError("decode", "too_large", detail)


def _film(container: InputContainer) -> VideoStream | None:
    """Return the first video stream that is a film, not the picture of a cover."""
    cover = Disposition.attached_pic
    return next((stream for stream in container.streams.video if not stream.disposition & cover), None)


def _finish(container: InputContainer, film: VideoStream, pictures: PictureCollector) -> list[Picture]:
    check_whole("film", pictures.end_seconds, stated_seconds(container, film))
    return pictures.finish()
