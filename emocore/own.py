"""Objects of the user's own modules: `my_module:NAME` in the place of a name that emocore knows."""

import hashlib
import importlib
import sys
from collections.abc import Sequence
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TypeVar

from emocore.errors import UserError

Kind = TypeVar("Kind")


def load_own(place: str, kind: type[Kind], option: str, expected: str | None = None) -> tuple[Kind, str]:
    """Return what `my_module:NAME` names, and the SHA-256 of the module's file.

    The module lies in the working directory, or is installed. `expected`: the hash that a file of somebody's speaks
    of, compared before the module is run. Raises UserError where there is no such module or name, where it is of
    another kind than the option takes, or another module than expected.
    """
    module, _, name = place.partition(":")
    here = str(Path.cwd())
    try:
        digest = hashlib.sha256(_source(module, [here, *sys.path]).read_bytes()).hexdigest()
        if expected is not None and digest != expected:
            raise UserError(f"{place} is another module than this was made with: take that one, or make it again.")
        if here not in sys.path:
            sys.path.insert(0, here)  # and there it stays: workers take the driver's path over
        found = getattr(importlib.import_module(module), name)
    except (ImportError, SyntaxError, AttributeError, ValueError, OSError) as error:
        raise UserError(
            f"{option} {place} cannot be imported ({error}): expected a Python module in the working directory or "
            f"installed, and a {kind.__name__} in it."
        ) from error
    if not isinstance(found, kind):
        raise UserError(f"{option} {place} is a {type(found).__name__}: a {kind.__name__} is expected there.")
    return found, digest


def _source(module: str, places: Sequence[str] | None) -> Path:
    """Return the file of a module, found without importing what it lies in. Raises ModuleNotFoundError."""
    spec, name = None, ""
    for part in module.split("."):
        name = f"{name}.{part}" if name else part
        spec = PathFinder.find_spec(name, places) if part else None
        if spec is None:
            raise ModuleNotFoundError(f"No module named {name!r}" if module else "Empty module name")
        places = spec.submodule_search_locations or ()
    return Path((spec and spec.origin) or "")
