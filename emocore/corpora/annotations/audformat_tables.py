"""Databases in audformat: tables of labels of files and segments beside a header, db.yaml, read by audformat."""

from pathlib import Path
from typing import Any

from emocore.corpora.annotations.interval import Interval, Tiers, library, unreadable
from emocore.corpora.folder import SPLITS
from emocore.corpora.manifest import ALLOWED

HEADER = "db.yaml"
_SPEAKERS = ("gender", "age", "language")  # what schemes of speakers say that a manifest does


def read(path: str) -> Tiers:
    """Return the rows of each table with emotions; where none has any, of each table of files or segments.

    Several columns of emotions are several raters. The speaker is that of the row, or of its file in another table.
    `path` is the folder of the database.
    """
    audformat = library("audformat", "audformat", path)
    try:
        found = audformat.Database.load(path, load_data=True)
        speakers = _speakers(found)
        tables = {name: found.tables[name] for name in found.tables}
        emotional = {name: _columns(found, table, "emotion") for name, table in tables.items()}
        chosen = {name: columns for name, columns in emotional.items() if columns} or emotional
        return {name: _intervals(found, tables[name], columns, speakers) for name, columns in chosen.items()}
    except Exception as error:  # the library says in many ways that a folder is none
        raise unreadable(str(Path(path) / HEADER), "an audformat database", error) from error


def _columns(database: Any, table: Any, what: str) -> list[str]:
    """Return the columns of a table that are of a scheme of this name, or bear it themselves."""
    schemes = {name: str(table.columns[name].scheme_id or "").lower() for name in table.columns}
    found = [name for name, scheme in schemes.items() if what in (scheme, scheme.partition(".")[0])]
    found = found or [name for name in schemes if name.lower().partition(".")[0] == what]
    return [name for name in found if not _is_number(database, schemes[name])]


def _is_number(database: Any, scheme: str) -> bool:
    return any(scheme == name.lower() and database.schemes[name].is_numeric for name in database.schemes)


def _speakers(database: Any) -> dict[str, str]:
    """Return the speaker of each file, by the tables of files."""
    found: dict[str, str] = {}
    for name in database.tables:
        table = database.tables[name]
        for column in _columns(database, table, "speaker") if table.is_filewise else ():
            found |= {file: str(who) for file, who in table[column].get(map=None).dropna().items()}
    return found


def _intervals(database: Any, table: Any, columns: list[str], speakers: dict[str, str]) -> list[Interval]:
    own = _columns(database, table, "speaker")
    split = str(table.split.type or table.split_id) if table.split_id else ""
    found: list[Interval] = []
    for place, row in zip(table.df.index, table.df.to_dict("records"), strict=True):
        file, start, end = place if table.is_segmented else (place, None, None)
        speaker = next((str(row[name]) for name in own if _is_there(row[name])), speakers.get(file, ""))
        told = {"actor": speaker, **_of_speaker(database, speaker)} if speaker else {}
        told |= {"split": split} if split.lower() in SPLITS else {}
        texts = [str(row[name]) for name in columns if _is_there(row[name])]
        found += [Interval(file, _seconds(start) or 0.0, _seconds(end), text, told) for text in texts or [""]]
    return found


def _of_speaker(database: Any, speaker: str) -> dict[str, str]:
    for name in database.schemes:
        labels = database.schemes[name].labels
        if name.lower() == "speaker" and isinstance(labels, dict) and isinstance(labels.get(speaker), dict):
            told = labels[speaker]
            found = {key: str(told[key]) for key in _SPEAKERS if _is_there(told.get(key))}
            return {key: value for key, value in found.items() if key != "gender" or value in ALLOWED[key]}
    return {}


def _is_there(value: Any) -> bool:
    return value is not None and value == value  # NaN is not itself


def _seconds(duration: Any) -> float | None:
    return float(duration.total_seconds()) if _is_there(duration) else None
