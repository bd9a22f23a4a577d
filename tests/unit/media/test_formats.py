"""Every kind of file that archives hold is read as another reader reads it, or refused; cut ones are told."""

from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from whole_media import read_media

from emocore.errors import MediaError
from emocore.media.reading import Reading
from emocore.media.source import MEDIA_SUFFIXES, VIDEO_SUFFIXES, open_source

OURS = ("AIFF", "AU", "CAF", "FLAC", "OGG", "RF64", "W64", "WAV", "WAVEX")  # of libsndfile's containers
PLAIN = {"PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"}
# What FFmpeg does not read, or other than libsndfile: little-endian AU and AIFF of 24 and 32 bits, NMS, G.721, G.723,
# and RIFX, whose samples it takes for little-endian ones.
REFUSED = {("AU", "LITTLE"), ("WAV", "BIG"), ("AIFF", "LITTLE")}
WRITTEN = [
    (kind, subtype, endian, channels)
    for kind in OURS
    for subtype in soundfile.available_subtypes(kind)
    for endian in ("FILE", "LITTLE", "BIG")
    for channels in (1, 2)
    if soundfile.check_format(kind, subtype, endian) and subtype != "OPUS"
]


def read(path, every=None, **options):
    with open_source(path) as stream:
        return read_media(stream, Reading(every, **options))


@pytest.mark.parametrize(("kind", "subtype", "endian", "channels"), WRITTEN)
def test_what_libsndfile_writes_is_read_as_it_reads_it_or_refused(media_files, kind, subtype, endian, channels):
    voice = media_files.voice(0.6, 16_000)
    signal = voice if channels == 1 else np.column_stack([voice, 0.5 * voice[::-1]])
    try:
        path = media_files.sound("a.any", signal, 16_000, format=kind, subtype=subtype, endian=endian)
        expected = soundfile.read(path, dtype="float32", always_2d=True)[0].mean(axis=1)
    except soundfile.LibsndfileError:
        pytest.skip("libsndfile does not write it with so many channels, or cannot read it back")
    try:
        sound = read(path).sound
    except MediaError as error:
        assert error.reason in {"unsupported", "broken"}
        assert subtype not in PLAIN or (kind, endian) in REFUSED
        return
    assert sound.sample_rate_hz == 16_000
    held = len(sound.signal)
    assert 0 <= len(expected) - held <= 400  # FFmpeg drops the end of the last packet of ALAC and Vorbis
    np.testing.assert_allclose(sound.signal, expected[:held], atol=0.004, rtol=0)


def test_a_big_endian_wav_is_refused_in_words(media_files):
    path = media_files.sound("a.wav", subtype="PCM_16", endian="BIG")
    with pytest.raises(MediaError, match="a big-endian WAV"):
        read(path)


# name: codec, rate, film, FFmpeg's name of the container
KINDS = {
    "a.aif": ("pcm_s16be", 44_100, None, "aiff"),
    "a.aiff": ("pcm_s16be", 44_100, None, None),
    "a.aifc": ("pcm_s16be", 44_100, None, "aiff"),
    "a.amr": ("libopencore_amrnb", 8_000, None, None),
    "a.au": ("pcm_s16be", 44_100, None, None),
    "a.snd": ("pcm_mulaw", 8_000, None, "au"),
    "a.bwf": ("pcm_s16le", 44_100, None, "wav"),
    "a.wave": ("pcm_s16le", 44_100, None, "wav"),
    "a.rf64": ("pcm_s16le", 44_100, None, "wav"),
    "a.caf": ("pcm_s16be", 44_100, None, None),
    "a.w64": ("pcm_s16le", 44_100, None, None),
    "a.m4b": ("aac", 44_100, None, "ipod"),
    "a.m4r": ("aac", 44_100, None, "ipod"),
    "a.mka": ("libopus", 48_000, None, None),
    "a.mpga": ("libmp3lame", 44_100, None, "mp3"),
    "a.mp2": ("mp2", 44_100, None, None),
    "a.oga": ("flac", 48_000, None, "ogg"),
    "a.wma": ("wmav2", 44_100, None, "asf"),
    "a.3gp": ("aac", 44_100, "h263", None),
    "a.3g2": ("aac", 44_100, "mpeg4", "3g2"),
    "a.asf": ("wmav2", 44_100, "wmv2", None),
    "a.flv": ("libmp3lame", 44_100, "libx264", None),
    "a.m2ts": ("ac3", 48_000, "libx264", "mpegts"),
    "a.mts": ("ac3", 48_000, "libx264", "mpegts"),
    "a.ts": ("aac", 44_100, "libx264", "mpegts"),
    "a.mj2": ("pcm_s16le", 44_100, "mpeg4", "mov"),
    "a.mpeg": ("mp2", 44_100, "mpeg1video", "mpeg"),
    "a.mpg": ("mp2", 44_100, "mpeg1video", None),
    "a.vob": ("ac3", 48_000, "mpeg2video", "vob"),
    "a.ogv": ("libopus", 48_000, "libvpx", "ogg"),
    "a.qt": ("aac", 44_100, "libx264", "mov"),
    "a.wmv": ("wmav2", 44_100, "wmv2", "asf"),
}
STATING = {"a.aif", "a.au", "a.caf", "a.w64", "a.rf64", "a.wave", "a.mka", "a.wma", "a.wmv"}


def written(media_files, name, seconds=2.0):
    codec, rate, film, container = KINDS[name]
    path = str(media_files.folder / name)
    size = (128, 96)  # H.263 has few
    with av.open(path, "w", format=container) as file:
        pictures = file.add_stream(film, rate=25) if film else None
        if pictures:
            (pictures.width, pictures.height), pictures.pix_fmt = size, "yuv420p"
        track = file.add_stream(codec, rate=rate, layout="mono")
        track.format = track.codec.audio_formats[0]
        if codec.startswith("wma"):
            track.bit_rate = 64_000
        for i in range(round(25 * seconds) if pictures else 0):
            frame = av.VideoFrame.from_ndarray(np.full((*size[::-1], 3), i, np.uint8), format="rgb24")
            frame.pts = i
            file.mux(pictures.encode(frame))
        if pictures:
            file.mux(pictures.encode(None))
        if not track.codec_context.is_open:
            track.codec_context.open()
        frame = av.AudioFrame.from_ndarray(tone(rate, seconds)[None], format="flt", layout="mono")
        frame.sample_rate, frame.pts = rate, 0
        resampler = av.AudioResampler(track.format, "mono", rate, track.codec_context.frame_size or None)
        for part in (*resampler.resample(frame), *resampler.resample(None), None):
            file.mux(track.encode(part))
    return path


def tone(rate, seconds):
    return (0.3 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_that_an_archive_holds_is_read(media_files, name):
    path = written(media_files, name)
    assert Path(path).suffix in MEDIA_SUFFIXES
    assert (Path(path).suffix in VIDEO_SUFFIXES) == bool(KINDS[name][2])
    media = read(path, every=20)
    assert media.duration_seconds == pytest.approx(2.0, abs=0.1)
    middle = media.sound.signal[media.sound.sample_rate_hz // 2 :][: media.sound.sample_rate_hz]
    assert np.abs(np.fft.rfft(middle)).argmax() == 440
    assert np.abs(middle).max() == pytest.approx(0.3, rel=0.1)
    assert [picture.frame_index for picture in media.pictures or []] == ([0, 20, 40] if KINDS[name][2] else [])


@pytest.mark.parametrize("name", sorted(STATING))
def test_half_of_a_file_whose_header_states_the_whole_is_told(media_files, name):
    path = Path(written(media_files, name, 4.0))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(MediaError) as error:
        read(str(path))
    assert error.value.reason in {"truncated", "broken"}


@pytest.mark.parametrize(("name", "codec"), [("a.mka", "libmp3lame"), ("b.mka", "libopus"), ("a.flac", "flac")])
def test_a_length_that_ffmpeg_guesses_from_the_bit_rate_is_not_stated(media_files, name, codec):
    """Screen and browser recordings have none: the second half is quieter, and takes fewer bytes."""
    rate = 48_000
    signal = np.random.default_rng(0).uniform(-0.5, 0.5, 8 * rate).astype(np.float32)
    signal[2 * rate :] *= 0
    path = media_files.encoded(name, signal, rate, codec, options={"live": "1"} if name.endswith("mka") else {})
    content = bytearray(Path(path).read_bytes())
    if codec == "flac":
        content[21] &= 0xF0
        content[22:26] = bytes(4)  # the number of samples, as an encoder into a pipe leaves it
        path = media_files.bytes("pipe.flac", content)
    assert read(path).duration_seconds == pytest.approx(8.0, abs=0.1)
