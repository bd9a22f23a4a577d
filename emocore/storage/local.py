"""Files on this machine's file systems: each there whole, or not at all."""

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

_UNFINISHED = ".tmp"


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """Write one file: it is there whole, or not at all."""
    # Two processes may write one shard: the first may only seem to be dead. So each has a file of its own.
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}{_UNFINISHED}")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def clear_unfinished(folder: Path) -> None:
    """Remove what processes that died were writing into the tables of this folder."""
    for pattern in (f".*{_UNFINISHED}", f"*/.*{_UNFINISHED}", f"*/*/.*{_UNFINISHED}"):
        for path in folder.glob(pattern):
            path.unlink(missing_ok=True)


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file that `write_json` wrote."""
    return dict(json.loads(path.read_text()))


def write_json(path: Path, value: Any) -> None:
    """Write JSON in a single atomic step."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write text in a single atomic step, which holds after a power cut too."""
    with whole_file(path) as file:
        file.write(text.encode())
