"""The pictures of a film that are looked at, in grey, with the time at which each is shown."""

import heapq
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Literal, NamedTuple

import av
import numpy as np
from av.sidedata.sidedata import Type as SideDataType
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from emocore.errors import MediaError
from emocore.media.container import MAX_PIXELS, check_time
from emocore.media.light import grey_of
from emocore.media.resize import fit
from emocore.media.sampling import Intervals, Sampling, is_avi, since_begin
from emocore.media.upright import as_wide_as_shown, upright

MOST_WAITING = 128  # packets whose place is unknown; H.264 and HEVC reorder 16 pictures at most
# Pictures that nothing refers to can be left undecoded in these codecs, and the others come out the same.
_SKIPPING_CODECS = frozenset({"h264", "hevc", "mpeg4"})
NO_STOP = 2**62
MOST_PACKET_SECONDS = 10.0  # of a film: its stamps are claims
_MPEG4_PICTURE_BYTES = 20  # FFmpeg takes what is shorter for a picture that is not coded


def is_flush(packet: Any) -> bool:
    """Whether nothing comes behind it: FFmpeg's last packet is empty."""
    return packet is None or (packet.dts is None and packet.size == 0)


class CannotSkip(Exception):
    """The packets do not prove which picture is which: every picture must be decoded."""


def can_skip(stream: VideoStream) -> bool:
    """Whether a packet's picture can be left undecoded without changing another, as far as the header tells."""
    codec = stream.codec_context.name
    if codec not in _SKIPPING_CODECS or is_avi(stream):
        return False
    # A picture that its own temporal layer does not refer to may still serve a higher one.
    return codec != "hevc" or _hevc_temporal_layers(stream.codec_context.extradata) == 1


def _hevc_temporal_layers(extradata: bytes | None) -> int:
    # HEVCDecoderConfigurationRecord, ISO/IEC 14496-15: numTemporalLayers are bits 3 to 5 of byte 21.
    if not extradata or len(extradata) < 22 or extradata[0] != 1:
        return 0
    return (extradata[21] >> 3) & 7


class Rank(NamedTuple):
    """The number of a picture, and the stamp of the one that is shown before it, where one was numbered."""

    number: int
    before_pts: int | None


@dataclass
class Ranks:
    """Numbers packets by presentation time, as soon as no later packet can come before them. Raises CannotSkip."""

    waiting: list[int] = field(default_factory=list)
    last_pts: int | None = None  # of those that are numbered
    rank_of: dict[int, Rank] = field(default_factory=dict)
    ranked: int = 0  # of them, and of the pictures before
    first_pts: int | None = None
    last_dts: int | None = None

    def add(self, packet: Any) -> None:
        """Take the next packet."""
        pts, dts = packet.pts, packet.dts
        if pts is None or packet.is_corrupt:
            raise CannotSkip
        if self.first_pts is None:
            self.first_pts = pts
            if not packet.is_keyframe:
                raise CannotSkip
        # Pictures before the first keyframe may refer to what was cut off, and then decoders do not show them.
        if pts < self.first_pts:
            raise CannotSkip
        if not packet.is_discard:
            heapq.heappush(self.waiting, pts)
        if dts is not None:
            if pts < dts or (self.last_dts is not None and dts <= self.last_dts):
                raise CannotSkip
            self.last_dts = dts
            self._settle(dts)
        elif self.last_dts is not None:  # Matroska states none, and FFmpeg knows the first ones too late
            raise CannotSkip

    def _settle(self, before: int | None) -> None:
        while self.waiting and (before is None or self.waiting[0] < before):
            pts = heapq.heappop(self.waiting)
            if pts == self.last_pts:
                raise CannotSkip
            self.rank_of[pts] = Rank(self.ranked, self.last_pts)
            self.last_pts = pts
            self.ranked += 1

    def finish(self) -> None:
        """Number what waits: nothing more comes."""
        self._settle(None)


class SkippingDecoder:
    """Decodes a stream's packets, leaving out pictures that are neither wanted nor referred to.

    `scene`: what the packets are of.
    """

    def __init__(self, stream: VideoStream, sampling: Sampling, scene: "Scene") -> None:
        self.context = stream.codec_context
        self.is_mpeg4 = self.context.name == "mpeg4"
        self.intervals, self.stop = Intervals(stream, sampling), scene.stop
        self.ranks = Ranks(ranked=scene.first, last_pts=scene.before_pts)
        self.queue: deque[Any] = deque()
        self.wanted: dict[int, int] = {}
        self.asked = self.seen = 0  # how many pictures were wanted, and came out

    def feed(self, packet: Any) -> Iterator[tuple[int, Any]]:
        """Take a packet of the stream, and give the wanted pictures that come out, with their index."""
        if is_flush(packet):
            yield from self._flush()
            return
        self.ranks.add(packet)
        if self.is_mpeg4 and not _holds_one_mpeg4_picture(packet):
            raise CannotSkip
        self.queue.append(packet)
        if len(self.queue) > MOST_WAITING:
            raise CannotSkip
        while self.queue and (self.queue[0].is_discard or self.queue[0].pts in self.ranks.rank_of):
            yield from self._decode(self.queue.popleft())

    def _flush(self) -> Iterator[tuple[int, Any]]:
        self.ranks.finish()
        while self.queue:
            yield from self._decode(self.queue.popleft())
        yield from self._indexed(self.context.decode(None))
        if self.seen != self.asked:
            raise CannotSkip

    def _decode(self, packet: Any) -> Iterator[tuple[int, Any]]:
        rank = None if packet.is_discard else self.ranks.rank_of.pop(packet.pts)
        is_wanted = rank is not None and rank.number < self.stop and self._begins_interval(packet.pts, rank)
        if rank and is_wanted:
            self.wanted[packet.pts] = rank.number
            self.asked += 1
        self.context.skip_frame = "DEFAULT" if is_wanted else "NONREF"
        yield from self._indexed(self.context.decode(packet))

    def _begins_interval(self, pts: int, rank: Rank) -> bool:
        before = self.intervals.of_stamp(rank.number - 1, rank.before_pts)
        return self.intervals.of_stamp(rank.number, pts) != before

    def _indexed(self, frames: list[Any]) -> Iterator[tuple[int, Any]]:
        for frame in frames:
            index = self.wanted.pop(frame.pts, None)
            if index is not None:
                if frame.is_corrupt:
                    raise CannotSkip
                self.seen += 1
                yield index, frame


def _holds_one_mpeg4_picture(packet: Any) -> bool:
    # DivX packs two into a packet; Xvid says "as before" in a few bytes, and decoders show nothing for them.
    return bytes(packet).count(b"\0\0\1\xb6") == 1 and packet.size >= _MPEG4_PICTURE_BYTES


class PlainDecoder:
    """Decodes every picture of a scene and counts them."""

    def __init__(self, stream: VideoStream, sampling: Sampling, scene: "Scene") -> None:
        self.context = stream.codec_context
        self.count, self.stop, self.stop_pts = scene.first, scene.stop, scene.stop_pts
        self.intervals = Intervals(stream, sampling)
        self.interval = self.intervals.of_stamp(scene.first - 1, scene.before_pts)

    def feed(self, packet: Any) -> Iterator[tuple[int, Any]]:
        """Take a packet of the stream, and give the wanted pictures that come out, with their index."""
        for frame in self.context.decode(packet):
            interval, before = self.intervals.of_frame(self.count, frame), self.interval
            self.interval = interval
            if self.count < self.stop and interval != before:
                yield self.count, frame
            if self.stop_pts is not None and (self.count == self.stop) != (frame.pts == self.stop_pts):
                raise CannotSkip  # there are more pictures than packets, or less
            self.count += 1
        if is_flush(packet) and self.stop_pts is not None and self.count < self.stop:
            raise CannotSkip


@dataclass(frozen=True)
class Picture:
    """One sampled frame: its index among all frames as shown, when it is shown, and uint8[pixels, pixels] of grey.

    Where faces were looked for, the image is a face with a margin, and `box` the face in pixels of the upright frame;
    without one (state no_face) it is the whole frame.
    """

    frame_index: int
    time_seconds: float
    image: NDArray[np.uint8]
    state: Literal["ok", "no_face"] = "ok"
    box: tuple[float, float, float, float] | None = None


Show = Callable[[Picture], None]
Keep = Callable[[int, float, NDArray[np.uint8]], Picture]
"""What is kept of an upright grey frame uint8[height, width]: its index, when it is shown, and itself are given."""


def whole(pixels: int) -> Keep:
    """Return what keeps the whole frame, as a square."""
    return lambda index, seconds, grey: Picture(index, seconds, fit(grey, pixels))


class PictureMaker:
    """Turns a stream's frames into pictures, upright and in grey."""

    def __init__(self, stream: VideoStream, begins: Fraction, keep: Keep) -> None:
        self.stream = stream
        self.begins = begins
        self.keep = keep
        self.converter = VideoReformatter()  # keeps its tables from frame to frame
        # What the container says: the decoder writes over it, also where the packets say nothing.
        self.transfer = int(stream.codec_context.color_trc)

    def __call__(self, index: int, frame: Any) -> Picture:
        """Return the picture of the frame with this index."""
        grey = grey_of(frame, self.transfer, self.converter)
        seconds = float(self.begins + since_begin(index, frame, self.stream))
        return self.keep(
            index, seconds, upright(as_wide_as_shown(grey, self.stream.sample_aspect_ratio), _matrix(frame))
        )


def _matrix(frame: Any) -> NDArray[np.int32] | None:
    stated = frame.side_data.get(SideDataType.DISPLAYMATRIX)
    return None if stated is None else np.frombuffer(bytes(stated), np.int32)


@dataclass(frozen=True)
class Scene:
    """Pictures of a film that are read by themselves, from a key frame on: those with an index in [begin, stop).

    Decoding begins at the key frame `first`: pictures may be shown before the key frame `begin` that refer to what is
    before it. Times are in ticks of the stream; without a `stop_pts` the film goes on to its end.
    """

    first_pts: int
    seek_ts: int  # with which to look for it
    first: int
    begin: int
    stop: int = NO_STOP
    stop_pts: int | None = None
    before_pts: int | None = None  # of the picture that is shown before the first


WHOLE_FILM = Scene(0, 0, 0, 0)


class PictureDecoder:
    """Takes the packets of a film that begins after so many seconds, and hands pictures of it on as they are shown.

    `after`: pictures up to this index were handed on before; `scene`: what the packets are of, where not of the whole.
    Raises CannotSkip where the film must be read again without skipping; MediaError: unsupported, broken, no_pictures,
    or too_large.
    """

    def __init__(
        self,
        stream: VideoStream,
        sampling: Sampling,
        show: Show,
        keep: Keep,
        *,
        may_skip: bool = True,
        begins: Fraction = Fraction(0),
        after: int = -1,
        scene: Scene = WHOLE_FILM,
    ) -> None:
        context = stream.codec_context
        if context is None:
            raise MediaError("open", "unsupported", "a film in a code that is not known")
        if context.width * context.height > MAX_PIXELS:
            detail = f"pictures of {context.width} × {context.height}: {MAX_PIXELS} pixels at most are read"
            raise MediaError("decode", "too_large", detail)
        context.thread_type, context.thread_count = "NONE", 1  # a task computes on the CPUs that it asked for
        self.skipping = may_skip and can_skip(stream)
        # A film may change its size midway; and how a decoder mends what is missing depends on what it saw before.
        context.options = {"max_pixels": str(MAX_PIXELS)} | ({"err_detect": "explode"} if self.skipping else {})
        self.decoder = (SkippingDecoder if self.skipping else PlainDecoder)(stream, sampling, scene)
        self.make = PictureMaker(stream, begins, keep)
        self.show = show
        self.stream = stream
        self.packets = 0
        self.end_seconds = 0.0  # since the film's begin, as the header counts too
        self.last = max(after, scene.begin - 1)  # the index of the last that was handed on

    def feed(self, packet: Any) -> None:
        """Decode one packet of the film; None: nothing comes any more."""
        self.packets += 1
        if packet is not None and packet.pts is not None and self.stream.time_base:
            ticks = packet.pts + (packet.duration or 0) - (self.stream.start_time or 0)
            self.end_seconds = max(self.end_seconds, float(ticks * self.stream.time_base))
        try:
            new = [(index, frame) for index, frame in self.decoder.feed(packet) if index > self.last]
            pictures = [self.make(index, frame) for index, frame in new]
        except (av.error.FFmpegError, ValueError) as error:
            if self.skipping:
                raise CannotSkip from error
            raise MediaError("decode", "broken", f"the film cannot be decoded ({error})") from error
        for picture in pictures:
            check_time(picture.time_seconds)
            self.last = picture.frame_index
            self.show(picture)

    @property
    def decoded_seconds(self) -> float:
        """How much of the film was read, by its stamps as far as they make sense."""
        return min(self.end_seconds, MOST_PACKET_SECONDS * self.packets)

    def stop(self) -> None:
        """Hand on what waits: nothing does."""

    def finish(self) -> None:
        """Raise MediaError where there was no picture."""
        if self.last < 0:
            raise MediaError("decode", "no_pictures", "the film holds no picture")
