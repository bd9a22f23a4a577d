"""The parts of an output folder: whole or cut, of a round that its database knows or of none, each row once.

A part bears the id of the round that wrote it. Copies, backups and workers that were cut off leave parts whose numbers
mean something else by now, and tables that are older or newer than the database: their rows are never counted as those
of the files that the database has in mind.
"""

import itertools
import re
import shutil
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from emocore.errors import amount
from emocore.pipeline.archive.database import Archive
from emocore.pipeline.archive.plan import ROUND_KEY
from emocore.pipeline.archive.reuse import drop_rows, forget_shard
from emocore.pipeline.archive.stage import LISTING_FAILURES, TIMINGS_FOLDER, Stage, shard_file
from emocore.progress import say
from emocore.schema import FAILURES
from emocore.storage.files import delete, put, store_of
from emocore.storage.tables import forget_types, parts_of, read_table

ASIDE = ".aside"
_NAMED = 3  # of many files, in one line


def sweep(out: Path, stage: Stage, archive: Archive) -> None:
    """Take shards away of which a part is cut or empty, and set aside the parts that the database does not know.

    The files of the first are read again. What the round that is open may have written is known.
    """
    cut, strange = _wrong(out, stage, archive)
    for file in cut:
        shard = _number(file)
        say(f"{file} is not whole: {'its files are read again' if shard is not None else 'it is made again'}")
        if shard is None:
            delete(file)
        else:
            forget_shard(out, shard, tables_of(stage))
    _set_aside(out, [file for file in strange if file.exists()])


def match_rows(out: Path, stage: Stage, archive: Archive) -> bool:
    """Make the database and the tables agree on which files have a row; return whether they did not.

    Files without one are forgotten, so that they are read again; rows of other files are taken out.
    """
    lost, missing, extra = [], [], []
    for shard, paths in archive.shard_paths():
        there = _paths(out, stage, shard)
        if there is None:
            lost.append(shard)
        elif there != paths:
            missing += sorted(paths - there)
            extra.append((shard, there - paths))
    for shard in lost:  # before it is forgotten: a kill between the two is mended by the next call
        forget_shard(out, shard, tables_of(stage))
    for shard, paths in extra:
        drop_rows(out, shard, paths, stage.main, stage.tables)
    archive.forget(lost)
    archive.forget_files(missing)
    return bool(lost or missing or extra)


def without_rows(out: Path, stage: Stage, archive: Archive) -> list[str]:
    """Return the files that would be read again after `sweep` and `match_rows`, without changing anything."""
    cut, strange = _wrong(out, stage, archive)
    gone = {_number(file) for file in cut}
    found: list[str] = []
    for shard, paths in archive.shard_paths():
        there = None if shard in gone else _paths(out, stage, shard, strange)
        found += paths - (there or set())
    return found


def tables_of(stage: Stage) -> tuple[str, ...]:
    """Return the tables that a shard may have a part of; the one that says that it is committed goes first."""
    return (stage.main, *stage.tables, "failures", TIMINGS_FOLDER)


def numbered_files(folder: Path) -> set[int]:
    """Return the shards that have a file in this folder."""
    return {shard for file in parts_of(folder) if (shard := _number(file)) is not None}


def _wrong(out: Path, stage: Stage, archive: Archive) -> tuple[list[Path], list[Path]]:
    """Return the parts that are cut or empty, and those that the database does not know."""
    cut, strange = [], []
    known = archive.known_shards()
    for file, footer in _footers(out, stage):
        shard = _number(file)
        if footer is None and (shard is not None or file.name == LISTING_FAILURES):
            cut.append(file)
        elif file.name != LISTING_FAILURES and (
            shard is None or _is_strange(footer, shard, known, archive.shards.stop)
        ):
            strange.append(file)
    return cut, strange


def _number(file: Path) -> int | None:
    return int(file.stem) if re.fullmatch(r"\d{6,}\.parquet", file.name) else None


def _footers(out: Path, stage: Stage) -> Iterator[tuple[Path, pq.FileMetaData | None]]:
    """Yield the files of all tables, each with what its end says of it; None where that is cut off."""
    forget_types()
    for file in itertools.chain.from_iterable(parts_of(out / table) for table in tables_of(stage)):
        try:
            with store_of(file).open(file) as source:
                footer = pq.read_metadata(source)
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:  # of storage, not of what it holds
                raise
            footer = None
        yield file, footer


def _is_strange(footer: pq.FileMetaData, shard: int, known: Mapping[int, str], end: int) -> bool:
    """Whether another round wrote this part than the database says; what its files left behind may stay if empty."""
    if shard not in known:
        return bool(footer.num_rows > 0 or shard >= end)
    return bool((footer.metadata or {}).get(ROUND_KEY, b"") != known[shard].encode())


def _set_aside(out: Path, files: list[Path]) -> None:
    if not files:
        return
    aside = next(place for n in itertools.count(1) if not (place := out / ASIDE / str(n)).exists())
    for file in files:
        with store_of(file).open(file) as found, put(aside / file.relative_to(out)) as kept:
            shutil.copyfileobj(found, kept)
        delete(file)
    names = ", ".join(str(file.relative_to(out)) for file in files[:_NAMED])
    more = ", …" if len(files) > _NAMED else ""
    say(f"set aside: {amount(len(files), 'file')} that no round of {out} wrote, now in {aside}: {names}{more}")


def _paths(out: Path, stage: Stage, shard: int, besides: Collection[Path] = ()) -> set[str] | None:
    """Return the paths that have a row in a shard; None where a part is not there, or a path has two rows."""
    files = {table: shard_file(out / table, shard) for table in (stage.main, *stage.tables, "failures")}
    there = {table for table, file in files.items() if file.exists() and file not in besides}
    if not there.issuperset((stage.main, *stage.tables)):
        return None
    only = pa.schema([FAILURES.field("path")])
    rows = [files[table] for table in (stage.main, "failures") if table in there]
    paths = [path for file in rows for path in read_table(file, only)["path"].to_pylist()]
    return set(paths) if len(set(paths)) == len(paths) else None
