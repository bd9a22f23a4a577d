"""Search a model's settings on the training actors of a fold; a search that was cut off goes on where it was."""

import json
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from emocore.errors import UserError
from emocore.models.base import Settings
from emocore.models.parameters import defaults_of
from emocore.models.spaces import Space, draw, grid, grid_around, setting_key, size
from emocore.pipeline.options.search import SearchOptions
from emocore.pipeline.tuning.objective import Candidates
from emocore.pipeline.tuning.runner import Room, TrialRunner, is_inside
from emocore.pipeline.tuning.trial import Row
from emocore.progress import Counter
from emocore.schema import TRIALS, rows_to_table
from emocore.storage.files import write_json, write_text
from emocore.storage.local import append_line

_TRIALS = "trials.jsonl"
WORK = "work"  # of the trials


class Journal:
    """The rows of a search, each on disk as soon as it is known."""

    def __init__(self, path: Path) -> None:
        self.path = path
        *lines, rest = path.read_text().split("\n") if path.exists() else [""]
        self.rows: list[Row] = [json.loads(line) for line in lines]
        if rest:  # a line that was cut off
            write_text(path, "".join(f"{line}\n" for line in lines))
        self.before = max((row["finished_seconds"] for row in self.rows), default=0.0)
        self.started = time.monotonic()
        self.counter: Counter | None = None

    def keep(self, row: Row) -> None:
        """Write a row."""
        row = {**row, "finished_seconds": self.before + time.monotonic() - self.started}
        self.rows.append(row)
        append_line(self.path, json.dumps(row), synced=True)
        if self.counter:
            self.counter.add(1, failed=row["state"] == "failed")

    def has(self, number: int) -> bool:
        """Whether the setting of this number is done."""
        return any(row["number"] == number for row in self.rows)


def search_settings(
    candidates: Candidates,
    room: Room,
    model: str,
    space: Space,
    options: SearchOptions,
    seed: int,
    folder: Path,
    what: str,
) -> tuple[Settings, list[Row]]:
    """Try settings, the model's defaults first; return the one with the best score, and the rows of all.

    What an earlier call left in the folder is not tried again. Raises UserError where every setting failed.
    """
    journal = Journal(folder / _TRIALS)
    runner = TrialRunner(candidates, room, folder / "tune", journal.keep)

    def try_all(settings: Sequence[Settings], first: int, in_parts: bool = False) -> None:
        tasks: list[Row] = [{"number": first + i, "setting": setting} for i, setting in enumerate(settings)]
        waiting = [task for task in tasks if not journal.has(task["number"])]
        with Counter(what, len(waiting), "setting") as journal.counter:
            runner.score(waiting, in_parts)

    defaults, samples = defaults_of(model, space), options.n_samples
    if options.search == "bayes":
        try_all([defaults], 0)
        inside = sum(is_inside(space, row["setting"]) for row in journal.rows)
        left = int(min(samples - len(journal.rows), size(space) - inside))
        if left > 0:
            with Counter(what, left, "setting") as journal.counter:
                runner.propose(space, journal.rows, left, seed)
    else:
        is_grid = options.search == "grid"
        listed = grid(space, samples) if is_grid else draw(space, samples, seed)
        others = [setting for setting in listed if setting_key(setting) != setting_key(defaults)]
        try_all([defaults, *(others if is_grid else others[: samples - 1])], 0, options.search == "asha")
    if options.search == "random+grid":
        path = folder / "around.json"
        if not path.exists():
            write_json(path, grid_around(space, _best(journal.rows)["setting"], samples))
        around = json.loads(path.read_text())
        tried = {setting_key(row["setting"]) for row in journal.rows if row["number"] < samples}
        try_all([setting for setting in around if setting_key(setting) not in tried], samples)
    for done in ("tune", WORK):
        shutil.rmtree(folder / done, ignore_errors=True)
    return _best(journal.rows)["setting"], journal.rows


def trials_table(fold: str, rows: Sequence[Row]) -> pa.Table:
    """Return TRIALS in the order of drawing."""
    ordered = sorted(rows, key=lambda row: row["number"])
    return rows_to_table([{**row, "fold": fold, "setting": json.dumps(row["setting"])} for row in ordered], TRIALS)


def _best(rows: Sequence[Row]) -> dict[str, Any]:
    """Return the row with the highest score among the whole ones; of equals the first that was drawn."""
    whole = [row for row in rows if row["state"] == "ok"]
    if not whole:
        reason = next((row["reason"] for row in rows if row["reason"]), "all were stopped")
        raise UserError(f"None of the {len(rows)} settings could be trained ({reason}): give another --space.")
    return min(whole, key=lambda row: (-row["score"], row["number"]))
