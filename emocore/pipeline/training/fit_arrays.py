"""Folds on the cluster: inner folds choose, a final fit learns, its test clips are scored."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import ray
from numpy.typing import NDArray

from emocore.arrays import Rows
from emocore.datasets.examples import Examples
from emocore.datasets.groups import groups
from emocore.datasets.protocols import Fold, draw_validation, inner_folds
from emocore.datasets.windows import WindowsOfClips, answer_from
from emocore.models.adaptation import Adapt
from emocore.models.base import exhaust
from emocore.models.catalogue import find_model
from emocore.models.fitting import Fitted, InnerFit, Recipe, calibrate, fit_final, fit_inner
from emocore.pipeline import cluster
from emocore.pipeline.training.adapting import ClipGroups, answer_adapted, clip_groups, moved_inputs
from emocore.pipeline.training.folds import FoldResult, Split, actors_apart, check_folds, keep_result, load_kept
from emocore.probabilities import softmax
from emocore.progress import Counter
from emocore.storage.local import scratch, writing

INNER_FOLDS = 3


def run_folds(
    examples: Examples,
    folds: Sequence[Fold],
    recipe: Recipe,
    group_column: str | None,
    threads: int = 1,
    keep: Path | None = None,
    adapt: Adapt = "none",
) -> list[FoldResult]:
    """Fit and score every fold, in parallel; `threads` CPUs a fit.

    A fold without test clips (protocol all) is scored on its inner folds, each clip by a model that never heard its
    group. Finished folds are kept in the folder `keep`, and not fitted again. `adapt`: to the tested clips, with a
    second model where training is moved too. Raises UserError as `check_folds` and `clip_groups`.
    """
    of_clips = clip_groups(adapt, examples.clips, group_column)
    check_folds(examples.clips, examples.soft, folds, group_column, examples.emotions)
    kept = {fold.name: load_kept(keep, fold.name) for fold in folds}
    waiting = [fold for fold in folds if kept[fold.name] is None]
    splits = [inner_splits(examples.clips, examples.soft, fold, recipe, group_column) for fold in waiting]
    cluster.connect()
    cluster.check_room(threads, gpus=0)
    x, soft = ray.put(examples.x), ray.put(examples.soft)
    windows = ray.put(examples.windows)
    inner_task, final_task = _inner_task.options(num_cpus=threads), _final_task.options(num_cpus=threads)
    inner, final = [], {}
    for fold, parts in zip(waiting, splits, strict=True):
        data = x, soft if fold.weights is None else ray.put(fold.weighted(examples.soft))
        fits = [inner_task.remote(recipe, *data, split, threads) for split in parts]
        inner += fits
        moved = None
        if of_clips is not None and of_clips.moves(fold):
            moved, of_moved = _fit_moved(recipe, data, of_clips, fold, parts, threads)
            inner += of_moved
        independent = actors_apart(examples.clips, _sides(fold, parts))
        final[final_task.remote(recipe, *data, windows, fold, threads, independent, of_clips, moved, *fits)] = fold.name
    for result in _gather(inner, list(final), recipe.model):
        kept[result.name] = result
        keep_result(keep, result)
    return [result for result in kept.values() if result is not None]


def _fit_moved(
    recipe: Recipe, data: tuple[Any, Any], of_clips: ClipGroups, fold: Fold, parts: Sequence[Split], threads: int
) -> tuple[Any, list[Any]]:
    """Return tasks: the model of a training moved by group, whose temperature is of its own, and its inner fits."""
    x = _move_task.remote(*data, of_clips, fold)
    fits = [_inner_task.options(num_cpus=threads).remote(recipe, x, data[1], split, threads) for split in parts]
    return _moved_task.options(num_cpus=threads).remote(recipe, x, data[1], fold, threads, *fits), fits


def inner_splits(
    clips: pa.Table,
    soft: NDArray[np.float32],
    fold: Fold,
    recipe: Recipe,
    group_column: str | None,
    n: int = INNER_FOLDS,
) -> list[Split]:
    """Part a fold's training clips by actor; its own validation clips, where it has such, are the only inner fold."""
    chooses = find_model(recipe.model).chooses
    if len(fold.validation):
        return [Split(fold.train, fold.validation if chooses else fold.validation[:0], fold.validation)]
    group = groups(clips, group_column).values
    if len(set(group[fold.train])) < 2:
        return []
    splits = []
    for train, held in inner_folds(clips, fold.train, n, recipe.seed, group_column=group_column):
        validation = held if chooses else held[:0]
        if chooses and len(set(group[train])) > 1:
            # What is chosen is chosen on actors of its own, so that the scores of `held` stay honest.
            train, validation = draw_validation(clips, train, recipe.seed, group_column=group_column)
        # A part in which one emotion is all there is cannot be learnt from: small corpora have such.
        if (soft[train].sum(axis=0) > 0).sum() > 1:
            splits.append(Split(train, validation, held))
    return splits


def _sides(fold: Fold, splits: Sequence[Split]) -> list[tuple[Rows, Rows]]:
    if len(fold.test):
        return [(np.concatenate([fold.train, fold.validation]), fold.test)]
    return [(np.concatenate([split.train, split.validation]), split.held) for split in splits]


def _gather(inner: list[Any], final: list[Any], model: str) -> Iterator[FoldResult]:
    tasks = [*inner, *final]
    results = set(final)
    with Counter(f"train {model}", len(tasks), "fit") as counter:
        while tasks:
            (task,), tasks = ray.wait(tasks, num_returns=1)
            with cluster.plainly():
                outcome = ray.get(task)
            counter.add(1)
            if task in results:
                yield outcome


@ray.remote
def _inner_task(
    recipe: Recipe, x: NDArray[np.float32], soft: NDArray[np.float32], split: Split, threads: int
) -> InnerFit:
    return exhaust(fit_inner(recipe, x, soft, *split, threads=threads))


@ray.remote
def _move_task(
    x: NDArray[np.float32], soft: NDArray[np.float32], of_clips: ClipGroups, fold: Fold
) -> NDArray[np.float32]:
    return moved_inputs(x, soft, of_clips, fold)


@ray.remote
def _moved_task(
    recipe: Recipe, x: NDArray[np.float32], soft: NDArray[np.float32], fold: Fold, threads: int, *inner: InnerFit
) -> Fitted:
    return fit_final(recipe, x, soft, fold.train, list(inner), threads)


@ray.remote
def _final_task(
    recipe: Recipe,
    x: NDArray[np.float32],
    soft: NDArray[np.float32],
    windows: WindowsOfClips | None,
    fold: Fold,
    threads: int,
    independent: bool | None,
    of_clips: ClipGroups | None,
    moved: Fitted | None,
    *inner: InnerFit,
) -> FoldResult:
    fitted, adaptation = fit_final(recipe, x, soft, fold.train, list(inner), threads), None
    if len(fold.test) and of_clips is not None:
        rows = fold.test
        probabilities, adaptation = answer_adapted(x, fold, of_clips, fitted, moved)
    elif len(fold.test):
        rows = fold.test

        def model(values: NDArray[np.float32]) -> NDArray[np.float64]:
            return softmax(fitted.classifier.logits(values), fitted.temperature)

        probabilities = answer_from(model, x[rows], windows.take(rows) if windows else None)
    else:
        rows, probabilities = _score_inner(soft, inner)
    with scratch() as folder, writing(folder):
        fitted.classifier.save(folder)
        files = {path.name: path.read_bytes() for path in folder.iterdir()}
    told = (fitted.temperature, fitted.chosen, files, independent)
    return FoldResult(fold.name, rows, probabilities, *told, adaptation=adaptation)


def _score_inner(soft: NDArray[np.float32], inner: Sequence[InnerFit]) -> tuple[Rows, NDArray[np.float64]]:
    """Return the held rows of all inner folds and their probabilities, each as the other folds calibrate it."""
    rows, probabilities = [np.zeros(0, np.int64)], [np.zeros((0, soft.shape[1]))]
    for fit in inner:
        calibration = calibrate([other for other in inner if other is not fit], soft)
        rows.append(fit.held)
        probabilities.append(softmax(calibration.logits(fit), calibration.temperature))
    return np.concatenate(rows), np.concatenate(probabilities)
