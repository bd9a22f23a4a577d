"""librosa's compiled functions, made by one process at a time."""

import fcntl
import os
import tempfile
from functools import cache
from pathlib import Path

import numpy as np

from emocore.features.article import N_SAMPLES, article_features


@cache
def compile_features() -> None:
    """Compile what the features need of librosa, or load it where that was done; once a process.

    On a new installation that takes up to half a minute. Numba keeps the results on the disk, but two processes that
    compile at once can leave parts there that do not fit together, and end every process that loads them.
    """
    user = os.getuid()
    with (Path(tempfile.gettempdir()) / f"emocore-compile-{user}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        article_features(np.zeros(N_SAMPLES, np.float32), 22_050)
