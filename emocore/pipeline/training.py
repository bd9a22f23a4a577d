"""Folds on the cluster: inner folds choose, a final fit learns, its test clips are scored."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import ray
from numpy.typing import NDArray

from emocore.corpus.groups import groups
from emocore.corpus.protocols import Fold, check_disjoint, inner_folds
from emocore.errors import UserError
from emocore.evaluation.calibration import softmax
from emocore.examples import Examples
from emocore.labels import EMOTIONS
from emocore.models.base import Settings, class_weights
from emocore.models.fitting import InnerFit, Recipe, fit_final, fit_inner
from emocore.pipeline import cluster
from emocore.pipeline.progress import Counter

INNER_FOLDS = 3


@dataclass(frozen=True)
class FoldResult:
    """A fold's out-of-fold probabilities float64[m, 8] for its rows int64[m], and the model as files."""

    name: str
    rows: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    temperature: float
    chosen: Settings
    files: dict[str, bytes]


def run_folds(
    examples: Examples, folds: Sequence[Fold], recipe: Recipe, group_column: str | None, threads: int = 1
) -> list[FoldResult]:
    """Fit and score every fold, in parallel; `threads` CPUs a fit.

    A fold without test clips (protocol all) is scored on its inner folds, each clip by a model that never heard its
    actor. Raises UserError where a fold leaks, or shows one class only.
    """
    for fold in folds:
        check_disjoint(examples.clips, fold, group_column=group_column)
        class_weights(examples.soft[fold.train], recipe.balanced)  # says so here where there is but one class
    inner = [_inner_folds(examples, fold, recipe.seed, group_column) for fold in folds]
    cluster.connect()
    if threads > cluster.largest_node_cpus():
        raise UserError(
            f"--cpus-per-fit {threads} is more than any machine here has: at most {cluster.largest_node_cpus()}."
        )
    data = (ray.put(examples.x), ray.put(examples.soft))
    inner_task, final_task = _inner_task.options(num_cpus=threads), _final_task.options(num_cpus=threads)
    results = []
    for fold, pairs in zip(folds, inner, strict=True):
        parts = [inner_task.remote(recipe, *data, train, held, threads) for train, held in pairs]
        results.append(final_task.remote(recipe, *data, fold, threads, *parts))
    return _gather(results, f"{recipe.model}")


def _inner_folds(
    examples: Examples, fold: Fold, seed: int, group_column: str | None
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    if len(fold.validation):
        return [(fold.train, fold.validation)]
    group = groups(examples.clips, group_column).values[fold.train]
    if len(set(group)) < 2:
        return []
    pairs = inner_folds(
        examples.clips,
        fold.train,
        INNER_FOLDS,
        seed,
        group_column=group_column,
    )
    # A part in which one emotion is all there is cannot be learnt from: small corpora have such.
    return [(train, held) for train, held in pairs if (examples.soft[train].sum(axis=0) > 0).sum() > 1]


def _gather(tasks: list[Any], model: str) -> list[FoldResult]:
    order = {task: i for i, task in enumerate(tasks)}
    results: dict[int, FoldResult] = {}
    with Counter(f"train {model}", len(tasks), "folds") as counter:
        while tasks:
            (task,), tasks = ray.wait(tasks, num_returns=1)
            try:
                results[order[task]] = ray.get(task)
            except ray.exceptions.RayTaskError as error:
                raise error.cause if isinstance(error.cause, UserError) else error from None
            counter.add(1)
    return [results[i] for i in range(len(results))]


@ray.remote
def _inner_task(
    recipe: Recipe,
    x: NDArray[np.float32],
    soft: NDArray[np.float32],
    train: NDArray[np.int64],
    held: NDArray[np.int64],
    threads: int,
) -> InnerFit:
    return fit_inner(recipe, x, soft, train, held, threads)


@ray.remote
def _final_task(
    recipe: Recipe,
    x: NDArray[np.float32],
    soft: NDArray[np.float32],
    fold: Fold,
    threads: int,
    *inner: InnerFit,
) -> FoldResult:
    fitted = fit_final(recipe, x, soft, fold.train, list(inner), threads)
    if len(fold.test):
        rows, logits = fold.test, fitted.classifier.logits(x[fold.test])
    elif inner:
        rows, logits = np.concatenate([i.held for i in inner]), np.concatenate([i.logits for i in inner])
    else:
        rows, logits = np.zeros(0, np.int64), np.zeros((0, len(EMOTIONS)))
    with tempfile.TemporaryDirectory() as folder:
        fitted.classifier.save(Path(folder))
        files = {path.name: path.read_bytes() for path in Path(folder).iterdir()}
    return FoldResult(fold.name, rows, softmax(logits, fitted.temperature), fitted.temperature, fitted.chosen, files)
