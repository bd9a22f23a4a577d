"""Windows by which clips are tested, and the values of several families end to end."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from emocore.arrays import Rows
from emocore.features.family import FeatureFamily
from emocore.features.rows import values_of
from emocore.schema import features_schema
from emocore.storage.folder import FEATURES
from emocore.storage.tables import read_tables


@dataclass(frozen=True)
class WindowsOfClips:
    """Windows by which clips are tested: float32[m, *shape], the row of each one's clip, and what each weighs."""

    values: NDArray[np.float32]
    clip_of: Rows
    weights: NDArray[np.float64]

    def take(self, rows: Rows) -> Self:
        """Return the windows of these clips alone, in the order of their rows."""
        place = np.full(1 + max([-1, *self.clip_of, *rows]), -1)
        place[rows] = np.arange(len(rows))
        mine = np.flatnonzero(place[self.clip_of] >= 0)
        return replace(self, values=self.values[mine], clip_of=place[self.clip_of[mine]], weights=self.weights[mine])


def end_to_end(values: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return the vectors of several families end to end, float32[n, columns]; what one family has as it is."""
    return values[0] if len(values) == 1 else np.concatenate(values, axis=1)


def answer_from(
    model: Callable[[NDArray[np.float32]], NDArray[np.float64]],
    first: NDArray[np.float32],
    windows: WindowsOfClips | None,
) -> NDArray[np.float64]:
    """Return the clips' probabilities float64[n, k] from their first windows or, where there are, from all of theirs.

    As `label` does, by their mean, weighted; a clip in which nothing was heard keeps the answer of its first window.
    """
    answers = model(first)
    if windows is None or not len(windows.values):
        return answers
    given = model(windows.values) * windows.weights[:, None]
    sums, total = np.zeros_like(answers), np.bincount(windows.clip_of, windows.weights, len(answers))[:, None]
    np.add.at(sums, windows.clip_of, given)
    return np.where(total > 0, sums / np.maximum(total, 1e-12), answers)


def load_windows(folder: str, families: Sequence[FeatureFamily], clips: pa.Table) -> WindowsOfClips:
    """Load the windows that were answered for of each of the families.

    Each is weighted by its seconds of speech, else by its own.
    """
    tables = [_answered_windows(folder, family, clips) for family in families]
    rows_of = [{key: row for row, key in enumerate(_keys(table))} for table in tables]
    common = [key for key in rows_of[0] if all(key in others for others in rows_of[1:])]
    tables = [table.take([rows[key] for key in common]) for table, rows in zip(tables, rows_of, strict=True)]
    place = pc.index_in(tables[0]["clip"].combine_chunks(), clips["clip"].combine_chunks())
    lasts = pc.subtract(tables[0]["end_seconds"], tables[0]["start_seconds"])
    weights = pc.coalesce(tables[0]["speech_seconds"], lasts).to_numpy()
    values = end_to_end([values_of(table, family) for table, family in zip(tables, families, strict=True)])
    return WindowsOfClips(values, place.to_numpy().astype(np.int64), weights)


def _answered_windows(folder: str, family: FeatureFamily, clips: pa.Table) -> pa.Table:
    table = read_tables(Path(folder) / FEATURES / family.name, features_schema(family.shape, family.columns))
    table = table.filter(pc.equal(table["state"], "ok"))
    return table.filter(pc.is_in(table["clip"], clips["clip"].combine_chunks())).combine_chunks()


def _keys(windows: pa.Table) -> list[tuple[str, int]]:
    return list(zip(windows["clip"].to_pylist(), windows["window"].to_pylist(), strict=True))
