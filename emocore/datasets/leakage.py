"""Whether a finished model was trained on what it is to be tested on."""

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from emocore.datasets.examples import Examples
from emocore.datasets.protocols import Fold, check_disjoint
from emocore.errors import UserError, amount


def unseen(known: pa.Table, examples: Examples) -> Examples:
    """Return the examples without copies of what a bundle was trained on, where no actor is known.

    `known`: the clips of its training, columns clip, path, take and content_id.

    Raises UserError where nothing is left, and as `check_unseen`.
    """
    clips = examples.clips
    seen = known["content_id"].combine_chunks()
    copy = pc.and_(pc.is_null(clips["actor"]), pc.is_in(clips["content_id"], seen.drop_null()))
    rows = np.flatnonzero(~copy.combine_chunks().to_numpy(zero_copy_only=False))
    if not len(rows):
        raise UserError(f"The model was trained on all of the {amount(clips.num_rows, 'clip')} given: give others.")
    check_unseen(known, clips.take(rows))
    left_out = {**examples.left_out, "also_in_training": clips.num_rows - len(rows)}
    return dataclasses.replace(examples.take(rows), left_out=left_out)


def check_unseen(known: pa.Table, clips: pa.Table, name: str = "as-is") -> None:
    """Raise UserError where the bytes or the take of a clip were in the training of the bundle."""
    columns = ["clip", "path", "take", "content_id"]
    seen = known.select(columns)
    both = pa.concat_tables([seen, clips.select(columns)]).combine_chunks()
    # A take that was not given is the clip's own name, which two corpora may share; so may two actors.
    own = pc.equal(both["take"], both["clip"])
    both = both.set_column(2, "take", pc.if_else(own, both["path"], both["take"]))
    both = both.append_column("actor", pa.nulls(both.num_rows, pa.string()))
    rows = np.arange(both.num_rows)
    check_disjoint(both, Fold(name, rows[: seen.num_rows], rows[:0], rows[seen.num_rows :]))
