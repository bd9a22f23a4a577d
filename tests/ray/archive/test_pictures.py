"""Faces and still images, from the command line to the tables: `featurize --frames --faces` on a running Ray."""

import zipfile

import av
import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray

from emocore.corpora.synthetic.corpus import DemoSettings, perform_clip, plan
from emocore.media.reading import Reading
from emocore.pipeline.archive.plan import cut_shards
from emocore.pipeline.archive.rows import Planned
from emocore.schema import pictures_schema
from emocore.storage.files import read_json
from emocore.storage.tables import read_tables

pytestmark = pytest.mark.usefixtures("cluster")
PIXELS = 40


def write_film(path, frames):
    with av.open(str(path), "w") as container:
        film = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        film.height, film.width = frames[0].shape[:2]
        film.pix_fmt = "yuv420p"
        for i, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="bgr24")
            picture.pts = i
            container.mux(film.encode(picture))
        container.mux(film.encode(None))


def still(i, size=48):
    return np.random.default_rng(i).integers(0, 256, (size, size), dtype=np.uint8)


def jpeg(picture):
    return cv2.imencode(".jpg", picture)[1].tobytes()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """A film whose face goes away for its middle, and stills in folders and zips, some of them broken. Read only."""
    root = tmp_path_factory.mktemp("corpus")
    (root / "happy").mkdir()
    heads = list(perform_clip(plan(DemoSettings(actors=1))[7])[1])[:41]
    wall = np.full_like(heads[0], 150)
    write_film(root / "happy" / "film.mp4", [wall if 10 <= i < 30 else head for i, head in enumerate(heads)])
    cv2.imwrite(str(root / "happy" / "face.png"), heads[0])
    (root / "happy" / "cut.jpg").write_bytes(jpeg(still(0))[:200])
    (root / "happy" / "text.bmp").write_text("no picture")
    for split in ("Training", "PublicTest"):
        with zipfile.ZipFile(root / f"{split}.zip", "w") as archive:
            for i in range(3):
                archive.writestr(f"{split}/sad/{i}.jpg", jpeg(still(i)))
            archive.writestr(f"{split}/sad/cut.png", b"\x89PNG\r\n\x1a\n")
    return root


@pytest.fixture(scope="module")
def featurized(corpus, job_modules, cluster, tmp_path_factory):
    """FEATURES of the corpus: whole pictures and faces. Read only."""
    module = job_modules["featurize"]
    folder = tmp_path_factory.mktemp("features")
    for name, faces in (("whole", False), ("faces", True)):
        module.main(
            module.Featurize(
                corpora=(str(corpus),), out=str(folder / name), frames=True, pixels=PIXELS, faces=faces, every=20
            )
        )
    return folder


def rows(folder):
    """Clip → its rows of frames/ in order, images as arrays."""
    table = read_tables(folder / "frames")
    images = table["image"].combine_chunks().to_numpy_ndarray()
    found = {}
    for row, image in zip(table.drop("image").to_pylist(), images, strict=True):
        found.setdefault(row.pop("clip"), []).append({**row, "image": image})
    return found


def test_stills_are_clips_with_labels_and_one_picture(featurized, corpus):
    clips = {row["clip"]: row for row in read_tables(featurized / "whole" / "clips").to_pylist()}
    found = rows(featurized / "whole")
    assert set(clips) == set(found)
    for split, expected in (("Training", "train"), ("PublicTest", "test")):
        for i in range(3):
            name = f"{split}.zip!/{split}/sad/{i}.jpg"
            clip, (picture,) = clips[name], found[name]
            assert (clip["emotion"], clip["split"], clip["actor"]) == ("sad", expected, None)
            assert (clip["state"], clip["duration_seconds"]) == ("no_audio", None)
            assert (picture["frame_index"], picture["time_seconds"]) == (0, 0.0)
            assert (picture["state"], picture["box"]) == ("ok", None)
            grey = cv2.imdecode(np.frombuffer(jpeg(still(i)), np.uint8), cv2.IMREAD_GRAYSCALE)
            shrunk = cv2.resize(grey, (PIXELS, PIXELS), interpolation=cv2.INTER_AREA)
            np.testing.assert_array_equal(picture["image"], shrunk)
    copy = clips["Training.zip!/Training/sad/0.jpg"]
    assert copy["duplicate_of"] == f"{corpus}/PublicTest.zip!/PublicTest/sad/0.jpg"
    assert read_tables(featurized / "whole" / "features" / "article").num_rows == 0


def test_broken_stills_are_failures(featurized, corpus):
    failures = read_tables(featurized / "whole" / "failures")
    reasons = dict(zip(failures["path"].to_pylist(), failures["reason"].to_pylist(), strict=True))
    assert {path.removeprefix(f"{corpus}/"): reason for path, reason in reasons.items()} == {
        "PublicTest.zip!/PublicTest/sad/cut.png": "truncated",
        "Training.zip!/Training/sad/cut.png": "truncated",
        "happy/cut.jpg": "truncated",
        "happy/text.bmp": "unsupported",
    }


def test_faces_are_cut_out_and_their_absence_is_a_state(featurized):
    found, whole = rows(featurized / "faces"), rows(featurized / "whole")
    film = found["happy/film.mp4"]
    assert [(row["frame_index"], row["state"]) for row in film] == [(0, "ok"), (20, "no_face"), (40, "ok")]
    assert [row["box"] is None for row in film] == [False, True, False]
    x, y, width, height = film[0]["box"]
    # The head is drawn around (0.5, 0.44) of 192 pixels, 0.58 of them wide, and moves by a tenth of that.
    assert x + width / 2 == pytest.approx(96, abs=15) and y + height / 2 == pytest.approx(90, abs=25)
    assert 0.7 < width / (0.58 * 192) < 1.2
    np.testing.assert_array_equal(film[1]["image"], whole["happy/film.mp4"][1]["image"])
    assert not np.array_equal(film[0]["image"], whole["happy/film.mp4"][0]["image"])
    (face,) = found["happy/face.png"]
    assert face["state"] == "ok" and face["box"] == pytest.approx(film[0]["box"], abs=8)
    noise = found["Training.zip!/Training/sad/1.jpg"][0]
    assert (noise["state"], noise["box"]) == ("no_face", None)


def test_the_tables_are_those_of_the_schema_and_ray_reads_them(featurized):
    for name, faces in (("whole", False), ("faces", True)):
        folder = featurized / name
        manifest = read_json(folder / "manifest.json")
        assert manifest["families"]["pictures"]["reads"] == {"every": 20, "pixels": PIXELS, "faces": faces}
        for file in (folder / "frames").glob("*.parquet"):
            assert pq.read_schema(file).remove_metadata() == pictures_schema(PIXELS)
            assert pq.read_metadata(file).num_row_groups == 1  # and not one a still
        table = read_tables(folder / "frames")
        data = ray.data.read_parquet(str(folder / "frames"))
        assert sorted(data.to_pandas()["clip"]) == sorted(table["clip"].to_pylist())
        streamed = np.concatenate([batch["image"] for batch in data.iter_batches(batch_size=4)])
        assert streamed.shape == (table.num_rows, PIXELS, PIXELS) and streamed.dtype == np.uint8


def test_a_copy_in_another_order_gives_the_same_pictures(featurized, corpus, job, tmp_path):
    done = job("featurize", corpus, "--frames", "--faces", "--pixels", PIXELS, "--out", tmp_path / "F")
    assert done.code == 0 and "8 clips, 4 failures" in done.out
    mine, theirs = read_tables(tmp_path / "F" / "frames"), read_tables(featurized / "faces" / "frames")
    assert mine.sort_by("clip").drop("image").equals(theirs.sort_by("clip").drop("image"))
    assert (
        pa.concat_tables([mine])
        .column("image")
        .combine_chunks()
        .storage.equals(theirs.column("image").combine_chunks().storage)
    )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--pixels", "64"], "--pixels 64 says how pictures are kept, and none are: add --frames."),
        (["--faces"], "--faces says how pictures are kept, and none are: add --frames."),
        (["--frames", "--pixels", "15"], "--pixels must be from 16 to 1024: got 15."),
        (["--frames", "--pixels", "1025"], "--pixels must be from 16 to 1024: got 1025."),
    ],
)
def test_a_wrong_option_is_one_sentence(job, corpus, tmp_path, arguments, sentence):
    done = job("featurize", corpus, *arguments, "--out", tmp_path / "F")
    assert done.code == 2 and sentence in " ".join(done.err.split())
    assert not (tmp_path / "F").exists()


def test_small_files_are_many_a_shard():
    files = [Planned({"path": f"/{i}.jpg"}, None, 0) for i in range(600)]
    assert [len(shard) for shard in cut_shards(files, Reading(20))] == [512, 88]
    assert [len(shard) for shard in cut_shards(files)] == [64] * 9 + [24]
    films = [Planned({"path": f"/{i}.mp4"}, None, 0) for i in range(20)]
    assert [len(shard) for shard in cut_shards(films, Reading(20))] == [8, 8, 4]


def test_without_frames_stills_are_no_media(job, corpus, tmp_path):
    done = job("featurize", corpus, "--out", tmp_path / "F")
    assert done.code == 0 and "1 clip, 0 failures" in done.out
