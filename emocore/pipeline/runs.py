"""Train and evaluate: from DATA to the RUN folder."""

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import tyro

from emocore.cli import options_to_json
from emocore.config import FeatureConfig, Inputs
from emocore.corpus.listing import Listing
from emocore.corpus.protocols import PROTOCOLS, Fold, check_disjoint, make_folds
from emocore.corpus.selection import select
from emocore.errors import UserError
from emocore.examples import Examples, check_labelled, labelled
from emocore.models.bundle import (
    bundle_folder,
    bundle_hash,
    load_bundle,
    save_bundle,
    training_clips,
)
from emocore.models.catalogue import MODELS, classifier_class, uses_frames
from emocore.models.fitting import Recipe
from emocore.outputs import output_folder, read_json
from emocore.pipeline.data import CorpusOptions, Data, find_data, load_data
from emocore.pipeline.run_folder import METRICS, Outcome, corpora, write_run
from emocore.pipeline.training import FoldResult, check_folds, run_folds
from emocore.schema import SCHEMA_VERSION

# What train takes, and what leaves clips to test on.
ONE_FOLD = ("all", "article", "article-video", "given")
TESTED = tuple(name for name in PROTOCOLS if name not in ("all", "as-is"))


@dataclass(frozen=True, kw_only=True)
class RunOptions(CorpusOptions):
    """What train and evaluate share."""

    data: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="DATA…")]
    """corpora (folders, zips, manifests) or folders of feature tables"""
    out: str
    """the RUN folder to write"""
    channel: Literal["speech", "song", "all"] = "speech"
    """which of RAVDESS's vocal channels"""
    group_column: str | None = None
    """column of the manifest that stands for the actor in protocols"""
    cpus_per_fit: int = 1
    """CPUs, and native threads, of one fit"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.cpus_per_fit < 1:
            raise UserError(f"--cpus-per-fit must be at least 1: got {self.cpus_per_fit}.")


@dataclass(frozen=True, kw_only=True)
class TrainOptions(RunOptions):
    """What train is told."""

    model: str
    """svc, svc-linear, random-forest, xgboost, mlp, or audio-conv1d"""
    protocol: str = "all"
    """all, article, article-video, or given"""
    class_weight: Literal["balanced", "none"] = "balanced"
    """balanced: every emotion weighs the same in training, however rare"""


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(RunOptions):
    """What evaluate is told."""

    model: str
    """svc, svc-linear, random-forest, xgboost, mlp, audio-conv1d, or the RUN folder of a finished model"""
    protocol: str
    """article, article-video, luna5, emobox6, sequential6, loso, grouped5, given; as-is: a finished model as it is"""
    class_weight: Literal["balanced", "none"] | None = None
    """balanced: every emotion weighs the same in training, however rare; as the RUN was, else balanced"""


@dataclass(frozen=True)
class Summary:
    """A finished run: its metrics, and whether an earlier call had finished it."""

    metrics: dict[str, Any]
    already_finished: bool


def train(options: TrainOptions) -> Summary:
    """Fit one bundle, on all clips or on the training clips of a protocol with one fold, and write the RUN."""
    inputs = _inputs(options.model)
    recipe = Recipe(options.model, options.seed, options.class_weight == "balanced")
    _check_protocol(options.protocol, ONE_FOLD, "train fits one model; jobs/evaluate.py runs the others")

    def work(folder: Path, data: Data) -> Outcome:
        examples = labelled(load_data(data, folder, options, inputs, options.channel))
        (fold,), empty = _folds(options, examples.clips)
        (result,) = run_folds(examples, [fold], recipe, options.group_column, options.cpus_per_fit)
        _save(folder / "model", examples, fold, result, recipe, data)
        extra = {"estimate": "test" if len(fold.test) else "inner-folds", "empty_folds": empty}
        return Outcome(recipe.model, examples, [result], extra)

    return _in_run_folder("train", options, None, work)


def evaluate(options: EvaluateOptions) -> Summary:
    """Score a model out of fold by a protocol, or a finished bundle as it is, and write the RUN without a model."""
    if options.protocol == "as-is":
        return _evaluate_as_is(options)
    _check_protocol(options.protocol, [*TESTED, "as-is"], "'all' has no test clips; jobs/train.py takes it")
    run = options.model if options.model not in MODELS and Path(options.model).exists() else None
    card: Mapping[str, Any] = load_bundle(run).card if run else {"model": options.model}
    inputs = _inputs(str(card["model"]))
    balanced = card.get("balanced", True) if options.class_weight is None else options.class_weight == "balanced"
    recipe = Recipe(str(card["model"]), options.seed, balanced, dict(card.get("settings", {})))
    features = FeatureConfig(**card["features"]) if run else None

    def work(folder: Path, data: Data) -> Outcome:
        examples = labelled(load_data(data, folder, options, inputs, options.channel, features))
        folds, empty = _folds(options, examples.clips)
        keep = folder / ".folds"
        results = run_folds(examples, folds, recipe, options.group_column, options.cpus_per_fit, keep)
        return Outcome(recipe.model, examples, results, {"estimate": "test", "empty_folds": empty})

    return _in_run_folder("evaluate", options, bundle_hash(bundle_folder(run)) if run else None, work)


def _evaluate_as_is(options: EvaluateOptions) -> Summary:
    if options.model in MODELS:
        raise UserError(f"Protocol 'as-is' tests a finished model: give --model a RUN folder, not {options.model!r}.")
    unused = {"--class-weight": options.class_weight, "--group-column": options.group_column}
    for option, value in unused.items():
        if value is not None:
            raise UserError(f"{option} {value} changes nothing where nothing is trained: leave it out with 'as-is'.")
    model_dir = bundle_folder(options.model)
    model_hash = bundle_hash(model_dir)

    def work(folder: Path, data: Data) -> Outcome:
        bundle = load_bundle(options.model)
        inputs = bundle.classifier.inputs
        examples = load_data(data, folder, options, inputs, options.channel, bundle.features)
        _check_unseen(model_dir, examples)
        rows = np.arange(examples.clips.num_rows)
        probabilities = bundle.probabilities(examples.x)
        result = FoldResult("as-is", rows, probabilities, bundle.temperature, {}, {}, None)
        return Outcome(bundle.model, examples, [result], {"estimate": "test", "model_hash": model_hash})

    return _in_run_folder("evaluate", options, model_hash, work)


def _in_run_folder(
    command: str,
    options: TrainOptions | EvaluateOptions,
    model_hash: str | None,
    work: Callable[[Path, Data], Outcome],
) -> Summary:
    data = find_data(options.data, options)
    if data.listing is not None and not data.features and options.protocol != "as-is":
        _check_before_featurizing(options, data.listing)
    paths = ("data",) if model_hash is None else ("data", "model")
    config = {
        "command": command,
        "options": options_to_json(options, leave_out=("out", "max_failures"), paths=paths),
        "data": data.fingerprint,
        "model_hash": model_hash,
        "schema_version": SCHEMA_VERSION,
    }
    with output_folder(options.out, config, METRICS) as folder:
        if folder.finished:
            return Summary(read_json(folder.path / METRICS), already_finished=True)
        started = time.monotonic()
        outcome = work(folder.path, data)
        told = options_to_json(options)
        metrics = write_run(folder.path, told, options.seed, options.protocol, outcome, time.monotonic() - started)
        shutil.rmtree(folder.path / ".folds", ignore_errors=True)
        return Summary(metrics, already_finished=False)


def _check_before_featurizing(options: TrainOptions | EvaluateOptions, listing: Listing) -> None:
    """Raise now what would otherwise be raised after hours of decoding: no labels, one class, folds that leak."""
    clips = select(listing.clips, channel=options.channel, media="audio")
    soft = clips["soft_label"].combine_chunks().to_numpy_ndarray()
    rows = np.flatnonzero(soft.sum(axis=1) > 0)
    check_labelled(len(rows), clips.num_rows)
    clips = clips.take(rows)
    check_folds(clips, soft[rows], _folds(options, clips)[0], options.group_column)


def _check_protocol(protocol: str, known: Sequence[str], why: str) -> None:
    if protocol not in known:
        raise UserError(f"--protocol {protocol!r} is not for this command: choose one of {', '.join(known)} ({why}).")


def _inputs(model: str) -> Inputs:
    if model not in MODELS:
        classifier_class(model)  # says what is known
    return "frames" if uses_frames(model) else "columns"


def _folds(options: TrainOptions | EvaluateOptions, clips: pa.Table) -> tuple[list[Fold], int]:
    return make_folds(options.protocol, clips, group_column=options.group_column, seed=options.seed)


def _check_unseen(folder: Path, examples: Examples) -> None:
    """Raise UserError where the bytes or the take of a clip were in the training of the bundle."""
    columns = ["clip", "path", "take", "content_id"]
    seen = pq.read_table(training_clips(folder), columns=columns)
    both = pa.concat_tables([seen, examples.clips.select(columns)]).combine_chunks()
    # A take that was not given is the clip's own name, which two corpora may share; so may two actors.
    own = pc.equal(both["take"], both["clip"])
    both = both.set_column(2, "take", pc.if_else(own, both["path"], both["take"]))
    both = both.append_column("actor", pa.nulls(both.num_rows, pa.string()))
    rows = np.arange(both.num_rows)
    check_disjoint(both, Fold("as-is", rows[: seen.num_rows], rows[:0], rows[seen.num_rows :]))


def _save(folder: Path, examples: Examples, fold: Fold, result: FoldResult, recipe: Recipe, data: Data) -> None:
    facts = {
        "settings": recipe.settings,
        "chosen": result.chosen,
        "temperature": result.temperature,
        "features": examples.features.to_json(),
        "features_hash": examples.features.hash(),
        "synthetic": examples.synthetic,
        "corpus": corpora(examples),
        "fold": result.name,
        "data": data.fingerprint,
        "n": len(fold.train),
    }
    # Validation clips are known to the bundle too: they chose its temperature.
    known = examples.clips.take(np.concatenate([fold.train, fold.validation]))
    save_bundle(folder, result.files, recipe, known, facts)
