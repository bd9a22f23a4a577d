"""What the folds of a run give, whatever the model, and how finished ones are kept."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from emocore.arrays import Rows
from emocore.datasets.protocols import Fold, check_disjoint
from emocore.labels import EMOTIONS
from emocore.models.adaptation import Adaptation
from emocore.models.base import Settings, class_weights
from emocore.schema import FRAME_LABELS, of_emotions
from emocore.storage.files import put
from emocore.storage.tables import read_table, write_table

KEPT = ".folds"  # in the RUN: what finished folds gave


class Split(NamedTuple):
    """One inner fold: rows to fit on, to choose on, and to score."""

    train: Rows
    validation: Rows
    held: Rows


@dataclass(frozen=True)
class FoldResult:
    """A fold's out-of-fold probabilities float64[m, k] for its rows int64[m], and the model as files.

    Of a model of frames also the answers of all their frames (FRAME_LABELS), and a row of figures an epoch; of a
    search the setting that it found, and all that it tried (TRIALS).
    """

    name: str
    rows: Rows
    probabilities: NDArray[np.float64]
    temperature: float
    chosen: Settings
    files: dict[str, bytes]
    independent: bool | None  # no actor stands on both sides; None: the corpus does not say who speaks
    frames: pa.Table | None = None
    history: list[dict[str, Any]] = field(default_factory=list)
    setting: Settings = field(default_factory=dict)
    trials: pa.Table | None = None
    adaptation: Adaptation | None = None  # to the tested clips; None: as it is


def check_folds(
    clips: pa.Table,
    soft: NDArray[np.float32],
    folds: Sequence[Fold],
    group_column: str | None,
    emotions: Sequence[str] = EMOTIONS,
) -> None:
    """Raise UserError where a fold leaks, or shows one class only."""
    for fold in folds:
        check_disjoint(clips, fold, group_column=group_column)
        class_weights(soft[fold.train], balanced=True, emotions=emotions)


def actors_apart(clips: pa.Table, sides: Sequence[tuple[Rows, Rows]]) -> bool | None:
    """Whether no actor stands on both sides of any pair of rows; None where an actor is unknown."""
    actors = np.array(clips["actor"].to_pylist(), dtype=object)
    if any(actor is None for actor in actors):
        return None
    return all(set(actors[rows]).isdisjoint(actors[others]) for rows, others in sides)


def keep_result(folder: Path | None, result: FoldResult) -> None:
    """Write what a run reports of a fold, not its model, in one step; nothing where there is no folder."""
    if folder is None:
        return
    path = folder / f"{safe_name(result.name)}.npz"
    if result.frames is not None:
        write_table(result.frames, path.with_suffix(".parquet"))
    adaptation = result.adaptation
    plain = np.zeros((0, 0)) if adaptation is None else adaptation.plain
    how = None if adaptation is None else [adaptation.by, adaptation.trust]
    facts = json.dumps([result.temperature, result.chosen, result.independent, result.history, how])
    with put(path) as file:
        np.savez(file, rows=result.rows, probabilities=result.probabilities, facts=np.array(facts), plain=plain)


def load_kept(folder: Path | None, name: str, emotions: Sequence[str] = EMOTIONS) -> FoldResult | None:
    """Return what `keep_result` wrote of these emotions, with no files; None where there is nothing."""
    if folder is None or not (folder / f"{safe_name(name)}.npz").exists():
        return None
    path = folder / f"{safe_name(name)}.npz"
    frames = path.with_suffix(".parquet")
    with np.load(path, allow_pickle=False) as kept:
        temperature, chosen, independent, history, how = json.loads(str(kept["facts"]))
        return FoldResult(
            name,
            kept["rows"],
            kept["probabilities"],
            temperature,
            chosen,
            {},
            independent,
            read_table(frames, of_emotions(FRAME_LABELS, emotions)) if frames.exists() else None,
            history,
            adaptation=Adaptation(how[0], how[1], kept["plain"]) if how else None,
        )


def safe_name(fold: str) -> str:
    """Return a file name for a fold: an actor may be called anything.

    >>> safe_name("a/b")
    'a%2Fb'
    """
    return quote(fold, safe="")
