"""Which file a process was reading when it died: written before each file, read by the process that comes after."""

import faulthandler
import json
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from emocore.errors import MediaError, UserError
from emocore.storage.files import delete
from emocore.storage.local import append_line, appending

JOURNALS = ".journals"
DEATHS_ALLOWED = 2
UNEXPLAINED_ALLOWED = 5
# Decoders look at the clock between packets; a hang inside one packet is ended with the process, as a death.
HANG_FACTOR = 2.0
_HUNG = "Timeout ("  # how Python's faulthandler begins what it writes before it ends a process
_LONGEST_ALARM = 1e6


class Journal:
    """The files of one shard that were begun, and ended; a begun one without an end killed its process.

    A process that went with its machine was killed by no file: `here` names the machine that this process runs on,
    and `is_lost` says of one whether it has gone. Raises UserError where processes die and no file is to blame.
    """

    def __init__(
        self, path: Path, seconds_per_file: float, here: str = "", is_lost: Callable[[str], bool] = lambda _: False
    ) -> None:
        self.path = path
        self.hang_seconds = HANG_FACTOR * seconds_per_file
        self.hung: set[str] = set()  # files that our own alarm ended a process for
        self.deaths = self._bury(is_lost)
        self.seconds: dict[str, float] = {}  # that each file took
        self._write("start", here)

    def _bury(self, is_lost: Callable[[str], bool]) -> Counter[str]:
        text = self.path.read_text() if self.path.exists() else ""
        if text and not text.endswith("\n"):
            append_line(self.path, "")  # so that the torn line does not swallow the next
        deaths: Counter[str] = Counter()
        unexplained = 0
        for machine, begun, is_hung in _ended_processes(text.splitlines()):
            if begun is not None and is_hung:
                self.hung.add(begun)
            elif is_lost(machine):
                continue
            elif begun is None:
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
        """Note that this file is being read.

        Raises MediaError where it ended two processes already, or took so long that our alarm ended one.
        """
        if path in self.hung:
            raise MediaError("decode", "too_slow", f"not done after {self.hang_seconds:.0f} s: see --seconds-per-file")
        if self.deaths[path] >= DEATHS_ALLOWED:
            raise MediaError("decode", "killed", f"ended {self.deaths[path]} processes that read it")
        self._write("begin", path)
        started = time.perf_counter()
        try:
            with _alarm(self.hang_seconds, self.path):
                yield
        finally:
            self.seconds[path] = time.perf_counter() - started
            self._write("end", path)

    def _write(self, word: str, path: str) -> None:
        append_line(self.path, json.dumps([word, path]))

    def forget(self) -> None:
        """Remove the journal, once its shard is committed."""
        delete(self.path)


def _ended_processes(lines: list[str]) -> Iterator[tuple[str, str | None, bool]]:
    """Yield, for every process that wrote these lines, its machine, the file that it did not end, and if it hung."""
    machine: str | None = None
    begun: str | None = None
    is_hung = False
    for line in lines:
        is_hung |= line.startswith(_HUNG)
        try:
            word, name = json.loads(line)
        except ValueError:  # the process died while it wrote the line: the file was not opened yet
            continue
        if word == "start":
            if machine is not None:
                yield machine, begun, is_hung
            machine, begun = name, None
        else:
            begun = name if word == "begin" else None
        is_hung = False
    if machine is not None:
        yield machine, begun, is_hung


def clear_journals(out: Path) -> None:
    """Remove all journals: once every shard is committed, and before a run, as what was stopped killed nobody."""
    shutil.rmtree(out / JOURNALS, ignore_errors=True)


@contextmanager
def _alarm(seconds: float, journal: Path) -> Iterator[None]:
    """End this process after so many seconds, and note in the journal that it was no death of the file's doing.

    By a thread of C that needs no lock of Python's: a decoder may hold it.
    """
    with appending(journal) as file:
        faulthandler.dump_traceback_later(min(seconds, _LONGEST_ALARM), exit=True, file=file)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
