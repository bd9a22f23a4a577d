"""Which of a corpus's files a model reads: one file of every take."""

from typing import Any, Literal

import numpy as np
import pyarrow as pa

from emocore.errors import UserError, amount

Channel = Literal["speech", "song", "all"]
Media = Literal["audio", "frames"]
_SEGMENT = ("segment_start_seconds", "segment_end_seconds")

# Best first.
PREFERRED: dict[str, tuple[str, ...]] = {
    "audio": ("audio-only", "audio-video"),
    "frames": ("audio-video", "video-only"),
}


def select(clips: pa.Table, *, channel: Channel = "speech", media: Media) -> pa.Table:
    """Return the rows that a model of this media reads, in the table's order.

    Rows whose channel or modality is unknown (corpora of one's own) are kept, one a clip. Of all others one
    row a take is kept, or one for each of its segments: of its preferred modality, and there the first in path order.
    Raises UserError where nothing is left.
    """
    rank = {modality: place for place, modality in enumerate(PREFERRED[media])}
    best: dict[tuple[Any, ...], tuple[int, str, int]] = {}
    columns = (clips[name].to_pylist() for name in ("clip", "take", "path", "modality", "channel", *_SEGMENT))
    for row, (clip, take, path, modality, own_channel, *segment) in enumerate(zip(*columns, strict=True)):
        if own_channel not in (None, channel) and channel != "all":
            continue
        if modality is not None and modality not in rank:
            continue
        # A take and a clip may bear one name: "clip" keeps the files of unknown modality apart.
        key = ("clip", clip) if modality is None else ("take", take or clip, *segment)
        candidate = (rank.get(modality, 0), path, row)
        best[key] = min(candidate, best.get(key, candidate))
    if not best:
        raise UserError(
            f"None of the {amount(clips.num_rows, 'clip')} has channel {channel!r} and one of the modalities "
            f"{', '.join(PREFERRED[media])}: choose another --channel, or give other files."
        )
    return clips.take(np.array(sorted(row for *_, row in best.values()), np.int64))
