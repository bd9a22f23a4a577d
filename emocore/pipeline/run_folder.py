"""The RUN folder: predictions, figures, report."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from emocore.corpora.catalogue import CORPORA, accuracy_of_people, licences, published_among
from emocore.datasets.duplicates import distinct_rows
from emocore.datasets.examples import Examples
from emocore.datasets.protocols import PUBLISHED
from emocore.evaluation.metrics import accuracy, confusion_matrix, summarize, uar
from emocore.models.predictions import answer_columns, shares_of
from emocore.pipeline.training.folds import FoldResult
from emocore.progress import duration
from emocore.reports.pages import render_run
from emocore.reports.search import search_view
from emocore.reports.sections import find_sections
from emocore.schema import FRAME_PREDICTIONS, PREDICTIONS, of_emotions
from emocore.storage.files import write_json, write_text
from emocore.storage.tables import write_table
from emocore.versions import versions

METRICS = "metrics.json"


@dataclass(frozen=True)
class Outcome:
    """What a run gave: the model's name, the protocol, the examples, the folds' results, more for metrics.json.

    `search`: what was searched and how; `settings`: the model's own; both empty where there is no such thing.
    """

    model: str
    protocol: str
    examples: Examples
    results: list[FoldResult]
    extra: dict[str, Any]
    search: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)


def write_run(
    folder: Path, command: str, options: dict[str, Any], seed: int, outcome: Outcome, seconds: float
) -> dict[str, Any]:
    """Write predictions.parquet, report.html and, last, metrics.json; return the metrics.

    Of a model of frames also frames/ and, where it was trained, history.json: what each epoch gave, by fold.
    """
    examples, results = outcome.examples, outcome.results
    rows: NDArray[np.int64] = np.concatenate([result.rows for result in results])
    predictions = _predictions(examples, results, rows)
    figures = summarize(
        examples.truth[rows],
        shares_of(predictions),
        protocol=outcome.protocol,
        model=outcome.model,
        actors=predictions["actor"].to_pylist(),
        folds=predictions["fold"].to_pylist(),
        seconds=round(seconds, 2),
        seed=seed,
        emotions=examples.emotions,
    )
    view, found = _write_search(folder, outcome)
    frames = _write_frames(folder, examples, outcome)
    metrics = {**figures, **frames, **outcome.extra, **found, **_facts(outcome, options.get("group_column"))}
    history = {result.name: result.history for result in results if result.history}
    if history:
        write_json(folder / "history.json", history)
    write_table(predictions, folder / "predictions.parquet")
    page = _page(command, options, outcome, seconds)
    sections = find_sections(options.get("section", ()))
    write_text(folder / "report.html", render_run(page, metrics, predictions, history, view, sections))
    write_json(folder / METRICS, metrics)
    return metrics


def _facts(outcome: Outcome, group_column: str | None) -> dict[str, Any]:
    """Return what metrics.json says of a run beside its figures."""
    examples, results = outcome.examples, outcome.results
    return {
        "speaker_independent": _all([result.independent for result in results]),
        "group_column": group_column,
        "left_out": examples.left_out,
        "temperatures": {result.name: result.temperature for result in results},
        "chosen": {result.name: result.chosen for result in results if result.chosen},
        **examples.made_by(),
        "synthetic": examples.synthetic,
        "versions": versions(),
    }


def _page(command: str, options: dict[str, Any], outcome: Outcome, seconds: float) -> dict[str, Any]:
    """Return what the report says of a run beside its figures: the command, its options, the model, the corpora."""
    return {
        "command": command,
        "finished": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "duration": duration(seconds),
        **options,
        **outcome.examples.made_by(),
        "settings": outcome.settings,
        "model": outcome.model,
        **_about_corpora(corpora(outcome.examples), outcome.protocol),
        "synthetic": outcome.examples.synthetic,
        "versions": versions(),
    }


def _write_search(folder: Path, outcome: Outcome) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """Write trials.parquet; return what the report shows, and metrics.json says, of a search; nothing without one."""
    tables = [result.trials for result in outcome.results if result.trials is not None]
    if not tables:
        return None, {}
    about, trials = outcome.search, pa.concat_tables(tables)
    write_table(trials, folder / "trials.parquet")
    facts = {name: about[name] for name in ("search", "samples", "folds")}
    view = search_view(trials, about["space"], about["scales"], about["defaults"], {**facts, "model": outcome.model})
    return view, {"search": {**facts, "space": about["space"], "trials": trials.num_rows}}


def corpora(examples: Examples) -> list[str]:
    """Return the published corpora among the clips, whose licence and human figures the report quotes."""
    if examples.synthetic:
        return []
    names = [clip.partition("@")[0] for clip in examples.clips["clip"].to_pylist()]
    there = {*published_among(names), *examples.clips["corpus"].to_pylist()}
    return [name for name, corpus in CORPORA.items() if corpus.is_published and name in there]


def _about_corpora(names: list[str], protocol: str) -> dict[str, Any]:
    """Return what a page says of the corpora and their protocol."""
    published = PUBLISHED.get(protocol)
    return {
        "corpus": names,
        "licences": licences(names),
        "people": accuracy_of_people(names),
        "protocol_words": published[1].words if published else "",
    }


def _write_frames(folder: Path, examples: Examples, outcome: Outcome) -> dict[str, Any]:
    """Write frames/ and return the figures on frames and on distinct files; nothing where there are no frames."""
    parts = [
        result.frames.append_column("fold", pa.array([result.name] * result.frames.num_rows, pa.string()))
        for result in outcome.results
        if result.frames is not None
    ]
    if not parts:
        return {}
    for number, part in enumerate(parts):
        write_table(
            part.cast(of_emotions(FRAME_PREDICTIONS, examples.emotions)), folder / "frames" / f"{number:06d}.parquet"
        )
    frames = pa.concat_tables(parts)
    row_of = pc.index_in(frames["clip"], examples.clips["clip"].combine_chunks()).to_numpy()
    return {
        "n_frames": frames.num_rows,
        "frame_accuracy": _figures(examples.truth[row_of], shares_of(frames))["accuracy"],
        "distinct": _distinct(examples, outcome.results),
    }


def _distinct(examples: Examples, results: list[FoldResult]) -> dict[str, Any]:
    """Return the figures on clips of which none is a copy of another."""
    rows = np.concatenate([result.rows for result in results])
    first = distinct_rows(examples.clips.take(rows))
    shares = np.concatenate([result.probabilities for result in results])
    return _figures(examples.truth[rows[first]], shares[first].astype(np.float32))


def facts_of_adaptation(examples: Examples, results: list[FoldResult]) -> dict[str, Any]:
    """Return what metrics.json says of an adaptation: how far each group was trusted, and the figures without it."""
    found = [(result.rows, result.adaptation) for result in results if result.adaptation is not None]
    if not found:
        return {}
    rows = np.concatenate([rows for rows, _ in found])
    plain = np.concatenate([adaptation.plain for _, adaptation in found])
    shares: dict[str, list[float]] = {}  # of a group in all folds that test it
    for _, adaptation in found:
        for name, share in adaptation.trust.items():
            shares.setdefault(name, []).append(share)
    return {
        "adapt": found[0][1].by,
        "transductive": True,
        "trust": {name: round(float(np.mean(of_folds)), 3) for name, of_folds in shares.items()},
        "stepped_back": [name for name, of_folds in shares.items() if max(of_folds) == 0],
        "unadapted": _figures(examples.truth[rows], plain),
    }


def _figures(truth: NDArray[np.int64], shares: NDArray[Any]) -> dict[str, Any]:
    known = truth >= 0
    table = confusion_matrix(truth[known], shares[known].argmax(axis=1), shares.shape[1])
    return {"n": int(known.sum()), "accuracy": accuracy(table), "uar": uar(table)}


def _all(answers: list[bool | None]) -> bool | None:
    return False if False in answers else None if None in answers else True


def _predictions(examples: Examples, results: list[FoldResult], rows: NDArray[np.int64]) -> pa.Table:
    clips = examples.clips.take(rows)
    shares = np.concatenate([result.probabilities for result in results])
    columns = answer_columns(shares, None, examples.emotions)
    schema = of_emotions(PREDICTIONS, examples.emotions)
    columns["fold"] = pa.array([result.name for result in results for _ in result.rows], pa.string())
    return pa.table({name: columns[name] if name in columns else clips[name] for name in schema.names}, schema)
