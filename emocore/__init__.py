"""emocore: emotions from voices and faces, for whole archives."""

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emocore.api import load_model

__all__ = ["load_model"]

# Before anything imports TensorFlow, which fills the log otherwise.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

__version__ = "0.2.0.dev0"


def __getattr__(name: str) -> Any:
    """Return `load_model`, imported when it is first asked for: `import emocore` alone takes no time."""
    if name != "load_model":
        raise AttributeError(f"module 'emocore' has no attribute {name!r}")
    from emocore.api import load_model  # noqa: PLC0415 - as above

    return load_model
