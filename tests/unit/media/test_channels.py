"""Which track and which channel is listened to, whether there is anything to hear, and how much of it was recorded."""

import io

import av
import librosa
import numpy as np
import pytest
import soundfile
from whole_media import read_media

from emocore.errors import MediaError
from emocore.media import audio
from emocore.media.audio import sound_state
from emocore.media.bandwidth import Bandwidth
from emocore.media.channels import Powers
from emocore.media.reading import Reading
from emocore.media.source import open_source


def bandwidth_hz(signal, rate):
    band = Bandwidth(rate)
    for at in range(0, len(signal), 5_000):
        band.feed(signal[at : at + 5_000])
    return band.hz()


RATE = 48_000


def listen(path, **options):
    with open_source(path) as stream:
        return read_media(stream, Reading(**options))


def heard(path, **options):
    return listen(path, **options).sound.signal


def wav(media_files, channels, **options):
    return media_files.sound("a.wav", np.column_stack(channels), RATE, subtype="FLOAT", **options)


@pytest.fixture
def voice(media_files):
    return media_files.voice(rate=RATE)


@pytest.fixture
def noise():
    return (0.1 * np.random.default_rng(0).standard_normal(RATE)).astype(np.float32)


# Channels


@pytest.mark.parametrize("share", [-0.999, -0.98, -0.7, -0.52])
def test_channels_that_cancel_each_other_leave_the_louder_one(media_files, voice, share):
    np.testing.assert_array_equal(heard(wav(media_files, [voice, np.float32(share) * voice])), voice)
    np.testing.assert_array_equal(heard(wav(media_files, [np.float32(share) * voice, voice])), voice)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0, -0.1, -0.4])
def test_stereo_of_one_voice_is_the_mean(media_files, voice, share):
    other = np.float32(share) * voice
    np.testing.assert_array_equal(heard(wav(media_files, [voice, other])), np.stack([voice, other]).mean(axis=0))


def test_unrelated_channels_are_the_mean(media_files, voice, noise):
    np.testing.assert_array_equal(heard(wav(media_files, [voice, noise])), np.stack([voice, noise]).mean(axis=0))


def test_an_offset_is_no_power(media_files, voice):
    """A channel with an offset and nothing else does not pass for the louder one."""
    offset = np.full_like(voice, -0.4)
    np.testing.assert_array_equal(
        heard(wav(media_files, [voice, -voice, offset])), heard(wav(media_files, [voice, -voice, 0 * offset]))
    )


SURROUND = ["FL", "FR", "FC", "LFE", "BL", "BR"]


@pytest.mark.parametrize(
    ("loudness", "names", "channel"),
    [
        ((0, 0, 1, 0, 0, 0), SURROUND, 2),
        ((2, 2, 1, 2, 1, 1), SURROUND, 2),  # dialogue, 6 dB below the music
        ((2, 2, 0.5, 2, 1, 1), SURROUND, None),
        ((2, 2, 0, 0, 1, 1), SURROUND, None),
        ((0, 0, 0, 0, 0, 1), SURROUND, 5),
        ((1, 0, 0, 1.1, 0, 0), SURROUND, 0),  # what a subwoofer plays is not said
        ((0, 0, 1, 0, 0, 0), ["NONE"] * 6, 2),
        ((1, 1, 1, 1, 1, 1), ["NONE"] * 6, None),
        ((0, 0, 0, 0, 0, 0), SURROUND, None),
        ((1, 1, 1), ["FL", "FR", "FC"], 2),
        ((1,), ["FC"], None),
        ((0, 1), ["FL", "FC"], None),
    ],
)
def test_the_channel_that_is_taken_alone(loudness, names, channel):
    samples = np.random.default_rng(0).standard_normal((len(names), 10_000)) * np.array(loudness)[:, None]
    powers = Powers()
    for part in np.split(samples.astype(np.float32), [1, 5_000], axis=1):
        powers.add(part, part.mean(axis=0))
    assert powers.better_channel(names) == channel


def test_dialogue_in_the_centre_of_a_film_keeps_its_level(media_files, voice, noise):
    path = str(media_files.folder / "a.mkv")
    samples = np.column_stack([noise, noise[::-1], voice, 0 * voice, 0.1 * noise, 0.1 * noise])
    with av.open(path, "w") as container:
        track = container.add_stream("flac", rate=RATE, layout="5.1")
        track.format = track.codec.audio_formats[0]
        frame = av.AudioFrame.from_ndarray(samples.astype(np.float32).reshape(1, -1), format="flt", layout="5.1")
        frame.sample_rate, frame.pts = RATE, 0
        for part in (*av.AudioResampler(track.format, "5.1", RATE, 4_096).resample(frame), None):
            container.mux(track.encode(part))
    sound = heard(path)
    np.testing.assert_allclose(sound, voice[: len(sound)], atol=1e-4)


def test_six_channels_of_no_layout_are_the_mean_or_the_only_one_that_speaks(media_files, voice, noise):
    nothing = np.zeros_like(voice)
    front = [voice, voice, nothing, nothing, noise, noise]
    np.testing.assert_array_equal(heard(wav(media_files, front)), np.stack(front).mean(axis=0))
    np.testing.assert_array_equal(heard(wav(media_files, [nothing] * 5 + [voice])), voice)


# Tracks


def tracks(media_files, signals, default=None, codecs=None, name="a.mkv"):
    """A file with a sound track a signal."""
    path = str(media_files.folder / name)
    with av.open(path, "w") as container:
        streams = []
        for place, _ in enumerate(signals):
            stream = container.add_stream((codecs or {}).get(place, "flac"), rate=RATE, layout="mono")
            stream.format = stream.codec.audio_formats[0]
            if default is not None:
                stream.disposition = av.stream.Disposition.default if place == default else 0
            streams.append(stream)
        for stream, signal in zip(streams, signals, strict=True):
            frame = av.AudioFrame.from_ndarray(signal[None], format="flt", layout="mono")
            frame.sample_rate, frame.pts = RATE, 0
            if not stream.codec_context.is_open:
                stream.codec_context.open()
            resampler = av.AudioResampler(stream.format, "mono", RATE, stream.codec_context.frame_size or None)
            for part in (*resampler.resample(frame), *resampler.resample(None), None):
                container.mux(stream.encode(part))
    return path


def pitch_of(signal):
    """Which of the tones below it is."""
    return round(float(np.abs(np.fft.rfft(signal)).argmax()) * RATE / len(signal) / 100) * 100


def tone(hertz, peak=0.3):
    return (peak * np.sin(2 * np.pi * hertz * np.arange(RATE) / RATE)).astype(np.float32)


@pytest.mark.parametrize(
    ("signals", "default", "pitch"),
    [
        ([300, 700], None, 300),
        ([300, 700], 1, 700),
        ([0, 700], None, 700),
        ([0, 0, 900], None, 900),
        ([300, 0], 1, 300),
        ([300, 700, 0], 2, 300),
    ],
)
def test_the_default_track_or_the_first_that_can_be_heard(media_files, signals, default, pitch):
    media = listen(tracks(media_files, [tone(hertz) for hertz in signals], default))
    assert (pitch_of(media.sound.signal), media.sound_tracks) == (pitch, len(signals))


def test_where_no_track_can_be_heard_the_first_is_read(media_files):
    media = listen(tracks(media_files, [tone(0), tone(0)]))
    assert (media.sound_tracks, media.sound.signal.any()) == (2, False)


def test_a_track_by_its_number(media_files):
    path = tracks(media_files, [tone(300), tone(700), tone(0)])
    assert pitch_of(heard(path, sound_track=2)) == 700
    assert not heard(path, sound_track=3).any()
    with pytest.raises(MediaError, match="3 sound tracks where --sound-track asks for number 4") as error:
        listen(path, sound_track=4)
    assert error.value.reason == "unsupported"


def test_a_track_that_cannot_be_decoded_gives_way(media_files, monkeypatch):
    path = tracks(media_files, [tone(300), tone(700)], codecs={0: "pcm_s16le"})
    monkeypatch.setattr(audio, "CODECS_IN_DOUBT", {"pcm_s16le"})
    assert pitch_of(heard(path)) == 700
    with pytest.raises(MediaError):
        listen(path, sound_track=1)


@pytest.mark.parametrize(("default", "level"), [(0, 50), (1, 200)])
def test_of_two_films_the_default_is_seen(media_files, default, level):
    path = str(media_files.folder / "a.mkv")
    with av.open(path, "w") as container:
        films = [container.add_stream("mpeg4", rate=25) for _ in range(2)]
        for place, film in enumerate(films):
            film.width, film.height, film.pix_fmt = 64, 64, "yuv420p"
            film.disposition = av.stream.Disposition.default if place == default else 0
        for i in range(3):
            for film, grey in zip(films, (50, 200), strict=True):
                frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), grey, np.uint8), format="rgb24")
                frame.pts = i
                container.mux(film.encode(frame))
        for film in films:
            container.mux(film.encode(None))
    assert listen(path, every=1).pictures[0].image.mean() == pytest.approx(level, abs=4)


# Is there anything?


@pytest.mark.parametrize(("peak", "state"), [(0.0, "silent"), (0.99e-3, "silent"), (1.02e-3, "ok"), (0.5, "ok")])
@pytest.mark.parametrize("offset", [0.0, 0.5, -0.9])
def test_silent_below_minus_60_decibels_of_a_swing_about_the_mean(peak, state, offset):
    signal = np.full(10_000, offset, np.float32)
    signal[5_000] -= peak
    assert sound_state(signal, 16_000) == state


@pytest.mark.parametrize(
    ("samples", "state"), [(0, "too_short"), (32, "too_short"), (1_599, "too_short"), (1_600, "ok")]
)
def test_less_than_a_tenth_of_a_second_is_too_short(media_files, samples, state):
    assert sound_state(media_files.voice(1.0, 16_000)[:samples], 16_000) == state


# How much of it was recorded


def telephone(signal):
    """As 8 kHz mu-law, and back at RATE with 16 bits."""
    narrow = librosa.resample(signal, orig_sr=RATE, target_sr=8_000)
    coded = io.BytesIO()
    soundfile.write(coded, narrow, 8_000, subtype="ULAW", format="WAV")
    coded.seek(0)
    back = librosa.resample(soundfile.read(coded, dtype="float32")[0], orig_sr=8_000, target_sr=RATE)
    return (np.round(back * 32_768) / 32_768).astype(np.float32)


@pytest.mark.parametrize("peak", [0.5, 0.05])
def test_a_telephones_bandwidth_is_told_whatever_it_was_stored_as(noise, peak):
    wide = noise * np.float32(peak / np.abs(noise).max())
    assert bandwidth_hz(wide, RATE) > 23_000
    assert 3_700 < bandwidth_hz(telephone(wide), RATE) < 4_300
    assert 3_700 < bandwidth_hz(librosa.resample(wide, orig_sr=RATE, target_sr=8_000), 8_000) <= 4_000


@pytest.mark.parametrize("samples", [0, 1, 100, RATE])
def test_silence_has_no_bandwidth(samples):
    assert bandwidth_hz(np.zeros(samples, np.float32), RATE) == 0
    assert bandwidth_hz(np.full(samples, 0.5, np.float32), RATE) == 0


# Voices


@pytest.mark.parametrize(
    ("channels", "names", "voices"),
    [
        ("ab", ["FL", "FR"], (0, 1)),
        ("aa", ["FL", "FR"], ()),
        ("a-", ["FL", "FR"], (0, 1)),  # nobody in the other one
        ("a", ["FC"], ()),
        ("abc", ["FL", "FR", "LFE"], (0, 1)),
        ("abcabc", SURROUND, (0, 1, 2, 4, 5)),
        ("aaa", ["NONE"] * 3, ()),
        ("ab" * 4, ["NONE"] * 8, tuple(range(8))),
        ("ab" * 5, ["NONE"] * 10, ()),
    ],
)
def test_which_channels_are_voices(channels, names, voices):
    rng = np.random.default_rng(0)
    signals = {name: rng.standard_normal(10_000) + 0.3 for name in "abc"} | {"-": np.zeros(10_000)}
    samples = np.stack([signals[name] for name in channels]).astype(np.float32)
    powers = Powers()
    for part in np.split(samples, [1, 5_000], axis=1):
        powers.add(part, part.mean(axis=0))
    assert powers.voices(names) == voices


def test_voices_are_handed_on_together_and_mono_as_ever(media_files, voice, noise):
    path = wav(media_files, [voice, noise])
    np.testing.assert_array_equal(heard(path, apart=True), np.stack([voice, noise]))
    np.testing.assert_array_equal(heard(wav(media_files, [voice]), apart=True), voice)
