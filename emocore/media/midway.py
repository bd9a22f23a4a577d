"""The sound of a segment of a long file, read from shortly before it: not all that is before each of many segments."""

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from emocore.errors import MediaError
from emocore.media.audio import Enough
from emocore.media.choice import Speaks, chosen, rewound, wanted_track
from emocore.media.container import begin, open_container
from emocore.media.limit import TimeLimit
from emocore.media.reading import Hear, Media, Reading
from emocore.media.sections import SoundTrack, clock_begins, hear_from, seeks_sound, sound_track_of
from emocore.media.source import Stream

LEAST_SECONDS = 30.0  # before a segment, for which to go there
BEFORE_SECONDS = 2.0  # that are decoded too
_MOST_KNOWN = 64


@dataclass(frozen=True)
class _Known:
    """What must be known of a file to read its sound from its midst."""

    track: SoundTrack
    begins: float
    sound_tracks: int


_known: dict[tuple[str, int, int, int | None, bool], _Known | None] = {}  # of files that this process has met


def stream_from(
    stream: Stream, reading: Reading, seconds: float, hear: Hear, speaks: Speaks | None, limit: TimeLimit
) -> Media | None:
    """Hand on a sound from shortly before a moment of the clip's clock to its end, or until `hear` has Enough.

    None, and nothing is handed on, where that is not worth it, or the container does not say exactly what is where, or
    there is nothing from there on. Raises MediaError.
    """
    if seconds < LEAST_SECONDS or reading.sees:
        return None
    known = _known_of(stream, reading, limit, speaks)
    if known is None:
        return None
    with closing(open_container(rewound(stream), [])) as container:
        try:
            read = hear_from(container, known.track, known.begins, seconds - BEFORE_SECONDS, hear, lambda: False, limit)
        except Enough:
            return Media(sound_tracks=known.sound_tracks)
    if read.sound_until is None:
        return None
    return Media(read.sound_until - known.begins, sound_begin_seconds=known.begins, sound_tracks=known.sound_tracks)


def _known_of(stream: Stream, reading: Reading, limit: TimeLimit, speaks: Speaks | None) -> _Known | None:
    name = getattr(stream, "name", None)
    if not isinstance(name, str):
        return None
    state = Path(name).stat()
    key = (name, state.st_size, state.st_mtime_ns, reading.sound_track, reading.apart)
    if key not in _known:
        while len(_known) >= _MOST_KNOWN:
            del _known[next(iter(_known))]
        _known[key] = _find(stream, reading, limit, speaks)
    return _known[key]


def _find(stream: Stream, reading: Reading, limit: TimeLimit, speaks: Speaks | None) -> _Known | None:
    cut: list[MediaError] = []
    try:
        wanted = wanted_track(stream, reading.sound_track, limit, speaks)
        with closing(open_container(rewound(stream), cut)) as container:
            track = chosen(container, wanted)
            if cut or track is None or not seeks_sound(container):
                return None
            if (track.time_base or 1) * track.rate > 1:  # Matroska's stamps are milliseconds, and miss samples
                return None
            found = sound_track_of(container, track, limit, apart=reading.apart)
            begins = float(begin(track) - clock_begins(container))
            return _Known(found, begins, len(container.streams.audio)) if found else None
    except MediaError as fault:  # which is for who reads it from its begin
        if fault.reason == "too_slow":
            raise
        return None
