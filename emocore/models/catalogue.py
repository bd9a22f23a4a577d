"""The models by name. A new one is one line here and one file."""

from emocore.errors import UserError
from emocore.features.family import Inputs
from emocore.models.base import Classifier
from emocore.models.classical import SklearnClassifier, XgboostClassifier

# Those that read pictures, frame by frame, are networks that Ray Train fits: pipeline/training/.
FRAME_MODELS = ("cnn", "transfer", "face-cnn")
MODELS = ("svc", "svc-linear", "random-forest", "xgboost", "mlp", "audio-conv1d", *FRAME_MODELS)
SHIPPED = ("face-cnn",)  # comes trained, inside the package


def classifier_class(name: str) -> type[Classifier]:
    """Return the class that fits and loads a model of columns or MFCC frames. Raises UserError for an unknown name."""
    check_model(name)
    if name == "xgboost":
        return XgboostClassifier
    if name == "audio-conv1d":
        from emocore.models.keras.audio_conv1d import Conv1dClassifier  # noqa: PLC0415 - TensorFlow takes seconds to import

        return Conv1dClassifier
    return SklearnClassifier


def inputs_of_model(name: str) -> Inputs:
    """Return what the model reads, without importing TensorFlow. Raises UserError for an unknown name."""
    check_model(name)
    return "pictures" if name in FRAME_MODELS else "frames" if name == "audio-conv1d" else "columns"


def check_model(name: str) -> None:
    """Raise UserError for a name that is not among MODELS."""
    if name not in MODELS:
        raise UserError(f"--model {name!r} is unknown: choose one of {', '.join(MODELS)}, or the folder of a run.")
