"""What a search runs in processes of its own: a trial scores several settings where those are known."""

import json
import math
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from typing import Any, cast

from ray import tune

from emocore.errors import OutputError
from emocore.models.base import Settings
from emocore.pipeline.tuning.objective import Report

Row = dict[str, Any]  # TRIALS without fold and finished_seconds

REPORT_SECONDS = 1.0  # of work between two reports to the driver, where settings are short
BATCH, NUMBER = "batch", "number"
UNWRITTEN = "unwritten"  # the state of a setting for which the disk took no more


class Trial(tune.Trainable):
    """Scores a batch of settings, or the one that a searcher proposes."""

    def setup(self, config: dict[str, Any], candidates: Any = None, in_parts: bool = False) -> None:
        """Begin the first batch of this process."""
        self.candidates, self.in_parts = candidates, in_parts
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Begin another batch in the same process."""
        self.batch = new_config.get(BATCH) or [{NUMBER: None, "setting": decode(new_config)}]
        self.waiting = len(self.batch)
        self.rows = self._rows()
        self.guide: float | None = 0.0  # what the scheduler and the searcher compare
        return True

    def step(self) -> dict[str, Any]:
        """Return the next rows."""
        rows: list[Row] = []
        until = time.monotonic() + REPORT_SECONDS
        while (self.waiting and not rows) or (self.waiting and not self.in_parts and time.monotonic() < until):
            rows.append(next(self.rows))
            self.waiting -= is_over(rows[-1])
        last = rows[-1]
        percent = 100 if is_over(last) else math.floor(100 * last["share"])
        return {"rows": rows, "score": self.guide, "percent": percent, "done": not self.waiting}

    def cleanup(self) -> None:
        """End what a setting that is stopped has begun."""
        self.rows.close()

    def _rows(self) -> Generator[Row, None, None]:
        for task in self.batch:
            row = {**task, "score": None, "scores": [], "share": 0.0, "state": "ok", "reason": None}
            clock = _Clock()
            try:
                for report in clock.during(self.candidates.reports(task["setting"], self.in_parts)):
                    score = sum(report.scores) / len(report.scores) if report.scores else None
                    row |= {"score": score, "scores": report.scores, "share": report.share, "seconds": clock.seconds}
                    self.guide = score if report.guide is None else report.guide
                    yield dict(row)
            except OutputError as error:  # no setting's doing: the search ends
                yield {**failed_row(task, str(error), clock.seconds), "state": UNWRITTEN}
            except (
                Exception
            ) as error:  # a setting that a library refuses is a row, like one that the memory is short of
                said = str(error).strip().splitlines()
                self.guide = 0.0
                reason = f"{type(error).__name__}: {said[0] if said else ''}"
                yield failed_row(task, reason, clock.seconds)


class _Clock:
    """Seconds that reports took to compute, without the waiting for what the driver says to each."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def during(self, reports: Iterator[Report]) -> Iterator[Report]:
        with closing(cast(Generator[Report, None, None], reports)):
            while True:
                begun = time.monotonic()
                try:
                    report = next(reports, None)
                finally:
                    self.seconds += time.monotonic() - begun
                if report is None:
                    return
                yield report


def is_over(row: Row) -> bool:
    """Whether a setting is scored whole, or failed."""
    return bool(row["state"] in ("failed", UNWRITTEN) or row["share"] == 1)


def failed_row(task: Row, reason: str, seconds: float) -> Row:
    """Return the row of a setting that could not be scored."""
    nothing: Row = {"score": None, "scores": [], "share": 0.0, "state": "failed"}
    return {**task, **nothing, "reason": reason, "seconds": seconds}


def decode(proposal: dict[str, Any]) -> Settings:
    """Return a setting as the models know it, from what Optuna proposes."""
    return {name: json.loads(value) if isinstance(value, str) else value for name, value in proposal.items()}
