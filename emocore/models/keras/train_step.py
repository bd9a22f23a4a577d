"""One step of training under a distribution strategy, the same for one worker and for many."""

import dataclasses
import hashlib
import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from emocore.models.catalogue import build_network, input_pixels
from emocore.models.keras.architectures import set_trunk
from emocore.models.network_settings import NetworkSettings

Batch = tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32]]  # pictures, soft labels, weights


class Score(NamedTuple):
    """Means over frames, of all workers: the loss, and the share whose largest logit is at the largest label."""

    loss: float
    accuracy: float


class Stepper:
    """A network and its optimizer under a strategy; `steps_per_epoch` places the schedule."""

    def __init__(
        self, name: str, settings: NetworkSettings, steps_per_epoch: int, strategy: Any, seed: int, base: Any = None
    ) -> None:
        self.settings, self.strategy = settings, strategy
        self.pixels = input_pixels(name, settings)
        self.iterations = 0
        with strategy.scope():
            keras.utils.set_random_seed(seed)
            self.network = build_network(name, settings, base)
            # What is validated and saved: the running mean of the weights, or the weights themselves.
            self.average = build_network(name, settings) if settings.average else self.network
            self.optimizer = _build_optimizer(settings, steps_per_epoch)
            set_trunk(self.network, settings, epoch=settings.epochs)
            self.optimizer.build(self.network.trainable_variables)
            set_trunk(self.network, settings, epoch=0)
        if settings.average:
            self.average.set_weights(self.network.get_weights())
        self._compile()

    def begin_epoch(self, epoch: int) -> None:
        """Freeze or thaw what the recipe says for this epoch, from 0 on."""
        with self.strategy.scope():
            if set_trunk(self.network, self.settings, epoch):
                self._compile()

    def train(self, batch: Batch) -> Any:
        """Learn from this worker's share of a batch; return its sums, to be given to `score`."""
        sums = self._train_step(*batch)
        self.iterations += 1
        return sums

    def validate(self, batches: Iterable[Batch]) -> Any:
        """Return this worker's sums over batches, which it need not have as many of as the others."""
        sums = tf.zeros(3, tf.float64)
        for batch in batches:
            sums += self._validate_step(*batch)
        return sums

    def score(self, sums: Any) -> Score:
        """Return the means over all workers, each of which must call this."""
        loss, right, frames = (float(value) for value in self._reduce(sums))
        return Score(loss / max(frames, 1), right / max(frames, 1))

    def state(self) -> dict[str, list[NDArray[Any]]]:
        """Return all that the next step depends on, as arrays by group."""
        groups = {"variables": self.network.variables, "optimizer": self.optimizer.variables}
        if self.settings.average:
            groups["average"] = self.average.variables
        return {group: [_array(variable) for variable in variables] for group, variables in groups.items()}

    def restore(self, groups: dict[str, list[NDArray[Any]]]) -> None:
        """Set what `state` returned."""
        targets = {"variables": self.network.variables, "optimizer": self.optimizer.variables}
        if self.settings.average:
            targets["average"] = self.average.variables
        for group, variables in targets.items():
            for variable, value in zip(variables, groups[group], strict=True):
                variable.assign(value)
        self.iterations = int(_array(self.optimizer.iterations))

    def weights(self) -> list[NDArray[Any]]:
        """Return the weights that are validated and saved."""
        return [np.asarray(weight) for weight in self.average.get_weights()]

    def agree(self, equal: bool) -> bool:
        """Whether something holds on all workers, each of which must call this."""
        return self.score(tf.constant([float(not equal), 0.0, 1.0], tf.float64)).loss == 0

    def digest(self) -> str:
        """Return a hash of all weights and statistics: equal on all workers, or they have drifted apart."""
        found = hashlib.sha256()
        for weight in self.network.weights:
            found.update(_array(weight).tobytes())
        return found.hexdigest()[:16]

    def _compile(self) -> None:
        strategy, average = self.strategy, self.settings.average

        @tf.function(autograph=False)  # type: ignore[untyped-decorator] # TensorFlow has no types here
        def train_step(images: Any, soft: Any, weights: Any) -> Any:
            sums = strategy.run(self._learn, (images, soft, weights))
            if average:
                self._follow()
            return sums

        @tf.function(autograph=False)  # type: ignore[untyped-decorator] # TensorFlow has no types here
        def validate_step(images: Any, soft: Any, weights: Any) -> Any:
            return strategy.run(self._sums, (images, soft, weights))

        @tf.function(autograph=False)  # type: ignore[untyped-decorator] # TensorFlow has no types here
        def reduce(sums: Any) -> Any:
            return strategy.run(_over_workers, (sums,))

        self._train_step, self._validate_step, self._reduce = train_step, validate_step, reduce

    def _learn(self, images: Any, soft: Any, weights: Any) -> Any:
        variables = [variable.value for variable in self.network.trainable_variables]
        with tf.GradientTape() as tape:
            losses, right = self._losses(self.network, images, soft, training=True)
            # Of the global batch: the optimizer sums the gradients of all workers.
            loss = tf.reduce_sum(losses * tf.cast(weights, losses.dtype)) / self.settings.batch_size
        self.optimizer.apply(tape.gradient(loss, variables), self.network.trainable_variables)
        return _sum_up(losses, right, weights, tf.shape(weights)[0])

    def _sums(self, images: Any, soft: Any, weights: Any) -> Any:
        losses, right = self._losses(self.average, images, soft, training=False)
        # A batch is filled up with pictures of no weight.
        return _sum_up(losses, right, weights, tf.math.count_nonzero(weights))

    def _losses(self, network: Any, images: Any, soft: Any, training: bool) -> tuple[Any, Any]:
        pictures = tf.cast(images[..., None], keras.config.floatx())
        logits = network(pictures, training=training)
        # In mixed precision the sums that follow need more digits than the layers.
        logits = tf.cast(logits, keras.config.floatx())
        target = tf.cast(soft, logits.dtype)
        if training and self.settings.label_smoothing:
            share = self.settings.label_smoothing
            target = target * (1 - share) + share / target.shape[-1]
        if self.settings.output == "sigmoid":
            losses = tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(target, logits), axis=-1)
        else:
            losses = tf.nn.softmax_cross_entropy_with_logits(target, logits)
        return losses, tf.argmax(logits, axis=-1) == tf.argmax(soft, axis=-1)

    def _follow(self) -> None:
        # Early on the mean follows faster, so that it forgets the weights that chance drew.
        done = tf.cast(self.optimizer.iterations.value, "float32")
        keep = tf.minimum(self.settings.average, (1.0 + done) / (10.0 + done))
        for mean, weight in zip(self.average.weights, self.network.weights, strict=True):
            self.strategy.extended.update(mean.value, _move_towards, args=(weight.value, keep))


class Schedule(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc] # Keras has no types here
    """A warm-up in a line, then a constant rate or half a cosine; a lower rate, warmed up too, once the trunk thaws."""

    def __init__(self, settings: NetworkSettings, steps_per_epoch: int) -> None:
        self.rate, self.cosine = settings.learning_rate, settings.schedule == "cosine"
        self.warmup_steps = settings.warmup_epochs * steps_per_epoch
        self.total_steps = settings.epochs * steps_per_epoch
        thaws = settings.recipe == "fine-tune"
        self.thaw_step = settings.frozen_epochs * steps_per_epoch if thaws else math.inf
        self.thaw_rate = settings.thaw_rate

    def __call__(self, step: Any) -> Any:
        """Return the rate of a step, from 0 on."""
        step = tf.cast(step, "float64")
        rate = tf.constant(self.rate, "float64")
        if self.cosine:
            part = (step - self.warmup_steps) / max(self.total_steps - self.warmup_steps, 1.0)
            rate *= 0.5 * (1 + tf.cos(math.pi * tf.clip_by_value(part, 0.0, 1.0)))
        if self.warmup_steps:
            rate = tf.minimum(rate, self.rate * (step + 1) / self.warmup_steps)
        if math.isinf(self.thaw_step):
            return rate
        # As long a warm-up as the trunk was frozen.
        part = tf.minimum((step - self.thaw_step + 1) / max(self.thaw_step, 1.0), 1.0)
        return rate * tf.where(step >= self.thaw_step, self.thaw_rate * part, 1.0)

    def get_config(self) -> dict[str, Any]:
        """Return what Keras would save; the optimizer is never saved with the network."""
        return dict(vars(self))


def _build_optimizer(settings: NetworkSettings, steps_per_epoch: int) -> Any:
    # A trunk that thaws late has no means of its squared gradients yet: they must fill within its warm-up.
    beta_2 = 0.99 if settings.recipe == "fine-tune" else 0.999
    optimizer = keras.optimizers.AdamW(
        Schedule(settings, steps_per_epoch), weight_decay=settings.weight_decay, beta_2=beta_2
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def _sum_up(losses: Any, right: Any, weights: Any, frames: Any) -> Any:
    counted = tf.cast(right, tf.float64) * tf.cast(weights > 0, tf.float64)
    total = tf.reduce_sum(tf.cast(losses, tf.float64) * tf.cast(weights, tf.float64))
    return tf.stack([total, tf.reduce_sum(counted), tf.cast(frames, tf.float64)])


def _over_workers(sums: Any) -> Any:
    # The copy stands on the worker's device, which the reduction asks for.
    return tf.distribute.get_replica_context().all_reduce("SUM", tf.identity(sums))


def _move_towards(mean: Any, weight: Any, keep: Any) -> Any:
    share = tf.cast(1 - keep, mean.dtype)
    return mean.assign_add((tf.cast(weight, mean.dtype) - mean) * share)


def _array(variable: Any) -> NDArray[Any]:
    return np.asarray(variable.numpy() if hasattr(variable, "numpy") else keras.ops.convert_to_numpy(variable))


def final_network(name: str, settings: NetworkSettings, weights: list[NDArray[Any]]) -> Any:
    """Return the network in float32 with these weights, outside any strategy, to be saved."""
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")
    network = build_network(name, dataclasses.replace(settings, precision="float32"))
    network.set_weights(weights)
    return network
