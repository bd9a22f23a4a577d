"""The sound track of a file, as one channel of samples at the rate that the features ask for."""

from dataclasses import dataclass
from typing import Any

import av
import librosa
import numpy as np
from av.container import InputContainer
from numpy.typing import NDArray

from emocore.config import Level
from emocore.errors import MediaError
from emocore.media.container import stated_seconds

MAX_AUDIO_SECONDS = 1_200.0
MAX_CHANNELS = 32
SILENCE_PEAK = 1e-3  # −60 dB of full scale
TRUNCATION_SECONDS = 0.1


@dataclass(frozen=True)
class Sound:
    """A decoded sound track: `signal` float32[samples] within ±1 at `sample_rate_hz`, one channel."""

    signal: NDArray[np.float32]
    sample_rate_hz: int

    @property
    def duration_seconds(self) -> float:
        """How long the sound lasts."""
        return len(self.signal) / self.sample_rate_hz

    @property
    def silent(self) -> bool:
        """Whether no sample reaches −60 dB of full scale."""
        return not len(self.signal) or float(np.abs(self.signal).max()) < SILENCE_PEAK


def decode_audio(container: InputContainer) -> Sound | None:
    """Decode the first sound track at its own rate, channels averaged; None where there is no track.

    Raises MediaError: broken, truncated, no_samples, not_finite, or too_large.
    """
    if not container.streams.audio:
        return None
    stream = container.streams.audio[0]
    rate = int(stream.rate or 0)
    if not rate or not stream.channels:
        raise MediaError("open", "unsupported", "a sound track without a sample rate or without channels")
    if stream.channels > MAX_CHANNELS:
        raise MediaError("decode", "too_large", f"{stream.channels} sound channels: {MAX_CHANNELS} at most are read")
    chunks = _decode_chunks(container, rate)
    if not chunks:
        raise MediaError("decode", "no_samples", "the sound track holds no samples")
    signal = np.concatenate(chunks)
    if not np.isfinite(signal).all():
        raise MediaError("decode", "not_finite", "the samples hold NaN or infinity")
    _check_whole(container, len(signal) / rate)
    return Sound(signal, rate)


def _decode_chunks(container: InputContainer, rate: int) -> list[NDArray[np.float32]]:
    chunks: list[NDArray[np.float32]] = []
    samples = 0
    try:
        for frame in container.decode(audio=0):
            if frame.sample_rate != rate:
                detail = f"the sample rate changes from {rate} to {frame.sample_rate} Hz midway"
                raise MediaError("decode", "broken", detail)
            chunks.append(_one_channel(frame))
            samples += len(chunks[-1])
            if samples > MAX_AUDIO_SECONDS * rate:
                raise MediaError(
                    "decode",
                    "too_large",
                    f"more than {MAX_AUDIO_SECONDS:.0f} s of sound: cut the file into parts",
                )
    except (av.error.FFmpegError, ValueError) as error:
        raise MediaError("decode", "broken", f"the sound track cannot be decoded ({error})") from error
    return [chunk for chunk in chunks if len(chunk)]


def _one_channel(frame: av.AudioFrame) -> NDArray[np.float32]:
    values: NDArray[Any] = frame.to_ndarray()
    if not frame.format.is_planar:
        values = values.reshape(-1, len(frame.layout.channels)).T
    scaled: NDArray[np.floating[Any]]
    if values.dtype.kind == "u":  # 8-bit samples are the only unsigned ones, and rest at 128
        scaled = (values.astype(np.float32) - 128) / 128
    elif values.dtype.kind == "i":
        scaled = values.astype(np.float32) / -float(np.iinfo(values.dtype).min)
    else:
        scaled = values.astype(np.float32)
    return np.asarray(scaled.mean(axis=0), np.float32)


def _check_whole(container: InputContainer, seconds: float) -> None:
    stated = stated_seconds(container, container.streams.audio[0])
    if stated is not None and seconds < stated - max(TRUNCATION_SECONDS, 0.01 * stated):
        raise MediaError("decode", "truncated", f"{seconds:.2f} s of sound where the header states {stated:.2f} s")


def prepare(sound: Sound, sample_rate_hz: int, level: Level) -> NDArray[np.float32]:
    """Return the signal float32[samples] at `sample_rate_hz`; with level "peak" its largest magnitude is 1.

    Resampling is librosa's default (soxr, high quality), so that `librosa.load` gives the same samples.
    """
    signal = sound.signal
    if sound.sample_rate_hz != sample_rate_hz:
        signal = librosa.resample(signal, orig_sr=sound.sample_rate_hz, target_sr=sample_rate_hz)
    peak = float(np.abs(signal).max(initial=0.0))
    if level == "peak" and peak > 0:
        signal = signal / np.float32(peak)
    return np.asarray(signal, dtype=np.float32)
