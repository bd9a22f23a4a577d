"""Functions that a library compiles at their first call: by one process at a time."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from emocore.storage.files import store_of


def compile_alone(call: Callable[[], object]) -> None:
    """Make the first call of a library's functions, which compiles them, or loads what was compiled before.

    On a new installation that takes up to half a minute. Numba keeps the results on the disk, but two processes that
    compile at once can leave parts there that do not fit together, and end every process that loads them.
    """
    user = os.getuid()
    lock = Path(tempfile.gettempdir()) / f"emocore-compile-{user}.lock"
    with store_of(lock).lease(lock, busy=None):
        call()
