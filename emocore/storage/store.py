"""What a place for files must be able to do: a folder of this machine can, and a bucket could.

A backend is a file beside this one, and a line in files.STORES.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, Protocol


class Store(Protocol):
    """Files by their paths; there are no folders but by name. Whatever cannot be written raises OutputError."""

    def open(self, path: Path) -> BinaryIO:
        """Return the bytes of a file, which can be sought in. Raises OSError."""

    def list(self, folder: Path) -> Sequence[Path]:
        """Return the files right in a folder in name order, hidden ones left out; none where there is no folder."""

    def put(self, path: Path) -> AbstractContextManager[BinaryIO]:
        """Write a file, which is there whole, on the disk, once the context has ended; or as before, where it fails."""

    def put_new(self, path: Path, content: bytes) -> bool:
        """Write a file unless there is one; return whether there was none: of several callers one gets True."""

    def delete(self, path: Path) -> None:
        """Remove a file, where there is one."""

    def lease(self, path: Path, busy: str | None, *, shared: bool = False) -> AbstractContextManager[None]:
        """Hold a lock, which goes with this process. Raises UserError with the sentence `busy` where another has it.

        `busy` None: wait for it. `shared`: beside others that share it; where the lock was never taken, nothing is
        held.
        """
