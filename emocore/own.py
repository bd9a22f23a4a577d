"""Objects of the user's own modules: `my_module:NAME` in the place of a name that emocore knows."""

import hashlib
import importlib
import importlib.util
import sys
from pathlib import Path
from typing import TypeVar

from emocore.errors import UserError

Kind = TypeVar("Kind")


def load_own(place: str, kind: type[Kind], option: str) -> tuple[Kind, str]:
    """Return what `my_module:NAME` names, and the SHA-256 of the module's file.

    The module lies in the working directory, or is installed. Raises UserError where there is no such module or name,
    or where it is of another kind than the option takes.
    """
    module, _, name = place.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)  # and there it stays: workers take the driver's path over
    try:
        found = getattr(importlib.import_module(module), name)
        spec = importlib.util.find_spec(module)
        source = Path(spec.origin or "").read_bytes() if spec else b""
    except (ImportError, SyntaxError, AttributeError, ValueError, OSError) as error:
        raise UserError(
            f"{option} {place} cannot be imported ({error}): expected a Python module in the working directory or "
            f"installed, and a {kind.__name__} in it."
        ) from error
    if not isinstance(found, kind):
        raise UserError(f"{option} {place} is a {type(found).__name__}: a {kind.__name__} is expected there.")
    return found, hashlib.sha256(source).hexdigest()
