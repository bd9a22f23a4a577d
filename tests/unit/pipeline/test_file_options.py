"""The options of reading files: what is refused, in one sentence."""

import pytest

from emocore.errors import UserError
from emocore.pipeline.label import LabelOptions


def options(**more):
    return LabelOptions(media=("a.wav",), model="RUN", out="L", **more)


@pytest.mark.parametrize("number", [0, -1])
def test_sound_tracks_count_from_1(number):
    assert options().sound_track is None and options(sound_track=2).sound_track == 2
    with pytest.raises(UserError, match=f"^--sound-track must be above 0: got {number}\\.$"):
        options(sound_track=number)
