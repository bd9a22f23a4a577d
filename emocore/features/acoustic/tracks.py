"""All tracks of a window: what is measured every 10 ms of its speech."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emocore.features.acoustic import spectra, spectral, voice
from emocore.features.acoustic.pitch import Pitch, track_pitch

N_MFCC, N_MELS = 20, 40
CEPSTRAL = tuple((f"mfcc_{i:02d}", "dB") for i in range(N_MFCC))
MEL = tuple((f"mel_{i:02d}", "dB") for i in range(N_MELS))


@dataclass(frozen=True)
class Tracks:
    """Tracks of t frames: `whole` float32[t, 85] as in WHOLE, `voice` float32[t, 12], and the pitch of each, hz [t].

    `whole` holds spectral.TRACKS, CEPSTRAL and MEL, in this order.
    """

    whole: NDArray[np.float32]
    voice: NDArray[np.float32]
    hz: NDArray[np.float32]

    @property
    def has_voice(self) -> bool:
        """Whether enough frames are voiced for statistics of them."""
        return int((self.hz > 0).sum()) >= voice.LEAST_FRAMES


WHOLE = (*spectral.TRACKS, *CEPSTRAL, *MEL)


def tracks_of(signal: NDArray[np.float32]) -> Tracks:
    """Return the tracks of float32[samples] at 16 kHz, from where speech begins to where it ends."""
    return tracks_and_power(signal)[0]


def tracks_and_power(signal: NDArray[np.float32]) -> tuple[Tracks, NDArray[np.float32]]:
    """Return the tracks as `tracks_of`, and the power spectra of their frames, float32[t, 257]."""
    signal = signal - signal.mean() if len(signal) else np.zeros(1, np.float32)
    frames = spectra.framed(signal, spectra.FRAME)
    power = spectra.power_spectra(frames)
    said = spectra.spoken(power)
    pitch = _between(track_pitch(signal, spectra.HOP), said)
    frames, power = frames[said], power[said]
    mel = power @ spectra.mel_filters(N_MELS)
    levels = spectra.decibels(mel)
    of_spectra = spectral.spectral_tracks(frames, power, mel, pitch.periodicity)
    whole = np.concatenate([of_spectra, levels @ spectra.cosines(N_MELS, N_MFCC), levels], axis=1)
    return Tracks(whole, voice.voice_tracks(power, pitch), pitch.hz), power


def _between(pitch: Pitch, said: slice) -> Pitch:
    return Pitch(pitch.hz[said], pitch.periodicity[said], pitch.spectra[said])
