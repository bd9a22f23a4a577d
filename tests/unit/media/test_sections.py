"""A long file in sections: what each gives by itself is what a reading of the whole gives there."""

import json
import math
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from whole_media import read_media, write_film

from emocore.media import sections
from emocore.media.limit import TimeLimit
from emocore.media.reading import SOUND_ONLY, Reading
from emocore.media.sections import WARM_SECONDS, Sections, may_be_long, sections_of, stream_section
from emocore.media.source import open_source
from emocore.media.video import CannotSkip, whole

RATE = 24_000
SECONDS = 50.0
PICTURES = Reading(every=20, pixels=32, sound=False)
BY_TIME = Reading(frames_per_second=1.3, pixels=32, sound=False)


@pytest.fixture(autouse=True)
def short_sections(monkeypatch):
    """Sections of ten seconds, of files of any size."""
    for name, value in {"SECTION_SECONDS": 10.0, "LEAST_SECONDS": 20.0, "LONG_BYTES": 0, "SECTION_BYTES": 1}.items():
        monkeypatch.setattr(sections, name, value)


def cut(stream, reading):
    return sections_of(stream, reading, TimeLimit(600))


def sweep():
    """No two of its seconds are alike."""
    t = np.arange(round(SECONDS * RATE)) / RATE
    rng = np.random.default_rng(0)
    return (0.3 * np.sin(2 * np.pi * (200 + 5 * t) * t) + 0.05 * rng.standard_normal(len(t))).astype(np.float32)


def hear_section(stream, found, number):
    """Return when what is heard of a section begins, and its samples."""
    taken = []
    end = found.span(number)[1]

    def hear(rate, begins):
        taken.extend([rate, begins])
        return taken.append

    def is_done():
        return taken[1] + sum(map(len, taken[2:])) / taken[0] > end + 0.1

    read = stream_section(stream, SOUND_ONLY, found, number, hear, is_done=is_done)
    return taken[1], np.concatenate(taken[2:]), read


# Matroska's stamps are milliseconds: a section lies where they say, to half of one and a frame's rounding.
@pytest.mark.parametrize(
    ("name", "codec", "off"),
    [
        *(("a.wav", None, 0), ("a.flac", None, 0), ("a.aiff", None, 0), ("a.au", None, 0), ("a.w64", None, 0)),
        *(("a.caf", None, 0), ("a.mp3", "libmp3lame", 0), ("a.m4a", "aac", 0), ("a.aac", "aac", 0)),
        *(("a.mka", "aac", 24), ("b.mka", "flac", 24), ("a.webm", "libopus", 50)),
    ],
)
def test_a_section_of_a_sound_is_what_is_there_in_the_whole(media_files, name, codec, off):
    path = media_files.encoded(name, sweep(), RATE, codec) if codec else media_files.sound(name, sweep(), RATE)
    with open_source(path) as stream:
        before = read_media(stream, SOUND_ONLY).sound
        signal, rate = before.signal, before.sample_rate_hz  # Opus is always decoded at 48 kHz
        found = cut(stream, SOUND_ONLY)
        assert found.begins == (0.0, 10.0, 20.0, 30.0, 40.0)
        assert Sections.from_json(json.loads(json.dumps(found.to_json()))) == found
        for number in (4, 1, 0, 2):
            begins, samples, read = hear_section(stream, found, number)
            start, end = max(0.0, found.begins[number]), min(found.span(number)[1], SECONDS - 0.1)
            assert begins <= max(0.0, start - WARM_SECONDS) and read.sound_until >= end
            first = round((start - begins) * rate)
            mine = samples[first + off : first + round((end - start) * rate) - off]
            errors = [
                np.abs(mine - signal[at : at + len(mine)]).max()
                for at in range(round(start * rate), round(start * rate) + 2 * off + 1)
            ]
            assert min(errors) < 1e-6


@pytest.mark.parametrize("name", ["a.ogg", "a.opus", "a.avi", "a.mpg"])
def test_what_guesses_where_it_goes_back_to_is_read_in_one_piece(media_files, name):
    codec = {"ogg": "flac", "opus": "libopus", "avi": "libmp3lame", "mpg": "mp2"}[name[2:]]
    with open_source(media_files.encoded(name, sweep(), RATE, codec)) as stream:
        assert cut(stream, SOUND_ONLY) is None


def with_pause(path, signal, at, seconds):
    """Write AAC whose stamps leave a pause of so many seconds after so many."""
    with av.open(path, "w") as container:
        track = container.add_stream("aac", rate=RATE, layout="mono")
        for first in range(0, len(signal) - 1_023, 1_024):
            frame = av.AudioFrame.from_ndarray(signal[None, first : first + 1_024], format="fltp", layout="mono")
            frame.sample_rate, frame.time_base = RATE, Fraction(1, RATE)
            frame.pts = first + (seconds * RATE if first >= at * RATE else 0)
            container.mux(track.encode(frame))
        container.mux(track.encode(None))
    return path


def test_what_comes_behind_a_pause_in_the_stamps_is_heard_where_it_is(tmp_path):
    path = with_pause(str(tmp_path / "pause.m4a"), sweep(), 5, 6)
    with open_source(path) as stream:
        signal = read_media(stream, SOUND_ONLY).sound.signal
        found = cut(stream, SOUND_ONLY)
        for number in range(1, len(found)):
            begins, samples, _ = hear_section(stream, found, number)
            first = round(begins * RATE)
            np.testing.assert_allclose(samples, signal[first : first + len(samples)], atol=2e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("closed.mp4", "libx264", {}),
        ("closed.mkv", "libx264", {}),
        ("open.mkv", "libx265", {"x265-params": "keyint=25:log-level=none", "preset": "ultrafast"}),
        ("old.mp4", "mpeg4", {}),  # its key frames are not at whole seconds
        ("tv.mkv", "mpeg2video", {}),
        ("web.webm", "libvpx", {"cpu-used": "8", "deadline": "realtime"}),
    ],
)
@pytest.mark.parametrize(
    ("reading", "indices"),
    [(PICTURES, [20 * i for i in range(63)]), (BY_TIME, [math.ceil(i * 25 / 1.3) for i in range(65)])],
    ids=["by number", "by time"],
)
def test_the_pictures_of_sections_are_those_of_the_whole(tmp_path, name, codec, options, reading, indices):
    path = write_film(str(tmp_path / name), codec, options=options, b_frames=0 if codec == "libvpx" else 2)
    with open_source(path) as stream:
        before = read_media(stream, reading)
        found = cut(stream, reading)
        assert len(found) == 5 and Sections.from_json(json.loads(json.dumps(found.to_json()))) == found
        shown = {}
        for number in (3, 0, 4, 2, 1):
            shown[number] = []
            stream_section(stream, reading, found, number, show=shown[number].append, keep=whole(32))
    after = [picture for number in range(5) for picture in shown[number]]
    assert [picture.frame_index for picture in after] == indices
    for one, other in zip(before.pictures, after, strict=True):
        assert one.time_seconds == other.time_seconds
        np.testing.assert_array_equal(one.image, other.image)
        assert found.begins[0] <= other.time_seconds


def test_a_film_whose_key_frames_count_what_is_before_them_is_read_in_one_piece(tmp_path):
    path = write_film(str(tmp_path / "open.mp4"), "libx264", options={"x264-params": "open-gop=1:keyint=25:bframes=3"})
    with open_source(path) as stream:
        assert cut(stream, PICTURES) is None


def test_a_section_of_another_film_than_was_cut_proves_nothing(tmp_path):
    path = write_film(str(tmp_path / "one.mp4"), "libx264")
    with open_source(path) as stream:
        found = cut(stream, PICTURES)
    other = write_film(str(tmp_path / "other.mp4"), "libx264", gop=33, frames=1_100)
    with open_source(other) as stream, pytest.raises(CannotSkip):
        stream_section(stream, PICTURES, found, 2, show=lambda _: None, keep=whole(32))


@pytest.mark.parametrize(("seconds", "n"), [(19.0, None), (24.9, 2), (25.1, 3)])
def test_the_last_section_is_at_least_half_of_one(media_files, seconds, n):
    path = media_files.sound("some.wav", sweep()[: round(seconds * RATE)], RATE)
    with open_source(path) as stream:
        found = cut(stream, SOUND_ONLY)
        assert found is None if n is None else len(found) == n and found.span(n - 1) == (10.0 * (n - 1), np.inf)


def test_a_header_that_claims_years_gives_no_more_sections_than_its_bytes_may_hold(media_files, monkeypatch):
    path = media_files.sound("claims.flac", sweep(), RATE)
    with Path(path).open("r+b") as file:  # RFC 9639, 8.2: the last 36 bits before the checksum count the samples
        file.seek(21)
        first = file.read(1)[0]
        file.seek(21)
        file.write(bytes([first | 0x0F]) + b"\xff" * 4)
    monkeypatch.setattr(sections, "SECTION_BYTES", 2**19)
    with open_source(path) as stream:
        n_bytes = stream.seek(0, 2)
        assert 2 <= len(cut(stream, SOUND_ONLY)) <= n_bytes // 2**19


def test_a_broken_file_is_read_in_one_piece(media_files):
    with open_source(media_files.bytes("noise.wav", b"RIFF" + bytes(range(256)) * 40)) as stream:
        assert cut(stream, SOUND_ONLY) is None


def test_small_files_and_members_of_zips_are_known_not_to_be_cut(monkeypatch):
    monkeypatch.setattr(sections, "LONG_BYTES", 100)
    assert [may_be_long("a.wav", 99), may_be_long("a.wav", 100), may_be_long("a.zip!/a.wav", 100)] == [
        *(False, True, False)
    ]
