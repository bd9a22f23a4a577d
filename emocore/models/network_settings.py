"""How a frame network is built and trained: plain numbers, read without importing TensorFlow."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

from emocore.errors import UserError
from emocore.labels import EMOTIONS, SETS, check_set
from emocore.media.resize import MIN_PIXELS
from emocore.models.augment import Augmentation

# FER2013 knows seven of the eight emotions: calm is missing.
FACE_EMOTIONS = SETS["fer"]
FACE_PIXELS = 48
MOST_SIDE, MOST_LAYERS = 4_096, 32
Precision = Literal["auto", "float32", "float64", "mixed_bfloat16"]


@dataclass(frozen=True)
class NetworkSettings:
    """What decides a training, beside the data and the seed. Rates are per step, decays too."""

    epochs: int = 50
    steps_per_epoch: int | None = 25  # None: as many as batches in the data
    batch_size: int = 32  # over all workers
    learning_rate: float = 1e-3
    schedule: Literal["constant", "cosine"] = "cosine"  # cosine: down to nothing at the last epoch
    warmup_epochs: float = 0.0
    weight_decay: float = 0.0
    label_smoothing: float = 0.0
    average: float = 0.0  # share of the old weights in their running mean, which is what is validated and saved
    patience: int = 20  # epochs without a better validation loss before the training stops
    output: Literal["softmax", "sigmoid"] = "softmax"
    recipe: Literal["article", "fine-tune"] = "article"  # of transfer
    frozen_epochs: int = 5  # of fine-tune: before the trunk learns too
    thaw_rate: float = 0.1  # of fine-tune: share of the learning rate from then on
    base: str | None = None  # of transfer: a model.keras of face-cnn; None: the one in the package
    dropout: float = 0.3
    filters: tuple[int, ...] = (16, 32, 64, 96, 128)  # of cnn: one convolution each, as many as the pictures allow
    dense: int = 128  # of cnn
    pixels: int = 256
    augmentation: Augmentation = field(default_factory=Augmentation)
    precision: Precision = "auto"  # auto: mixed on GPUs that have bfloat16 (Ampere and later)
    workers: int = 1
    gpus_per_worker: int = 0
    emotions: tuple[str, ...] = EMOTIONS  # of the run

    def __post_init__(self) -> None:
        check_set(self.emotions)
        for name, least in (("epochs", 1), ("batch_size", 1), ("workers", 1), ("patience", 1)):
            if getattr(self, name) < least:
                option = name.replace("_", "-")
                raise UserError(f"--{option} {getattr(self, name)} is too small: give at least {least}.")
        if self.steps_per_epoch is not None and self.steps_per_epoch < 1:
            raise UserError(f"--steps-per-epoch {self.steps_per_epoch} is too small: give at least 1, or auto.")
        if self.batch_size % self.workers:
            raise UserError(
                f"--batch-size {self.batch_size} cannot be shared by {self.workers} workers: give a multiple of it."
            )
        if self.pixels < MIN_PIXELS:
            raise UserError(f"Pictures of {self.pixels} pixels are too small: give at least {MIN_PIXELS}.")
        sizes = {"pixels": self.pixels, "dense": self.dense, "filters": max(self.filters, default=0)}
        for name, size in sizes.items():
            if size > MOST_SIDE:
                raise UserError(f"{name} {size} is too large for a network: give at most {MOST_SIDE}.")
        if len(self.filters) > MOST_LAYERS:
            raise UserError(f"{len(self.filters)} filters are too many for a network: give at most {MOST_LAYERS}.")

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """Return the settings that `dataclasses.asdict` made a dictionary of.

        >>> import dataclasses, json
        >>> settings = NetworkSettings(epochs=3, filters=(8, 16))
        >>> NetworkSettings.from_json(json.loads(json.dumps(dataclasses.asdict(settings)))) == settings
        True
        """
        return cls(
            **{
                **values,
                "augmentation": Augmentation(**values["augmentation"]),
                "filters": tuple(values["filters"]),
                "emotions": tuple(values.get("emotions", EMOTIONS)),
            }
        )


def outputs_of(of_eight: tuple[str, ...], settings: NetworkSettings) -> tuple[str, ...]:
    """Return what a network's outputs stand for: the run's emotions; where these are EMOTIONS, `of_eight`.

    >>> len(outputs_of(FACE_EMOTIONS, NetworkSettings()))
    7
    """
    return of_eight if settings.emotions == EMOTIONS else settings.emotions


def changed(settings: NetworkSettings, values: dict[str, Any]) -> NetworkSettings:
    """Return the settings with other values, which may come from JSON."""
    return NetworkSettings.from_json({**asdict(settings), **values})
