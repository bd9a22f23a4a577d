"""Corpora of images without actors: what says that two clips belong together is that their bytes are equal."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from emocore.arrays import Rows
from emocore.datasets.groups import groups
from emocore.datasets.protocols import Fold, draw_validation

ACTOR_SHARE = 0.2
CLIP_SHARE = 0.1  # of very many clips a smaller part tells as much


def join_copies(clips: pa.Table) -> pa.Table:
    """Return the clips with one take for all copies of a file, where neither actor nor take says anything else."""
    takes = [
        content if content and actor is None and take == clip else take
        for clip, take, actor, content in zip(*_columns(clips, "clip", "take", "actor", "content_id"), strict=True)
    ]
    return clips.set_column(clips.column_names.index("take"), "take", pa.array(takes, pa.string()))


def leave_out_copies(clips: pa.Table, fold: Fold) -> Fold:
    """Return the fold without clips of no known actor that are copies of what chooses or tests.

    From training those that validation or test also hold; from validation those that the test also holds.
    """
    contents = _column(clips, "content_id")
    loose = np.array([actor is None for actor in clips["actor"].to_pylist()])
    train = _without(fold.train, np.concatenate([fold.validation, fold.test]), contents, loose)
    return replace(fold, train=train, validation=_without(fold.validation, fold.test, contents, loose))


def with_validation(clips: pa.Table, fold: Fold, seed: int, group_column: str | None = None) -> Fold:
    """Return the fold with validation actors drawn from the training actors, or clips where no actor is known.

    What the fold holds already is kept. Raises UserError where there is only one actor to train on.
    """
    if len(fold.validation):
        return fold
    known = groups(clips, group_column).known
    share = ACTOR_SHARE if known else CLIP_SHARE
    train, validation = draw_validation(clips, fold.train, seed, share, group_column=group_column)
    return replace(fold, train=train, validation=validation)


def distinct_rows(clips: pa.Table) -> Rows:
    """Return the first row of each content; a clip whose bytes are not known is one of its own."""
    seen: dict[str, int] = {}
    for row, (clip, content) in enumerate(zip(*_columns(clips, "clip", "content_id"), strict=True)):
        seen.setdefault(content or f"clip {clip}", row)
    return np.array(list(seen.values()), np.int64)


def _without(rows: Rows, others: Rows, contents: Sequence[str | None], loose: npt.NDArray[np.bool_]) -> Rows:
    held = {contents[row] for row in others} - {None}
    return rows[[not (loose[row] and contents[row] in held) for row in rows]] if len(rows) else rows


def _columns(clips: pa.Table, *names: str) -> list[list[str | None]]:
    return [_column(clips, name) for name in names]


def _column(clips: pa.Table, name: str) -> list[str | None]:
    # A listing does not know the bytes of its files yet.
    values: list[str | None] = clips[name].to_pylist() if name in clips.column_names else [None] * clips.num_rows
    return values
