"""One clock for what is seen and what is heard, whichever begins earlier; lengths count from each one's own begin."""

from fractions import Fraction
from types import SimpleNamespace

import av
import cv2
import numpy as np
import pytest
from whole_media import read_media

from emocore.media import reading, video
from emocore.media.limit import TimeLimit
from emocore.media.reading import Reading
from emocore.media.source import open_source

FLASH_SECONDS = 0.6
BEGINNINGS = [(0.0, 0.0), (0.5, 0.0), (0.0, 0.5), (1.5, 1.5), (1.5, 1.2)]


def read(path, every):
    with open_source(path) as stream:
        return read_media(stream, Reading(every))


def opencv_times(path):
    """When cv2.VideoCapture says that each picture is shown, in seconds from the first one."""
    capture, times = cv2.VideoCapture(path, cv2.CAP_FFMPEG), []
    while capture.grab():
        times.append(capture.get(cv2.CAP_PROP_POS_MSEC) / 1_000)
    capture.release()
    return times


def flash_and_beep(path, code, film_begins, sound_begins, options=None):
    """A second of film that turns white, and of sound that sets in, both at one time of the clock that both have."""
    at = round(max(film_begins, sound_begins) + FLASH_SECONDS, 2)
    with av.open(str(path), "w", options=options or {}) as container:
        film = container.add_stream("mpeg4" if str(path).endswith("avi") else "libx264", rate=50)
        film.width, film.height, film.pix_fmt = 64, 48, "yuv420p"
        track = container.add_stream(code, rate=48_000, layout="mono")
        packets = []
        for i in range(round(50 * film_begins), round(50 * (at + 0.4))):
            frame = av.VideoFrame.from_ndarray(
                np.full((48, 64, 3), 255 * (i >= round(50 * at)), np.uint8), format="bgr24"
            )
            frame.pts, frame.time_base = i, Fraction(1, 50)
            packets += film.encode(frame)
        times = np.arange(round(48_000 * sound_begins), round(48_000 * (at + 0.4))) / 48_000
        beep = np.where(times >= at, 20_000 * np.cos(2_000 * np.pi * times), 0).astype(np.int16)
        heard = av.AudioFrame.from_ndarray(beep[None], format="s16", layout="mono")
        heard.sample_rate, heard.pts, heard.time_base = 48_000, round(48_000 * sound_begins), Fraction(1, 48_000)
        packets += [*film.encode(None), *track.encode(heard), *track.encode(None)]
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            container.mux(packet)
    return str(path)


def flash_of(media):
    return next(picture.time_seconds for picture in media.pictures if picture.image.mean() > 128)


def beep_of(media):
    """When the sound sets in, on the clock of the pictures."""
    signal = np.abs(media.sound.signal)
    return media.sound_begin_seconds + np.argmax(signal > 0.5 * signal.max()) / media.sound.sample_rate_hz


CODES = {
    "a.mp4": ("aac", {}),
    "opus.mp4": ("libopus", {}),
    "offset.mp4": ("aac", {"output_ts_offset": "3"}),
    "a.mov": ("pcm_s16le", {}),
    "a.mkv": ("aac", {}),
    "flac.mkv": ("flac", {}),
    "offset.mkv": ("libopus", {"output_ts_offset": "3"}),
}


@pytest.mark.parametrize(("film_begins", "sound_begins"), BEGINNINGS)
@pytest.mark.parametrize("name", CODES)
def test_what_is_seen_and_heard_at_once_has_one_time(tmp_path, name, film_begins, sound_begins):
    code, options = CODES[name]
    path = flash_and_beep(tmp_path / name, code, film_begins, sound_begins, options)
    media = read(path, 1)
    assert flash_of(media) == pytest.approx(beep_of(media), abs=0.008)
    with av.open(path) as container:
        start = container.start_time / 1e6
        times = [frame.time - start for frame in container.decode(video=0)]
    assert [picture.time_seconds for picture in media.pictures] == pytest.approx(times, abs=2e-6)
    late = max(0.0, film_begins - sound_begins)
    assert times[0] == pytest.approx(late, abs=0.025)  # AAC begins 21 ms early
    theirs = [seconds + times[0] for seconds in opencv_times(path)]  # OpenCV counts from the first picture
    assert [picture.time_seconds for picture in media.pictures] == pytest.approx(theirs, abs=1e-5)
    assert min(media.pictures[0].time_seconds, media.sound_begin_seconds) == 0


@pytest.mark.parametrize(("name", "code"), [("a.mp4", "aac"), ("a.mkv", "aac"), ("b.mkv", "libopus"), ("a.avi", "mp3")])
def test_a_film_and_sound_that_begin_together_begin_at_zero(tmp_path, name, code):
    media = read(flash_and_beep(tmp_path / name, code, 0.0, 0.0), 1)
    assert (media.pictures[0].time_seconds, media.sound_begin_seconds) == (0.0, 0.0)


def test_a_film_that_begins_after_its_sound_is_neither_longer_nor_cut(tmp_path):
    path = flash_and_beep(tmp_path / "a.mp4", "aac", 1.5, 0.0)
    media = read(path, 10)
    assert media.film_seconds == pytest.approx(1.0, abs=0.02)
    assert media.sound.duration_seconds == pytest.approx(2.5, abs=0.03)
    assert media.pictures[-1].time_seconds == pytest.approx(1.5 + 0.8, abs=0.002)


def test_pictures_alone_have_the_same_times_and_ask_nothing_of_the_sound(tmp_path, monkeypatch):
    path = flash_and_beep(tmp_path / "a.mp4", "aac", 0.5, 0.0)
    whole = read(path, 10)
    monkeypatch.setattr(reading, "SoundDecoder", None)  # as broken as a track may be
    with open_source(path) as stream:
        seen = read_media(stream, Reading(10, sound=False))
    assert seen.sound is None
    assert [p.time_seconds for p in seen.pictures] == [p.time_seconds for p in whole.pictures] != []


def test_the_sound_begins_at_one_time_whether_or_not_pictures_are_asked_for(tmp_path):
    path = flash_and_beep(tmp_path / "a.mp4", "aac", 0.0, 0.5)
    begin = read(path, 10).sound_begin_seconds
    assert begin == pytest.approx(0.5, abs=0.025)
    assert read(path, None).sound_begin_seconds == begin


def test_after_a_gap_in_its_stamps_a_sound_keeps_its_time(tmp_path):
    """A recorder that wrote nothing for a second and a half: silence stands for it."""
    path, rate = tmp_path / "gap.mkv", 48_000
    with av.open(str(path), "w") as container:
        track = container.add_stream("flac", rate=rate, layout="mono")
        for at in (*range(0, 20), *range(35, 60)):  # tenths of a second
            level = 20_000 if at >= 50 else 100
            heard = av.AudioFrame.from_ndarray(np.full((1, rate // 10), level, np.int16), format="s16", layout="mono")
            heard.sample_rate, heard.pts, heard.time_base = rate, at * rate // 10, Fraction(1, rate)
            container.mux(track.encode(heard))
        container.mux(track.encode(None))
    media = read(str(path), None)
    assert media.sound.duration_seconds == pytest.approx(6.0, abs=0.01)
    assert np.argmax(media.sound.signal > 0.5) / rate == pytest.approx(5.0, abs=0.01)
    assert not media.sound.signal[round(2.05 * rate) : round(3.45 * rate)].any()


@pytest.mark.parametrize("late", [0.5, 4.0, 10.0, 60.0])
def test_sound_that_begins_late_keeps_its_time(tmp_path, late):
    """Beyond what is probed, FFmpeg says that it begins with the film."""
    path = flash_and_beep(tmp_path / "late.mkv", "flac", 0.0, late)
    media = read(path, 50)
    assert beep_of(media) == pytest.approx(late + FLASH_SECONDS, abs=0.01)
    assert media.duration_seconds == pytest.approx(late + FLASH_SECONDS + 0.4, abs=0.05)


def test_stamps_do_not_buy_time():
    limit = TimeLimit(600.0)
    path_seconds = SimpleNamespace(end_seconds=9e7, packets=50)
    limit.read(media_seconds=video.PictureDecoder.decoded_seconds.fget(path_seconds))
    assert limit.allowed < 900
