"""The typed tables that travel between stages and lie on disk, and the version that readers insist on."""

import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from emocore.errors import UserError
from emocore.labels import EMOTIONS

SCHEMA_VERSION = "1"
_UNFINISHED = ".tmp"
_TYPES_OF_RAY = (
    "ray.data.arrow_pickled_object",
    "ray.data.arrow_tensor",
    "ray.data.arrow_tensor_v2",
    "ray.data.arrow_variable_shaped_tensor",
)
VERSION_KEY = b"emocore_schema_version"

PROBABILITIES = tuple(f"p_{emotion}" for emotion in EMOTIONS)
SOFT_LABEL = pa.fixed_shape_tensor(pa.float32(), [len(EMOTIONS)])
MFCC_FRAMES = pa.fixed_shape_tensor(pa.float32(), [157, 39])

# What a file's name, folder or manifest row says, before the file is opened. What a corpus does not know is null.
LISTING = pa.schema(
    [
        ("clip", pa.string()),  # unique in the corpus: the RAVDESS name, else the path below the root
        ("take", pa.string()),  # recordings of one performance share it; the clip itself where unknown
        ("path", pa.string()),  # absolute; inside a zip: ARCHIVE.zip!/MEMBER
        ("bytes", pa.int64()),
        ("modality", pa.string()),  # audio-video | video-only | audio-only
        ("channel", pa.string()),  # speech | song
        ("emotion", pa.string()),  # one of EMOTIONS: the majority of the raters
        ("soft_label", SOFT_LABEL),  # share of the raters for each of EMOTIONS; zeros where unlabelled
        ("intensity", pa.string()),  # normal | strong
        ("statement", pa.string()),  # kids | dogs, or the manifest's
        ("repetition", pa.int32()),
        ("actor", pa.string()),  # "01" … "24" in RAVDESS
        ("gender", pa.string()),  # female | male
        ("split", pa.string()),  # train | validation | test, where the corpus says
        ("extra", pa.map_(pa.string(), pa.string())),  # the manifest's other columns
    ]
)
CLIPS = pa.schema(
    [field for field in LISTING if field.name != "bytes"]
    + [
        pa.field("content_id", pa.string()),  # SHA-256 of the bytes
        pa.field("duplicate_of", pa.string()),  # the path of the first file with the same bytes
        pa.field("duration_seconds", pa.float64()),
        pa.field("sound_begin_seconds", pa.float64()),  # on the clock of the pictures; null without sound
        pa.field("state", pa.string()),  # ok | silent | no_audio | no_video
    ]
)
FAILURES = pa.schema(
    [
        ("path", pa.string()),
        ("content_id", pa.string()),
        ("stage", pa.string()),
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("attempts", pa.int32()),
    ]
)
_ANSWER = [("predicted", pa.string()), ("confidence", pa.float32()), ("runner_up", pa.string())]
_SHARES = [(name, pa.float32()) for name in PROBABILITIES]
PREDICTIONS = pa.schema(
    [
        ("clip", pa.string()),
        ("take", pa.string()),
        ("actor", pa.string()),
        ("gender", pa.string()),
        ("intensity", pa.string()),
        ("statement", pa.string()),
        ("emotion", pa.string()),
        *_ANSWER,
        *_SHARES,
        ("fold", pa.string()),
    ]
)
LABELS = pa.schema(
    [
        ("clip", pa.string()),
        ("path", pa.string()),
        ("content_id", pa.string()),
        ("duplicate_of", pa.string()),
        ("duration_seconds", pa.float64()),
        *_ANSWER,  # null where there was nothing to predict from: see state
        *_SHARES,
        ("state", pa.string()),
    ]
)
# What a model of frames says of each: as its network gives it, before the clip's temperature.
FRAME_LABELS = pa.schema(
    [
        ("clip", pa.string()),
        ("frame_index", pa.int32()),
        ("time_seconds", pa.float64()),
        *_SHARES,
        ("predicted", pa.string()),
        ("runner_up", pa.string()),
    ]
)
FRAME_PREDICTIONS = pa.schema([*FRAME_LABELS, ("fold", pa.string())])

# One row a setting that a search tried.
TRIALS = pa.schema(
    [
        ("fold", pa.string()),  # of the protocol, whose training clips the search had
        ("number", pa.int32()),  # in the order of drawing; 0: the model's defaults
        ("setting", pa.string()),  # JSON: parameter → value
        ("score", pa.float64()),  # mean over the search's folds of the UAR; null: failed, or stopped before the first
        ("scores", pa.list_(pa.float64())),  # of each fold
        ("share", pa.float32()),  # of the training that was done when it was stopped; 1: all
        ("state", pa.string()),  # ok | stopped: poor, and ended early | failed
        ("reason", pa.string()),  # why it failed
        ("seconds", pa.float64()),  # of computing
        ("finished_seconds", pa.float64()),  # since the search began
    ]
)


def pictures_schema(pixels: int) -> pa.Schema:
    """Return the schema of pictures uint8[pixels, pixels]."""
    return pa.schema(
        [
            ("clip", pa.string()),
            ("frame_index", pa.int32()),  # among all pictures of the film, in the order in which they are shown
            ("time_seconds", pa.float64()),  # when it is shown, from the begin of the film or its sound on
            ("state", pa.string()),  # ok | no_face: looked for, and not found
            ("box", pa.list_(pa.float32(), 4)),  # of the face: x, y, width, height in pixels of the upright frame
            ("image", pa.fixed_shape_tensor(pa.uint8(), [pixels, pixels])),
        ]
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


def rows_to_table(rows: Iterable[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    """Build a table of the schema from dictionaries; a missing key is a null, a tensor takes an array."""
    rows = list(rows)
    columns = []
    for field in schema:
        values = [row.get(field.name) for row in rows]
        if isinstance(field.type, pa.FixedShapeTensorType):
            storage = pa.array([None if v is None else v.ravel() for v in values], field.type.storage_type)
            columns.append(pa.ExtensionArray.from_storage(field.type, storage))
        else:
            columns.append(pa.array(values, field.type))
    return pa.Table.from_arrays(columns, schema=schema)


@contextmanager
def table_writer(schema: pa.Schema, path: Path) -> Iterator[Callable[[pa.Table], None]]:
    """Write one Parquet file in parts; it is there whole, or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    versioned = schema.with_metadata({VERSION_KEY: SCHEMA_VERSION.encode()})
    with whole_file(path) as file, pq.ParquetWriter(file, versioned) as writer:
        yield lambda table: writer.write_table(table.replace_schema_metadata(versioned.metadata))


def write_table(table: pa.Table, path: Path) -> None:
    """Write one Parquet file in a single atomic step: it is there whole, or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {**(table.schema.metadata or {}), VERSION_KEY: SCHEMA_VERSION.encode()}
    with whole_file(path) as file:
        pq.write_table(table.replace_schema_metadata(metadata), file)


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """Write one file: it is there whole, or not at all."""
    # Two processes may write one shard: the first may only seem to be dead. So each has a file of its own.
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}{_UNFINISHED}")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def clear_unfinished(folder: Path) -> None:
    """Remove what processes that died were writing into the tables of this folder."""
    for pattern in (f".*{_UNFINISHED}", f"*/.*{_UNFINISHED}"):
        for path in folder.glob(pattern):
            path.unlink(missing_ok=True)


@contextmanager
def open_table(path: Path, declared: pa.Schema | None = None) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file, which may be a stranger's: its types are compared before a value is touched.

    `declared`: the columns that are to be read of it; None: any of plain types. Raises UserError where one is missing
    or of another type, for a type that is brought to life by code, and where the file is not whole.
    """
    forget_types()
    try:
        file = pq.ParquetFile(path)
    except pa.ArrowException as error:
        raise UserError(f"{path} is not a whole Parquet file: make it again.") from error
    with file:
        check_types(file.schema_arrow, declared, path)
        try:
            yield file
        except pa.ArrowException as error:
            raise UserError(f"{path} is not a whole Parquet file: make it again.") from error


def read_table(path: Path, declared: pa.Schema | None = None) -> pa.Table:
    """Read one Parquet file: the declared columns in their order, or all. Raises UserError as `open_table`."""
    with open_table(path, declared) as file:
        return file.read() if declared is None else file.read(columns=declared.names).select(declared.names)


def read_tables(folder: Path, declared: pa.Schema | None = None) -> pa.Table:
    """Read all Parquet files of a folder in name order: the declared columns, or all.

    Raises UserError where there are none, where one has another schema version, and as `open_table`.
    """
    paths = sorted(folder.glob("*.parquet"))
    if not paths:
        raise UserError(f"{folder} holds no Parquet file: expected a table that emocore wrote.")
    tables = []
    for path in paths:
        with open_table(path) as file:
            check_version(file.schema_arrow, path)
        tables.append(read_table(path, declared))
    return pa.concat_tables(tables)


def each_table(folder: Path, declared: pa.Schema) -> Iterator[pa.Table]:
    """Yield the Parquet files of a folder in name order, one at a time. Raises UserError as `open_table`."""
    for path in sorted(folder.glob("*.parquet")):
        yield read_table(path, declared)


def read_tables_if_any(folder: Path, schema: pa.Schema) -> pa.Table:
    """Read all Parquet files of a folder with this schema; no rows where nothing was written."""
    return read_tables(folder, schema) if folder.is_dir() else schema.empty_table()


def rows_of(path: Path) -> int:
    """Return how many rows a Parquet file holds, reading none of them. Raises UserError where it is not whole."""
    with open_table(path) as file:
        return int(file.metadata.num_rows)


def count_rows(folder: Path) -> int:
    """Return how many rows the Parquet files of a folder hold, reading none of them."""
    return sum(rows_of(path) for path in folder.glob("*.parquet"))


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


def check_version(schema: pa.Schema, path: Path) -> None:
    """Raise UserError unless the Parquet schema carries this version."""
    found = (schema.metadata or {}).get(VERSION_KEY, b"none").decode()
    if found != SCHEMA_VERSION:
        raise UserError(
            f"{path} has schema version {found}, this release reads {SCHEMA_VERSION}: featurize the corpus again."
        )
