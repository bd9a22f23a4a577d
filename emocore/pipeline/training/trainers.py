"""The two ways to fit a model: from arrays that one process holds, or from frames that are read as they are needed."""

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from emocore.datasets.duplicates import join_copies, leave_out_copies, with_validation
from emocore.datasets.examples import Examples
from emocore.datasets.frames import frames_of, pictures_of
from emocore.datasets.leakage import check_unseen
from emocore.datasets.protocols import Fold, make_folds
from emocore.datasets.selection import Media
from emocore.errors import UserError
from emocore.features.family import FeatureFamily, FrameInput
from emocore.features.pictures import PICTURES
from emocore.models.aggregation import How
from emocore.models.base import NetworkSpec, Settings
from emocore.models.bundle import bundle_folder, bundle_hash, known_clips
from emocore.models.catalogue import find_model, network_spec
from emocore.models.fitting import Recipe
from emocore.models.network_settings import NetworkSettings, changed
from emocore.pipeline.inputs import Data, heard_families, load_inputs
from emocore.pipeline.options.run import RunOptions
from emocore.pipeline.training.adapting import clip_groups
from emocore.pipeline.training.fit_arrays import run_folds
from emocore.pipeline.training.fit_frames import FramePlan, check_frame_folds, run_frame_folds
from emocore.pipeline.training.folds import KEPT, FoldResult, check_folds


class Parts(NamedTuple):
    """A protocol's folds, how many of its folds were empty, and clips that are in none of them, by cause."""

    folds: list[Fold]
    empty: int
    left_out: dict[str, int]


class Fitter(Protocol):
    """What train and evaluate ask of a kind of models; `examples` are those that `load` returned."""

    @property
    def recipe(self) -> Recipe:
        """The model, its seed and weights."""

    @property
    def media(self) -> Media:
        """Which files of a take it reads."""

    @property
    def estimate(self) -> str:
        """What a fold without test clips is scored on."""

    @property
    def base(self) -> Path | None:
        """The bundle that the training begins from."""

    def load(self, data: Data, out: Path) -> Any:
        """Return the examples; corpora are featurized into OUT/features."""

    def part(self, protocol: str, clips: pa.Table) -> Parts:
        """Return the protocol's folds."""

    def check(self, clips: pa.Table, soft: NDArray[np.float32], folds: list[Fold], emotions: tuple[str, ...]) -> None:
        """Raise UserError for folds that cannot be fitted."""

    def fit(self, examples: Any, folds: list[Fold], out: Path, keep: bool) -> list[FoldResult]:
        """Fit and score the folds; with `keep` a repeated call goes on behind those that were finished."""

    def facts(self, examples: Any, result: FoldResult) -> dict[str, Any]:
        """Return what a bundle of this result says of its settings and inputs."""

    def about(self) -> dict[str, Any]:
        """Return what a RUN says of the search for settings; empty where there is none."""


@dataclass(frozen=True)
class ArrayFitter:
    """Models that are fitted in memory, a task a fit; `families`: what a finished RUN asks for, by name."""

    options: RunOptions
    recipe: Recipe
    families: dict[str, FeatureFamily] = field(default_factory=dict)
    media: Media = "audio"
    estimate: str = "inner-folds"
    base: Path | None = None

    def load(self, data: Data, out: Path) -> Examples:
        """Return the examples, with arrays."""
        families = heard_families(data, self.options, find_model(self.recipe.model), self.families)
        return load_inputs(data, out, self.options, self.options.channel, families, self.options.by_windows)

    def part(self, protocol: str, clips: pa.Table) -> Parts:
        """Return the protocol's folds."""
        options = self.options
        return Parts(*make_folds(protocol, clips, group_column=options.group_column, seed=options.seed), {})

    def check(self, clips: pa.Table, soft: NDArray[np.float32], folds: list[Fold], emotions: tuple[str, ...]) -> None:
        """Raise UserError for folds that cannot be fitted."""
        check_folds(clips, soft, folds, self.options.group_column, emotions)
        clip_groups(self.options.adapts, clips, self.options.group_column)

    def fit(self, examples: Examples, folds: list[Fold], out: Path, keep: bool) -> list[FoldResult]:
        """Fit and score the folds."""
        options, kept = self.options, out / KEPT if keep else None
        return run_folds(examples, folds, self.recipe, options.group_column, options.cpus_per_fit, kept, options.adapts)

    def with_setting(self, setting: Settings) -> Self:
        """Return the fitter of other settings."""
        return replace(self, recipe=replace(self.recipe, settings={**self.recipe.settings, **setting}))

    def facts(self, examples: Examples, result: FoldResult) -> dict[str, Any]:
        """Return what a bundle says of its settings and inputs."""
        return {"settings": {**self.recipe.settings, **result.setting}, **examples.made_by()}

    def about(self) -> dict[str, Any]:
        """Return nothing: no setting is searched."""
        return {}


@dataclass(frozen=True)
class FrameFitter:
    """Models of frames, a fold at a time; `reads`: the pictures that a finished RUN asks for."""

    options: RunOptions
    recipe: Recipe
    settings: NetworkSettings
    combine: How
    reads: FrameInput | None = None
    media: Media = "frames"
    estimate: str = "validation"

    @property
    def base(self) -> Path | None:
        """The bundle that the training begins from."""
        base = self._network.base
        if base is None:
            return None
        return Path(self.settings.base).parent if self.settings.base else bundle_folder(base)

    @property
    def _network(self) -> NetworkSpec:
        return network_spec(self.recipe.model)

    def load(self, data: Data, out: Path) -> Examples:
        """Return the examples, whose pictures stay on disk."""
        reads = self._pictures(data)
        return load_inputs(data, out, self.options, self.options.channel, [replace(PICTURES, reads=reads)])

    def part(self, protocol: str, clips: pa.Table) -> Parts:
        """Return the protocol's folds, each with validation clips; copies of a file stand on one side."""
        options, joined = self.options, join_copies(clips)
        whole, empty = make_folds(protocol, joined, group_column=options.group_column, seed=options.seed)
        folds = [leave_out_copies(joined, fold) for fold in whole]
        lost = sum(
            len(a.train) + len(a.validation) - len(b.train) - len(b.validation)
            for a, b in zip(whole, folds, strict=True)
        )
        folds = [with_validation(joined, fold, options.seed, options.group_column) for fold in folds]
        return Parts(folds, empty, {"also_in_test": lost})

    def check(self, clips: pa.Table, soft: NDArray[np.float32], folds: list[Fold], emotions: tuple[str, ...]) -> None:
        """Raise UserError for folds that cannot be fitted."""
        check_frame_folds(clips, soft, folds, self.recipe.model, self.options.group_column, emotions)

    def fit(self, examples: Examples, folds: list[Fold], out: Path, keep: bool) -> list[FoldResult]:
        """Fit and score the folds. Raises UserError where the base was trained on what chooses or tests."""
        if self.base:
            for fold in folds:
                held = examples.clips.take(np.concatenate([fold.validation, fold.test]))
                name = f"{fold.name} of {self.recipe.model}, whose base is {self.base},"
                check_unseen(known_clips(self.base), held, name)
        return run_frame_folds(examples, folds, self.plan(examples), self.options.group_column, out, keep)

    def with_setting(self, setting: Settings) -> Self:
        """Return the fitter of other settings."""
        return replace(self, settings=changed(self.settings, setting))

    def plan(self, examples: Examples) -> FramePlan:
        """Return what is fitted on these examples."""
        return FramePlan(self.recipe, self._settings(examples), self.combine)

    def facts(self, examples: Examples, result: FoldResult) -> dict[str, Any]:
        """Return what a bundle says of its settings and inputs."""
        settings = {**asdict(self._settings(examples)), **result.setting}
        begun = {"base_hash": bundle_hash(self.base)} if self.base else {}
        return {"settings": settings, "combine": self.combine, **begun, **examples.made_by()}

    def about(self) -> dict[str, Any]:
        """Return nothing: no setting is searched."""
        return {}

    def _settings(self, examples: Examples) -> NetworkSettings:
        if self._network.input_pixels:  # it takes pictures of one size, whatever the size of those that are kept
            return replace(self.settings, emotions=examples.emotions)
        return replace(self.settings, pixels=frames_of(examples).reads.pixels, emotions=examples.emotions)

    def _pictures(self, data: Data) -> FrameInput:
        default = FrameInput(pixels=self._network.frame_pixels)
        if data.features:
            there = pictures_of(data.features[0]).reads
            default = there if isinstance(there, FrameInput) else default
        found = self.options.pictures(self.reads or default)
        if not self._network.base or self.settings.recipe != "fine-tune" or found.faces:
            return found
        if data.features:
            raise UserError(
                f"{data.features[0]} holds whole pictures, and --recipe fine-tune looks at faces: featurize with "
                "--frames --faces."
            )
        return replace(found, faces=True)
