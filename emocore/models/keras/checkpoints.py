"""The state of a training on disk: folders that are there whole, or not at all."""

import json
import os
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Arrays = Sequence[NDArray[Any]]
_PREFIX = "epoch-"
_STATE = "state.npz"


class Checkpoint(NamedTuple):
    """Arrays by group (weights, optimizer, best …), and facts that JSON can hold."""

    groups: dict[str, list[NDArray[Any]]]
    facts: dict[str, Any]


def write_checkpoint(folder: Path, epoch: int, groups: Mapping[str, Arrays], facts: Mapping[str, Any]) -> Path:
    """Write FOLDER/epoch-NNNNNN in one atomic step and return it.

    Raises OSError where the disk is full; what was there before is untouched.
    """
    final = folder / f"{_PREFIX}{epoch:06d}"
    temporary = folder / f".{final.name}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    arrays: dict[str, Any] = {
        f"{group}/{i}": array for group, values in groups.items() for i, array in enumerate(values)
    }
    try:
        with (temporary / _STATE).open("wb") as file:
            np.savez(file, facts=np.array(json.dumps(dict(facts))), **arrays)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    shutil.rmtree(final, ignore_errors=True)
    temporary.rename(final)
    return final


def read_checkpoint(folder: Path) -> Checkpoint:
    """Read what `write_checkpoint` returned."""
    groups: dict[str, dict[int, NDArray[Any]]] = {}
    with np.load(folder / _STATE, allow_pickle=False) as state:
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
    for path in [*folder.glob(f"{_PREFIX}*"), *folder.glob(f".{_PREFIX}*.tmp")]:
        if path != keep:
            shutil.rmtree(path, ignore_errors=True)
