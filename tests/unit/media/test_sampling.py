"""Pictures by time: as many a second of every film, whatever its rate, and the same ones however it is read."""

import math
from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
import pytest
from whole_media import read_media

from emocore.media import video
from emocore.media.reading import Reading
from emocore.media.sampling import Sampling
from emocore.media.source import open_source

SECONDS = 6
VARIES = (Fraction(1, 60), Fraction(1, 25), Fraction(1, 10), Fraction(1, 50))  # that pictures stay, in turn


def stamps(rate):
    """When the pictures of a film are shown: at a rate, or at times that vary."""
    times, i = [Fraction(0)], 0
    while times[-1] < SECONDS:
        times.append(times[-1] + (VARIES[i % len(VARIES)] if rate == "varies" else 1 / Fraction(rate)))
        i += 1
    return times[:-1]


def write(path, rate, codec="libx264", options=None, tick=None):
    """A film whose pictures are shown at these times."""
    tick = tick or Fraction(1, 90_000)
    with av.open(str(path), "w") as container:
        film = container.add_stream(codec, rate=round(float(30 if rate == "varies" else rate)), options=options or {})
        film.width, film.height, film.pix_fmt = 64, 48, "yuv420p"
        film.codec_context.time_base = tick
        for i, time in enumerate(stamps(rate)):
            wave = (128 + 90 * np.sin((np.arange(64) + 5 * i) / 9)).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(np.repeat(np.tile(wave, (48, 1))[..., None], 3, 2), format="rgb24")
            frame.pts, frame.time_base = round(time / tick), tick
            container.mux(film.encode(frame))
        container.mux(film.encode(None))
    return str(path)


def seen(path, **how):
    with open_source(path) as stream:
        return read_media(stream, Reading(pixels=16, sound=False, **how)).pictures


def first_of_each(times, per_second):
    """The rule, written out: the first picture shown in each [k/f, (k+1)/f), stamps being right to half a ms."""
    found = {}
    for index, time in enumerate(times):
        found.setdefault(math.floor((time + Fraction(1, 2_000)) * per_second), index)
    return sorted(found.values())


@pytest.mark.parametrize("per_second", [2.0, 0.5, 3.7])
@pytest.mark.parametrize("rate", [60, 25, "varies", Fraction(30_000, 1_001)])
def test_films_of_any_rate_are_looked_at_as_often(tmp_path, rate, per_second):
    path = write(tmp_path / "a.mp4", rate)
    pictures = seen(path, frames_per_second=per_second)
    times = stamps(rate)
    assert [one.frame_index for one in pictures] == first_of_each(times, Fraction(str(per_second)))
    assert len(pictures) == math.ceil(SECONDS * per_second)
    longest = float(max(VARIES) if rate == "varies" else 1 / Fraction(rate))
    for k, picture in enumerate(pictures):
        assert -5.1e-4 <= picture.time_seconds - k / per_second < longest + 1e-4
        assert picture.time_seconds == pytest.approx(float(times[picture.frame_index]), abs=1e-4)


@pytest.mark.parametrize("rate", [60, "varies"])
@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("pyramid.mp4", "libx264", {"bf": "3", "refs": "3", "b-pyramid": "normal"}),
        ("hevc.mkv", "libx265", {"preset": "ultrafast", "x265-params": "log-level=none:bframes=3"}),
        ("old.mov", "mpeg4", {"b": "1M", "bf": "2"}),
    ],
)
def test_the_same_pictures_whether_or_not_others_are_left_undecoded(tmp_path, monkeypatch, name, codec, options, rate):
    tick = Fraction(1, 3_000) if codec == "mpeg4" else None
    path = write(tmp_path / name, rate, codec, options, tick)
    skipped = []
    real = video.SkippingDecoder.__init__
    with monkeypatch.context() as patch:
        patch.setattr(video.SkippingDecoder, "__init__", lambda *told: skipped.append(1) or real(*told))
        pictures = seen(path, frames_per_second=3.0)
    assert skipped
    monkeypatch.setattr(video, "can_skip", lambda _: False)
    plain = seen(path, frames_per_second=3.0)
    assert len(plain) == 3 * SECONDS and len(pictures) == len(plain)
    for one, other in zip(pictures, plain, strict=True):
        assert (one.frame_index, one.time_seconds) == (other.frame_index, other.time_seconds)
        np.testing.assert_array_equal(one.image, other.image)


@pytest.mark.parametrize(("codec", "options"), [("mpeg4", {}), ("libx264", {"bf": "2"}), ("ffv1", {})])
def test_avi_numbers_its_pictures(tmp_path, codec, options):
    path = write(tmp_path / "a.avi", 30, codec, options, Fraction(1, 30))
    assert [one.frame_index for one in seen(path, frames_per_second=2.0)] == list(range(0, 30 * SECONDS, 15))


def test_what_ffmpeg_says_of_reordered_mpeg4_in_avi_is_right_to_one_picture(tmp_path):
    path = write(tmp_path / "a.avi", 30, "mpeg4", {"bf": "2"}, Fraction(1, 30))
    pictures = seen(path, frames_per_second=2.0)
    for k, picture in enumerate(pictures[: 2 * SECONDS]):
        assert abs(picture.frame_index - 15 * k) <= 1
    assert len(pictures) <= 2 * SECONDS + 1


@pytest.mark.parametrize("name", ["a.mkv", "a.flv", "a.ts", "a.mp4"])
def test_stamps_of_milliseconds_choose_the_same_pictures(tmp_path, name):
    path = write(tmp_path / name, 30)
    assert [one.frame_index for one in seen(path, frames_per_second=3.0)] == list(range(0, 30 * SECONDS, 10))
    assert len(seen(path, frames_per_second=30.0)) == 30 * SECONDS
    assert len(seen(path, frames_per_second=1e9)) == 30 * SECONDS


def test_of_a_time_without_a_picture_none_is_looked_at():
    sampling = Sampling(frames_per_second=2.0)
    times = [
        Fraction(0),
        Fraction(3),
        Fraction(31, 10),
        Fraction(7, 2),
        Fraction(1, 5),
    ]  # then a clock that is set back
    intervals = [None, *(sampling.interval(i, time) for i, time in enumerate(times))]
    assert [before != now for before, now in pairwise(intervals)] == [True, True, False, True, True]


@pytest.mark.parametrize("every", [1, 7, 20])
def test_every_n_th_is_one_of_each_interval_of_so_many(every):
    intervals = [Sampling(every).interval(i, None) for i in range(100)]
    wanted = [i for i in range(100) if i == 0 or intervals[i] != intervals[i - 1]]
    assert wanted == list(range(0, 100, every))
