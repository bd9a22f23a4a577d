"""The frame networks and their step: small pictures, one process, no Ray."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit, softmax

from emocore.errors import UserError
from emocore.labels import EMOTIONS
from emocore.models.augment import NONE
from emocore.models.catalogue import network_spec
from emocore.models.network_settings import FACE_EMOTIONS, NetworkSettings

SMALL = NetworkSettings(
    pixels=16, filters=(4, 8), dense=16, batch_size=16, learning_rate=0.01, schedule="constant", augmentation=NONE
)
FACE = network_spec("face-cnn").settings
KNOWN = np.isin(EMOTIONS, ["happy", "sad", "angry"])


def pictures(n, pixels=16, seed=0):
    """Frames uint8[n, pixels, pixels] with a brighter square whose place tells the class, and soft labels [n, 8]."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 8
    images = rng.integers(0, 60, (n, pixels, pixels))
    side = pixels // 4
    for image, k in zip(images, y, strict=True):
        image[k // 4 * side : k // 4 * side + side, k % 4 * side : k % 4 * side + side] += 150
    return images.astype("u1"), np.eye(8, dtype="f4")[y]


def stepper(name="cnn", settings=SMALL, **options):
    import tensorflow as tf  # noqa: PLC0415 - only this file pays for it

    from emocore.models.keras.train_step import Stepper  # noqa: PLC0415 - imports TensorFlow

    return Stepper(name, settings, 5, tf.distribute.get_strategy(), seed=1, **options)


def batch(settings=SMALL, seed=0):
    images, soft = pictures(settings.batch_size, settings.pixels, seed)
    return images, soft, np.ones(len(soft), "f4")


@pytest.fixture
def precision():
    """Restore what a test sets."""
    import keras  # noqa: PLC0415 - see above

    yield keras.config
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")


def build(name, settings, base=None):
    from emocore.models.catalogue import build_network  # noqa: PLC0415 - imports TensorFlow

    return build_network(name, settings, base)


@pytest.mark.parametrize(("pixels", "maps"), [(16, 8), (48, 12), (64, 8), (256, 8)])
def test_cnn_fits_the_pictures(pixels, maps):
    network = build("cnn", NetworkSettings(pixels=pixels))
    assert network.input_shape == (None, pixels, pixels, 1)
    assert network.output_shape == (None, 8)
    last = [layer for layer in network.layers if len(layer.output.shape) == 4][-1]
    assert last.output.shape[1:3] == (maps, maps)


def test_cnn_is_the_articles_sequence():
    names = [type(layer).__name__ for layer in build("cnn", NetworkSettings()).layers]
    block = ["Conv2D", "Activation", "MaxPooling2D", "BatchNormalization", "Dropout"]
    assert names == [
        "Rescaling",
        *block * 5,
        "Flatten",
        "Dense",
        "BatchNormalization",
        "Activation",
        "Dropout",
        "Dense",
    ]


@pytest.mark.parametrize("name", ["cnn", "face-cnn"])
def test_statistics_are_of_all_workers_and_no_bias_precedes_them(name):
    layers = build(name, network_spec(name).settings).layers
    assert all(layer.synchronized for layer in layers if type(layer).__name__ == "BatchNormalization")
    assert not any(layer.use_bias for layer in layers if type(layer).__name__ == "Conv2D")


def test_the_step_is_that_of_keras(precision):
    """The same network, fitted by Keras's own training, in float64 to the last digits."""
    precision.set_floatx("float64")
    precision.set_dtype_policy("float64")
    import keras  # noqa: PLC0415 - see above

    settings = dataclasses.replace(SMALL, dropout=0.0, weight_decay=0.01, label_smoothing=0.1)
    ours = stepper(settings=settings)
    keras.utils.set_random_seed(1)
    theirs = build("cnn", settings)
    optimizer = keras.optimizers.AdamW(0.01, weight_decay=0.01)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    theirs.compile(optimizer, keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1))
    images, soft, _ = batch(settings)
    weights = np.linspace(0.5, 2, len(soft)).astype("f4")
    for _ in range(20):
        loss = ours.score(ours.train((images, soft, weights))).loss
        theirs.reset_metrics()
        other = theirs.train_on_batch(images[..., None].astype("f8"), soft, weights.astype("f8"))
    assert loss == pytest.approx(float(np.ravel(other)[0]), rel=1e-9)
    for mine, other in zip(ours.weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(mine, other, rtol=0, atol=1e-9)


def test_it_learns_and_scores_its_own_kind():
    made = stepper()
    for _ in range(40):
        sums = made.train(batch())
    assert made.score(sums).accuracy > 0.9
    score = made.score(made.validate([batch(), batch(seed=1)]))
    logits = np.asarray(made.network(np.concatenate([batch()[0], batch(seed=1)[0]])[..., None].astype("f4")))
    soft = np.concatenate([batch()[1], batch(seed=1)[1]])
    assert score.loss == pytest.approx(-(np.log(softmax(logits, axis=1)) * soft).sum(axis=1).mean(), rel=1e-4)
    assert score.accuracy == (logits.argmax(axis=1) == soft.argmax(axis=1)).mean()


def test_filling_up_a_validation_batch_changes_nothing():
    made = stepper()
    images, soft, weights = batch()
    part = (images[:5], soft[:5], weights[:5])
    filled = (images, soft, weights * (np.arange(16) < 5))
    assert made.score(made.validate([part])) == pytest.approx(made.score(made.validate([filled])), rel=1e-5)


def test_restored_it_goes_on_as_if_never_stopped(precision):
    settings = dataclasses.replace(SMALL, average=0.9, schedule="cosine", dropout=0.5)
    whole, first, second = (stepper(settings=settings) for _ in range(3))
    for _ in range(6):
        whole.train(batch())
    for _ in range(3):
        first.train(batch())
    second.restore(first.state())
    assert second.iterations == 3
    for _ in range(3):
        second.train(batch())
    assert second.digest() == whole.digest()
    for one, other in zip(second.weights(), whole.weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_average_follows_the_weights():
    settings = dataclasses.replace(SMALL, average=0.5)
    made = stepper(settings=settings)
    expected = [np.asarray(weight) for weight in made.network.get_weights()]
    for step in range(1, 6):
        made.train(batch())
        keep = min(0.5, (1 + step) / (10 + step))
        weights = made.network.get_weights()
        expected = [keep * old + (1 - keep) * new for old, new in zip(expected, weights, strict=True)]
    for mean, value in zip(made.weights(), expected, strict=True):
        np.testing.assert_allclose(mean, value, rtol=1e-4, atol=1e-6)


def test_the_schedule_warms_up_and_falls():
    from emocore.models.keras.train_step import Schedule  # noqa: PLC0415 - imports TensorFlow

    rate = Schedule(dataclasses.replace(FACE, epochs=10, warmup_epochs=2, learning_rate=1.0), steps_per_epoch=10)
    rates = np.array([float(rate(step)) for step in range(101)])
    np.testing.assert_allclose(rates[:20], np.arange(1, 21) / 20)
    np.testing.assert_allclose(rates[20:], 0.5 * (1 + np.cos(np.pi * np.arange(81) / 80)), atol=1e-12)
    tuned = dataclasses.replace(SMALL, recipe="fine-tune", frozen_epochs=2, thaw_rate=0.1, learning_rate=1.0)
    rates = [float(Schedule(tuned, 5)(step)) for step in (9, 10, 14, 19, 20)]
    np.testing.assert_allclose(rates, [1.0, 0.01, 0.05, 0.1, 0.1])


def test_mixed_precision_learns_too(precision):
    precision.set_dtype_policy("mixed_bfloat16")
    made = stepper(settings=dataclasses.replace(SMALL, dropout=0.0))
    for _ in range(60):
        sums = made.train(batch())
    assert made.score(sums).accuracy > 0.9
    assert all(weight.dtype == np.float32 for weight in made.weights())
    assert made.iterations == 60
    second = stepper(settings=dataclasses.replace(SMALL, dropout=0.0))
    second.restore(made.state())
    assert second.digest() == made.digest()


@pytest.fixture(scope="module")
def base():
    return build("face-cnn", FACE)


def test_article_transfer_is_the_base_without_its_head_and_two_convolutions(base):
    network = build("transfer", network_spec("transfer").settings, base)
    kept = len(base.layers) - 5
    assert [layer.name.split("_")[0] for layer in network.layers[kept:]] == ["head"] * 4
    convolutions = [layer for layer in network.layers[kept:] if type(layer).__name__ == "Conv2D"]
    assert [layer.filters for layer in convolutions][1:] == [8]
    for mine, other in zip(network.layers[:kept], base.layers[:kept], strict=True):
        assert type(mine) is type(other)
        for one, two in zip(mine.get_weights(), other.get_weights(), strict=True):
            np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize(("recipe", "moves"), [("article", False), ("fine-tune", True)])
def test_the_trunk_learns_once_it_is_thawed_and_its_statistics_never(base, recipe, moves):
    settings = dataclasses.replace(network_spec("transfer").settings, recipe=recipe, frozen_epochs=1, batch_size=8)
    made = stepper("transfer", settings, base=base)
    kept = len(base.layers) - 5

    def trunk(kind):
        found = [
            layer for layer in made.network.layers[:kept] if (type(layer).__name__ == "BatchNormalization") == kind
        ]
        return [weights for layer in found for weights in layer.get_weights()]

    def equal(one, two):
        return all((a == b).all() for a, b in zip(one, two, strict=True))

    statistics, start, head = trunk(True), trunk(False), made.network.layers[-1].get_weights()
    images, soft = pictures(8, 48)
    for epoch, expected in enumerate([False, moves]):
        made.begin_epoch(epoch)
        made.train((images, soft, np.ones(8, "f4")))
        assert equal(trunk(False), start) is not expected
    assert equal(trunk(True), statistics)
    if recipe == "fine-tune":
        assert not equal(made.network.layers[-1].get_weights(), head)


def test_fine_tuning_starts_from_the_answers_of_the_base(base):
    settings = dataclasses.replace(network_spec("transfer").settings, recipe="fine-tune")
    x = pictures(4, 48)[0][..., None].astype("f4")
    mine = np.asarray(build("transfer", settings, base)(x))
    theirs = np.asarray(base(x))
    columns = [FACE_EMOTIONS.index("neutral" if emotion == "calm" else emotion) for emotion in EMOTIONS]
    np.testing.assert_allclose(mine, theirs[:, columns], rtol=1e-5, atol=1e-5)


def network_of(name, settings, known=np.isin(EMOTIONS, EMOTIONS)):  # noqa: B008 - never changed
    from emocore.models.keras.frame_network import FrameNetwork  # noqa: PLC0415 - imports TensorFlow

    return FrameNetwork(name, settings, build(name, settings), known)


@pytest.mark.parametrize("output", ["softmax", "sigmoid"])
def test_probabilities_are_normalised_over_what_is_known(output):
    made = network_of("cnn", dataclasses.replace(SMALL, output=output), KNOWN)
    images = pictures(70)[0]
    values = made.probabilities(images)
    assert (values.shape, values.dtype) == ((70, 8), np.float64)
    logits = np.asarray(made.network(images[..., None].astype("f4")), dtype="f8")[:, KNOWN]
    ones = expit(logits) if output == "sigmoid" else np.exp(logits)
    np.testing.assert_allclose(values[:, KNOWN], ones / ones.sum(axis=1, keepdims=True), rtol=1e-4)
    assert (values[:, ~KNOWN] == 0).all()
    np.testing.assert_array_equal(np.concatenate([made.probabilities(images[i : i + 1]) for i in range(70)]), values)
    assert made.probabilities(images[:0]).shape == (0, 8)


def test_where_every_sigmoid_is_nought_all_known_are_as_likely(monkeypatch):
    made = network_of("cnn", dataclasses.replace(SMALL, output="sigmoid"), KNOWN)
    monkeypatch.setattr(made, "network", lambda x, **_: np.full((len(x), 8), -1e4))
    np.testing.assert_allclose(made.probabilities(pictures(2)[0])[:, KNOWN], 1 / 3)


def test_face_cnn_looks_twice_and_never_answers_calm():
    made = network_of("face-cnn", FACE)
    images = pictures(6, 48)[0]
    values = made.probabilities(images)
    np.testing.assert_allclose(made.probabilities(images[:, :, ::-1]), values, atol=1e-7)
    assert (values[:, EMOTIONS.index("calm")] == 0).all()
    np.testing.assert_allclose(values.sum(axis=1), 1)


def test_saved_and_loaded_it_answers_the_same_within_five_megabytes(tmp_path):
    made = network_of("face-cnn", FACE, np.array([e != "calm" for e in EMOTIONS]))
    made.save(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"model.keras", "known.npy", "settings.json"}
    assert (tmp_path / "model.keras").stat().st_size <= 5_000_000
    from emocore.models.keras.frame_network import FrameNetwork  # noqa: PLC0415 - imports TensorFlow

    loaded = FrameNetwork.load(tmp_path, "face-cnn")
    assert loaded.settings == FACE
    images = pictures(3, 100)[0]
    np.testing.assert_array_equal(loaded.probabilities(images), made.probabilities(images))
    for name in ("cnn", "transfer"):
        with pytest.raises(UserError, match=f"model.keras is no {name} of ours .*: use a bundle that you trust"):
            FrameNetwork.load(tmp_path, name)


def test_code_in_a_layer_is_refused(tmp_path):
    import keras  # noqa: PLC0415 - see above

    from emocore.models.keras.frame_network import FrameNetwork  # noqa: PLC0415 - imports TensorFlow

    marker = tmp_path / "it ran"
    path = str(marker)
    code = keras.layers.Lambda(lambda x: (Path(path).touch(), x)[1], output_shape=(16, 16, 1))
    keras.Sequential([keras.layers.Input((16, 16, 1)), code]).save(tmp_path / "model.keras")
    marker.unlink(missing_ok=True)
    np.save(tmp_path / "known.npy", KNOWN)
    (tmp_path / "settings.json").write_text(json.dumps(dataclasses.asdict(SMALL)))
    with pytest.raises(UserError, match=r"no cnn of ours .*: use a bundle that you trust") as error:
        FrameNetwork.load(tmp_path, "cnn")
    assert "\n" not in str(error.value)
    assert not marker.exists()


def test_a_missing_base_is_one_sentence(tmp_path):
    from emocore.models.keras.frame_network import load_keras  # noqa: PLC0415 - imports TensorFlow

    with pytest.raises(UserError, match=r"does not exist: give --base the model\.keras of a trained face-cnn"):
        load_keras(tmp_path / "model.keras", "face-cnn", FACE)
