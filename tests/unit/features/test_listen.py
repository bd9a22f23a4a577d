"""A sound that is heard chunk by chunk: its windows, their features and states do not depend on the chunks."""

from dataclasses import replace

import numpy as np
import pytest
from whole_media import spoken

from emocore.errors import UserError
from emocore.features.article import ARTICLE, ARTICLE_FRAMES, N_SAMPLES, article_features, article_features_of_windows
from emocore.features.family import check_window
from emocore.features.listen import Ear, cutter_of
from emocore.media.audio import Resampler
from emocore.timeline import WHOLE_CLIP, HowCut, how_cut

RATE = 16_000
TILED = HowCut("tiled", hop_seconds=1.0, vad=True)


def listen(signal, how, size=7_000, families=(ARTICLE,), begins=0.0):
    """Return the ear, and what it gave: {family: (windows, states, speech, values)}."""
    given = {}
    ear = Ear(families, how, lambda family, windows: given.setdefault(family.name, []).append(windows), RATE, begins)
    for at in range(0, len(signal), size):
        ear.feed(signal[at : at + size].astype(np.float32))
    ear.finish()
    return ear, {
        name: (
            [window for one in parts for window in one.windows],
            [state for one in parts for state in one.states],
            np.concatenate([one.speech_seconds for one in parts]),
            np.concatenate([one.values for one in parts]),
        )
        for name, parts in given.items()
    }


def silence(seconds):
    return np.zeros(round(seconds * RATE), np.float32)


def interview():
    """Half a minute: sentences, pauses, a tone."""
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(4 * RATE) / RATE)
    long = np.concatenate([spoken(RATE)] * 7)
    return np.concatenate([silence(3), 0.5 * spoken(RATE), silence(2), 0.3 * long, silence(1), tone, silence(4)])


@pytest.mark.parametrize("how", [how_cut(), TILED], ids=["speech", "tiled"])
def test_chunks_of_any_size_give_the_same(how):
    signal = interview()
    _, one = listen(signal, how, 333, (ARTICLE, ARTICLE_FRAMES))
    _, other = listen(signal, how, len(signal), (ARTICLE, ARTICLE_FRAMES))
    for name in ("article", "article-frames"):
        for column in range(3):
            np.testing.assert_array_equal(one[name][column], other[name][column])
        np.testing.assert_allclose(one[name][3], other[name][3], atol=2e-3, rtol=1e-4)


@pytest.mark.parametrize("how", [how_cut(), TILED], ids=["speech", "tiled"])
def test_features_are_those_of_each_windows_samples_alone(how):
    signal = interview()
    _, given = listen(signal, how)
    windows, states, _, values = given["article"]
    resampler = Resampler(RATE, 22_050)
    whole = np.concatenate([resampler.feed(signal.astype(np.float32)), resampler.finish()])
    assert "ok" in states and len(windows) > 3
    for window, value in zip(windows, values, strict=True):
        samples = whole[round(window.start_seconds * 22_050) : round(window.end_seconds * 22_050)]
        np.testing.assert_allclose(value, article_features(samples, 22_050)[0], atol=3e-3, rtol=1e-4)


def test_spectra_that_windows_share_are_those_of_each_alone():
    rng = np.random.default_rng(0)
    stretch = (rng.normal(0, 0.1, 8 * 22_050) * np.abs(np.sin(np.arange(8 * 22_050) / 9_000))).astype(np.float32)
    firsts = [512 * n for n in (0, 3, 40, 150)]
    columns, frames = article_features_of_windows(stretch, firsts, 22_050)
    for place, first in enumerate(firsts):
        alone = article_features(stretch[first : first + N_SAMPLES], 22_050)
        np.testing.assert_allclose(columns[place], alone[0], atol=1e-3, rtol=1e-4)
        np.testing.assert_allclose(frames[place], alone[1], atol=1e-3, rtol=1e-4)


def test_what_is_no_speech_is_a_state():
    tone = (0.3 * np.sin(2 * np.pi * 440 * np.arange(6 * RATE) / RATE)).astype(np.float32)
    for signal, state in ((tone, "no_speech"), (silence(6), "silent"), (tone[:1_000], "too_short")):
        ear, given = listen(signal, how_cut())
        assert (ear.listened.state, given, ear.listened.speech_seconds) == (state, {}, 0.0)
        ear, given = listen(signal, TILED)
        assert ear.listened.state == state and set(given["article"][1]) == {state}
    ear, given = listen(tone, how_cut(vad=False))
    assert ear.listened.state == "ok" and ear.listened.speech_seconds is None and np.isnan(given["article"][2]).all()


def test_ten_silent_seconds_and_then_a_sentence_are_answered_for():
    ear, given = listen(np.concatenate([silence(10), 0.5 * spoken(RATE)]), how_cut())
    ((window,), states, (speech,), _) = given["article"]
    assert (ear.listened.state, states) == ("ok", ["ok"])
    assert window.end_seconds == pytest.approx(11.0, abs=0.1) and window.start_seconds > 7
    assert speech == pytest.approx(ear.listened.speech_seconds, abs=0.05) and speech == pytest.approx(0.95, abs=0.15)


def test_windows_of_a_sound_that_begins_late_have_the_clips_times():
    signal = np.concatenate([silence(5), 0.5 * spoken(RATE), silence(5)])
    for how in (how_cut(), TILED):
        _, early = listen(signal, how)
        _, late = listen(signal[2 * RATE :], how, begins=2.0)
        same = [
            (one.start_seconds, one.end_seconds)
            for one, state in zip(late["article"][0], late["article"][1], strict=True)
            if state == "ok" and one.start_seconds >= 2.0
        ]
        assert same == [
            (one.start_seconds, one.end_seconds)
            for one, state in zip(early["article"][0], early["article"][1], strict=True)
            if state == "ok" and one.start_seconds >= 2.0
        ]
    ((window,), _, _, _) = listen(signal, HowCut(), begins=2.0)[1]["article"]
    assert window.start_seconds == pytest.approx(2.0, abs=1e-4)


def test_the_level_of_a_window_is_its_own():
    loud, soft = 0.5 * spoken(RATE), 0.01 * spoken(RATE)
    family = ARTICLE.with_input(level="peak")
    _, given = listen(np.concatenate([silence(3), loud, silence(4), soft, silence(3)]), how_cut(), families=[family])
    first, second = given["article"][3]
    assert np.abs(first - second).max() < 10 and np.abs(first - second).mean() < 0.5


def test_nothing_is_held_of_what_has_passed():
    """Three minutes of speech, noise and silence: what is held of them is what the next windows need."""
    rng = np.random.default_rng(0)
    minute = np.concatenate([interview(), 0.05 * rng.standard_normal(15 * RATE), silence(15)])
    held = []
    for how in (how_cut(), TILED):
        ear = Ear((ARTICLE,), how, lambda *_: None, RATE, 0.0)
        for _ in range(3):
            for at in range(0, len(minute), 8_000):
                ear.feed(minute[at : at + 8_000].astype(np.float32))
                (one,) = ear._inputs
                held.append((one._samples - one._first) / one.rate)
                assert len(ear.speech.stretches) < 12
    assert max(held) < 110


def test_a_hop_is_a_whole_number_of_the_features_steps():
    cutter = cutter_of(HowCut("tiled", hop_seconds=1.0), ARTICLE)
    assert round(cutter.grid.at(7).start_seconds * 22_050) == 7 * 43 * 512
    other = cutter_of(HowCut("tiled", hop_seconds=0.1), replace(ARTICLE, hop_samples=None))
    assert round(other.grid.at(7).start_seconds * 22_050) == 7 * 2_205


def test_the_samples_of_every_window_are_there_when_it_is_computed():
    """Of minutes of speech in long stretches, where windows are computed while the next ones are heard."""
    rng = np.random.default_rng(5)
    parts = []
    for _ in range(60):
        parts += [0.4 * np.concatenate([spoken(RATE)] * rng.integers(1, 9)), silence(rng.uniform(0.3, 1.5))]
    signal = np.concatenate(parts)
    resampler = Resampler(RATE, 22_050)
    whole = np.concatenate([resampler.feed(signal.astype(np.float32)), resampler.finish()])
    _, given = listen(signal, how_cut(), 3_000)
    windows, _, _, values = given["article"]
    assert len(windows) > 100
    for window, value in list(zip(windows, values, strict=True))[:: len(windows) // 60]:
        samples = whole[round(window.start_seconds * 22_050) : round(window.end_seconds * 22_050)]
        np.testing.assert_allclose(value, article_features(samples, 22_050)[0], atol=3e-3, rtol=1e-4)


def test_windows_that_are_longer_than_the_features_are_refused():
    check_window([ARTICLE], 3.6)
    check_window([replace(ARTICLE, grid=WHOLE_CLIP)], 30.0)
    with pytest.raises(UserError, match=r"--window-seconds 30 is longer than what article is made for: give 3\.62"):
        check_window([ARTICLE], 30.0)
