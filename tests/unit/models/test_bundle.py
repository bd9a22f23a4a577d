"""Bundles: what is saved comes back, and what is not ours is refused in one sentence."""

import dataclasses
import json
import math
import pickletools
import zipfile

import numpy as np
import pytest

from emocore.errors import UserError
from emocore.features.article import ARTICLE
from emocore.features.catalogue import to_json
from emocore.features.pictures import PICTURES
from emocore.models import bundle as bundles
from emocore.models.bundle import bundle_folder, bundle_hash, load_bundle, read_card, save_bundle, training_clips
from emocore.models.catalogue import classifier_class
from emocore.models.fitting import Recipe
from emocore.models.network_settings import NetworkSettings
from emocore.probabilities import softmax
from emocore.schema import CLIPS, rows_to_table
from emocore.storage.tables import read_tables

FAMILY = ARTICLE.with_input(sample_rate_hz=16_000, level="peak")
SEEN = PICTURES.with_input(every=10, pixels=48, faces=True)
RNG = np.random.default_rng(0)
Y = np.repeat([1, 4, 6], 10)
X = (RNG.standard_normal((30, 160)) + np.eye(160)[Y] * 3).astype("f4")
SOFT = np.eye(8, dtype="f4")[Y]


@pytest.fixture(scope="module", params=["svc", "xgboost"])
def fitted(request, tmp_path_factory):
    classifier = classifier_class(request.param)(request.param, settings=None)
    classifier.fit(X, SOFT, (SOFT.sum(axis=0) > 0).astype("f4"), None)
    folder = tmp_path_factory.mktemp("fitted")
    classifier.save(folder)
    return request.param, classifier, {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def run(fitted, tmp_path, make_clip):
    name, _, files = fitted
    training = rows_to_table([make_clip(f"c{i}.wav", actor="01", content_id="ab") for i in range(30)], CLIPS)
    facts = {"temperature": 2.5, "families": to_json([FAMILY]), "settings": {}}
    save_bundle(tmp_path / "model", files, Recipe(name, seed=4), training, facts)
    return tmp_path


def change(run, **values):
    card = run / "model" / "bundle.json"
    card.write_text(json.dumps({**json.loads(card.read_text()), **values}))


def refused(run):
    with pytest.raises(UserError) as error:
        load_bundle(str(run))
    assert "\n" not in str(error.value)
    return str(error.value)


def test_round_trip(run, fitted):
    name, classifier, _ = fitted
    for path in (run, run / "model"):
        bundle = load_bundle(str(path))
        assert (bundle.model, bundle.family, bundle.temperature) == (name, FAMILY, 2.5)
        assert (bundle.card["seed"], bundle.card["balanced"], bundle.card["emotions"][0]) == (4, True, "neutral")
        shares = bundle.probabilities(X)
        np.testing.assert_array_equal(shares, softmax(classifier.logits(X), 2.5))
        np.testing.assert_allclose(shares.sum(axis=1), 1)
        assert not shares[:, [0, 2, 3, 5, 7]].any()


def test_the_clips_it_was_trained_on_come_along(run):
    assert training_clips(run / "model").is_file()
    table = read_tables(run / "model")
    assert table.column_names == ["clip", "take", "path", "actor", "content_id"]
    assert table["clip"].to_pylist() == [f"c{i}.wav" for i in range(30)]


def test_features_that_this_release_computes_otherwise(run):
    change(run, families={"article": {**FAMILY.to_json(), "hash": "0123456789abcdef"}})
    assert refused(run) == (
        f"{run / 'model'}: the features 'article' of then are not computed any more: make them again. "
        "Train the model again."
    )


def test_another_schema_version(run):
    change(run, schema_version="0")
    version = f"{run / 'model'} has schema version 0, this release reads 2: make it anew by"
    name = json.loads((run / "model" / "bundle.json").read_text())["model"]
    assert refused(run) == f"{version} python jobs/train.py FEATURES --model {name} --out NEW."
    (run / "config.json").write_text(json.dumps({"command": "tune", "options": {}}))
    assert refused(run) == f"{version} python jobs/tune.py --config {run / 'config.json'} --out NEW."


def test_another_schema_version_is_said_even_where_the_features_are_unknown(run):
    change(run, schema_version="3", features={"sample_rate_hz": 16_000, "level": "peak", "windows": 3})
    assert "schema version 3" in refused(run)


@pytest.mark.parametrize("content", [b"", b"{half", b"[]", b"null", b"{}", b'{"families": 3}', b"\xff\xfe"])
def test_a_card_that_is_none(run, content):
    (run / "model" / "bundle.json").write_bytes(content)
    assert f"{run / 'model' / 'bundle.json'} is not the card of a bundle" in refused(run)


@pytest.mark.parametrize("values", [{"temperature": "warm"}, {"families": {"rate": 1}}, {"temperature": None}])
def test_a_card_with_wrong_values(run, values):
    change(run, **values)
    assert "is not the card of a bundle" in refused(run)


def test_an_unknown_model(run):
    change(run, model="svm")
    assert "'svm' is unknown" in refused(run)


def test_no_bundle(tmp_path):
    (tmp_path / "model").mkdir()
    for path in (tmp_path, tmp_path / "model", tmp_path / "none", tmp_path / "none" / "model"):
        with pytest.raises(UserError) as error:
            bundle_folder(str(path))
        assert str(error.value) == (f"{path} holds no finished model: name the folder that jobs/train.py wrote.")


def test_a_bundle_whose_writing_was_cut_off_is_none(fitted, tmp_path, make_clip, monkeypatch):
    name, _, files = fitted
    monkeypatch.setattr("emocore.models.bundle.write_table", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        save_bundle(tmp_path / "model", files, Recipe(name), rows_to_table([make_clip("a")], CLIPS), {})
    assert "holds no finished model" in refused(tmp_path)


def test_every_byte_and_every_name_counts_in_the_hash(run):
    folder = run / "model"
    before = bundle_hash(folder)
    assert bundle_hash(folder) == before
    for path in sorted(folder.iterdir()):
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        assert bundle_hash(folder) != before
        path.write_bytes(content)
        path.rename(folder / f"{path.name}x")
        assert bundle_hash(folder) != before
        (folder / f"{path.name}x").rename(path)
    assert bundle_hash(folder) == before
    (folder / "more").touch()
    assert bundle_hash(folder) != before


def is_pickle(content):
    try:
        return bool(list(pickletools.genops(content)))
    except Exception:
        return False


def test_no_file_is_a_pickle(run):
    for path in (run / "model").iterdir():
        assert path.suffix in {".skops", ".json", ".parquet"}
        assert not is_pickle(path.read_bytes())
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                assert not any(is_pickle(archive.read(name)) for name in archive.namelist())


@pytest.fixture
def frame_run(tmp_path, make_clip):
    """The bundle of a model of frames, whose network is never read here: that needs TensorFlow."""
    facts = {"temperature": 1.5, "combine": "vote", "families": to_json([SEEN])}
    facts["settings"] = dataclasses.asdict(NetworkSettings())
    save_bundle(tmp_path / "model", {"model.keras": b"-"}, Recipe("cnn"), rows_to_table([make_clip("a")], CLIPS), facts)
    return tmp_path


@pytest.mark.parametrize(
    "values",
    [
        *({"combine": "mean"}, {"combine": None}, {"families": {"each": 3}}, {"families": None}, {"temperature": -1}),
        *(
            {"families": to_json([SEEN.with_input(every=0)])},
            {"families": to_json([SEEN.with_input(every=None, frames_per_second=-2.0)])},
            {"families": to_json([SEEN.with_input(every=None, frames_per_second=math.inf)])},
            {"families": to_json([ARTICLE])},
            {"settings": {}},
            {"settings": {"x": 1}},
        ),
    ],
)
def test_a_card_of_frames_with_wrong_values(frame_run, values):
    change(frame_run, **values)
    assert "is not the card of a bundle" in refused(frame_run)


def test_the_card_is_read_without_the_network(frame_run):
    card = read_card(str(frame_run))
    assert (card["model"], card["combine"]) == ("cnn", "vote")
    assert card["families"]["pictures"]["reads"]["faces"] is True


def test_a_shipped_model_is_found_by_its_name_alone(tmp_path, monkeypatch, frame_run):
    monkeypatch.setattr(bundles, "package_files", lambda _: tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as error:
        bundle_folder("face-cnn")
    assert str(error.value) == (
        "The weights of 'face-cnn' are not in this installation: train them with jobs/train.py FER2013 "
        "--model face-cnn, and name that RUN."
    )
    shipped = tmp_path / "weights" / "face-cnn"
    shipped.parent.mkdir()
    (frame_run / "model").rename(shipped)
    (tmp_path / "face-cnn" / "model").mkdir(parents=True)  # a RUN that bears the name is not what the name means
    (tmp_path / "face-cnn" / "model" / "bundle.json").touch()
    assert bundle_folder("face-cnn") == shipped
    with pytest.raises(UserError, match="cnn holds no finished model"):
        bundle_folder("cnn")
