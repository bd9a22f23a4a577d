"""The sound track of a file, as one channel of samples at the rate that the features ask for."""

from dataclasses import dataclass
from typing import Any, Literal

import av
import numpy as np
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from numpy.typing import NDArray

from emocore.errors import MediaError
from emocore.media.channels import Powers
from emocore.media.container import missing_allowed

MAX_SECONDS = 1_200.0
MAX_SAMPLES = 2**26  # 256 MiB of one channel: 23 minutes at 48 kHz
MIN_RATE_HZ, MAX_RATE_HZ = 1_000, 768_000
MAX_CHANNELS = 32
MAX_AMPLITUDE = 1e4  # times full scale: what is louder is no sound, and its power has no finite float32
LEAST_SECONDS = 0.1  # of sound: less than a syllable says nothing of how it was spoken
SILENCE_PEAK = 1e-3  # −60 dB of full scale
# Of every sub-format that libsndfile writes, the ones where the two differ by more than rounding (see its test).
CODECS_IN_DOUBT = frozenset({"g726", "g726le"})
_PLANES_WITH_AN_END = 8  # PyAV 18 looks for the end of a frame's planes, and where there are 8 reads beyond it


@dataclass(frozen=True)
class Sound:
    """A decoded sound track: `signal` float32[samples] within ±1 at `sample_rate_hz`, one channel."""

    signal: NDArray[np.float32]
    sample_rate_hz: int

    @property
    def duration_seconds(self) -> float:
        """How long the sound lasts."""
        return len(self.signal) / self.sample_rate_hz


def sound_state(signal: NDArray[np.float32], sample_rate_hz: int) -> Literal["ok", "silent", "too_short"]:
    """Return whether float32[samples] holds sound to answer from: the one place that decides it.

    Below LEAST_SECONDS it is too short; and silent where no sample is −60 dB of full scale away from their mean, which
    is a microphone's offset and not heard.

    >>> sound_state(np.full(8_000, 0.5, np.float32), 8_000)
    'silent'
    """
    if len(signal) < round(LEAST_SECONDS * sample_rate_hz):
        return "too_short"
    mean = signal.mean(dtype=np.float64)
    return "silent" if max(signal.max() - mean, mean - signal.min()) < SILENCE_PEAK else "ok"


class SoundCollector:
    """Takes the packets of a sound track, and gives the sound at the track's own rate.

    Channels are averaged, or one is taken alone: `channel`, which `better_channel` names once all was fed. Raises
    MediaError: unsupported, broken, truncated, no_samples, not_finite, or too_large.
    """

    def __init__(self, stream: AudioStream, channel: int | None = None) -> None:
        if stream.codec_context is None:
            raise MediaError("open", "unsupported", "a sound track in a code that is not known")
        if stream.codec_context.name in CODECS_IN_DOUBT:
            detail = f"FFmpeg and libsndfile read {stream.codec_context.name} differently: write it as PCM"
            raise MediaError("decode", "unsupported", detail)
        self.stream = stream
        self.channel = channel
        self.powers = Powers()
        self.rate = int(stream.rate or 0)
        self.packer: AudioResampler | None = None
        self.chunks: list[NDArray[np.float32]] = []
        self.samples = 0
        if not self.rate or not stream.channels:
            raise MediaError("open", "unsupported", "a sound track without a sample rate or without channels")
        if stream.channels > MAX_CHANNELS:
            raise MediaError(
                "decode", "too_large", f"{stream.channels} sound channels: {MAX_CHANNELS} at most are read"
            )
        if not MIN_RATE_HZ <= self.rate <= MAX_RATE_HZ:
            detail = f"{self.rate} samples a second: from {MIN_RATE_HZ} to {MAX_RATE_HZ} are read"
            raise MediaError("decode", "too_large", detail)

    def feed(self, packet: Any) -> None:
        """Decode one packet of the track."""
        try:
            for frame in self.stream.codec_context.decode(packet):
                self._take(frame)
        except (av.error.FFmpegError, ValueError) as error:
            raise MediaError("decode", "broken", f"the sound track cannot be decoded ({error})") from error

    def _take(self, frame: av.AudioFrame) -> None:
        if frame.sample_rate != self.rate:
            detail = f"the sample rate changes from {self.rate} to {frame.sample_rate} Hz midway"
            raise MediaError("decode", "broken", detail)
        for part in self._packed(frame):
            channels = _channels(part)
            if self.channel is not None and self.channel >= len(channels):
                raise MediaError("decode", "broken", "the number of channels changes midway")
            chunk = channels.mean(axis=0) if self.channel is None else channels[self.channel]
            self.powers.add(channels, chunk)
            self.samples += len(chunk)
            self.chunks.append(np.asarray(chunk, np.float32))
        if self.samples > MAX_SAMPLES:
            detail = f"more than {MAX_SAMPLES:,} samples: cut the file into parts"
            raise MediaError("decode", "too_large", detail)
        if self.samples > MAX_SECONDS * self.rate:
            raise MediaError("decode", "too_large", f"more than {MAX_SECONDS:.0f} s of sound: cut the file into parts")

    def _packed(self, frame: av.AudioFrame) -> list[av.AudioFrame]:
        if not frame.format.is_planar or len(frame.layout.channels) < _PLANES_WITH_AN_END:
            return [frame]
        self.packer = self.packer or AudioResampler(frame.format.packed, frame.layout, self.rate)
        return list(self.packer.resample(frame))

    def finish(self, stated_seconds: float | None) -> Sound:
        """Return the whole sound; `stated_seconds` is what the header says that it lasts."""
        if not self.samples:
            raise MediaError("decode", "no_samples", "the sound track holds no samples")
        sound = Sound(np.concatenate(self.chunks), self.rate)
        if not float(np.abs(sound.signal).max()) <= MAX_AMPLITUDE:  # nor is NaN
            detail = f"the samples hold NaN, infinity, or more than {MAX_AMPLITUDE:,.0f} times full scale"
            raise MediaError("decode", "not_finite", detail)
        check_whole("sound", sound.duration_seconds, stated_seconds)
        return sound

    def better_channel(self) -> int | None:
        """Return the channel to take alone in place of what was given; None where that is as good."""
        if self.channel is not None:
            return None
        return self.powers.better_channel([channel.name for channel in self.stream.layout.channels])


def check_whole(what: str, seconds: float, stated_seconds: float | None) -> None:
    """Raise MediaError where there is less than the header states."""
    if stated_seconds is not None and seconds < stated_seconds - missing_allowed(stated_seconds):
        detail = f"{seconds:.2f} s of {what} where the header states {stated_seconds:.2f} s"
        raise MediaError("decode", "truncated", detail)


def _channels(frame: av.AudioFrame) -> NDArray[np.float32]:
    """Return a frame's samples within ±1, float32[channels, samples]."""
    values: NDArray[Any] = frame.to_ndarray()
    if not frame.format.is_planar:
        values = values.reshape(-1, len(frame.layout.channels)).T
    if values.dtype.kind == "u":  # 8-bit samples are the only unsigned ones, and rest at 128
        return np.asarray((values.astype(np.float32) - 128) / 128, np.float32)
    if values.dtype.kind == "i":
        return np.asarray(values.astype(np.float32) / -float(np.iinfo(values.dtype).min), np.float32)
    return values.astype(np.float32)


def prepare(sound: Sound, sample_rate_hz: int, level: Literal["as-is", "peak"]) -> NDArray[np.float32]:
    """Return the signal float32[samples] at `sample_rate_hz`; with level "peak" its largest magnitude is 1.

    Resampling is librosa's default (soxr, high quality), so that `librosa.load` gives the same samples.
    """
    signal = sound.signal
    if sound.sample_rate_hz != sample_rate_hz:
        import librosa  # noqa: PLC0415 - a second, which a process that only lists does not have

        signal = librosa.resample(signal, orig_sr=sound.sample_rate_hz, target_sr=sample_rate_hz)
    peak = float(np.abs(signal).max(initial=0.0))
    if level == "peak" and peak > 0:
        signal = signal / np.float32(peak)
    return np.asarray(signal, dtype=np.float32)
