"""Compare finished runs: pair their clips, and write what differs beyond noise."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from emocore.cli import command_line, options_to_json
from emocore.datasets.pairing import Paired, pair_clips
from emocore.errors import UserError
from emocore.evaluation.compare import compare as compare_answers
from emocore.evaluation.metrics import confusion_matrix, recall
from emocore.pipeline.options.compare import CompareOptions
from emocore.pipeline.run_folder import METRICS
from emocore.reports.compare import compare_lines, render_compare
from emocore.schema import PREDICTIONS, SCHEMA_VERSION, of_emotions
from emocore.storage.files import read_json, write_json, write_text
from emocore.storage.folder import output_folder
from emocore.storage.tables import read_table
from emocore.versions import versions

PREDICTIONS_FILE = "predictions.parquet"


@dataclass(frozen=True)
class Run:
    """A finished run: its folder as it was typed, its figures, and its labelled predictions."""

    name: str
    metrics: dict[str, Any]
    predictions: pa.Table
    content: str  # of predictions.parquet


def compare(options: CompareOptions) -> list[str]:
    """Write metrics.json and report.html into OUT, and return what the terminal says.

    Raises UserError for a folder that is no finished RUN, and as `pair_clips`.
    """
    runs = [read_run(folder) for folder in options.runs]
    config = {
        "command": "compare",
        "options": options_to_json(options, leave_out=("out",), paths=["runs"]),
        "runs": [run.content for run in runs],
        "schema_version": SCHEMA_VERSION,
    }
    with output_folder(options.out, config, METRICS) as folder:
        page = str(Path(options.out) / "report.html")
        if folder.finished:
            metrics = read_json(folder.path / METRICS)
            again = f"{options.out} was finished already: choose another --out to compare again."
            return [again, *compare_lines(metrics), page]
        paired = pair_clips([run.predictions for run in runs], options.runs)
        metrics = _metrics(options, runs, paired)
        facts = {
            "command": command_line("jobs/compare.py", options),
            "seed": options.seed,
            "versions": versions(),
            "synthetic": any(run.metrics.get("synthetic") for run in runs),
        }
        write_text(folder.path / "report.html", render_compare(metrics, facts))
        write_json(folder.path / METRICS, metrics)
        return [*compare_lines(metrics), page]


def read_run(folder: str) -> Run:
    """Read a RUN that train, tune or evaluate finished. Raises UserError where it is none."""
    path = Path(folder)
    if not (path / METRICS).is_file() or not (path / PREDICTIONS_FILE).is_file():
        raise UserError(f"{folder} is no finished RUN: expected a folder that jobs/evaluate.py wrote to its end.")
    try:
        metrics = dict(read_json(path / METRICS))
        told = {name: metrics[name] for name in ("model", "protocol", "classes")}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"{path / METRICS} is not the metrics of a RUN: evaluate the model again.") from error
    emotions = tuple(map(str, told["classes"]))
    file = path / PREDICTIONS_FILE
    table = read_table(file, of_emotions(PREDICTIONS, emotions), of_this_version=True)
    names = ["clip", "take", "content_id", "actor", "emotion", "predicted"]
    labelled = table.select(names).filter(table["emotion"].is_valid())
    return Run(folder, metrics, labelled, hashlib.sha256(file.read_bytes()).hexdigest()[:16])


def _metrics(options: CompareOptions, runs: Sequence[Run], paired: Paired) -> dict[str, Any]:
    emotions = sorted({*paired.truth, *paired.answers.ravel()})
    number = {name: place for place, name in enumerate(emotions)}
    truth = np.array([number[name] for name in paired.truth], np.int64)
    answers = np.array([[number[name] for name in row] for row in paired.answers], np.int64)
    found = compare_answers(truth, answers, paired.actors, len(emotions), draws=options.draws, seed=options.seed)
    models = [
        {
            "run": run.name,
            "model": run.metrics["model"],
            "protocol": run.metrics["protocol"],
            **figures,
            "recall": recall(confusion_matrix(truth, row, len(emotions)), emotions),
            "n_unpaired": unpaired,
        }
        for run, figures, row, unpaired in zip(runs, found["models"], answers, paired.unpaired, strict=True)
    ]
    return {**found, "models": models, "emotions": sorted(set(paired.truth)), "seed": options.seed}
