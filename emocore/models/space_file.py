"""Read a search space from TOML: a line a parameter, at top level or in a table named as the model."""

import tomllib
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from emocore.errors import UserError
from emocore.models.base import Settings
from emocore.models.catalogue import MODELS
from emocore.models.parameters import OURS, known_parameters
from emocore.models.spaces import Choice, Range, Space, setting_key

DEFAULT_SPACES = Path(__file__).with_name("spaces.toml")

_LOG = {"uniform": False, "int": False, "log": True, "logint": True}
_WHOLE = {"uniform": False, "int": True, "log": False, "logint": True}
_EXAMPLE = "C = { log = [0.1, 1000] }"
_LARGEST = 1e15  # beyond it neighbouring whole numbers are one float


def read_space(model: str, path: str | None = None) -> Space:
    """Return the model's default space, or that of a user's file.

    Raises UserError for a file that cannot be read or is not TOML, for a parameter that the model does not have or
    that is ours to set, and for choices and ranges that hold nothing.
    """
    known = known_parameters(model)
    file = DEFAULT_SPACES if path is None else Path(path)
    where = f"--space {file}"
    table = _table(model, _content(file, where), where)
    if not table:
        raise UserError(f"{where} has no parameters: write a line a parameter, such as {_EXAMPLE}.")
    for name in table:
        _check_name(model, name, known, where)
    return {name: _kind(f"{where} gives {name}", value) for name, value in table.items()}


def _content(path: Path, where: str) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UserError(f"{where} cannot be read ({error.strerror}): name a TOML file of parameters.") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where} is not TOML ({error}): write a line a parameter, such as {_EXAMPLE}.") from error


def _table(model: str, content: dict[str, Any], where: str) -> dict[str, Any]:
    """Return what a file says of the model."""
    tables = [name for name in content if name in MODELS]
    outside = [name for name in content if name not in MODELS]
    if not tables:
        return content
    if model not in content:
        raise UserError(f"{where} has tables for {', '.join(tables)}, and none for {model}: add [{model}].")
    if outside:
        raise UserError(f"{where} has {outside[0]!r} outside of its tables: move it below [{model}].")
    table = content[model]
    if not isinstance(table, dict):
        raise UserError(f"{where} gives {model} as {table!r}: make it a table, [{model}], with a line a parameter.")
    return table


def _check_name(model: str, name: str, known: Settings, where: str) -> None:
    if name in known:
        return
    if name in OURS:
        raise UserError(f"{where} has {name!r}, which {OURS[name] or 'emocore'} sets: leave it out.")
    near = get_close_matches(name, [*known, *MODELS], 1)
    meant = f" (did you mean {near[0]}?)" if near else ""
    raise UserError(
        f"{where} has {name!r}{meant}, which a search of {model} cannot vary: choose from {', '.join(known)}."
    )


def _kind(where: str, value: Any) -> Choice | Range:
    if isinstance(value, list):
        return _choice(where, value)
    if isinstance(value, dict) and len(value) == 1 and next(iter(value)) in _LOG:
        [(scale, bounds)] = value.items()
        return _range(where, scale, bounds)
    raise UserError(
        f"{where} as {value!r}: write a list of choices, or a range such as {{ log = [0.1, 1000] }}; uniform, log, "
        "int and logint are known."
    )


def _choice(where: str, values: list[Any]) -> Choice:
    if not values:
        raise UserError(f"{where} no choices: write at least one between the brackets.")
    for i, value in enumerate(values):
        if not _is_plain(value):
            raise UserError(
                f"{where} the choice {value!r}: write texts, finite numbers, true, false, or lists of these."
            )
        if setting_key({"": value}) in [setting_key({"": other}) for other in values[:i]]:
            raise UserError(f"{where} the choice {value!r} twice: leave one out.")
    return Choice(tuple(values))


def _range(where: str, scale: str, bounds: Any) -> Range:
    if not (isinstance(bounds, list) and len(bounds) == 2 and all(map(_is_number, bounds))):
        raise UserError(f"{where} the bounds {bounds!r}: write two finite numbers, such as {scale} = [1, 100].")
    low, high = bounds
    logarithmic, whole = _LOG[scale], _WHOLE[scale]
    if whole and (low % 1 or high % 1):
        raise UserError(
            f"{where} the bounds {bounds!r}: write whole numbers, or {'log' if logarithmic else 'uniform'}."
        )
    if low > high:
        raise UserError(f"{where} the empty range {bounds!r}: write the lower bound first.")
    if logarithmic and low <= 0:
        linear = "int" if whole else "uniform"
        raise UserError(f"{where} the bounds {bounds!r}, and log has none at or below 0: raise it, or use {linear}.")
    return Range(int(low), int(high), logarithmic, True) if whole else Range(float(low), float(high), logarithmic)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LARGEST


def _is_plain(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_is_plain, value))
    return isinstance(value, str | bool) or _is_number(value)
