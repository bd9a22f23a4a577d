"""The typed tables that travel between stages and lie on disk, and the version that readers insist on."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from emocore.labels import EMOTIONS

SCHEMA_VERSION = "2"
VERSION_KEY = b"emocore_schema_version"

PROBABILITIES = tuple(f"p_{emotion}" for emotion in EMOTIONS)
SOFT_LABEL = pa.fixed_shape_tensor(pa.float32(), [len(EMOTIONS)])
SHARES = pa.list_(pa.float32())  # soft labels on their way from a listing to the tables: of any set
# The schemas below are those of EMOTIONS; `of_emotions` gives those of any other set.

# What a file's name, folder or manifest row says, before the file is opened. What a corpus does not know is null.
LISTING = pa.schema(
    [
        ("clip", pa.string()),  # unique in the corpus: the RAVDESS name, else the path below the root
        ("take", pa.string()),  # recordings of one performance share it; the clip itself where unknown
        ("path", pa.string()),  # absolute; inside a zip: ARCHIVE.zip!/MEMBER
        ("bytes", pa.int64()),
        ("corpus", pa.string()),  # the published one's name, else the folder's or the manifest's
        ("modality", pa.string()),  # audio-video | video-only | audio-only
        ("channel", pa.string()),  # speech | song
        ("emotion", pa.string()),  # one of EMOTIONS: the majority of the raters
        ("soft_label", SOFT_LABEL),  # share of the raters for each of EMOTIONS; zeros where unlabelled
        ("intensity", pa.string()),  # normal | strong
        ("statement", pa.string()),  # kids | dogs, or the manifest's
        ("repetition", pa.int32()),
        ("actor", pa.string()),  # "01" … "24" in RAVDESS
        ("gender", pa.string()),  # female | male
        ("age", pa.int32()),  # in years
        ("language", pa.string()),  # ISO 639
        ("segment_start_seconds", pa.float64()),  # of a file of which a stretch is the clip; null: the whole file
        ("segment_end_seconds", pa.float64()),
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
        pa.field("bandwidth_hz", pa.float32()),  # up to which its sound carries energy; null without sound
        pa.field("sound_tracks", pa.int32()),  # how many it has: one of them was read
        pa.field("state", pa.string()),  # ok | silent | too_short | no_audio | no_video
    ]
)
# Clips that were cut into windows over the whole recording: what their answers are told beside them.
CUT_CLIPS = pa.schema(
    [
        *CLIPS,
        ("speech_seconds", pa.float64()),  # null where nobody looked for speech
        ("broken_after_seconds", pa.float64()),  # where it cannot be read any further; null: it was read to its end
        ("windows_left_out", pa.int32()),  # as what was made of them is no number
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
        ("content_id", pa.string()),
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
        ("speech_seconds", pa.float64()),
        ("heard_seconds", pa.float64()),  # covered by windows that were answered for
        ("windows", pa.int32()),
        ("shares", pa.map_(pa.string(), pa.float64())),  # emotion → seconds
        ("answered_by", pa.list_(pa.string())),  # the families that were there
        ("unsure", pa.bool_()),
        ("unfamiliar", pa.bool_()),
        ("broken_after_seconds", pa.float64()),
        ("bandwidth_hz", pa.float32()),
        ("sound_tracks", pa.int32()),
        ("state", pa.string()),  # ok, or why there is no answer
    ]
)
# What was answered for a stretch of a clip; the clip's answer in LABELS is made of its windows'.
WINDOWS = pa.schema(
    [
        ("clip", pa.string()),
        ("track", pa.int32()),  # 0: the clip as a whole
        ("window", pa.int32()),
        ("start_seconds", pa.float64()),
        ("end_seconds", pa.float64()),
        ("speech_seconds", pa.float64()),
        *_ANSWER,
        *_SHARES,
        ("state", pa.string()),
        ("answered_by", pa.list_(pa.string())),
        ("unsure", pa.bool_()),
        ("unfamiliar", pa.bool_()),
    ]
)
# Who is there, and when: track 0 is the clip as a whole.
TRACKS = pa.schema(
    [
        ("clip", pa.string()),
        ("track", pa.int32()),
        ("kind", pa.string()),  # face | voice | person
        ("start_seconds", pa.float64()),
        ("end_seconds", pa.float64()),
        ("n_observations", pa.int32()),
        ("score", pa.float32()),  # 0 to 1
        ("name", pa.string()),
        *_ANSWER,
        *_SHARES,
    ]
)
# Where faces were looked for: several faces of a frame are several rows.
BOXES = pa.schema(
    [
        ("clip", pa.string()),
        ("track", pa.int32()),
        ("frame_index", pa.int32()),
        ("time_seconds", pa.float64()),
        ("box", pa.list_(pa.float32(), 4)),  # x, y, width, height in pixels of the upright frame
        ("score", pa.float32()),
        ("state", pa.string()),  # ok | no_face
    ]
)
# What a model of frames says of each: as its network gives it, before the clip's temperature.
FRAME_LABELS = pa.schema(
    [
        ("clip", pa.string()),
        ("track", pa.int32()),
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


def of_emotions(schema: pa.Schema, emotions: Sequence[str]) -> pa.Schema:
    """Return a schema above with the p columns and the soft label of these emotions, in their order.

    >>> of_emotions(FRAME_LABELS, ("happy", "boredom")).names[4:7]
    ['p_happy', 'p_boredom', 'predicted']
    """
    if tuple(emotions) == EMOTIONS:
        return schema
    fields = []
    for field in schema:
        if field.name == PROBABILITIES[0]:
            fields += [pa.field(f"p_{emotion}", field.type) for emotion in emotions]
        elif field.type == SOFT_LABEL:
            fields.append(field.with_type(pa.fixed_shape_tensor(pa.float32(), [len(emotions)])))
        elif field.name not in PROBABILITIES:
            fields.append(field)
    return pa.schema(fields)


def soft_labels(shares: pa.ChunkedArray) -> pa.Array:
    """Return lists of shares as tensors, all of the length of the first; of that of EMOTIONS where there is none.

    >>> soft_labels(pa.chunked_array([[[0.0, 1.0]]], SHARES)).type.shape
    [2]
    """
    lists = shares.combine_chunks()
    k = len(lists[0]) if len(lists) and lists[0].is_valid else len(EMOTIONS)
    kind = pa.fixed_shape_tensor(pa.float32(), [k])
    return pa.ExtensionArray.from_storage(kind, lists.cast(kind.storage_type))


def emotions_of(schema: pa.Schema) -> tuple[str, ...]:
    """Return the emotions that a table has p columns of, in their order.

    >>> emotions_of(LABELS) == EMOTIONS
    True
    """
    return tuple(name.removeprefix("p_") for name in schema.names if name.startswith("p_"))


def features_schema(shape: Sequence[int], columns: Sequence[str]) -> pa.Schema:
    """Return the schema of a family's table: a row a window, its values by name or as a tensor float32[*shape]."""
    values = [(name, pa.float32()) for name in columns] or [
        ("values", pa.fixed_shape_tensor(pa.float32(), list(shape)))
    ]
    return pa.schema(
        [
            ("clip", pa.string()),
            ("track", pa.int32()),
            ("window", pa.int32()),
            ("start_seconds", pa.float64()),
            ("end_seconds", pa.float64()),
            ("speech_seconds", pa.float64()),  # null where nobody looked for speech
            ("state", pa.string()),  # ok | silent | too_short | no_speech
            *values,
        ]
    )


def pictures_schema(pixels: int) -> pa.Schema:
    """Return the schema of pictures uint8[pixels, pixels]."""
    return pa.schema(
        [
            ("clip", pa.string()),
            ("track", pa.int32()),  # 0: whoever is seen
            ("frame_index", pa.int32()),  # among all pictures of the film, in the order in which they are shown
            ("time_seconds", pa.float64()),  # when it is shown, from the begin of the film or its sound on
            ("state", pa.string()),  # ok | no_face: looked for, and not found
            ("box", pa.list_(pa.float32(), 4)),  # of the face: x, y, width, height in pixels of the upright frame
            ("image", pa.fixed_shape_tensor(pa.uint8(), [pixels, pixels])),
        ]
    )


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
