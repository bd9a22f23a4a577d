"""Pictures of films beside their sound: what `featurize --frames` writes on a running Ray."""

import shutil

import av
import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from emocore.corpora.listing import list_corpora
from emocore.features.article import ARTICLE
from emocore.features.pictures import PICTURES
from emocore.pipeline import featurize as featurizing
from emocore.pipeline.archive import plan as planning
from emocore.pipeline.archive import shards
from emocore.schema import SCHEMA_VERSION, VERSION_KEY, pictures_schema
from emocore.storage.files import read_json

pytestmark = pytest.mark.usefixtures("cluster")
PICTURES_OF_A_FILM = 45


def write_film(path, count=PICTURES_OF_A_FILM, sound=True, size=(96, 64), step=9):
    """A film whose n-th picture is the n-th shade of a moving wave, with or without a tone beside it."""
    width, height = size
    y, x = np.mgrid[:height, :width]
    with av.open(str(path), "w") as container:
        film = container.add_stream("libx264", rate=25, options={"preset": "ultrafast", "bf": "2"})
        film.width, film.height, film.pix_fmt = width, height, "yuv420p"
        track = container.add_stream("aac", rate=16_000, layout="mono") if sound else None
        for i in range(count):
            wave = (128 + 60 * np.sin((x + step * i) / 11) + 50 * np.cos((y - 4 * i) / 7)).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(np.stack([wave] * 3, -1), format="bgr24")
            frame.pts = i
            container.mux(film.encode(frame))
        container.mux(film.encode(None))
        if track:
            samples = (9_000 * np.sin(np.arange(16_000 * count // 25) / step)).astype(np.int16)
            heard = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
            heard.sample_rate, heard.pts = 16_000, 0
            container.mux(track.encode(heard))
            container.mux(track.encode(None))
    return path


@pytest.fixture(scope="module")
def films(tone, write_wav, tmp_path_factory):
    """Films with and without sound, sound without a film, copies, and films that fail. Read only."""
    root = tmp_path_factory.mktemp("films")
    write_film(root / "a.mp4")
    write_film(root / "b.mkv", step=13)
    shutil.copy(root / "a.mp4", root / "copy.mp4")
    write_film(root / "mute.mp4", sound=False)
    write_wav(root / "sound.wav", tone(440))
    write_wav(root / "zero.wav", np.zeros(16_000, np.int16))
    content = write_film(root / "cut.mkv").read_bytes()
    (root / "cut.mkv").write_bytes(content[: len(content) // 2])
    (root / "text.mp4").write_text("no film at all\n" * 40)
    return root


@pytest.fixture(scope="module")
def run():
    def call(root, out, every=20, **options):
        return featurizing.featurize(
            list_corpora([str(root)]),
            str(out),
            [ARTICLE, PICTURES.with_input(every=every)],
            options=options,
        )

    return call


@pytest.fixture(scope="module")
def features(films, run, cluster, tmp_path_factory):
    """FEATURES of `films` with every 20th picture. Read only."""
    out = tmp_path_factory.mktemp("features") / "F"
    run(films, out)
    return out


def read(folder, part):
    files = sorted((folder / part).glob("*.parquet"))
    return pa.concat_tables([pq.read_table(file) for file in files])


def names(table):
    return [path.rpartition("/")[2] for path in table["path"].to_pylist()]


def pictures(folder):
    """File name → its rows of frames/, images as arrays."""
    clips = read(folder, "clips")
    name_of = dict(zip(clips["clip"].to_pylist(), names(clips), strict=True))
    table = read(folder, "frames")
    images = table["image"].combine_chunks().to_numpy_ndarray()
    found = {}
    for row, image in zip(table.select(["clip", "frame_index", "time_seconds"]).to_pylist(), images, strict=True):
        found.setdefault(name_of[row["clip"]], []).append((row["frame_index"], row["time_seconds"], image))
    return found


def test_the_pictures_have_the_schema_of_the_contract(features):
    table = read(features, "frames")
    assert table.schema.remove_metadata() == pictures_schema(256)
    assert table.schema.names == ["clip", "track", "frame_index", "time_seconds", "state", "box", "image"]
    assert table.schema.field("image").type == pa.fixed_shape_tensor(pa.uint8(), [256, 256])
    assert table["box"].null_count == table.num_rows
    assert all(column.null_count == 0 for column in table.drop("box").columns)
    assert set(table["state"].to_pylist()) == {"ok"}
    for file in (features / "frames").glob("*.parquet"):
        assert pq.read_schema(file).metadata[VERSION_KEY] == SCHEMA_VERSION.encode()
    assert set(table["clip"].to_pylist()) <= set(read(features, "clips")["clip"].to_pylist())
    manifest = read_json(features / "manifest.json")
    assert manifest["families"]["pictures"]["reads"] == {"every": 20, "pixels": 256, "faces": False}
    assert (manifest["clips"], manifest["failures"]) == (6, 2)


def test_what_is_missing_is_a_state_and_what_is_broken_a_failure(features):
    clips, failures = read(features, "clips"), read(features, "failures")
    assert dict(zip(names(clips), clips["state"].to_pylist(), strict=True)) == {
        "a.mp4": "ok",
        "b.mkv": "ok",
        "copy.mp4": "ok",
        "mute.mp4": "no_audio",
        "sound.wav": "no_video",
        "zero.wav": "silent",
    }
    reasons = dict(zip(names(failures), failures["reason"].to_pylist(), strict=True))
    assert reasons["text.mp4"] == "unsupported" and reasons["cut.mkv"] in {"truncated", "broken"}
    heard = read(features, "features/article")["clip"].to_pylist()
    by_clip = dict(zip(clips["clip"].to_pylist(), names(clips), strict=True))
    assert {by_clip[clip] for clip in heard} == {"a.mp4", "b.mkv", "copy.mp4", "sound.wav", "zero.wav"}


def test_each_film_has_its_pictures_and_none_else(features, films):
    found = pictures(features)
    assert set(found) == {"a.mp4", "b.mkv", "copy.mp4", "mute.mp4"}  # no failed one left any
    for name, rows in found.items():
        assert [index for index, _, _ in rows] == [0, 20, 40]
        assert [time for _, time, _ in rows] == pytest.approx([0, 0.8, 1.6], abs=0.002)
        capture = cv2.VideoCapture(str(films / name), cv2.CAP_FFMPEG)
        theirs = [capture.read()[1] for _ in range(PICTURES_OF_A_FILM)]
        for index, _, image in rows:
            grey = cv2.cvtColor(theirs[index], cv2.COLOR_BGR2GRAY)
            grey = cv2.resize(grey, (256, 256), interpolation=cv2.INTER_LINEAR)
            assert np.abs(image.astype(float) - grey).mean() <= 1
    assert not np.array_equal(found["a.mp4"][0][2], found["a.mp4"][1][2])


def test_a_copy_has_the_pictures_of_the_first(features):
    found = pictures(features)
    for one, two in zip(found["a.mp4"], found["copy.mp4"], strict=True):
        assert one[:2] == two[:2]
        np.testing.assert_array_equal(one[2], two[2])
    clips = read(features, "clips")
    rows = dict(zip(names(clips), clips.to_pylist(), strict=True))
    assert rows["copy.mp4"]["duplicate_of"] == rows["a.mp4"]["path"]


def test_another_distance(films, run, tmp_path):
    run(films, tmp_path / "F", every=7)
    assert [index for index, _, _ in pictures(tmp_path / "F")["a.mp4"]] == [0, 7, 14, 21, 28, 35, 42]
    assert read_json(tmp_path / "F" / "manifest.json")["families"]["pictures"]["reads"]["every"] == 7


def test_an_interrupted_run_goes_on_to_the_same_pictures(films, features, run, tmp_path, monkeypatch):
    monkeypatch.setattr(planning, "SHARD_FILES", 2)
    out = tmp_path / "F"
    run(films, out)
    assert len(list((out / "clips").iterdir())) > 2
    (out / "manifest.json").unlink()
    lost = sorted((out / "clips").iterdir())[0]
    lost.unlink()
    (out / "frames" / lost.name).write_bytes(b"half a file")
    run(films, out)
    mine, theirs = pictures(out), pictures(features)
    assert mine.keys() == theirs.keys()
    for name, rows in theirs.items():
        assert len(mine[name]) == len(rows)
        for one, two in zip(mine[name], rows, strict=True):
            assert one[:2] == two[:2]
            np.testing.assert_array_equal(one[2], two[2])


def test_without_films_the_folder_is_empty_of_pictures_but_readable(run, tone, write_wav, tmp_path):
    write_wav(tmp_path / "corpus" / "a.wav", tone(440))
    run(tmp_path / "corpus", tmp_path / "F")
    assert read(tmp_path / "F", "frames").num_rows == 0
    assert read(tmp_path / "F", "clips")["state"].to_pylist() == ["no_video"]


def measured():
    """Return the stage, which also writes how much memory its process held before and at most, in MiB."""

    def run_task(table, **arguments):  # defined here, so that Ray sends it by value
        from pathlib import Path  # noqa: PLC0415 - in the worker

        from emocore.pipeline.archive import shards  # noqa: PLC0415

        def status(name):
            lines = Path("/proc/self/status").read_text().splitlines()
            return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name))

        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        before = status("VmHWM")
        yield from shards._run_task(table, **arguments)
        (arguments["out"] / ".memory").write_text(f"{before} {status('VmHWM')}")

    return run_task


@pytest.fixture(scope="module")
def peaks(run, cluster, tmp_path_factory):
    """Number of films in a shard → (MiB held before, at most). A film has 400 pictures, 25 MiB."""
    root = tmp_path_factory.mktemp("long")
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "_run_task", measured())
        for films in (2, 8):
            folder = root / str(films)
            folder.mkdir()
            for i in range(films):
                write_film(folder / f"{i}.mp4", count=400, sound=False, size=(64, 48), step=3 + i)
            out = root / f"F{films}"
            run(folder, out, every=1)
            assert read(out, "frames").num_rows == 400 * films
            found[films] = tuple(map(float, (out / ".memory").read_text().split()))
    return found


def test_memory_does_not_grow_with_the_number_of_films(peaks):
    assert peaks[8][1] < peaks[2][1] + 60  # six films more hold 150 MiB of pictures


def test_memory_is_some_times_what_a_films_pictures_hold(peaks):
    before, most = peaks[2]
    assert most - before < 300
