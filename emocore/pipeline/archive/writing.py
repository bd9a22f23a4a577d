"""The tables of a shard while its files are read: rows are flushed as they come, and are there once all is done."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pyarrow as pa

from emocore.storage.tables import table_writer

FLUSH_BYTES = 2**22
MOST_TABLES = 64


@contextmanager
def open_parts(
    out: Path, name: str, schemas: Mapping[str, pa.Schema], signed: Mapping[bytes, bytes]
) -> Iterator["Parts"]:
    """Write one file a table, each a part of a shard; all are there at the end, or none where that raises."""
    with ExitStack() as stack:
        writers = {
            table: stack.enter_context(table_writer(schema.with_metadata(dict(signed)), out / table / name))
            for table, schema in schemas.items()
        }
        parts = Parts(writers)
        yield parts
        for table in schemas:
            parts.flush(table)


class Parts:
    """Takes rows of tables, and flushes them to what writes each; `clips`: those that have rows, by table."""

    def __init__(self, writers: Mapping[str, Callable[[pa.Table], None]]) -> None:
        self.clips: dict[str, set[str]] = {table: set() for table in writers}
        self._writers = writers
        self._waiting: dict[str, list[pa.Table]] = {table: [] for table in writers}
        self._bytes = dict.fromkeys(writers, 0)

    def write(self, table: str, rows: pa.Table) -> None:
        """Take rows of a table."""
        self.clips[table].update(rows["clip"].unique().to_pylist())
        waiting = self._waiting[table]
        waiting.append(rows)
        self._bytes[table] += rows.nbytes
        if self._bytes[table] >= FLUSH_BYTES:
            self.flush(table)
        elif len(waiting) > MOST_TABLES:  # each has its own buffers
            self._waiting[table] = [pa.concat_tables(waiting).combine_chunks()]

    def flush(self, table: str) -> None:
        """Write what waits of a table."""
        waiting, self._waiting[table], self._bytes[table] = self._waiting[table], [], 0
        if waiting:
            self._writers[table](pa.concat_tables(waiting).combine_chunks())
