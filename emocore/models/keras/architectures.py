"""The frame networks, layer by layer: from grey levels float32[n, pixels, pixels, 1] of 0 … 255 to logits."""

from typing import Any

import keras
import numpy as np

from emocore.models.keras.face_cnn import HEAD_LAYERS, build_face_network
from emocore.models.network_settings import FACE_EMOTIONS, NetworkSettings

_SMALLEST_MAP = 8  # pixels: the convolutions of `cnn` stop where their map would become smaller


def set_trunk(network: Any, settings: NetworkSettings, epoch: int) -> bool:
    """Freeze or thaw the trunk of `transfer` for an epoch (from 0 on); return whether that changed anything.

    Batch normalisation stays as the base learnt it: frozen, it uses the base's statistics.
    """
    thawed = settings.recipe == "fine-tune" and epoch >= settings.frozen_epochs
    changed = False
    for layer in _trunk_layers(network):
        learns = thawed and not isinstance(layer, keras.layers.BatchNormalization)
        changed = changed or layer.trainable != learns
        layer.trainable = learns
    return changed


def build_cnn(settings: NetworkSettings) -> Any:
    """The article's sequence of convolution, ReLU, max-pooling, batch normalisation and dropout, then dense layers."""
    layers: list[Any] = [
        keras.layers.Input((settings.pixels, settings.pixels, 1)),
        keras.layers.Rescaling(1 / 127.5, offset=-1.0),
    ]
    side = settings.pixels
    for i, filters in enumerate(settings.filters):
        if i and side // 2 < _SMALLEST_MAP:
            break
        side //= 2
        layers += [
            # No bias before batch normalisation, which would take it away again; its statistics are over all workers.
            keras.layers.Conv2D(filters, 3, padding="same", use_bias=False, kernel_initializer="he_normal"),
            keras.layers.Activation("relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.BatchNormalization(synchronized=True),
            keras.layers.Dropout(settings.dropout / 3),
        ]
    layers += [
        keras.layers.Flatten(),
        # Without statistics of its own this layer dies within an epoch on few and changed pictures.
        keras.layers.Dense(settings.dense, use_bias=False),
        keras.layers.BatchNormalization(synchronized=True),
        keras.layers.Activation("relu"),
        keras.layers.Dropout(settings.dropout),
        keras.layers.Dense(len(settings.emotions)),
    ]
    return keras.Sequential(layers, name="cnn")


def build_transfer(settings: NetworkSettings, base: Any) -> Any:
    """The trunk of a face-cnn, whose weights it takes from `base` where that is not None, and a head of its own."""
    # Built anew: the base may have been loaded in another precision, and outside the strategy's scope.
    face = build_face_network(len(FACE_EMOTIONS), settings.dropout)
    if base is not None:
        face.set_weights(base.get_weights())
    if settings.recipe == "article":
        x = face.layers[-HEAD_LAYERS - 1].output
        x = keras.layers.Conv2D(64, 3, padding="same", name="head_features")(x)
        x = keras.layers.Activation("relu", name="head_activation")(x)
        x = keras.layers.Conv2D(len(settings.emotions), 3, padding="same", name="head_emotions")(x)
        logits = keras.layers.GlobalAveragePooling2D(name="head_logits")(x)
    else:
        last = keras.layers.Dense(len(settings.emotions), name="head_logits")
        logits = last(face.layers[-2].output)
        # Eight answers out of seven: calm starts as neutral, its nearest, as does any other that faces do not know.
        known = (emotion if emotion in FACE_EMOTIONS else "neutral" for emotion in settings.emotions)
        columns = [FACE_EMOTIONS.index(emotion) for emotion in known]
        last.set_weights([np.take(weights, columns, axis=-1) for weights in face.layers[-1].get_weights()])
    network = keras.Model(face.input, logits, name="transfer")
    set_trunk(network, settings, epoch=0)
    return network


def _trunk_layers(network: Any) -> list[Any]:
    """The layers of the base that stand before its last five."""
    if network.name != "transfer":
        return []
    own = [layer for layer in network.layers if not layer.name.startswith("head_")]
    return [layer for layer in own if len(layer.output.shape) == 4]
