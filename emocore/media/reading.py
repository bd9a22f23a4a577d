"""A media file's sound and sampled pictures, handed on as they are decoded, from one open and one pass."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import KW_ONLY, dataclass, replace
from fractions import Fraction
from functools import partial
from typing import Any

from av.audio.stream import AudioStream
from av.container import InputContainer
from av.video.stream import VideoStream

from emocore.errors import MediaError
from emocore.media.audio import Enough, SoundDecoder, Take, check_whole
from emocore.media.choice import Speaks, by_preference, chosen, film_of, packets, preferred, rewound, voices_of
from emocore.media.container import begin, check_time, open_container, stated_seconds, states_length
from emocore.media.limit import TimeLimit
from emocore.media.resize import DEFAULT_PIXELS
from emocore.media.sampling import Sampling
from emocore.media.source import Stream
from emocore.media.stills import is_still, read_still
from emocore.media.video import CannotSkip, Keep, PictureDecoder, Show


@dataclass(frozen=True)
class Reading:
    """What to read of a file, and how long it may take."""

    every: int | None = None  # every n-th picture of a film
    pixels: int = DEFAULT_PIXELS  # the side of a picture
    faces: bool = False  # keep the largest face of a picture, not the whole of it
    _: KW_ONLY
    frames_per_second: float | None = None  # so many pictures a second of it instead; neither: no pictures
    sound: bool = True  # False: the sound is not decoded, and may be broken
    sound_track: int | None = None  # which one, from 1 on; None: the file's default, or one that can be heard
    apart: bool = False  # channels are voices, each of which is heard by itself
    voices: tuple[int, ...] = ()  # which of its channels those are, where that was decided; none: they are mixed
    seconds_per_file: float = 600.0
    limit: TimeLimit | None = None  # where its time runs already; else it begins with the reading

    @property
    def sampling(self) -> Sampling | None:
        """Which pictures of a film are looked at; None: none, and no still image."""
        if self.every is None and self.frames_per_second is None:
            return None
        return Sampling(self.every, self.frames_per_second)

    @property
    def sees(self) -> bool:
        """Whether pictures are looked at."""
        return self.sampling is not None


SOUND_ONLY = Reading()


Hear = Callable[[int, float], Take]
"""Told the rate of a sound track and when it begins, on the clip's clock; returns what takes its samples.

These are float32[samples], and float32[voices, samples] where channels are voices.
"""


@dataclass(frozen=True)
class Media:
    """What a file held, as far as it was asked for.

    The clip's clock begins with the sound or the film, whichever is earlier, as in players: in most files both begin
    together. What is seen and heard at once has one time to within 1 ms in mp4, mov and mkv, but for what a container
    does not state: AVI that a track begins late, unless its header says so, and MP3's delay in it (25 ms); mp4 whose
    edit lists do not speak of it, MPEG-TS, FLV and bare AAC the delay of their codecs (AAC: 21 ms at 48 kHz, MP3: 25),
    by which the clock begins earlier; and mp4 with edit lists that of Opus where it begins late (7 ms). Where an edit
    list cuts something out of the midst of a track, FFmpeg cuts sound at a packet (AAC: 21 ms), and shows the pictures
    behind it later by as many as its codec reorders (H.264: two or three). FLAC in Ogg that was cut out of a stream
    begins with silence; and in mkv, MPEG-TS and FLV sound that begins over ten minutes behind the film is too early.
    """

    sound_seconds: float | None = None  # how long the sound lasts; None where there is none, or it was not asked for
    film_seconds: float | None = None  # how long the film lasts; None where there is none
    film_begin_seconds: float = 0.0  # when its first picture is shown, on the clip's clock
    sound_begin_seconds: float = 0.0  # when its first sample is heard, on the clip's clock
    sound_tracks: int = 0
    shown: bool = False  # whether there were pictures

    @property
    def duration_seconds(self) -> float | None:
        """When the sound ends, or the film where there is none, on the clip's clock."""
        if self.sound_seconds is not None:
            return self.sound_begin_seconds + self.sound_seconds
        return None if self.film_seconds is None else self.film_begin_seconds + self.film_seconds


def stream_media(
    stream: Stream,
    reading: Reading,
    hear: Hear | None = None,
    show: Show | None = None,
    keep: Keep | None = None,
    speaks: Speaks | None = None,
    after: int = -1,
) -> Media:
    """Hand on a sound track and, where asked for, pictures of the first film, or a still's only one.

    Pictures up to the index `after` are left out.
    Unless the reading names a sound track it is the first of which the head speaks, else the first that can be heard,
    those before others that the file marks as its default. `keep` makes a picture of a frame, and `show` takes it.
    What was decoded before a MediaError has been handed on. Where Enough ends the reading, how long the file lasts is
    not known.
    """
    limit = reading.limit or TimeLimit(reading.seconds_per_file)
    reading = replace(reading, limit=limit)
    if reading.sees and is_still(stream):
        assert show and keep
        show(keep(0, 0.0, read_still(stream)))
        limit.check("decode")
        return Media(shown=True)
    if hear and reading.apart:
        wanted, voices = voices_of(stream, reading.sound_track, limit, speaks)
        reading = replace(reading, sound_track=wanted, voices=voices)
    shown = _Shown(show, after)
    try:
        return _read_through(stream, reading, hear, shown, keep)
    except _SeveralTracks as several:
        reading = replace(reading, sound_track=preferred(stream, several.places, limit, speaks))
    return _read_through(stream, reading, hear, shown, keep)


def _read_through(stream: Stream, reading: Reading, hear: Hear | None, shown: "_Shown", keep: Keep | None) -> Media:
    """Read a file, and its film again where no picture may be skipped."""
    try:
        try:
            return _read(rewound(stream), reading, hear, shown, keep)
        except CannotSkip:
            return _read(rewound(stream), reading, None, shown, keep, before=shown.media)
    except Enough:
        assert shown.media
        return shown.media


class _SeveralTracks(Exception):
    """There are several sound tracks, at these places, the preferred first, and none was asked for."""

    def __init__(self, places: list[int]) -> None:
        self.places = places


class _Shown:
    """Counts the pictures that were handed on, so that a second reading goes on behind them."""

    def __init__(self, show: Show | None, after: int) -> None:
        self.show = show
        self.last = after
        self.media: Media | None = None  # what was found so far

    def __call__(self, picture: Any) -> None:
        assert self.show
        self.show(picture)
        self.last = picture.frame_index


def _read(
    stream: Stream,
    reading: Reading,
    hear: Hear | None,
    shown: _Shown,
    keep: Keep | None,
    before: Media | None = None,
) -> Media:
    """Return what was read; `before`: pictures may not be skipped, and this was heard by the reading that skipped.

    Raises CannotSkip.
    """
    limit = reading.limit
    assert limit is not None
    stated = partial(stated_seconds, states_length=states_length(stream))
    cut: list[MediaError] = []
    with closing(open_container(stream, cut)) as container:
        film = film_of(container)
        track = chosen(container, reading.sound_track)
        if track is None and film is None:
            raise MediaError("open", "unsupported", "neither a sound track nor a film in the container")
        if hear and reading.sound_track is None and len(container.streams.audio) > 1:
            raise _SeveralTracks(by_preference(container))
        first = min(begin(stream) for stream in (*container.streams.audio, film) if stream)
        sound_begins = float(begin(track) - first) if track else 0.0
        sound = _sound(track, hear, sound_begins, reading.voices) if track and hear else None
        film_begins = begin(film) - first if film else Fraction(0)
        pictures = _pictures(film, reading, shown, keep, film_begins, may_skip=before is None)
        told = (float(film_begins), sound_begins, len(container.streams.audio), pictures is not None)
        shown.media = Media(None, None, *told)
        takers = {t.index: taker for t, taker in ((track, sound), (film, pictures)) if t and taker}
        cannot_skip = _feed(container, takers, limit)
        for fault in cut:  # what is left of the file is handed on
            if sound:
                sound.stop()
            raise fault
        heard = sound.finish(stated(container, track)) if sound and track else before.sound_seconds if before else None
        lasts = pictures.end_seconds if pictures else stated(container, film) if film else None
        shown.media = Media(heard, lasts, *told)
        if cannot_skip:
            raise cannot_skip
        if pictures:
            check_whole("film", pictures.end_seconds, stated(container, film) if film else None)
            pictures.finish()
        return shown.media


def _sound(track: AudioStream, hear: Hear, begins: float, voices: tuple[int, ...]) -> SoundDecoder:
    check_time(begins)
    return SoundDecoder(track, lambda rate: hear(rate, begins), voices=voices)


def _pictures(
    film: VideoStream | None, reading: Reading, shown: _Shown, keep: Keep | None, begins: Fraction, *, may_skip: bool
) -> PictureDecoder | None:
    if film is None or keep is None or reading.sampling is None:
        return None
    return PictureDecoder(film, reading.sampling, shown, keep, may_skip=may_skip, begins=begins, after=shown.last)


def _feed(container: InputContainer, takers: dict[int, Any], limit: TimeLimit) -> CannotSkip | None:
    """Feed packets to what takes them; return the reason to read the film again, whose sound was read to its end."""
    cannot_skip: CannotSkip | None = None
    try:
        for packet in packets(container, list(takers), limit):
            taker = takers.get(packet.stream.index)
            try:
                if taker:
                    taker.feed(packet)
                    limit.read(media_seconds=taker.decoded_seconds)
            except CannotSkip as error:
                cannot_skip = error
                del takers[packet.stream.index]
                if not takers:
                    break
    except MediaError:
        for taker in takers.values():
            taker.stop()
        raise
    return cannot_skip
