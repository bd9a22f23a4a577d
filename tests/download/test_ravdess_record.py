"""What RAVDESS's authors published, and who is in it."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emocore.corpora.download.ravdess_record import SUBSETS, files_of_record, parse_actors, ravdess_archives
from emocore.corpora.ravdess import ACTORS
from emocore.errors import UserError


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("1-24", range(1, 25)), ("1,3,5-8", [1, 3, 5, 6, 7, 8]), ("08, 7-7,8", [7, 8]), ("24", [24])],
)
def test_actors(text, numbers):
    assert parse_actors(text) == tuple(f"{number:02d}" for number in numbers)


@given(st.sets(st.sampled_from(ACTORS), min_size=1))
def test_actors_round_trip(actors):
    assert parse_actors(",".join(actors)) == tuple(sorted(actors))


@pytest.mark.parametrize("text", ["", "0", "25", "1-25", "5-3", "1,,2", "a", "1-", "-1", "1-2-3", "١", "001", "1;2"])
def test_a_wrong_actor_is_one_sentence(text):
    with pytest.raises(UserError, match=rf"^--actors {re.escape(repr(text))} has .*: expected numbers from 1 to 24"):
        parse_actors(text)


def test_the_archives_are_the_published_ones():
    everything = ravdess_archives(SUBSETS, ACTORS)
    names = [archive.name for archive in everything]
    assert len(names) == len(set(names)) == 1 + 1 + 24 + 23 + 1
    assert "Video_Song_Actor_18.zip" not in names
    assert sum(archive.size or 0 for archive in ravdess_archives(["video-speech"], ACTORS)) == 13_357_344_723
    assert {archive.record for archive in everything} == {"1188976", "3255102"}
    # Only the videos' checksums have to be learnt.
    assert [archive.name for archive in everything if archive.md5] == [
        "Audio_Speech_Actors_01-24.zip",
        "Audio_Song_Actors_01-24.zip",
        "FacialTracking_Actors_01-24.zip",
    ]


def test_videos_are_one_archive_an_actor_and_sound_is_one_archive():
    assert [archive.name for archive in ravdess_archives(["video-speech", "speech"], ["03", "18"])] == [
        "Audio_Speech_Actors_01-24.zip",
        "Video_Speech_Actor_03.zip",
        "Video_Speech_Actor_18.zip",
    ]


def test_actor_18_has_no_songs():
    assert [archive.name for archive in ravdess_archives(["video-song", "song"], ["17", "18"])] == [
        "Audio_Song_Actors_01-24.zip",
        "Video_Song_Actor_17.zip",
    ]
    for subset in ("song", "video-song"):
        with pytest.raises(UserError, match="Actor 18 has no published songs: choose other --actors"):
            ravdess_archives([subset], ["18"])


def test_subsets_that_nobody_published():
    with pytest.raises(UserError, match="--subset 'video' is unknown: choose one of speech, song, video-speech, video"):
        ravdess_archives(["speech", "video"], ACTORS)
    with pytest.raises(UserError, match="--subset is empty: choose from speech"):
        ravdess_archives([], ACTORS)


def test_the_records_answer_gives_sizes_and_md5_checksums_only():
    files = [
        {"key": "a.zip", "size": 3, "checksum": "md5:" + "0" * 32, "links": {}},
        {"key": "b.zip", "size": 3, "checksum": "sha256:" + "0" * 64},
    ]
    assert files_of_record({"files": files, "id": 1}, "1") == {"a.zip": (3, "0" * 32)}
