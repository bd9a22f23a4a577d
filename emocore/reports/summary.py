"""The few lines that a finished job prints."""

from pathlib import Path
from typing import Any

from emocore.errors import amount

# By metrics.json's `estimate`.
_CHOSEN_ON = {
    "validation": ", on the validation clips that chose the epoch",
    "searched": ", on actors that chose the settings",
}


def label_line(summary: dict[str, Any]) -> str:
    """Return how many files of an archive have an answer, have none, and failed, from its summary.json.

    >>> label_line({"predicted": {"sad": 2}, "states": {"ok": 2, "silent": 1}, "failures": 0, "failures_by_reason": {}})
    '2 labels, 1 file without (1 silent), 0 failures'
    """
    labels = sum(summary["predicted"].values())
    silent = {state: n for state, n in summary["states"].items() if state != "ok"}
    without = sum(summary["states"].values()) - labels
    parts = [amount(labels, "label")]
    if without:
        parts.append(f"{amount(without, 'file')} without{_listed(silent)}")
    parts.append(amount(summary["failures"], "failure") + _listed(summary["failures_by_reason"]))
    return ", ".join(parts)


def _listed(counts: dict[str, int]) -> str:
    return f" ({', '.join(f'{n:,} {name}' for name, n in counts.items())})" if counts else ""


def run_lines(metrics: dict[str, Any], already_finished: bool, out: str) -> str:
    """Return a run's figures, and the path of its report."""
    lines = [run_line(metrics), str(Path(out) / "report.html")]
    lines[1:1] = [corpus_line(row) for row in metrics.get("corpora", ())]
    if already_finished:
        lines.insert(0, f"{out} was finished already: choose another --out to run it again.")
    for fold, setting in metrics.get("chosen", {}).items() if "search" in metrics else ():
        lines.insert(-1, f"best setting, {fold}: {', '.join(f'{name} {value}' for name, value in setting.items())}")
    return "\n".join(lines)


def run_line(metrics: dict[str, Any]) -> str:
    """Return a run's model, protocol, n, accuracy and UAR in one line."""
    what = f"{metrics['model']}, protocol {metrics['protocol']}"
    if not metrics["n"]:
        return f"{what}: no labelled clip of an unseen actor to score"
    low, high = metrics["ci95_uar"]
    empty = metrics.get("empty_folds", 0)
    if empty:
        what += f" ({empty} of its {empty + len(metrics['folds'])} folds without clips)"
    what += _CHOSEN_ON.get(metrics.get("estimate", ""), "")
    left_out = {cause: n for cause, n in metrics.get("left_out", {}).items() if n}
    causes = ", ".join(f"{n:,} {cause.replace('_', ' ')}" for cause, n in left_out.items())
    return (
        f"{what}, n = {metrics['n']}: accuracy {100 * metrics['accuracy']:.1f} %, UAR {100 * metrics['uar']:.1f} % "
        f"[{100 * low:.1f}, {100 * high:.1f}] (95 %, {metrics['ci95_resampled']} resampled)"
        + _adapted(metrics)
        + _seen(metrics)
        + _unknown(metrics)
        + (f"; left out: {causes}" if causes else "")
    )


def corpus_line(row: dict[str, Any]) -> str:
    """Return what the terminal says of one tested corpus."""
    low_high = row["ci95_uar"]
    within = f" [{100 * low_high[0]:.1f}, {100 * low_high[1]:.1f}]" if low_high else ""
    left_out = f", {row['n_left_out']:,} left out" if row["n_left_out"] else ""
    return (
        f"{', '.join(row['trained_on'])} → {row['name']}: UAR {100 * row['uar']:.1f} %{within} over "
        f"{amount(len(row['emotions']), 'emotion')} (guessing {100 * row['chance']:.1f} %), "
        f"n = {row['n']:,}{left_out}"
    )


def _unknown(metrics: dict[str, Any]) -> str:
    """Return that the data does not say who speaks, where a protocol parted people as if it did."""
    by_column = metrics.get("group_column") not in (None, "clip")  # the user's own groups
    known = metrics.get("speaker_independent", True) is not None or metrics["protocol"] == "as-is"
    return "" if known or by_column else "; who speaks is not known, and may stand on both sides"


def _adapted(metrics: dict[str, Any]) -> str:
    """Return that the figures are transductive, what they are without, and how many groups stepped back."""
    if not metrics.get("transductive"):
        return ""
    back, groups = len(metrics["stepped_back"]), len(metrics["trust"])
    stepped = f", {back:,} of {groups:,} stepped back" if back else ""
    return (
        f"; transductive, by the statistics of each tested {metrics['adapt']}{stepped}: "
        f"UAR {100 * metrics['unadapted']['uar']:.1f} % as it is"
    )


def _seen(metrics: dict[str, Any]) -> str:
    """Return the accuracy of single frames, and that without copies, where there are such."""
    if metrics.get("frame_accuracy") is None:
        return ""
    distinct = metrics["distinct"]
    copies = distinct["n"] != metrics["n"]
    return f"; {metrics['n_frames']:,} frames: accuracy {100 * metrics['frame_accuracy']:.1f} %" + (
        f"; {distinct['n']:,} distinct files: accuracy {100 * distinct['accuracy']:.1f} %" if copies else ""
    )
