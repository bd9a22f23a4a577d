"""Rows of files whose bytes are known: made from those that are there, under another name; and rows that are to go."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from emocore.features.stage import PLANNED
from emocore.pipeline.archive import Carry, Planned
from emocore.pipeline.planning import shard_table
from emocore.schema import write_table


def carry_rows(out: Path, carries: Sequence[Carry], main: str, by_clip: Iterable[str]) -> None:
    """Write the tables of one shard from the rows of other paths with the same bytes; the main table comes last.

    `main` has one row a path, the tables `by_clip` have none or several rows a clip.
    """
    name = f"{carries[0].shard:06d}.parquet"
    if (out / main / name).exists():
        return
    sources = sorted({carry.source_shard for carry in carries})
    rows = _read(out / main, sources, "path", [carry.source for carry in carries])
    place = {path: row for row, path in enumerate(rows["path"].to_pylist())}
    rows = rows.take(pa.array([place[carry.source] for carry in carries]))
    clips = rows["clip"].to_pylist()
    told = shard_table([Planned(carry.row, carry.duplicate_of, 0) for carry in carries], carries[0].shard)
    names = told["clip"].to_pylist()
    for table in by_clip:
        if (out / table).is_dir():
            found = _read(out / table, sources, "clip", clips)
            write_table(_renamed(found, clips, names), out / table / name)
    for column in PLANNED.names:
        if column in rows.column_names:
            rows = rows.set_column(rows.column_names.index(column), rows.field(column), told[column])
    write_table(rows, out / main / name)


def drop_rows(out: Path, shard: int, paths: set[str], main: str, by_clip: Iterable[str]) -> None:
    """Take the rows of these paths out of a shard's tables; where that was begun before, the main table knows."""
    name = f"{shard:06d}.parquet"
    gone = pa.array(sorted(paths), pa.string())
    _filter(out / "failures" / name, "path", gone)
    file = out / main / name
    if not file.exists():
        return
    rows = pq.ParquetFile(file).read(columns=["path", "clip"])
    clips = rows.filter(pc.is_in(rows["path"], gone))["clip"].combine_chunks()
    for table in by_clip:
        _filter(out / table / name, "clip", clips)
    _filter(file, "path", gone)


def forget_shard(out: Path, shard: int, tables: Iterable[str]) -> None:
    """Remove what is left of a shard whose main table is gone."""
    for table in (*tables, "failures"):
        (out / table / f"{shard:06d}.parquet").unlink(missing_ok=True)


def _filter(file: Path, column: str, gone: pa.Array) -> None:
    if not len(gone) or not file.exists():
        return
    table = pq.ParquetFile(file).read()
    kept = table.filter(pc.invert(pc.is_in(table[column], gone)))
    if kept.num_rows < table.num_rows:
        write_table(kept, file)


def _read(folder: Path, shards: Iterable[int], column: str, values: list[str]) -> pa.Table:
    files = [folder / f"{shard:06d}.parquet" for shard in shards]
    wanted = pa.array(values, pa.string())
    tables = (pq.ParquetFile(file).read() for file in files if file.exists())
    return pa.concat_tables([table.filter(pc.is_in(table[column], wanted)) for table in tables]).combine_chunks()


def _renamed(rows: pa.Table, clips: Sequence[str], names: Sequence[str]) -> pa.Table:
    """Return the rows of each clip under its new name; a clip may have several."""
    found = np.array(rows["clip"].to_pylist(), object)
    places = [np.flatnonzero(found == clip) for clip in clips]
    column = [name for name, place in zip(names, places, strict=True) for _ in place]
    taken = rows.take(pa.array(np.concatenate(places), pa.int64()))
    return taken.set_column(rows.column_names.index("clip"), rows.field("clip"), pa.array(column, pa.string()))
