"""How far a job is: a bar at a terminal, a line every half minute in a log."""

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

LOG_SECONDS = 30.0


class Counter:
    """Counts files towards a total, and says how many a second and how long the rest will take.

    >>> with Counter("featurize", total=2, unit="files") as counter:
    ...     counter.add(2)
    featurize: 2 files to do
    featurize: 2 of 2 files in 0 s, 0 failed
    """

    def __init__(self, what: str, total: int, unit: str) -> None:
        self.what, self.total, self.unit = what, total, unit
        self.done = self.failed = 0
        self.started = self.last_line = time.monotonic()
        self.bar: Progress | None = None

    def __enter__(self) -> Self:
        if sys.stdout.isatty():
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"),
            )
            self.bar = Progress(*columns, console=Console())
            self.bar.add_task(self.what, total=self.total, rate="")
            self.bar.start()
        else:
            _say(f"{self.what}: {self.total:,} {self.unit} to do")
        return self

    def add(self, done: int, failed: int = 0) -> None:
        """Count `done` more, of which `failed` failed."""
        self.done += done
        self.failed += failed
        if self.bar:
            self.bar.update(self.bar.task_ids[0], completed=self.done, rate=self._rate())
        elif time.monotonic() - self.last_line >= LOG_SECONDS:
            self.last_line = time.monotonic()
            _say(f"{self.what}: {self.done:,} of {self.total:,} {self.unit}, {self._rate()}")

    def _rate(self) -> str:
        a_second = self.done / max(time.monotonic() - self.started, 1e-9)
        left = duration((self.total - self.done) / a_second) if a_second else "?"
        rate = f"{a_second:.1f} a second" if a_second >= 0.5 else f"{60 * a_second:.1f} a minute"
        return f"{rate}, {self.failed:,} failed, {left} left"

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bar:
            self.bar.stop()
        seconds = duration(time.monotonic() - self.started)
        _say(f"{self.what}: {self.done:,} of {self.total:,} {self.unit} in {seconds}, {self.failed:,} failed")


def duration(seconds: float) -> str:
    """Return a length of time for people.

    >>> duration(8.4), duration(200), duration(8000)
    ('8 s', '3 min 20 s', '2 h 13 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - a job's progress is its standard output
