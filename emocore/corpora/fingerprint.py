"""What tells whether a corpus has changed since it was featurized."""

import hashlib
import io
import os
from typing import Any

import pyarrow as pa

from emocore.corpora.listing import Listing
from emocore.media.source import file_of


def fingerprint(listing: Listing) -> str:
    """Return 16 hexadecimal digits over all that is listed, labels too, and the times at which files changed."""
    digest = hashlib.sha256()
    for table in (listing.clips, listing.failures):
        with pa.ipc.new_stream(pa.PythonFile(_Hashing(digest), mode="w"), table.schema) as writer:
            writer.write_table(table.combine_chunks())
    for file in sorted({file_of(path) for path in listing.clips["path"].to_pylist()}):
        digest.update(str(os.stat(file).st_mtime_ns if os.path.exists(file) else 0).encode())  # noqa: PTH110, PTH116 - fast
    return digest.hexdigest()[:16]


class _Hashing(io.RawIOBase):
    """A file that keeps nothing but the hash of what is written to it."""

    def __init__(self, digest: Any) -> None:
        self.digest = digest

    def writable(self) -> bool:
        return True

    def write(self, part: Any) -> int:
        self.digest.update(part)
        return len(part)
