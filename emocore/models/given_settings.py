"""What --set says of a model's settings: NAME=VALUE, compared with the names, types and ranges that the model has."""

import json
import math
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np

from emocore.errors import UserError
from emocore.features.catalogue import find_family
from emocore.features.family import joined
from emocore.labels import EMOTIONS
from emocore.models.base import Settings
from emocore.models.catalogue import SEARCHED, can_search, classifier_class, find_model
from emocore.models.network_settings import NetworkSettings
from emocore.models.parameters import OURS, known_parameters

_EXAMPLE = "--set C=5 gamma=0.01"
# Of a network of frames: what has an option of its own.
_OPTIONS = ("epochs", "steps_per_epoch", "batch_size", "learning_rate", "patience", "output")
_ONE_ROUND: Settings = {"n_estimators": 1, "max_iter": 1}
_BELOW_1 = ("dropout", "label_smoothing", "average")


def read_settings(model: str, pairs: Sequence[str]) -> Settings:
    """Return the settings that NAME=VALUE pairs give. Values are JSON, none, or else texts.

    Raises UserError for what is no pair, for a name that the model does not have or that an option sets, and for a
    value that the model refuses.

    >>> read_settings("svc", ["C=5", "kernel=poly"])
    {'C': 5, 'kernel': 'poly'}
    """
    if not pairs:
        return {}
    if not can_search(model):
        raise UserError(f"--set is for one of {', '.join(SEARCHED)}: got --model {model}.")
    known = known_parameters(model)
    found: Settings = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not (equals and name and text):
            raise UserError(f"--set {pair!r} is not NAME=VALUE: write for instance {_EXAMPLE}.")
        _check_name(model, name, known)
        if name in found:
            raise UserError(f"--set gives {name} twice: leave one out.")
        found[name] = _value(text)
    _check_values(model, found, known)
    return found


def _value(text: str) -> Any:
    if text.lower() in ("none", "null"):
        return None
    try:
        value = json.loads(text.lower() if text.lower() in ("true", "false") else text, parse_constant=str)
    except (ValueError, RecursionError):
        return text
    return text if value in (math.inf, -math.inf) else value  # 1e400


def _check_name(model: str, name: str, known: Settings) -> None:
    option = f"--{name.replace('_', '-')}" if find_model(model).sees and name in _OPTIONS else OURS.get(name, "")
    if option:
        raise UserError(f"--set {name}: give {option} in its place.")
    if name not in known:
        near = get_close_matches(name, known, 1)
        meant = f" (did you mean {near[0]}?)" if near else ""
        raise UserError(f"--set {name}{meant} is no setting of {model}: choose from {', '.join(known)}.")


def _check_values(model: str, found: Settings, known: Settings) -> None:
    spec = find_model(model)
    if spec.chooses or len(find_family(spec.reads[0]).shape) > 1:  # networks: they take anything
        for name, value in found.items():
            _check_of_network(name, value, known[name])
    else:
        if spec.lenient:
            for name, value in found.items():
                _check_type(name, value, known[name])
        _try(model, found, known)


def _try(model: str, found: Settings, known: Settings) -> None:
    """Fit a few rows, so that the library itself refuses what it does not take, now and in its own words."""
    soft = np.tile(np.eye(len(EMOTIONS), dtype=np.float32), (4, 1))
    columns = joined([find_family(family) for family in find_model(model).reads]).size
    rows = np.random.default_rng(0).normal(size=(len(soft), columns)).astype(np.float32)
    short = {name: value for name, value in _ONE_ROUND.items() if name in known and _is_count(found.get(name, value))}
    try:
        classifier_class(model)(model, settings={**found, **short}).fit(rows, soft, np.ones(len(EMOTIONS), np.float32))
    except (ValueError, TypeError, OverflowError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        said = next((line for line in lines if "Parameter" in line or "parameter" in line), lines[0] if lines else "")
        given = ", ".join(f"{name}={value}" for name, value in found.items())
        raise UserError(f"--set {given} is refused by {model}: {said.rstrip('.')}.") from error


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _check_type(name: str, value: Any, default: Any) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    expected = {int: "a whole number", float: "a number", str: "a text"}[type(default)]
    fits = {int: is_number and value == int(value) if is_number else False, float: is_number}
    if not fits.get(type(default), isinstance(value, str)):
        raise UserError(f"--set {name}={value} is not {expected}, as the default {default} is.")


def _check_of_network(name: str, value: Any, default: Any) -> None:
    if isinstance(default, list):
        if not (isinstance(value, list) and value and all(map(_is_count, value))):
            raise UserError(f"--set {name}={value} is no list of whole numbers above 0, such as {default}.")
        return
    _check_type(name, value, default)
    hint = get_type_hints(NetworkSettings).get(name)
    if get_origin(hint) is Literal and value not in get_args(hint):
        raise UserError(f"--set {name}={value} is unknown: choose one of {', '.join(get_args(hint))}.")
    if isinstance(default, int) and not _is_count(value):
        raise UserError(f"--set {name}={value} must be at least 1.")
    if isinstance(default, float) and (value < 0 or (name in _BELOW_1 and value >= 1) or not math.isfinite(value)):
        raise UserError(f"--set {name}={value} must be 0 or more{' and below 1' if name in _BELOW_1 else ''}.")
