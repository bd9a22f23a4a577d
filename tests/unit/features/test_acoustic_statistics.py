"""Functionals of tracks: against NumPy, SciPy and written-out formulas; defined from one frame on."""

import numpy as np
import pytest
import scipy.stats

from emocore.features.acoustic import statistics, timing


def tracks(frames, seed=0):
    random = np.random.default_rng(seed)
    return random.standard_normal((frames, 5)).astype(np.float32) * [1, 10, 0.1, 3, 1] + [0, 40, -2, 0, 5]


def named(x, name):
    return statistics.full(x.astype(np.float32))[statistics.FULL.index(name)]


@pytest.mark.parametrize("frames", [2, 3, 21, 300])
def test_moments_and_percentiles(frames):
    x = tracks(frames).astype(np.float32)
    np.testing.assert_allclose(named(x, "mean"), x.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(named(x, "std"), x.std(axis=0), rtol=1e-4)
    np.testing.assert_allclose(named(x, "skew"), scipy.stats.skew(x.astype(float)), atol=1e-3)
    np.testing.assert_allclose(named(x, "kurtosis"), scipy.stats.kurtosis(x.astype(float)), atol=1e-3)
    np.testing.assert_allclose(named(x, "iqr"), scipy.stats.iqr(x, axis=0), rtol=1e-3)
    for q in statistics.PERCENTILES:
        np.testing.assert_allclose(named(x, f"p{q:02d}"), np.percentile(x, q, axis=0), rtol=1e-4, atol=1e-5)


def test_slope_curvature_and_what_they_leave():
    t = np.linspace(-1, 1, 101)
    x = np.stack([3 + 2 * t, t**2, 0 * t, 5 - t + 4 * t**2], axis=1)
    np.testing.assert_allclose(named(x, "slope"), [2, 0, 0, -1], atol=1e-4)
    np.testing.assert_allclose(named(x, "curvature"), [0, 1, 0, 4], atol=1e-4)
    np.testing.assert_allclose(named(x, "fit_residual"), 0, atol=2e-3)
    wave = np.sin(2 * np.pi * 10 * t)[:, None]
    assert named(wave, "fit_residual")[0] == pytest.approx(wave.std(), rel=0.05)


def test_places_shares_and_crossings():
    x = np.array([0, 1, 4, 1, 0, -4, 0, 0, 1, 0], float)[:, None]
    assert named(x, "place_of_max")[0] == pytest.approx(2 / 9)
    assert named(x, "place_of_min")[0] == pytest.approx(5 / 9)
    assert named(x, "above_25")[0] == pytest.approx(0.9)  # of −4 … 4: −2
    assert named(x, "above_75")[0] == pytest.approx(0.1)  # 2
    square = np.tile([1.0, 1.0, -1.0, -1.0], 5)[:, None]
    assert named(square, "mean_crossings")[0] == pytest.approx(9 / 19)


@pytest.mark.parametrize("frames", [1, 2, 3, 4])
@pytest.mark.parametrize("kind", [np.zeros, np.ones])
def test_defined_for_few_frames_that_stand_still(frames, kind):
    x = kind((frames, 3), np.float32)
    for values in (statistics.full(x), statistics.deltas(x), statistics.part_means(x, 6), timing.modulation(x)):
        assert np.isfinite(values).all()
    assert not statistics.full(x)[[1, 11, 12, 13, 14]].any()
    np.testing.assert_array_equal(statistics.part_means(x, 6), kind((6, 3), np.float32))


def test_deltas_of_a_ramp_and_smoothing():
    ramp = np.arange(20, dtype=np.float32)[:, None]
    np.testing.assert_allclose(statistics.deltas(3 * ramp)[2:-2], 3, rtol=1e-6)
    np.testing.assert_allclose(statistics.smoothed(ramp)[1:-1], ramp[1:-1], rtol=1e-6)


def test_means_of_parts():
    x = np.repeat([1.0, 2.0, 6.0], 7).astype(np.float32)[:, None]
    np.testing.assert_allclose(statistics.part_means(x, 3)[:, 0], [1, 2, 6])


def test_changes_are_found_at_their_frequency():
    time = np.arange(600) / 100
    x = np.stack([np.sin(2 * np.pi * hz * time) for hz in (0.6, 4.0, 20.0)], axis=1).astype(np.float32)
    loudest = timing.modulation(x).argmax(axis=0)
    edges = timing.EDGES_HZ
    assert [edges[i] <= hz < edges[i + 1] for i, hz in zip(loudest, (0.6, 4.0, 20.0), strict=True)] == [True] * 3


def test_correlations_are_those_of_numpy():
    x = tracks(50).astype(np.float32)
    x[:, 2] = 7.0  # stands still
    with np.errstate(invalid="ignore"):
        expected = np.nan_to_num(np.corrcoef(x.T))[np.triu_indices(5, 1)]
    np.testing.assert_allclose(timing.correlations(x), expected, atol=1e-4)


def test_runs_of_voice():
    names = [name for name, _ in timing.COLUMNS]
    hz = np.repeat([0, 100, 0, 200, 0], [10, 30, 20, 10, 30]).astype(np.float32)
    level = np.where(hz > 0, -10, -60).astype(np.float32)
    values = dict(zip(names, timing.timing(level, np.ones(100, np.float32), hz), strict=True))
    assert values["log_duration"] == pytest.approx(0.0)
    assert values["voiced_ratio"] == pytest.approx(0.4)
    assert values["voiced_runs"] == pytest.approx(2.0)
    assert values["voiced_run_mean"] == pytest.approx(0.2)
    assert values["voiced_run_longest"] == pytest.approx(0.3)
    assert values["unvoiced_run_longest"] == pytest.approx(0.3)
    assert values["pause_ratio"] == pytest.approx(0.6)
    assert values["pauses"] == pytest.approx(3.0)
