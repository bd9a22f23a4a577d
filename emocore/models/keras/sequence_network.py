"""A network over sequences of any length: dilated convolutions in time, and a pooling that attends to parts of them."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from emocore.models.base import Settings

_WIDTH = 3  # steps that a convolution of a block sees
_LEAST_VARIANCE = 1e-5
_NEVER = -1e9  # what a step that is not there has for a score


def build_sequence_network(settings: Settings, n_values: int, n_emotions: int, seed: int = 0) -> Any:
    """Return a network from float32[n, steps, n_values] and which steps are there, float32[n, steps, 1], to logits.

    `filters`, `blocks`, `stride` and `dropout` are read from the settings. Steps that are not there change nothing,
    however many they are: each convolution finds zeros in their place, as it does beyond the end, and batch
    normalisation and pooling leave them out. Weights, and what is dropped, are drawn from seeds of their own.

    Residual blocks of growing dilation as in Peddinti et al., "A time delay neural network architecture" (2015); mean
    and deviation by attention as in Okabe et al., "Attentive statistics pooling" (2018).
    """
    seeds = iter(np.random.SeedSequence(seed).generate_state(64).tolist())
    filters, dropout = settings["filters"], settings["dropout"]
    values = keras.layers.Input((None, n_values), name="values")
    steps = keras.layers.Input((None, 1), name="there")
    x = _convolution(_beside_their_mean(values, steps), filters, 5, 1, settings["stride"], seeds)
    there = steps[:, :: settings["stride"]]
    x = _normalised(x, there)
    for block in range(settings["blocks"]):
        y = _convolution(x, filters, _WIDTH, 2 ** (block % 4), 1, seeds)
        y = keras.layers.SpatialDropout1D(dropout / 2, seed=next(seeds))(_normalised(y, there))
        x = x + y
    pooled = keras.layers.Dropout(min(2 * dropout, 0.9), seed=next(seeds))(_attended(x, there, seeds))
    last = keras.layers.Dense(n_emotions, kernel_initializer=keras.initializers.GlorotUniform(next(seeds)))
    return keras.Model([values, steps], last(pooled), name="audio-cnn")


def _beside_their_mean(values: Any, there: Any) -> Any:
    """Return each value, and by how much it is above the mean of its sequence: a voice and a room shift all of it."""
    x = values * there
    mean = ops.sum(x, axis=1, keepdims=True) / ops.maximum(ops.sum(there, axis=1, keepdims=True), 1)
    return ops.concatenate([x, (x - mean) * there], axis=-1)


def _convolution(x: Any, filters: int, width: int, dilation: int, stride: int, seeds: Iterator[int]) -> Any:
    """Convolve in time; with a stride, output i stands for step i · stride, however long the sequence is."""
    before = dilation * (width // 2)
    return keras.layers.Conv1D(
        filters,
        width,
        strides=stride,
        dilation_rate=dilation,
        use_bias=False,
        kernel_initializer=keras.initializers.HeNormal(next(seeds)),
    )(keras.layers.ZeroPadding1D(before)(x))


def _normalised(x: Any, there: Any) -> Any:
    """Batch normalisation over the steps that are there, ReLU, and zeros elsewhere."""
    x = keras.layers.BatchNormalization(momentum=0.95)(x, mask=there[..., 0] > 0)
    return keras.layers.Activation("relu")(x) * there


def _attended(x: Any, there: Any, seeds: Iterator[int]) -> Any:
    """Mean and deviation over time, weighted by a score that the network gives each step."""
    drawn = [keras.initializers.GlorotUniform(next(seeds)) for _ in range(2)]
    scores = keras.layers.Dense(64, activation="tanh", kernel_initializer=drawn[0])(x)
    scores = keras.layers.Dense(1, kernel_initializer=drawn[1])(scores)
    shares = ops.softmax(scores + (1 - there) * _NEVER, axis=1)
    mean = ops.sum(shares * x, axis=1)
    variance = ops.sum(shares * ops.square(x - mean[:, None, :]), axis=1)
    return ops.concatenate([mean, ops.sqrt(variance + _LEAST_VARIANCE)], axis=-1)
