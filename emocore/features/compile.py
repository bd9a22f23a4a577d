"""librosa's compiled functions, made by one process at a time."""

import os
import tempfile
from functools import cache
from pathlib import Path

import numpy as np

from emocore.features.article import N_SAMPLES, article_features
from emocore.storage.files import store_of


@cache
def compile_features() -> None:
    """Compile what the features need of librosa, or load it where that was done; once a process.

    On a new installation that takes up to half a minute. Numba keeps the results on the disk, but two processes that
    compile at once can leave parts there that do not fit together, and end every process that loads them.
    """
    user = os.getuid()
    lock = Path(tempfile.gettempdir()) / f"emocore-compile-{user}.lock"
    with store_of(lock).lease(lock, busy=None):
        article_features(np.zeros(N_SAMPLES, np.float32), 22_050)
