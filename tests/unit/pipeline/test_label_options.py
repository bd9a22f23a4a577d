"""What label is told of media alone is refused where it answers for feature tables."""

import pytest

from emocore.errors import UserError
from emocore.pipeline.options.label import LabelOptions
from emocore.timeline import how_cut

MADE = "says how media are read and cut, and F holds what was made of them: leave it out."


def told(*media, **options):
    return LabelOptions(media=media or ("F",), model="RUN", out="L", **options)


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ({"sound_track": 2}, "--sound-track 2"),
        ({"grid": "tiled"}, "--grid tiled"),
        ({"window_seconds": 2.0}, "--window-seconds 2.0"),
        ({"hop_seconds": 1.0}, "--hop-seconds 1.0"),
        ({"vad": False}, "--no-vad"),
        ({"channels": "separate"}, "--channels separate"),
        ({"seconds_per_file": 5.0}, "--seconds-per-file 5.0"),
        ({"exclude": ("a*", "b")}, "--exclude a* b"),
        ({"no_follow": True}, "--no-follow"),
        ({"retry_failed": True}, "--retry-failed"),
        ({"drop_gone": True}, "--drop-gone"),
    ],
)
def test_what_is_said_of_media_is_refused_where_tables_are_given(options, shown):
    with pytest.raises(UserError) as error:
        told(**options).check_for_tables("F", sees=False)
    assert str(error.value) == f"{shown} {MADE}"


def test_what_is_said_of_answers_is_read_where_tables_are_given():
    told(max_failures=3, seed=7, dry_run=True, gpus_per_worker=0).check_for_tables("F", sees=False)
    frames = told(window_seconds=2.0, hop_seconds=1.0, every=5, faces=True, combine="vote")
    frames.check_for_tables("F", sees=True)  # windows of films are made of the answers for their frames


def test_tables_are_labelled_alone_and_on_cpus():
    with pytest.raises(UserError, match=r"^F holds feature tables, which are labelled alone: leave out a\.wav\.$"):
        told("a.wav", "F").check_for_tables("F", sees=False)
    with pytest.raises(
        UserError, match=r"^--gpus-per-worker 0\.5 is for media, and feature tables are answered for on"
    ):
        told(gpus_per_worker=0.5).check_for_tables("F", sees=True)


def test_channels_are_mixed_or_heard_apart_by_models_that_hear():
    assert (how_cut().channels, told(channels="separate").how(sees=False).channels) == ("mix", "separate")
    with pytest.raises(UserError, match=r"^--channels must be one of mix, separate: got 'both'\.$"):
        how_cut(channels="both")
    with pytest.raises(
        UserError, match=r"^--channels separate is of sound, and the model reads pictures: leave it out"
    ):
        told(channels="separate").how(sees=True)
