"""Families of one's own: what cannot be computed yet is refused by its name."""

import sys

import pytest

from emocore.errors import UserError
from emocore.features.catalogue import find_family

MODULE = """
from emocore.features.family import FeatureFamily, FrameInput, SoundInput

HEARD = FeatureFamily("heard", 1, SoundInput(), (2,), None)
SEEN = FeatureFamily("seen", 1, FrameInput(), (2,), None)
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "families_for_a_test.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "families_for_a_test"
    sys.modules.pop("families_for_a_test", None)


def test_a_family_of_pictures_is_refused(own):
    assert find_family(f"{own}:HEARD").name == "heard"
    with pytest.raises(UserError) as error:
        find_family(f"{own}:SEEN")
    assert str(error.value) == (
        f"--features {own}:SEEN reads pictures, and families of your own read sound: give a SoundInput."
    )
