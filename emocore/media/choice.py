"""Which sound track of a file is read, and which of its channels are voices; and its packets, one after the other."""

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream
from numpy.typing import NDArray

from emocore.errors import MediaError
from emocore.media.audio import SoundDecoder, sound_state
from emocore.media.container import begin, open_container
from emocore.media.limit import TimeLimit
from emocore.media.source import Stream

MOST_TRACKS = 8  # that are tried one after the other: languages and microphones
HEAD_SECONDS = 120.0  # of each, by which they are compared


Speaks = Callable[[NDArray[np.float32], int], bool]
"""Whether somebody speaks in float32[samples] at a rate."""


def wanted_track(stream: Stream, number: int | None, limit: TimeLimit, speaks: Speaks | None) -> int | None:
    """Return the number of the sound track to read, the one that is given or by their heads; None: the only one."""
    if number is not None:
        return number
    with closing(open_container(rewound(stream))) as container:
        places = by_preference(container)
    return preferred(stream, places, limit, speaks) if len(places) > 1 else None


def voices_of(
    stream: Stream, number: int | None, limit: TimeLimit, speaks: Speaks | None
) -> tuple[int | None, tuple[int, ...]]:
    """Return the number of the sound track to read, and which of its channels are voices, by its head.

    A fault in it is found by who reads the file. Raises MediaError (too_slow).
    """
    try:
        number = wanted_track(stream, number, limit, speaks)
        with closing(open_container(rewound(stream))) as container:
            track = chosen(container, number)
            if track is None or track.channels == 1:
                return number, ()
            sound = SoundDecoder(track, lambda _: lambda _: None)
            _decode_what_there_is(container, sound, limit)
            return number, sound.mixer.found_voices
    except MediaError as fault:
        if fault.reason == "too_slow":
            raise
        return number, ()


def _decode_what_there_is(container: InputContainer, sound: SoundDecoder, limit: TimeLimit) -> None:
    try:
        decode_head(container, sound, limit)
    except MediaError as fault:
        if fault.reason == "too_slow":
            raise
    sound.stop()


def decode_head(container: InputContainer, sound: SoundDecoder, limit: TimeLimit) -> None:
    """Decode a track until it is known what to take of its channels."""
    for packet in packets(container, [sound.stream.index], limit):
        sound.feed(packet)
        if sound.mixer.is_decided or (sound.zero_pts is not None and sound.stream.channels == 1):
            return


def preferred(stream: Stream, places: list[int], limit: TimeLimit, speaks: Speaks | None) -> int:
    """Return the number of the sound track to read, from 1 on, by the heads of those at these places."""
    audible: int | None = None
    whole: int | None = None
    for place in places[:MOST_TRACKS]:
        head = _head(stream, place, limit)
        if head is None:
            continue
        signal, rate = head
        whole = place + 1 if whole is None else whole
        if sound_state(signal, rate) == "ok":
            if speaks is None or speaks(signal, rate):
                return place + 1
            audible = place + 1 if audible is None else audible
    return audible or whole or places[0] + 1


def _head(stream: Stream, place: int, limit: TimeLimit) -> tuple[NDArray[np.float32], int] | None:
    """Return the head of a sound track and its rate; None where it cannot be decoded."""
    taken: list[NDArray[np.float32]] = []
    try:
        with closing(open_container(rewound(stream))) as container:
            track = container.streams.audio[place]
            sound = SoundDecoder(track, lambda _: taken.append)
            # Of a track that has not begun the film tells where its head ends.
            film = None if sound.rate else film_of(container)
            for packet in packets(container, [track.index, *([film.index] if film else [])], limit):
                if packet.stream.index == track.index:
                    sound.feed(packet)
                if sound.seconds > HEAD_SECONDS or (film and _seconds(packet, film) > HEAD_SECONDS):
                    break
            sound.stop()
    except MediaError as fault:
        if fault.reason == "too_slow":
            raise
        return None
    return (np.concatenate(taken), sound.rate) if taken else None


def _seconds(packet: Any, film: VideoStream) -> float:
    """Return when a packet is decoded, since the film's begin; 0 where it does not say."""
    return 0.0 if packet.dts is None else float(packet.dts * packet.time_base - begin(film))


def rewound(stream: Stream) -> Stream:
    """Return the stream, at its begin."""
    stream.seek(0)
    return stream


def by_preference(container: InputContainer) -> list[int]:
    """Return the places of the sound tracks, those that the file marks as its default first."""
    tracks = container.streams.audio
    return sorted(range(len(tracks)), key=lambda place: not tracks[place].disposition & Disposition.default)


def chosen(container: InputContainer, wanted: int | None) -> AudioStream | None:
    """Return the sound track of this number, from 1 on, or the preferred one; None where there is none.

    Raises MediaError where there are less.
    """
    tracks = container.streams.audio
    if not tracks:
        return None
    if wanted is None:
        return tracks[by_preference(container)[0]]
    if wanted > len(tracks):
        detail = f"{len(tracks)} sound tracks where --sound-track asks for number {wanted}"
        raise MediaError("open", "unsupported", detail)
    return tracks[wanted - 1]


def packets(container: InputContainer, tracks: list[int], limit: TimeLimit) -> Iterator[Any]:
    """Yield the packets of the tracks at these places, looking at the clock. Raises MediaError."""
    try:
        for packet in container.demux([container.streams[index] for index in tracks]) if tracks else ():
            yield packet
            limit.read(n_bytes=packet.size)
            limit.check("decode")
    except av.error.FFmpegError as error:
        raise MediaError("decode", "broken", f"the container cannot be read to its end ({error})") from error
    except IndexError as error:  # PyAV's, of a packet of a track that was not there when the file was opened
        raise MediaError("decode", "broken", "a track begins too far behind the others") from error


def film_of(container: InputContainer) -> VideoStream | None:
    """Return the film that the file marks as its default, or else the first: not the picture of a cover."""
    films = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    return min(films, key=lambda film: not film.disposition & Disposition.default, default=None)
