"""The models by name. A new one is one line here and one file."""

from emocore.errors import UserError
from emocore.models.base import Classifier
from emocore.models.classical import SklearnClassifier, XgboostClassifier

MODELS = ("svc", "svc-linear", "random-forest", "xgboost", "mlp", "audio-conv1d")


def classifier_class(name: str) -> type[Classifier]:
    """Return the class that fits and loads the model. Raises UserError for an unknown name."""
    if name == "xgboost":
        return XgboostClassifier
    if name == "audio-conv1d":
        from emocore.models.conv1d import Conv1dClassifier  # noqa: PLC0415 - TensorFlow takes seconds to import

        return Conv1dClassifier
    if name in MODELS:
        return SklearnClassifier
    raise UserError(f"--model {name!r} is unknown: choose one of {', '.join(MODELS)}, or the folder of a run.")


def uses_frames(name: str) -> bool:
    """Whether the model reads the MFCC frames, not the 160 columns; without importing TensorFlow."""
    return name == "audio-conv1d"
