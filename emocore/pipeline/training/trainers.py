"""The two ways to fit a model: from arrays that one process holds, or from frames that are read as they are needed."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from emocore.datasets.duplicates import join_copies, leave_out_copies, with_validation
from emocore.datasets.examples import ArrayExamples
from emocore.datasets.frames import FrameExamples, pictures_of
from emocore.datasets.leakage import check_unseen
from emocore.datasets.protocols import Fold, make_folds
from emocore.datasets.selection import Media
from emocore.errors import UserError
from emocore.features.family import FeatureConfig
from emocore.models.aggregation import How
from emocore.models.base import Settings
from emocore.models.bundle import bundle_folder, bundle_hash, known_clips
from emocore.models.catalogue import inputs_of_model
from emocore.models.fitting import Recipe
from emocore.models.network_settings import FACE_PIXELS, NetworkSettings, changed
from emocore.pipeline.inputs import Data, load_arrays, load_frames
from emocore.pipeline.options.run import RunOptions
from emocore.pipeline.training.fit_arrays import run_folds
from emocore.pipeline.training.fit_frames import FramePlan, check_frame_folds, run_frame_folds
from emocore.pipeline.training.folds import KEPT, FoldResult, check_folds
from emocore.tracks.pictures import PictureConfig


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

    def check(self, clips: pa.Table, soft: NDArray[np.float32], folds: list[Fold]) -> None:
        """Raise UserError for folds that cannot be fitted."""

    def fit(self, examples: Any, folds: list[Fold], out: Path, keep: bool) -> list[FoldResult]:
        """Fit and score the folds; with `keep` a repeated call goes on behind those that were finished."""

    def facts(self, examples: Any, result: FoldResult) -> dict[str, Any]:
        """Return what a bundle of this result says of its settings and inputs."""

    def about(self) -> dict[str, Any]:
        """Return what a RUN says of the search for settings; empty where there is none."""


@dataclass(frozen=True)
class ArrayFitter:
    """Models of columns and of MFCC frames, a task a fit; `features`: what a finished RUN asks for."""

    options: RunOptions
    recipe: Recipe
    features: FeatureConfig | None = None
    media: Media = "audio"
    estimate: str = "inner-folds"
    base: Path | None = None

    def load(self, data: Data, out: Path) -> ArrayExamples:
        """Return the examples, with arrays."""
        inputs = inputs_of_model(self.recipe.model)
        return load_arrays(data, out, self.options, inputs, self.options.channel, self.features)

    def part(self, protocol: str, clips: pa.Table) -> Parts:
        """Return the protocol's folds."""
        options = self.options
        return Parts(*make_folds(protocol, clips, group_column=options.group_column, seed=options.seed), {})

    def check(self, clips: pa.Table, soft: NDArray[np.float32], folds: list[Fold]) -> None:
        """Raise UserError for folds that cannot be fitted."""
        check_folds(clips, soft, folds, self.options.group_column)

    def fit(self, examples: ArrayExamples, folds: list[Fold], out: Path, keep: bool) -> list[FoldResult]:
        """Fit and score the folds."""
        options, kept = self.options, out / KEPT if keep else None
        return run_folds(examples, folds, self.recipe, options.group_column, options.cpus_per_fit, kept)

    def with_setting(self, setting: Settings) -> Self:
        """Return the fitter of other settings."""
        return replace(self, recipe=replace(self.recipe, settings={**self.recipe.settings, **setting}))

    def facts(self, examples: ArrayExamples, result: FoldResult) -> dict[str, Any]:
        """Return what a bundle says of its settings and inputs."""
        return {"settings": {**self.recipe.settings, **result.setting}, **examples.made_by()}

    def about(self) -> dict[str, Any]:
        """Return nothing: no setting is searched."""
        return {}


@dataclass(frozen=True)
class FrameFitter:
    """Models of frames, a fold at a time; `reading`: the pictures that a finished RUN asks for."""

    options: RunOptions
    recipe: Recipe
    settings: NetworkSettings
    combine: How
    reading: PictureConfig | None = None
    media: Media = "frames"
    estimate: str = "validation"

    @property
    def base(self) -> Path | None:
        """The bundle that the training begins from."""
        if self.recipe.model != "transfer":
            return None
        return Path(self.settings.base).parent if self.settings.base else bundle_folder("face-cnn")

    def load(self, data: Data, out: Path) -> FrameExamples:
        """Return the examples, whose pictures stay on disk."""
        return load_frames(data, out, self.options, self.options.channel, self._pictures(data))

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

    def check(self, clips: pa.Table, soft: NDArray[np.float32], folds: list[Fold]) -> None:
        """Raise UserError for folds that cannot be fitted."""
        check_frame_folds(clips, soft, folds, self.recipe.model, self.options.group_column)

    def fit(self, examples: FrameExamples, folds: list[Fold], out: Path, keep: bool) -> list[FoldResult]:
        """Fit and score the folds. Raises UserError where the base was trained on what chooses or tests."""
        if self.base:
            for fold in folds:
                held = examples.clips.take(np.concatenate([fold.validation, fold.test]))
                check_unseen(known_clips(self.base), held, f"{fold.name} of transfer, whose base is {self.base},")
        return run_frame_folds(examples, folds, self.plan(examples), self.options.group_column, out, keep)

    def with_setting(self, setting: Settings) -> Self:
        """Return the fitter of other settings."""
        return replace(self, settings=changed(self.settings, setting))

    def plan(self, examples: FrameExamples) -> FramePlan:
        """Return what is fitted on these examples."""
        return FramePlan(self.recipe, self._settings(examples), self.combine)

    def facts(self, examples: FrameExamples, result: FoldResult) -> dict[str, Any]:
        """Return what a bundle says of its settings and inputs."""
        settings = {**asdict(self._settings(examples)), **result.setting}
        begun = {"base_hash": bundle_hash(self.base)} if self.base else {}
        return {"settings": settings, "combine": self.combine, **begun, **examples.made_by()}

    def about(self) -> dict[str, Any]:
        """Return nothing: no setting is searched."""
        return {}

    def _settings(self, examples: FrameExamples) -> NetworkSettings:
        if self.recipe.model != "cnn":  # the others look at faces of one size, whatever the pictures' size
            return self.settings
        return replace(self.settings, pixels=examples.reading.pixels)

    def _pictures(self, data: Data) -> PictureConfig:
        default = PictureConfig(pixels=FACE_PIXELS if self.recipe.model == "face-cnn" else 256)
        found = self.options.pictures(self.reading or (pictures_of(data.features[0]) if data.features else default))
        if self.recipe.model != "transfer" or self.settings.recipe != "fine-tune" or found.faces:
            return found
        if data.features:
            raise UserError(
                f"{data.features[0]} holds whole pictures, and --recipe fine-tune looks at faces: featurize with "
                "--frames --faces."
            )
        return replace(found, faces=True)
