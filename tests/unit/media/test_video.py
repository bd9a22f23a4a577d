"""Sampled pictures against OpenCV's own reading of the same film, and their times against FFmpeg's."""

import struct
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from whole_media import read_media

from emocore.errors import MediaError
from emocore.media import reading, video
from emocore.media.reading import Reading
from emocore.media.source import open_source
from emocore.media.upright import as_wide_as_shown
from emocore.media.video import Picture

PICTURES = 45
WIDTH, HEIGHT = 160, 120
TICK = Fraction(1, 3_000)
STEPS = (1, 2, 1, 3)  # frames a picture stays, where the rate varies


def scene(count=PICTURES, width=WIDTH, height=HEIGHT):
    """Waves that move by so much that neighbours differ by tens of grey levels."""
    y, x = np.mgrid[:height, :width]
    for i in range(count):
        wave = (128 + 60 * np.sin((x + 7 * i) / 13) + 50 * np.cos((y - 5 * i) / 17)).astype(np.uint8)
        yield np.stack([wave, 255 - wave, np.roll(wave, 3 * i, axis=1)], axis=-1)


class Films:
    """Writes films of `scene` below a folder with FFmpeg, and returns their paths."""

    def __init__(self, folder):
        self.folder = folder

    def write(
        self, name, codec, options=(), *, vary=False, pix_fmt="yuv420p", tick=TICK, sound=0.0, full_range=False, **size
    ):
        path = str(self.folder / name)
        with av.open(path, "w") as container:
            film = container.add_stream(codec, rate=30, options=dict(options))
            film.width, film.height, film.pix_fmt = size.get("width", WIDTH), size.get("height", HEIGHT), pix_fmt
            film.codec_context.time_base = tick
            if full_range:
                film.codec_context.color_range = av.video.reformatter.ColorRange.JPEG
            track = container.add_stream("aac", rate=16_000, layout="mono") if sound else None
            pts = 0
            for i, picture in enumerate(scene(**size)):
                frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
                if full_range:
                    frame = frame.reformat(format=pix_fmt, dst_color_range="JPEG")
                frame.pts, frame.time_base = pts, tick
                pts += int(Fraction(1, 30) / tick) * (STEPS[i % len(STEPS)] if vary else 1)
                container.mux(film.encode(frame))
            container.mux(film.encode(None))
            if track:
                samples = (9_000 * np.sin(np.arange(int(16_000 * sound)) / 9)).astype(np.int16)[None]
                heard = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
                heard.sample_rate, heard.pts = 16_000, 0
                container.mux(track.encode(heard))
                container.mux(track.encode(None))
        return path

    def remux(self, path, name, edit, options=None):
        """Copy a film's packets, as `edit(packets)` leaves them: [(bytes, pts, dts, is_keyframe)]."""
        target = str(self.folder / name)
        with av.open(path) as source, av.open(target, "w", options=options or {}) as container:
            film = source.streams.video[0]
            packets = [(bytes(p), p.pts, p.dts, p.is_keyframe) for p in source.demux(film) if p.size]
            copy = container.add_stream_from_template(film)
            for content, pts, dts, is_keyframe in edit(packets):
                packet = av.Packet(content)
                packet.stream, packet.time_base = copy, film.time_base
                packet.pts, packet.dts, packet.is_keyframe = pts, dts, is_keyframe
                container.mux(packet)
        return target

    def patched(self, path, name, *changes):
        """Overwrite a copy's bytes: (position, content)."""
        content = bytearray(Path(path).read_bytes())
        for at, new in changes:
            content[at : at + len(new)] = new
        target = self.folder / name
        target.write_bytes(content)
        return str(target)


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    return Films(tmp_path_factory.mktemp("films"))


def read(path, every=20, **options):
    with open_source(path) as stream:
        return read_media(stream, Reading(every, **options))


def fault(path, every=20, **options):
    with pytest.raises(MediaError) as error:
        read(path, every, **options)
    return error.value.reason


def opencv(path, every):
    """What cv2.VideoCapture gives for every n-th picture, and how many pictures it counts."""
    capture = cv2.VideoCapture(path, cv2.CAP_FFMPEG)
    wanted, count = {}, 0
    while capture.grab():
        if count % every == 0:
            grey = cv2.cvtColor(capture.retrieve()[1], cv2.COLOR_BGR2GRAY)
            wanted[count] = cv2.resize(grey, (256, 256), interpolation=cv2.INTER_LINEAR)
        count += 1
    capture.release()
    return wanted, count


def ffmpeg_times(path, every):
    """The presentation times of every n-th frame of a plain decode, from the stream's start, in seconds."""
    with av.open(path) as container:
        film = container.streams.video[0]
        pts = [frame.pts for frame in container.decode(film)]
        return [float((ticks - film.start_time) * film.time_base) for ticks in pts[::every]]


def opencv_times(path):
    """When cv2.VideoCapture says that each picture is shown, in seconds from the first one."""
    capture, times = cv2.VideoCapture(path, cv2.CAP_FFMPEG), []
    while capture.grab():
        times.append(capture.get(cv2.CAP_PROP_POS_MSEC) / 1_000)
    capture.release()
    return times


def assert_as_opencv(path, every=20, at_least=PICTURES):
    wanted, count = opencv(path, every)
    assert count >= at_least
    ours = read(path, every).pictures
    assert [picture.frame_index for picture in ours] == list(wanted)
    for picture in ours:
        assert picture.image.dtype == np.uint8 and picture.image.shape == (256, 256)
        assert difference(picture.image, wanted[picture.frame_index]) <= 1
    return ours


def difference(one, other):
    return np.abs(one.astype(float) - other).mean()


def passes(path, monkeypatch, every=20):
    """Read a film, and return for each pass over it whether pictures could be left out."""
    seen = []

    class Spy(video.PictureDecoder):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            seen.append(self.skipping)

    with monkeypatch.context() as patch:
        patch.setattr(reading, "PictureDecoder", Spy)
        read(path, every)
    return seen


def h265(**parameters):
    more = ":".join(f"{name.replace('_', '-')}={value}" for name, value in parameters.items())
    return {"preset": "ultrafast", "x265-params": f"log-level=none:pools=none:frame-threads=1:b-adapt=0:{more}"}


def h264(**options):
    return {"preset": "ultrafast", **options}


VP9 = {"deadline": "realtime", "cpu-used": "8"}
OPEN_GOP = "open-gop=1:keyint=12:min-keyint=4:b-adapt=0:scenecut=0"
# Name → codec, options, and whether pictures are left out.
CASES = {
    "h264-no-b.mp4": ("libx264", h264(bf="0"), True),
    "h264-b.mp4": ("libx264", h264(bf="3", refs="1"), True),
    "h264-pyramid.mp4": ("libx264", h264(bf="3", refs="3", **{"b-pyramid": "normal"}), True),
    "h264-open-gop.mkv": ("libx264", h264(bf="3", **{"x264-params": OPEN_GOP}), True),
    "h264-keyframes.mov": ("libx264", h264(bf="2", g="7"), True),
    "h264-b.avi": ("libx264", h264(bf="2"), False),
    "hevc-no-b.mp4": ("libx265", h265(bframes=0), True),
    "hevc-b.mkv": ("libx265", h265(bframes=3, b_pyramid=0), True),
    "hevc-open-gop.mp4": ("libx265", h265(bframes=3, keyint=12, open_gop=1), True),
    "hevc-layers.mp4": ("libx265", h265(bframes=3, b_pyramid=1, temporal_layers=2), False),
    "vp9.webm": ("libvpx-vp9", VP9, False),
    "vp9-alt-ref.webm": (
        "libvpx-vp9",
        {"deadline": "good", "cpu-used": "8", "auto-alt-ref": "1", "lag-in-frames": "12"},
        False,
    ),
    "av1.mp4": ("libsvtav1", {"preset": "13", "svtav1-params": "lp=1"}, False),
    "mpeg4-no-b.mp4": ("mpeg4", {"b": "1M"}, True),
    "mpeg4-b.mp4": ("mpeg4", {"b": "1M", "bf": "2"}, True),
    "mpeg4-no-b.avi": ("mpeg4", {"b": "1M"}, None),
    "mpeg4-b.avi": ("mpeg4", {"b": "1M", "bf": "2"}, None),
}


@pytest.fixture(scope="module")
def film(films):
    made = {}

    def get(name, vary=False):
        codec, options, _ = CASES[name]
        if (name, vary) not in made:
            tick = Fraction(1, 30) if name.endswith(".avi") else TICK
            made[name, vary] = films.write(f"{vary}-{name}", codec, options, vary=vary, tick=tick)
        return made[name, vary]

    return get


def test_the_scene_tells_one_picture_from_its_neighbour(film):
    wanted, _ = opencv(film("h264-no-b.mp4"), 1)
    assert all(difference(wanted[i], wanted[i + 1]) > 5 for i in range(PICTURES - 1))


@pytest.mark.parametrize("vary", [False, True], ids=["constant", "varying"])
@pytest.mark.parametrize("name", CASES)
def test_the_pictures_are_opencvs_and_the_times_ffmpegs(film, name, vary):
    path = film(name, vary)
    pictures = assert_as_opencv(path, every=7)
    times = [picture.time_seconds for picture in pictures]
    if name == "h264-b.avi":  # FFmpeg numbers these as they are stored
        assert times == pytest.approx(np.arange(0, PICTURES, 7) / 30)
    else:
        assert times == pytest.approx(ffmpeg_times(path, 7), abs=1e-6)
    if not name.endswith(".avi"):  # there OpenCV takes the order of storage for times
        assert times == pytest.approx(opencv_times(path)[::7], abs=1e-6)
    if not name.endswith(".avi"):  # what the encoder was told; AVI has whole frames only
        gone = np.cumsum([0, *(STEPS[i % 4] if vary else 1 for i in range(PICTURES))]) / 30
        assert times == pytest.approx(gone[:PICTURES:7], abs=0.002)


@pytest.mark.parametrize("name", [name for name in CASES if CASES[name][2] is not None])
def test_pictures_are_left_out_where_that_is_proven_and_nowhere_else(film, name, monkeypatch):
    is_proven = CASES[name][2]
    seen = passes(film(name), monkeypatch)
    assert seen == ([True] if is_proven else [*seen[:-1], False])


@pytest.mark.parametrize("every", [1, 2, 20, 44, 45, 1_000])
@pytest.mark.parametrize("name", ["h264-pyramid.mp4", "hevc-b.mkv", "vp9.webm"])
def test_every_n_th(film, name, every):
    pictures = assert_as_opencv(film(name), every)
    assert len(pictures) == -(-PICTURES // every)


def test_leaving_out_saves_decoding(films, monkeypatch):
    path = films.write("defaults.mp4", "libx264")  # B-frames as x264 sets them by default
    decoded = []

    def count(self, frames, real=video.SkippingDecoder._indexed):
        decoded.extend(frames)
        yield from real(self, frames)

    monkeypatch.setattr(video.SkippingDecoder, "_indexed", count)
    assert len(assert_as_opencv(path)) == 3
    assert 3 <= len(decoded) < 0.7 * PICTURES


# Streams whose packets do not say which picture is which


def test_all_packets_of_a_film_that_lies_about_times_are_decoded(films, film, monkeypatch):
    def twice(packets):
        return [
            (content, 400 * (i - (i == 10)) + 1_200, 400 * i, key) for i, (content, _, _, key) in enumerate(packets)
        ]

    path = films.remux(film("h264-no-b.mp4"), "twice.mkv", twice)
    assert passes(path, monkeypatch) == [True, False]
    assert_as_opencv(path)


def test_two_pictures_of_one_time(films, film, monkeypatch):
    path = film("h264-b.mp4")
    content = Path(path).read_bytes()
    at = content.index(b"ctts") + 4
    count = struct.unpack(">I", content[at + 4 : at + 8])[0]
    runs = [struct.unpack(">II", content[at + 8 + 8 * i : at + 16 + 8 * i]) for i in range(count)]
    run = next(i for i in range(8, count) if runs[i][0] == 1)  # a run of one picture: shown as late as the next one
    same = films.patched(path, "same.mp4", (at + 12 + 8 * run, struct.pack(">I", runs[run][1] + 400)))
    assert len(set(ffmpeg_times(same, 1))) == PICTURES - 1
    assert passes(same, monkeypatch) == [True, False]
    assert_as_opencv(same, 7)


def test_packets_whose_times_are_swapped(films, film, monkeypatch):
    def swap(packets):
        order = [*range(12), 13, 12, *range(14, len(packets))]
        return [(packets[i][0], 400 * n + 1_200, 400 * i, packets[i][3]) for i, n in enumerate(order)]

    path = films.remux(film("h264-no-b.mp4"), "swapped.mkv", swap)
    assert passes(path, monkeypatch) == [True, False]
    assert_as_opencv(path, 1)


def test_a_film_that_begins_between_keyframes(films, film, monkeypatch):
    path = films.remux(film("h264-keyframes.mov"), "between.mkv", lambda packets: packets[3:])
    assert passes(path, monkeypatch)[-1] is False
    assert_as_opencv(path, 7, at_least=30)


@pytest.mark.parametrize("name", ["h264-open-gop.mkv", "hevc-open-gop.mp4"])
@pytest.mark.parametrize("every", [1, 5, 20])
def test_a_film_cut_at_a_keyframe_whose_leading_pictures_refer_to_what_was_cut(films, film, name, every):
    def from_second_keyframe(packets):
        second = [i for i, packet in enumerate(packets) if packet[3]][1]
        assert any(packet[1] < packets[second][1] for packet in packets[second + 1 :])  # pictures lead it
        return packets[second:]

    path = films.remux(film(name), f"cut-{name.replace('.mp4', '.mkv')}", from_second_keyframe)
    assert_as_opencv(path, every, at_least=20)


@pytest.mark.parametrize("name", ["h264-no-b.mp4", "h264-pyramid.mp4"])
@pytest.mark.parametrize(("first", "last"), [(10, PICTURES), (0, 20), (10, 30)])
def test_an_edit_list_hides_pictures(films, film, name, first, last, monkeypatch):
    """What `ffmpeg -ss` writes when it copies: packets before the cut are there to be decoded, not shown."""
    path = film(name)
    content = Path(path).read_bytes()
    at = content.index(b"elst")
    assert struct.unpack(">II", content[at + 4 : at + 12]) == (0, 1)  # version 0, one edit
    delay = struct.unpack(">i", content[at + 16 : at + 20])[0]
    edit = struct.pack(">Ii", round(1_000 * (last - first) / 30), delay + 400 * first)
    cut = films.patched(path, f"cut-{first}-{last}-{name}", (at + 12, edit))
    shown, whole = opencv(cut, 1)[0], opencv(path, 1)[0]
    assert len(shown) < PICTURES and difference(shown[0], whole[first]) < 1
    assert passes(cut, monkeypatch, 7) == [True]
    pictures = assert_as_opencv(cut, 7, at_least=10)
    assert [picture.time_seconds for picture in pictures] == pytest.approx(np.arange(0, len(shown), 7) / 30, abs=1e-3)


@pytest.mark.parametrize("name", ["h264-pyramid.mp4", "vp9.webm"])
def test_a_film_alone_that_begins_late_is_timed_from_its_own_start(films, film, name):
    def later(packets):
        return [(content, pts + wait, dts + wait, key) for content, pts, dts, key in packets]

    wait = 12_000 if name.endswith("mp4") else 1_000  # a second
    path = films.remux(film(name), f"late-{name}.mkv", later)
    with av.open(path) as container:
        assert container.streams.video[0].start_time >= 1_000
    pictures = assert_as_opencv(path)
    assert [picture.time_seconds for picture in pictures] == pytest.approx([0, 20 / 30, 40 / 30], abs=0.003)


def test_a_film_alone_that_begins_late_and_states_only_when_it_ends_is_whole(films, film):
    """Without FFmpeg's tag only the segment has a length, which counts from zero."""
    path = films.remux(
        film("h264-pyramid.mp4"),
        "segment.mkv",
        lambda packets: [(b, p + 18_000, d + 18_000, k) for b, p, d, k in packets],
    )
    content = Path(path).read_bytes()
    plain = films.patched(path, "no-tag.mkv", (content.index(b"DURATION"), b"NOLENGTH"))
    assert [picture.frame_index for picture in read(plain).pictures] == [0, 20, 40]
    cut = films.folder / "no-tag-cut.mkv"
    cut.write_bytes(Path(plain).read_bytes()[: len(content) // 2])
    assert fault(str(cut)) in {"truncated", "broken"}


def test_a_second_reading_goes_on_behind_the_pictures_of_the_first(films, film):
    """A film that proves unfit near its end: what was handed on by then stays, and nothing is handed on twice."""

    def twice_at_the_end(packets):
        return [(b, 400 * (i - (i == 40)) + 1_200, 400 * i, key) for i, (b, _, _, key) in enumerate(packets)]

    path = films.remux(film("h264-no-b.mp4"), "late.mkv", twice_at_the_end)
    with open_source(path) as stream:
        media = read_media(stream, Reading(1, sound=False))
    assert [picture.frame_index for picture in media.pictures] == list(range(PICTURES))


def not_coded(number):
    """An MPEG-4 picture that says: as the one before (ISO/IEC 14496-2, 6.2.5); 30 ticks a second take 5 bits."""
    bits = "01" + "0" + "1" + f"{number % 30:05b}" + "1" + "0"
    bits += "0" + "1" * (7 - len(bits) % 8)
    return b"\0\0\1\xb6" + int(bits, 2).to_bytes(len(bits) // 8, "big")


@pytest.mark.parametrize("name", ["not-coded.avi", "not-coded.mkv"])
@pytest.mark.parametrize("every", [1, 7, 20])
def test_mpeg4_with_pictures_that_are_not_coded(films, film, every, name):
    def drop(packets):
        return [(not_coded(i) if i % 10 == 5 else b, pts, dts, k) for i, (b, pts, dts, k) in enumerate(packets)]

    path = films.remux(film("mpeg4-no-b.avi"), name, drop)
    assert_as_opencv(path, every, at_least=40)


@pytest.mark.parametrize("every", [1, 7, 20])
def test_mpeg4_with_packed_pictures(films, film, every):
    """DivX in AVI: a packet holds a P- and the B-picture shown before it, and the next one nothing."""

    def pack(packets):
        mark = b"\0\0\1\xb2DivX503b1393p\0"
        packets = [content for content, *_ in packets]
        packed = [mark + packets[0]]
        for one, two in zip(packets[1::2], packets[2::2], strict=False):
            packed += [mark + one + two, not_coded(0)]
        return [(content, i, i, i == 0) for i, content in enumerate(packed)]

    options = {"b": "1M", "bf": "1", "b_strategy": "0", "g": "300", "flags": "+mv4"}
    path = films.write("bf1.avi", "mpeg4", options, tick=Fraction(1, 30))
    assert_as_opencv(films.remux(path, "packed.avi", pack), every, at_least=40)


@pytest.mark.parametrize("name", ["h264-pyramid.mp4", "mpeg4-b.mp4"])
@pytest.mark.parametrize("every", [1, 5, 20])
def test_a_recording_that_lost_packets(films, film, name, every):
    path = films.remux(film(name), f"lost-{name}.mkv", lambda packets: packets[:9] + packets[12:])
    assert_as_opencv(path, every, at_least=35)


# What the pictures look like


def matrix_of(turn):
    a, b = {90: (0, 1), 180: (-1, 0), 270: (0, -1)}[turn]
    values = [a << 16, b << 16, 0, -b << 16, a << 16, 0, 0, 0, 1 << 30]
    return struct.pack(">9i", *values)


@pytest.mark.parametrize("turn", [90, 180, 270])
@pytest.mark.parametrize("name", ["h264-pyramid.mp4", "av1.mp4"])
def test_a_film_taken_with_the_camera_turned_stands_upright(films, film, name, turn):
    at = Path(film(name)).read_bytes().index(b"tkhd") + 44  # ISO/IEC 14496-12, 8.3.2
    turned = films.patched(film(name), f"{turn}-{name}", (at, matrix_of(turn)))
    pictures = assert_as_opencv(turned)
    for picture, plain in zip(pictures, read(film(name)).pictures, strict=True):
        clockwise = np.rot90(plain.image, -turn // 90)
        assert difference(picture.image, clockwise) < 2 < difference(picture.image, plain.image)


@pytest.mark.parametrize("name", ["h264-pyramid.mp4", "av1.mp4"])
@pytest.mark.parametrize(
    ("matrix", "shown"),
    [
        ((-1, 0, 0, 1), lambda image: image[:, ::-1]),  # as front cameras write it
        ((1, 0, 0, -1), lambda image: image[::-1]),
        ((0, 1, 1, 0), lambda image: image.T),
        ((0, -1, -1, 0), lambda image: image[::-1, ::-1].T),
        ((0, 0, 0, 0), lambda image: image),
    ],
)
def test_a_mirrored_film_is_seen_as_players_show_it(films, film, name, matrix, shown):
    a, b, c, d = (value << 16 for value in matrix)
    at = Path(film(name)).read_bytes().index(b"tkhd") + 44
    mirrored = films.patched(film(name), f"{matrix}-{name}", (at, struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)))
    for picture, plain in zip(read(mirrored).pictures, read(film(name)).pictures, strict=True):
        assert difference(picture.image, shown(plain.image)) < 2


# MPEG-2 knows shapes of the whole picture alone: of 320 × 240 pixels, 4:3 and 16:9.
@pytest.mark.parametrize(
    ("codec", "aspect"),
    [
        *(("libx264", aspect) for aspect in (Fraction(64, 45), Fraction(2), Fraction(10, 11), Fraction(1))),
        *(("mpeg2video", aspect) for aspect in (Fraction(4, 3), Fraction(1))),
    ],
)
def test_pixels_that_are_not_square_are_made_so_before_a_picture_is_looked_at(tmp_path, codec, aspect):
    """A disc in a film of squeezed pixels is a disc in what is looked at."""
    width, height = 320, 240
    y, x = np.mgrid[:height, :width]
    disc = np.uint8(255) * (((x - width / 2) * float(aspect)) ** 2 + (y - height / 2) ** 2 < 80**2)
    path = str(tmp_path / "a.mkv")
    with av.open(path, "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.sample_aspect_ratio = aspect
        for i in range(3):
            frame = av.VideoFrame.from_ndarray(np.stack([disc] * 3, -1).astype(np.uint8), format="rgb24")
            frame.pts = i
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    seen = []
    with open_source(path) as stream:
        read_media(stream, Reading(1), lambda i, seconds, grey: seen.append(grey) or Picture(i, seconds, grey))
    for grey in seen:
        assert abs(grey.shape[1] - width * aspect) <= 1 and grey.shape[0] == height
        bright = grey > 128
        assert bright.any(axis=0).sum() == pytest.approx(bright.any(axis=1).sum(), rel=0.03)


@pytest.mark.parametrize("aspect", [None, Fraction(0), Fraction(1, 10_000), Fraction(10_000)])
def test_an_absurd_shape_of_pixels_is_left(aspect):
    assert as_wide_as_shown(np.zeros((4, 6), np.uint8), aspect).shape == (4, 6)


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt", "size"),
    [
        ("odd.mp4", "libx264", "yuv444p", {"width": 161, "height": 99}),
        ("narrow.mp4", "libx264", "yuv420p", {"width": 34, "height": 280}),
        ("ten.mp4", "libx264", "yuv420p10le", {}),
        ("ten.mkv", "libx265", "yuv420p10le", {}),
        ("422.mp4", "libx264", "yuv422p", {}),
        ("grey.mp4", "libx264", "gray", {}),
        ("full.mp4", "libx264", "yuvj420p", {}),
        ("full.avi", "mjpeg", "yuvj422p", {}),
        ("lossless.mkv", "ffv1", "bgr0", {}),
        ("large.mp4", "libx264", "yuv420p", {"width": 1_280, "height": 720, "count": 22}),
    ],
)
def test_sizes_depths_and_colours(films, name, codec, pix_fmt, size):
    options = {"libx264": h264(bf="2"), "libx265": h265(bframes=2)}.get(codec, {})
    path = films.write(name, codec, options, pix_fmt=pix_fmt, full_range="full" in name, **size)
    assert_as_opencv(path, at_least=22)


def test_interlaced_pictures_are_those_of_a_plain_decode(films):  # OpenCV 4.14 garbles them
    path = films.write("interlaced.mp4", "libx264", h264(bf="2", **{"x264-params": "interlaced=1"}))
    with av.open(path) as container:
        frames = list(container.decode(video=0))
    assert frames[0].interlaced_frame
    pictures = read(path).pictures
    assert [picture.frame_index for picture in pictures] == [0, 20, 40]
    for picture in pictures:
        grey = cv2.cvtColor(frames[picture.frame_index].to_ndarray(format="bgr24"), cv2.COLOR_BGR2GRAY)
        assert difference(picture.image, cv2.resize(grey, (256, 256), interpolation=cv2.INTER_LINEAR)) <= 1


# Parts of a file


def test_sound_and_pictures_come_from_one_open_and_one_pass(films, monkeypatch):
    opened = []
    real = reading.open_container
    monkeypatch.setattr(reading, "open_container", lambda *told: opened.append(told[0]) or real(*told))
    media = read(films.write("both.mp4", "libx264", h264(bf="2"), sound=1.5))
    assert len(opened) == 1
    assert media.sound.duration_seconds == pytest.approx(1.5, abs=0.1)
    assert [picture.frame_index for picture in media.pictures] == [0, 20, 40]


def test_without_pictures_asked_for_none_are_decoded(films, monkeypatch):
    path = films.write("both.mp4", "libx264", h264(), sound=1.0)
    monkeypatch.setattr(reading, "PictureDecoder", None)
    with open_source(path) as stream:
        media = read_media(stream, reading.SOUND_ONLY)
    assert media.pictures is None and media.sound is not None


def test_a_film_without_sound_and_sound_without_a_film(films, film, media_files):
    silent = read(film("h264-b.mp4"))
    assert silent.sound is None and len(silent.pictures) == 3
    assert silent.duration_seconds == pytest.approx(1.5, abs=0.1)
    heard = read(media_files.sound("a.wav"))
    assert heard.pictures is None and heard.sound is not None


def test_the_cover_of_a_song_is_no_film(films, media_files):
    song = media_files.encoded("a.m4a", media_files.voice(rate=44_100), 44_100, "aac")
    path = str(films.folder / "cover.m4a")
    cover = cv2.imencode(".jpg", next(iter(scene())))[1].tobytes()
    with av.open(song) as source, av.open(path, "w", format="mp4") as container:
        copy = container.add_stream_from_template(source.streams.audio[0])
        picture = container.add_stream("mjpeg", rate=1)
        picture.width, picture.height, picture.pix_fmt = WIDTH, HEIGHT, "yuvj420p"
        picture.disposition = av.stream.Disposition.attached_pic
        packet = av.Packet(cover)
        packet.stream, packet.pts, packet.dts = picture, 0, 0
        for heard in source.demux(audio=0):
            if heard.size:
                heard.stream = copy
                container.mux(heard)
        container.mux(packet)
    with av.open(path) as container:
        assert container.streams.video[0].disposition & av.stream.Disposition.attached_pic
    media = read(path)
    assert media.pictures is None
    assert media.sound.duration_seconds == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "libx264"), ("a.mkv", "libx264"), ("a.webm", "libvpx-vp9")])
def test_a_cut_film_is_told(films, name, codec):
    path = films.write(f"whole-{name}", codec, h264(bf="2") if codec == "libx264" else VP9)
    if name == "a.mp4":
        path = films.remux(path, f"fast-{name}", lambda packets: packets, {"movflags": "faststart"})
    assert len(read(path).pictures) == 3
    content = Path(path).read_bytes()
    cut = films.folder / f"part-{name}"
    cut.write_bytes(content[: len(content) // 2])
    assert fault(str(cut)) in {"truncated", "broken"}


def test_a_code_that_is_not_known(films, film, media_files):
    content = Path(film("av1.mp4")).read_bytes()
    at = content.index(b"av01", content.index(b"stsd"))
    assert fault(films.patched(film("av1.mp4"), "unknown.mp4", (at, b"????"))) == "unsupported"
    path = media_files.encoded("a.avi", media_files.voice(rate=44_100), 44_100, "libmp3lame", "mpeg4")
    at = Path(path).read_bytes().rindex(b"strf") + 8  # the sound's format tag
    assert fault(films.patched(path, "unknown.avi", (at, b"\x77\x77"))) == "unsupported"


# Limits


def test_pictures_of_more_pixels_than_are_read(film, monkeypatch):
    monkeypatch.setattr(video, "MAX_PIXELS", 2 * WIDTH * HEIGHT)  # FFmpeg counts what it pads
    assert len(read(film("h264-b.mp4")).pictures) == 3
    monkeypatch.setattr(video, "MAX_PIXELS", WIDTH * HEIGHT - 1)
    assert fault(film("h264-b.mp4")) == "too_large"


def test_a_film_that_takes_longer_than_a_file_may(film):
    assert fault(film("vp9.webm"), seconds_per_file=1e-6) == "too_slow"
