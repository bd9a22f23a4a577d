"""Corpora that were tested by a model trained on others, as tables."""

from collections.abc import Mapping, Sequence
from typing import Any

from emocore.reports.tables import ABSENT, Table, percent, plain, span


def corpora_tables(rows: Sequence[Mapping[str, Any]]) -> list[Table]:
    """Return a row for each tested corpus of metrics.json's `corpora`, and its recalls."""
    head = ["tested on", "trained on", "clips", "left out", "emotions", "chance", "UAR", "95 % interval", "accuracy"]
    body = [
        [
            plain(row["name"]),
            f"{plain(row['trained_on'])} ({row['n_trained']:,} clips)",
            f"{row['n']:,}",
            f"{row['n_left_out']:,}",
            str(len(row["emotions"])),
            percent(row["chance"]),
            percent(row["uar"]),
            span(row["ci95_uar"]),
            percent(row["accuracy"]),
        ]
        for row in rows
    ]
    names = [name for name in rows[0]["recall"] if any(name in row["emotions"] for row in rows)]
    recalls = [
        [plain(row["name"]), *(percent(row["recall"][name]) if name in row["emotions"] else ABSENT for name in names)]
        for row in rows
    ]
    return [
        Table("Each corpus, by a model trained on the others", head, body, text=2),
        Table("Recall by corpus and emotion", ["tested on", *names], recalls),
    ]
