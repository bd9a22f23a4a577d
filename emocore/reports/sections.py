"""Sections of a run's page that are tables of its figures and answers. A new one is one line here and one file.

One of your own needs no line: `--section my_module:NAME`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from emocore.own import load_own
from emocore.reports.across import corpora_tables
from emocore.reports.tables import Table, adaptation_tables, mistake_table


@dataclass(frozen=True)
class Section:
    """A heading, and what makes its tables of metrics.json and of the labelled PREDICTIONS rows, as dictionaries.

    Without a table the section is left out, unless `otherwise` says something in their place.
    """

    title: str
    tables: Callable[[Mapping[str, Any], Sequence[Mapping[str, Any]]], Sequence[Table]]
    otherwise: str = ""


def _mistakes(_: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> list[Table]:
    table = mistake_table(rows)
    return [table] if table.rows else []


def _corpora(metrics: Mapping[str, Any], _: Sequence[Mapping[str, Any]]) -> list[Table]:
    return corpora_tables(metrics["corpora"]) if "corpora" in metrics else []


ACROSS_CORPORA = Section("Across corpora", _corpora)
MISTAKES = Section("Most confident mistakes", _mistakes, "No clip was mistaken.")
ADAPTATION = Section("Adapted to the tested clips", lambda metrics, _: adaptation_tables(metrics))
SECTIONS = (ACROSS_CORPORA, ADAPTATION, MISTAKES)


def find_sections(places: Sequence[str]) -> list[Section]:
    """Return those of emocore, and those of the user's own modules. Raises UserError where one is not there."""
    return [*SECTIONS, *(load_own(place, Section, "--section")[0] for place in places)]
