"""A media file's sound and sampled pictures, from one open and one pass."""

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import av
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from emocore.errors import MediaError
from emocore.media.audio import MAX_SECONDS, Sound, SoundCollector, check_whole
from emocore.media.container import open_container, stated_seconds
from emocore.media.source import Stream
from emocore.media.video import CannotSkip, Picture, PictureCollector


@dataclass(frozen=True)
class Reading:
    """What to read of a file, and how long it may take."""

    every: int | None = None  # every n-th picture; None: no pictures
    seconds_per_file: float = 600.0


SOUND_ONLY = Reading()


@dataclass(frozen=True)
class Media:
    """What a file held: None where it has no such track, or where pictures were not asked for."""

    sound: Sound | None
    pictures: list[Picture] | None
    film_seconds: float | None = None

    @property
    def duration_seconds(self) -> float | None:
        """How long the sound lasts, or the film where there is none."""
        return self.sound.duration_seconds if self.sound else self.film_seconds


def read_media(stream: Stream, reading: Reading) -> Media:
    """Read the first sound track and, where asked for, every n-th picture of the first film. Raises MediaError."""
    deadline = time.monotonic() + reading.seconds_per_file
    try:
        return _read(stream, reading, deadline, may_skip=True)
    except CannotSkip:
        stream.seek(0)
        return _read(stream, reading, deadline, may_skip=False)


def _read(stream: Stream, reading: Reading, deadline: float, may_skip: bool) -> Media:
    with closing(open_container(stream)) as container:
        film = _film(container)
        track = container.streams.audio[0] if container.streams.audio else None
        if track is None and film is None:
            raise MediaError("open", "unsupported", "neither a sound track nor a film in the container")
        _check_length(container, [stream for stream in (track, film if reading.every else None) if stream])
        sound = SoundCollector(track) if track else None
        pictures = PictureCollector(film, reading.every, may_skip) if film and reading.every else None
        takers: dict[int, Any] = {}
        if track and sound:
            takers[track.index] = sound
        if film and pictures:
            takers[film.index] = pictures
        for packet in _packets(container, takers, reading.seconds_per_file, deadline):
            takers[packet.stream.index].feed(packet)
        return Media(
            sound.finish(stated_seconds(container, track)) if track and sound else None,
            _finish(container, film, pictures) if film and pictures else None,
            pictures.end_seconds if pictures else stated_seconds(container, film) if film else None,
        )


def _packets(container: InputContainer, takers: dict[int, Any], seconds: float, deadline: float) -> Iterator[Any]:
    try:
        for packet in container.demux([container.streams[index] for index in takers]) if takers else ():
            yield packet
            if time.monotonic() > deadline:
                raise MediaError("decode", "too_slow", f"not done after {seconds:.0f} s: see --seconds-per-file")
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
