"""The options that models of frames read, and no other."""

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from emocore.cli import check_positive
from emocore.errors import UserError
from emocore.features.family import FrameInput
from emocore.media.resize import MAX_PIXELS_A_SIDE, MIN_PIXELS
from emocore.models.aggregation import How
from emocore.models.catalogue import FRAME_MODELS, find_model, network_spec

_SETTINGS = (
    *("epochs", "steps_per_epoch", "batch_size", "learning_rate", "patience"),
    *("output", "recipe", "workers", "gpus_per_worker"),
)
SAMPLING = ("every", "frames_per_second")  # of which one says which pictures are looked at
_COUNTS = ("every", "pixels", "epochs", "steps_per_epoch", "batch_size", "workers", "patience")


@dataclass(frozen=True, kw_only=True)
class PictureOptions:
    """Which pictures of a clip are looked at, and how they answer together."""

    every: int | None = None
    """models of frames: every n-th picture; as the feature tables or the RUN say, else 20"""
    frames_per_second: float | None = None
    """models of frames: so many pictures a second of the film's own time instead, whatever its rate: the first that
    begins in each share of a second"""
    faces: bool = False
    """models of frames: look at the largest face of each picture, and not where there is none; feature tables made
    so, the RUN, and --recipe fine-tune say so themselves"""
    combine: How | None = None
    """models of frames: a clip's answer is the mean of its frames' log-probabilities (the default), their vote, or
    their mean weighted by confidence"""

    def __post_init__(self) -> None:
        check_counts(self)
        check_sampling(self.every, self.frames_per_second)

    def pictures(self, base: FrameInput) -> FrameInput:
        """Return which pictures are read: what was asked for, and `base` for what was not."""
        sampling = {name: getattr(self, name) for name in SAMPLING}
        if all(value is None for value in sampling.values()):
            sampling = {name: getattr(base, name) for name in SAMPLING}
        return dataclasses.replace(base, **sampling, faces=base.faces or self.faces)


@dataclass(frozen=True, kw_only=True)
class NetworkOptions(PictureOptions):
    """How the network of a model of frames is trained; what is not given is as the model's defaults say."""

    pixels: int | None = None
    """models of frames: side of the pictures; as the feature tables say, else 256, and 48 for face-cnn"""
    epochs: int | None = None
    """models of frames: passes, or of so many steps where --steps-per-epoch says; 50 for cnn and transfer"""
    steps_per_epoch: int | Literal["auto"] | None = None
    """models of frames: batches an epoch; 25 for cnn and transfer; auto: frames / batch size"""
    batch_size: int | None = None
    """models of frames: frames a step, of all workers together"""
    learning_rate: float | None = None
    """models of frames: the highest of the schedule"""
    patience: int | None = None
    """models of frames: stop after so many epochs that were no better on the validation actors"""
    output: Literal["softmax", "sigmoid"] | None = None
    """models of frames: one choice among the emotions, or a weight for each, normalised, as the article has it"""
    recipe: Literal["article", "fine-tune"] | None = None
    """transfer: the article's surgery, or faces with a frozen trunk that is then tuned at a low rate"""
    base: str | None = None
    """transfer: the RUN of a face-cnn to begin from; the one that is shipped unless given"""
    workers: int | None = None
    """models of frames: processes that train together; 1 unless given"""
    gpus_per_worker: Literal[0, 1] | None = None
    """models of frames: GPUs of each of them; 0 unless given"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.learning_rate is not None:
            check_positive("--learning-rate", self.learning_rate)
        if self.pixels is not None and not MIN_PIXELS <= self.pixels <= MAX_PIXELS_A_SIDE:
            raise UserError(f"--pixels must be from {MIN_PIXELS} to {MAX_PIXELS_A_SIDE}: got {self.pixels}.")

    def pictures(self, base: FrameInput) -> FrameInput:
        """Return which pictures are read: what was asked for, and `base` for what was not."""
        pictures = super().pictures(base)
        return pictures if self.pixels is None else dataclasses.replace(pictures, pixels=self.pixels)

    def settings(self) -> dict[str, Any]:
        """Return what was given of a network's settings; steps_per_epoch is None for auto."""
        found = {name: value for name in _SETTINGS if (value := getattr(self, name)) is not None}
        if self.steps_per_epoch == "auto":
            found["steps_per_epoch"] = None
        return found


def given(options: PictureOptions, kind: type[PictureOptions]) -> dict[str, Any]:
    """Return the options of this kind that were given, by flag."""
    values = {field.name: getattr(options, field.name) for field in dataclasses.fields(kind)}
    # 0 is a value; False is what a flag is where nobody gave it.
    return {flag(name): value for name, value in values.items() if value is not None and value is not False}


def check_read_by(model: str, options: PictureOptions, kind: type[PictureOptions]) -> None:
    """Raise UserError for an option of this kind that the model does not read."""
    for option, value in given(options, kind).items():
        begins = option in ("--recipe", "--base")
        readers = tuple(name for name in FRAME_MODELS if network_spec(name).base) if begins else FRAME_MODELS
        spec = find_model(model)
        if not spec.network or (begins and not spec.network.base):
            shown = option if value is True else f"{option} {value}"
            raise UserError(f"{shown} is read by {', '.join(readers)}, not by {model}: leave it out.")


def check_counts(options: PictureOptions) -> None:
    """Raise UserError for a number below 1 that counts something."""
    for name in _COUNTS:
        value = getattr(options, name, None)
        if isinstance(value, int) and value < 1:
            raise UserError(f"{flag(name)} must be at least 1: got {value}.")


def check_sampling(every: int | None, frames_per_second: float | None) -> None:
    """Raise UserError for a rate that is none, and where pictures are asked for by number and by time."""
    if frames_per_second is None:
        return
    check_positive("--frames-per-second", frames_per_second)
    if every is not None:
        raise UserError(
            f"--every {every} and --frames-per-second {frames_per_second:g} both say which pictures are looked at: "
            "leave one out."
        )


def flag(name: str) -> str:
    """Return an option as it is typed.

    >>> flag("steps_per_epoch")
    '--steps-per-epoch'
    """
    return f"--{name.replace('_', '-')}"
