"""Train and evaluate: from DATA to the RUN folder."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tyro
from numpy.typing import NDArray

from emocore.cli import options_to_json
from emocore.config import FeatureConfig, Inputs
from emocore.corpus.protocols import PROTOCOLS, Fold, check_disjoint, make_folds
from emocore.errors import UserError
from emocore.evaluation.metrics import summarize
from emocore.evaluation.report import render_run
from emocore.examples import Examples, labelled
from emocore.models.answers import answer_columns
from emocore.models.bundle import (
    bundle_folder,
    bundle_hash,
    load_bundle,
    save_bundle,
    training_clips,
    versions,
)
from emocore.models.catalogue import MODELS, classifier_class, uses_frames
from emocore.models.fitting import Recipe
from emocore.outputs import output_folder, read_json, write_json, write_text
from emocore.pipeline.data import CorpusOptions, Data, find_data, load_data
from emocore.pipeline.training import FoldResult, run_folds
from emocore.schema import PREDICTIONS, PROBABILITIES, SCHEMA_VERSION, write_table

METRICS = "metrics.json"


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

    def work(folder: Path, data: Data) -> _Outcome:
        examples = labelled(load_data(data, folder, options, inputs, options.channel))
        folds, _ = _folds(options, examples)
        if len(folds) != 1:
            raise UserError(
                f"Protocol {options.protocol!r} has {len(folds)} folds and train fits one model: use article, given "
                "or all, or jobs/evaluate.py for every fold."
            )
        results = run_folds(examples, folds, recipe, options.group_column, options.cpus_per_fit)
        _save(folder / "model", examples, folds[0], results[0], recipe, data)
        extra = {"estimate": "test" if len(folds[0].test) else "inner-folds"}
        return _Outcome(recipe.model, examples, results, extra)

    return _in_run_folder("train", options, None, work)


def evaluate(options: EvaluateOptions) -> Summary:
    """Score a model out of fold by a protocol, or a finished bundle as it is, and write the RUN without a model."""
    if options.protocol == "as-is":
        return _evaluate_as_is(options)
    if options.protocol == "all":
        raise UserError("Protocol 'all' has no test clips: evaluate takes another, jobs/train.py takes it.")
    run = options.model if options.model not in MODELS and Path(options.model).exists() else None
    card: Mapping[str, Any] = load_bundle(run).card if run else {"model": options.model}
    inputs = _inputs(str(card["model"]))
    balanced = card.get("balanced", True) if options.class_weight is None else options.class_weight == "balanced"
    recipe = Recipe(str(card["model"]), options.seed, balanced, dict(card.get("settings", {})))
    features = FeatureConfig(**card["features"]) if run else None

    def work(folder: Path, data: Data) -> _Outcome:
        examples = labelled(load_data(data, folder, options, inputs, options.channel, features))
        folds, empty = _folds(options, examples)
        results = run_folds(examples, folds, recipe, options.group_column, options.cpus_per_fit)
        return _Outcome(recipe.model, examples, results, {"estimate": "test", "empty_folds": empty})

    return _in_run_folder("evaluate", options, bundle_hash(bundle_folder(run)) if run else None, work)


def _evaluate_as_is(options: EvaluateOptions) -> Summary:
    if options.model in MODELS:
        raise UserError(f"Protocol 'as-is' tests a finished model: give --model a RUN folder, not {options.model!r}.")
    model_dir = bundle_folder(options.model)
    model_hash = bundle_hash(model_dir)

    def work(folder: Path, data: Data) -> _Outcome:
        bundle = load_bundle(options.model)
        inputs = bundle.classifier.inputs
        examples = load_data(data, folder, options, inputs, options.channel, bundle.features)
        _check_unseen(model_dir, examples)
        rows = np.arange(examples.clips.num_rows)
        result = FoldResult("as-is", rows, bundle.probabilities(examples.x), bundle.temperature, {}, {})
        return _Outcome(bundle.model, examples, [result], {"estimate": "test", "model_hash": model_hash})

    return _in_run_folder("evaluate", options, model_hash, work)


@dataclass(frozen=True)
class _Outcome:
    model: str
    examples: Examples
    results: list[FoldResult]
    extra: dict[str, Any]


def _in_run_folder(
    command: str,
    options: TrainOptions | EvaluateOptions,
    model_hash: str | None,
    work: Callable[[Path, Data], _Outcome],
) -> Summary:
    if options.protocol not in PROTOCOLS:
        raise UserError(f"Unknown protocol {options.protocol!r}: expected one of {', '.join(PROTOCOLS)}.")
    data = find_data(options.data, options)
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
        return Summary(_write_run(folder.path, options, outcome, started), already_finished=False)


def _inputs(model: str) -> Inputs:
    if model not in MODELS:
        classifier_class(model)  # says what is known
    return "frames" if uses_frames(model) else "columns"


def _folds(options: TrainOptions | EvaluateOptions, examples: Examples) -> tuple[list[Fold], int]:
    return make_folds(options.protocol, examples.clips, group_column=options.group_column, seed=options.seed)


def _check_unseen(folder: Path, examples: Examples) -> None:
    seen = pq.read_table(training_clips(folder))
    both = pa.concat_tables([seen, examples.clips.select(seen.column_names)]).combine_chunks()
    # Actors of two corpora may share a name: only takes and bytes say that a clip was heard.
    both = both.set_column(both.column_names.index("actor"), "actor", pa.nulls(both.num_rows, pa.string()))
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
        "corpus": _corpora(examples),
        "fold": result.name,
        "data": data.fingerprint,
        "n": len(fold.train),
    }
    # Validation clips are known to the bundle too: they chose its temperature.
    known = examples.clips.take(np.concatenate([fold.train, fold.validation]))
    save_bundle(folder, result.files, recipe, known, facts)


def _write_run(
    folder: Path, options: TrainOptions | EvaluateOptions, outcome: _Outcome, started: float
) -> dict[str, Any]:
    examples, results = outcome.examples, outcome.results
    predictions = _predictions(examples, results)
    truth = examples.truth[np.concatenate([result.rows for result in results])]
    shares = np.column_stack([predictions[name].to_numpy() for name in PROBABILITIES])
    metrics = summarize(
        truth,
        shares.astype(np.float64),
        protocol=options.protocol,
        model=outcome.model,
        actors=predictions["actor"].to_pylist(),
        folds=predictions["fold"].to_pylist(),
        seconds=round(time.monotonic() - started, 2),
        seed=options.seed,
    )
    metrics |= outcome.extra | {
        "temperatures": {result.name: result.temperature for result in results},
        "chosen": {result.name: result.chosen for result in results if result.chosen},
        "features_hash": examples.features.hash(),
        "synthetic": examples.synthetic,
        "versions": versions(),
    }
    page = {
        **options_to_json(options),
        "model": outcome.model,
        "corpus": _corpora(examples),
        "synthetic": examples.synthetic,
        "versions": versions(),
    }
    write_table(predictions, folder / "predictions.parquet")
    write_text(folder / "report.html", render_run(page, metrics, predictions))
    write_json(folder / METRICS, metrics)
    return metrics


def _predictions(examples: Examples, results: list[FoldResult]) -> pa.Table:
    rows: NDArray[np.int64] = np.concatenate([result.rows for result in results])
    clips = examples.clips.take(rows)
    columns = answer_columns(np.concatenate([result.probabilities for result in results]))
    columns["fold"] = pa.array([result.name for result in results for _ in result.rows], pa.string())
    return pa.table(
        {name: columns[name] if name in columns else clips[name] for name in PREDICTIONS.names}, PREDICTIONS
    )


def _corpora(examples: Examples) -> list[str]:
    channels = examples.clips["channel"].unique().to_pylist()
    return ["ravdess"] if any(channels) and not examples.synthetic else []
