"""Films in HDR beside ordinary films of the same light, and interlaced films of what moves."""

import math
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from av.video.reformatter import ColorRange, ColorTrc
from whole_media import read_media

from emocore.media.light import hlg_light, levels, one_field, pq_light, pq_signal, shown_light
from emocore.media.reading import Reading
from emocore.media.source import open_source
from emocore.media.video import Picture

PQ, HLG = ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67
WIDTH, HEIGHT = 170, 96  # rows that are stored with room behind them
SAME, SKIN = 80, 150  # the levels up to which nothing is changed, and little
BT2020 = 9  # as ITU-T H.273 numbers its primaries and its matrix
INTERLACED = 1 << 29 | 1 << 18  # AV_CODEC_FLAG_INTERLACED_ME, AV_CODEC_FLAG_INTERLACED_DCT


def light_of(level):
    """The light in cd/m² of an ordinary film's grey level, where its white is HDR's reference white (BT.2408, 5.1)."""
    return 203 * (level / 255) ** 2.4


def to_pq(light):
    """The signal of so much light, by the inverse EOTF as SMPTE ST 2084 writes it."""
    power = (light / 10_000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375


def to_hlg(light):
    """The signal of so much light on a screen of 1,000 cd/m², by the inverse OOTF and the OETF of BT.2100, table 5."""
    scene = (light / 1_000) ** (1 / 1.2)
    return math.sqrt(3 * scene) if scene <= 1 / 12 else 0.17883277 * math.log(12 * scene - 0.28466892) + 0.55991073


SIGNAL = {PQ: to_pq, HLG: to_hlg}


def shown(path, every=1):
    """The upright grey frames, in full."""
    frames = []
    with open_source(str(path)) as stream:
        read_media(stream, Reading(every), lambda i, seconds, grey: frames.append(grey) or Picture(i, seconds, grey))
    return frames


def write(path, codec, pix_fmt, lumas, options=(), transfer=None, full_range=False, flags=0):
    """Write a film of these lumas, uint8 or uint16[height, width], without colour."""
    with av.open(str(path), "w") as container:
        film = container.add_stream(codec, rate=25, options=dict(options))
        film.height, film.width = lumas[0].shape
        film.pix_fmt = pix_fmt
        context = film.codec_context
        context.time_base, context.gop_size = Fraction(1, 25), 12
        context.flags |= flags
        context.color_range = ColorRange.JPEG if full_range else ColorRange.MPEG
        if codec == "mpeg2video":
            film.bit_rate = 4_000_000
        if transfer:
            context.color_trc = transfer
        if transfer in SIGNAL:
            context.color_primaries = context.colorspace = BT2020
        for i, luma in enumerate(lumas):
            frame = av.VideoFrame(film.width, film.height, pix_fmt)
            frame.color_range = context.color_range
            bits = frame.format.components[0].bits
            for number, plane in enumerate(frame.planes):
                samples = luma if not number else np.full((plane.height, plane.width), 1 << (bits - 1), luma.dtype)
                rows = np.zeros((plane.height, plane.line_size // luma.itemsize), luma.dtype)
                rows[:, : plane.width] = samples
                plane.update(rows.tobytes())
            frame.pts = i
            container.mux(film.encode(frame))
        container.mux(film.encode(None))
    return path


def samples(signal, bits, full_range=False):
    """Signals from 0 to 1 as samples (BT.2100, table 9)."""
    scale = (1 << bits) - 1 if full_range else 219 << (bits - 8)
    begin = 0 if full_range else 16 << (bits - 8)
    return np.rint(signal * scale + begin).astype(np.uint8 if bits == 8 else np.uint16)


# What the standards say


@pytest.mark.parametrize("light", [0.1, 1, 10, 100, 203, 1_000, 4_000, 10_000])
def test_pq_is_that_of_the_standard(light):
    assert pq_light(np.array(to_pq(light))) == pytest.approx(light, rel=1e-6)
    assert pq_signal(np.array(float(light))) == pytest.approx(to_pq(light), abs=1e-9)


@pytest.mark.parametrize("light", [0.1, 1, 10, 50, 51, 100, 203, 500, 1_000])
def test_hlg_is_that_of_the_standard(light):
    assert hlg_light(np.array(to_hlg(light))) == pytest.approx(light, rel=1e-5)


def test_reference_white_is_where_the_report_has_it():
    """BT.2408, 2.1: 203 cd/m², 58 % in PQ, 75 % in HLG."""
    assert pq_light(np.array(0.58)) == pytest.approx(203, rel=0.01)
    assert hlg_light(np.array(0.75)) == pytest.approx(203, rel=0.01)


def test_what_is_dark_is_shown_as_it_is_and_what_is_bright_ever_less_so():
    light = np.linspace(0, 1_000, 2_001)
    screen = shown_light(light)
    np.testing.assert_allclose(screen[light < 13], light[light < 13], atol=1e-6)
    rise = np.diff(screen)
    assert (rise > 0).all() and (np.diff(rise) < 1e-9).all()  # no two lights are one grey, and no edge is drawn
    assert screen[-1] == pytest.approx(203) and shown_light(np.array(10_000.0)) == pytest.approx(203)


@pytest.mark.parametrize("transfer", [PQ, HLG])
@pytest.mark.parametrize("full_range", [False, True])
def test_a_sample_has_the_level_that_an_ordinary_film_has_for_its_light(transfer, full_range):
    table = levels(int(transfer), full_range)
    for level in range(8, SKIN):
        at = samples(SIGNAL[transfer](light_of(level)), 10, full_range)
        assert -7 <= int(table[at]) - level <= 1 and (level > SAME or table[at] >= level - 1)
    white = table[samples(SIGNAL[transfer](203), 10, full_range)]
    assert 200 <= white < 220 < 254 <= table[samples(SIGNAL[transfer](1_000), 10, full_range)]
    assert table[0] == 0 and table.shape == (65_536,) and table[-1] == table[1_023]
    assert (np.diff(table.astype(int)) >= 0).all()


# Films


def greys():
    """Waves of grey from 30 to SKIN."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.rint(90 + 40 * np.sin(x / 15) + 20 * np.cos(y / 11)).astype(int)


def twin(transfer, bits, full_range=False):
    """The samples of an HDR film that gives the light of `greys`."""
    signal = np.array([SIGNAL[transfer](light_of(level)) for level in range(256)])
    return samples(signal, bits, full_range)[greys()]


X265 = "log-level=none:pools=none:frame-threads=1:bframes=0"  # of two pictures mp4 has no times to go back to
SILENT = f"{X265}:transfer=unknown:colorprim=unknown:colormatrix=unknown"
FINE = {"preset": "ultrafast", "crf": "4"}
FILMS = {
    "hevc.mp4": ("libx265", "yuv420p10le", 10, FINE | {"x265-params": X265}),
    "silent.mp4": ("libx265", "yuv420p10le", 10, FINE | {"x265-params": SILENT}),  # what it is in, the container says
    "twelve.mkv": ("libx265", "yuv420p12le", 12, FINE | {"x265-params": X265}),
    "h264.mp4": ("libx264", "yuv420p10le", 10, FINE),
    "eight.mp4": ("libx264", "yuv420p", 8, FINE),
    "lossless.mkv": ("ffv1", "yuv420p10le", 10, {}),
    "prores.mov": ("prores_ks", "yuv422p10le", 10, {}),
}


@pytest.mark.parametrize("name", FILMS)
@pytest.mark.parametrize("transfer", [PQ, HLG], ids=["pq", "hlg"])
def test_a_film_in_hdr_is_as_grey_as_its_ordinary_twin(tmp_path, name, transfer):
    codec, pix_fmt, bits, options = FILMS[name]
    hdr = write(tmp_path / name, codec, pix_fmt, [twin(transfer, bits)] * 2, options, transfer)
    ordinary = write(tmp_path / "twin.mp4", "libx264", "yuv420p", [samples(greys() / 255, 8)] * 2, FINE)
    one, other = shown(hdr)[0].astype(int), shown(ordinary)[0].astype(int)
    assert one.shape == (HEIGHT, WIDTH)
    assert np.abs(one - other).mean() < (2.5 if bits > 8 else 3.5)
    assert np.abs(one - other).max() <= (9 if bits > 8 else 12)  # 7 of the knee, the rest of two encoders
    washed_out = cv2.cvtColor(next(frames_of(hdr)).to_ndarray(format="bgr24"), cv2.COLOR_BGR2GRAY).astype(int)
    assert np.abs(washed_out - other).mean() > 8


def test_a_film_in_hdr_of_full_range(tmp_path):
    lumas = [twin(PQ, 10, full_range=True)]
    path = write(tmp_path / "a.mkv", "ffv1", "yuv420p10le", lumas, transfer=PQ, full_range=True)
    assert next(frames_of(path)).color_range == ColorRange.JPEG
    assert np.abs(shown(path)[0].astype(int) - greys()).max() <= 7


def frames_of(path):
    with av.open(str(path)) as container:
        yield from container.decode(video=0)


@pytest.mark.parametrize("transfer", [None, ColorTrc.BT709, ColorTrc.SMPTE170M, ColorTrc.BT2020_10, ColorTrc.LINEAR])
@pytest.mark.parametrize(("codec", "pix_fmt", "bits"), [("libx264", "yuv420p", 8), ("libx265", "yuv420p10le", 10)])
def test_an_ordinary_film_is_unchanged_to_the_bit(tmp_path, codec, pix_fmt, bits, transfer):
    options = {"preset": "ultrafast"} | ({"x265-params": X265} if codec == "libx265" else {})
    path = write(tmp_path / "a.mp4", codec, pix_fmt, [samples(greys() / 255, bits)] * 2, options, transfer)
    for grey, frame in zip(shown(path), frames_of(path), strict=True):
        np.testing.assert_array_equal(grey, cv2.cvtColor(frame.to_ndarray(format="bgr24"), cv2.COLOR_BGR2GRAY))


# Two moments in a frame


def moving(step, count=6, height=HEIGHT):
    """Fields of a bright bar that moves by so many pixels from one to the next, woven into frames."""
    x = np.arange(WIDTH)
    fields = [np.where((x >= 20 + step * i) & (x < 60 + step * i), 200, 60) for i in range(2 * count)]
    woven = [np.stack([fields[2 * i], fields[2 * i + 1]] * (height // 2)) for i in range(count)]
    return [frame.astype(np.uint8) for frame in woven], fields[::2]


def combs(grey):
    """How far rows are from their neighbours' mean, in levels."""
    rows = grey.astype(float)
    return np.abs(rows[1:-1] - (rows[:-2] + rows[2:]) / 2).mean()


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("a.mp4", "libx264", FINE | {"x264-params": "tff=1"}),
        ("b.mp4", "libx264", FINE | {"x264-params": "bff=1"}),
        ("a.mpg", "mpeg2video", {}),
    ],
)
def test_what_moves_in_an_interlaced_film_has_no_combs(tmp_path, name, codec, options):
    frames, fields = moving(step=4)
    path = write(tmp_path / name, codec, "yuv420p", frames, options, flags=INTERLACED)
    decoded = [frame.to_ndarray(format="gray") for frame in frames_of(path) if frame.interlaced_frame]
    assert len(decoded) == len(frames) and all(combs(grey) > 5 for grey in decoded)
    for grey, field in zip(shown(path), fields, strict=True):
        assert grey.shape == (HEIGHT, WIDTH) and combs(grey) < 1
        expected = np.rint((field - 16) * 255 / 219)
        assert np.abs(grey - expected).mean() < 3  # where the bar was at the first of the frame's two moments


def test_what_stands_still_in_an_interlaced_film_is_as_in_another(tmp_path):
    lumas = [samples(greys() / 255, 8)] * 2
    woven = write(tmp_path / "a.mp4", "libx264", "yuv420p", lumas, FINE | {"x264-params": "tff=1"}, flags=INTERLACED)
    whole = write(tmp_path / "b.mp4", "libx264", "yuv420p", lumas, FINE)
    assert next(frames_of(woven)).interlaced_frame and not next(frames_of(whole)).interlaced_frame
    assert np.abs(shown(woven)[0].astype(int) - shown(whole)[0]).max() <= 5


@pytest.mark.parametrize("height", [1, 2, 3, 4, 5, 576])
def test_a_field_keeps_its_rows_and_the_others_lie_between(height):
    grey = np.random.default_rng(0).integers(0, 256, (height, 7), np.uint8)
    field = one_field(grey)
    assert field.shape == grey.shape and field.dtype == np.uint8
    np.testing.assert_array_equal(field[::2], grey[::2])
    for row in range(1, height - 1, 2):
        mean = (grey[row - 1].astype(float) + grey[row + 1]) / 2
        assert np.abs(field[row] - mean).max() <= 0.5
    if height % 2 == 0:
        np.testing.assert_array_equal(field[-1], grey[-2])
