"""Parquet files of ours: written whole or not at all, read by name and version."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from emocore.errors import UserError
from emocore.schema import SCHEMA_VERSION, VERSION_KEY, pictures_schema
from emocore.storage.files import put, store_of
from emocore.storage.folder import of_other_version

_TYPES_OF_RAY = (
    "ray.data.arrow_pickled_object",
    "ray.data.arrow_tensor",
    "ray.data.arrow_tensor_v2",
    "ray.data.arrow_variable_shaped_tensor",
)


def picture_columns(found: pa.Schema, names: Iterable[str], path: Path) -> pa.Schema:
    """Return these columns of pictures, of the size that a file's have. Raises UserError where they are not there."""
    place = found.get_field_index("image")
    kind = found.field(place).type if place >= 0 else None
    if not isinstance(kind, pa.FixedShapeTensorType) or len(kind.shape) != 2 or kind.shape[0] != kind.shape[1]:
        raise UserError(f"{path} holds no pictures of ours: featurize the corpus again.")
    ours = pictures_schema(kind.shape[0])
    declared = pa.schema([ours.field(name) for name in names])
    check_types(found, declared, path)
    return declared


@contextmanager
def table_writer(schema: pa.Schema, path: Path) -> Iterator[Callable[[pa.Table], None]]:
    """Write one Parquet file in parts; it is there whole, or not at all."""
    versioned = schema.with_metadata({**(schema.metadata or {}), VERSION_KEY: SCHEMA_VERSION.encode()})
    with put(path) as file, pq.ParquetWriter(file, versioned) as writer:
        yield lambda table: writer.write_table(table.replace_schema_metadata(versioned.metadata))


def write_table(table: pa.Table, path: Path) -> None:
    """Write one Parquet file in a single atomic step: it is there whole, or not at all."""
    metadata = {**(table.schema.metadata or {}), VERSION_KEY: SCHEMA_VERSION.encode()}
    with put(path) as file:
        pq.write_table(table.replace_schema_metadata(metadata), file)


@contextmanager
def open_table(
    path: Path, declared: pa.Schema | None = None, *, of_this_version: bool = False
) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file, which may be a stranger's: its types are compared before a value is touched.

    `declared`: the columns that are to be read of it; None: any of plain types. Raises UserError where one is missing
    or of another type, for a type that is brought to life by code, where the file is not whole, and, where it is to be
    `of_this_version`, for another schema version.
    """
    forget_types()
    with store_of(path).open(path) as source:
        try:
            file = pq.ParquetFile(source)
        except pa.ArrowException as error:
            raise UserError(f"{path} is not a whole Parquet file: make it again.") from error
        check_types(file.schema_arrow, None, path)
        if of_this_version:
            _check_version(file.schema_arrow, path)
        check_types(file.schema_arrow, declared, path)
        try:
            yield file
        except pa.ArrowException as error:
            raise UserError(f"{path} is not a whole Parquet file: make it again.") from error


def read_table(path: Path, declared: pa.Schema | None = None, *, of_this_version: bool = False) -> pa.Table:
    """Read one Parquet file: the declared columns in their order, or all. Raises UserError as `open_table`."""
    with open_table(path, declared, of_this_version=of_this_version) as file:
        return file.read() if declared is None else file.read(columns=declared.names).select(declared.names)


def read_tables(folder: Path, declared: pa.Schema | None = None) -> pa.Table:
    """Read all Parquet files of a folder in name order: the declared columns, or all.

    Raises UserError where there are none, where one has another schema version, and as `open_table`.
    """
    paths = parts_of(folder)
    if not paths:
        raise UserError(f"{folder} holds no Parquet file: expected a table that emocore wrote.")
    return pa.concat_tables([read_table(path, declared, of_this_version=True) for path in paths])


def each_table(folder: Path, declared: pa.Schema) -> Iterator[pa.Table]:
    """Yield the Parquet files of a folder in name order, one at a time. Raises UserError as `open_table`."""
    for path in parts_of(folder):
        yield read_table(path, declared)


def read_tables_if_any(folder: Path, schema: pa.Schema) -> pa.Table:
    """Read all Parquet files of a folder with this schema; no rows where nothing was written."""
    return read_tables(folder, schema) if folder.is_dir() else schema.empty_table()


def take_out(file: Path, column: str, gone: pa.Array) -> None:
    """Take the rows of these values out of a file, a row group at a time: pictures are large."""
    if not len(gone) or not file.exists():
        return
    with open_table(file) as rows:
        if not pc.any(pc.is_in(rows.read(columns=[column])[column], gone)).as_py():
            return
        with table_writer(rows.schema_arrow, file) as write:
            for group in row_groups(rows):
                write(group.filter(pc.invert(pc.is_in(group[column], gone))))


def row_groups(rows: pq.ParquetFile) -> Iterator[pa.Table]:
    """Yield the row groups of a file."""
    for number in range(rows.num_row_groups):
        yield rows.read_row_group(number).replace_schema_metadata()


def parts_of(folder: Path) -> list[Path]:
    """Return the Parquet files of a folder in name order."""
    return [path for path in store_of(folder).list(folder) if path.suffix == ".parquet"]


def rows_of(path: Path) -> int:
    """Return how many rows a Parquet file holds, reading none of them. Raises UserError where it is not whole."""
    with open_table(path) as file:
        return int(file.metadata.num_rows)


def count_rows(folder: Path) -> int:
    """Return how many rows the Parquet files of a folder hold, reading none of them."""
    return sum(map(rows_of, parts_of(folder)))


def forget_types() -> None:
    """Unregister the types of Ray Data, whose values and names are made by unpickling; importing it registers them."""
    for name in _TYPES_OF_RAY:
        with suppress(pa.ArrowKeyError):
            pa.unregister_extension_type(name)


def check_types(found: pa.Schema, declared: pa.Schema | None, path: Path) -> None:
    """Raise UserError unless the declared columns are there with their types, and all others are of plain ones."""
    for field in found:
        told = (field.metadata or {}).get(b"ARROW:extension:name")
        if told is not None or not _is_plain(field.type):
            name = told.decode("utf-8", "replace") if told is not None else str(field.type)
            raise UserError(f"{path} has a column {field.name!r} of the type {name!r}, which no table of ours has.")
    for field in declared or ():
        if found.get_field_index(field.name) < 0:  # of two columns of one name, too
            raise UserError(f"{path} has not one column {field.name!r}: make the table again.")
        if found.field(field.name).type != field.type:
            theirs = found.field(field.name).type
            raise UserError(f"{path} has a column {field.name!r} of {theirs}, {field.type} is ours: make it again.")


def _is_plain(kind: pa.DataType) -> bool:
    if isinstance(kind, pa.BaseExtensionType):
        return isinstance(kind, pa.FixedShapeTensorType)
    inner = [kind.field(i) for i in range(kind.num_fields)]
    named = any(b"ARROW:extension:name" in (field.metadata or {}) for field in inner)
    return not named and all(_is_plain(field.type) for field in inner)


def _check_version(schema: pa.Schema, path: Path) -> None:
    found = (schema.metadata or {}).get(VERSION_KEY, b"none").decode("utf-8", "replace")
    if found != SCHEMA_VERSION:
        raise of_other_version(path, found, "python jobs/featurize.py CORPUS --out NEW")
