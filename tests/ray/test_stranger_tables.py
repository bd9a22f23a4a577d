"""Tables of a stranger, whose values are pickles: no command brings one to life."""

import pickle
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from emocore.storage.tables import forget_types

pytestmark = pytest.mark.usefixtures("cluster")
OBJECT = "ray.data.arrow_pickled_object"


class Touch:
    """What leaves a file behind where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.fixture
def marker(tmp_path):
    return tmp_path / "pickle-was-run"


@pytest.fixture
def poison(marker):
    """Make a column of a Parquet file one of pickles, under the name that Ray Data gives to its own."""

    def run(file, column):
        table = pq.read_table(file)
        values = pa.array([pickle.dumps(Touch(marker))] * max(1, table.num_rows), pa.large_binary())
        field = pa.field(column, pa.large_binary(), metadata={"ARROW:extension:name": OBJECT})
        place = table.column_names.index(column)
        pq.write_table(table.set_column(place, field, values[: table.num_rows]), file)

    return run


@pytest.fixture
def refused(job, marker):
    def run(name, *arguments):
        outcome = job(name, *arguments)
        assert not marker.exists()
        assert outcome.code == 2 and OBJECT in outcome.err and "Traceback" not in outcome.err

    return run


def test_the_pickle_would_run(marker, tmp_path, poison):
    table = tmp_path / "t.parquet"
    pq.write_table(pa.table({"path": ["a"]}), table)
    poison(table, "path")
    import ray.data._internal.object_extensions.arrow as theirs  # noqa: PLC0415 - what connecting imports

    pa.register_extension_type(theirs.ArrowPythonObjectType())
    pq.read_table(table)["path"].to_pylist()
    forget_types()
    assert marker.exists()


@pytest.mark.parametrize(
    ("table", "column"),
    [("clips", "path"), ("clips", "clip"), ("features/article", "clip"), ("features/article", "rms_mean")],
)
def test_feature_tables(table, column, features, tmp_path, poison, refused):
    theirs = shutil.copytree(features, tmp_path / "F")
    poison(next((theirs / table).glob("*.parquet")), column)
    refused("train", theirs, "--model", "svc", "--out", tmp_path / "RUN")


@pytest.mark.parametrize("command", ["evaluate", "tune"])
def test_every_command_that_fits(command, features, tmp_path, poison, refused):
    theirs = shutil.copytree(features, tmp_path / "F")
    poison(next((theirs / "clips").glob("*.parquet")), "path")
    how = ["--protocol", "loso"] if command == "evaluate" else ["--samples", "2"]
    refused(command, theirs, "--model", "svc", *how, "--out", tmp_path / "RUN")


def test_frames_of_mfcc(features, tmp_path, poison, refused):
    theirs = shutil.copytree(features, tmp_path / "F")
    poison(next((theirs / "features" / "article-frames").glob("*.parquet")), "values")
    refused("train", theirs, "--model", "audio-conv1d", "--out", tmp_path / "RUN")


def test_the_clips_that_a_bundle_knows(bundle, newcomer, tmp_path, poison, refused):
    theirs = shutil.copytree(bundle, tmp_path / "BUNDLE")
    poison(theirs / "model" / "training.parquet", "path")
    refused("evaluate", newcomer, "--model", theirs, "--protocol", "as-is", "--out", tmp_path / "RUN")


@pytest.mark.parametrize(("table", "column"), [("labels", "path"), (".timings", "path"), ("labels", "predicted")])
def test_labels(table, column, bundle, newcomer, tmp_path, poison, refused, job):
    archive = shutil.copytree(newcomer, tmp_path / "archive")
    out = tmp_path / "L"
    assert job("label", archive, "--model", bundle, "--out", out).code == 0
    poison(next((out / table).glob("*.parquet")), column)
    next(archive.rglob("*.wav")).rename(archive / "another name.wav")  # so that rows are read and moved
    refused("label", archive, "--model", bundle, "--out", out)


def test_a_manifest(newcomer, bundle, tmp_path, poison, refused):
    manifest = tmp_path / "manifest.parquet"
    pq.write_table(pa.table({"path": [str(next(newcomer.rglob("*.wav")))], "emotion": ["happy"]}), manifest)
    poison(manifest, "emotion")
    refused("train", manifest, "--model", "svc", "--out", tmp_path / "RUN")
    refused("label", manifest, "--model", bundle, "--out", tmp_path / "L")
