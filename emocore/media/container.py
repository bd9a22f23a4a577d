"""Open a media container without letting it open anything else."""

import errno
import io
import math
import re
import struct
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import NamedTuple

import av
from av.container import InputContainer
from av.stream import Stream

from emocore.errors import MediaError
from emocore.media.source import Stream as Bytes

# Playlists, concat scripts and SDP are demuxers too, and would open other files or addresses: only these may run.
DEMUXERS = (
    *("wav", "w64", "flac", "mp3", "ogg", "mov", "matroska", "avi", "aac", "aiff"),
    *("amr", "asf", "au", "caf", "flv", "mpeg", "mpegts"),
)
# The header of these states how long they are; in the others the length is an estimate or read from the last page.
EXACT_DURATION = frozenset({"wav", "w64", "flac", "mov", "matroska", "aiff", "asf", "au", "caf"})
_MATROSKA_DURATION = re.compile(
    r"([0-9]{1,6}):([0-9]{2}):([0-9]{2}(?:\.[0-9]{1,9})?)"
)  # where Matroska states a track's length
MOST_SECONDS = 1e8  # three years
MAX_PIXELS = 2**26  # 67 million; 8K has 33
# Raw samples need no probing beyond their header; FFmpeg would read seconds of them.
_WAV_PROBE_BYTES = 4_096
# FLV's tracks are known by their first packet. What is probed is held: for most, FFmpeg's own 5 MB do.
_FAR_PROBE = {"probesize": str(2**26), "analyzeduration": str(60_000_000)}
_NEAR_BYTES = 2**16  # 2³¹ and 2³², less some header, are what recorders state where they cannot know the length
_HEADER_BYTES = 2**16  # within which Matroska's description of the whole is looked for
_ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")  # these two by Microsoft's specification, 10.2
_ASF_FILE_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_ISO_BEGIN = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")  # ISO/IEC 14496-12, and QuickTime before it
_ISO_DESCRIPTION = (b"moov", b"moof", b"meta")  # of a film, of a stretch of one, of stills
_MOST_BOXES = 1_000  # a whole file has a handful, and one in fragments begins with moov
_SEGMENT, _INFO, _DURATION = 0x18538067, 0x1549A966, 0x4489  # RFC 9559, 5.1.2
_OPTIONS = {
    "format_whitelist": ",".join((*DEMUXERS, "mp4", "m4a", "3gp", "3g2", "mj2", "webm")),
    "protocol_whitelist": "none",
}
# To see what a stream holds FFmpeg decodes its first picture, before we can look at its size.
_CODEC_OPTIONS = {"max_pixels": str(MAX_PIXELS)}


def open_container(stream: Bytes, cut: list[MediaError] | None = None) -> InputContainer:
    """Open the container in the stream's bytes. Raises MediaError: unsupported, broken, or truncated.

    `cut`: takes the last, so that what is left can be read; unless that is nothing.
    """
    try:
        _check_begin(stream)
    except MediaError as fault:
        if cut is None or fault.reason != "truncated":
            raise
        cut.append(fault)
    try:
        return _opened(stream)
    except MediaError:
        for missing in cut or ():
            raise missing from None
        raise


def _check_begin(stream: Bytes) -> None:
    """Raise MediaError for what FFmpeg would read otherwise than it is meant, and where bytes are missing."""
    stream.seek(0)
    head = stream.read(12)
    if head[:4] == b"RIFX":  # FFmpeg takes its samples for little-endian ones, which makes noise of them
        raise MediaError("open", "unsupported", "a big-endian WAV (RIFX): write it as an ordinary WAV (RIFF)")
    chunks = next((layout for layout in _CHUNKS if head.startswith(layout.begin)), None)
    if chunks:
        _check_whole(stream, chunks)
    if head == _ASF_HEADER[:12]:
        _check_asf_whole(stream)
    if head[4:8] in _ISO_BEGIN:
        _check_iso_whole(stream)


def _opened(stream: Bytes) -> InputContainer:
    stream.seek(0)
    head = stream.read(12)
    probe = {"probesize": str(_WAV_PROBE_BYTES)} if head[:4] == b"RIFF" and head[8:] == b"WAVE" else {}
    container = _probed(stream, probe)
    if not _lacks_flv_track(head, container):
        return container
    container.close()
    return _probed(stream, _FAR_PROBE)


def _lacks_flv_track(head: bytes, container: InputContainer) -> bool:
    """Whether FLV's header says that there is sound, or a film, and none of it was met."""
    if head[:3] != b"FLV":
        return False
    return bool((head[4] & 4 and not container.streams.audio) or (head[4] & 1 and not container.streams.video))


def _probed(stream: Bytes, probe: dict[str, str]) -> InputContainer:
    stream.seek(0)
    try:
        return av.open(
            _Seekable(stream),
            mode="r",
            options=_CODEC_OPTIONS,
            container_options=_OPTIONS | probe,
            metadata_errors="replace",
        )
    except (av.error.InvalidDataError, av.error.ArgumentError) as error:
        raise MediaError("open", "unsupported", f"no readable media container ({error.strerror})") from error
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise MediaError("open", "broken", f"the container cannot be opened ({error})") from error


class _Seekable:
    """The stream, for FFmpeg: a place that cannot be is answered for by a number, as PyAV writes out exceptions."""

    def __init__(self, stream: Bytes) -> None:
        self.stream = stream
        self.read, self.tell, self.seekable = stream.read, stream.tell, stream.seekable
        if isinstance(name := getattr(stream, "name", None), str):
            self.name = name

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Return the new place, or the number of an error."""
        try:
            return self.stream.seek(offset, whence)
        except (OSError, ValueError, OverflowError):
            return -errno.EINVAL


class _Chunks(NamedTuple):
    """How a container of samples lays out its chunks: what it begins with, and where the first chunk is."""

    begin: bytes
    first: int
    header: str  # of a chunk, for struct: a name, and the size of what follows
    size_has_header: bool
    align: int
    byte_rate: Callable[[Bytes], float]  # of the chunk that describes the samples


def _wav_byte_rate(stream: Bytes) -> float:
    return float(struct.unpack("<8xI", stream.read(12))[0])


def _caf_byte_rate(stream: Bytes) -> float:
    rate, bytes_, frames = struct.unpack(">d8xII", stream.read(24))
    return float(rate * bytes_ / frames) if frames and math.isfinite(rate) else 0.0


_CHUNKS = (
    _Chunks(b"RIFF", 12, "<4sI", False, 2, _wav_byte_rate),
    _Chunks(b"riff\x2e\x91\xcf\x11", 40, "<4s12xQ", True, 8, _wav_byte_rate),  # Sony Wave64
    _Chunks(b"caff", 8, ">4sq", False, 1, _caf_byte_rate),
)


def _check_whole(stream: Bytes, layout: _Chunks) -> None:
    """Raise MediaError where the samples' chunk states more than follows: FFmpeg reads such a file as a short one."""
    byte_rate, at = 0.0, layout.first
    header = struct.calcsize(layout.header)
    end = stream.seek(0, io.SEEK_END)
    while at + header <= end:
        stream.seek(at)
        name, size = struct.unpack(layout.header, stream.read(header))
        at += header
        stated = size - header if layout.size_has_header else size
        if name in (b"fmt ", b"desc") and end - at >= 24:
            byte_rate = layout.byte_rate(stream)
        if name == b"data":
            held = end - at
            grace = missing_allowed(stated / byte_rate) * byte_rate if byte_rate > 0 and held else 0.0
            if stated - held > grace and not _is_placeholder(stated):
                raise MediaError("open", "truncated", f"{held} bytes of samples where the header states {stated}")
            return
        if stated < 0:
            return
        at += stated + -stated % layout.align


def _check_asf_whole(stream: Bytes) -> None:
    """Raise MediaError where the file properties state a larger file: FFmpeg only leaves out how long it lasts."""
    stream.seek(0)
    head = stream.read(_HEADER_BYTES)
    at = head.find(_ASF_FILE_PROPERTIES)
    if at < 0 or at + 92 > len(head):
        return
    (stated,), (flags,) = struct.unpack_from("<Q", head, at + 40), struct.unpack_from("<I", head, at + 88)
    held = stream.seek(0, io.SEEK_END)
    if not flags & 1 and held < 0.99 * stated and not _is_placeholder(stated):  # 1: a broadcast, of no length
        raise MediaError("open", "truncated", f"{held} bytes where the header states {stated}")


def _check_iso_whole(stream: Bytes) -> None:
    """Raise MediaError where MP4 or QuickTime ends before what describes its samples: FFmpeg finds nothing in it."""
    end, at, samples = stream.seek(0, io.SEEK_END), 0, False
    for _ in range(_MOST_BOXES):
        if at + 8 > end:
            break
        stream.seek(at)
        size, name = struct.unpack(">I4s", stream.read(8))
        if name in _ISO_DESCRIPTION:
            return
        if size == 1:  # the size stands behind the name, in 64 bits
            size = int.from_bytes(stream.read(8), "big")
        samples = samples or name == b"mdat"
        at += size or end - at  # 0: to the end of the file
        if at > end:
            raise MediaError("open", "truncated", f"{end} bytes, where a part of the file states that it ends at {at}")
        if 0 < size < 8:
            return
    if samples and at + 8 > end:
        raise MediaError("open", "truncated", "the description of its samples (moov) is not there")


def _is_placeholder(stated: int) -> bool:
    return stated <= 0 or abs(stated - 2**31) <= _NEAR_BYTES or abs(stated - 2**32) <= _NEAR_BYTES or stated >= 2**62


def check_time(seconds: float) -> None:
    """Raise MediaError for a time, on the clip's clock, that no recording has."""
    if not seconds <= MOST_SECONDS:
        raise MediaError("decode", "broken", f"its stamps make no sense: something is at {seconds:.0f} s")


def missing_allowed(seconds: float) -> float:
    """Return how much less than its header states a whole file may hold, in seconds: 0.1 s, or 1 %."""
    return max(0.1, 0.01 * seconds)


def begin(stream: Stream) -> Fraction:
    """Return when the stream begins, in seconds on the clock that all streams of its container have."""
    return (stream.start_time or 0) * (stream.time_base or Fraction(0))


def states_length(stream: Bytes) -> bool:
    """Return whether the header of a FLAC or Matroska file says how long the whole is, and rewind the stream.

    Where it does not, FFmpeg guesses from the bit rate, and does not tell; of other containers True is returned.
    """
    stream.seek(0)
    head = stream.read(_HEADER_BYTES)
    stream.seek(0)
    if head[:4] == b"fLaC":  # RFC 9639, 8.2: 36 bits, of which 0 means unknown
        return bool(int.from_bytes(head[21:26], "big") & (2**36 - 1))
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return _DURATION in _matroska_info(head)
    return True


def _matroska_info(head: bytes) -> set[int]:
    """Return the ids of what Matroska's Info holds, empty where it does not stand in the file's head."""
    for name, start, end in _ebml_elements(head, 0, len(head)):
        if name == _SEGMENT:
            for inner, inner_start, inner_end in _ebml_elements(head, start, end):
                if inner == _INFO:
                    return {field for field, _, _ in _ebml_elements(head, inner_start, inner_end)}
    return set()


def _ebml_elements(content: bytes, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield the id, begin and end of the content of each element that begins within these bytes (RFC 8794)."""
    while at < end:
        name, at = _ebml_number(content, at, keep_marker=True)
        size, at = _ebml_number(content, at, keep_marker=False)
        yield name, at, min(end, at + size)  # a size that is not known is stated as the largest
        at += size


def _ebml_number(content: bytes, at: int, keep_marker: bool) -> tuple[int, int]:
    """Return a number and where it ends; what is cut or too long ends with the content."""
    first = content[at] if at < len(content) else 0
    length = 9 - first.bit_length()
    if length > 8 or at + length > len(content):
        return 0, len(content)
    number = int.from_bytes(content[at : at + length], "big")
    return number if keep_marker else number & ((1 << 7 * length) - 1), at + length


def _counts_otherwise(container: InputContainer, stream: Stream) -> bool:
    # Of packed samples these two state a number that FFmpeg takes for one of samples: 96 s of a GSM file of 0.6 s.
    if container.format.name not in ("aiff", "w64"):
        return False
    return stream.codec_context is None or not stream.codec_context.name.startswith("pcm_")


def stated_seconds(container: InputContainer, stream: Stream, states_length: bool = True) -> float | None:
    """Return how long the header says that the stream lasts; None where it does not say, or only estimates.

    `states_length`: whether it says so of the whole, by the function of this name.
    """
    if not EXACT_DURATION.intersection(container.format.name.split(",")) or _counts_otherwise(container, stream):
        return None
    if states_length and stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    begins = float(begin(stream))  # Matroska states when a track, or the whole, ends
    tag = _MATROSKA_DURATION.fullmatch(stream.metadata.get("DURATION", ""))
    if tag:
        return 3600 * int(tag[1]) + 60 * int(tag[2]) + float(tag[3]) - begins
    if states_length and container.duration and len(container.streams) == 1:
        return float(container.duration / av.time_base) - begins
    return None
