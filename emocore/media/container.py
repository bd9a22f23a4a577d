"""Open a media container without letting it open anything else."""

import io
import re
import struct
from fractions import Fraction

import av
from av.container import InputContainer
from av.stream import Stream

from emocore.errors import MediaError
from emocore.media.source import Stream as Bytes

# Playlists, concat scripts and SDP are demuxers too, and would open other files or addresses: only these may run.
DEMUXERS = ("wav", "w64", "flac", "mp3", "ogg", "mov", "matroska", "avi", "aac", "aiff")
# The header of these states how long they are; in the others the length is an estimate or read from the last page.
EXACT_DURATION = frozenset({"wav", "w64", "flac", "mov", "matroska", "aiff"})
_MATROSKA_DURATION = re.compile(
    r"([0-9]{1,6}):([0-9]{2}):([0-9]{2}(?:\.[0-9]{1,9})?)"
)  # where Matroska states a track's length
MAX_PIXELS = 2**26  # 67 million; 8K has 33
# Raw samples need no probing beyond their header; FFmpeg would read seconds of them.
_WAV_PROBE_BYTES = 4_096
_UNKNOWN_LENGTHS = frozenset({0, 0x7FFFF000, 0x7FFFFFFF, 0xFFFFFFFF})  # what recorders write into a pipe
_OPTIONS = {
    "format_whitelist": ",".join((*DEMUXERS, "mp4", "m4a", "3gp", "3g2", "mj2", "webm")),
    "protocol_whitelist": "none",
}
# To see what a stream holds FFmpeg decodes its first picture, before we can look at its size.
_CODEC_OPTIONS = {"max_pixels": str(MAX_PIXELS)}


def open_container(stream: Bytes) -> InputContainer:
    """Open the container in the stream's bytes. Raises MediaError: unsupported, broken, or truncated."""
    head = stream.read(12)
    is_wav = head[:4] == b"RIFF" and head[8:] == b"WAVE"
    if is_wav:
        _check_wav_whole(stream)
    stream.seek(0)
    probe = {"probesize": str(_WAV_PROBE_BYTES)} if is_wav else {}
    try:
        return av.open(
            stream, mode="r", options=_CODEC_OPTIONS, container_options=_OPTIONS | probe, metadata_errors="replace"
        )
    except (av.error.InvalidDataError, av.error.ArgumentError) as error:
        raise MediaError("open", "unsupported", f"no readable media container ({error.strerror})") from error
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise MediaError("open", "broken", f"the container cannot be opened ({error})") from error


def _check_wav_whole(stream: Bytes) -> None:
    """Raise MediaError where the data chunk states more bytes than follow: FFmpeg reads such a file as a short one."""
    while len(chunk := stream.read(8)) == 8:
        name, stated = struct.unpack("<4sI", chunk)
        start = stream.tell()
        if name == b"data":
            held = stream.seek(0, io.SEEK_END) - start
            if stated > held and stated not in _UNKNOWN_LENGTHS:
                raise MediaError("open", "truncated", f"{held} bytes of samples where the header states {stated}")
            return
        stream.seek(start + stated + stated % 2)


def begin(stream: Stream) -> Fraction:
    """Return when the stream begins, in seconds on the clock that all streams of its container have."""
    return (stream.start_time or 0) * (stream.time_base or Fraction(0))


def stated_seconds(container: InputContainer, stream: Stream) -> float | None:
    """Return how long the header says that the stream lasts; None where it does not say, or only estimates."""
    if not EXACT_DURATION.intersection(container.format.name.split(",")):
        return None
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    begins = float(begin(stream))  # Matroska states when a track, or the whole, ends
    tag = _MATROSKA_DURATION.fullmatch(stream.metadata.get("DURATION", ""))
    if tag:
        return 3600 * int(tag[1]) + 60 * int(tag[2]) + float(tag[3]) - begins
    if container.duration and len(container.streams) == 1:
        return float(container.duration / av.time_base) - begins
    return None
