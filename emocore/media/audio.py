"""The sound track of a file, as one channel of samples that is handed on as it is decoded, however long it is."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import av
import numpy as np
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from numpy.typing import NDArray

from emocore.errors import MediaError
from emocore.media.channels import MEAN, SILENCE_PEAK, Mixer
from emocore.media.container import begin, missing_allowed

MIN_RATE_HZ, MAX_RATE_HZ = 1_000, 768_000
MAX_CHANNELS = 32
MAX_AMPLITUDE = 1e4  # times full scale: what is louder is no sound, and its power has no finite float32
LEAST_SECONDS = 0.1  # of sound: less than a syllable says nothing of how it was spoken
# Of every sub-format that libsndfile writes, the ones where the two differ by more than rounding (see its test).
CODECS_IN_DOUBT = frozenset({"g726", "g726le"})
_PLANES_WITH_AN_END = 8  # PyAV 18 looks for the end of a frame's planes, and where there are 8 reads beyond it
CHUNK_SAMPLES = 2**15  # that are handed on at once
LEAST_GAP_SECONDS = 0.02  # between two frames' stamps: less is rounding and jitter
MOST_GAP_SECONDS = 600.0  # more is a clock that was set anew
MOST_DELAY_SECONDS = 1.0  # of a codec
MOST_GAPS = 10  # times the sound that is there: stamps are claims, and silence costs time

Take = Callable[[NDArray[np.float32]], None]
SoundState = Literal["ok", "silent", "too_short"]


class Enough(Exception):
    """Raised by who takes sound or pictures: no more of the file is wanted, and what follows may be broken."""


def sound_state(signal: NDArray[np.float32], sample_rate_hz: int) -> SoundState:
    """Return whether float32[samples] holds sound to answer from: the one place that decides it.

    Below LEAST_SECONDS it is too short; and silent where no sample is −60 dB of full scale away from their mean, which
    is a microphone's offset and not heard.

    >>> sound_state(np.full(8_000, 0.5, np.float32), 8_000)
    'silent'
    """
    if not len(signal):
        return "too_short"
    return extent_state(len(signal), sample_rate_hz, signal.min(), signal.max(), signal.mean(dtype=np.float64))


def extent_state(samples: int, sample_rate_hz: int, least: float, most: float, mean: float) -> SoundState:
    """Return what `sound_state` says of so many samples, of which these are the least, the largest and the mean."""
    if samples < round(LEAST_SECONDS * sample_rate_hz):
        return "too_short"
    return "silent" if max(most - mean, mean - least) < SILENCE_PEAK else "ok"


@dataclass(frozen=True)
class SoundStart:
    """Where a track is read from whose begin was looked at before."""

    zero_pts: int  # the stamp of the track's first sample
    channel: int  # to take alone, or MEAN
    sample: int  # the first that is handed on; packets may come from before it
    voices: tuple[int, ...] = ()  # channels to hand on together, in the place of one


class SoundDecoder:
    """Takes the packets of a sound track, and hands its samples on as they come, in one channel at its own rate.

    Channels are averaged, unless one of them is to be taken alone: `Powers` says so of the first minute that can be
    heard, which waits for it. Where the track's stamps leave a gap there is silence. `hear` is told the rate, and what
    it returns is given float32[samples], and float32[voices, samples] where channels are `voices`. `start`: the packets
    are those from there on. Raises MediaError: unsupported, broken, truncated, no_samples, not_finite, or too_large.
    """

    def __init__(
        self,
        stream: AudioStream,
        hear: Callable[[int], Take],
        start: SoundStart | None = None,
        voices: tuple[int, ...] = (),
    ) -> None:
        if stream.codec_context is None:
            raise MediaError("open", "unsupported", "a sound track in a code that is not known")
        if stream.codec_context.name in CODECS_IN_DOUBT:
            detail = f"FFmpeg and libsndfile read {stream.codec_context.name} differently: write it as PCM"
            raise MediaError("decode", "unsupported", detail)
        self.stream = stream
        self.hear = hear
        self.start = start
        self.begin = start.sample if start else 0
        self.samples = self.begin  # of the track that were handed on, or wait
        self.rate = 0  # until it is known
        if start or voices:
            self.mixer = Mixer([], start.channel if start else MEAN, start.voices if start else voices)
        else:
            self.mixer = Mixer([])
        if not _is_unknown(stream):
            self._settle(int(stream.rate or 0), stream.layout)
        self._packer: AudioResampler | None = None
        self.zero_pts: int | None = start.zero_pts if start else None
        self._is_before = start is not None  # nothing was handed on yet
        self._skip = 0  # samples of a frame that are before the start
        self._filled = 0  # samples of silence, in gaps
        self._raw: list[NDArray[Any]] = []  # of one type and as many channels, [channels, samples]
        self._waiting = 0

    def _settle(self, rate: int, layout: av.AudioLayout) -> None:
        """Begin to hear, at this rate and of these channels."""
        n_channels = len(layout.channels)
        if not rate or not n_channels:
            raise MediaError("open", "unsupported", "a sound track without a sample rate or without channels")
        if n_channels > MAX_CHANNELS:
            raise MediaError("decode", "too_large", f"{n_channels} sound channels: {MAX_CHANNELS} at most are read")
        if not MIN_RATE_HZ <= rate <= MAX_RATE_HZ:
            detail = f"{rate} samples a second: from {MIN_RATE_HZ} to {MAX_RATE_HZ} are read"
            raise MediaError("decode", "too_large", detail)
        self.rate, self.mixer.names = rate, [channel.name for channel in layout.channels]
        self.take = self.hear(rate)

    def feed(self, packet: Any) -> None:
        """Decode one packet of the track."""
        try:
            frames = self.stream.codec_context.decode(packet)
            if frames and not self.rate:
                self._settle(frames[0].sample_rate, frames[0].layout)
            planes = [[_planes(part) for part in self._packed(frame)] for frame in frames]
        except (av.error.FFmpegError, ValueError) as error:
            raise MediaError("decode", "broken", f"the sound track cannot be decoded ({error})") from error
        for frame, parts in zip(frames, planes, strict=True):
            self._keep_time(frame)
            for part in parts:
                self._add(part)

    def _keep_time(self, frame: av.AudioFrame) -> None:
        """Fill the gap that the track's stamps leave before this frame; they are never believed to go back."""
        if frame.pts is None or frame.time_base is None:
            return
        if self.zero_pts is None:
            self.zero_pts = frame.pts
            # Probing ends before a sound that begins late, and then its begin is said to be the file's.
            late = float(frame.pts * frame.time_base - begin(self.stream))
            if late > MOST_DELAY_SECONDS:
                self.zero_pts -= round(late / frame.time_base)
        stamped = float((frame.pts - self.zero_pts) * frame.time_base)
        if self._is_before:
            self._skip = max(0, self.begin - round(stamped * self.rate))
        gap = stamped - self.samples / self.rate
        left = min(round(gap * self.rate), round(MOST_GAP_SECONDS * self.rate))
        if gap <= LEAST_GAP_SECONDS or not (self.start or (gap < MOST_GAP_SECONDS and self._may_fill(left))):
            return
        self._filled += left
        while left:
            silence = np.zeros((len(frame.layout.channels), min(left, CHUNK_SAMPLES)), np.float32)
            self._add(silence)
            left -= silence.shape[1]

    def _may_fill(self, samples: int) -> bool:
        heard = self.samples - self.begin - self._filled
        return self._filled + samples <= MOST_GAPS * heard + MOST_GAP_SECONDS * self.rate

    def _packed(self, frame: av.AudioFrame) -> list[av.AudioFrame]:
        if frame.sample_rate != self.rate:
            detail = f"the sample rate changes from {self.rate} to {frame.sample_rate} Hz midway"
            raise MediaError("decode", "broken", detail)
        if not frame.format.is_planar or len(frame.layout.channels) < _PLANES_WITH_AN_END:
            return [frame]
        self._packer = self._packer or AudioResampler(frame.format.packed, frame.layout, self.rate)
        return list(self._packer.resample(frame))

    def _add(self, planes: NDArray[Any]) -> None:
        if self._skip:
            skipped = min(self._skip, planes.shape[1])
            self._skip -= skipped
            planes = planes[:, skipped:]
        if not planes.shape[1]:
            return
        self._is_before = False
        if self._raw and (self._raw[0].dtype, len(self._raw[0])) != (planes.dtype, len(planes)):
            self._flush()
        self._raw.append(planes)
        self._waiting += planes.shape[1]
        self.samples += planes.shape[1]
        if self._waiting >= CHUNK_SAMPLES:
            self._flush()

    def _flush(self) -> None:
        if not self._raw:
            return
        channels = _within_one(np.concatenate(self._raw, axis=1))
        self._raw, self._waiting = [], 0
        # Neither is NaN below a number.
        if not max(float(channels.max(initial=0)), -float(channels.min(initial=0))) <= MAX_AMPLITUDE:
            detail = f"the samples hold NaN, infinity, or more than {MAX_AMPLITUDE:,.0f} times full scale"
            raise MediaError("decode", "not_finite", detail)
        for signal in self.mixer.feed(channels):
            self.take(signal)

    @property
    def seconds(self) -> float:
        """How long the sound is so far, gaps among it."""
        return self.samples / (self.rate or 1)

    @property
    def decoded_seconds(self) -> float:
        """How much sound was decoded."""
        return (self.samples - self.begin - self._filled) / (self.rate or 1)

    def stop(self) -> None:
        """Hand on what waits: nothing more comes."""
        self._flush()
        for signal in self.mixer.finish():
            self.take(signal)

    def finish(self, stated_seconds: float | None) -> float:
        """Hand on what waits, and return how long the sound is; `stated_seconds`: what the header says."""
        self.stop()
        if not self.samples:
            raise MediaError("decode", "no_samples", "the sound track holds no samples")
        check_whole("sound", self.seconds, stated_seconds)
        return self.seconds


def _is_unknown(stream: AudioStream) -> bool:
    """Whether only the first frame tells the rate: MPEG's streams state none, and FFmpeg's probing may end before it.

    FLV states one, and has no word for 48 kHz.
    """
    name = stream.container.format.name
    return name == "flv" or (name in ("mpegts", "mpeg") and not (stream.rate and stream.channels))


def check_whole(what: str, seconds: float, stated_seconds: float | None) -> None:
    """Raise MediaError where there is less than the header states."""
    if stated_seconds is not None and seconds < stated_seconds - missing_allowed(stated_seconds):
        detail = f"{seconds:.2f} s of {what} where the header states {stated_seconds:.2f} s"
        raise MediaError("decode", "truncated", detail)


def _planes(frame: av.AudioFrame) -> NDArray[Any]:
    """Return a frame's samples as they are stored, [channels, samples]."""
    values: NDArray[Any] = frame.to_ndarray()
    return values if frame.format.is_planar else values.reshape(-1, len(frame.layout.channels)).T


def _within_one(values: NDArray[Any]) -> NDArray[np.float32]:
    """Return samples within ±1, float32[channels, samples]."""
    if values.dtype.kind == "u":  # 8-bit samples are the only unsigned ones, and rest at 128
        return np.asarray((values.astype(np.float32) - 128) / 128, np.float32)
    if values.dtype.kind == "i":
        return np.asarray(values.astype(np.float32) / -float(np.iinfo(values.dtype).min), np.float32)
    return values.astype(np.float32)


class Resampler:
    """Resamples float32 chunks of one channel as they come; all together are what librosa makes of the whole.

    By librosa's default, soxr of high quality; and cut or filled up to ceil(n · to / from) samples, as it does.
    """

    def __init__(self, from_hz: int, to_hz: int) -> None:
        import soxr  # noqa: PLC0415 - a part of a second, which a process that only lists does not have

        self.ratio = Fraction(to_hz, from_hz)
        self._stream = None if from_hz == to_hz else soxr.ResampleStream(from_hz, to_hz, 1, "float32", "HQ")
        self._taken = self._given = 0

    def feed(self, signal: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what is ready of float32[samples]."""
        self._taken += len(signal)
        made = signal if self._stream is None else self._stream.resample_chunk(signal)
        self._given += len(made)
        return np.asarray(made, np.float32)

    def finish(self) -> NDArray[np.float32]:
        """Return the rest."""
        left = math.ceil(self._taken * self.ratio) - self._given
        if self._stream is None or left <= 0:
            return np.zeros(0, np.float32)
        rest = self._stream.resample_chunk(np.zeros(0, np.float32), last=True)[:left]
        return np.asarray(np.pad(rest, (0, left - len(rest))), np.float32)
