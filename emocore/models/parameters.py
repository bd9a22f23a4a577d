"""The parameters of each model that a search may vary, and our value of each where nothing is said."""

import dataclasses

from emocore.errors import UserError
from emocore.models import audio_settings
from emocore.models.base import Settings
from emocore.models.classical import ESTIMATORS, SklearnClassifier
from emocore.models.network_settings import default_settings
from emocore.models.spaces import Space

SEARCHED = ("svc", "svc-linear", "random-forest", "xgboost", "mlp", "audio-conv1d", "cnn")

# What the jobs set themselves: parameter → the option that says it, or none.
OURS = {
    **dict.fromkeys(("random_state", "seed"), "--seed"),
    **dict.fromkeys(("n_jobs", "nthread", "threads"), "--cpus-per-fit"),
    **{"class_weight": "--class-weight", "scale_pos_weight": "--class-weight"},
    **{"pixels": "--pixels", "workers": "--workers", "gpus_per_worker": "--gpus-per-worker"},
    # Of scikit-learn: what is printed, kept or answered beside the scores.
    **dict.fromkeys(("verbose", "warm_start", "oob_score", "monotonic_cst")),
    # They would choose on clips drawn at random, whoever speaks.
    **dict.fromkeys(("early_stopping", "validation_fraction", "n_iter_no_change")),
    **dict.fromkeys(("probability", "decision_function_shape", "break_ties", "cache_size")),
    # Of XGBoost: the task, the data and the machine.
    **dict.fromkeys(("device", "verbosity", "objective", "num_class", "eval_metric", "callbacks", "base_score")),
    **dict.fromkeys(("early_stopping_rounds", "enable_categorical", "missing")),
    "precision": None,
}

# https://xgboost.readthedocs.io/en/stable/parameter.html; n_estimators: xgboost.sklearn.DEFAULT_N_ESTIMATORS
_XGBOOST: Settings = {
    **{"n_estimators": 100, "learning_rate": 0.3, "max_depth": 6, "min_child_weight": 1.0, "subsample": 1.0},
    **{"colsample_bytree": 1.0, "colsample_bylevel": 1.0, "colsample_bynode": 1.0},
    **{"reg_lambda": 1.0, "reg_alpha": 0.0, "gamma": 0.0, "max_delta_step": 0.0},
    **{"max_leaves": 0, "grow_policy": "depthwise", "max_bin": 256, "tree_method": "auto"},
    **{"num_parallel_tree": 1, "booster": "gbtree"},
}
_CNN = (
    *("learning_rate", "schedule", "warmup_epochs", "epochs", "steps_per_epoch", "batch_size", "patience"),
    *("dropout", "weight_decay", "label_smoothing", "average", "filters", "dense", "output"),
)
_OF_TRANSFER = ("recipe", "frozen_epochs", "thaw_rate", "base")
_OF_CNN = ("filters", "dense")
_UNREAD = {"cnn": _OF_TRANSFER, "transfer": _OF_CNN, "face-cnn": (*_OF_TRANSFER, *_OF_CNN)}
_OF_OTHER_KERNELS = ("kernel", "gamma", "degree", "coef0")  # svc-linear has the linear one


def known_parameters(model: str) -> Settings:
    """Return the parameters of a model that a search may vary, with our defaults. Raises UserError for other models.

    >>> known_parameters("svc")["C"], known_parameters("svc")["kernel"]
    (10.0, 'rbf')
    """
    if model not in SEARCHED:
        raise UserError(f"--model {model!r} has no parameters to search: choose one of {', '.join(SEARCHED)}.")
    found = {name: value for name, value in _all_parameters(model).items() if name not in OURS}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}


def settings_read(model: str, settings: Settings) -> Settings:
    """Return what a model is built and trained by: `settings` and, where they say nothing, the defaults.

    >>> settings_read("svc", {"C": 5})["C"], "recipe" in settings_read("cnn", {"recipe": "article", "dense": 8})
    (5, False)
    """
    defaults = known_parameters(model) if model in SEARCHED else {}
    return {name: value for name, value in {**defaults, **settings}.items() if name not in _UNREAD.get(model, ())}


def defaults_of(model: str, space: Space) -> Settings:
    """Return our value of each parameter in the space; it may lie outside, as svc's gamma "scale" does of numbers."""
    known = known_parameters(model)
    return {name: known[name] for name in space}


def _all_parameters(model: str) -> Settings:
    if model in ESTIMATORS:
        # In one-against-the-rest the machine's own parameters stand behind its name.
        parameters = SklearnClassifier(model).pipeline[-1].get_params().items()
        found = {name.removeprefix("estimator__"): value for name, value in parameters if name != "estimator"}
        return {name: found[name] for name in found if model != "svc-linear" or name not in _OF_OTHER_KERNELS}
    if model == "cnn":
        settings = dataclasses.asdict(default_settings(model))
        return {name: settings[name] for name in _CNN}
    return _XGBOOST if model == "xgboost" else audio_settings.DEFAULTS
