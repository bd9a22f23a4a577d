"""Finished runs side by side: the page of jobs/compare.py, and what the terminal says of it."""

from collections.abc import Mapping, Sequence
from string import ascii_uppercase
from typing import Any

from emocore.errors import amount
from emocore.reports import plots
from emocore.reports.pages import FEW_ACTORS, common_view, render_page
from emocore.reports.tables import Table, percent, plain, span

BEYOND, WITHIN = "beyond noise", "within noise"
_MOST_DRAWN = 45  # comparisons, of ten runs


def letter(number: int) -> str:
    """Return what a run is called: A to Z, then R27 and so on.

    >>> letter(0), letter(26)
    ('A', 'R27')
    """
    return ascii_uppercase[number] if number < len(ascii_uppercase) else f"R{number + 1}"


def compare_lines(metrics: Mapping[str, Any]) -> list[str]:
    """Return what the terminal says: the runs, each difference in words, and what else there is to know."""
    models = [
        f"{letter(i)}  {row['run']} ({row['model']}, {row['protocol']}): UAR {100 * row['uar']:.1f} %, "
        f"accuracy {100 * row['accuracy']:.1f} %"
        for i, row in enumerate(metrics["models"])
    ]
    pairs = [
        f"{_pair(row)}: UAR {_points(row['uar'])}, {_verdict(row['uar'])}; accuracy {_points(row['accuracy'])}, "
        f"{_verdict(row['accuracy'])}"
        for row in metrics["pairs"]
    ]
    return [*models, *pairs, *notes(metrics)]


def notes(metrics: Mapping[str, Any]) -> list[str]:
    """Return sentences on which clips were compared, and how far the intervals go."""
    actors = f" of {amount(metrics['n_actors'], 'actor')}" if metrics["n_actors"] else ""
    told = [f"{amount(metrics['n'], 'clip')}{actors} were tested by all runs, and are what is compared."]
    left = [f"{row['n_unpaired']:,} of {letter(i)}" for i, row in enumerate(metrics["models"]) if row["n_unpaired"]]
    if left:
        told.append(f"Clips that are not in all runs are left out: {', '.join(left)}.")
    told.append(
        f"Intervals are of 95 %, by {metrics['draws']:,} draws of {metrics['resampled']} with replacement, the same "
        "for all runs."
    )
    if metrics["resampled"] == "clips":
        told.append(
            "Who speaks is not known of all: clips of one speaker resemble each other, so that less is certain."
        )
    elif metrics["n_actors"] < FEW_ACTORS:
        told.append(f"With {metrics['n_actors']} actors only, the intervals are uncertain and rather too narrow.")
    if len(metrics["pairs"]) > 1:
        told.append(
            f"Of {len(metrics['pairs'])} comparisons some would look large by chance: beyond noise is said after "
            "Holm's correction; the intervals are without it."
        )
    protocols = sorted({str(row["protocol"]) for row in metrics["models"]})
    if len(protocols) > 1:
        told.append(f"Protocols differ ({', '.join(protocols)}): so may how much each model was trained on.")
    return told


def render_compare(metrics: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    """Return the page of a comparison; `facts`: the command, the seed, versions, and whether voices were generated."""
    uars = {
        _pair(row): (row["uar"]["value"], row["uar"]["ci95"], row["uar"]["beyond_noise"]) for row in metrics["pairs"]
    }
    view = {
        **common_view({**facts, "draws": metrics["draws"]}),
        "verdicts": [_sentence(row, metrics["models"]) for row in metrics["pairs"]],
        "notes": notes(metrics),
        "run_table": _run_table(metrics["models"]),
        "difference_table": _difference_table(metrics["pairs"]),
        "agreement_table": _agreement_table(metrics["pairs"]),
        "recall_table": _recall_table(metrics["models"], metrics["emotions"]),
        "difference_plot": plots.difference_plot(uars) if len(uars) <= _MOST_DRAWN else None,
    }
    return render_page("report_compare.html", view)


def _sentence(row: Mapping[str, Any], models: Sequence[Mapping[str, Any]]) -> str:
    first, second, gap = models[row["first"]], models[row["second"]], row["uar"]
    better, worse = (second, first) if gap["value"] >= 0 else (first, second)
    names = [f"{plain(one['model'])} ({plain(one['run'])})" for one in (better, worse)]
    return (
        f"{names[0]} scores {100 * abs(gap['value']):.1f} points of UAR above {names[1]}: {_verdict(gap)}."
        if gap["value"]
        else f"{names[0]} and {names[1]} have the same UAR."
    )


def _pair(row: Mapping[str, Any]) -> str:
    return f"{letter(row['second'])} − {letter(row['first'])}"


def _points(gap: Mapping[str, Any]) -> str:
    low, high = gap["ci95"]
    return f"{100 * gap['value']:+.1f} points [{100 * low:+.1f}, {100 * high:+.1f}]"


def _verdict(gap: Mapping[str, Any]) -> str:
    corrected = gap["p_holm"]
    p = "p < 0.001" if corrected < 0.001 else f"p = {corrected:.3f}"
    return f"{BEYOND if gap['beyond_noise'] else WITHIN} ({p})"


def _run_table(models: Sequence[Mapping[str, Any]]) -> Table:
    rows = [
        [
            letter(i),
            plain(row["run"]),
            plain(row["model"]),
            plain(row["protocol"]),
            percent(row["uar"]),
            span(row["ci95_uar"]),
            percent(row["accuracy"]),
            span(row["ci95_accuracy"]),
        ]
        for i, row in enumerate(models)
    ]
    head = ["", "run", "model", "protocol", "UAR", "95 % interval", "accuracy", "95 % interval"]
    return Table("The runs, on the clips that all of them tested", head, rows, text=4)


def _difference_table(pairs: Sequence[Mapping[str, Any]]) -> Table:
    rows = [
        [
            f"{_pair(row)}, {name}",
            _points(row[key]),
            f"{row[key]['p']:.4f}",
            f"{row[key]['p_holm']:.4f}",
            _said(row[key]),
        ]
        for row in pairs
        for key, name in (("uar", "UAR"), ("accuracy", "accuracy"))
    ]
    return Table("Differences", ["", "difference, 95 % interval", "p", "p, Holm", "in words"], rows)


def _said(gap: Mapping[str, Any]) -> str:
    return BEYOND if gap["beyond_noise"] else WITHIN


def _agreement_table(pairs: Sequence[Mapping[str, Any]]) -> Table:
    columns = ("both_right", "first_only", "second_only", "neither")
    rows = [
        [f"{letter(row['first'])}, {letter(row['second'])}", *(f"{row[column]:,}" for column in columns)]
        for row in pairs
    ]
    return Table("Clips told right", ["runs", "by both", "by the first only", "by the second only", "by neither"], rows)


def _recall_table(models: Sequence[Mapping[str, Any]], emotions: Sequence[str]) -> Table:
    rows = [[plain(emotion), *(percent(row["recall"][emotion]) for row in models)] for emotion in emotions]
    return Table("Recall of each emotion", ["emotion", *(letter(i) for i in range(len(models)))], rows)
