"""The true time of clicks and flashes, in each odd container, and where the tables say that they were.

What a container does not state cannot be known: the rows of UNSTATED, each of which the docstring of Media names.
"""

from pathlib import Path

import numpy as np
import pytest
from stamped_media import avi_sound_begins, with_edits, write
from whole_media import Collected, read_media

from emocore.errors import MediaError
from emocore.features.extract import PLANNED, featurize_batch
from emocore.features.family import FeatureFamily, SoundInput
from emocore.features.pictures import PICTURES
from emocore.media import choice
from emocore.media.limit import TimeLimit
from emocore.media.reading import Reading
from emocore.media.source import open_source
from emocore.schema import rows_to_table
from emocore.timeline import HowCut, WindowGrid

SOUND_SECONDS, FRAME_SECONDS = 0.01, 0.04
AAC_SECONDS = 1_024 / 48_000  # that its encoder puts before the sound
CODES = {
    "mp4": ("libx264", "aac"),
    "mov": ("libx264", "pcm_s16le"),
    "mkv": ("libx264", "flac"),
    "webm": ("libvpx", "libopus"),
    "avi": ("mpeg4", "pcm_s16le"),
    "ts": ("libx264", "ac3"),
    "flv": ("libx264", "aac"),
    "mp3": (None, "libmp3lame"),
    "opus": (None, "libopus"),
    "ogg": (None, "flac"),
    "wav": (None, "pcm_s16le"),
    "m4a": (None, "aac"),
}
STAMPED = ("mp4", "mov", "mkv", "webm", "ts", "flv")  # that say when each picture and sound is
SITUATIONS = {
    "plain": ({}, tuple(CODES)),
    "late sound": ({"sound_begins": 3.0}, STAMPED),
    "late film": ({"film_begins": 1.5}, STAMPED),
    "varying rate": ({"varies": True}, STAMPED),
    "gap in the sound": ({"gap": (4.0, 4.6)}, ("mp4", "mkv", "webm", "ts", "flv", "opus", "m4a")),
    "stamps from 0.5 s on": ({"shift": 0.5}, ("mov", "mkv", "webm", "ts", "opus")),
    "stamps from 700 s on": ({"shift": 700.0}, ("mkv", "webm", "ts", "opus")),
    "negative stamps": ({"shift": -0.5}, ("mkv", "webm", "ts", "opus")),
}
# Where a codec's delay, or a track's begin, is not stated: by so much the sound is late.
UNSTATED = {
    "AAC in MPEG-TS": (("a.ts", "libx264", "aac"), {}, AAC_SECONDS),
    "MP3 in FLV": (("a.flv", "libx264", "libmp3lame"), {}, 0.0229),
    "AAC alone": (("a.aac", None, "aac"), {}, AAC_SECONDS),
    "MP4 whose edits show the delay": (("a.mp4", "libx264", "aac"), {"shift": 0.5}, AAC_SECONDS),
    "MP3 in AVI": (("a.avi", "mpeg4", "libmp3lame"), {}, 0.0229),
    "late sound in AVI": (("b.avi", "mpeg4", "pcm_s16le"), {"sound_begins": 3.0}, -3.0),
}


class _Peak:
    def __call__(self, windows):
        levels = [np.abs(window.samples) for window in windows]
        places = [level.argmax() / window.sample_rate_hz for level, window in zip(levels, windows, strict=True)]
        return np.array([*zip(places, (level.max() for level in levels), strict=True)], np.float32)


PEAK = FeatureFamily("peak", 1, SoundInput(), (2,), lambda _: _Peak(), grid=WindowGrid(0.5, tail="keep"))


def told(made):
    """Return when the tables say that the clicks and the flashes are."""
    sink = Collected()
    families = [PEAK] * bool(made.clicks) + [PICTURES.with_input(every=1, pixels=16)] * bool(made.flashes)
    planned = rows_to_table([{"clip": "a", "path": made.path, "soft_label": np.zeros(8, "f4")}], PLANNED)
    (row,) = featurize_batch(planned, families, sink=sink, how=HowCut("tiled", 0.5, 0.5)).to_pylist()
    assert (row["reason"], row["state"]) == (None, "ok"), row["detail"]
    heard = [
        window.start_seconds + float(at)
        for one in sink.heard.get(("a", "peak"), [])
        for window, (at, level) in zip(one.windows, one.values, strict=True)
        if level > 0.3
    ]
    heard = [time for i, time in enumerate(heard) if not i or time - heard[i - 1] > 0.02]  # in two windows
    lit = [(picture.time_seconds, picture.image.mean() > 128) for picture in sink.seen.get("a", [])]
    seen = [time for (_, before), (time, now) in zip([(0, False), *lit], lit, strict=False) if now and not before]
    return heard, seen


def assert_told(made, sound_off=0.0, sound=SOUND_SECONDS, frames=1):
    heard, seen = told(made)
    assert heard == pytest.approx([time + sound_off for time in made.clicks], abs=sound)
    assert seen == pytest.approx(made.flashes, abs=frames * FRAME_SECONDS + 1e-6)


@pytest.mark.parametrize(
    ("situation", "name"), [(situation, name) for situation, (_, names) in SITUATIONS.items() for name in names]
)
def test_what_is_seen_and_heard_is_where_it_was(tmp_path, situation, name):
    given = SITUATIONS[situation][0]
    is_first = name == "flv" and not given.get("sound_begins")  # then AAC's delay is, too
    assert_told(write(tmp_path / f"a.{name}", *CODES[name], **given), sound_off=AAC_SECONDS * is_first)


@pytest.mark.parametrize("what", UNSTATED)
def test_what_a_container_does_not_state(tmp_path, what):
    (name, *codes), situation, off = UNSTATED[what]
    made = write(tmp_path / name, *codes, **situation)
    assert_told(made, sound_off=off, sound=0.003)


def test_the_begin_that_an_avi_states_is_believed(tmp_path):
    made = write(tmp_path / "a.avi", *CODES["avi"], sound_begins=3.0)
    avi_sound_begins(made.path, 3.0)
    assert_told(made)


# Edit lists; what they cut out of the midst FFmpeg cuts at a packet, and then shows what is reordered too late.
EDITS = {
    "negative stamps": ({}, lambda time: time - 0.5, None),
    "begin cut": ({"vide": [(3.1, 2.5)], "soun": [(3.1, 2.5)]}, lambda time: time - 2.5, None),
    "sound begins late": (
        {"vide": [(5.6, 0)], "soun": [(1, None), (5.6, 0)]},
        lambda time: time + 1,
        lambda time: time,
    ),
    "film begins late": ({"soun": [(5.6, 0)], "vide": [(1, None), (5.6, 0)]}, lambda time: time, lambda time: time + 1),
    "midst cut": (
        {"vide": [(4, 0), (1, 4.6)], "soun": [(4, 0), (1, 4.6)]},
        lambda time: time if time < 4 else time - 0.6,
        None,
    ),
    "sound stops for a second": (
        {"vide": [(5.6, 0)], "soun": [(4, 0), (1, None), (1.6, 4)]},
        lambda time: time if time < 4 else time + 1,
        lambda time: time,
    ),
}


@pytest.mark.parametrize("what", EDITS)
@pytest.mark.parametrize(("name", "codes"), [("a.mp4", ("libx264", "aac")), ("a.mov", ("libx264", "pcm_s16le"))])
def test_edit_lists(tmp_path, what, name, codes):
    edits, clicks, flashes = EDITS[what]
    made = write(tmp_path / name, *codes, shift=0.0 if edits else -0.5)
    with_edits(made.path, **edits)
    assert_told(made.moved(clicks, flashes), frames=3 if what == "midst cut" else 1)


# FFmpeg looks at 5 MB, or 7 s of MPEG-TS, before it says what the tracks are.
@pytest.mark.parametrize(
    ("name", "film", "sound"),
    [
        *(("a.ts", "libx264", "aac"), ("a.ts", "mpeg2video", "mp2"), ("a.ts", "libx264", "ac3")),
        *(("a.mpg", "mpeg2video", "mp2"), ("a.mpg", "mpeg2video", "ac3")),
    ],
)
def test_sound_that_begins_behind_what_is_probed(tmp_path, name, film, sound):
    assert_told(write(tmp_path / name, film, sound, sound_begins=20.0, events=(21.0,), end=22.0))


def test_tracks_that_never_begin_are_passed_over(tmp_path, monkeypatch):
    monkeypatch.setattr(choice, "HEAD_SECONDS", 4.0)
    made = write(tmp_path / "a.ts", "libx264", "ac3", silent_tracks=2)
    assert_told(made)
    with open_source(made.path) as stream:
        assert choice.preferred(stream, [1, 0, 2], TimeLimit(600), None) == 3


@pytest.mark.parametrize("code", ["aac", "libmp3lame"])
def test_a_rate_that_flv_has_no_word_for(tmp_path, code):
    made = write(tmp_path / "a.flv", "libx264", code, sound_begins=3.0, noise=True)
    assert_told(made)


def test_a_track_that_is_not_announced_is_one_sentence(tmp_path):
    made = write(tmp_path / "a.flv", "libx264", "libmp3lame", sound_begins=3.0, noise=True)
    content = bytearray(Path(made.path).read_bytes())
    content[4] &= ~4  # FLV's header: there is sound
    Path(made.path).write_bytes(content)
    with open_source(made.path) as stream, pytest.raises(MediaError, match="a track begins too far behind the others"):
        read_media(stream, Reading(50, pixels=16))
