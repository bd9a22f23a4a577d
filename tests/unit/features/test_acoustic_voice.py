"""Pitch and resonances of synthetic voices that are known, and of librosa's tracker."""

import librosa
import numpy as np
import pytest
from scipy.signal import lfilter
from whole_media import spoken

from emocore.features.acoustic import spectra, voice
from emocore.features.acoustic.pitch import semitones, track_pitch

RATE = spectra.RATE_HZ
VOWELS = [((500, 60), (1_500, 90), (2_500, 120)), ((300, 60), (2_200, 90), (2_900, 120))]


def vowel(hz, resonances=VOWELS[0], seconds=1.0):
    """Pulses at a pitch through resonators at centres and bandwidths."""
    n = round(RATE * seconds)
    cycles = np.floor(np.cumsum(np.broadcast_to(hz, (n,))) / RATE)
    x = np.diff(cycles, prepend=0.0)
    for centre, width in resonances:
        radius = np.exp(-np.pi * width / RATE)
        x = lfilter([1.0], [1.0, -2 * radius * np.cos(2 * np.pi * centre / RATE), radius**2], x)
    return (x / np.abs(x).max()).astype(np.float32)


@pytest.mark.parametrize("hz", [70, 80, 120, 200, 300, 450, 600])
def test_pitch_of_a_steady_vowel(hz):
    pitch = track_pitch(vowel(hz), spectra.HOP)
    inside = slice(5, -5)
    assert pitch.voiced[inside].all()
    apart = np.abs(semitones(pitch.hz[inside]) - 12 * np.log2(hz / 27.5))
    assert (apart < 0.5).mean() > 0.95


def test_pitch_follows_a_glide():
    hz = 100 * 2 ** np.linspace(0, 1.5, RATE)
    pitch = track_pitch(vowel(hz), spectra.HOP)
    truth = hz[: RATE - 1 : spectra.HOP]
    assert np.abs(12 * np.log2(pitch.hz[5:95] / truth[5:95])).max() < 0.3


@pytest.mark.parametrize("signal", [np.zeros(RATE), 0.2 * np.random.default_rng(0).standard_normal(RATE)])
def test_silence_and_noise_have_no_pitch(signal):
    assert track_pitch(signal.astype(np.float32), spectra.HOP).voiced.mean() < 0.05


def test_where_librosa_hears_a_pitch_it_is_the_same():
    signal = spoken(RATE).astype(np.float32)
    ours = track_pitch(signal / np.abs(signal).max(), spectra.HOP)
    theirs, voiced, _ = librosa.pyin(signal, sr=RATE, fmin=65, fmax=700, frame_length=1_024, hop_length=spectra.HOP)
    n = min(len(theirs), len(ours.hz))
    both = ours.voiced[:n] & voiced[:n]
    apart = np.abs(12 * np.log2(ours.hz[:n][both] / theirs[:n][both]))
    assert both.sum() > 20
    assert np.median(apart) < 0.3
    assert (apart < 1).mean() > 0.9


@pytest.mark.parametrize("resonances", VOWELS)
def test_resonances_of_a_vowel(resonances):
    power = spectra.power_spectra(spectra.framed(vowel(110, resonances), spectra.FRAME))[5:-5]
    centres, widths = voice.resonances(power)
    assert np.abs(np.median(centres, axis=0) / [centre for centre, _ in resonances] - 1).max() < 0.25
    assert np.abs(np.median(centres, axis=0)[1:] / [centre for centre, _ in resonances[1:]] - 1).max() < 0.05
    assert (np.median(widths, axis=0) < 250).all()


def test_tilt_jitter_and_shimmer():
    names = [name for name, _ in voice.TRACKS]

    def means(signal):
        power = spectra.power_spectra(spectra.framed(signal, spectra.FRAME))
        pitch = track_pitch(signal, spectra.HOP)
        return dict(zip(names, voice.voice_tracks(power, pitch)[10:-10].mean(axis=0), strict=True))

    time = np.arange(RATE) / RATE
    breathy = (0.6 * np.sin(2 * np.pi * 200 * time) + 0.06 * np.sin(2 * np.pi * 400 * time)).astype(np.float32)
    assert means(breathy)["h1_h2"] == pytest.approx(20.0, abs=0.5)
    shaken = 150 * (1 + 0.04 * np.random.default_rng(0).standard_normal(100).repeat(RATE // 100))
    assert means(vowel(shaken))["jitter"] > 3 * means(vowel(150))["jitter"]
    wavering = vowel(150) * (0.5 + 0.4 * np.sign(np.sin(2 * np.pi * 20 * time))).astype(np.float32)
    assert means(wavering)["shimmer"] > 3 * means(vowel(150))["shimmer"]


def test_no_voice_gives_zeros():
    silence = np.zeros(3_200, np.float32)
    power = spectra.power_spectra(spectra.framed(silence, spectra.FRAME))
    assert not voice.voice_tracks(power, track_pitch(silence, spectra.HOP)).any()
