"""A stretch of a file as a clip of its own: what it is called, what tells it from others, what is heard of it."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from whole_media import read_media

from emocore.errors import MediaError
from emocore.media import source
from emocore.media.audio import Enough
from emocore.media.fragment import Segment, split_fragment
from emocore.media.limit import TimeLimit
from emocore.media.midway import stream_from
from emocore.media.reading import SOUND_ONLY, Reading, stream_media
from emocore.media.segment import Excerpt
from emocore.media.source import clip_id, content_id, file_of, open_source, split_segment
from emocore.media.video import whole

RATE = 8_000


def read(path, every=None, sound=True):
    """What is heard and shown at a path: samples, when they begin, pictures, and the Media."""
    section = Excerpt(split_segment(path)[1], sees=every is not None)
    heard, begins, shown = [np.zeros(0, np.float32)], [], []

    def hear(_, begin):
        begins.append(begin)
        return heard.append

    with open_source(path) as stream:
        media = stream_media(
            stream,
            Reading(every, sound=sound),
            section.hear(hear) if sound else None,
            section.show(shown.append),
            section.keep(whole(16)),
        )
        return np.concatenate(heard), begins, shown, section.part_of(media)


@given(st.floats(0, 1e6), st.floats(1e-6, 1e6))
def test_the_name_of_a_segment_gives_its_numbers_back_and_has_no_exponent(start, lasts):
    for segment in (Segment(start, start + lasts), Segment(start)):
        if segment.is_possible:
            assert split_fragment(f"/a/b.wav{segment.fragment}") == ("/a/b.wav", segment)
            assert set(segment.fragment) <= set("#t=0123456789.,")


@pytest.mark.parametrize(
    ("path", "segment"),
    [
        ("a.wav#t=10,20", Segment(10, 20)),  # the examples of the W3C's 4.2.1
        ("a.wav#t=npt:10,20", Segment(10, 20)),
        ("a.wav#t=,20", Segment(0, 20)),
        ("a.wav#t=10", Segment(10)),
        *((f"a.wav{no}", None) for no in ("", "#t=", "#t=,", "#t=20,10", "#t=5,5", "#t=-1,2", "#t=1,x", "#t=1,2,3")),
    ],
)
def test_what_is_a_segment(path, segment):
    assert split_fragment(path) == ("a.wav" if segment else path, segment)


def test_a_file_that_bears_the_whole_name_is_that_file(media_files):
    path = media_files.bytes("a.wav", b"whole")
    assert split_segment(f"{path}#t=1,2") == (path, Segment(1, 2)) and file_of(f"{path}#t=1,2") == path
    odd = media_files.bytes("a.wav#t=1,2", b"odd")
    assert split_segment(odd) == (odd, None) and file_of(odd) == odd
    with open_source(odd) as stream:
        assert stream.read() == b"odd"


def test_members_of_a_zip_have_segments_and_odd_names_too(tmp_path):
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as packed:
        packed.writestr("a.wav", b"whole")
        packed.writestr("a.wav#t=1,2", b"odd")
    place = f"{tmp_path}/z.zip!/a.wav"
    assert split_segment(f"{place}#t=1,2")[1] is None and split_segment(f"{place}#t=1,3") == (place, Segment(1, 3))
    for path, content in ((f"{place}#t=1,2", b"odd"), (f"{place}#t=1,3", b"whole")):
        with open_source(path) as stream:
            assert stream.read() == content
    assert file_of(f"{place}#t=1,3") == str(tmp_path / "z.zip")


def ids(*paths):
    found = []
    for path in paths:
        with open_source(path) as stream:
            found.append(clip_id(path, stream))
    return found


def test_segments_are_copies_where_the_same_stretch_of_the_same_bytes_is_meant(media_files):
    a, b, c = (media_files.bytes(name, content) for name, content in (("a", b"one"), ("b", b"one"), ("c", b"two")))
    whole_file, first, same, copy, other, changed = ids(
        a, f"{a}#t=1,2", f"{a}#t=1.0,2.00", f"{b}#t=1,2", f"{a}#t=1,3", f"{c}#t=1,2"
    )
    with open_source(a) as stream:
        assert whole_file == content_id(stream)
    assert first == same == copy and len({whole_file, first, other, changed}) == 4


def test_a_file_is_hashed_once_for_all_of_its_segments_until_it_changes(media_files, monkeypatch):
    path = media_files.bytes("a", b"one")
    hashed = []
    monkeypatch.setattr(source, "content_id", lambda stream, _: hashed.append(stream.read()) or str(len(hashed)))
    first = ids(*(f"{path}#t={n},{n + 1}" for n in range(9)))
    assert len(set(first)) == 9 and hashed == [b"one"]
    Path(path).write_bytes(b"other")
    assert ids(f"{path}#t=0,1")[0] not in first and hashed == [b"one", b"other"]


@pytest.mark.parametrize(("start", "end"), [(0.25, 0.75), (0.0, 0.5), (0.5, None), (0.1234, 0.5678), (0.75, 9.0)])
def test_the_samples_are_those_of_a_clip_that_is_cut_by_hand(media_files, start, end):
    signal = media_files.voice(1.0, RATE)
    path = media_files.sound("a.wav", signal, RATE, subtype="FLOAT")
    heard, begins, _, media = read(f"{path}{Segment(start, end).fragment}")
    np.testing.assert_array_equal(heard, signal[round(start * RATE) : None if end is None else round(end * RATE)])
    assert begins == [0.0] and media.sound_tracks == 1
    assert media.duration_seconds == pytest.approx(min(end or 1.0, 1.0) - start)


def test_nothing_behind_a_segment_is_decoded(media_files, monkeypatch):
    path = media_files.sound("long.flac", np.tile(media_files.voice(1.0, RATE), 200), RATE)
    fed = []
    feed = source_of_samples(monkeypatch, fed)
    heard, _, _, media = read(f"{path}#t=70,71")
    assert (len(heard), media.duration_seconds) == (RATE, 1.0) and feed() < 75


def source_of_samples(monkeypatch, fed):
    """Count the seconds of sound that are decoded."""
    from emocore.media.audio import SoundDecoder  # noqa: PLC0415 - what is watched

    original = SoundDecoder.feed

    def feed(self, packet):
        try:
            original(self, packet)
        finally:
            fed.append(self.seconds)

    monkeypatch.setattr(SoundDecoder, "feed", feed)
    return lambda: fed[-1]


def test_a_file_may_be_broken_behind_the_segment_and_not_before_its_end(media_files):
    path = media_files.sound("a.flac", np.tile(media_files.voice(1.0, RATE), 4), RATE)
    content = Path(path).read_bytes()
    cut = media_files.bytes("cut.flac", content[: len(content) // 2])
    heard, _, _, media = read(f"{cut}#t=0.5,1")
    assert (len(heard), media.duration_seconds) == (RATE // 2, 0.5)
    for late in ("#t=1,3.5", "#t=3,3.5", "#t=1"):
        with pytest.raises(MediaError, match=r"truncated|broken"):
            read(f"{cut}{late}")


def test_a_segment_beyond_the_end_is_told(media_files):
    path = media_files.sound("a.wav", media_files.voice(1.0, RATE), RATE)
    with pytest.raises(MediaError, match=r"the segment begins at 1\.5 s, and the file ends at 1 s"):
        read(f"{path}#t=1.5,2")


@pytest.mark.parametrize("sound", [True, False])
def test_pictures_are_those_shown_within_and_no_other_is_kept(media_files, sound):
    """Ten pictures, 40 ms apart, and a second of sound beside them."""
    path = media_files.encoded("a.mp4", media_files.voice(1.0, RATE), RATE, "aac", "libx264")
    everything = read(path, 1, sound)[2]
    times = [picture.time_seconds for picture in everything]
    start, end = times[3], times[6]
    _, _, shown, media = read(f"{path}{Segment(start, end).fragment}", 1, sound)
    assert [picture.frame_index for picture in shown] == [3, 4, 5]
    assert [picture.time_seconds for picture in shown] == pytest.approx([0.0, 0.04, 0.08], abs=1e-3)
    assert [picture.image.tolist() for picture in shown] == [picture.image.tolist() for picture in everything[3:6]]
    assert media.shown and media.duration_seconds == pytest.approx(end - start)


def test_frames_outside_of_a_segment_are_not_looked_at():
    """To look for faces takes most of the time of a film."""
    looked = []
    keep = Excerpt(Segment(1.0, 2.0), sees=True).keep(lambda index, *_: looked.append(index))
    for index, seconds in enumerate((0.0, 0.9, 1.0, 1.9)):
        keep(index, seconds, None)
    assert looked == [2, 3]


@pytest.mark.parametrize(("name", "codec"), [("a.wav", None), ("a.flac", None), ("a.mp3", "libmp3lame")])
def test_a_segment_of_a_long_file_is_read_from_shortly_before_it(media_files, name, codec):
    rng = np.random.default_rng(0)
    signal = (0.1 * rng.standard_normal(50 * 24_000)).astype(np.float32)
    path = media_files.encoded(name, signal, 24_000, codec) if codec else media_files.sound(name, signal, 24_000)
    with open_source(path) as stream:
        whole = read_media(stream, SOUND_ONLY).sound.signal
        heard, decoded = [], []

        def hear(rate, begins):
            decoded.append(begins)

            def take(samples):
                heard.append(samples)
                if begins + sum(map(len, heard)) / rate > 42.0:
                    raise Enough

            return take

        media = stream_from(stream, SOUND_ONLY, 40.3, hear, None, TimeLimit(600))
        assert media.sound_tracks == 1 and decoded == [38.0]
        found = np.concatenate(heard)
        np.testing.assert_allclose(found, whole[38 * 24_000 : 38 * 24_000 + len(found)], atol=1e-6)
        assert stream_from(stream, SOUND_ONLY, 29.0, hear, None, TimeLimit(600)) is None
        assert stream_from(stream, SOUND_ONLY, 60.0, hear, None, TimeLimit(600)) is None


def test_stamps_that_miss_samples_are_not_gone_to(media_files):
    signal = (0.1 * np.random.default_rng(0).standard_normal(40 * 24_000)).astype(np.float32)
    with open_source(media_files.encoded("a.mka", signal, 24_000, "aac")) as stream:
        assert stream_from(stream, SOUND_ONLY, 35.0, lambda *_: None, None, TimeLimit(600)) is None
