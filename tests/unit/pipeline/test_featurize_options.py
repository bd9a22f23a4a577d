"""Which pictures featurize keeps, and what is refused where it keeps none."""

import runpy
from pathlib import Path

import pytest

from emocore.errors import UserError
from emocore.features.family import FrameInput

JOB = Path(__file__).parents[3] / "jobs" / "featurize.py"


@pytest.fixture(scope="module")
def featurize():
    return runpy.run_path(str(JOB))["Featurize"]


@pytest.mark.parametrize(
    ("options", "shown"), [({"every": 5}, "--every 5"), ({"pixels": 48}, "--pixels 48"), ({"faces": True}, "--faces")]
)
def test_what_says_how_pictures_are_kept_needs_frames(featurize, options, shown):
    with pytest.raises(UserError) as error:
        featurize(corpora=("c",), out="F", **options)
    assert str(error.value) == f"{shown} says how pictures are kept, and none are: add --frames."
    assert featurize(corpora=("c",), out="F", frames=True, **options).families[-1].name == "pictures"


def test_the_family_of_pictures_needs_frames(featurize):
    with pytest.raises(UserError, match=r"^--features pictures is kept where --frames says how: add --frames\.$"):
        featurize(corpora=("c",), out="F", features=("pictures",))
    (pictures,) = featurize(corpora=("c",), out="F", features=("pictures",), frames=True, every=5).families
    assert pictures.reads == FrameInput(every=5)


def test_every_twentieth_picture_unless_given(featurize):
    assert featurize(corpora=("c",), out="F", frames=True).families[-1].reads == FrameInput(20, 256, False)
    with pytest.raises(UserError, match=r"^--every must be above 0: got 0"):
        featurize(corpora=("c",), out="F", frames=True, every=0)
