"""Files of a model, which may be a stranger's: what they are, how large they are, and of what, before they are read."""

import json
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emocore.errors import UserError
from emocore.labels import MOST_EMOTIONS

MOST_BYTES = 2**30  # of one file; a forest of 500 trees over 1,200 clips has 20 MB
MOST_UNPACKED = 2**31
_MOST_JSON = 2**28


def check_files(folder: Path) -> Iterator[Path]:
    """Yield the files of a bundle in name order; hidden ones are of file managers, and folders are not ours.

    Raises UserError for a link, a pipe or a device, and for a file above MOST_BYTES.
    """
    for path in sorted(folder.iterdir()):
        status = path.lstat()
        if path.name.startswith(".") or stat.S_ISDIR(status.st_mode):
            continue
        if not stat.S_ISREG(status.st_mode):
            raise UserError(f"{path} is no regular file, and all of a model's are: use a bundle that you trust.")
        if status.st_size > MOST_BYTES:
            raise UserError(f"{path} has {status.st_size:,} bytes, {MOST_BYTES:,} at most are read: train it again.")
        yield path


def check_zip(path: Path) -> None:
    """Raise UserError unless a file is a zip whose members have MOST_UNPACKED bytes at most, all together."""
    try:
        with zipfile.ZipFile(path) as members:
            unpacked = sum(member.file_size for member in members.infolist())
    except (OSError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} is not a whole model: train it again.") from error
    if unpacked > MOST_UNPACKED:
        raise UserError(f"{path} unpacks to {unpacked:,} bytes, {MOST_UNPACKED:,} at most are read: train it again.")


def read_json(path: Path) -> Any:
    """Return the JSON of a model's file. Raises UserError where it is none, too large, or nested without an end."""
    try:
        if path.stat().st_size > _MOST_JSON:
            raise ValueError(f"{path.stat().st_size:,} bytes")
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} is not of a model of ours ({error}): train it again.") from error


def read_array(path: Path, shape: tuple[int | None, ...], kind: type) -> NDArray[Any]:
    """Return the array of a file; None in the shape: from 1 to MOST_EMOTIONS.

    Raises UserError where it has another shape or type, before its values are read.
    """
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)  # the header may speak of more than there is
        if not _has_shape(found.shape, shape) or found.dtype != np.dtype(kind):
            raise ValueError(f"{found.dtype} {found.shape}")
        return np.array(found)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path} holds no {np.dtype(kind)} {shape} ({error}): train the model again.") from error


def _has_shape(found: tuple[int, ...], shape: tuple[int | None, ...]) -> bool:
    if len(found) != len(shape):
        return False
    return all(n == side if side is not None else 1 <= n <= MOST_EMOTIONS for n, side in zip(found, shape, strict=True))


def check_types(path: Path, known: frozenset[tuple[str, str, str]]) -> None:
    """Raise UserError unless every object in a skops file, however deep, is of a kind that our own save writes.

    `known`: module, class and loader of each. skops by itself trusts hundreds of types, some of which read files.
    """
    try:
        with zipfile.ZipFile(path) as members:
            if members.getinfo("schema.json").file_size > _MOST_JSON:
                raise ValueError("a schema of more than 256 MiB")
            schema = json.loads(members.read("schema.json"))
    except (OSError, ValueError, KeyError, RecursionError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} is not a whole model: train it again.") from error
    waiting = [schema]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            if "__class__" in node or "__loader__" in node:
                found = tuple(str(node.get(name)) for name in ("__module__", "__class__", "__loader__"))
                if found not in known:
                    raise UserError(
                        f"{path} holds the type {found[0]}.{found[1]}, which no model of ours has there: use a bundle "
                        "that you trust."
                    )
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node
