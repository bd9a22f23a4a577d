"""The network behind `face-cnn`: a compact residual CNN over grey faces of 48 × 48 pixels, seven emotions."""

from typing import Any

import keras

from emocore.models.network_settings import FACE_PIXELS

HEAD_LAYERS = 5  # what `transfer` cuts off; the rest ends in a feature map


def build_face_network(classes: int, dropout: float = 0.4) -> Any:
    """Return a network from grey levels float32[n, 48, 48, 1] of 0 … 255 to logits [n, classes].

    0.9 million weights. Its last five layers are its head; before them stands a map of 6 × 6 × 192 features.
    """
    inputs = keras.layers.Input((FACE_PIXELS, FACE_PIXELS, 1))
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(inputs)
    x = keras.layers.Activation("relu")(_convolved(x, 32))
    for filters, blocks in ((48, 1), (96, 2), (192, 1)):
        x = keras.layers.MaxPooling2D()(x)
        for _ in range(blocks):
            x = _residual(x, filters)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dense(128)(x)
    x = keras.layers.Activation("relu")(x)
    x = keras.layers.Dropout(dropout)(x)
    return keras.Model(inputs, keras.layers.Dense(classes)(x), name="face-cnn")


def _residual(x: Any, filters: int) -> Any:
    y = keras.layers.Activation("relu")(_convolved(x, filters))
    y = _convolved(y, filters)
    if x.shape[-1] != filters:
        x = _convolved(x, filters, width=1)
    return keras.layers.Activation("relu")(keras.layers.Add()([x, y]))


def _convolved(x: Any, filters: int, width: int = 3) -> Any:
    x = keras.layers.Conv2D(filters, width, padding="same", use_bias=False, kernel_initializer="he_normal")(x)
    # Statistics over all workers: otherwise each keeps its own, and they drift apart.
    return keras.layers.BatchNormalization(synchronized=True)(x)
