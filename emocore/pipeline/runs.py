"""Train and evaluate: from DATA to the RUN folder."""

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from emocore.cli import command_line, options_to_json
from emocore.corpora.listing import Listing
from emocore.datasets.examples import Examples, check_labelled, labelled
from emocore.datasets.groups import tell_apart
from emocore.datasets.protocols import CROSS_CORPUS, Fold
from emocore.datasets.selection import select
from emocore.errors import UserError
from emocore.features.catalogue import families_of
from emocore.features.family import FrameInput
from emocore.labels import EMOTIONS
from emocore.models.bundle import bundle_folder, bundle_hash, read_card, save_bundle
from emocore.models.catalogue import find_model, is_model
from emocore.models.fitting import Recipe
from emocore.models.given_settings import read_settings
from emocore.models.network_settings import NetworkSettings, changed
from emocore.models.parameters import settings_read
from emocore.models.space_file import read_space
from emocore.models.spaces import grid
from emocore.pipeline.inputs import Data, find_data
from emocore.pipeline.options.frames import NetworkOptions, check_read_by, flag
from emocore.pipeline.options.run import (
    ONE_FOLD,
    TESTED,
    EvaluateOptions,
    RunOptions,
    TrainOptions,
    TuneOptions,
    check_adapt,
    check_protocol,
    protocol_of,
)
from emocore.pipeline.options.search import check_search
from emocore.pipeline.run_folder import METRICS, Outcome, corpora, facts_of_adaptation, write_run
from emocore.pipeline.score_finished import check_as_is, score_as_is
from emocore.pipeline.training.across import by_corpus
from emocore.pipeline.training.fit_frames import WORK
from emocore.pipeline.training.folds import KEPT, FoldResult
from emocore.pipeline.training.trainers import ArrayFitter, Fitter, FrameFitter
from emocore.pipeline.tuning.trainer import SEARCH, SearchingFitter
from emocore.schema import SCHEMA_VERSION
from emocore.storage.files import read_json
from emocore.storage.folder import output_folder, tables_lock


@dataclass(frozen=True)
class Summary:
    """A finished run: its metrics, and whether an earlier call had finished it."""

    metrics: dict[str, Any]
    already_finished: bool


def train(options: TrainOptions) -> Summary:
    """Fit one bundle, on all clips or on the training clips of a protocol with one fold, and write the RUN."""
    return _fit_one("train", options, _fitter(options, options.model, {}))


def tune(options: TuneOptions) -> Summary:
    """Search the settings on the training actors, fit one bundle on all of them with the best, and write the RUN."""
    return _fit_one("tune", options, _searching(options))


def _fit_one(command: str, options: TrainOptions, fitter: Fitter) -> Summary:
    check_protocol(options.protocol, ONE_FOLD, f"{command} fits one model; jobs/evaluate.py runs the others")

    def work(folder: Path, data: Data) -> Outcome:
        examples, protocol, (fold,), extra = _prepare(fitter, options, folder, data)
        (result,) = fitter.fit(examples, [fold], folder, keep=False)
        _save(folder / "model", examples, fold, result, fitter, data)
        estimate = "test" if len(fold.test) else fitter.estimate
        settings = _settings(fitter, examples, [result])
        extra = {"estimate": estimate, **extra}
        return Outcome(options.model, protocol, examples, [result], extra, fitter.about(), settings)

    return _in_run_folder(command, options, fitter, None, work)


def evaluate(options: EvaluateOptions) -> Summary:
    """Score a model out of fold by a protocol, or a finished bundle as it is, and write the RUN without a model."""
    if options.protocol == "as-is":
        check_adapt(options, options.model)
        if options.search:
            raise UserError(f"--search {options.search} fits models, and --protocol as-is none: leave it out.")
        check_search(options.model, options)
        return _evaluate_as_is(options)
    check_protocol(options.protocol, [*TESTED, "as-is"], "'all' has no test clips; jobs/train.py takes it")
    run = options.model if not is_model(options.model) and Path(options.model).exists() else None
    card = read_card(run) if run else {}
    model = str(card.get("model", options.model))
    if run and options.search:
        raise UserError(f"--search starts from a model's name, and --model {run} is a RUN: give --model {model}.")
    check_search(model, options)
    if options.protocol == CROSS_CORPUS and find_model(model).sees:
        raise UserError(f"--protocol {CROSS_CORPUS} is for models that hear, and {model} sees: choose grouped5.")
    check_adapt(options, model)
    fitter: Fitter = _searching(options) if options.search else _fitter(options, model, card)

    def work(folder: Path, data: Data) -> Outcome:
        examples, protocol, folds, extra = _prepare(fitter, options, folder, data)
        results = fitter.fit(examples, folds, folder, keep=True)
        settings = _settings(fitter, examples, results)
        if protocol == CROSS_CORPUS:
            extra["corpora"] = by_corpus(examples, folds, results, options.seed)
        extra = {"estimate": "test", **extra, **facts_of_adaptation(examples, results)}
        return Outcome(model, protocol, examples, results, extra, fitter.about(), settings)

    return _in_run_folder("evaluate", options, fitter, bundle_hash(bundle_folder(run)) if run else None, work)


def _evaluate_as_is(options: EvaluateOptions) -> Summary:
    model_hash = check_as_is(options)

    def work(folder: Path, data: Data) -> Outcome:
        return score_as_is(options, model_hash, folder, data)

    return _in_run_folder("evaluate", options, None, model_hash, work)


def _fitter(options: RunOptions, model: str, card: dict[str, Any]) -> ArrayFitter | FrameFitter:
    """Return what fits the model; `card` is that of a RUN whose settings and inputs are taken, or empty."""
    spec = find_model(model)
    check_read_by(model, options, NetworkOptions)
    balanced = card["balanced"] if card and options.class_weight == "auto" else options.is_balanced(model)
    recipe = Recipe(model, options.seed, balanced)
    families = families_of(card["families"]) if card else {}
    if spec.network is None:
        given = {**card.get("settings", {}), **read_settings(model, options.set)}
        return ArrayFitter(options, replace(recipe, settings=given), families)
    unread: dict[str, Any] = {"--level": options.level, "--sample-rate-hz": options.sample_rate_hz}
    unread["--cpus-per-fit"] = options.cpus_per_fit if options.cpus_per_fit > 1 else None
    unread["--clips-from"] = "windows" if options.by_windows else None
    for option, value in unread.items():
        if value is not None:
            raise UserError(f"{option} {value} changes nothing for {model}, which sees: leave it out.")
    settings = NetworkSettings.from_json(card["settings"]) if card else spec.network.settings
    settings = changed(replace(settings, **options.settings()), read_settings(model, options.set))
    if spec.network.base:
        settings = replace(settings, base=_base_network(options, card, model, spec.network.base))
    reads = next((family.reads for family in families.values() if isinstance(family.reads, FrameInput)), None)
    return FrameFitter(options, recipe, settings, options.combine or card.get("combine", "mean-log"), reads)


def _searching(options: TuneOptions | EvaluateOptions) -> Fitter:
    """Return what searches the model's settings, and then fits it. Raises UserError for what cannot be searched."""
    check_search(options.model, options)
    space = read_space(options.model, options.space)
    for name in options.settings():
        if name in space:
            raise UserError(f"{flag(name)} is among what is searched: leave it out, or give a --space without {name}.")
    settings = read_settings(options.model, options.set)
    for name in settings:
        if name in space and options.space:
            raise UserError(f"--set {name} is among what --space {options.space} varies: leave one of them out.")
    space = {name: kind for name, kind in space.items() if name not in settings}
    if not space:
        raise UserError(f"--set leaves nothing to search of {options.model}: leave one of {', '.join(settings)} out.")
    if options.search == "grid":
        grid(space, options.n_samples)  # refused now, if it has too many settings
    return SearchingFitter(_fitter(options, options.model, {}), options, space)


def _base_network(options: RunOptions, card: dict[str, Any], model: str, name: str) -> str | None:
    """Return the network that a model begins from: what was asked for, or the RUN's whose card this is.

    None: the one of this name that is shipped, of which every machine has its own. Raises UserError where there is
    none, or where it is not what the RUN began from.
    """
    of_run = card["settings"]["base"] if card and not options.base else None
    base = options.base or (str(Path(of_run).parent) if of_run else name)
    found = read_card(base)
    if found["model"] != name:
        raise UserError(f"--base {base} is a RUN of {found['model']}: {model} begins from one of {name}.")
    if tuple(found["emotions"]) != EMOTIONS:
        raise UserError(
            f"--base {base} tells {', '.join(found['emotions'])} apart: {model} begins from one that was trained "
            "without --emotions."
        )
    folder = bundle_folder(base)
    if card and not options.base and bundle_hash(folder) != card["base_hash"]:
        raise UserError(f"{base} is not the {name} any more that the model began from: give its --base.")
    return None if base == name else str(folder / "model.keras")


def _prepare(
    fitter: Fitter, options: TrainOptions | EvaluateOptions, folder: Path, data: Data
) -> tuple[Examples, str, list[Fold], dict[str, Any]]:
    """Return labelled examples, the protocol, its folds, and what metrics.json says of them."""
    examples = labelled(fitter.load(data, folder))
    protocol = protocol_of(options, examples.clips)
    parts = fitter.part(protocol, examples.clips)
    examples = replace(examples, left_out={**examples.left_out, **parts.left_out})
    return examples, protocol, parts.folds, {"empty_folds": parts.empty}


def _in_run_folder(
    command: str,
    options: TrainOptions | EvaluateOptions,
    fitter: Fitter | None,
    model_hash: str | None,
    work: Callable[[Path, Data], Outcome],
) -> Summary:
    model = fitter.recipe.model if fitter else str(read_card(options.model)["model"])
    emotions = tuple(read_card(options.model)["emotions"]) if model_hash else EMOTIONS
    data = find_data(options.data, options, find_model(model), emotions)
    if data.listing is not None and not data.features and fitter is not None:
        _check_before_featurizing(options, fitter, data.listing)
    config = _config(command, options, data, model_hash)
    if fitter and fitter.about():
        config["space"] = fitter.about()["ranges"]
    if fitter and fitter.base:
        config["base_hash"] = bundle_hash(fitter.base)
    with output_folder(options.out, config, METRICS) as folder, tables_lock(data.features):
        if folder.finished:
            return Summary(read_json(folder.path / METRICS), already_finished=True)
        started = time.monotonic()
        outcome = work(folder.path, data)
        told = options_to_json(options)
        typed = command_line(f"jobs/{command}.py", options)
        metrics = write_run(folder.path, typed, told, options.seed, outcome, time.monotonic() - started)
        for hidden in (KEPT, WORK, SEARCH):
            shutil.rmtree(folder.path / hidden, ignore_errors=True)
        return Summary(metrics, already_finished=False)


def _settings(fitter: Fitter, examples: Examples, results: list[FoldResult]) -> dict[str, Any]:
    """Return the model's settings that all folds share, defaults among them."""
    of_folds = [settings_read(fitter.recipe.model, fitter.facts(examples, result)["settings"]) for result in results]
    return {name: value for name, value in of_folds[0].items() if all(other[name] == value for other in of_folds)}


def _config(
    command: str, options: TrainOptions | EvaluateOptions, data: Data, model_hash: str | None
) -> dict[str, Any]:
    paths = ["data", *(["model"] if model_hash else []), *(["base"] if options.base else [])]
    return {
        "command": command,
        "options": options_to_json(options, leave_out=("out", "max_failures"), paths=paths),
        "data": data.fingerprint,
        "model_hash": model_hash,
        "schema_version": SCHEMA_VERSION,
    }


def _check_before_featurizing(options: TrainOptions | EvaluateOptions, fitter: Fitter, listing: Listing) -> None:
    """Raise now what would otherwise be raised after hours of decoding: no labels, one class, folds that leak."""
    clips = tell_apart(select(listing.clips, channel=options.channel, media=fitter.media))
    soft = clips["soft_label"].combine_chunks().to_numpy_ndarray()
    rows = np.flatnonzero(soft.sum(axis=1) > 0)
    check_labelled(len(rows), clips.num_rows)
    clips = clips.take(rows)
    folds = fitter.part(protocol_of(options, clips), clips).folds
    fitter.check(clips, soft[rows], folds, listing.emotions)


def _save(folder: Path, examples: Examples, fold: Fold, result: FoldResult, fitter: Fitter, data: Data) -> None:
    facts = {
        **fitter.facts(examples, result),
        "chosen": result.chosen,
        "temperature": result.temperature,
        "emotions": list(examples.emotions),
        "synthetic": examples.synthetic,
        "corpus": corpora(examples),
        "fold": result.name,
        "data": data.fingerprint,
        "n": len(fold.train),
    }
    # Validation clips are known to the bundle too: they chose its temperature.
    known = examples.clips.take(np.concatenate([fold.train, fold.validation]))
    save_bundle(folder, result.files, fitter.recipe, known, facts, fitter.base)
