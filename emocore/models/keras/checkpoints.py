"""The state of a training on disk: files that are there whole, or not at all, each in the folder of its epoch."""

import json
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emocore.storage.files import put, store_of

Arrays = Sequence[NDArray[Any]]
_PREFIX = "epoch-"
_STATE = "state.npz"


class Checkpoint(NamedTuple):
    """Arrays by group (weights, optimizer, best …), and facts that JSON can hold."""

    groups: dict[str, list[NDArray[Any]]]
    facts: dict[str, Any]


def write_checkpoint(folder: Path, epoch: int, groups: Mapping[str, Arrays], facts: Mapping[str, Any]) -> Path:
    """Write FOLDER/epoch-NNNNNN in one atomic step and return it.

    Raises OutputError where the disk is full; what was there before is untouched.
    """
    final = folder / f"{_PREFIX}{epoch:06d}"
    arrays: dict[str, Any] = {
        f"{group}/{i}": array for group, values in groups.items() for i, array in enumerate(values)
    }
    with put(final / _STATE) as file:
        np.savez(file, facts=np.array(json.dumps(dict(facts))), **arrays)
    return final


def read_checkpoint(folder: Path) -> Checkpoint:
    """Read what `write_checkpoint` returned."""
    groups: dict[str, dict[int, NDArray[Any]]] = {}
    with store_of(folder).open(folder / _STATE) as file, np.load(file, allow_pickle=False) as state:
        for name in state.files:
            if name != "facts":
                group, _, number = name.rpartition("/")
                groups.setdefault(group, {})[int(number)] = state[name]
        facts = json.loads(str(state["facts"]))
    return Checkpoint({group: [values[i] for i in sorted(values)] for group, values in groups.items()}, facts)


def last_checkpoint(folder: Path) -> Path | None:
    """Return the newest whole checkpoint of a folder; half-written ones are passed over."""
    for path in sorted(folder.glob(f"{_PREFIX}*"), reverse=True):
        try:
            with zipfile.ZipFile(path / _STATE) as state:
                if "facts.npy" in state.namelist():
                    return path
        except (OSError, zipfile.BadZipFile):
            continue
    return None


def drop_checkpoints(folder: Path, keep: Path | None) -> None:
    """Delete every checkpoint but one, and what was left half-written."""
    for path in folder.glob(f"{_PREFIX}*"):
        if path != keep:
            shutil.rmtree(path, ignore_errors=True)
