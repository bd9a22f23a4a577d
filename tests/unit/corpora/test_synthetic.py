import io
import wave
from dataclasses import replace
from pathlib import Path

import av
import librosa
import numpy as np
import pytest
from sklearn.model_selection import LeaveOneGroupOut

from emocore.corpora.ravdess import parse_name
from emocore.corpora.synthetic.corpus import ClipPlan, DemoSettings, perform_clip, plan, write_clip, write_notice
from emocore.errors import UserError
from emocore.features.article import article_features
from emocore.labels import EMOTIONS
from emocore.models.base import class_weights
from emocore.models.classical import SklearnClassifier

pytestmark = pytest.mark.slow

SETTINGS = DemoSettings(actors=2)
SAD = ClipPlan(SETTINGS, actor=1, emotion="sad", intensity="strong", statement="kids", repetition=1)


def signal_of(clip: ClipPlan) -> np.ndarray:
    return librosa.resample(perform_clip(clip)[0].astype(np.float32), orig_sr=48_000, target_sr=22_050)


def clips_of(emotion: str, actor: int, noise: float) -> list[ClipPlan]:
    settings = replace(SETTINGS, habit_noise=noise, clip_noise=noise)
    return [clip for clip in plan(settings) if (clip.actor, clip.emotion) == (actor, emotion)]


def median_f0_hz(emotion: str, actor: int) -> float:
    signal = signal_of(clips_of(emotion, actor, noise=0.0)[-1])
    f0_hz = librosa.yin(signal, fmin=60, fmax=700, sr=22_050)
    loud = librosa.feature.rms(y=signal)[0]
    return float(np.median(f0_hz[loud > np.median(loud)]))


@pytest.fixture(scope="module")
def take(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_clip(SAD, tmp_path_factory.mktemp("demo"))


def test_names_are_those_of_ravdess() -> None:
    clips = plan(SETTINGS)
    names = [parse_name(clip.name("audio-video")) for clip in clips]

    assert len(set(names)) == len(clips) == 2 * (1 + 7 * 2) * 2
    assert {name.intensity for name in names if name.emotion == "neutral"} == {"normal"}
    assert {(name.actor, name.gender) for name in names} == {("01", "male"), ("02", "female")}


def test_two_repetitions_are_two_different_clips() -> None:
    first, second = (perform_clip(replace(SAD, repetition=number))[0] for number in (1, 2))
    assert first.shape != second.shape or not np.array_equal(first, second)


def test_same_seed_gives_the_same_bytes_and_another_seed_others(take: list[Path], tmp_path: Path) -> None:
    again = write_clip(SAD, tmp_path / "again")
    other = write_clip(replace(SAD, settings=replace(SETTINGS, seed=1)), tmp_path / "other")

    assert [path.name for path in again] == [path.name for path in take] == [path.name for path in other]
    for path, same, different in zip(take, again, other, strict=True):
        assert path.read_bytes() == same.read_bytes() != different.read_bytes()


def test_a_clip_does_not_depend_on_how_large_its_corpus_is(take: list[Path], tmp_path: Path) -> None:
    alone = replace(SAD, settings=replace(SETTINGS, actors=1, repetitions=2, video=False))
    (path,) = write_clip(alone, tmp_path)
    assert path.read_bytes() == take[0].read_bytes()


def test_wav_is_48_khz_mono_and_short(take: list[Path]) -> None:
    with wave.open(io.BytesIO(take[0].read_bytes())) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (48_000, 1, 2)
        assert 1.3 < file.getnframes() / 48_000 < 3
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    quiet, loudest = np.abs(samples[:2400]).mean(), np.abs(samples).max()
    assert quiet < 0.05 * loudest
    assert loudest < 32_767


def test_mp4_holds_h264_and_aac_of_equal_length(take: list[Path]) -> None:
    with av.open(take[1]) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        seconds = [float(stream.duration * stream.time_base) for stream in (video, audio)]
        assert (video.codec_context.name, audio.codec_context.name) == ("h264", "aac")
        assert "SYNTHETIC" in container.metadata["title"]
        frames = sum(1 for _ in container.decode(video))
    with wave.open(str(take[0])) as file:
        assert file.getnframes() == frames * 1920
    assert frames > 20
    assert abs(seconds[0] - seconds[1]) < 0.1


@pytest.mark.parametrize("actor", [1, 2])
def test_f0_follows_the_emotion(actor: int) -> None:
    low = max(median_f0_hz(emotion, actor) for emotion in ("neutral", "sad"))
    high = min(median_f0_hz(emotion, actor) for emotion in ("happy", "angry", "fearful"))
    assert high > 1.1 * low


def test_f0_of_women_is_higher() -> None:
    assert median_f0_hz("neutral", actor=2) > 1.3 * median_f0_hz("neutral", actor=1)


@pytest.mark.parametrize("actor", [1, 2])
def test_anger_is_louder_than_sadness(actor: int) -> None:
    quietest = min(np.std(signal_of(clip)) for clip in clips_of("angry", actor, noise=1.0))
    loudest = max(np.std(signal_of(clip)) for clip in clips_of("sad", actor, noise=1.0))
    assert quietest > loudest


def test_the_mouth_moves_with_the_voice() -> None:
    clip = clips_of("neutral", 2, noise=0.0)[0]
    speech, pictures = perform_clip(clip)
    dark = [np.mean(picture[96:150, 60:132, 1] < 45) for picture in pictures]
    rms = librosa.feature.rms(y=speech, frame_length=1920, hop_length=1920, center=False)[0]
    assert np.corrcoef(dark, rms)[0, 1] > 0.6


@pytest.mark.slow
def test_unseen_actors_beat_three_times_chance_and_stay_imperfect() -> None:
    clips = [clip for clip in plan(DemoSettings(video=False)) if clip.statement == "kids"]
    columns = np.array([article_features(signal_of(clip), 22_050)[0] for clip in clips])
    soft = np.array([[clip.emotion == emotion for emotion in EMOTIONS] for clip in clips], np.float32)

    predicted = np.empty(len(clips), np.int64)
    for train, test in LeaveOneGroupOut().split(columns, groups=[clip.actor for clip in clips]):
        model = SklearnClassifier("svc")
        model.fit(columns[train], soft[train], class_weights(soft[train], balanced=True))
        predicted[test] = model.logits(columns[test]).argmax(axis=1)

    assert 3 / 8 < np.mean(predicted == soft.argmax(axis=1)) < 0.9


def test_a_corpus_says_that_it_is_synthetic_and_keeps_what_is_there(tmp_path: Path) -> None:
    takes = plan(DemoSettings(actors=1, video=False))
    write_notice(tmp_path)
    paths = [path for take in takes for path in write_clip(take, tmp_path)]
    written = {path: path.stat().st_mtime_ns for path in paths}

    assert [path for take in takes for path in write_clip(take, tmp_path)] == paths
    assert {path: path.stat().st_mtime_ns for path in paths} == written
    assert len(takes) == 30
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted(
        [*paths, tmp_path / "SYNTHETIC.txt"]
    )
    assert "never be used to claim an accuracy" in (tmp_path / "SYNTHETIC.txt").read_text()


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"actors": 25}, "The 'actors' parameter of the demo corpus must be from 1 to 24. Got 25 instead."),
        ({"seed": -1}, "The 'seed' parameter of the demo corpus must be 0 or more. Got -1 instead."),
        (
            {"repetitions": 3},
            "The 'repetitions' parameter of the demo corpus must be 1 or 2, as in RAVDESS. Got 3 instead.",
        ),
    ],
)
def test_a_wrong_setting_is_one_sentence(wrong: dict[str, int], sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        plan(DemoSettings(**wrong))
    assert str(caught.value) == sentence
