"""Which file of a take a model reads."""

import numpy as np
import pytest

from emocore.datasets.selection import select
from emocore.errors import UserError
from emocore.schema import CLIPS, LISTING, rows_to_table

ZEROS = np.zeros(8, np.float32)


def table(*rows, schema=LISTING):
    names = ("clip", "take", "path", "modality", "channel")
    return rows_to_table([{**dict(zip(names, row, strict=True)), "soft_label": ZEROS} for row in rows], schema)


RAVDESS = table(
    ("03-a", "a", "/2", "audio-only", "speech"),
    ("01-a", "a", "/1", "audio-video", "speech"),
    ("02-a", "a", "/0", "video-only", "speech"),
    ("03-a@copy", "a", "/11", "audio-only", "speech"),
    ("02-b", "b", "/3", "video-only", "speech"),
    ("01-c", "c", "/4", "audio-video", "speech"),
    ("03-d", "d", "/5", "audio-only", "song"),
)


@pytest.mark.parametrize(
    ("options", "chosen"),
    [
        ({"media": "audio"}, ["03-a@copy", "01-c"]),
        ({"media": "frames"}, ["01-a", "02-b", "01-c"]),
        ({"media": "audio", "channel": "song"}, ["03-d"]),
        ({"media": "audio", "channel": "all"}, ["03-a@copy", "01-c", "03-d"]),
    ],
)
def test_one_file_of_every_take(options, chosen):
    assert select(RAVDESS, **options)["clip"].to_pylist() == chosen


def test_the_order_of_rows_does_not_decide():
    backwards = RAVDESS.take(list(range(RAVDESS.num_rows))[::-1])
    assert select(backwards, media="audio")["clip"].to_pylist() == ["01-c", "03-a@copy"]


def test_corpora_of_ones_own_are_kept_by_clip():
    own = table(
        ("a", "a", "/1", None, None),
        ("happy/1.wav", "t", "/2", None, None),
        ("happy/2.wav", "t", "/3", None, None),
        ("x", "a", "/4", "audio-only", None),
        schema=CLIPS,
    )
    for media in ("audio", "frames"):
        kept = select(own, media=media)["clip"].to_pylist()
        assert kept == ["a", "happy/1.wav", "happy/2.wav", *(["x"] if media == "audio" else [])]


def test_nothing_left_is_one_sentence():
    with pytest.raises(UserError) as error:
        select(RAVDESS, channel="song", media="frames")
    assert str(error.value) == (
        "None of the 7 clips has channel 'song' and one of the modalities audio-video, video-only: "
        "choose another --channel, or give other files."
    )
