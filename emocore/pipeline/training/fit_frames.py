"""Folds of models of frames: a network learns from frames, the fold's clips are answered from all of theirs."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from emocore.arrays import Rows
from emocore.datasets.examples import Examples
from emocore.datasets.frames import frames_of
from emocore.datasets.protocols import Fold
from emocore.errors import UserError
from emocore.labels import EMOTIONS
from emocore.models.aggregation import How, logarithms, tempered
from emocore.models.catalogue import outputs
from emocore.models.fitting import Recipe
from emocore.models.network_settings import NetworkSettings
from emocore.models.predictions import answer_clips
from emocore.pipeline import cluster
from emocore.pipeline.training.distributed import FrameSource, fit_network
from emocore.pipeline.training.folds import (
    KEPT,
    FoldResult,
    actors_apart,
    check_folds,
    keep_result,
    load_kept,
    safe_name,
)
from emocore.pipeline.training.score_frames import score_frames, write_network
from emocore.probabilities import fit_temperature
from emocore.storage.local import writing

WORK = ".training"


@dataclass(frozen=True)
class FramePlan:
    """What to fit and how: the model, its network's settings, and how frames answer together.

    `side_by_side`: trainings that share the machines.
    """

    recipe: Recipe
    settings: NetworkSettings
    combine: How
    side_by_side: int = 1


def run_frame_folds(
    examples: Examples,
    folds: Sequence[Fold],
    plan: FramePlan,
    group_column: str | None,
    out: Path,
    keep: bool = False,
) -> list[FoldResult]:
    """Fit and score one fold after the other, each of which holds validation clips.

    A fold without test clips (protocol all) is scored on its validation clips, on which the epoch and the temperature
    were chosen. OUT/.training, on storage that all machines share, holds what an interrupted training goes on from,
    OUT/tensorboard a log of each fold; with `keep` finished folds are not fitted again. Raises UserError as
    `check_frame_folds`.
    """
    check_frame_folds(examples.clips, examples.soft, folds, plan.recipe.model, group_column, examples.emotions)
    cluster.connect()
    kept, results = out / KEPT if keep else None, []
    for fold in folds:
        result = load_kept(kept, fold.name, examples.emotions)
        if result is None:
            work = out / WORK / safe_name(fold.name)
            result = _run_fold(examples, fold, plan, work)
            keep_result(kept, result)
            _keep_log(work, out / "tensorboard" / safe_name(fold.name))
        results.append(result)
    return results


def check_frame_folds(
    clips: pa.Table,
    soft: NDArray[np.float32],
    folds: Sequence[Fold],
    model: str,
    group_column: str | None,
    emotions: tuple[str, ...] = EMOTIONS,
) -> None:
    """Raise UserError as `check_folds`, and for an emotion that the model or its training clips do not show."""
    check_folds(clips, soft, folds, group_column, emotions)
    known = np.isin(emotions, outputs(model, NetworkSettings(emotions=emotions)))
    for fold in folds:
        learnt = soft[np.concatenate([fold.train, fold.validation])].sum(axis=0) > 0
        for emotion in _named(emotions, learnt & ~known):
            raise UserError(f"{model} does not know {emotion!r}, which clips to train on show: choose another --model.")
        seen = soft[fold.train].sum(axis=0) > 0
        asked = soft[np.concatenate([fold.validation, fold.test])].sum(axis=0) > 0
        for emotion in _named(emotions, asked & known & ~seen):
            raise UserError(
                f"Fold {fold.name!r} asks for {emotion!r}, which none of its training clips shows: give clips of it "
                "by more actors, or choose another --protocol."
            )


def _run_fold(examples: Examples, fold: Fold, plan: FramePlan, work: Path) -> FoldResult:
    train, validation = (
        FrameSource(frames_of(examples).folders, dict(zip(_names(examples, rows), examples.soft[rows], strict=True)))
        for rows in (fold.train, fold.validation)
    )
    fitted = fit_network(plan.recipe, plan.settings, train, validation, work, plan.side_by_side)
    network = write_network(work / "network", fitted.files, plan.recipe.model)
    frames = score_frames(examples, np.concatenate([fold.validation, fold.test]), network)

    def answers(rows: Rows) -> NDArray[np.float64]:
        return answer_clips(frames, _names(examples, rows), plan.combine)

    temperature = fit_temperature(logarithms(answers(fold.validation)), examples.soft[fold.validation])
    held = fold.test if len(fold.test) else fold.validation
    learnt = np.concatenate([fold.train, fold.validation]) if len(fold.test) else fold.train
    return FoldResult(
        fold.name,
        held,
        tempered(answers(held), temperature),
        temperature,
        fitted.chosen,
        dict(fitted.files),
        actors_apart(examples.clips, [(learnt, held)]),
        frames.filter(pc.is_in(frames["clip"], pa.array(_names(examples, held)))),
        fitted.history,
    )


def _keep_log(work: Path, log: Path) -> None:
    if (work / "tensorboard").is_dir():
        shutil.rmtree(log, ignore_errors=True)
        with writing(log):
            log.parent.mkdir(exist_ok=True)
            (work / "tensorboard").rename(log)


def _names(examples: Examples, rows: Rows) -> list[str]:
    names: list[str] = examples.clips["clip"].take(pa.array(rows)).to_pylist()
    return names


def _named(emotions: Sequence[str], chosen: NDArray[np.bool_]) -> list[str]:
    return [emotion for emotion, there in zip(emotions, chosen, strict=True) if there]
