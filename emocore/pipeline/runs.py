"""Train and evaluate: from DATA to the RUN folder."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tyro
from numpy.typing import NDArray

from emocore.cli import options_to_json
from emocore.config import Inputs
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
from emocore.outputs import OutputFolder, output_folder, read_json, write_json, write_text
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
    class_weight: Literal["balanced", "none"] = "balanced"
    """balanced: every emotion weighs the same in training, however rare"""
    cpus_per_fit: int = 1
    """CPUs, and native threads, of one fit"""


@dataclass(frozen=True)
class Summary:
    """A finished run: its metrics, and whether an earlier call had finished it."""

    metrics: dict[str, Any]
    already_finished: bool


def train(options: RunOptions, model: str, protocol: str) -> Summary:
    """Fit one bundle, on all clips or on the training clips of a protocol with one fold, and write the RUN."""
    inputs = _inputs(model)
    _check(options, protocol)
    data = find_data(options.data, options)
    with _open_run("train", options, data, None) as folder:
        if folder.finished:
            return Summary(read_json(folder.path / METRICS), already_finished=True)
        started = time.monotonic()
        examples = labelled(load_data(data, folder.path, options, inputs, options.channel))
        folds, _ = _folds(protocol, examples, options)
        if len(folds) != 1:
            raise UserError(
                f"Protocol {protocol!r} has {len(folds)} folds and train fits one model: use article, given or all, "
                "or jobs/evaluate.py for every fold."
            )
        recipe = Recipe(model, options.seed, options.class_weight == "balanced")
        results = run_folds(examples, folds, recipe, options.group_column, options.cpus_per_fit)
        _save(folder.path / "model", examples, folds[0], results[0], recipe, data)
        extra = {"estimate": "test" if len(folds[0].test) else "inner-folds"}
        return _write_run(folder, options, examples, results, model, protocol, started, extra)


def evaluate(options: RunOptions, model: str, protocol: str) -> Summary:
    """Score a model out of fold by a protocol, or a finished bundle as it is, and write the RUN without a model."""
    is_run = model not in MODELS and Path(model).exists()
    if protocol == "as-is":
        return _evaluate_bundle(options, model)
    card = load_bundle(model).card if is_run else None
    name = str(card["model"]) if card else model
    inputs = _inputs(name)
    _check(options, protocol)
    if protocol == "all":
        raise UserError("Protocol 'all' has no test clips: evaluate takes another, jobs/train.py takes it.")
    data = find_data(options.data, options)
    with _open_run("evaluate", options, data, bundle_hash(bundle_folder(model)) if is_run else None) as folder:
        if folder.finished:
            return Summary(read_json(folder.path / METRICS), already_finished=True)
        started = time.monotonic()
        examples = labelled(load_data(data, folder.path, options, inputs, options.channel))
        folds, empty = _folds(protocol, examples, options)
        recipe = Recipe(name, options.seed, options.class_weight == "balanced", dict(card["settings"]) if card else {})
        results = run_folds(examples, folds, recipe, options.group_column, options.cpus_per_fit)
        extra = {"estimate": "test", "empty_folds": empty}
        return _write_run(folder, options, examples, results, name, protocol, started, extra)


def _evaluate_bundle(options: RunOptions, run: str) -> Summary:
    if run in MODELS:
        raise UserError(f"Protocol 'as-is' tests a finished model: give --model the folder of a run, not {run!r}.")
    folder_of_model = bundle_folder(run)
    data = find_data(options.data, options)
    with _open_run("evaluate", options, data, bundle_hash(folder_of_model)) as folder:
        if folder.finished:
            return Summary(read_json(folder.path / METRICS), already_finished=True)
        started = time.monotonic()
        bundle = load_bundle(run)
        examples = load_data(data, folder.path, options, _inputs(bundle.model), options.channel, bundle.features)
        _check_unseen(folder_of_model, examples)
        rows = np.arange(examples.clips.num_rows)
        result = FoldResult("as-is", rows, bundle.probabilities(examples.x), bundle.temperature, {}, {})
        extra = {"estimate": "test", "model_hash": bundle_hash(folder_of_model)}
        return _write_run(folder, options, examples, [result], bundle.model, "as-is", started, extra)


def _inputs(model: str) -> Inputs:
    if model not in MODELS:
        classifier_class(model)  # says what is known
    return "frames" if uses_frames(model) else "columns"


def _check(options: RunOptions, protocol: str) -> None:
    if protocol not in PROTOCOLS:
        raise UserError(f"Unknown protocol {protocol!r}: expected one of {', '.join(PROTOCOLS)}.")
    if options.cpus_per_fit < 1:
        raise UserError(f"--cpus-per-fit must be at least 1: got {options.cpus_per_fit}.")


def _open_run(command: str, options: RunOptions, data: Data, model_hash: str | None) -> Any:
    paths = ("data",) if model_hash is None else ("data", "model")
    config = {
        "command": command,
        "options": options_to_json(options, leave_out=("out", "max_failures"), paths=paths),
        "data": data.fingerprint,
        "model_hash": model_hash,
        "schema_version": SCHEMA_VERSION,
    }
    return output_folder(options.out, config, METRICS)


def _folds(protocol: str, examples: Examples, options: RunOptions) -> tuple[list[Fold], int]:
    return make_folds(protocol, examples.clips, group_column=options.group_column, seed=options.seed)


def _check_unseen(folder: Path, examples: Examples) -> None:
    seen = pq.read_table(training_clips(folder))
    both = pa.concat_tables([seen, examples.clips.select(seen.column_names)]).combine_chunks()
    # Actors of two corpora may share a name: only takes and bytes say that a clip was heard.
    both = both.set_column(both.column_names.index("actor"), "actor", pa.nulls(both.num_rows, pa.string()))
    rows = np.arange(both.num_rows)
    both = both.append_column("gender", pa.nulls(len(rows), pa.string()))
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
    save_bundle(folder, result.files, recipe, examples.clips.take(fold.train), facts)


def _write_run(
    folder: OutputFolder,
    options: RunOptions,
    examples: Examples,
    results: list[FoldResult],
    model: str,
    protocol: str,
    started: float,
    extra: dict[str, Any],
) -> Summary:
    predictions = _predictions(examples, results)
    truth = examples.truth[np.concatenate([result.rows for result in results])]
    shares = np.column_stack([predictions[name].to_numpy() for name in PROBABILITIES])
    metrics = summarize(
        truth,
        shares.astype(np.float64),
        protocol=protocol,
        model=model,
        actors=predictions["actor"].to_pylist(),
        folds=predictions["fold"].to_pylist(),
        seconds=round(time.monotonic() - started, 2),
        seed=options.seed,
    )
    metrics |= extra | {
        "temperatures": {result.name: result.temperature for result in results},
        "chosen": {result.name: result.chosen for result in results if result.chosen},
        "features_hash": examples.features.hash(),
        "synthetic": examples.synthetic,
        "versions": versions(),
    }
    page = {
        **options_to_json(options),
        "model": model,
        "corpus": _corpora(examples),
        "synthetic": examples.synthetic,
        "versions": versions(),
    }
    write_table(predictions, folder.path / "predictions.parquet")
    write_text(folder.path / "report.html", render_run(page, metrics, predictions))
    write_json(folder.path / METRICS, metrics)
    return Summary(metrics, already_finished=False)


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
