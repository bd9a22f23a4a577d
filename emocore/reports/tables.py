"""The report's tables, as text: what is absent is a dash, and control characters in names are spelled out."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from emocore.evaluation.bias import Gap
from emocore.evaluation.calibration import Bin
from emocore.evaluation.metrics import Interval
from emocore.progress import duration

ABSENT = "–"
SPACE = "\N{NO-BREAK SPACE}"
MOST_ROWS = 60
JOINER = "\N{ZERO WIDTH JOINER}"  # holds emoji together


_FIGURES = {"UAR": "uar", "accuracy": "accuracy"}


@dataclass(frozen=True)
class Table:
    """A caption, column heads and rows of text; the first `text` columns are words, the others numbers."""

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    text: int = 1


def plain(value: object) -> str:
    """Return a value as one line of text: None and NaN as a dash, control characters as escapes.

    >>> plain(0.5), plain([1, "x"]), plain(None) == plain(float("nan")) == ABSENT
    ('0.5', '1, x', True)
    """
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ABSENT
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(plain(v) for v in value) or ABSENT
    safe = [c if c.isprintable() or c == JOINER else c.encode("unicode_escape").decode() for c in str(value)]
    return "".join(safe) or ABSENT


def percent(value: float | None) -> str:
    """Return a share as a percentage.

    >>> percent(0.625) == "62.5" + SPACE + "%", percent(None) == ABSENT
    (True, True)
    """
    return ABSENT if value is None or not math.isfinite(value) else f"{100 * value:.1f}{SPACE}%"


def span(interval: Interval) -> str:
    """Return an interval of shares, as `58.9 to 66.0 %`."""
    if interval is None:
        return ABSENT
    return f"{100 * interval[0]:.1f} to {100 * interval[1]:.1f}{SPACE}%".replace(" ", SPACE)


def recall_table(metrics: Mapping[str, Any]) -> Table:
    """Recall of each emotion with its interval and clips."""
    ranges, counts = metrics.get("ci95_recall", {}), [sum(row) for row in metrics["confusion"]]
    rows = [
        [name, f"{counts[i]:,}", percent(metrics["recall"][name]), span(ranges.get(name))]
        for i, name in enumerate(metrics["classes"])
    ]
    return Table("Recall of each emotion", ["emotion", "clips", "recall", "95 % interval"], rows)


def confusion_table(confusion: Sequence[Sequence[int]], classes: Sequence[str]) -> Table:
    """The counts behind the confusion plot."""
    rows = [[name, *map(str, row)] for name, row in zip(classes, confusion, strict=True)]
    return Table("Clips of each true emotion (rows), by prediction (columns)", ["true", *classes], rows)


def reliability_table(bins: Sequence[Bin]) -> Table:
    """The numbers behind the reliability diagram; empty bins are left out."""
    rows = [
        [span([b["low"], b["high"]]), percent(b["confidence"]), percent(b["accuracy"]), f"{b['n']:,}"]
        for b in bins
        if b["n"]
    ]  # fmt: skip
    return Table("Accuracy by confidence", ["bin", "mean confidence", "accuracy", "clips"], rows)


def group_table(column: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    """Rows of `bias.by_group`; of very many groups, those of the lowest accuracy."""
    caption = f"By {column}"
    if len(rows) > MOST_ROWS:
        caption = f"By {column}: the {MOST_ROWS} of {len(rows):,} with the lowest accuracy"
        rows = sorted(rows, key=lambda row: row["accuracy"])[:MOST_ROWS]
    wide = any(row["ci95_uar"] for row in rows)
    body = [
        [
            plain(r["group"]),
            f"{r['n']:,}",
            percent(r["accuracy"]),
            span(r["ci95_accuracy"]),
            percent(r["uar"]),
        ]
        + ([span(r["ci95_uar"])] if wide else [])
        for r in rows
    ]
    head = [column, "clips", "accuracy", "95 % interval", "UAR", *(["95 % interval"] if wide else [])]
    return Table(caption, head, body)


def emotion_table(column: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    """Recall by emotion (rows) and group (columns), with the difference where there are two groups."""
    pair = len(rows) == 2
    body = []
    for name in rows[0]["recall"]:
        values = [row["recall"][name] for row in rows]
        if any(v is not None for v in values):
            gap = ABSENT if None in values else f"{100 * (values[-1] - values[0]):+.1f}"
            body.append([name, *map(percent, values), *([gap] if pair else [])])
    head = [
        "emotion",
        *(plain(row["group"]) for row in rows),
        *([f"{plain(rows[1]['group'])} minus {plain(rows[0]['group'])}, points"] if pair else []),
    ]
    return Table(f"Recall by emotion and {column}", head, body)


def gap_sentence(gap: Gap | None, n_emotions: int) -> str:
    """What `bias.largest_gap` found, in words."""
    if gap is None:
        return ""
    held = "" if len(gap["emotions"]) == n_emotions else f", over {', '.join(gap['emotions'])}"
    return (
        f"Largest gap in UAR: {100 * gap['uar']:.1f} points, between {plain(gap['worst'])} (lowest) "
        f"and {plain(gap['best'])} (highest){held}."
    )


def fold_table(folds: Sequence[Mapping[str, Any]]) -> Table:
    """One row a fold of metrics.json."""
    rows = []
    for fold in folds:
        actors = fold["test_actors"]
        more = f" and {len(actors) - 12} more" if len(actors) > 12 else ""
        who = plain(actors[:12]) + more
        rows.append([plain(fold["name"]), who, f"{fold['n']:,}", percent(fold["accuracy"]), percent(fold["uar"])])
    return Table("Results of each fold", ["fold", "test actors", "clips", "accuracy", "UAR"], rows, text=2)


def training_table(history: Mapping[str, Sequence[Mapping[str, Any]]]) -> Table:
    """One row a fold: how many epochs were trained, and the one that is kept: the best on validation, else the last."""
    rows = []
    for fold, epochs in history.items():
        best = min((row for row in epochs if "val_loss" in row), key=lambda row: row["val_loss"], default=epochs[-1])
        accuracy = best.get("val_accuracy")
        seconds = sum(row.get("seconds", 0.0) for row in epochs)
        rows.append([plain(fold), str(len(epochs)), str(best["epoch"]), percent(accuracy), f"{seconds:,.0f}"])
    head = ["fold", "epochs", "best epoch", "accuracy of validation frames in it", "seconds"]
    return Table("Training of each fold", head, rows)


def adaptation_tables(metrics: Mapping[str, Any]) -> list[Table]:
    """The figures without and with an adaptation, and how far each group was trusted; nothing where there is none."""
    if not metrics.get("transductive"):
        return []
    by, without = metrics["adapt"], metrics["unadapted"]
    figures = [[name, percent(without[key]), percent(metrics[key])] for name, key in _FIGURES.items()]
    trust = [[plain(name), "" if share else "stepped back", percent(share)] for name, share in metrics["trust"].items()]
    return [
        Table("Figures", ["", "as it is (inductive)", f"by {by} (transductive)"], figures),
        Table(f"Trust in the statistics of each {by}", [by, "", "trust"], trust, text=2),
    ]


def mistake_table(rows: Sequence[Mapping[str, Any]], most: int = 20) -> Table:
    """The wrong answers given with the highest confidence, from rows of PREDICTIONS."""
    wrong = [row for row in rows if row["emotion"] is not None and row["emotion"] != row["predicted"]]
    wrong.sort(key=lambda row: (-row["confidence"], row["clip"]))
    columns = ["clip", "actor", "emotion", "predicted", "runner_up"]
    body = [[*(plain(row[c]) for c in columns), percent(row["confidence"])] for row in wrong[:most]]
    head = ["clip", "actor", "true", "predicted", "runner-up", "confidence"]
    return Table(f"The {len(body)} most confident of {len(wrong):,} mistakes", head, body, text=5)


def settings_table(caption: str, settings: Mapping[str, Any]) -> Table:
    """Nested settings as dotted names and values."""
    return Table(caption, ["name", "value"], _flat(settings, ""), text=2)


def _flat(settings: Mapping[str, Any], prefix: str) -> list[list[str]]:
    rows: list[list[str]] = []
    for name, value in settings.items():
        if isinstance(value, Mapping):
            rows += _flat(value, f"{prefix}{name}.")
        else:
            text = plain(value)
            rows.append([plain(f"{prefix}{name}"), text if len(text) <= 300 else f"{text[:300]} …"])
    return rows


def failure_table(failures: Sequence[Mapping[str, Any]], most: int = 5) -> Table:
    """Rows of FAILURES by reason, most frequent first, each with its first examples."""
    by_reason: dict[str, list[Mapping[str, Any]]] = {}
    for row in failures:
        by_reason.setdefault(plain(row["reason"]), []).append(row)
    body = []
    for reason, rows in sorted(by_reason.items(), key=lambda item: (-len(item[1]), item[0])):
        for i, row in enumerate(rows[:most]):
            count = f"{len(rows):,}" if i == 0 else ""
            body.append([reason, count, plain(row["path"]), plain(row["detail"])])
    head = ["reason", "files", "example", "detail"]
    return Table(f"Failures by reason, up to {most} examples each", head, body, text=4)


def count_table(caption: str, column: str, counts: Mapping[str, int]) -> Table:
    """Counts with their share of the total."""
    total = max(sum(counts.values()), 1)
    rows = [[plain(name), f"{n:,}", percent(n / total)] for name, n in counts.items()]
    return Table(caption, [column, "files", "share"], rows)


def time_table(seconds: Mapping[str, float]) -> Table:
    """How long each emotion was answered, with its share of all that was."""
    total = max(sum(seconds.values()), 1e-9)
    rows = [[plain(name), duration(value), percent(value / total)] for name, value in seconds.items()]
    return Table("Time by emotion", ["emotion", "time", "share"], rows)
