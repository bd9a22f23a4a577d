"""FER2013 as Kaggle gives it: a table of 35,887 grey faces of 48 × 48 pixels, a row each, and 7 emotions by number.

`fer2013.csv` has the columns emotion, pixels, Usage; `icml_face_data.csv` the same in another order. A row is a clip
named `fer2013.csv!/Training/angry/00001.bmp`. The same faces as files in folders are a labelled folder. Goodfellow et
al. (2013), https://arxiv.org/abs/1307.0414
"""

import csv
from collections.abc import Iterator, Sequence
from os.path import realpath
from pathlib import Path

from emocore.corpora.corpus import Corpus, LabelRules
from emocore.corpora.folder import SPLITS
from emocore.corpora.scan import MediaFile, Row, failure_row
from emocore.errors import UserError
from emocore.labels import is_emotion, parse_emotion
from emocore.media.picture_table import PIXELS
from emocore.media.source import MEMBER

EMOTION_NUMBERS = ("angry", "disgust", "fearful", "happy", "sad", "surprised", "neutral")
_HEADER_BYTES = 1_000


def is_table_of_pictures(root: str) -> bool:
    """Whether a file is a CSV with the columns emotion and pixels."""
    if not root.lower().endswith(".csv"):
        return False
    try:
        with Path(root).open("rb") as stream:
            head = stream.readline(_HEADER_BYTES).decode("utf-8-sig", "replace")
    except OSError:
        return False
    return {"emotion", PIXELS} <= {cell.strip().lower() for cell in head.split(",")}


def table_rows(table: str, rules: LabelRules) -> tuple[list[Row], list[Row]]:
    """Return LISTING rows, and FAILURES rows for emotions that are no number from 0 to 6.

    Pictures are looked at when they are read. Raises UserError for a table that cannot be read.
    """
    real = realpath(table)
    rows: list[Row] = []
    failures: list[Row] = []
    for number, told, size in _read(table):
        usage, code = told.get("usage", ""), told.get("emotion", "")
        place = usage or "Unsaid"
        if code not in {str(known) for known in range(len(EMOTION_NUMBERS))}:
            path = f"{table}{MEMBER}{place}/{number:05d}.bmp"
            failures.append(failure_row(path, "bad_name", f"row {number} has emotion {code!r}, expected 0 to 6"))
            continue
        name = EMOTION_NUMBERS[int(code)]
        known = is_emotion(name, rules.mapping, rules.emotions)
        below = f"{place}/{name}/{number:05d}.bmp"
        file = MediaFile(f"{table}{MEMBER}{below}", below, size, f"{real}{MEMBER}{below}")
        rows.append(
            {
                **file.row(),
                "clip": below,
                "emotion": parse_emotion(name, rules.mapping, rules.emotions) if known else None,
                "split": SPLITS.get(usage.lower()),
            }
        )
    return rows, failures


def pictures_in(table: str) -> tuple[list[Row], list[Row]]:
    """Return unlabelled LISTING rows for the pictures of a table, whatever its emotions; no FAILURES."""
    names = ("path", "bytes", "below", "real", "clip")
    rows, failures = table_rows(table, LabelRules())
    return [{name: row[name] for name in names} for row in rows], failures


def _read(table: str) -> Iterator[tuple[int, dict[str, str], int]]:
    """Yield each row's number, from 1 on, its cells but the pixels, and its bytes; empty lines are none."""
    try:
        with Path(table).open(newline="", encoding="utf-8-sig") as stream:
            names = [name.strip().lower() for name in next(csv.reader([stream.readline()]), [])]
            lines = (line for line in stream if line.strip())
            for number, line in enumerate(lines, 1):
                cells = dict(zip(names, next(csv.reader([line])), strict=False))
                yield number, {name: cell.strip() for name, cell in cells.items() if name != PIXELS}, len(line)
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(
            f"{table!r} cannot be read, expected a CSV with the columns emotion, pixels and Usage: {error}."
        ) from error


def _rows(files: Sequence[MediaFile], rules: LabelRules) -> tuple[list[Row], list[Row]]:
    return table_rows(files[0].path, rules)


FER2013 = Corpus(
    name="fer2013",
    rows=_rows,
    licence="FER2013 (Goodfellow et al., 2013) was published for a research competition and states no licence; its "
    "pictures are of the web.",
    people="people agree with 65 ± 5\N{NO-BREAK SPACE}% of the labels of FER2013.",
    citation="Goodfellow et al. (2013), https://arxiv.org/abs/1307.0414",
)
