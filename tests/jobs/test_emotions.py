"""A corpus with a set of emotions of its own, from its folders to a labelled archive."""

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from emocore.api import load_model
from emocore.labels import EMOTIONS
from emocore.schema import PROBABILITIES
from emocore.storage.files import read_json

OWN = ["angry", "happy", "boredom"]
COLUMNS = [f"p_{name}" for name in OWN]
FOLDERS = {"05": "Wut", "03": "Freude", "02": "Langeweile"}
SAID = ["--map", "Langeweile=boredom", "--emotions", "angry,happy,boredom"]


def in_folders(corpus, folder):
    """Copy the clips of three emotions into folders with German names; Langeweile is what the corpus calls calm."""
    for path in sorted(Path(corpus).rglob("*.wav")):
        _, _, emotion, _, _, _, actor = path.stem.split("-")
        if emotion in FOLDERS:
            target = folder / FOLDERS[emotion] / f"actor{actor}"
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target / f"{path.stem[9:]}.wav")
    return folder


@pytest.fixture(scope="module")
def own(corpus, tmp_path_factory):
    """24 clips of actors 1 to 4."""
    return in_folders(corpus, tmp_path_factory.mktemp("own"))


def p_columns(path):
    return [field for field in pq.read_schema(path) if field.name.startswith("p_")]


def test_from_folders_to_an_archive_with_three_p_columns(own, job, tmp_path):
    features, run, scored, labels = (tmp_path / name for name in ("F", "RUN", "E", "L"))
    actors = ["--actor-from", r"/actor(\d+)/"]

    refused = job("featurize", own, "--map", "Langeweile=boredom", "--out", features)
    assert refused.code == 2 and refused.err.count("\n") == 1
    assert "'boredom'" in refused.err and "--emotions" in refused.err

    assert job("featurize", own, *SAID, *actors, "--out", features).code == 0
    assert read_json(features / "manifest.json")["emotions"] == OWN
    clips = pq.read_table(features / "clips")
    assert clips.schema.field("soft_label").type == pa.fixed_shape_tensor(pa.float32(), [3])
    assert sorted(set(clips["emotion"].to_pylist())) == sorted(OWN)
    other = job("featurize", own, *SAID[:2], "--emotions", "boredom,angry,happy", *actors, "--out", features)
    assert other.code == 2 and "options.emotions" in other.err

    assert job("train", features, "--model", "svc", "--out", run).code == 0
    assert read_json(run / "metrics.json")["classes"] == OWN == read_json(run / "model" / "bundle.json")["emotions"]
    assert p_columns(run / "predictions.parquet") == [pa.field(name, pa.float32()) for name in COLUMNS]
    page = (run / "report.html").read_text()
    assert "boredom" in page and "fearful" not in page and "surprised" not in page

    assert job("evaluate", features, "--model", "svc", "--protocol", "loso", "--out", scored).code == 0
    metrics = read_json(scored / "metrics.json")
    assert list(metrics["recall"]) == OWN and len(metrics["confusion"]) == 3 and metrics["n"] == clips.num_rows

    assert job("label", own, "--model", run, "--out", labels).code == 0
    for table in ("labels", "windows"):
        assert p_columns(labels / table / "000000.parquet") == [pa.field(name, pa.float32()) for name in COLUMNS]
    found = pq.read_table(labels / "labels")
    assert set(found["predicted"].to_pylist()) <= set(OWN) and found.num_rows == clips.num_rows
    page = (labels / "report.html").read_text()
    assert "boredom" in page and "fearful" not in page
    assert set(json.loads((labels / "summary.json").read_text())["predicted"]) <= set(OWN)

    row = found.to_pylist()[0]
    with load_model(run) as model:
        answer = model.label(row["path"])
    assert dict(answer.clip.probabilities) == {name: row[f"p_{name}"] for name in OWN}
    assert [answer.windows[0].predicted, tuple(answer.emotions)] == [row["predicted"], tuple(OWN)]


def test_a_finished_model_of_eight_is_asked_about_the_emotions_that_it_knows(newcomer, job, bundle, tmp_path):
    own, out = in_folders(newcomer, tmp_path / "own"), tmp_path / "E"
    done = job("evaluate", own, *SAID, "--model", bundle, "--protocol", "as-is", "--out", out)
    assert done.code == 0, done.err
    metrics = read_json(out / "metrics.json")
    assert metrics["classes"] == list(EMOTIONS) and (metrics["n"], metrics["n_unlabelled"]) == (4, 2)
    assert [field.name for field in p_columns(out / "predictions.parquet")] == list(PROBABILITIES)


def test_ravdess_with_other_emotions(corpus, job, tmp_path):
    done = job("featurize", corpus, "--emotions", "ekman", "--map", "calm=happy", "--out", tmp_path / "F")
    assert done.code == 0, done.err
    assert "8 files of other emotions than the set's, taken as unlabelled: neutral (8)" in done.out + done.err
    clips = pq.read_table(tmp_path / "F" / "clips")
    assert clips["emotion"].to_pylist().count("happy") == 16 and clips["emotion"].null_count == 8
    refused = job("train", tmp_path / "F", corpus, "--emotions", "fer", "--model", "svc", "--out", tmp_path / "R")
    assert refused.code == 2 and "is labelled with happy, sad" in refused.err
    told = job("train", tmp_path / "F", "--emotions", "fer", "--model", "svc", "--out", tmp_path / "R")
    assert told.code == 2 and "--emotions says how a corpus is read" in told.err
