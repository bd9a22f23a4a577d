"""report.html of a run and of a labelled archive: one self-contained file that fetches nothing."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from emocore.arrays import Ints
from emocore.evaluation.bias import by_group, largest_gap
from emocore.evaluation.calibration import reliability, selective_accuracy
from emocore.reports import plots, tables
from emocore.reports.curves import Curve
from emocore.reports.labels import LabelCounts, Timings, answer_table, confidence_histogram, slowest_table
from emocore.reports.sections import SECTIONS, Section
from emocore.schema import emotions_of

HERE = Path(__file__).parent / "templates"
GROUPS = ("gender", "intensity", "statement", "actor")
FEW_ACTORS = 10

INDEPENDENT = "Speaker-independent: no actor stands on both the training and the test side."
DEPENDENT = "Not speaker-independent: an actor stands on both the training and the test side."
UNKNOWN = "The data does not say who speaks: one speaker may stand on both the training and the test side."
# Name → (what was tested on what, whether that is speaker-independent). Published protocols are told by their corpus.
PROTOCOLS = {
    "loso": ("One actor left out a fold, each tested once.", INDEPENDENT),
    "grouped5": (
        "Five folds by group, each tested once.",
        "Speaker-independent only where the groups are speakers.",
    ),
    "cross-corpus": (
        "Each corpus is tested by a model trained on the others, over the emotions that both sides know; clips of "
        "other emotions are left out on both. Figures of all clips together mix corpora: read those of each.",
        INDEPENDENT,
    ),
    "given": ("Trained and tested as the corpus says.", "Speaker-independent only if its split is."),
    "all": (
        "Trained on everything; the figures come from three inner folds, in which every actor is scored by a model "
        "that never heard that actor.",
        INDEPENDENT,
    ),
    "as-is": (
        "A finished model, without training, on everything given.",
        "Speaker-independent only if the model never saw these actors in training.",
    ),
}

_NOT_SETTINGS = ("versions", "licences", "people", "protocol_words", "settings")
# What a labelled archive's page shows in its tiles and tables.
_ON_THE_PAGE = (
    *("files", "labels", "failures", "failures_by_reason", "states", "predicted", "versions", "model"),
    *("passed_over", "left_out", "links_left_out", "links_out", "media_seconds", "seconds_by_emotion"),
)

VALIDATION = (
    "Trained on everything but the validation clips, and scored on those: the epoch and the temperature were chosen "
    "on them, so that the figures are rather too high."
)

# What is said of a training's figures that come from its own actors, by metrics.json's `estimate`.
TOO_HIGH = {
    "validation": VALIDATION,
    "searched": (
        "The figures come from the same actors on which the settings were chosen, so that they are rather too high: "
        "evaluate with --search tests on actors that chose nothing."
    ),
}


def render_run(
    config: Mapping[str, Any],
    metrics: Mapping[str, Any],
    predictions: pa.Table,
    history: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    search: Mapping[str, Any] | None = None,
    sections: Sequence[Section] = SECTIONS,
) -> str:
    """Return the page of a train or evaluate run, from config.json, metrics.json and a PREDICTIONS table.

    `history` holds the figures of each epoch, by fold, where a network was trained on frames; `search` is what
    `search_view` returned, where the settings were searched for; `sections` say more of what was scored.

    Read from `config`: `model`, `licences` (sentences), `people` (a sentence on how well people do), `protocol_words`
    (what a published protocol does), `synthetic` (true adds a warning), `settings` (the model's own), `versions`;
    everything else that is said is listed. Without a labelled clip the page shows distributions only.
    """
    rows = predictions.to_pylist()
    labelled = [row for row in rows if row["emotion"] is not None]
    counts = Counter(row["predicted"] for row in rows)
    predicted = {emotion: counts[emotion] for emotion in emotions_of(predictions.schema)}
    words, independence = _independence(metrics, config.get("protocol_words", ""))
    view = {
        **common_view(config),
        "metrics": metrics,
        "words": words,
        "independence": independence,
        "is_independent": independence == INDEPENDENT,
        "few_actors": 0 < (metrics.get("n_actors") or 0) < FEW_ACTORS,
        "people": "" if config.get("synthetic") else config.get("people", ""),
        "n_clips": len(rows),
        "search": search,
        "sections": [(section, section.tables(metrics, labelled)) for section in sections] if labelled else [],
        "training_plot": plots.training_plot(history) if history else None,
        "training_table": tables.training_table(history) if history else None,
        "predicted_plot": plots.emotion_plot(predicted),
        "confidence_plot": plots.confidence_plot(confidence_histogram([row["confidence"] for row in rows]).tolist()),
        **(_scored(metrics, labelled) if labelled and metrics.get("n") else {"scored": False}),
    }
    return render_page("report_run.html", view)


def _independence(metrics: Mapping[str, Any], published: str) -> tuple[str, str]:
    """Return a protocol in words, and whether speakers were kept apart: what the run found, else what it promises."""
    words, promised = PROTOCOLS.get(metrics["protocol"], (published, INDEPENDENT if published else ""))
    words = TOO_HIGH.get(metrics.get("estimate", ""), words)
    if metrics.get("transductive"):
        words = f"{words} Transductive: adapted to the unlabelled clips of each tested {metrics['adapt']}.".strip()
    if metrics["protocol"] == "as-is" or "speaker_independent" not in metrics:
        return words, promised
    if metrics.get("group_column"):
        words = f"{words} Groups: {metrics['group_column']}.".strip()
    return words, {True: INDEPENDENT, False: DEPENDENT, None: UNKNOWN}[metrics["speaker_independent"]]


def render_labels(
    config: Mapping[str, Any],
    summary: Mapping[str, Any],
    counts: LabelCounts,
    failures: pa.Table,
    timings: Timings,
    curves: Sequence[Curve] = (),
) -> str:
    """Return the page of a labelled archive. `config` as in `render_run`; `summary`: what else to list."""
    failed = failures.to_pylist()
    emotions = {name: counts.predicted[name] for name in counts.emotions}
    told = {name: value for name, value in summary.items() if name not in _ON_THE_PAGE}
    view = {
        **common_view({**config, **told}),
        "n_files": counts.files + len(failed),
        "n_read": counts.files,
        "n_labelled": counts.answered,
        "n_failed": len(failed),
        "n_duplicates": counts.n_duplicates,
        "hours": counts.media_seconds / 3600,
        "emotion_table": tables.count_table("Predicted emotions", "emotion", emotions),
        "time_table": tables.time_table({name: counts.seconds[name] for name in counts.emotions}),
        "state_table": tables.count_table("State of the files read", "state", dict(counts.states.most_common())),
        "unlisted_tables": _unlisted_tables(summary),
        "links": {"left_out": summary.get("links_left_out"), "followed": summary.get("links_out")},
        "failure_table": tables.failure_table(failed) if failed else None,
        "answer_table": answer_table(counts) if counts.files else None,
        "n_shown": len(counts.answers),
        "emotion_plot": plots.emotion_plot(emotions) if counts.predicted else None,
        "confidence_plot": plots.confidence_plot(counts.confidence.tolist()) if counts.predicted else None,
        "curves": [(tables.plain(curve.clip), plots.curve_plot(curve, i)) for i, curve in enumerate(curves)],
        "throughput_plot": plots.throughput_plot(timings.stretches, timings.stretch_seconds / 3600)
        if len(timings.stretches) > 1
        else None,
        "slowest_table": slowest_table(timings.slowest) if timings.slowest else None,
    }
    return render_page("report_labels.html", view)


def _unlisted_tables(summary: Mapping[str, Any]) -> list[tables.Table]:
    """Return what the archive holds that is not labelled: no media by its suffix, or left out by its name."""
    suffixes = {suffix or "none": n for suffix, n in summary.get("passed_over", {}).items()}
    left_out = [[tables.plain(name), f"{n:,}"] for name, n in summary.get("left_out", {}).items()]
    return [
        *([tables.count_table("Passed over as no media", "suffix", suffixes)] if suffixes else []),
        *([tables.Table("Left out by name", ["name", "files and folders"], left_out)] if left_out else []),
    ]


def _scored(metrics: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What a page shows of clips whose emotion is known."""
    emotions = metrics["classes"]
    truth = np.array([emotions.index(row["emotion"]) for row in rows], dtype=np.int64)
    shares = np.array([[row[f"p_{name}"] for name in emotions] for row in rows], dtype=np.float64)
    counts = np.asarray(metrics["confusion"])
    seen = [i for i in range(len(counts)) if counts[i].any() or counts[:, i].any()]
    confusion, classes = counts[np.ix_(seen, seen)].tolist(), [emotions[i] for i in seen]
    chance = 1 / sum(value is not None for value in metrics["recall"].values())
    bins = reliability(shares, truth)
    _, coverage, accuracy = selective_accuracy(shares, truth)
    half = int(np.searchsorted(coverage, 0.5))
    return {
        "scored": True,
        "chance": chance,
        "majority": counts.sum(axis=1).max() / counts.sum(),
        "confusion_plot": plots.confusion_plot(confusion, classes),
        "confusion_table": tables.confusion_table(confusion, classes),
        "recall_plot": plots.recall_plot(metrics["recall"], metrics.get("ci95_recall", {}), chance),
        "recall_table": tables.recall_table(metrics),
        "groups": _groups(truth, shares.argmax(axis=1), rows, emotions),
        "reliability_plot": plots.reliability_plot(bins),
        "reliability_table": tables.reliability_table(bins),
        "coverage_plot": plots.coverage_plot(coverage, accuracy),
        "half": (float(coverage[half]), float(accuracy[half])),
        "fold_table": tables.fold_table(metrics["folds"]) if metrics.get("folds") else None,
    }


def _groups(
    truth: Ints, predicted: Ints, rows: Sequence[Mapping[str, Any]], emotions: Sequence[str]
) -> list[dict[str, Any]]:
    """Tables and the largest gap by each of GROUPS that the corpus knows."""
    found = []
    actors = [row["actor"] for row in rows]
    for column in GROUPS:
        groups = by_group(truth, predicted, [row[column] for row in rows], actors, emotions=emotions)
        if not groups:
            continue
        built = [tables.group_table(column, groups)]
        if column == "gender":
            built.insert(0, tables.emotion_table(column, groups))
        gap = tables.gap_sentence(largest_gap(groups), len(set(truth.tolist())))
        fewer = len({row["n_emotions"] for row in groups}) > 1
        found.append({"name": column, "tables": built, "gap": gap, "fewer": fewer})
    return found


def common_view(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what every page shows of a job: its settings, versions, licences, and whether voices were generated."""
    versions = config.get("versions") or {}
    settings = {name: value for name, value in config.items() if name not in _NOT_SETTINGS and _is_said(value)}
    return {
        "synthetic": bool(config.get("synthetic")),
        "licences": config.get("licences", []),
        "model": tables.plain(config.get("model")),
        "model_table": _model_table(config.get("settings") or {}),
        "settings_table": tables.settings_table("Settings", settings),
        "version_table": tables.settings_table("Versions", versions) if versions else None,
    }


def _model_table(settings: Mapping[str, Any]) -> tables.Table | None:
    """Return a model's settings; None is a value of its own there, such as trees without a greatest depth."""
    told = {name: "none" if value is None else value for name, value in settings.items()}
    return tables.settings_table("The model", told) if told else None


def _is_said(value: object) -> bool:
    """Whether an option was given: others are of other models, or as they are anyway."""
    return value is not None and value is not False and value not in ("", (), [], {})


def _breakable(text: str) -> Markup:
    """Return a cell whose long words break behind the levels and parts of a path, and not within its suffix."""
    return Markup(re.sub(r"(?<=[/_\-])(?=[^\s/_\-])", "<wbr>", str(escape(text)))) if len(text) > 12 else escape(text)


def render_page(template: str, view: Mapping[str, Any]) -> str:
    """Return a page of reports/templates, with its styles in it."""
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(percent=tables.percent, span=tables.span, plain=tables.plain, breakable=_breakable)
    css = Markup((HERE / "report.css").read_text(encoding="utf-8"))
    return environment.get_template(template).render(**view, css=css)
