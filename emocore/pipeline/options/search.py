"""How hyper-parameters are searched."""

from dataclasses import dataclass
from typing import Literal

from emocore.errors import UserError
from emocore.models.catalogue import ON_GPUS, SEARCHED, can_search, find_model
from emocore.pipeline.options.frames import flag

Search = Literal["random", "grid", "random+grid", "bayes", "asha"]
_WITH_SEARCH = ("samples", "folds", "space", "gpus_per_trial")


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """Which settings are tried, and on what."""

    search: Search | None = None
    """random; grid; random+grid: random, then a grid around the best; bayes: proposed by Optuna from what was found;
    asha: random; bayes and asha stop poor settings early"""
    samples: int | None = None
    """settings that are tried, the model's defaults among them, of a grid beside them; random+grid tries as many again
    at most; 50 unless given"""
    folds: int | None = None
    """parts of the training actors, each of which scores every setting once; 3 unless given"""
    space: str | None = None
    """a TOML file with the ranges to search, in the form of emocore/models/spaces.toml, which is used unless given"""
    gpus_per_trial: float | None = None
    """xgboost, audio-conv1d, audio-cnn: a GPU for each trial, or a fraction of one; 0 unless given"""

    def __post_init__(self) -> None:
        for name, least in (("samples", 1), ("folds", 2)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise UserError(f"{flag(name)} must be at least {least}: got {value}.")
        gpus = self.gpus_per_trial
        if gpus is not None and not 0 <= gpus <= 1:
            raise UserError(f"--gpus-per-trial must be from 0 to 1: got {gpus}.")

    @property
    def n_samples(self) -> int:
        """How many settings are tried."""
        return 50 if self.samples is None else self.samples

    @property
    def n_folds(self) -> int:
        """By how many folds each is scored."""
        return 3 if self.folds is None else self.folds


def check_search(model: str, options: SearchOptions) -> None:
    """Raise UserError for options of a search that the model, or the command without a search, does not read."""
    if options.search is None:
        for name in _WITH_SEARCH:
            value = getattr(options, name)
            if value is not None:
                raise UserError(f"{flag(name)} {value} is read with --search: give that too, or leave it out.")
        return
    if not can_search(model):
        raise UserError(f"--search is for one of {', '.join(SEARCHED)}: got --model {model}.")
    spec = find_model(model)
    if options.gpus_per_trial and not spec.trial_gpus:
        remedy = "give --workers and --gpus-per-worker" if spec.sees else "leave it out"
        raise UserError(
            f"--gpus-per-trial {options.gpus_per_trial:g} is read by {', '.join(ON_GPUS)}, not by {model}: {remedy}."
        )
