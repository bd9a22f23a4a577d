"""Faces of the demo drawn at known places: which is found, where, and what is cut out."""

import av
import cv2
import numpy as np
import pytest
from whole_media import read_media

from emocore.corpora.synthetic.acting import EMOTION_FACE, FaceStyle, make_actor
from emocore.corpora.synthetic.face import FACE_SHARE, Pose, draw
from emocore.media.reading import Reading
from emocore.media.resize import fit
from emocore.tracks import faces
from emocore.tracks.faces import Box, crop_face, largest_face
from emocore.tracks.mtcnn import find_faces
from emocore.tracks.pictures import keeper, make_picture

WALL = 150
HALF = FACE_SHARE  # of the picture's size: half of the face's width


def seen(stream, reading):
    return read_media(stream, reading, keeper(reading)).pictures


def head(size, actor=3, emotion="happy"):
    """A drawn head, grey uint8[size, size], and its outline as (left, top, width, height)."""
    look = make_actor(actor, 0, 1.0).look
    wall = np.full((size, size, 3), WALL, np.uint8)
    pose = Pose(FaceStyle(*EMOTION_FACE[emotion]), 0.3, 1.0, 0.0, 0.0, 0.0, 0.0)
    grey = cv2.cvtColor(draw(look, pose, wall), cv2.COLOR_BGR2GRAY)
    half = HALF * size
    return grey, (0.5 * size - half, 0.44 * size - 1.02 * half, 2 * half, (1.02 + look.face_height) * half)


def scene(*heads, width=1280, height=720):
    """Heads of these sizes at these corners before a wall, and their outlines."""
    picture = np.full((height, width), WALL, np.uint8)
    outlines = []
    for size, left, top in heads:
        grey, (x, y, *extent) = head(size)
        picture[top : top + size, left : left + size] = grey
        outlines.append((left + x, top + y, *extent))
    return picture, outlines


def overlap(one, two):
    low = np.maximum(one[:2], two[:2])
    high = np.minimum(np.add(one[:2], one[2:]), np.add(two[:2], two[2:]))
    common = np.prod(np.clip(high - low, 0, None))
    return common / (one[2] * one[3] + two[2] * two[3] - common)


@pytest.mark.parametrize(("size", "left", "top"), [(192, 100, 50), (320, 900, 380), (640, 300, 40)])
def test_a_face_is_found_where_it_is(size, left, top):
    picture, (outline,) = scene((size, left, top))
    box = largest_face(picture)
    assert overlap(box, outline) > 0.6
    assert (largest_face(picture) == box) and all(type(value) is float for value in box)


def test_of_two_faces_the_larger_is_taken_wherever_it_is():
    for small_at, large_at in ((100, 800), (900, 200)):
        picture, (small, large) = scene((240, small_at, 200), (400, large_at, 200))
        box = largest_face(picture)
        assert overlap(box, large) > 0.6 and overlap(box, small) == 0
        boxes, scores = find_faces(cv2.resize(picture, None, fx=1 / 3, fy=1 / 3, interpolation=cv2.INTER_AREA), 24)
        assert len(boxes) == 2 and (np.diff(scores) <= 0).all()


@pytest.mark.parametrize("shape", [(720, 1280), (48, 48), (1, 1), (1, 20_000), (20_000, 3), (16, 16)])
def test_without_a_face_there_is_no_box_whatever_the_shape(shape):
    noise = np.random.default_rng(0).integers(100, 140, shape, dtype=np.uint8)
    assert largest_face(noise) is None
    picture = make_picture(7, 0.28, noise, 32, faces=True)
    assert (picture.state, picture.box) == ("no_face", None)
    np.testing.assert_array_equal(picture.image, fit(noise, 32))  # the whole of it, not black


def test_a_strip_is_shrunk_before_the_networks_see_it(monkeypatch):
    seen = []
    monkeypatch.setattr(
        faces, "find_faces", lambda grey, smallest: seen.append(grey.shape) or find_faces(grey, smallest)
    )
    for shape in ((240, 100_000), (720, 1280), (192, 192)):
        assert largest_face(np.full(shape, WALL, np.uint8)) is None
    assert seen == [(5, 1920), (240, 427), (192, 192)]


def test_the_picture_of_a_face_is_its_square_and_a_margin():
    picture, (outline,) = scene((320, 700, 200))
    kept = make_picture(0, 0.0, picture, 64, faces=True)
    assert kept.state == "ok" and kept.image.shape == (64, 64)
    side = round(1.05 * max(kept.box.width, kept.box.height))
    middle = kept.box.x + kept.box.width / 2, kept.box.y + kept.box.height / 2
    left, top = (round(place - side / 2) for place in middle)
    np.testing.assert_array_equal(kept.image, fit(picture[top : top + side, left : left + side], 64))
    assert overlap((left, top, side, side), outline) > 0.5


@pytest.mark.parametrize(
    ("box", "corner", "side"),
    [
        (Box(40, 30, 20, 20), (40 - 0.5, 30 - 0.5), 21),
        (Box(0, 0, 40, 20), (0, 0), 42),  # the square would begin above the picture
        (Box(90, 60, 10, 20), (79, 59), 21),  # and end to its right and below it
        (Box(0, 0, 100, 80), (10, 0), 80),  # and is not larger than the picture
        (Box(20, 20, 0.2, 0.1), (20, 20), 1),
    ],
)
def test_a_crop_stays_inside_the_picture(box, corner, side):
    y, x = np.mgrid[:80, :100]
    crop = crop_face((x + 100 * y).astype(np.uint16), box)
    assert crop.shape == (side, side)
    assert crop[0, 0] % 100 == pytest.approx(corner[0], abs=0.5)
    assert crop[0, 0] // 100 == pytest.approx(corner[1], abs=0.5)


def write_film(path, frames, turned=0):
    """Write grey frames, which players turn by so many degrees against the clock."""
    with av.open(str(path), "w") as container:
        film = container.add_stream("libx264", rate=25, options={"preset": "ultrafast", "crf": "12"})
        film.height, film.width = frames[0].shape
        film.pix_fmt = "yuv420p"
        for i, grey in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(grey), format="gray8").reformat(format="yuv420p")
            frame.pts = i
            container.mux(film.encode(frame))
        container.mux(film.encode(None))
    if turned:
        turn_header(path, turned)
    return path


def turn_header(path, degrees):
    """Write the display matrix of a turn into the track header (ISO/IEC 14496-12, 8.3.2)."""
    content = bytearray(path.read_bytes())
    at = content.index(b"tkhd") + 4 + 40
    cos, sin = {90: (0, -1), 180: (-1, 0), 270: (0, 1)}[degrees]
    one = 1 << 16
    matrix = (cos * one, sin * one, 0, -sin * one, cos * one, 0, 0, 0, 1 << 30)
    content[at : at + 36] = b"".join(value.to_bytes(4, "big", signed=True) for value in matrix)
    path.write_bytes(content)


@pytest.mark.parametrize("turned", [0, 90, 180, 270])
def test_the_box_of_a_turned_film_counts_in_the_upright_frame(tmp_path, turned):
    upright, (outline,) = scene((320, 60, 250), width=480, height=640)
    empty = np.full_like(upright, WALL)
    stored = [np.rot90(frame, -turned // 90) for frame in (upright, empty, upright)]
    path = write_film(tmp_path / "a.mp4", stored, turned)
    with path.open("rb") as stream:
        found, missed, again = seen(stream, Reading(1, 96, faces=True))
    assert [found.state, missed.state, again.state] == ["ok", "no_face", "ok"]
    assert missed.box is None and missed.image.mean() == pytest.approx(WALL, abs=3)
    for picture in (found, again):
        assert overlap(picture.box, outline) > 0.6
        expected = fit(crop_face(upright, picture.box), 96)
        assert np.abs(picture.image.astype(int) - expected).mean() < 4


def test_a_still_has_a_box_too(tmp_path):
    picture, (outline,) = scene((320, 700, 200))
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), picture)
    with path.open("rb") as stream:
        (kept,) = seen(stream, Reading(20, 48, faces=True))
    assert overlap(kept.box, outline) > 0.6
    np.testing.assert_array_equal(kept.image, fit(crop_face(picture, kept.box), 48))
