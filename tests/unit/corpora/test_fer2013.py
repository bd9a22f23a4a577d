"""Kaggle's fer2013.csv: a table of pictures, each row of which is a clip."""

import cv2
import numpy as np
import pytest

from emocore.corpora.leave_out import LeaveOut
from emocore.corpora.listing import list_corpora, walk_media
from emocore.errors import MediaError, UserError
from emocore.media.picture_table import still_in_table
from emocore.media.source import content_id, open_source, split_member
from emocore.media.stills import read_still

FACES = np.random.default_rng(0).integers(0, 256, (4, 48, 48)).astype(np.uint8)
ROWS = [(0, "Training"), (3, "PublicTest"), (6, "PrivateTest"), (5, "Training")]


def table(path, order=("emotion", "pixels", "Usage"), rows=ROWS, end="\n"):
    lines = [",".join(order)]
    for (emotion, usage), face in zip(rows, FACES, strict=False):
        cells = {"emotion": str(emotion), "pixels": " ".join(map(str, face.ravel())), "Usage": usage}
        lines.append(",".join(cells[name.strip()] for name in order))
    path.write_bytes((end.join(lines) + end).encode())
    return path


@pytest.mark.parametrize("order", [("emotion", "pixels", "Usage"), ("emotion", " Usage", " pixels")])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_rows_are_clips_whose_pictures_are_their_numbers(tmp_path, order, end):
    listing = list_corpora([table(tmp_path / "fer2013.csv", order, end=end)], stills=True)
    assert [(row["emotion"], row["split"], row["corpus"]) for row in listing.clips.to_pylist()] == [
        ("neutral", "test", "fer2013"),
        ("happy", "test", "fer2013"),
        ("angry", "train", "fer2013"),
        ("surprised", "train", "fer2013"),
    ]
    paths = dict(zip(listing.clips["clip"].to_pylist(), listing.clips["path"].to_pylist(), strict=True))
    for number, clip in enumerate(
        ["Training/angry/00001.bmp", "PublicTest/happy/00002.bmp", "PrivateTest/neutral/00003.bmp"]
    ):
        with open_source(paths[clip]) as stream:
            np.testing.assert_array_equal(read_still(stream), FACES[number])
    assert split_member(paths[clip])[0] == str(tmp_path / "fer2013.csv")


def test_a_row_has_bytes_of_its_own(tmp_path):
    path = table(tmp_path / "t.CSV")
    ids = []
    for number in (1, 2):
        with open_source(f"{path}!/x/{number:05d}.bmp") as stream:
            ids.append(content_id(stream))
    assert len(set(ids)) == 2
    assert cv2.imdecode(np.frombuffer(still_in_table(str(path), "4.bmp"), np.uint8), 0)[0, 0] == FACES[3, 0, 0]


def test_what_is_no_row_and_no_picture_is_one_files_failure(tmp_path):
    path = table(tmp_path / "t.csv")
    for member in ("00005.bmp", "0.bmp", "x.bmp", "-1.bmp"):
        with pytest.raises(MediaError, match="no such row"):
            still_in_table(str(path), member)
    cells = ("1 2 3", "256 0 0 0", "a b c d", "", "-1 0 0 0")
    path.write_text("emotion,pixels,Usage\n" + "".join(f"0,{cell},Training\n" for cell in cells))
    for number in range(1, 1 + len(cells)):
        with pytest.raises(MediaError, match=f"row {number} holds "):
            still_in_table(str(path), f"{number}.bmp")


def test_an_emotion_that_is_none_is_a_failure(tmp_path):
    listing = list_corpora([table(tmp_path / "t.csv", rows=[(0, "Training"), (7, "Training")])])
    assert listing.clips.num_rows == 1
    (failure,) = listing.failures.to_pylist()
    assert failure["reason"] == "bad_name" and failure["detail"] == "row 2 has emotion '7', expected 0 to 6"


def test_parts_of_it_can_be_left_out_and_it_can_be_an_archive(tmp_path):
    path = table(tmp_path / "t.csv")
    assert list_corpora([path], exclude=["PrivateTest/*"]).clips.num_rows == 3
    rows = [row for row, _ in walk_media([path], [], stills=True, leave_out=LeaveOut())]
    assert len(rows) == 4 and not any("emotion" in row for row in rows)


def test_another_table_is_a_manifest(tmp_path):
    (tmp_path / "m.csv").write_text("path,emotion\na.wav,sad\n")
    (tmp_path / "a.wav").write_bytes(b"x")
    assert list_corpora([tmp_path / "m.csv"]).clips["corpus"].to_pylist() == [f"{tmp_path.name}/m.csv"]
    with pytest.raises(UserError, match="is no table of pictures: expected a CSV with the columns emotion, pixels"):
        list_corpora([tmp_path / "m.csv"], kind="fer2013")
