"""jobs/label.py of feature tables: the same answers on Ray, and nothing is decoded."""

import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from emocore.pipeline import label_features
from emocore.pipeline.archive import plan as planning
from emocore.storage.files import read_json

pytestmark = pytest.mark.usefixtures("cluster")


@pytest.fixture(scope="session")
def archive(fill_zoo, newcomer, tmp_path_factory):
    """The zoo, and five clips of actor 5. Read only."""
    root = fill_zoo(tmp_path_factory.mktemp("tables-of"))
    for wav in sorted((newcomer / "Actor_05").iterdir())[:5]:
        shutil.copy(wav, root)
    return root


def read(folder, part, key):
    tables = [pq.read_table(file) for file in sorted((folder / part).glob("*.parquet"))]
    return pa.concat_tables(tables).sort_by(key).to_pylist()


def test_tables_are_labelled_as_their_media_are_and_nothing_is_decoded(archive, bundle, job, monkeypatch, tmp_path):
    monkeypatch.setattr(planning, "SHARD_FILES", 5)
    monkeypatch.setattr(label_features, "PARTS_AS_ONE_SHARD", 1)
    media, tables, features = tmp_path / "media", tmp_path / "tables", tmp_path / "F"
    assert job("featurize", archive, "--corpus", "folder", "--grid", "speech", "--out", features).code == 0
    told = {"grid": "speech", "window_seconds": None, "hop_seconds": None, "vad": True, "channels": "mix"}
    assert read_json(features / "manifest.json")["how"] == read_json(features / "config.json")["how"] == told
    assert job("label", archive, "--model", bundle, "--out", media).code == 0
    command = ("label", features, "--model", bundle, "--out", tables)
    assert "of tables to answer for" in job(*command, "--dry-run").out and not tables.exists()
    assert len(list((features / "clips").iterdir())) > 3
    archive_hidden = archive.rename(tmp_path / "hidden")
    done = job(*command)
    archive_hidden.rename(archive)
    assert done.code == 0
    for part, key in (("labels", "path"), ("failures", "path")):
        assert read(tables, part, key) == read(media, part, key)
    places = [("clip", "ascending"), ("window", "ascending")]
    assert read(tables, "windows", places) == read(media, "windows", places)
    one, other = (read_json(out / "summary.json") for out in (tables, media))
    assert one.pop("how") == told
    assert {**one, "seconds": 0} == {**other, "seconds": 0}
    assert "No file was read" in (tables / "report.html").read_text()
    assert "was finished already" in job(*command).out
    (tables / "labels" / "000001.parquet").unlink()
    kept = (tables / "labels" / "000000.parquet").stat().st_mtime_ns
    again = job(*command)
    assert again.code == 0 and "was finished already" not in again.out
    assert (tables / "labels" / "000000.parquet").stat().st_mtime_ns == kept
    assert read(tables, "labels", "path") == read(media, "labels", "path")


def test_what_tables_cannot_be_labelled_or_learned_from_is_refused(archive, bundle, features, job, tmp_path):
    out, cut = tmp_path / "L", tmp_path / "F"
    told = ("--model", bundle, "--out", out)
    mixed = job("label", features, archive, *told)
    assert (mixed.code, mixed.err.strip()) == (
        2,
        f"{features} holds feature tables, which are labelled alone: leave out {archive}.",
    )
    faces = job("label", features, "--model", "face-cnn", "--out", out)
    assert (
        faces.code == 2 and "the model reads pictures: make tables that fit, by python jobs/featurize.py" in faces.err
    )
    assert not out.exists()
    first = job("label", features, *told)
    assert first.code == 0 and f"{features} holds one window a clip, by which alone it is answered for" in first.out
    assert read_json(out / "summary.json")["how"]["grid"] is None
    assert job("featurize", archive / "copy", "--corpus", "folder", "--grid", "tiled", "--out", cut).code == 0
    for command in (("train", "--model", "svc"), ("evaluate", "--model", "svc", "--protocol", "loso")):
        refused = job(command[0], cut, *command[1:], "--out", tmp_path / "RUN")
        assert refused.code == 2 and refused.err.strip() == (
            f"{cut} holds windows over whole recordings (--grid tiled), and models are trained and evaluated by one "
            "window a clip: featurize the corpus without --grid."
        )
    (cut / "manifest.json").unlink()
    unfinished = job("label", cut, "--model", bundle, "--out", tmp_path / "M")
    assert unfinished.err.strip() == f"{cut} holds unfinished feature tables: repeat the command that made them."


def test_without_a_cut_the_folder_says_nothing_of_it(newcomer, job, tmp_path):
    """So that folders of before go on, and figures stay."""
    assert job("featurize", newcomer, "--out", tmp_path / "F").code == 0
    config, manifest = (read_json(tmp_path / "F" / name) for name in ("config.json", "manifest.json"))
    assert "how" not in config and "how" not in manifest
    assert not {"grid", "window_seconds", "hop_seconds", "vad"} & set(config["options"])
