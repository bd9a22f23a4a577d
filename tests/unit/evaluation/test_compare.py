"""Paired comparison: the interval of a difference, what counts as noise, and many comparisons at once."""

import numpy as np
import pytest

from emocore.evaluation.compare import compare, holm
from emocore.evaluation.metrics import intervals


def clips(n_actors=20, each=24, k=4, seed=0):
    """Emotions, actors, and a generator."""
    rng = np.random.default_rng(seed)
    truth = np.tile(np.arange(k), n_actors * each // k)
    return truth, [f"a{i // each}" for i in range(n_actors * each)], rng


def answers(truth, rng, skill, k=4):
    """Right with this probability, else any answer."""
    guess = rng.integers(0, k, len(truth))
    return np.where(rng.random(len(truth)) < skill, truth, guess)


def test_the_interval_is_that_of_a_bootstrap_written_out():
    truth, actors, rng = clips(n_actors=8)
    first, second = answers(truth, rng, 0.3), answers(truth, rng, 0.5)
    found = compare(truth, np.array([first, second]), actors, 4, draws=4_000, seed=3)["pairs"][0]["uar"]
    names, owner = np.unique(actors), np.array(actors)
    own = np.random.default_rng(7)
    gaps = []
    for _ in range(4_000):
        rows = np.concatenate([np.flatnonzero(owner == name) for name in own.choice(names, len(names))])
        of = [[(p[rows] == truth[rows])[truth[rows] == e].mean() for e in range(4)] for p in (first, second)]
        gaps.append(np.mean(of[1]) - np.mean(of[0]))
    expected = np.mean([(second == truth)[truth == e].mean() - (first == truth)[truth == e].mean() for e in range(4)])
    assert found["value"] == pytest.approx(expected)
    np.testing.assert_allclose(found["ci95"], np.percentile(gaps, [2.5, 97.5]), atol=0.01)


def test_a_models_own_interval_is_that_of_the_metrics():
    truth, actors, rng = clips()
    pair = np.array([answers(truth, rng, 0.3), answers(truth, rng, 0.6)])
    for who in (actors, [None] * len(truth)):
        found = compare(truth, pair, who, 4, draws=8_000)
        for row, model in zip(pair, found["models"], strict=True):
            other = intervals(truth, row, who, draws=8_000, seed=5)
            np.testing.assert_allclose(model["ci95_uar"], other["uar"], atol=0.006)
            np.testing.assert_allclose(model["ci95_accuracy"], other["accuracy"], atol=0.006)
        assert found["resampled"] == ("actors" if who is actors else "clips")


def test_better_is_beyond_noise_and_the_same_is_not():
    truth, actors, rng = clips()
    weak, strong, twin = answers(truth, rng, 0.3), answers(truth, rng, 0.6), answers(truth, rng, 0.6)
    first, second, third = compare(truth, np.array([weak, strong, twin]), actors, 4)["pairs"]
    assert first["uar"]["beyond_noise"] and first["uar"]["ci95"][0] > 0 and second["accuracy"]["beyond_noise"]
    assert not third["uar"]["beyond_noise"] and third["uar"]["ci95"][0] < 0 < third["uar"]["ci95"][1]
    same = compare(truth, np.array([weak, weak]), actors, 4)["pairs"][0]
    assert same["uar"] == {"value": 0.0, "ci95": [0.0, 0.0], "p": 1.0, "p_holm": 1.0, "beyond_noise": False}
    assert (same["first_only"], same["second_only"]) == (0, 0) and same["both_right"] == int((weak == truth).sum())


def test_pairs_are_counted_and_turned_round_with_the_runs():
    truth, actors, rng = clips()
    one, two = answers(truth, rng, 0.4), answers(truth, rng, 0.5)
    there = compare(truth, np.array([one, two]), actors, 4)["pairs"][0]
    back = compare(truth, np.array([two, one]), actors, 4)["pairs"][0]
    assert there["uar"]["value"] == pytest.approx(-back["uar"]["value"])
    assert there["first_only"] == back["second_only"] == int(((one == truth) & (two != truth)).sum())
    kinds = ("both_right", "first_only", "second_only", "neither")
    assert sum(there[kind] for kind in kinds) == len(truth)
    assert there["uar"]["ci95"] == pytest.approx([-value for value in back["uar"]["ci95"][::-1]])


def test_pairing_finds_what_two_intervals_that_overlap_do_not():
    truth, actors, rng = clips(n_actors=10)
    # Actors differ much in how well they are understood, and the second model is right a little more with each.
    skill = np.repeat(np.linspace(0.1, 0.9, 10), 24)
    base = np.where(rng.random(len(truth)) < skill, truth, (truth + 1) % 4)
    better = np.where(rng.random(len(truth)) < 0.1, truth, base)
    found = compare(truth, np.array([base, better]), actors, 4)
    first, second = (model["ci95_uar"] for model in found["models"])
    assert first[1] > second[0] and found["pairs"][0]["uar"]["beyond_noise"]


def test_of_many_models_of_chance_hardly_any_is_beyond_noise():
    found = 0
    for seed in range(12):
        truth, actors, rng = clips(n_actors=24, seed=seed)
        chance = np.array([answers(truth, rng, 0.0) for _ in range(6)])
        pairs = compare(truth, chance, actors, 4, draws=1_000)["pairs"]
        assert len(pairs) == 15
        found += any(pair["uar"]["beyond_noise"] for pair in pairs)
    assert found <= 3  # 5 % of 12 tries are expected; without the correction more than half


def test_holm_is_that_of_its_definition():
    # Holm (1979): the smallest times m, the next times m − 1, …, never falling.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0] and holm([0.04]) == [0.04]


def test_what_cannot_be_compared():
    truth = np.array([0, 1])
    for predicted, emotions in ((truth[None], truth), (np.zeros((2, 0), int), truth[:0])):
        with pytest.raises(ValueError, match="Expected two or more models and one or more clips: got"):
            compare(emotions, predicted, ["a"] * len(emotions), 2)
