"""How far a job is: a bar at a terminal, a line every half minute in a log."""

import sys
import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from emocore.errors import amount, plain

if TYPE_CHECKING:
    from rich.progress import Progress

LOG_SECONDS = 30.0
TICK_SECONDS = 1.0


class Counter:
    """Counts towards a total, and says how many a second and how long the rest will take; `unit` is in the singular.

    >>> with Counter("featurize", total=2, unit="file") as counter:
    ...     counter.add(2)
    featurize: 2 files to do
    featurize: 2 of 2 files in 0 s, 0 failed
    """

    def __init__(self, what: str, total: int, unit: str) -> None:
        self.what, self.total, self.unit = what, total, unit
        self.done = self.failed = 0
        self.media_seconds = 0.0
        self.started = self.last_line = time.monotonic()
        self.bar: Progress | None = None
        self._lock = threading.RLock()
        self._ended = threading.Event()

    def __enter__(self) -> Self:
        if sys.stdout.isatty():
            from rich.console import Console  # noqa: PLC0415 - for a terminal alone
            from rich.progress import BarColumn, Progress, TextColumn  # noqa: PLC0415 - as above

            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.fields[state]}"),
            )
            self.bar = Progress(*columns, console=Console())
            self.bar.add_task(self.what, total=self.total, state="")
            self.bar.start()
        else:
            say(f"{self.what}: {self._amount(self.total)} to do")
        threading.Thread(target=self._tick, daemon=True).start()
        return self

    def _tick(self) -> None:
        """Show how far it is also while nothing ends."""
        while not self._ended.wait(TICK_SECONDS):
            self._show()

    def add(self, done: int, failed: int = 0, media_seconds: float = 0.0) -> None:
        """Count `done` more, of which `failed` failed, and so many seconds of media, be it of files that go on."""
        self.done += done
        self.failed += failed
        self.media_seconds += media_seconds
        self._show()

    def note(self, line: str) -> None:
        """Say something that happens on the way."""
        if self.bar:
            self.bar.console.print(plain(line), markup=False, highlight=False)
        else:
            say(line)

    def _show(self) -> None:
        with self._lock:
            if self.bar:
                state = f"{self._done()}, {self._rate()}"
                self.bar.update(self.bar.task_ids[0], completed=self.done, state=state)
            elif time.monotonic() - self.last_line >= LOG_SECONDS:
                self.last_line = time.monotonic()
                say(f"{self.what}: {self._done()}, {self._rate()}")

    def _amount(self, number: int) -> str:
        return amount(number, self.unit)

    def _done(self) -> str:
        media = f", {duration(self.media_seconds)} of media" if self.media_seconds else ""
        return f"{self.done:,} of {self._amount(self.total)}{media}"

    def _rate(self) -> str:
        a_second = self.done / max(time.monotonic() - self.started, 1e-9)
        left = duration((self.total - self.done) / a_second) if a_second else "?"
        rate = f"{a_second:.1f} a second" if a_second >= 0.5 else f"{60 * a_second:.1f} a minute"
        return f"{rate}, {self.failed:,} failed, {left} left"

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self.bar:
            self.bar.stop()
        seconds = duration(time.monotonic() - self.started)
        say(f"{self.what}: {self._done()} in {seconds}, {self.failed:,} failed")


class ByteCounter(Counter):
    """Counts the bytes of several files that arrive at once, each perhaps begun by an earlier run.

    >>> with ByteCounter("download", total=3_000_000, files=2) as counter:
    ...     counter.at("a.zip", 1_000_000)
    ...     counter.finish()
    download: 2 files, 3.0 MB to do
    download: 1.0 MB of 3.0 MB, 1 of 2 files in 0 s, 0 failed
    """

    def __init__(self, what: str, total: int, files: int) -> None:
        super().__init__(what, total, "byte")
        self.files, self.whole, self.arrived = files, 0, 0
        self._positions: dict[str, int] = {}

    def at(self, name: str, position: int) -> None:
        """Say how many bytes of a file are there; what was there at the first call does not count as arriving."""
        with self._lock:
            before = self._positions.get(name)
            self._positions[name] = position
            self.arrived += max(position - before, 0) if before is not None else 0
            self.add(position - (before or 0))

    def finish(self, failed: bool = False) -> None:
        """Count a file as whole, or as failed."""
        with self._lock:
            self.whole += not failed
            self.add(0, failed=int(failed))

    def _amount(self, number: int) -> str:
        return f"{amount(self.files, 'file')}, {megabytes(number)}"

    def _done(self) -> str:
        return f"{megabytes(self.done)} of {megabytes(self.total)}, {self.whole:,} of {amount(self.files, 'file')}"

    def _rate(self) -> str:
        a_second = self.arrived / max(time.monotonic() - self.started, 1e-9)
        left = duration((self.total - self.done) / a_second) if a_second else "?"
        return f"{a_second / 1e6:.1f} MB/s, {self.failed:,} failed, {left} left"


def megabytes(size: int) -> str:
    """Return a number of bytes for people.

    >>> megabytes(208_468_073), megabytes(14_000_000_000)
    ('208.5 MB', '14.0 GB')
    """
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


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


def say(*lines: str) -> None:
    """Print lines of a job's log, with control characters spelled out: what is said of files comes from files."""
    print("\n".join(map(plain, lines)), flush=True)  # noqa: T201 - the one place where a job says how it goes
