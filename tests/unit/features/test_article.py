import librosa
import numpy as np
import pytest

from emocore.features import article as mfcc

RATE = 22_050


def speechlike(seconds: float, seed: int = 0, rate: int = RATE) -> np.ndarray:
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * rate)) / rate
    tone = sum(np.sin(2 * np.pi * 140 * k * time + rng.uniform(0, 6)) / k for k in range(1, 20))
    return (0.1 * tone * (1 + np.sin(2 * np.pi * 3 * time)) + 0.01 * rng.standard_normal(len(time))).astype("f4")


@pytest.mark.parametrize("seconds", [0.1, 2.0, 3.62, 5.0])
@pytest.mark.parametrize("rate", [16_000, 22_050])
def test_equal_to_librosa(seconds: float, rate: int) -> None:
    signal = speechlike(seconds, rate=rate)
    fixed = librosa.util.fix_length(signal, size=156 * 512)
    m = librosa.feature.mfcc(y=fixed, sr=rate, n_mfcc=13)
    rows = np.vstack([m, librosa.feature.delta(m), librosa.feature.delta(m, order=2), librosa.feature.rms(y=fixed)])
    expected = np.concatenate([rows.mean(1), rows.max(1), rows.min(1), rows.std(1)])

    columns, frames = mfcc.article_features(signal, rate)

    assert rows.shape == (40, 157)
    np.testing.assert_allclose(frames, rows[:39].T, atol=1e-4, rtol=1e-5)
    np.testing.assert_allclose(columns, expected, atol=1e-4, rtol=1e-5)


def test_names_say_which_row_and_statistic() -> None:
    columns, frames = mfcc.article_features(speechlike(2.0), RATE)
    named = dict(zip(mfcc.COLUMNS, columns, strict=True))
    assert len(named) == 160
    assert named["mfcc_03_mean"] == pytest.approx(frames[:, 2].mean(), abs=1e-4)
    assert named["mfcc_01_delta_max"] == pytest.approx(frames[:, 13].max(), abs=1e-4)
    assert named["mfcc_13_delta2_std"] == pytest.approx(frames[:, 38].std(), abs=1e-4)
    assert named["rms_min"] >= 0


def test_what_lies_behind_the_cut_does_not_count() -> None:
    signal = speechlike(6.0)
    np.testing.assert_array_equal(
        mfcc.article_features(signal, RATE)[0], mfcc.article_features(signal[: mfcc.N_SAMPLES], RATE)[0]
    )


def test_filters_are_built_once() -> None:
    mfcc._mel_filters.cache_clear()
    for seed in range(3):
        mfcc.article_features(speechlike(1.0, seed), RATE)
    assert mfcc._mel_filters.cache_info().misses == 1
