"""What train and evaluate are told."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from emocore.datasets.protocols import PROTOCOLS, PUBLISHED
from emocore.errors import UserError
from emocore.features.catalogue import find_family
from emocore.models.adaptation import Adapt
from emocore.models.catalogue import SEARCHED, can_search, find_model
from emocore.pipeline.options.corpus import CorpusOptions
from emocore.pipeline.options.frames import NetworkOptions
from emocore.pipeline.options.search import Search, SearchOptions

if TYPE_CHECKING:
    import pyarrow as pa

# What train takes, and what leaves clips to test on.
ONE_FOLD = ("all", *(name for name, (_, folds) in PUBLISHED.items() if len(folds.test_actors) == 1), "given")
TESTED = tuple(name for name in PROTOCOLS if name not in ("all", "as-is"))


@dataclass(frozen=True, kw_only=True)
class RunOptions(NetworkOptions, CorpusOptions):
    """What train and evaluate share."""

    data: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="DATA…")]
    """corpora (folders, zips, manifests) or folders of feature tables"""
    out: str
    """the RUN folder to write"""
    channel: Literal["speech", "song", "all"] = "speech"
    """which of RAVDESS's vocal channels"""
    group_column: str | None = None
    """column of the manifest that stands for the actor in protocols; clip: none does, and a person may stand on both
    sides"""
    class_weight: Literal["auto", "balanced", "none"] = "auto"
    """balanced: every emotion weighs the same in training, however rare; none: every clip does; auto: as the RUN was,
    else balanced, and none for face-cnn"""
    set: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME=VALUE …")] = ()
    """settings of the model, by the names that scikit-learn, XGBoost or emocore/models/spaces.toml give them: C=5"""
    section: Annotated[tuple[str, ...], tyro.conf.arg(metavar="MODULE:NAME …")] = ()
    """sections of your own on the page, each a Section of emocore.reports.sections in a module of yours"""
    cpus_per_fit: int = 1
    """CPUs, and native threads, of one fit; models of frames have --workers"""

    def __post_init__(self) -> None:
        CorpusOptions.__post_init__(self)
        NetworkOptions.__post_init__(self)
        if self.cpus_per_fit < 1:
            raise UserError(f"--cpus-per-fit must be at least 1: got {self.cpus_per_fit}.")
        if self.section:
            from emocore.reports.sections import find_sections  # noqa: PLC0415 - plots and tables are of the work

            find_sections(self.section)

    @property
    def by_windows(self) -> bool:
        """Whether clips are tested by all of their windows."""
        return False

    @property
    def adapts(self) -> Adapt:
        """By whose unlabelled clips a model is adapted to those that it is tested on."""
        return "none"

    def is_balanced(self, model: str) -> bool:
        """Whether every emotion weighs the same in training, where no earlier run says so."""
        return find_model(model).balanced if self.class_weight == "auto" else self.class_weight == "balanced"


@dataclass(frozen=True, kw_only=True)
class TrainOptions(RunOptions):
    """What train is told."""

    model: str
    """svc, svc-linear, random-forest, xgboost, mlp, audio-conv1d, audio-cnn, lda, voice, voice-scratch: they hear; cnn,
    transfer, face-cnn: they see"""
    protocol: str | None = None
    """all, article, article-video, or given; all unless given, but for face-cnn where the corpus says what is for
    training and what is for testing; models of frames keep a fifth of the training actors to choose the epoch on"""


@dataclass(frozen=True, kw_only=True)
class TuneOptions(SearchOptions, TrainOptions):
    """What tune is told."""

    model: str
    """xgboost, random-forest, svc, svc-linear, mlp, audio-conv1d, audio-cnn, lda, voice, voice-scratch, cnn"""
    search: Search = "random"
    """random; grid; random+grid: random, then a grid around the best; bayes: proposed by Optuna from what was found;
    asha: random; bayes and asha stop poor settings early"""

    def __post_init__(self) -> None:
        TrainOptions.__post_init__(self)
        SearchOptions.__post_init__(self)
        if not can_search(self.model):
            raise UserError(f"--model {self.model!r} is not for this command: choose one of {', '.join(SEARCHED)}.")


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(SearchOptions, RunOptions):
    """What evaluate is told."""

    def __post_init__(self) -> None:
        RunOptions.__post_init__(self)
        SearchOptions.__post_init__(self)

    clips_from: Literal["first", "windows"] = "first"
    """models that hear: how a clip is tested; first: by its first window, as the article has it and as models are
    trained; windows: by all of its windows on speech, as jobs/label.py answers"""
    adapt: Adapt = "none"
    """models of columns: by unlabelled statistics of the tested clips themselves (transductive), of each archive, as a
    column corpus names them, or of each speaker (actor, or --group-column); where clips are few, or look like one
    emotion, it steps back by itself and says so"""
    model: str
    """svc, svc-linear, random-forest, xgboost, mlp, audio-conv1d, audio-cnn, lda, voice, voice-scratch, cnn, transfer,
    face-cnn, or the RUN folder of a finished model; as-is: such a RUN, or face-cnn as it is shipped"""
    protocol: str
    """article, article-video, luna5, emobox6, sequential6, loso, grouped5, given; cross-corpus: each of several corpora
    by a model trained on the others; as-is: a finished model as it is"""

    @property
    def by_windows(self) -> bool:
        """Whether clips are tested by all of their windows."""
        return self.clips_from == "windows"

    @property
    def adapts(self) -> Adapt:
        """By whose unlabelled clips a model is adapted to those that it is tested on."""
        return self.adapt


def check_adapt(options: EvaluateOptions, model: str) -> None:
    """Raise UserError where a model cannot be adapted, or not together with the other options."""
    told = f"--adapt {options.adapt}"
    if options.adapt == "none":
        return
    if options.protocol == "as-is":
        raise UserError(f"{told} needs the statistics of the training, and 'as-is' has none: choose another protocol.")
    spec = find_model(model)
    if spec.sees or any(len(find_family(family).shape) > 1 for family in spec.reads):
        raise UserError(f"{told} moves columns, which {model} does not read: choose a model of columns, such as lda.")
    if options.by_windows:
        raise UserError(f"{told} goes by the first window of each clip: leave out --clips-from windows.")


def protocol_of(options: TrainOptions | EvaluateOptions, clips: "pa.Table") -> str:
    """Return the protocol asked for, else the model's own for these clips."""
    if options.protocol is not None:
        return options.protocol
    sides = set(clips["split"].to_pylist())
    own = find_model(options.model).protocol
    return own if {"train", "test"} <= sides else "all"


def check_protocol(protocol: str | None, known: Sequence[str], why: str) -> None:
    """Raise UserError for a protocol that is not for the command."""
    if protocol is not None and protocol not in known:
        raise UserError(f"--protocol {protocol!r} is not for this command: choose one of {', '.join(known)} ({why}).")
