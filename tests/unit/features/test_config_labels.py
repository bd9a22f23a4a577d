"""What names a feature's definition, and what names an emotion."""

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emocore.errors import UserError
from emocore.features.article import ARTICLE, ARTICLE_FRAMES
from emocore.features.catalogue import families_of, find_family, to_json
from emocore.features.family import SoundInput
from emocore.features.pictures import PICTURES
from emocore.features.speech_encoder import SPEECH_ENCODER
from emocore.labels import ALIASES, EMOTIONS, is_emotion, parse_emotion
from emocore.timeline import WHOLE_CLIP

OTHER = {"sample_rate_hz": 16_000, "level": "peak"}


def test_the_hash_follows_every_field_and_nothing_else():
    assert set(OTHER) == {field.name for field in dataclasses.fields(SoundInput)}
    others = [ARTICLE.with_input(**{name: value}) for name, value in OTHER.items()]
    others += [dataclasses.replace(ARTICLE, version=2), dataclasses.replace(ARTICLE, grid=WHOLE_CLIP), ARTICLE_FRAMES]
    hashes = {ARTICLE.hash(), *(other.hash() for other in others)}
    assert len(hashes) == 1 + len(others)
    assert all(len(text) == 16 and int(text, 16) >= 0 for text in hashes)


@pytest.mark.parametrize(
    "family", [ARTICLE, ARTICLE_FRAMES.with_input(**OTHER), PICTURES.with_input(faces=True), SPEECH_ENCODER]
)
def test_a_family_is_what_a_manifest_says_of_it(family):
    told = json.loads(json.dumps(to_json([family])))
    assert families_of(told) == {family.name: family}
    told[family.name]["hash"] = "0" * 16
    with pytest.raises(UserError, match="are not computed any more"):
        families_of(told)


@pytest.mark.parametrize("rate", [0, -1, 3_999, 192_001])
def test_a_rate_out_of_range_is_one_sentence(rate):
    with pytest.raises(UserError) as error:
        SoundInput(rate)
    assert str(error.value) == (
        f"The sample rate must be from 4,000 to 192,000 Hz: got {rate}; 22,050 is the article's."
    )


@pytest.mark.parametrize("rate", [4_000, 192_000])
def test_the_ends_of_the_range_are_in_it(rate):
    assert SoundInput(rate).sample_rate_hz == rate


def test_an_unknown_family_is_one_sentence():
    with pytest.raises(UserError, match=r"^--features 'mel' is unknown: choose of article, article-frames, pictures"):
        find_family("mel")
    with pytest.raises(UserError, match=r"^--features nowhere_at_all:MEL cannot be imported"):
        find_family("nowhere_at_all:MEL")


FER2013 = {
    "Angry": "angry",
    "Disgust": "disgust",
    "Fear": "fearful",
    "Happy": "happy",
    "Sad": "sad",
    "Surprise": "surprised",
    "Neutral": "neutral",
}
CREMA_D = {"ANG": "angry", "DIS": "disgust", "FEA": "fearful", "HAP": "happy", "NEU": "neutral", "SAD": "sad"}
FOLDERS = {"anger": "angry", "happiness": "happy", "sadness": "sad", "pleasant_surprise": "surprised", " calm ": "calm"}


@pytest.mark.parametrize(("label", "emotion"), [*FER2013.items(), *CREMA_D.items(), *FOLDERS.items()])
def test_names_of_other_corpora_in_any_case(label, emotion):
    for written in (label, label.upper(), label.lower(), label.title()):
        assert parse_emotion(written) == emotion
        assert is_emotion(written)


LANGUAGES = {
    "neutral": "neutral neutre neutro neutrale",
    "happy": "Freude joie alegría gioia Happiness",
    "sad": "Trauer tristesse tristeza tristezza",
    "angry": "Wut Ärger Aerger colère enojo rabbia",
    "fearful": "Angst peur miedo paura",
    "disgust": "Ekel dégoût degout asco disgusto",
    "surprised": "Überraschung Ueberraschung U\u0308berraschung sorpresa",
}


@pytest.mark.parametrize(("emotion", "labels"), LANGUAGES.items())
def test_names_in_other_languages_however_accents_are_written(emotion, labels):
    assert {parse_emotion(label) for label in labels.split()} == {emotion}


def test_every_alias_stands_for_one_of_the_eight_in_ravdess_order():
    assert EMOTIONS == ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
    assert set(ALIASES.values()) == set(EMOTIONS)


@given(st.text(max_size=12))
def test_an_unknown_name_is_refused_and_a_known_one_is_an_emotion(name):
    if is_emotion(name):
        assert parse_emotion(name) in EMOTIONS
    else:
        with pytest.raises(UserError):
            parse_emotion(name)


def test_the_sentence_lists_the_known_ones_and_the_remedy():
    with pytest.raises(UserError) as error:
        parse_emotion("bored")
    assert str(error.value) == (
        "Unknown emotion 'bored': expected one of neutral, calm, happy, sad, angry, fearful, disgust, surprised, "
        "a mapping for it (--map bored=EMOTION), or a set of your own (--emotions NAME,NAME,…)."
    )


def test_a_mapping_is_asked_first():
    mapping = {"Bored": "Calm", "happy": "surprise", "odd": "elated"}
    assert parse_emotion("BORED", mapping) == "calm"
    assert parse_emotion("happy", mapping) == "surprised"
    assert parse_emotion("sad", mapping) == "sad"
    with pytest.raises(UserError, match="'odd'"):
        parse_emotion("odd", mapping)
