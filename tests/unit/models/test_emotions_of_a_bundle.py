"""A bundle answers for the emotions that its card names, whoever wrote the card."""

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest

from emocore.errors import UserError
from emocore.features.article import ARTICLE
from emocore.features.catalogue import to_json
from emocore.features.pictures import PICTURES
from emocore.labels import EMOTIONS
from emocore.models.base import class_weights
from emocore.models.bundle import Bundle, load_bundle, read_card, save_bundle
from emocore.models.catalogue import classifier_class, find_model, outputs
from emocore.models.fitting import Recipe
from emocore.models.foreign import read_array
from emocore.models.network_settings import FACE_EMOTIONS, NetworkSettings
from emocore.schema import CLIPS, rows_to_table

OWN = ("angry", "happy", "boredom")
Y = np.repeat([0, 2, 1], 10)
X = (np.random.default_rng(0).standard_normal((30, 160)) + np.eye(160)[Y] * 3).astype("f4")
SOFT = np.eye(3, dtype="f4")[Y]


@pytest.fixture(scope="module", params=["svc", "xgboost", "mlp", "random-forest"])
def fitted(request, tmp_path_factory):
    classifier = classifier_class(request.param)(request.param, settings=None)
    classifier.fit(X, SOFT, np.ones(3, "f4"), None)
    folder = tmp_path_factory.mktemp("fitted")
    classifier.save(folder)
    return request.param, classifier, {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def run(fitted, tmp_path, make_clip):
    name, _, files = fitted
    training = rows_to_table([make_clip("c.wav", actor="01", content_id="ab")], CLIPS)
    facts = {"temperature": 1.0, "families": to_json([ARTICLE]), "settings": {}, "emotions": list(OWN)}
    save_bundle(tmp_path / "model", files, Recipe(name), training, facts)
    return tmp_path


def change(run, **values):
    card = run / "model" / "bundle.json"
    card.write_text(json.dumps({**json.loads(card.read_text()), **values}))


def refusal(run):
    with pytest.raises(UserError) as error:
        load_bundle(str(run))
    assert "\n" not in str(error.value) and str(error.value).endswith("again.")
    return str(error.value)


def test_three_emotions_are_three_columns(run, fitted):
    _, classifier, _ = fitted
    bundle = load_bundle(str(run))
    assert bundle.emotions == OWN
    shares = bundle.probabilities(X)
    assert shares.shape == (30, 3) and (shares.argmax(axis=1) == Y).mean() > 0.9
    np.testing.assert_array_equal(bundle.classifier.logits(X), classifier.logits(X))


@pytest.mark.parametrize(
    "emotions",
    [
        ["happy"],
        ["happy", "happy", "sad"],
        ["happy", "a\nb", "sad"],
        [f"e{i}" for i in range(65)],
        "happy",
        [1, 2, 3],
        None,
    ],
)
def test_a_strangers_emotions_are_looked_at(run, emotions):
    change(run, emotions=emotions)
    assert "is not the card of a bundle" in refusal(run)


def test_a_model_that_knows_more_than_its_card_names_is_refused(run):
    change(run, emotions=["angry", "happy"])
    assert "it knows an emotion of number 2, and its bundle names 2" in refusal(run)


def test_a_model_that_answers_for_others_is_refused(tmp_path):
    model = SimpleNamespace(logits=lambda x: np.zeros((len(x), 8)))
    bundle = Bundle(find_model("svc"), (ARTICLE,), 1.0, {"emotions": list(OWN)}, tmp_path, "", model)
    with pytest.raises(UserError, match=r"svc answers \(30, 8\), and its bundle names 3 emotions"):
        bundle.probabilities(X)


def test_a_network_of_other_emotions_than_its_bundles(run):
    settings = dataclasses.asdict(NetworkSettings(pixels=48))
    seen = {"model": "cnn", "families": to_json([PICTURES]), "combine": "vote"}
    change(run, **seen, settings=settings)
    with pytest.raises(UserError, match="two sets of emotions"):
        read_card(str(run))
    change(run, **seen, settings={**settings, "emotions": list(OWN)})
    assert read_card(str(run))["emotions"] == list(OWN)


def test_what_a_networks_outputs_stand_for():
    own = NetworkSettings(emotions=OWN)
    assert outputs("cnn", own) == outputs("face-cnn", own) == OWN
    assert outputs("cnn", NetworkSettings()) == EMOTIONS and outputs("face-cnn", NetworkSettings()) == FACE_EMOTIONS


def test_the_class_that_is_alone_has_its_name():
    with pytest.raises(UserError, match="show only boredom"):
        class_weights(np.eye(3, dtype="f4")[[2, 2]], balanced=True, emotions=OWN)
    assert class_weights(SOFT, balanced=True).tolist() == [1.0, 1.0, 1.0]


def test_an_array_of_as_many_rows_as_a_set_may_have(tmp_path):
    for n, fits in ((1, True), (64, True), (65, False), (0, False)):
        np.save(tmp_path / "a.npy", np.zeros((n, 2)))
        if fits:
            assert read_array(tmp_path / "a.npy", (None, 2), np.float64).shape == (n, 2)
        else:
            with pytest.raises(UserError, match="holds no float64"):
                read_array(tmp_path / "a.npy", (None, 2), np.float64)
