"""Sound tracks against libsndfile, librosa and the signal that was encoded; broken files against their reason."""

import ctypes
import hashlib
import io
import os
import struct
import sys
import zipfile
from pathlib import Path

import av
import librosa
import numpy as np
import pytest
import soundfile
from whole_media import Sound, prepare, read_media

from emocore.errors import MediaError
from emocore.media.reading import SOUND_ONLY
from emocore.media.source import content_id, open_source

RATE = 22_050


def decode(path):
    with open_source(path) as stream:
        return read_media(stream, SOUND_ONLY).sound


def fault(path):
    with pytest.raises(MediaError) as error:
        decode(path)
    return error.value.reason


def loaded(path):
    return librosa.load(path, sr=RATE, mono=True)[0]


def assert_as_librosa(path):
    np.testing.assert_allclose(prepare(decode(path), RATE, "as-is"), loaded(path), atol=1e-6, rtol=0)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW"])
def test_every_width_of_a_wav_sample(media_files, subtype):
    path = media_files.sound("a.wav", subtype=subtype)
    sound = decode(path)
    assert (sound.sample_rate_hz, sound.signal.dtype, sound.signal.ndim) == (RATE, np.float32, 1)
    np.testing.assert_allclose(sound.signal, soundfile.read(path, dtype="float32")[0], atol=1e-6, rtol=0)


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 48_000, 192_000])
def test_any_rate_becomes_what_librosa_loads(media_files, rate):
    assert_as_librosa(media_files.sound("a.wav", rate=rate))


@pytest.mark.parametrize("name", ["a.wav", "a.flac"])
@pytest.mark.parametrize("channels", [1, 2, 4])  # of surround: see test_channels.py
def test_channels_are_averaged_as_librosa_does(media_files, name, channels):
    gains = np.linspace(1, -0.4, channels, dtype=np.float32)
    assert_as_librosa(media_files.sound(name, media_files.voice()[:, None] * gains, 44_100))


@pytest.mark.parametrize(
    ("name", "codec", "video"),
    [
        ("a.mov", "pcm_s16le", "mpeg4"),
        ("a.avi", "pcm_s16le", "mpeg4"),
        ("a.mkv", "flac", "mpeg4"),
        ("only-sound.mkv", "pcm_f32le", None),
    ],
)
def test_lossless_tracks_of_films(media_files, name, codec, video):
    signal = media_files.voice(rate=44_100)
    sound = decode(media_files.encoded(name, signal, 44_100, codec, video))
    assert sound.sample_rate_hz == 44_100
    np.testing.assert_allclose(sound.signal, signal, atol=1 / 32_767, rtol=0)


@pytest.mark.parametrize(
    ("name", "rate", "codec", "video"),
    [
        ("a.mp3", 44_100, "libmp3lame", None),
        ("a.opus", 48_000, "libopus", None),
        ("a.m4a", 44_100, "aac", None),
        ("a.mp4", 48_000, "aac", "libx264"),
        ("a.mov", 44_100, "aac", "libx264"),
        ("a.mkv", 48_000, "libopus", "libx264"),
        ("a.webm", 48_000, "libopus", "libvpx"),
        ("a.avi", 44_100, "libmp3lame", "mpeg4"),
    ],
)
def test_lossy_tracks_resemble_what_was_encoded(media_files, name, rate, codec, video):
    signal = media_files.voice(rate=rate)
    sound = decode(media_files.encoded(name, signal, rate, codec, video))
    assert_resembles(sound, signal, rate, lead=1_105 * (name == "a.avi"))  # LAME's delay, which AVI cannot state


@pytest.mark.parametrize(("name", "codec"), [("a.m4a", "aac"), ("a.mkv", "libopus"), ("b.mkv", "flac")])
@pytest.mark.parametrize(("layout", "channels"), [("5.1", 6), ("7.1", 8)])
def test_surround_sound_without_a_centre_is_the_mean_of_its_channels(media_files, name, codec, layout, channels):
    """PyAV 18 reads past the end of eight planes: a frame must not be taken apart there."""
    gains = np.linspace(1, 0.2, channels, dtype=np.float32)
    gains[2] = 0
    signal = media_files.voice(rate=48_000)
    path = str(media_files.folder / name)
    with av.open(path, "w") as container:
        track = container.add_stream(codec, rate=48_000, layout=layout)
        track.format = track.codec.audio_formats[0]
        track.codec_context.open()
        frame = av.AudioFrame.from_ndarray((signal[:, None] * gains).reshape(1, -1), format="flt", layout=layout)
        frame.sample_rate, frame.pts = 48_000, 0
        resampler = av.AudioResampler(track.format, layout, 48_000, track.codec_context.frame_size or None)
        for part in (*resampler.resample(frame), *resampler.resample(None), None):
            container.mux(track.encode(part))
    sound = decode(path)
    assert_resembles(sound, signal, 48_000)
    assert np.abs(sound.signal).max() == pytest.approx(0.5 * gains.mean(), rel=0.2)


@pytest.mark.parametrize(("name", "subtype", "rate"), [("a.ogg", "VORBIS", 44_100), ("b.ogg", "OPUS", 48_000)])
def test_ogg_resembles_what_libsndfile_encoded(media_files, name, subtype, rate):
    signal = media_files.voice(rate=rate)
    assert_resembles(decode(media_files.sound(name, signal, rate, format="OGG", subtype=subtype)), signal, rate)


def test_bare_aac_resembles_what_was_encoded(media_files):
    signal = media_files.voice(rate=44_100)
    sound = decode(media_files.encoded("a.aac", signal, 44_100, "aac"))
    assert_resembles(sound, signal, 44_100, lead=1_024)  # the encoder's delay, which ADTS cannot state


def assert_resembles(sound, signal, rate, lead=0):
    """Equal but for what a codec loses, after `lead` samples, and padded or cut by less than one of its frames."""
    assert sound.sample_rate_hz == rate
    assert -256 < len(sound.signal) - lead - len(signal) < 1_152
    ours = sound.signal[lead:][: len(signal)]
    assert np.corrcoef(ours, signal[: len(ours)])[0, 1] > 0.99


def test_a_tenth_of_a_second(media_files):
    path = media_files.sound("a.wav", media_files.voice(0.1))
    assert decode(path).duration_seconds == pytest.approx(0.1)
    assert_as_librosa(path)


def test_a_long_header_before_the_samples(media_files):
    content = Path(media_files.sound("a.wav")).read_bytes()
    note = b"LIST" + struct.pack("<I", 20_000) + b"INFO" + bytes(19_996)
    before = content.index(b"data")
    assert_as_librosa(media_files.bytes("b.wav", content[:before] + note + content[before:]))


@pytest.mark.parametrize(
    "stated", [0, 0x7FFFF000, 0x7FFFFFFF, 0x80000000, 0x80000000 - 44, 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF - 36]
)
def test_a_wav_recorded_into_a_pipe_has_no_length_and_is_read_to_its_end(media_files, stated):
    path = media_files.sound("a.wav")
    content = bytearray(Path(path).read_bytes())
    at = content.index(b"data") + 4
    content[at : at + 4] = struct.pack("<I", stated)
    np.testing.assert_allclose(decode(media_files.bytes("b.wav", content)).signal, loaded(path), atol=1e-6)


@pytest.mark.parametrize(("seconds", "more"), [(1.0, 1), (1.0, 8), (1.0, 16), (1.0, 44), (1.0, 4_400), (20.0, 8_800)])
def test_a_wav_that_states_a_little_more_than_it_holds_is_whole(media_files, seconds, more):
    """By the grace of every other format: 0.1 s (4,410 bytes of these), or 1 %."""
    content = bytearray(Path(media_files.sound("a.wav", media_files.voice(seconds))).read_bytes())
    at = content.index(b"data") + 4
    stated = struct.unpack("<I", content[at : at + 4])[0]
    content[at : at + 4] = struct.pack("<I", stated + more)
    sound = decode(media_files.bytes("b.wav", content))
    np.testing.assert_array_equal(sound.signal, soundfile.read(media_files.folder / "a.wav", dtype="float32")[0])
    content[at : at + 4] = struct.pack("<I", stated + more + 5_000)
    assert fault(media_files.bytes("c.wav", content)) == "truncated"


def test_an_odd_chunk_is_followed_by_a_padding_byte(media_files):
    content = Path(media_files.sound("a.wav")).read_bytes()
    before = content.index(b"data")
    odd = content[:before] + b"note" + struct.pack("<I", 3) + b"abc\0" + content[before:]
    assert_as_librosa(media_files.bytes("b.wav", odd))
    assert fault(media_files.bytes("c.wav", odd[:-20_000])) == "truncated"


def test_a_film_without_sound_is_none(media_files):
    assert decode(media_files.encoded("a.mp4", None, 0, video="libx264")) is None


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers(media_files, bad):
    signal = media_files.voice()
    signal[100] = bad
    assert fault(media_files.sound("a.wav", signal, subtype="FLOAT")) == "not_finite"


@pytest.mark.parametrize("factor", [1e5, 1e20, 1e38])
def test_absurd_amplitudes_are_no_sound(media_files, factor):
    loud = media_files.voice() * np.float32(factor)
    assert fault(media_files.sound("a.wav", loud, subtype="FLOAT")) == "not_finite"
    assert decode(media_files.sound("b.wav", media_files.voice() * 100, subtype="FLOAT")) is not None


@pytest.mark.parametrize(("channels", "reason"), [(32, None), (33, "too_large")])
def test_number_of_channels(media_files, channels, reason):
    path = media_files.sound("a.wav", np.full((2_205, channels), 0.25, np.float32))
    assert (reason and fault(path)) == reason
    if reason is None:
        np.testing.assert_allclose(decode(path).signal, 0.25, atol=1e-4)


def cut(path, share):
    content = Path(path).read_bytes()
    Path(path).write_bytes(content[: int(len(content) * share)])
    return path


@pytest.mark.parametrize("share", [0.02, 0.5, 0.95])
def test_a_cut_wav_or_flac(media_files, share):
    assert fault(cut(media_files.sound("a.wav", media_files.voice(4.0)), share)) == "truncated"
    assert fault(cut(media_files.sound("a.flac", media_files.voice(4.0)), share)) in {"truncated", "broken"}


def test_a_cut_film_whose_index_is_at_the_end(media_files):
    path = media_files.encoded("a.mp4", media_files.voice(4.0, 44_100), 44_100, "aac", "libx264")
    assert fault(cut(path, 0.5)) == "truncated"


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.m4a", "a.3gp", "a.m4v", "a.qt"])
@pytest.mark.parametrize("share", [0.01, 1 / 3, 0.9])
def test_a_cut_file_whose_description_is_at_the_end(media_files, name, share):
    kind = {".qt": ".mov", ".m4v": ".mp4"}.get(Path(name).suffix, Path(name).suffix)
    written = media_files.encoded(f"whole{kind}", media_files.voice(4.0, 44_100), 44_100, "aac")
    path = Path(written).rename(media_files.folder / name)
    content = path.read_bytes()
    assert content.index(b"mdat") < content.index(b"moov") and decode(str(path)) is not None
    assert fault(cut(str(path), share)) == "truncated"
    path.write_bytes(content[: content.index(b"moov") - 4])  # as a recorder leaves it that was ended
    assert fault(str(path)) == "truncated"


@pytest.mark.parametrize(
    "content",
    [
        struct.pack(">I4s4s4x", 16, b"ftyp", b"heic")
        + struct.pack(">I4s", 8, b"meta")
        + struct.pack(">I4s", 0, b"mdat"),
        struct.pack(">I4s4s4x", 16, b"ftyp", b"isom"),
        struct.pack(">I4s4s4x", 16, b"ftyp", b"isom") + struct.pack(">I4s", 3, b"mdat") + bytes(40),
        struct.pack(">I4s", 8, b"free") * 2_000,
    ],
)
def test_what_is_no_film_at_all_is_not_called_a_cut_one(media_files, content):
    assert fault(media_files.bytes("a.mp4", content)) in {"unsupported", "broken", "no_samples"}


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "aac"), ("a.mkv", "flac"), ("a.webm", "libopus")])
def test_a_cut_film_whose_header_states_more(media_files, name, codec):
    options = {"movflags": "faststart"} if name == "a.mp4" else {}
    path = media_files.encoded(name, media_files.voice(4.0, 48_000), 48_000, codec, options=options)
    assert decode(path).duration_seconds == pytest.approx(4.0, abs=0.1)
    assert fault(cut(path, 0.5)) in {"truncated", "broken"}


def test_a_rate_that_changes_midway_does_not_pass_as_one_rate(media_files):
    parts = [media_files.sound(f"{rate}.mp3", media_files.voice(rate=rate), rate) for rate in (44_100, 22_050)]
    joined = media_files.bytes("joined.mp3", b"".join(Path(part).read_bytes() for part in parts))
    try:
        seconds = decode(joined).duration_seconds
    except MediaError as error:
        assert error.reason in {"broken", "unsupported"}
    else:
        assert seconds == pytest.approx(2.0, abs=0.15)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty_file"),
        (b"R", "unsupported"),
        (b"This is a text, whatever its name says.\n" * 40, "unsupported"),
        (b"RIFF\x24\0\0\0WAVE", "unsupported"),
        (bytes(100_000), "unsupported"),
        (b"<html><body>404 Not Found</body></html>", "unsupported"),
        (b"\xff\xd8\xff\xe0" + bytes(1_000), "unsupported"),
    ],
)
def test_no_media_whatever_the_name(media_files, content, reason):
    for name in ("a.wav", "a.mp3", "a.mp4"):
        assert fault(media_files.bytes(name, content)) == reason


def test_a_header_alone(media_files):
    full = Path(media_files.sound("a.wav")).read_bytes()
    assert fault(media_files.bytes("b.wav", full[:44])) == "truncated"
    assert fault(media_files.sound("zero.wav", np.zeros(0, np.float32))) == "no_samples"
    assert fault(media_files.sound("zero.ogg", np.zeros(0, np.float32), subtype="VORBIS")) == "no_samples"


def test_noise_in_the_middle_of_a_file_never_crashes(media_files):
    paths = [
        media_files.sound("a.flac"),
        media_files.sound("a.mp3"),
        media_files.encoded("a.mp4", media_files.voice(rate=44_100), 44_100, "aac", "libx264"),
    ]
    rng = np.random.default_rng(0)
    for path in paths:
        whole = Path(path).read_bytes()
        for _ in range(15):
            content = bytearray(whole)
            at = int(rng.integers(0, len(content) - 200))
            content[at : at + 200] = rng.bytes(200)
            Path(path).write_bytes(content)
            try:
                sound = decode(path)
            except MediaError as error:
                assert error.stage in {"open", "decode"}
            else:
                assert sound is None or np.isfinite(sound.signal).all()


def test_a_missing_file_and_one_that_may_not_be_read(media_files, monkeypatch):
    assert fault(str(media_files.folder / "gone.wav")) == "not_found"

    def denied(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)
    assert fault(media_files.sound("a.wav")) == "not_permitted"


@pytest.mark.parametrize("name", ["with space.wav", "new\nline.wav", "😀 – Ünïcödé 声.wav", "-dash.wav", "a%20b#?.wav"])
def test_names_are_only_names(media_files, name):
    assert_as_librosa(media_files.sound(name))


# Members of zips


@pytest.mark.parametrize("name", ["speech.zip", "SPEECH.ZIP", "a b.Zip"])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_member_is_the_file_it_holds(media_files, name, method):
    path = media_files.sound("a.wav")
    with zipfile.ZipFile(media_files.folder / name, "w", method) as archive:
        archive.write(path, "Actor_01/ä 😀.wav")
    member = f"{media_files.folder / name}!/Actor_01/ä 😀.wav"
    np.testing.assert_array_equal(decode(member).signal, decode(path).signal)
    with open_source(member) as stream:
        assert content_id(stream) == hashlib.sha256(Path(path).read_bytes()).hexdigest()
        assert stream.tell() == 0


def test_a_member_that_is_not_there_or_no_zip(media_files):
    with zipfile.ZipFile(media_files.folder / "a.zip", "w") as archive:
        archive.writestr("empty.wav", b"")
    archive = f"{media_files.folder}/a.zip"
    assert fault(f"{archive}!/b.wav") == "not_found"
    assert fault(f"{archive}!/empty.wav") == "empty_file"
    assert fault(f"{media_files.folder}/none.zip!/b.wav") == "not_found"
    assert fault(media_files.bytes("b.zip", b"no zip") + "!/b.wav") == "broken"


def test_a_damaged_member_is_broken_and_nothing_else(media_files):
    """The stages and the search for duplicates catch MediaError only: zlib's own error would end the job."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.wav", Path(media_files.sound("a.wav")).read_bytes())
    content = packed.getvalue()
    reasons = []
    for at in (60, 200, 1_000):
        damaged = content[:at] + bytes(byte ^ 0xFF for byte in content[at : at + 40]) + content[at + 40 :]
        try:
            reasons.append(fault(media_files.bytes("d.zip", damaged) + "!/a.wav"))
        except Exception as error:
            reasons.append(f"{type(error).__module__}.{type(error).__name__}")
    assert reasons == ["broken"] * 3


# Scripts that name other files

SCRIPTS = {
    "m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{}\n#EXT-X-ENDLIST\n",
    "concat": "ffconcat version 1.0\nfile '{}'\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
    "dash": '<MPD type="static"><Period><AdaptationSet><Representation><BaseURL>{}</BaseURL></Representation>'
    "</AdaptationSet></Period></MPD>",
    "url": "http://127.0.0.1:1/{}",
}


class Watch:
    """Counts how often a file is opened, by whatever library (inotify)."""

    IN_OPEN = 0x20

    def __init__(self, path):
        libc = ctypes.CDLL(None, use_errno=True)
        self.events = libc.inotify_init1(os.O_NONBLOCK)
        libc.inotify_add_watch(self.events, os.fsencode(path), self.IN_OPEN)

    def opened(self):
        try:
            return len(os.read(self.events, 65_536)) // 16
        except BlockingIOError:
            return 0
        finally:
            os.close(self.events)


@pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")
@pytest.mark.parametrize("name", ["a.mp4", "a.wav", "a.m3u8"])
@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_is_refused_and_what_it_names_stays_closed(media_files, script, name):
    secret = media_files.sound("secret.flac")
    path = media_files.bytes(name, SCRIPTS[script].format(secret).encode())
    watch = Watch(secret)
    assert fault(path) == "unsupported"
    assert watch.opened() == 0


@pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")
def test_without_our_lists_the_script_would_open_the_other_file(media_files):
    secret = media_files.sound("secret.flac")
    watch = Watch(secret)
    with av.open(media_files.bytes("a.mp4", SCRIPTS["concat"].format(secret).encode()), options={"safe": "0"}):
        pass
    assert watch.opened() == 1


# Level and silence


def test_peak_scales_the_largest_magnitude_to_one(media_files):
    signal = -media_files.voice(peak=0.2)
    sound = Sound(signal, RATE)
    np.testing.assert_array_equal(prepare(sound, RATE, "as-is"), signal)
    peaked = prepare(sound, RATE, "peak")
    assert np.abs(peaked).max() == 1
    np.testing.assert_allclose(peaked, librosa.util.normalize(signal), atol=1e-6)
    np.testing.assert_array_equal(sound.signal, signal)


def test_peak_holds_after_resampling_and_leaves_silence_alone(media_files):
    peaked = prepare(Sound(media_files.voice(rate=48_000, peak=0.2), 48_000), RATE, "peak")
    assert np.abs(peaked).max() == 1
    assert not prepare(Sound(np.zeros(100, np.float32), RATE), RATE, "peak").any()
