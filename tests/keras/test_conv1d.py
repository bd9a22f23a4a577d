"""The network over MFCC frames: small frames, few epochs, one import of TensorFlow."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
from scipy.special import log_softmax

from emocore.errors import UserError
from emocore.models.catalogue import classifier_class
from emocore.models.fitting import Recipe
from emocore.pipeline.training.folds import Split
from emocore.pipeline.tuning.objective import ArrayCandidates

SETTINGS = {"filters": 4, "epochs": 16, "batch_size": 16, "learning_rate": 0.02, "patience": 16}
KNOWN = [2, 4, 5]


def frames(n, seed):
    """Frames float32[n, 16, 39] in which each emotion lifts rows of its own, and their soft labels."""
    rng = np.random.default_rng(seed)
    y = np.array(KNOWN)[np.arange(n) % 3]
    lift = np.random.default_rng(9).standard_normal((8, 39))
    x = 50 + 20 * (rng.standard_normal((n, 16, 39)) + lift[y][:, None, :])
    return x.astype("f4"), np.eye(8, dtype="f4")[y]


X, SOFT = frames(48, 0)
TEST, TEST_SOFT = frames(30, 1)
WEIGHTS = np.isin(np.arange(8), KNOWN).astype("f4")


def make(**settings):
    return classifier_class("audio-conv1d")("audio-conv1d", 3, 1, {**SETTINGS, **settings})


@pytest.fixture(scope="module")
def fitted():
    model = make()
    return model, model.fit(X, SOFT, WEIGHTS, (TEST, TEST_SOFT))


def test_threads_are_those_asked_for(fitted):
    import tensorflow as tf  # noqa: PLC0415 - only this file pays for it, and only when its tests run

    assert tf.config.threading.get_intra_op_parallelism_threads() == 1
    assert tf.config.threading.get_inter_op_parallelism_threads() == 1


def test_it_learns_and_knows_only_what_it_was_shown(fitted):
    logits = fitted[0].logits(TEST)
    assert (logits.shape, logits.dtype) == ((30, 8), np.float64)
    assert np.isneginf(logits[:, [0, 1, 3, 6, 7]]).all()
    assert (logits.argmax(axis=1) == TEST_SOFT.argmax(axis=1)).mean() > 0.8  # chance: 1/3


def test_logits_do_not_depend_on_the_batch(fitted):
    model, _ = fitted
    whole = model.logits(TEST)
    np.testing.assert_array_equal(np.concatenate([model.logits(TEST[i : i + 1]) for i in range(30)]), whole)
    np.testing.assert_array_equal(np.concatenate([model.logits(TEST[:17]), model.logits(TEST[17:])]), whole)
    np.testing.assert_array_equal(model.logits(TEST[::-1]), whole[::-1])
    assert model.logits(TEST[:0]).shape == (0, 8)


def test_the_network_meets_one_shape_of_batch(fitted, monkeypatch):
    """In wide networks TensorFlow's sums differ in the last bits with the batch's size."""
    model, _ = fitted
    network, shapes = model.network, set()
    monkeypatch.setattr(model, "network", lambda x, **options: shapes.add(x.shape) or network(x, **options))
    for n in (1, 16, 17, 30):
        model.logits(TEST[:n])
    assert len(shapes) == 1


def test_the_seed_repeats_it_whatever_was_drawn_before(fitted):
    np.random.random(7)
    again = make()
    again.fit(X, SOFT, WEIGHTS, (TEST, TEST_SOFT))
    np.testing.assert_array_equal(again.logits(TEST), fitted[0].logits(TEST))


def loss(logits, soft):
    return -log_softmax(logits, axis=1)[soft > 0].mean()


def test_it_stops_where_the_validation_loss_is_least(fitted):
    """Labels that are wrong are met worse and worse the more it learns, and right ones better."""
    wrong = np.roll(TEST_SOFT, 1, axis=0)
    misled = make()
    early = misled.fit(X, SOFT, WEIGHTS, (TEST, wrong))["epochs"]
    assert 1 <= early < fitted[1]["epochs"] <= SETTINGS["epochs"]
    assert loss(misled.logits(TEST), wrong) < loss(fitted[0].logits(TEST), wrong)


def test_saved_and_loaded_it_gives_the_same_logits(fitted, tmp_path):
    model, _ = fitted
    model.save(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"model.keras", "known.npy", "scale.npy", "settings.json"}
    loaded = classifier_class("audio-conv1d").load(tmp_path, "audio-conv1d")
    np.testing.assert_array_equal(loaded.logits(TEST).argmax(axis=1), model.logits(TEST).argmax(axis=1))
    np.testing.assert_array_equal(loaded.logits(TEST), model.logits(TEST))


def refused(folder):
    with pytest.raises(UserError) as error:
        classifier_class("audio-conv1d").load(folder, "audio-conv1d")
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(f"{folder / 'model.keras'} is ")
    return str(error.value)


def test_code_in_a_layer_is_refused(fitted, tmp_path):
    import keras  # noqa: PLC0415 - see above

    fitted[0].save(tmp_path)
    marker, path = tmp_path / "it ran", str(tmp_path / "it ran")
    code = keras.layers.Lambda(lambda x: (Path(path).touch(), x)[1], output_shape=(16, 39))
    keras.Sequential([keras.layers.Input((16, 39)), code]).save(tmp_path / "model.keras")
    marker.unlink(missing_ok=True)
    assert refused(tmp_path).endswith("use a bundle that you trust.")
    assert not marker.exists()


@pytest.mark.parametrize("content", [b"", b"no zip", b"\x80\x04\x95", b"PK\x03\x04 half a zip"])
def test_a_broken_file_is_one_sentence(fitted, tmp_path, content):
    fitted[0].save(tmp_path)
    (tmp_path / "model.keras").write_bytes(content)
    assert refused(tmp_path).endswith("is not a whole model: train it again.")


def test_weights_that_say_they_are_larger_than_a_network_are_not_read(fitted, tmp_path):
    import h5py  # noqa: PLC0415 - comes with Keras

    fitted[0].save(tmp_path)
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file.create_dataset("layers/vars/0", (10**9,), "f4", chunks=(10**6,), compression="gzip")
    with zipfile.ZipFile(tmp_path / "model.keras", "w") as members:
        members.write(tmp_path / "w.h5", "model.weights.h5")
    assert "has 4,000,000,000 bytes of weights" in refused_for_size(tmp_path)


def refused_for_size(folder):
    with pytest.raises(UserError) as error:
        classifier_class("audio-conv1d").load(folder, "audio-conv1d")
    return str(error.value)


@pytest.mark.parametrize("told", ['{"filters": 1000000000, "batch_size": 8}', "[]", "{}", '{"filters": "many"}'])
def test_settings_without_sense_build_nothing(fitted, tmp_path, told):
    fitted[0].save(tmp_path)
    (tmp_path / "settings.json").write_text(told)
    with pytest.raises(UserError, match=r"settings.json is not of an audio-conv1d of ours: train it again\.$"):
        classifier_class("audio-conv1d").load(tmp_path, "audio-conv1d")


# Epoch by epoch, as a search that may stop it has it


def in_parts(model, validation=None, asked=None):
    """Fit in parts; return the shares, and the settings chosen; ask for logits in between where told to."""
    parts, shares = model.fit_parts(X, SOFT, WEIGHTS, validation), []
    while True:
        try:
            shares.append(next(parts))
        except StopIteration as end:
            return shares, end.value
        if asked is not None:
            model.logits(asked)
            np.random.random(3)


def test_asked_after_each_epoch_it_learns_the_same(fitted):
    parted = make()
    shares, chosen = in_parts(parted, (TEST, TEST_SOFT), asked=TEST)
    assert shares == [(epoch + 1) / 16 for epoch in range(16)] and chosen == fitted[1]
    np.testing.assert_array_equal(parted.logits(TEST), fitted[0].logits(TEST))


def test_without_validation_too():
    whole, parted, asked = make(epochs=4), make(epochs=4), make(epochs=4)
    assert whole.fit(X, SOFT, WEIGHTS) == {}
    assert in_parts(parted) == in_parts(asked, asked=TEST) == ([0.25, 0.5, 0.75, 1.0], {})
    for model in (parted, asked):
        np.testing.assert_array_equal(model.logits(TEST), whole.logits(TEST))


def test_a_training_that_stops_early_is_whole_then():
    """Its patience is one epoch, and wrong labels are met worse and worse."""
    wrong = (TEST, np.roll(TEST_SOFT, 1, axis=0))
    whole, parted = make(patience=1, epochs=30), make(patience=1, epochs=30)
    chosen = whole.fit(X, SOFT, WEIGHTS, wrong)
    shares, same = in_parts(parted, wrong, asked=TEST)
    assert chosen == same and shares[-1] == 1.0 and len(shares) == chosen["epochs"] + 1 < 30
    np.testing.assert_array_equal(parted.logits(TEST), whole.logits(TEST))


def test_folds_that_learn_side_by_side_end_as_those_that_learn_one_after_the_other():
    even = np.arange(0, 48, 2)
    splits = [Split(even, even + 1, even + 1), Split(even + 1, even[:12], even[12:])]
    work = ArrayCandidates(Recipe("audio-conv1d", 3, True, {**SETTINGS, "epochs": 3}), X, SOFT, splits, 1, 0)
    *before, last = work.reports({"dropout": 0.4}, in_parts=True)
    assert [last] == list(work.reports({"dropout": 0.4}, in_parts=False))
    assert [report.share for report in before] == pytest.approx([1 / 3, 2 / 3])
