"""The tables of a shard while its files are read: rows are flushed as they come, and are there once all is done."""

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import pyarrow as pa

from emocore.storage.tables import table_writer

FLUSH_BYTES = 2**22
MOST_TABLES = 64


class Parts:
    """Writes one file a table, each a part of a shard; all are there at the end, or none where that raises."""

    def __init__(self, out: Path, name: str, schemas: Mapping[str, pa.Schema], signed: Mapping[bytes, bytes]) -> None:
        self.clips: dict[str, set[str]] = {table: set() for table in schemas}  # that have rows
        self._files = {table: out / table / name for table in schemas}
        self._schemas = {table: schema.with_metadata(dict(signed)) for table, schema in schemas.items()}
        self._waiting: dict[str, list[pa.Table]] = {table: [] for table in schemas}
        self._bytes = dict.fromkeys(schemas, 0)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        opened = {
            table: self._stack.enter_context(table_writer(schema, self._files[table]))
            for table, schema in self._schemas.items()
        }
        self._write = opened
        return self

    def __exit__(self, *error: object) -> None:
        with self._stack:
            if error[0] is None:
                for table in self._waiting:
                    self._flush(table)
            else:
                self._stack.__exit__(*error)  # type: ignore[arg-type] # as they came

    def write(self, table: str, rows: pa.Table) -> None:
        """Take rows of a table."""
        self.clips[table].update(rows["clip"].unique().to_pylist())
        waiting = self._waiting[table]
        waiting.append(rows)
        self._bytes[table] += rows.nbytes
        if self._bytes[table] >= FLUSH_BYTES:
            self._flush(table)
        elif len(waiting) > MOST_TABLES:  # each has its own buffers
            self._waiting[table] = [pa.concat_tables(waiting).combine_chunks()]

    def _flush(self, table: str) -> None:
        waiting, self._waiting[table], self._bytes[table] = self._waiting[table], [], 0
        if waiting:
            self._write[table](pa.concat_tables(waiting).combine_chunks())
