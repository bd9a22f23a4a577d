"""A bundle's answers for clips that were read: jobs and the API have them from the same functions."""

from collections.abc import Collection

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from emocore.errors import UnansweredClips
from emocore.features.extract import values_of, windows_of
from emocore.models.aggregation import How, tempered
from emocore.models.bundle import Bundle
from emocore.models.predictions import answer_clips, answers_of, clips_from_windows, label_rows, window_rows
from emocore.schema import emotions_of


def label_heard(featurized: pa.Table, bundle: Bundle) -> tuple[pa.Table, pa.Table]:
    """Return WINDOWS and LABELS rows for FEATURIZED rows without faults; where a state is not ok, no answer.

    Raises UnansweredClips.
    """
    family, emotions = bundle.family, bundle.emotions
    windows = windows_of(featurized, family)
    heard = pc.equal(windows["state"], "ok").to_numpy(zero_copy_only=False)
    probabilities = np.zeros((windows.num_rows, len(emotions)))
    if heard.any():
        mine = windows.filter(pa.array(heard))
        x = values_of(mine, family)
        given, faults = answers_of(lambda rows: bundle.probabilities(x[rows]), len(x), len(emotions))
        if faults:
            raise UnansweredClips({mine["clip"][row].as_py(): fault for row, fault in faults.items()})
        probabilities[heard] = given
    answers = window_rows(windows, probabilities, family.name, emotions)
    clips, answered = clips_from_windows(answers, featurized["clip"].to_pylist())
    return answers, label_rows(featurized, clips, answered, featurized["state"].to_pylist(), answers)


def label_seen(
    featurized: pa.Table, frames: pa.Table, shown: Collection[str], how: How, temperature: float, family: str
) -> tuple[pa.Table, pa.Table]:
    """Return WINDOWS and LABELS rows for FEATURIZED rows without faults, from the FRAME_LABELS rows of their clips.

    A clip is one window. Without a usable picture its state is no_face, or no_video where it is not among the `shown`,
    which have pictures.
    """
    clips, emotions = featurized["clip"].to_pylist(), emotions_of(frames.schema)
    answered = pc.is_in(featurized["clip"], frames["clip"].unique()).to_numpy(zero_copy_only=False)
    rows = np.flatnonzero(answered)
    probabilities = np.zeros((len(clips), len(emotions)))
    probabilities[rows] = tempered(answer_clips(frames, [clips[row] for row in rows], how), temperature)
    unanswered = {clip: "no_face" if clip in shown else "no_video" for clip in clips}
    states = ["ok" if there else unanswered[clip] for clip, there in zip(clips, answered, strict=True)]
    whole = pa.table(
        {
            "clip": featurized["clip"],
            "track": np.zeros(len(clips), np.int32),
            "window": np.zeros(len(clips), np.int32),
            "start_seconds": np.zeros(len(clips)),
            "end_seconds": pc.fill_null(featurized["duration_seconds"], 0.0),
            "state": pa.array(states, pa.string()),
        }
    )
    windows = window_rows(whole, probabilities, family, emotions)
    return windows, label_rows(featurized, probabilities, answered, states, windows)
