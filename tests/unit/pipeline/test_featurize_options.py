"""Which pictures featurize keeps and how it cuts recordings, and what is refused."""

import runpy
from pathlib import Path

import pytest

from emocore.errors import UserError
from emocore.features.family import FrameInput
from emocore.timeline import AS_FAMILIES_SAY, HowCut

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


def test_pictures_by_time(featurize):
    (*_, pictures) = featurize(corpora=("c",), out="F", frames=True, frames_per_second=2.0).families
    assert pictures.reads == FrameInput(None, frames_per_second=2.0)
    for options, sentence in (
        ({"frames_per_second": 2.0}, "--frames-per-second 2.0 says how pictures are kept, and none are: add --frames."),
        (
            {"frames_per_second": 2.0, "every": 5, "frames": True},
            "--every 5 and --frames-per-second 2 both say which pictures are looked at: leave one out.",
        ),
    ):
        with pytest.raises(UserError) as error:
            featurize(corpora=("c",), out="F", **options)
        assert str(error.value) == sentence


def test_every_twentieth_picture_unless_given(featurize):
    assert featurize(corpora=("c",), out="F", frames=True).families[-1].reads == FrameInput(20, 256, False)
    with pytest.raises(UserError, match=r"^--every must be above 0: got 0"):
        featurize(corpora=("c",), out="F", frames=True, every=0)


@pytest.mark.parametrize(
    ("options", "how"),
    [
        ({}, AS_FAMILIES_SAY),
        ({"grid": "speech"}, HowCut("speech", vad=True)),
        ({"hop_seconds": 1.0}, HowCut("speech", None, 1.0, vad=True)),
        ({"grid": "tiled", "window_seconds": 3.0, "hop_seconds": 3.0}, HowCut("tiled", 3.0, 3.0, vad=True)),
        ({"vad": False}, HowCut("tiled")),
        ({"channels": "separate"}, HowCut("speech", vad=True, channels="separate")),
    ],
)
def test_recordings_are_cut_as_the_families_say_unless_told_how_label_does(featurize, options, how):
    told = featurize(corpora=("c",), out="F", **options)
    assert told.how(told.families) == how


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"window_seconds": 5.0},
            "--window-seconds 5 is longer than what article is made for: give 3.62 at most.",
        ),
        ({"hop_seconds": 0.0}, "--hop-seconds must be from 0.1 to 60 seconds: got 0."),
        (
            {"grid": "speech", "vad": False},
            "--grid speech places windows on speech, for which --no-vad does not look: leave one out.",
        ),
        (
            {"features": ("pictures",), "frames": True, "grid": "tiled"},
            "--grid tiled cuts sound, and no features of it are kept: leave it out.",
        ),
        (
            {"features": ("pictures",), "frames": True, "vad": False},
            "--no-vad cuts sound, and no features of it are kept: leave it out.",
        ),
    ],
)
def test_how_recordings_are_not_cut(featurize, options, sentence):
    told = featurize(corpora=("c",), out="F", **options)
    with pytest.raises(UserError) as error:
        told.how(told.families)
    assert str(error.value) == sentence
