"""Fit as a plain fitter does, with the setting that a search finds on the training actors of each fold."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from emocore.arrays import Rows
from emocore.datasets.duplicates import join_copies, leave_out_copies, with_validation
from emocore.datasets.groups import groups
from emocore.datasets.protocols import Fold, inner_folds
from emocore.datasets.selection import Media
from emocore.errors import UserError
from emocore.models.fitting import Recipe
from emocore.models.parameters import defaults_of
from emocore.models.spaces import Space
from emocore.pipeline import cluster
from emocore.pipeline.inputs import Data
from emocore.pipeline.options.search import SearchOptions
from emocore.pipeline.training.distributed import trainings_at_once
from emocore.pipeline.training.fit_arrays import inner_splits
from emocore.pipeline.training.fit_frames import check_frame_folds
from emocore.pipeline.training.folds import FoldResult, Split, safe_name
from emocore.pipeline.training.trainers import ArrayFitter, FrameFitter, Parts
from emocore.pipeline.tuning.frame_objective import FrameCandidates
from emocore.pipeline.tuning.objective import ArrayCandidates, Candidates
from emocore.pipeline.tuning.runner import Room
from emocore.pipeline.tuning.search import WORK, search_settings, trials_table

SEARCH = ".search"  # in the RUN: what a search that is cut off goes on from

_WAITING_CPUS = 0.001  # Tune takes no trial that asks for nothing


@dataclass(frozen=True)
class SearchingFitter:
    """A fitter that searches first: in each fold apart, on its training actors alone."""

    plain: ArrayFitter | FrameFitter
    options: SearchOptions
    space: Space

    @property
    def recipe(self) -> Recipe:
        """The model, its seed and weights."""
        return self.plain.recipe

    @property
    def media(self) -> Media:
        """Which files of a take it reads."""
        return self.plain.media

    @property
    def estimate(self) -> str:
        """What a fold without test clips is scored on."""
        return "searched"

    @property
    def base(self) -> Path | None:
        """The bundle that the training begins from."""
        return self.plain.base

    def load(self, data: Data, out: Path) -> Any:
        """Return the examples; corpora are featurized into OUT/features."""
        return self.plain.load(data, out)

    def part(self, protocol: str, clips: pa.Table) -> Parts:
        """Return the protocol's folds."""
        return self.plain.part(protocol, clips)

    def check(self, clips: pa.Table, soft: NDArray[np.float32], folds: list[Fold], emotions: tuple[str, ...]) -> None:
        """Raise UserError for folds that cannot be fitted, or searched in."""
        self.plain.check(clips, soft, folds, emotions)
        part = self._splits if isinstance(self.plain, ArrayFitter) else self._frame_folds
        for fold in folds:
            part(clips, soft, fold)

    def fit(self, examples: Any, folds: list[Fold], out: Path, keep: bool) -> list[FoldResult]:
        """Search in each fold, and fit and score it with what was found."""
        self.check(examples.clips, examples.soft, folds, examples.emotions)
        cluster.connect()
        results = []
        for fold in folds:
            folder = out / SEARCH / safe_name(fold.name)
            candidates, room = self._candidates(examples, fold, folder)
            what = f"search {self.recipe.model}" + (f", {fold.name}" if len(folds) > 1 else "")
            setting, rows = search_settings(
                candidates, room, self.recipe.model, self.space, self.options, self.recipe.seed, folder, what
            )
            (result,) = self.plain.with_setting(setting).fit(examples, [fold], out, keep)
            trials = trials_table(fold.name, rows)
            results.append(replace(result, chosen={**setting, **result.chosen}, setting=setting, trials=trials))
        return results

    def about(self) -> dict[str, Any]:
        """Return what a RUN says of the search for settings."""
        options, model = self.options, self.recipe.model
        return {
            "search": options.search,
            "samples": options.n_samples,
            "folds": options.n_folds,
            "space": {name: str(values) for name, values in self.space.items()},
            "ranges": [[name, asdict(values)] for name, values in self.space.items()],
            "scales": {name: values.scale for name, values in self.space.items()},
            "defaults": defaults_of(model, self.space),
        }

    def facts(self, examples: Any, result: FoldResult) -> dict[str, Any]:
        """Return what a bundle says of its settings and inputs."""
        return self.plain.facts(examples, result)

    def _candidates(self, examples: Any, fold: Fold, folder: Path) -> tuple[Candidates, Room]:
        if isinstance(self.plain, ArrayFitter):
            gpus = self.options.gpus_per_trial or 0
            threads = self.plain.options.cpus_per_fit
            cluster.check_room(threads, gpus)
            splits = self._splits(examples.clips, examples.soft, fold)
            resources = {"CPU": threads, **({"GPU": gpus} if gpus else {})}
            soft = fold.weighted(examples.soft)
            return ArrayCandidates(self.recipe, examples.x, soft, splits, threads, gpus), Room(resources)
        plan = self.plain.plan(examples)
        plan = replace(plan, side_by_side=trainings_at_once(plan.settings))
        inner = self._frame_folds(examples.clips, examples.soft, fold)
        work = FrameCandidates(examples, inner, plan, self.plain.options.group_column, folder / WORK)
        # A trial of frames only waits for its training, whose workers ask for what they need.
        return work, Room({"CPU": _WAITING_CPUS}, plan.side_by_side, reuse=False)

    def _splits(self, clips: pa.Table, soft: NDArray[np.float32], fold: Fold) -> list[Split]:
        """Return the folds of a search over arrays. Raises UserError as `_inner`, and for too little to learn from."""
        self._inner(clips, soft, fold)
        n, whole = self.options.n_folds, replace(fold, train=_all_rows(fold), validation=fold.validation[:0])
        splits = inner_splits(clips, soft, whole, self.recipe, self.plain.options.group_column, n)
        if len(splits) < n:
            raise UserError(
                f"A fold of the search in fold {fold.name!r} has one emotion only to learn from once its validation "
                "actors are drawn: give more --folds, or clips of more actors."
            )
        return splits

    def _frame_folds(self, clips: pa.Table, soft: NDArray[np.float32], fold: Fold) -> list[Fold]:
        """Return the folds of a search over frames. Raises UserError as `_inner`, and where an epoch has no judge."""
        group_column, joined = self.plain.options.group_column, join_copies(clips)
        group = groups(clips, group_column).values
        inner = self._inner(clips, soft, fold)
        if any(len(set(group[part.train])) < 2 for part in inner):
            raise UserError(
                f"--folds {len(inner)} leaves one of the training actors of fold {fold.name!r} to learn from, and "
                f"{self.recipe.model} needs another to choose its epoch by: give more --folds, or clips of more actors."
            )
        inner = [leave_out_copies(joined, part) for part in inner]
        inner = [with_validation(joined, part, self.recipe.seed, group_column) for part in inner]
        check_frame_folds(clips, soft, inner, self.recipe.model, group_column)
        return inner

    def _inner(self, clips: pa.Table, soft: NDArray[np.float32], fold: Fold) -> list[Fold]:
        """Part the clips that a search may see. Raises UserError for too few actors, and parts of one emotion."""
        group_column, n, rows = self.plain.options.group_column, self.options.n_folds, _all_rows(fold)
        actors = len(set(groups(clips, group_column).values[rows]))
        if n > actors:
            raise UserError(
                f"--folds {n} is more than the {actors} training actors of fold {fold.name!r}: give at most {actors}."
            )
        pairs = inner_folds(join_copies(clips), rows, n, self.recipe.seed, group_column=group_column)
        inner = [Fold(f"{fold.name} search {i}", train, rows[:0], held) for i, (train, held) in enumerate(pairs, 1)]
        for side in (side for part in inner for side in (part.train, part.test)):
            if (soft[side].sum(axis=0) > 0).sum() < 2:
                raise UserError(
                    f"A fold of the search in fold {fold.name!r} shows one emotion only: give fewer --folds."
                )
        return inner


def _all_rows(fold: Fold) -> Rows:
    """Return the clips that a search may see: those that train and those that choose."""
    rows: Rows = np.sort(np.concatenate([fold.train, fold.validation]))
    return rows
