"""Still images as one picture: against OpenCV's and Pillow's own reading, and files that are damaged or lie."""

import io
import struct
import zlib
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps
from whole_media import read_media

from emocore.corpora.listing import list_corpora, walk_media
from emocore.errors import MediaError, UserError
from emocore.features.extract import PLANNED, featurize_batch
from emocore.features.pictures import PICTURES
from emocore.media import stills
from emocore.media.reading import Reading
from emocore.media.resize import fit
from emocore.schema import pictures_schema, rows_to_table

WIDTH, HEIGHT = 60, 40


def scene(width=WIDTH, height=HEIGHT):
    """A coloured picture, brighter towards the right, uint8[height, width, 3]."""
    y, x = np.mgrid[:height, :width]
    return np.stack([90 + 2 * x, 40 + 3 * x % 200, 20 + 200 * (y < height / 4)], axis=-1).astype(np.uint8)


def encode(suffix, picture=None, *options):
    return cv2.imencode(suffix, scene() if picture is None else picture, list(options))[1].tobytes()


def read(content, pixels=WIDTH, **options):
    return read_media(io.BytesIO(content), Reading(20, pixels, **options))


def fault(content):
    with pytest.raises(MediaError) as error:
        read(content)
    return error.value.stage, error.value.reason


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp"])
def test_a_still_is_one_picture_grey_as_opencv_makes_it_of_colours(suffix):
    content = encode(suffix)
    media = read(content, 40)
    (picture,) = media.pictures
    assert (picture.frame_index, picture.time_seconds, picture.state, picture.box) == (0, 0.0, "ok", None)
    assert media.sound is None and media.duration_seconds is None
    bgr = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    grey = cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY)
    np.testing.assert_array_equal(picture.image, cv2.resize(grey, (40, 40), interpolation=cv2.INTER_AREA))


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp"])
def test_a_grey_still_of_the_size_asked_for_is_left_as_it_is(suffix):
    grey = scene(48, 48)[..., 0]
    content = encode(suffix, grey)
    theirs = np.asarray(Image.open(io.BytesIO(content)).convert("L"))
    np.testing.assert_array_equal(read(content, 48).pictures[0].image, theirs)


def test_what_is_enlarged_runs_between_its_pixels_and_what_is_shrunk_is_averaged():
    step = np.array([[0, 100], [0, 100]], np.uint8)
    assert fit(step, 4).tolist() == [[0, 25, 75, 100]] * 4
    assert fit(step, 1).tolist() == [[50]]
    tall = np.repeat(np.array([[0], [20], [40], [60]], np.uint8), 2, axis=1)  # 4 × 2: halved one way, doubled the other
    assert fit(tall, 4)[:, 0].tolist() == [0, 20, 40, 60] and fit(tall, 2).tolist() == [[10, 10], [50, 50]]


@pytest.mark.parametrize("turn", range(1, 9))  # the even ones are mirrored
def test_a_photograph_is_turned_as_its_exif_says(turn):
    picture = Image.fromarray(scene(40, 40)[..., 2])
    exif = Image.Exif()
    exif[0x0112] = turn
    packed = io.BytesIO()
    picture.save(packed, "jpeg", quality=95, exif=exif)
    upright = np.asarray(ImageOps.exif_transpose(Image.open(packed)))
    assert np.abs(read(packed.getvalue(), 40).pictures[0].image.astype(int) - upright).mean() < 2


@pytest.mark.parametrize(
    "picture",
    [
        np.dstack([scene(), np.zeros((HEIGHT, WIDTH), np.uint8)]),  # nothing of it is opaque
        (scene().astype(np.uint16) * 257),
    ],
)
def test_transparency_is_not_looked_at_and_16_bits_are_taken_for_8(picture):
    np.testing.assert_array_equal(
        read(encode(".png", picture)).pictures[0].image, read(encode(".png")).pictures[0].image
    )


def test_a_progressive_jpeg_with_a_thumbnail_inside():
    packed = io.BytesIO()
    Image.fromarray(scene()[..., ::-1]).save(packed, "jpeg", progressive=True, comment=encode(".jpg", scene(8, 8)))
    theirs = cv2.cvtColor(cv2.imdecode(np.frombuffer(packed.getvalue(), np.uint8), 1), cv2.COLOR_BGR2GRAY)
    np.testing.assert_array_equal(read(packed.getvalue()).pictures[0].image, fit(theirs, WIDTH))


# Damaged files, and files that are something else


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp"])
@pytest.mark.parametrize("share", [0.03, 0.5, 0.98])
def test_a_cut_still_is_told(suffix, share):
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    content = encode(suffix, noise)
    assert fault(content[: int(share * len(content))])[1] == "truncated"


def patch(content, at, new):
    return content[:at] + new + content[at + len(new) :]


def test_damaged_stills():
    png = encode(".png")
    assert fault(patch(png, png.index(b"IDAT") + 8, b"\xff\xff\xff\xff")) == ("decode", "broken")
    jpg = encode(".jpg")
    assert fault(patch(jpg, 2, b"\xff\xe0\0\2no marker")) == ("open", "broken")
    assert fault(b"\xff\xd8\xff\xda\x00\x02\xff\xd9") == ("open", "broken")  # pixels before any size
    frame = jpg.index(b"\xff\xc0")
    assert fault(patch(jpg, frame + 5, b"\0\0")) == ("decode", "broken")  # no rows


@pytest.mark.parametrize("content", [b"GIF89a" + bytes(60), b"RIFF\x40\0\0\0WEBPVP8 " + bytes(60), b"<svg/>" * 20])
def test_other_images_are_unsupported(content):
    assert fault(content) == ("open", "unsupported")


def huge(kind):
    """The header of a picture of 60,000 × 60,000 pixels, and little beyond it."""
    side = 60_000
    if kind == "bmp":
        return b"BM" + struct.pack("<IIIIiiHHI", 54, 0, 54, 40, side, side, 1, 24, 0) + bytes(40)
    if kind == "jpeg":
        jpg = encode(".jpg")
        return patch(jpg, jpg.index(b"\xff\xc0") + 5, struct.pack(">HH", side, side))
    png = encode(".png")
    size = struct.pack(">II", side, side)
    header = b"IHDR" + size + png[24:29]
    return png[:12] + header + struct.pack(">I", zlib.crc32(header)) + png[33:]


@pytest.mark.parametrize("kind", ["bmp", "jpeg", "png"])
def test_absurd_sizes_are_refused_before_the_file_is_decoded(kind, monkeypatch):
    monkeypatch.setattr(stills.cv2, "imdecode", None)
    assert fault(huge(kind)) == ("decode", "too_large")


def many_scans(n):
    """A progressive file whose last scan stands there n times."""
    packed = io.BytesIO()
    Image.fromarray(scene(400, 400)[..., 2]).save(packed, "jpeg", quality=95, progressive=True)
    content = packed.getvalue()
    last = content.rindex(b"\xff\xda")
    scans = content.count(b"\xff\xda")
    assert 3 < scans < 20
    return content[:-2] + content[last:-2] * (n - scans) + content[-2:]


def test_a_jpeg_of_very_many_scans_is_refused_before_it_is_decoded(monkeypatch):
    assert len(read(many_scans(stills.MAX_SCANS)).pictures) == 1
    monkeypatch.setattr(stills.cv2, "imdecode", None)
    with pytest.raises(MediaError, match="a JPEG file of 4,000 scans: 100 at most are read") as error:
        read(many_scans(4_000))
    assert error.value.reason == "too_large"


def test_more_bytes_than_are_read(monkeypatch):
    monkeypatch.setattr(stills, "MAX_STILL_BYTES", 1_000)
    assert fault(encode(".bmp")) == ("decode", "too_large")


# Where pictures are not asked for


def test_models_of_sound_do_not_see_stills(tmp_path):
    for name in ("train/happy/a.jpg", "train/sad/b.PNG", "test/sad/c.bmp", "test/sad/d.jpeg", "test/sad/e.gif"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(encode(".jpg"))
    listed = list_corpora([tmp_path], stills=True).clips.to_pylist()
    assert [(row["clip"], row["emotion"], row["split"], row["actor"]) for row in listed] == [
        ("test/sad/c.bmp", "sad", "test", None),
        ("test/sad/d.jpeg", "sad", "test", None),
        ("train/happy/a.jpg", "happy", "train", None),
        ("train/sad/b.PNG", "sad", "train", None),
    ]
    assert len(list(walk_media([tmp_path], [], stills=True))) == 4
    for sees_none in (list_corpora, lambda roots: list(walk_media(roots, []))):
        with pytest.raises(UserError, match="holds no media"):
            sees_none([tmp_path])
    (tmp_path / "train/happy/f.wav").write_bytes(b"RIFF")
    listing = list_corpora([tmp_path])
    assert listing.clips["clip"].to_pylist() == ["train/happy/f.wav"] and not listing.failures.num_rows


def test_a_still_alone_may_be_a_root(tmp_path):
    (tmp_path / "a.jpg").write_bytes(encode(".jpg"))
    assert [row["clip"] for row, _ in walk_media([tmp_path / "a.jpg"], [], stills=True)] == ["a.jpg"]
    with pytest.raises(UserError, match="is none of these"):
        list(walk_media([tmp_path / "a.jpg"], []))


# As rows


def test_the_rows_of_a_still(tmp_path):
    paths = [str(tmp_path / name) for name in ("a.png", "broken.png")]
    (tmp_path / "a.png").write_bytes(encode(".png"))
    (tmp_path / "broken.png").write_bytes(encode(".png")[:-20])
    taken = []
    planned = rows_to_table([{"clip": path, "path": path, "soft_label": np.zeros(8, "f4")} for path in paths], PLANNED)
    sink = SimpleNamespace(pictures=lambda *taking: taken.append(taking))
    table = featurize_batch(planned, [PICTURES.with_input(pixels=32)], Reading(20, 32, sound=False), sink=sink)
    good, bad = table.to_pylist()
    assert (good["state"], good["reason"], good["duration_seconds"]) == ("ok", None, None)
    assert (bad["state"], bad["stage"], bad["reason"]) == (None, "decode", "truncated")
    assert [(clip, len(pictures)) for clip, pictures in taken] == [([paths[0]], 1)]


def test_the_schema_of_pictures_knows_their_size():
    assert pictures_schema(48).field("image").type.shape == [48, 48]
