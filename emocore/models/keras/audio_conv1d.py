"""A one-dimensional CNN over the MFCC frames: the other reading of the article's audio network."""

import json
from pathlib import Path
from typing import Any, Self

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from emocore.errors import UserError
from emocore.features.article import ARTICLE_FRAMES
from emocore.labels import EMOTIONS
from emocore.models.audio_settings import DEFAULTS
from emocore.models.base import Classifier, Pair, Parts, Settings
from emocore.models.foreign import read_array, read_json
from emocore.models.keras.devices import use_cpu, use_gpu
from emocore.models.keras.weights import check_weights, save_array, save_network
from emocore.storage.files import write_text

_MOST = 4_096  # filters, and clips of a batch


class Conv1dClassifier(Classifier):
    """Three convolutions over time, averaged, and a logit an emotion; `device` "cuda" in settings: a GPU."""

    def __init__(self, name: str, seed: int = 0, threads: int = 1, settings: Settings | None = None) -> None:
        self.settings = {**DEFAULTS, **(settings or {})}
        self.seed = seed
        self.network: Any = None
        self.known = np.zeros(len(EMOTIONS), bool)
        self.scale: tuple[NDArray[np.float32], NDArray[np.float32]] = (np.zeros(0, np.float32), np.zeros(0, np.float32))
        (use_gpu if self.settings.get("device") == "cuda" else use_cpu)(threads)

    def fit_parts(
        self,
        x: NDArray[np.float32],
        soft: NDArray[np.float32],
        weights: NDArray[np.float32],
        validation: Pair | None = None,
    ) -> Parts:
        """Fit on frames float32[n, 157, 39], soft labels [n, k], and the classes' weights [k]; yield after every epoch.

        With a validation pair, stops where its loss is least and returns {"epochs": that epoch}; else all epochs.
        """
        tf.config.experimental.enable_op_determinism()
        settings, self.known = self.settings, weights > 0
        weight = soft @ weights  # of each clip
        soft = soft / soft.sum(axis=1, keepdims=True)
        self.scale = (x.mean(axis=(0, 1)), x.var(axis=(0, 1)) + 1e-6)
        self.network = _build(settings, x.shape[1:], self.scale, soft.shape[1], self.seed)
        size = int(settings["batch_size"])
        # The schedule is that of all epochs, so that a fit over fewer is the first part of the same training.
        steps = max(1, -(-len(x) // size)) * settings["schedule_epochs"]
        schedule = keras.optimizers.schedules.CosineDecay(settings["learning_rate"], steps)
        learn, judge = _steps(self.network, keras.optimizers.AdamW(schedule))
        best, losses = self.network.get_weights(), []
        for epoch in range(settings["epochs"]):
            # A seed an epoch: the order of the clips does not depend on what was computed between two of them.
            order = np.random.default_rng([self.seed, epoch]).permutation(len(x))
            batches = (order[i : i + size] for i in range(0, len(x), size))
            if not np.isfinite(sum(float(learn(x[rows], soft[rows], weight[rows])) for rows in batches)):
                raise UserError(
                    "The loss became NaN while training audio-conv1d: look for clips without speech in the data, or "
                    "lower the learning rate."
                )
            if validation is not None:
                cuts = [slice(i, i + size) for i in range(0, len(validation[0]), size)]
                losses.append(sum(float(judge(*(side[cut] for side in validation))) for cut in cuts))
            if losses and losses[-1] == min(losses):
                best = self.network.get_weights()
            if len(losses) - np.argmin(losses or [0]) > settings["patience"]:
                break
            if epoch + 1 < settings["epochs"]:
                yield (epoch + 1) / settings["epochs"]
        if losses:
            self.network.set_weights(best)
        yield 1.0
        return {"epochs": 1 + int(np.argmin(losses))} if losses else {}

    def logits(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return float64[n, k]; −inf where the class was absent from training."""
        # One shape of batch: TensorFlow's sums differ in the last bits with the batch's size.
        size = int(self.settings["batch_size"])
        padded = np.concatenate([x, np.zeros((-len(x) % size, *x.shape[1:]), np.float32)])
        parts = [self.network(padded[i : i + size], training=False) for i in range(0, len(padded), size)]
        values = np.concatenate(parts)[: len(x)] if parts else np.zeros((0, len(self.known)))
        return np.where(self.known, values.astype(np.float64), -np.inf)

    def save(self, folder: Path) -> None:
        """Write model.keras, the classes that it knows, its settings, and the scale of its inputs."""
        save_network(folder / "model.keras", self.network)
        save_array(folder / "known.npy", self.known)
        save_array(folder / "scale.npy", np.stack(self.scale))
        write_text(folder / "settings.json", json.dumps(self.settings) + "\n")

    def answer_for(self, n_emotions: int) -> None:
        """Raise ValueError unless it answers for so many emotions."""
        if len(self.known) != n_emotions:
            raise ValueError(f"its network answers for {len(self.known)} emotions, and its bundle names {n_emotions}")

    @classmethod
    def load(cls, folder: Path, name: str) -> Self:
        """Read what `save` wrote: our own network takes the file's weights; of its layers nothing is read."""
        told = read_json(folder / "settings.json")
        sizes = {key: told.get(key) if isinstance(told, dict) else None for key in ("filters", "batch_size")}
        if not all(isinstance(size, int) and 1 <= size <= _MOST for size in sizes.values()):
            raise UserError(f"{folder / 'settings.json'} is not of an audio-conv1d of ours: train it again.")
        classifier = cls(name, settings=sizes)
        classifier.known = read_array(folder / "known.npy", (None,), bool)
        mean, variance = read_array(folder / "scale.npy", (2, ARTICLE_FRAMES.shape[1]), np.float32)
        classifier.scale = (mean, variance)
        check_weights(folder / "model.keras")
        classifier.network = _build(classifier.settings, ARTICLE_FRAMES.shape, classifier.scale, len(classifier.known))
        try:
            classifier.network.load_weights(folder / "model.keras")
        except Exception as error:  # Keras raises what its readers happen to meet
            cause = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise UserError(
                f"{folder / 'model.keras'} is no {name} of ours ({cause}): use a bundle that you trust."
            ) from error
        return classifier


def _steps(network: Any, optimizer: Any) -> tuple[Any, Any]:
    """Return a step of learning, of clips float32[n, …], soft labels [n, k] and weights [n], and one of judging.

    The first returns the mean of the losses, the second, which takes no weights, their sum.
    """
    variables = network.trainable_variables
    optimizer.build(variables)

    def losses(x: Any, soft: Any, training: bool) -> Any:
        return tf.nn.softmax_cross_entropy_with_logits(soft, network(x, training=training))

    def learn(x: Any, soft: Any, weights: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(losses(x, soft, training=True) * weights)
        optimizer.apply(tape.gradient(loss, [variable.value for variable in variables]), variables)
        return loss

    def judge(x: Any, soft: Any) -> Any:
        return tf.reduce_sum(losses(x, soft, training=False))

    inputs = tf.TensorSpec([None, *network.input_shape[1:]], tf.float32), tf.TensorSpec([None, None], tf.float32)
    weights = tf.TensorSpec([None], tf.float32)
    # Without AutoGraph there is no source to rewrite, and no file of it in the temporary folder.
    return tf.function(learn, [*inputs, weights], autograph=False), tf.function(judge, inputs, autograph=False)


def _build(
    settings: Settings,
    shape: tuple[int, ...],
    scale: tuple[NDArray[np.float32], NDArray[np.float32]],
    n_emotions: int,
    seed: int = 0,
) -> Any:
    """Return the network; its weights, and what it drops, are drawn from seeds of its own."""
    mean, variance = scale
    seeds = iter(np.random.SeedSequence(seed).generate_state(8).tolist())
    layers: list[Any] = [
        keras.layers.Input(shape),
        keras.layers.Normalization(axis=-1, mean=mean, variance=variance),
    ]
    for multiple, width in ((1, 7), (2, 5), (2, 3)):
        drawn = keras.initializers.GlorotUniform(next(seeds))
        layers += [
            keras.layers.Conv1D(
                settings["filters"] * multiple, width, padding="same", use_bias=False, kernel_initializer=drawn
            ),
            keras.layers.BatchNormalization(),
            keras.layers.Activation("relu"),
            keras.layers.MaxPooling1D(2),
            keras.layers.SpatialDropout1D(settings["dropout"] / 2, seed=next(seeds)),
        ]
    layers += [
        keras.layers.GlobalAveragePooling1D(),
        keras.layers.Dropout(settings["dropout"], seed=next(seeds)),
        keras.layers.Dense(n_emotions, kernel_initializer=keras.initializers.GlorotUniform(next(seeds))),
    ]
    return keras.Sequential(layers)
