"""A CNN over log-mel sequences, trained from scratch on clips that are changed anew in every epoch."""

import json
import warnings
from pathlib import Path
from typing import Any, Self

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from emocore.errors import UserError
from emocore.features.family import ABSENT
from emocore.features.logmel import VALUES
from emocore.labels import EMOTIONS
from emocore.models.audio_settings import CNN_DEFAULTS
from emocore.models.base import Classifier, Pair, Parts, Settings
from emocore.models.foreign import read_array, read_json
from emocore.models.keras.devices import use_cpu, use_gpu
from emocore.models.keras.sequence_network import build_sequence_network
from emocore.models.keras.weights import check_weights, save_array, save_network
from emocore.models.sequence_augment import Changes, Sequences, change, mask, mix
from emocore.storage.files import write_text

_MOST = {"filters": 4_096, "blocks": 16, "stride": 8, "seeds": 64}  # of a network that is read


class AudioCnnClassifier(Classifier):
    """The mean logits of `seeds` networks that differ in what chance drew; `device` "cuda" in settings: a GPU.

    The epochs are fixed: the learning rate rises and falls once over all of them, and the last are the best.
    """

    def __init__(self, name: str, seed: int = 0, threads: int = 1, settings: Settings | None = None) -> None:
        self.settings = {**CNN_DEFAULTS, **(settings or {})}
        self.seed = seed
        self.networks: list[Any] = []
        self._answers: list[Any] = []
        self.known = np.zeros(len(EMOTIONS), bool)
        self.scale = np.zeros((2, 0), np.float32)  # means and deviations of the values
        (use_gpu if self.settings.get("device") == "cuda" else use_cpu)(threads)

    def fit_parts(
        self,
        x: NDArray[np.float32],
        soft: NDArray[np.float32],
        weights: NDArray[np.float32],
        validation: Pair | None = None,
    ) -> Parts:
        """Fit on sequences float32[n, steps, values] that end in ABSENT steps, soft labels [n, k] and weights [k].

        Yields after every epoch.
        """
        tf.config.experimental.enable_op_determinism()
        clips = sequences(x)
        self.known, self.scale, self.networks, self._answers = weights > 0, _scale(clips), [], []
        seeds, epochs = self.settings["seeds"], self.settings["epochs"]
        for number in range(seeds):
            network = self._add_network()
            learn = _step(network, self._optimizer(len(soft)))
            for epoch in range(epochs):
                # A generator an epoch: what it draws does not depend on what was computed between two of them.
                random = np.random.default_rng([self.seed, number, epoch])
                if not np.isfinite(self._learn_epoch(learn, clips, soft, weights, random)):
                    raise UserError(
                        "The loss became NaN while training audio-cnn: look for clips without speech in the data, or "
                        "lower the learning rate."
                    )
                if (number, epoch) != (seeds - 1, epochs - 1):
                    yield (number * epochs + epoch + 1) / (seeds * epochs)
        yield 1.0
        return {}

    def _learn_epoch(
        self,
        learn: Any,
        clips: Sequences,
        soft: NDArray[np.float32],
        weights: NDArray[np.float32],
        random: np.random.Generator,
    ) -> float:
        """Learn from every clip once, in an order and by changes that are drawn; return the sum of the losses."""
        how, size, smoothing = Changes(), self.settings["batch_size"], self.settings["label_smoothing"]
        evenly = (self.known / self.known.sum()).astype(np.float32)
        order, total = random.permutation(len(soft)), 0.0
        for i in range(0, len(order), size):
            rows = order[i : i + size]
            batch = change(_taken(clips, rows), how, random)
            batch = mask(self._standardised(batch), how, random)
            batch, target = mix(batch, soft[rows], self.settings["mixup"], random)
            smooth = target * (1 - smoothing) + target.sum(axis=1, keepdims=True) * evenly * smoothing
            total += float(learn(batch.values, batch.there, smooth, target @ weights))
        return total

    def _add_network(self) -> Any:
        """Return one more network, which answers too from now on."""
        drawn = int(np.random.SeedSequence([self.seed, len(self.networks)]).generate_state(1)[0])
        network = build_sequence_network(self.settings, self.scale.shape[1], len(self.known), drawn)
        self.networks.append(network)
        self._answers.append(_function(lambda *clips: network(clips, training=False), network))
        return network

    def _optimizer(self, n: int) -> Any:
        """AdamW whose rate rises over the first fifth of the training and falls to nothing over the rest."""
        steps = -(-n // self.settings["batch_size"]) * self.settings["epochs"]
        rate = self.settings["learning_rate"]
        rise = max(1, steps // 5)
        schedule = keras.optimizers.schedules.CosineDecay(rate / 25, max(1, steps - rise), 0.0, "rate", rate, rise)
        return keras.optimizers.AdamW(schedule, weight_decay=self.settings["weight_decay"], clipnorm=5.0)

    def _standardised(self, clips: Sequences) -> Sequences:
        mean, deviation = self.scale
        return Sequences((clips.values - mean) / deviation * clips.there, clips.lengths)

    def logits(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return float64[n, k]; −inf where the class was absent from training."""
        clips, values = sequences(x), np.zeros((len(x), len(self.known)))
        # One clip at a time: TensorFlow's sums differ in their last bits with the shape, and with what stands beside.
        for row in range(len(x)):
            clip = self._standardised(_taken(clips, np.array([row])))
            values[row] = np.mean([answer(clip.values, clip.there) for answer in self._answers], axis=0)[0]
        return np.where(self.known, values, -np.inf)

    def save(self, folder: Path) -> None:
        """Write model-0.keras and the others, the classes that it knows, its settings, and the scale of its inputs."""
        for number, network in enumerate(self.networks):
            save_network(folder / f"model-{number}.keras", network)
        save_array(folder / "known.npy", self.known)
        save_array(folder / "scale.npy", self.scale)
        write_text(folder / "settings.json", json.dumps(self.settings) + "\n")

    def answer_for(self, n_emotions: int) -> None:
        """Raise ValueError unless it answers for so many emotions."""
        if len(self.known) != n_emotions:
            raise ValueError(f"its networks answer for {len(self.known)} emotions, and its bundle names {n_emotions}")

    @classmethod
    def load(cls, folder: Path, name: str) -> Self:
        """Read what `save` wrote: our own networks take the files' weights; of their layers nothing is read."""
        told = read_json(folder / "settings.json")
        sizes = {key: told.get(key) if isinstance(told, dict) else None for key in _MOST}
        if not all(type(size) is int and 1 <= size <= _MOST[key] for key, size in sizes.items()):
            raise UserError(f"{folder / 'settings.json'} is not of an audio-cnn of ours: train it again.")
        classifier = cls(name, settings=sizes)
        classifier.known = read_array(folder / "known.npy", (None,), bool)
        classifier.scale = read_array(folder / "scale.npy", (2, len(VALUES)), np.float32)
        for number in range(classifier.settings["seeds"]):
            path = folder / f"model-{number}.keras"
            check_weights(path)
            network = classifier._add_network()
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("error", UserWarning)  # that a layer is not in the file, and stays as drawn
                    network.load_weights(path)
            except Exception as error:  # Keras raises what its readers happen to meet
                cause = (str(error).strip() or type(error).__name__).splitlines()[0]
                raise UserError(f"{path} is no {name} of ours ({cause}): use a bundle that you trust.") from error
        return classifier


def sequences(x: NDArray[np.float32]) -> Sequences:
    """Return inputs float32[n, steps, values] up to the longest one's last step that is not ABSENT, and all lengths."""
    there = (x != np.float32(ABSENT)).any(axis=2)
    lengths = np.maximum(there.sum(axis=1), 1).astype(np.int64)
    longest = lengths.max(initial=1)
    return Sequences(np.where(there[:, :longest, None], x[:, :longest], np.float32(0)), lengths)


def _taken(clips: Sequences, rows: NDArray[np.int64]) -> Sequences:
    """Return these rows, of as many steps as the longest of them has."""
    lengths = clips.lengths[rows]
    return Sequences(clips.values[rows, : lengths.max()], lengths)


def _scale(clips: Sequences) -> NDArray[np.float32]:
    """Return means and deviations of the values over all steps that are there, float32[2, values]."""
    steps = clips.values[clips.there[..., 0] > 0].astype(np.float64)
    return np.stack([steps.mean(axis=0), np.sqrt(steps.var(axis=0) + 1e-6)]).astype(np.float32)


def _step(network: Any, optimizer: Any) -> Any:
    """Return a step of learning, of clips, which steps are there, soft labels [n, k] and weights [n] → mean loss."""
    variables = network.trainable_variables
    optimizer.build(variables)

    def learn(values: Any, there: Any, soft: Any, weights: Any) -> Any:
        with tf.GradientTape() as tape:
            losses = tf.nn.softmax_cross_entropy_with_logits(soft, network([values, there], training=True))
            loss = tf.reduce_mean(losses * weights)
        optimizer.apply(tape.gradient(loss, [variable.value for variable in variables]), variables)
        return loss

    return _function(learn, network, tf.TensorSpec([None, None], tf.float32), tf.TensorSpec([None], tf.float32))


def _function(compute: Any, network: Any, *others: Any) -> Any:
    """Return a function of what the network takes, and of others, that is traced once for all lengths."""
    of_clips = [tf.TensorSpec([None, None, side.shape[2]], tf.float32) for side in network.inputs]
    # Without AutoGraph there is no source to rewrite, and no file of it in the temporary folder.
    return tf.function(compute, [*of_clips, *others], autograph=False)
