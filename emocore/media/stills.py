"""A photograph or drawing as one picture: JPEG, PNG or BMP, told by their first bytes, whatever the name says."""

import io
import struct
from collections.abc import Iterator
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from emocore.errors import MediaError
from emocore.media.container import MAX_PIXELS
from emocore.media.source import Stream

MAX_STILL_BYTES = 2**28  # as many as MAX_PIXELS take uncompressed
_SIGNATURES: dict[Literal["jpeg", "png", "bmp"], bytes] = {
    "jpeg": b"\xff\xd8\xff",
    "png": b"\x89PNG\r\n\x1a\n",
    "bmp": b"BM",
}
# ITU-T T.81, table B.1: the markers that begin a frame; the others of C0 to CF hold tables.
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})  # markers without a length
_JPEG_SCAN, _JPEG_END = 0xDA, b"\xff\xd9"
# Each scan of a progressive file is decoded over the whole picture, whatever its few bytes hold; encoders write about
# ten of them.
MAX_SCANS = 100


def is_still(stream: Stream) -> bool:
    """Whether the stream begins as JPEG, PNG or BMP do; it is rewound."""
    return _kind(stream) is not None


def read_still(stream: Stream) -> NDArray[np.uint8]:
    """Return the upright picture in grey, uint8[height, width]; its size is looked at before it is decoded.

    By way of BGR, as films are read: OpenCV's own grey differs by up to 2 levels in coloured JPEG, and by 1 in half of
    the pixels of coloured PNG; in grey files it is the same. Raises MediaError: unsupported, broken, truncated, or
    too_large.
    """
    held = stream.seek(0, io.SEEK_END)
    if held > MAX_STILL_BYTES:
        raise MediaError("decode", "too_large", f"{held} bytes of a still: {MAX_STILL_BYTES} at most are read")
    kind = _kind(stream)
    measure = {"jpeg": _measure_jpeg, "png": _measure_png, "bmp": _measure_bmp}
    if kind is None:
        raise MediaError("open", "unsupported", "neither JPEG nor PNG nor BMP")
    try:
        width, height = measure[kind](stream, held)
    except (struct.error, IndexError) as error:
        raise MediaError("open", "truncated", f"the header of the {kind.upper()} file is cut") from error
    if not 0 < width * height <= MAX_PIXELS:
        reason: Literal["too_large", "broken"] = "too_large" if width * height else "broken"
        raise MediaError("decode", reason, f"a still of {width} × {height}: 1 to {MAX_PIXELS} pixels are read")
    stream.seek(0)
    return _decode(np.frombuffer(stream.read(), np.uint8), kind)


def _decode(content: NDArray[np.uint8], kind: str) -> NDArray[np.uint8]:
    try:
        bgr = cv2.imdecode(content, cv2.IMREAD_COLOR)  # turned as its EXIF says
    except cv2.error as error:
        raise MediaError("decode", "broken", f"the {kind.upper()} file cannot be decoded ({error.err})") from error
    if bgr is None:
        raise MediaError("decode", "broken", f"the {kind.upper()} file cannot be decoded")
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY), np.uint8)


def _kind(stream: Stream) -> Literal["jpeg", "png", "bmp"] | None:
    stream.seek(0)
    head = stream.read(8)
    stream.seek(0)
    return next((kind for kind, signature in _SIGNATURES.items() if head.startswith(signature)), None)


def _measure_jpeg(stream: Stream, held: int) -> tuple[int, int]:  # noqa: ARG001 - as the others
    """Return width and height; a file without its end marker was cut, and would be decoded with a grey rest."""
    size: tuple[int, int] | None = None
    for marker in _jpeg_segments(stream):
        if marker in _JPEG_FRAMES and size is None:
            height, width = struct.unpack(">xHH", stream.read(5))
            size = width, height
    if size is None:
        raise MediaError("open", "broken", "the JPEG file states no size before its pixels")
    # Inside the pixels' code a byte FF is followed by 00 or a restart marker: these are markers and nothing else.
    pixels = stream.read()
    if _JPEG_END not in pixels:
        raise MediaError("decode", "truncated", "the JPEG file ends within its pixels")
    scans = 1 + pixels.count(bytes((0xFF, _JPEG_SCAN)))
    if scans > MAX_SCANS:
        raise MediaError("decode", "too_large", f"a JPEG file of {scans:,} scans: {MAX_SCANS} at most are read")
    return size


def _jpeg_segments(stream: Stream) -> Iterator[int]:
    """Yield the marker of each segment before the pixels, the stream at its content; end where pixels begin."""
    at = 2
    while True:
        stream.seek(at)
        first, marker = stream.read(2)[0], 0xFF
        if first != 0xFF:
            raise MediaError("open", "broken", "the JPEG file holds no marker where one must be")
        stream.seek(at + 1)
        while marker == 0xFF:  # fill bytes
            marker = stream.read(1)[0]
            at += 1
        at += 1
        if marker == _JPEG_SCAN:
            return
        if marker in _JPEG_ALONE:
            continue
        (length,) = struct.unpack(">H", stream.read(2))
        yield marker
        at += length


def _measure_png(stream: Stream, held: int) -> tuple[int, int]:
    """Return width and height, where the chunks go on to the last."""
    stream.seek(16)
    width, height = struct.unpack(">II", stream.read(8))
    at, name = 8, b""
    while name != b"IEND":
        stream.seek(at)
        length, name = struct.unpack(">I4s", stream.read(8))
        at += 12 + length
        if at > held:
            raise MediaError("decode", "truncated", f"the PNG file ends within its chunk {name!r}")
    return width, height


def _measure_bmp(stream: Stream, held: int) -> tuple[int, int]:
    """Return width and height, where uncompressed pixels are all there."""
    stream.seek(10)
    begins, header = struct.unpack("<II", stream.read(8))
    if header == 12:  # BITMAPCOREHEADER
        width, height, _, bits = struct.unpack("<HHHH", stream.read(8))
        compression = 0
    else:
        width, height, _, bits, compression = struct.unpack("<iiHHI", stream.read(16))
    width, height = abs(width), abs(height)  # a negative height: the first row is at the top
    rows = (width * bits + 31) // 32 * 4 * height
    if compression in (0, 3) and begins + rows > held and width * height <= MAX_PIXELS:
        raise MediaError("decode", "truncated", f"{held} bytes where {width} × {height} pixels take {begins + rows}")
    return width, height
