"""The one way in which files are written: by the store of their path, whole or not at all."""

import json
import re
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, BinaryIO

from emocore.storage.local import LocalStore
from emocore.storage.store import Store

STORES: dict[str, Store] = {  # by the scheme of a URL; "": a path
    "": LocalStore(),
}
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+):/")  # Path takes one of the two slashes away


def store_of(path: Path) -> Store:
    """Return the store that a path lies in."""
    scheme = _SCHEME.match(str(path))
    return STORES.get(scheme[1] if scheme else "", STORES[""])


def put(path: Path) -> AbstractContextManager[BinaryIO]:
    """Write one file: it is there whole, or not at all. Raises OutputError where it cannot be written."""
    return store_of(path).put(path)


def delete(path: Path) -> None:
    """Remove a file, where there is one. Raises OutputError."""
    store_of(path).delete(path)


def write_bytes(path: Path, content: bytes) -> None:
    """Write bytes in a single atomic step, which holds after a power cut too. Raises OutputError."""
    with put(path) as file:
        file.write(content)


def write_text(path: Path, text: str) -> None:
    """Write text as `write_bytes` does."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write JSON as `write_bytes` does."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file that `write_json` wrote."""
    with store_of(path).open(path) as file:
        return dict(json.loads(file.read()))
