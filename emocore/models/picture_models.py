"""The networks that see: the article's CNN, its transfer from faces, and the face network, with their settings."""

from typing import Any

from emocore.features.pictures import PICTURES
from emocore.models.augment import Augmentation
from emocore.models.base import ModelSpec, NetworkSpec, Settings
from emocore.models.network_settings import FACE_EMOTIONS, FACE_PIXELS, NetworkSettings, outputs_of

_SEARCHED = (
    *("learning_rate", "schedule", "warmup_epochs", "epochs", "steps_per_epoch", "batch_size", "patience"),
    *("dropout", "weight_decay", "label_smoothing", "average", "filters", "dense", "output"),
)


_OF_TRANSFER = ("recipe", "frozen_epochs", "thaw_rate", "base")
_OF_CNN = ("filters", "dense")


def _cnn(settings: NetworkSettings) -> Any:
    from emocore.models.keras.architectures import build_cnn  # noqa: PLC0415 - TensorFlow takes seconds to import

    return build_cnn(settings)


def _transfer(settings: NetworkSettings, base: Any = None) -> Any:
    from emocore.models.keras.architectures import build_transfer  # noqa: PLC0415 - as above

    return build_transfer(settings, base)


def _face_cnn(settings: NetworkSettings) -> Any:
    from emocore.models.keras.face_cnn import build_face_network  # noqa: PLC0415 - as above

    return build_face_network(len(outputs_of(FACE_EMOTIONS, settings)), settings.dropout)


def _cnn_parameters() -> Settings:
    return {name: getattr(CNN_SETTINGS, name) for name in _SEARCHED}


CNN_SETTINGS = NetworkSettings()  # the article's
FACE_SETTINGS = NetworkSettings(  # what trained the shipped weights
    epochs=60,
    steps_per_epoch=None,
    batch_size=128,
    learning_rate=2e-3,
    warmup_epochs=2,
    weight_decay=0.02,
    label_smoothing=0.1,
    average=0.999,
    dropout=0.4,
    patience=20,
    pixels=48,
    augmentation=Augmentation(True, 0.1, 15.0, 0.15, 0.15, 0.25, 0.3),
)
CNN = ModelSpec(
    "cnn",
    (PICTURES.name,),
    network=NetworkSpec(_cnn, CNN_SETTINGS, unread=_OF_TRANSFER),
    parameters=_cnn_parameters,
    chooses=True,
    answers_on="gpu",
)
FACE_CNN = ModelSpec(
    "face-cnn",
    (PICTURES.name,),
    network=NetworkSpec(
        _face_cnn,
        FACE_SETTINGS,
        FACE_EMOTIONS,
        input_pixels=FACE_PIXELS,
        frame_pixels=FACE_PIXELS,
        unread=(*_OF_TRANSFER, *_OF_CNN),
        mirrored=True,
    ),
    chooses=True,
    answers_on="gpu",
    balanced=False,
    protocol="given",
    shipped=True,
)
TRANSFER = ModelSpec(
    "transfer",
    (PICTURES.name,),
    network=NetworkSpec(
        _transfer, NetworkSettings(pixels=48), input_pixels=FACE_PIXELS, unread=_OF_CNN, base=FACE_CNN.name
    ),
    chooses=True,
    answers_on="gpu",
)
