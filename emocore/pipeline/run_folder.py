"""The RUN folder: predictions, figures, report."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from emocore.corpus.ravdess import is_ravdess_name
from emocore.evaluation.metrics import summarize
from emocore.evaluation.report import render_run
from emocore.examples import Examples
from emocore.models.answers import answer_columns
from emocore.models.bundle import versions
from emocore.outputs import write_json, write_text
from emocore.pipeline.training import FoldResult
from emocore.schema import PREDICTIONS, PROBABILITIES, write_table

METRICS = "metrics.json"


@dataclass(frozen=True)
class Outcome:
    """What a run gave: the model's name, the examples, the folds' results, and further facts for metrics.json."""

    model: str
    examples: Examples
    results: list[FoldResult]
    extra: dict[str, Any]


def write_run(
    folder: Path, options: dict[str, Any], seed: int, protocol: str, outcome: Outcome, seconds: float
) -> dict[str, Any]:
    """Write predictions.parquet, report.html and, last, metrics.json; return the metrics."""
    examples, results = outcome.examples, outcome.results
    predictions = _predictions(examples, results)
    truth = examples.truth[np.concatenate([result.rows for result in results])]
    shares = np.column_stack([predictions[name].to_numpy() for name in PROBABILITIES])
    metrics = summarize(
        truth,
        shares.astype(np.float64),
        protocol=protocol,
        model=outcome.model,
        actors=predictions["actor"].to_pylist(),
        folds=predictions["fold"].to_pylist(),
        seconds=round(seconds, 2),
        seed=seed,
    )
    metrics |= outcome.extra | {
        "speaker_independent": _all([result.independent for result in results]),
        "group_column": options.get("group_column"),
        "left_out": examples.left_out,
        "temperatures": {result.name: result.temperature for result in results},
        "chosen": {result.name: result.chosen for result in results if result.chosen},
        "features": examples.features.to_json(),
        "features_hash": examples.features.hash(),
        "synthetic": examples.synthetic,
        "versions": versions(),
    }
    page = {
        **options,
        **examples.features.to_json(),
        "model": outcome.model,
        "corpus": corpora(examples),
        "synthetic": examples.synthetic,
        "versions": versions(),
    }
    write_table(predictions, folder / "predictions.parquet")
    write_text(folder / "report.html", render_run(page, metrics, predictions))
    write_json(folder / METRICS, metrics)
    return metrics


def corpora(examples: Examples) -> list[str]:
    """Return the published corpora among the clips, whose licence and human figures the report quotes."""
    names = (clip.partition("@")[0] for clip in examples.clips["clip"].to_pylist())
    return ["ravdess"] if not examples.synthetic and any(map(is_ravdess_name, names)) else []


def _all(answers: list[bool | None]) -> bool | None:
    return False if False in answers else None if None in answers else True


def _predictions(examples: Examples, results: list[FoldResult]) -> pa.Table:
    rows: NDArray[np.int64] = np.concatenate([result.rows for result in results])
    clips = examples.clips.take(rows)
    columns = answer_columns(np.concatenate([result.probabilities for result in results]))
    columns["fold"] = pa.array([result.name for result in results for _ in result.rows], pa.string())
    return pa.table(
        {name: columns[name] if name in columns else clips[name] for name in PREDICTIONS.names}, PREDICTIONS
    )
