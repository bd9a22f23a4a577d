"""The models that hear: those of the article over 160 columns, and networks over MFCC frames and log-mel levels."""

from collections.abc import Callable
from functools import partial

from emocore.features.article import ARTICLE, ARTICLE_FRAMES
from emocore.features.logmel import LOGMEL
from emocore.models import audio_settings
from emocore.models.base import Classifier, ModelSpec, Settings

_OF_OTHER_KERNELS = ("kernel", "gamma", "degree", "coef0")  # svc-linear has the linear one

# https://xgboost.readthedocs.io/en/stable/parameter.html; n_estimators: xgboost.sklearn.DEFAULT_N_ESTIMATORS
_XGBOOST: Settings = {
    **{"n_estimators": 100, "learning_rate": 0.3, "max_depth": 6, "min_child_weight": 1.0, "subsample": 1.0},
    **{"colsample_bytree": 1.0, "colsample_bylevel": 1.0, "colsample_bynode": 1.0},
    **{"reg_lambda": 1.0, "reg_alpha": 0.0, "gamma": 0.0, "max_delta_step": 0.0},
    **{"max_leaves": 0, "grow_policy": "depthwise", "max_bin": 256, "tree_method": "auto"},
    **{"num_parallel_tree": 1, "booster": "gbtree"},
}


def _sklearn() -> type[Classifier]:
    from emocore.models.classical import SklearnClassifier  # noqa: PLC0415 - scikit-learn takes a second to import

    return SklearnClassifier


def _xgboost() -> type[Classifier]:
    from emocore.models.boosted import XgboostClassifier  # noqa: PLC0415 - as above

    return XgboostClassifier


def _conv1d() -> type[Classifier]:
    from emocore.models.keras.audio_conv1d import Conv1dClassifier  # noqa: PLC0415 - TensorFlow takes seconds to import

    return Conv1dClassifier


def _cnn() -> type[Classifier]:
    from emocore.models.keras.audio_cnn import AudioCnnClassifier  # noqa: PLC0415 - as above

    return AudioCnnClassifier


def _estimator_parameters(name: str) -> Settings:
    from emocore.models.classical import SklearnClassifier  # noqa: PLC0415 - as above

    # In one-against-the-rest the machine's own parameters stand behind its name.
    parameters = SklearnClassifier(name).pipeline[-1].get_params().items()
    found = {key.removeprefix("estimator__"): value for key, value in parameters if key != "estimator"}
    return {key: found[key] for key in found if name != "svc-linear" or key not in _OF_OTHER_KERNELS}


def _of_columns(name: str) -> ModelSpec:
    parameters: Callable[[], Settings] = partial(_estimator_parameters, name)
    return ModelSpec(name, (ARTICLE.name,), _sklearn, parameters=parameters)


SVC, SVC_LINEAR = _of_columns("svc"), _of_columns("svc-linear")
RANDOM_FOREST, MLP = _of_columns("random-forest"), _of_columns("mlp")
XGBOOST = ModelSpec(
    "xgboost", (ARTICLE.name,), _xgboost, parameters=lambda: dict(_XGBOOST), lenient=True, trial_gpus=True
)
AUDIO_CONV1D = ModelSpec(
    "audio-conv1d",
    (ARTICLE_FRAMES.name,),
    _conv1d,
    defaults=audio_settings.DEFAULTS,
    parameters=lambda: dict(audio_settings.DEFAULTS),
    chooses=True,
    trial_gpus=True,
    answers_on="gpu",
)
AUDIO_CNN = ModelSpec(
    "audio-cnn",
    (LOGMEL.name,),
    _cnn,
    defaults=audio_settings.CNN_DEFAULTS,
    parameters=lambda: dict(audio_settings.CNN_DEFAULTS),
    trial_gpus=True,
)
