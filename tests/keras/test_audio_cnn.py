"""The network over log-mel sequences: tiny networks, short sequences, few epochs."""

import numpy as np
import pytest

from emocore.errors import UserError
from emocore.features.family import ABSENT
from emocore.features.logmel import N_MELS, VALUES
from emocore.models.base import exhaust
from emocore.models.catalogue import classifier_class
from emocore.models.fitting import Recipe, fit_final, fit_inner
from emocore.pipeline.training.folds import Split
from emocore.pipeline.tuning.objective import ArrayCandidates

SETTINGS = {
    "seeds": 1,
    "filters": 8,
    "blocks": 1,
    "epochs": 10,
    "batch_size": 16,
    "learning_rate": 0.02,
    "dropout": 0.05,
}
KNOWN = [2, 4, 5]
WEIGHTS = np.isin(np.arange(8), KNOWN).astype("f4")


def sequences(n, seed, steps=40):
    """Sequences float32[n, steps, 76] of 10 steps and more, in which each emotion lifts mels of its own."""
    rng = np.random.default_rng(seed)
    y = np.array(KNOWN)[np.arange(n) % 3]
    x = rng.normal(size=(n, steps, len(VALUES))).astype("f4")
    for row, emotion in zip(x, y, strict=True):
        row[:, 10 * emotion : 10 * emotion + 10] += 2
        row[rng.integers(10, steps + 1) :] = ABSENT
    return x, np.eye(8, dtype="f4")[y]


X, SOFT = sequences(48, 0)
TEST, TEST_SOFT = sequences(30, 1)


def make(**settings):
    return classifier_class("audio-cnn")("audio-cnn", 3, 1, {**SETTINGS, **settings})


@pytest.fixture(scope="module")
def fitted():
    model = make()
    assert model.fit(X, SOFT, WEIGHTS) == {}
    return model


def test_it_learns_and_knows_only_what_it_was_shown(fitted):
    logits = fitted.logits(TEST)
    assert (logits.shape, logits.dtype) == ((30, 8), np.float64)
    assert np.isneginf(logits[:, [0, 1, 3, 6, 7]]).all()
    assert (logits.argmax(axis=1) == TEST_SOFT.argmax(axis=1)).mean() > 0.8  # chance: 1/3


def test_steps_that_are_absent_change_nothing_however_many_they_are(fitted):
    longer = np.full((30, 500, len(VALUES)), ABSENT, "f4")
    longer[:, : TEST.shape[1]] = TEST
    np.testing.assert_array_equal(fitted.logits(longer), fitted.logits(TEST))
    network, values = fitted.networks[0], np.zeros((1, 90, len(VALUES)), "f4")
    values[:, :41] = np.random.default_rng(2).normal(size=(1, 41, len(VALUES)))
    there = (np.arange(90) < 41).astype("f4")[None, :, None]
    whole = np.asarray(network([values, there], training=False))
    np.testing.assert_allclose(network([values[:, :41], there[:, :41]], training=False), whole, rtol=1e-4, atol=1e-5)
    values[:, 41:] = 7
    np.testing.assert_array_equal(network([values, there], training=False), whole)
    there[:, 41:60] = 1
    assert np.abs(network([values, there], training=False) - whole).max() > 0.01


def test_in_training_absent_steps_change_nothing_either():
    """Batch normalisation counts the steps that are there alone."""
    from emocore.models.keras.sequence_network import build_sequence_network  # noqa: PLC0415 - imports TensorFlow

    built = build_sequence_network({"filters": 8, "blocks": 2, "stride": 2, "dropout": 0.0}, len(VALUES), 8)
    values = np.random.default_rng(2).normal(size=(4, 30, len(VALUES))).astype("f4")
    padded = np.pad(values, ((0, 0), (0, 50), (0, 0)))
    there = np.ones((4, 30, 1), "f4")
    short = built([values, there], training=True)
    long = built([padded, np.pad(there, ((0, 0), (0, 50), (0, 0)))], training=True)
    np.testing.assert_allclose(long, short, rtol=1e-3, atol=1e-4)


def test_logits_do_not_depend_on_the_batch(fitted):
    whole = fitted.logits(TEST)
    np.testing.assert_array_equal(np.concatenate([fitted.logits(TEST[i : i + 1]) for i in range(30)]), whole)
    np.testing.assert_array_equal(fitted.logits(TEST[::-1]), whole[::-1])
    assert fitted.logits(TEST[:0]).shape == (0, 8)


def test_a_clip_without_a_step_and_one_of_one_are_answered_for(fitted):
    nothing = np.full((2, 500, len(VALUES)), ABSENT, "f4")
    nothing[1, 0] = 0
    assert np.isfinite(fitted.logits(nothing)[:, KNOWN]).all()


def test_the_seed_repeats_it_whatever_was_drawn_or_asked_before(fitted):
    np.random.random(7)
    again = make()
    parts = again.fit_parts(X, SOFT, WEIGHTS)
    shares = []
    for share in parts:
        shares.append(share)
        again.logits(TEST[:3])
    assert shares == pytest.approx([(epoch + 1) / 10 for epoch in range(10)])
    np.testing.assert_array_equal(again.logits(TEST), fitted.logits(TEST))


def test_several_seeds_are_several_networks_and_their_mean(fitted, tmp_path):
    pair = make(seeds=2)
    pair.fit(X, SOFT, WEIGHTS)
    assert len(pair.networks) == 2
    both, first = pair.logits(TEST)[:, KNOWN], fitted.logits(TEST)[:, KNOWN]
    assert not np.allclose(both, first)
    pair.networks[1].set_weights(pair.networks[0].get_weights())
    np.testing.assert_allclose(pair.logits(TEST)[:, KNOWN], first, rtol=1e-6)
    pair.save(tmp_path)
    loaded = classifier_class("audio-cnn").load(tmp_path, "audio-cnn")
    np.testing.assert_array_equal(loaded.logits(TEST), pair.logits(TEST))


def test_saved_and_loaded_it_gives_the_same_logits(fitted, tmp_path):
    fitted.save(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"model-0.keras", "known.npy", "scale.npy", "settings.json"}
    loaded = classifier_class("audio-cnn").load(tmp_path, "audio-cnn")
    np.testing.assert_array_equal(loaded.logits(TEST), fitted.logits(TEST))
    loaded.answer_for(8)
    with pytest.raises(ValueError, match="answer for 8 emotions, and its bundle names 7"):
        loaded.answer_for(7)


@pytest.mark.parametrize("content", [b"", b"no zip", b"\x80\x04\x95", b"PK\x03\x04 half a zip"])
def test_a_broken_file_is_one_sentence(fitted, tmp_path, content):
    fitted.save(tmp_path)
    (tmp_path / "model-0.keras").write_bytes(content)
    with pytest.raises(UserError, match=r"model-0.keras is not a whole model: train it again\.$"):
        classifier_class("audio-cnn").load(tmp_path, "audio-cnn")


def test_weights_of_another_network_are_refused(fitted, tmp_path):
    fitted.save(tmp_path)
    path = tmp_path / "settings.json"
    path.write_text(path.read_text().replace('"filters": 8', '"filters": 16'))
    with pytest.raises(UserError, match=r"model-0.keras is no audio-cnn of ours \(.*use a bundle that you trust\.$"):
        classifier_class("audio-cnn").load(tmp_path, "audio-cnn")


@pytest.mark.parametrize("told", ['{"filters": 1000000000}', "[]", "{}", '{"filters": true, "seeds": 1}'])
def test_settings_without_sense_build_nothing(fitted, tmp_path, told):
    fitted.save(tmp_path)
    (tmp_path / "settings.json").write_text(told)
    with pytest.raises(UserError, match=r"settings.json is not of an audio-cnn of ours: train it again\.$"):
        classifier_class("audio-cnn").load(tmp_path, "audio-cnn")


def test_soft_labels_and_weights_are_learnt_from():
    """Of clips that raters part 3 to 1 it answers so; where one emotion weighs nothing it has none of it."""
    x = np.random.default_rng(4).normal(size=(64, 20, len(VALUES))).astype("f4")
    soft = np.tile(np.array([0.75, 0.25, 0, 0, 0, 0, 0, 0], "f4"), (64, 1))
    even = make(label_smoothing=0.0)
    even.fit(x, soft, np.array([1, 1, 0, 0, 0, 0, 0, 0], "f4"))
    answer = even.logits(x)[:, :2].mean(axis=0)
    assert 1 / (1 + np.exp(answer[1] - answer[0])) == pytest.approx(0.75, abs=0.1)
    hard, weights = np.repeat(np.eye(8, dtype="f4")[:2], [48, 16], axis=0), np.zeros(8, "f4")
    weights[:2] = 2 / 3, 2.0  # as class_weights gives: the rare one counts as much as the other
    even.fit(x, hard, weights)
    others = np.random.default_rng(5).normal(size=(32, 20, len(VALUES))).astype("f4")
    answer = even.logits(others)[:, :2].mean(axis=0)
    assert 1 / (1 + np.exp(answer[1] - answer[0])) == pytest.approx(0.5, abs=0.12)


def test_inner_folds_and_the_final_fit_take_it():
    rows = np.arange(48)
    recipe = Recipe("audio-cnn", 0, True, {**SETTINGS, "epochs": 3})
    inner = exhaust(fit_inner(recipe, X, SOFT, rows[:32], rows[:0], rows[32:]))
    assert inner.chosen == {} and inner.logits.shape == (16, 8)
    fitted = fit_final(recipe, X, SOFT, rows, [inner])
    assert fitted.temperature > 0 and fitted.classifier.logits(X[:2]).shape == (2, 8)


def test_a_search_compares_it_after_every_epoch():
    rows = np.arange(48)
    split = Split(rows[:32], rows[:0], rows[32:])
    work = ArrayCandidates(Recipe("audio-cnn", 0, True, {**SETTINGS, "epochs": 2}), X, SOFT, [split], 1, 0)
    first, last = work.reports({"dropout": 0.0}, in_parts=True)
    assert (first.share, last.share) == (0.5, 1.0) and 0 <= last.scores[0] <= 1


def test_levels_alone_do_not_reach_it_through_the_mean(fitted):
    """It is trained on levels within ±3 dB: a dB more is answered for much as before."""
    louder = TEST.copy()
    louder[..., :N_MELS] += np.where(TEST[..., :N_MELS] == ABSENT, 0, 1 / 20)
    same = fitted.logits(louder).argmax(axis=1) == fitted.logits(TEST).argmax(axis=1)
    assert same.mean() > 0.9
