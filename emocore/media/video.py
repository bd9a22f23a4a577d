"""Every n-th picture of a film, in grey, with the time at which it is shown."""

import heapq
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import av
import cv2
import numpy as np
from av.container import InputContainer
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from emocore.errors import MediaError

PICTURE_PIXELS = 256
# Pictures that nothing refers to can be left undecoded in these codecs, and the others come out the same.
_SKIPPING_CODECS = frozenset({"h264", "hevc", "mpeg4"})


class CannotSkip(Exception):
    """The packets do not prove which picture is which: every picture must be decoded."""


@dataclass(frozen=True)
class Picture:
    """One sampled frame: its index among all frames as shown, its time in seconds, and uint8[256, 256] of grey."""

    frame_index: int
    time_seconds: float
    image: NDArray[np.uint8]


def may_skip(stream: VideoStream) -> bool:
    """Whether a packet's picture can be left undecoded without changing another, as far as the header tells."""
    codec = stream.codec_context.name
    if codec not in _SKIPPING_CODECS:
        return False
    # A picture that its own temporal layer does not refer to may still serve a higher one.
    return codec != "hevc" or _hevc_temporal_layers(stream.codec_context.extradata) == 1


def _hevc_temporal_layers(extradata: bytes | None) -> int:
    # HEVCDecoderConfigurationRecord, ISO/IEC 14496-15: numTemporalLayers are bits 3 to 5 of byte 21.
    if not extradata or len(extradata) < 22 or extradata[0] != 1:
        return 0
    return (extradata[21] >> 3) & 7


@dataclass
class _Ranks:
    """Numbers packets by presentation time, as soon as no later packet can come before them."""

    waiting: list[int] = field(default_factory=list)
    rank_of: dict[int, int] = field(default_factory=dict)
    ranked: int = 0
    last_dts: int | None = None

    def add(self, packet: Any) -> None:
        pts, dts = packet.pts, packet.dts
        if pts is None or dts is None or pts < dts or (self.last_dts is not None and dts <= self.last_dts):
            raise CannotSkip
        if packet.is_corrupt or pts in self.rank_of or (self.last_dts is None and not packet.is_keyframe):
            raise CannotSkip
        self.last_dts = dts
        if not packet.is_discard:
            heapq.heappush(self.waiting, pts)
        self._settle(dts)

    def _settle(self, before: int | None) -> None:
        while self.waiting and (before is None or self.waiting[0] < before):
            pts = heapq.heappop(self.waiting)
            if pts in self.rank_of:
                raise CannotSkip
            self.rank_of[pts] = self.ranked
            self.ranked += 1

    def finish(self) -> None:
        self._settle(None)


class SkippingDecoder:
    """Decodes a stream's packets, leaving out pictures that are neither wanted nor referred to."""

    def __init__(self, stream: VideoStream, every: int) -> None:
        self.context = stream.codec_context
        self.every = every
        self.ranks = _Ranks()
        self.queue: deque[Any] = deque()
        self.wanted: dict[int, int] = {}
        self.seen = 0

    def feed(self, packet: Any) -> Iterator[tuple[int, Any]]:
        """Take a packet of the stream, and give the wanted pictures that come out, with their index."""
        if packet.dts is None and packet.size == 0:
            yield from self._flush()
            return
        self.ranks.add(packet)
        self.queue.append(packet)
        while self.queue and (self.queue[0].is_discard or self.queue[0].pts in self.ranks.rank_of):
            yield from self._decode(self.queue.popleft())

    def _flush(self) -> Iterator[tuple[int, Any]]:
        self.ranks.finish()
        while self.queue:
            yield from self._decode(self.queue.popleft())
        yield from self._indexed(self.context.decode(None))
        if self.seen != -(-self.ranks.ranked // self.every):
            raise CannotSkip

    def _decode(self, packet: Any) -> Iterator[tuple[int, Any]]:
        index = None if packet.is_discard else self.ranks.rank_of.pop(packet.pts)
        is_wanted = index is not None and index % self.every == 0
        if is_wanted:
            self.wanted[packet.pts] = index  # type: ignore[assignment]
        self.context.skip_frame = "DEFAULT" if is_wanted else "NONREF"
        yield from self._indexed(self.context.decode(packet))

    def _indexed(self, frames: list[Any]) -> Iterator[tuple[int, Any]]:
        for frame in frames:
            index = self.wanted.pop(frame.pts, None)
            if index is not None:
                if frame.is_corrupt:
                    raise CannotSkip
                self.seen += 1
                yield index, frame


class PlainDecoder:
    """Decodes every picture and counts them."""

    def __init__(self, stream: VideoStream, every: int) -> None:
        self.context = stream.codec_context
        self.every = every
        self.count = 0

    def feed(self, packet: Any) -> Iterator[tuple[int, Any]]:
        """Take a packet of the stream, and give the wanted pictures that come out, with their index."""
        for frame in self.context.decode(packet):
            if self.count % self.every == 0:
                yield self.count, frame
            self.count += 1


class PictureMaker:
    """Turns a stream's frames into pictures, upright, in grey, shrunk to uint8[size, size] by area.

    By way of BGR, as OpenCV reads films, so that pictures equal those of cv2.VideoCapture.
    """

    def __init__(self, stream: VideoStream, size: int) -> None:
        self.stream = stream
        self.size = size
        self.converter = VideoReformatter()  # keeps its tables from frame to frame

    def __call__(self, index: int, frame: Any) -> Picture:
        """Return the picture of the frame with this index."""
        plane = self.converter.reformat(frame, format="bgr24").planes[0]
        rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
        bgr = rows[:, : 3 * plane.width].reshape(plane.height, plane.width, 3)
        grey = cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY)
        image = cv2.resize(grey, (self.size, self.size), interpolation=cv2.INTER_AREA)
        turns = round((frame.rotation or 0) / 90) % 4
        return Picture(index, _seconds(index, frame, self.stream), np.ascontiguousarray(np.rot90(image, turns)))


def _seconds(index: int, frame: Any, stream: VideoStream) -> float:
    if frame.pts is not None and stream.time_base:
        return float((frame.pts - (stream.start_time or 0)) * stream.time_base)
    if stream.average_rate:
        return float(index / stream.average_rate)
    raise MediaError("decode", "broken", "the pictures carry no times, and the stream no frame rate")


def decode_pictures(container: InputContainer, every: int = 20, size: int = PICTURE_PIXELS) -> list[Picture]:
    """Return the pictures at frame indices 0, every, 2·every … of the first video stream."""
    stream = container.streams.video[0]
    stream.thread_type = "NONE"
    stream.codec_context.thread_count = 1
    if may_skip(stream):
        try:
            return _run(container, stream, SkippingDecoder(stream, every), size)
        except (CannotSkip, av.error.FFmpegError):
            stream.codec_context.skip_frame = "DEFAULT"
            container.seek(0)
            stream.codec_context.flush_buffers()
    return _run(container, stream, PlainDecoder(stream, every), size)


def _run(container: InputContainer, stream: VideoStream, decoder: Any, size: int) -> list[Picture]:
    make = PictureMaker(stream, size)
    pictures = []
    for packet in container.demux(stream):
        for index, frame in decoder.feed(packet):
            pictures.append(make(index, frame))
    return pictures
