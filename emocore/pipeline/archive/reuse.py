"""Rows of files whose bytes are known: made from those that are there, under another name; and rows that are to go."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from emocore.features.extract import PLANNED, SOFT
from emocore.pipeline.archive.plan import shard_table, signature
from emocore.pipeline.archive.rows import Carry, Planned
from emocore.pipeline.archive.stage import TIMINGS_FOLDER
from emocore.schema import CLIPS, soft_labels
from emocore.storage.files import delete
from emocore.storage.tables import open_table, read_table, row_groups, table_writer, take_out, write_table


def carry_rows(out: Path, carries: Sequence[Carry], main: str, by_clip: Iterable[str], round_id: str = "") -> None:
    """Write the tables of one shard from the rows of other paths with the same bytes; the main table comes last.

    `main` has one row a path, the tables `by_clip` have none or several rows a clip. Where rows to carry are not there,
    nothing is written.
    """
    name = f"{carries[0].shard:06d}.parquet"
    if (out / main / name).exists():
        return
    sources = sorted({carry.source_shard for carry in carries})
    rows = _read(out / main, sources, "path", [carry.source for carry in carries])
    place = {path: row for row, path in enumerate(rows["path"].to_pylist())} if rows is not None else {}
    if rows is None or any(carry.source not in place for carry in carries):
        return  # the part that held it was lost: without its own main table this shard is too, and is planned anew
    rows = rows.take(pa.array([place[carry.source] for carry in carries]))
    told = shard_table([Planned(carry.row, carry.duplicate_of, 0) for carry in carries], carries[0].shard)
    names: dict[str, list[str]] = {}
    for clip, name_now in zip(rows["clip"].to_pylist(), told["clip"].to_pylist(), strict=True):
        names.setdefault(clip, []).append(name_now)
    for table in by_clip:
        if (out / table).is_dir():
            parts = [out / table / f"{shard:06d}.parquet" for shard in sources]
            _rename(parts, names, out / table / name, signature(round_id))
    for column in PLANNED.names:
        if column in rows.column_names:
            values = soft_labels(told[column]) if column == SOFT else told[column]
            rows = rows.set_column(rows.column_names.index(column), rows.field(column), values)
    write_table(rows.replace_schema_metadata(signature(round_id)), out / main / name)


def drop_rows(out: Path, shard: int, paths: set[str], main: str, by_clip: Iterable[str]) -> None:
    """Take the rows of these paths out of a shard's tables; where that was begun before, the main table knows."""
    name = f"{shard:06d}.parquet"
    gone = pa.array(sorted(paths), pa.string())
    for table in ("failures", TIMINGS_FOLDER):
        take_out(out / table / name, "path", gone)
    file = out / main / name
    if not file.exists():
        return
    rows = read_table(file, pa.schema([CLIPS.field("path"), CLIPS.field("clip")]))
    clips = rows.filter(pc.is_in(rows["path"], gone))["clip"].combine_chunks()
    for table in by_clip:
        take_out(out / table / name, "clip", clips)
    take_out(file, "path", gone)


def forget_shard(out: Path, shard: int, tables: Iterable[str]) -> None:
    """Remove what is left of a shard, its main table first where that is the first: then it is lost, and not cut."""
    for table in tables:
        delete(out / table / f"{shard:06d}.parquet")


def _rename(
    files: Iterable[Path], names: Mapping[str, Sequence[str]], target: Path, signed: Mapping[bytes, bytes]
) -> None:
    """Write the rows of some clips under other names, of which a clip may have several."""
    there = [file for file in files if file.exists()]
    if not there:
        return
    wanted = pa.array(list(names), pa.string())
    with open_table(there[0]) as rows:
        schema = rows.schema_arrow.remove_metadata()
    with table_writer(schema.with_metadata(dict(signed)), target) as write:
        for file in there:
            with open_table(file, schema) as rows:
                for group in row_groups(rows):
                    for one in _renamed(group.filter(pc.is_in(group["clip"], wanted)), names):
                        write(one)


def _renamed(rows: pa.Table, names: Mapping[str, Sequence[str]]) -> Iterator[pa.Table]:
    for clip in rows["clip"].unique().to_pylist():
        found = rows.filter(pc.equal(rows["clip"], clip))
        for name in names[clip]:
            yield found.set_column(0, rows.field("clip"), pa.array([name] * found.num_rows, pa.string()))


def _read(folder: Path, shards: Iterable[int], column: str, values: list[str]) -> pa.Table | None:
    files = [folder / f"{shard:06d}.parquet" for shard in shards]
    wanted = pa.array(values, pa.string())
    tables = (read_table(file) for file in files if file.exists())
    found = [table.filter(pc.is_in(table[column], wanted)) for table in tables]
    return pa.concat_tables(found).combine_chunks() if found else None
