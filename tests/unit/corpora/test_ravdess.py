"""RAVDESS names: what they say, and what no name can say."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emocore.corpora.ravdess import PARTS, RavdessName, format_name, is_ravdess_name, parse_name
from emocore.errors import UserError

CODES = st.tuples(*(st.sampled_from(list(values)) for values in PARTS.values()))


def recorded(codes):
    _, channel, emotion, intensity, _, _, actor = codes
    strong_neutral = emotion == "01" and intensity == "02"
    return not strong_neutral and not (channel == "02" and (emotion in ("07", "08") or actor == "18"))


def test_the_seven_parts():
    assert parse_name("03-01-05-01-02-01-12.wav") == RavdessName(
        "audio-only", "speech", "angry", "normal", "dogs", 1, "12"
    )
    assert parse_name("02-02-06-02-01-02-01") == RavdessName("video-only", "song", "fearful", "strong", "kids", 2, "01")


def test_the_take_is_shared_by_modalities_and_odd_actors_are_male():
    names = [parse_name(f"0{modality}-01-05-01-02-01-12") for modality in (1, 2, 3)]
    assert {name.take for name in names} == {"01-05-01-02-01-12"}
    assert names[0].gender == "female"
    assert parse_name("03-01-05-01-02-01-11").gender == "male"


@given(CODES.filter(recorded))
def test_names_round_trip(codes):
    name = "-".join(codes)
    assert format_name(parse_name(name)) == name
    assert parse_name(f"{name}.mp4") == parse_name(name)


@given(CODES.filter(lambda codes: not recorded(codes)))
def test_what_was_never_recorded_has_no_name(codes):
    with pytest.raises(UserError):
        parse_name("-".join(codes))


def test_the_corpus_has_as_many_names_as_its_authors_published():
    # Livingstone and Russo (2018): speech 60 trials by 24 actors, song 44 trials by 23 actors.
    def count(channel, codes=()):
        if len(codes) == 7:
            return int(recorded(codes))
        fixed = {0: ["03"], 1: [channel]}.get(len(codes))
        options = fixed or list(list(PARTS.values())[len(codes)])
        return sum(count(channel, (*codes, option)) for option in options)

    assert (count("01"), count("02")) == (1440, 1012)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("04-01-05-01-02-01-12.wav", "has modality '04', expected one of 01, 02, 03."),
        ("03-01-09-01-02-01-12.wav", "has emotion '09', expected one of 01, 02, 03, 04, 05, 06, 07, 08."),
        ("03-01-01-02-02-01-12", "has intensity '02', expected one of 01 for neutral, which has no strong"),
        ("03-02-08-01-02-01-12", "has emotion '08', expected one of 01, 02, 03, 04, 05, 06 in song."),
        ("03-02-05-01-02-01-18", "has actor '18', expected one of 01, 02"),
        ("03-01-05-01-02-01-25", "has actor '25', expected one of 01, 02"),
        ("03-01-05-01-02-01-1", "has actor '1', expected one of 01, 02"),
        ("03-01-05-01-02-01-12 (1).wav", "has actor '12 (1)', expected one of 01, 02"),
        ("03-01-05-01-02-01-\u0661\u0662", "has actor '\u0661\u0662', expected one of 01, 02"),
        (
            "notes.wav",
            "has 1 parts, expected 7: modality-channel-emotion-intensity-statement-repetition-actor.",
        ),
        ("", "has 1 parts, expected 7"),
    ],
)
def test_a_wrong_part_is_one_sentence(name, sentence):
    with pytest.raises(UserError, match=re.escape(f"{name!r} {sentence}")):
        parse_name(name)


def test_fields_that_no_name_can_say():
    with pytest.raises(UserError, match="has repetition '3', expected one of 1, 2"):
        format_name(RavdessName("audio-only", "speech", "angry", "normal", "dogs", 3, "12"))
    with pytest.raises(UserError, match="has intensity '02', expected one of 01 for neutral"):
        format_name(RavdessName("audio-only", "speech", "neutral", "strong", "dogs", 1, "12"))


def test_the_shape_alone():
    assert is_ravdess_name("99-99-99-99-99-99-99")
    assert not is_ravdess_name("03-01-05-01-02-01-12\n")
    assert not is_ravdess_name("03-01-05-01-02-01")
