"""Which file a process was reading when it died: written before each file, read by the process that comes after."""

import json
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from emocore.errors import MediaError, UserError

JOURNALS = ".journals"
DEATHS_ALLOWED = 2
UNEXPLAINED_ALLOWED = 5
# Decoders look at the clock between packets; a hang inside one packet is ended with the process, as a death.
HANG_FACTOR = 2.0


class Journal:
    """The files of one shard that were begun, and ended; a begun one without an end killed its process.

    A process that went with its machine was killed by no file: `here` names the machine that this process runs on,
    and `is_lost` says of one whether it has gone. Raises UserError where processes die and no file is to blame.
    """

    def __init__(
        self, path: Path, seconds_per_file: float, here: str = "", is_lost: Callable[[str], bool] = lambda _: False
    ) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.hang_seconds = HANG_FACTOR * seconds_per_file
        self.deaths = self._bury(is_lost)
        self.seconds: dict[str, float] = {}  # that each file took
        self._write("start", here)

    def _bury(self, is_lost: Callable[[str], bool]) -> Counter[str]:
        text = self.path.read_text() if self.path.exists() else ""
        if text and not text.endswith("\n"):
            with self.path.open("a") as file:
                file.write("\n")  # so that the torn line does not swallow the next
        deaths: Counter[str] = Counter()
        unexplained = 0
        for machine, begun in _ended_processes(text.splitlines()):
            if is_lost(machine):
                continue
            if begun is None:
                unexplained += 1
            else:
                deaths[begun] += 1
        if unexplained > UNEXPLAINED_ALLOWED:
            raise UserError(
                f"{unexplained} processes ended while they worked on {self.path.name}, none of them reading a file: "
                "look for a full disk or too little memory."
            )
        return deaths

    @contextmanager
    def guard(self, path: str) -> Iterator[None]:
        """Note that this file is being read. Raises MediaError where it ended two processes already."""
        if self.deaths[path] >= DEATHS_ALLOWED:
            raise MediaError("decode", "killed", f"ended {self.deaths[path]} processes that read it")
        self._write("begin", path)
        started = time.perf_counter()
        try:
            with _alarm(self.hang_seconds):
                yield
        finally:
            self.seconds[path] = time.perf_counter() - started
            self._write("end", path)

    def _write(self, word: str, path: str) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps([word, path]) + "\n")

    def forget(self) -> None:
        """Remove the journal, once its shard is committed."""
        self.path.unlink(missing_ok=True)


def _ended_processes(lines: list[str]) -> Iterator[tuple[str, str | None]]:
    """Yield, for every process that wrote these lines, its machine and the file that it did not end."""
    machine: str | None = None
    begun: str | None = None
    for line in lines:
        try:
            word, name = json.loads(line)
        except ValueError:  # the process died while it wrote the line: the file was not opened yet
            continue
        if word == "start":
            if machine is not None:
                yield machine, begun
            machine, begun = name, None
        else:
            begun = name if word == "begin" else None
    if machine is not None:
        yield machine, begun


def clear_journals(out: Path) -> None:
    """Remove all journals: once every shard is committed, and before a run, as what was stopped killed nobody."""
    shutil.rmtree(out / JOURNALS, ignore_errors=True)


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # where signals cannot be set
        yield
        return
    before = signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
