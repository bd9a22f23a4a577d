"""A model of one's own is looked at before anything is read for it."""

import sys

import pytest

from emocore.errors import UserError
from emocore.models.catalogue import find_model
from emocore.pipeline.inputs import find_data

MODULE = """
from emocore.features.family import FeatureFamily, SoundInput
from emocore.models.base import ModelSpec
from emocore.timeline import WindowGrid

WINDOWS = FeatureFamily("windows", 1, SoundInput(), (2,), None, grid=WindowGrid(2.0, 1.0))
ONE = ModelSpec("one", reads=("article",), load=lambda: None)
TWO = ModelSpec("two", reads=("article", "article-frames"), load=lambda: None)
VECTORS = ModelSpec("vectors", reads=("article", "functionals"), load=lambda: None)
NONE = ModelSpec("none", reads=(), load=lambda: None)
MANY = ModelSpec("many", reads=("models_for_a_test:WINDOWS",), load=lambda: None)
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "models_for_a_test.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))  # taken out again, and with it what load_own sees as there already
    yield "models_for_a_test"
    sys.modules.pop("models_for_a_test", None)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("TWO", "The family 'article-frames' is no vector of sound: a model reads it alone."),
        ("NONE", "--model models_for_a_test:NONE reads no feature family: name one in ModelSpec.reads."),
    ],
)
def test_a_model_reads_one_family_or_several_vectors(own, name, told):
    assert find_model(f"{own}:ONE").reads == ("article",)
    assert find_model(f"{own}:VECTORS").reads == ("article", "functionals")
    with pytest.raises(UserError) as error:
        find_model(f"{own}:{name}")
    assert str(error.value) == told


def test_several_windows_a_clip_are_refused_before_anything_is_read(own):
    with pytest.raises(UserError) as error:
        find_data(("nowhere",), None, find_model(f"{own}:MANY"))
    assert str(error.value) == (
        "The family 'windows' has several windows a clip, and models are trained and evaluated by one: "
        "give a family whose grid has no hop_seconds."
    )
