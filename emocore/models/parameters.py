"""The parameters of each model that a search may vary, and our value of each where nothing is said."""

from emocore.errors import UserError
from emocore.models.base import Settings
from emocore.models.catalogue import SEARCHED, can_search, find_model
from emocore.models.spaces import Space

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


def known_parameters(model: str) -> Settings:
    """Return the parameters of a model that a search may vary, with our defaults. Raises UserError for other models.

    >>> known_parameters("svc")["C"], known_parameters("svc")["kernel"]
    (10.0, 'rbf')
    """
    parameters = find_model(model).parameters if can_search(model) else None
    if parameters is None:
        raise UserError(f"--model {model!r} has no parameters to search: choose one of {', '.join(SEARCHED)}.")
    found = {name: value for name, value in parameters().items() if name not in OURS}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}


def settings_read(model: str, settings: Settings) -> Settings:
    """Return what a model is built and trained by: `settings` and, where they say nothing, the defaults.

    >>> settings_read("svc", {"C": 5})["C"], "recipe" in settings_read("cnn", {"recipe": "article", "dense": 8})
    (5, False)
    """
    defaults = known_parameters(model) if can_search(model) else {}
    network = find_model(model).network
    unread = network.unread if network else ()
    return {name: value for name, value in {**defaults, **settings}.items() if name not in unread}


def defaults_of(model: str, space: Space) -> Settings:
    """Return our value of each parameter in the space; it may lie outside, as svc's gamma "scale" does of numbers."""
    known = known_parameters(model)
    return {name: known[name] for name in space}
