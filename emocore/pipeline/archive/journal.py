"""What a process was at when it died, reading a file or answering for one: read by the process that comes after."""

import faulthandler
import json
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from emocore.errors import MediaError, UserError
from emocore.storage.files import delete
from emocore.storage.folder import JOURNALS
from emocore.storage.local import append_line, appending

DEATHS_ALLOWED = 2
# Of a section of a long file, that works for a while: so often at the same place, and so often in all.
DEATHS_AT_A_PLACE, DEATHS_IN_A_SECTION = 3, 25
PLACE_SECONDS = 2.0
UNEXPLAINED_ALLOWED = 5
# Decoders look at the clock between packets; a hang inside one packet is ended with the process, as a death.
HANG_FACTOR = 2.0
_HUNG = "Timeout ("  # how Python's faulthandler begins what it writes before it ends a process
_LONGEST_ALARM = 1e6
_REARMS = 20  # within the time of an alarm, at most


class Journal:
    """What was begun of one shard, and ended: what was begun and has no end killed its process.

    Files are read one by one. Clips are answered for together; where that ended a process they are `suspects`, each to
    be answered for alone. A process that went with its machine was killed by no file: `here` names the machine that
    this process runs on, and `is_lost` says of one whether it has gone. `of_section`: processes that die at different
    places of a file have not died of it. Raises UserError where processes die and no file is to blame.
    """

    def __init__(
        self,
        path: Path,
        seconds_per_file: float,
        here: str = "",
        is_lost: Callable[[str], bool] = lambda _: False,
        *,
        of_section: bool = False,
    ) -> None:
        self.path, self.of_section = path, of_section
        self.hang_seconds = HANG_FACTOR * seconds_per_file
        self.hung: set[str] = set()  # files that our own alarm ended a process for
        self.deaths: Counter[str] = Counter()  # of processes that read a file, by its path
        self.suspects: set[str] = set()
        self.answers_hung: set[str] = set()
        self.answers_deaths: Counter[str] = Counter()  # by clip
        self._at: Counter[tuple[str, str]] = Counter()  # the deaths of both by place
        self._place = self._answer = 0
        self._bury(is_lost)
        self.seconds: dict[str, float] = {}  # that each file took
        self._alarms: list[tuple[float, Any]] = []  # the innermost last
        self._armed = 0.0
        self._write("start", here)

    def _bury(self, is_lost: Callable[[str], bool]) -> None:
        text = self.path.read_text() if self.path.exists() else ""
        if text and not text.endswith("\n"):
            append_line(self.path, "")  # so that the torn line does not swallow the next
        unexplained = 0
        for machine, begun, is_hung, place in _ended_processes(text.splitlines()):
            if is_lost(machine) and not is_hung:
                continue
            if begun is None:
                unexplained += 1
            elif isinstance(begun, str):
                self._blame(begun, is_hung, self.hung, self.deaths, place)
            else:
                self.suspects.update(begun)
                if len(begun) == 1:
                    self._blame(begun[0], is_hung, self.answers_hung, self.answers_deaths, place)
        if unexplained > UNEXPLAINED_ALLOWED:
            raise UserError(
                f"{unexplained} processes ended while they worked on {self.path.name}, none of them reading a file or "
                "answering for one: look for a full disk or too little memory."
            )

    def _blame(self, name: str, is_hung: bool, hung: set[str], deaths: Counter[str], place: str) -> None:
        if is_hung:
            hung.add(name)
        else:
            deaths[name] += 1
            self._at[name, place] += 1

    def _is_deadly(self, name: str, deaths: Counter[str]) -> bool:
        if not self.of_section:
            return deaths[name] >= DEATHS_ALLOWED
        worst = max((n for (other, _), n in self._at.items() if other == name), default=0)
        return worst >= DEATHS_AT_A_PLACE or deaths[name] >= DEATHS_IN_A_SECTION

    @contextmanager
    def guard(self, path: str) -> Iterator[Callable[[float], None]]:
        """Note that this file is being read; what is yielded is called while that goes on well, however long.

        Raises MediaError where it ended two processes already, or took so long that our alarm ended one.
        """
        if path in self.hung:
            raise MediaError("decode", "too_slow", f"not done after {self.hang_seconds:.0f} s: see --seconds-per-file")
        if self._is_deadly(path, self.deaths):
            raise MediaError("decode", "killed", f"ended {self.deaths[path]} processes that read it")
        self._write("begin", path)
        started = time.perf_counter()
        try:
            with self._alarm(self.hang_seconds):
                yield self._alive
        finally:
            self.seconds[path] = time.perf_counter() - started
            self._write("end", path)

    @contextmanager
    def answering(self, clips: Sequence[str]) -> Iterator[None]:
        """Note that a model answers for these clips, be it while a file is read, within the time of one.

        Where that is too short for all, each is answered for alone in the next process.
        Raises MediaError where it is one clip, and that ended two processes already, or took too long.
        """
        if len(clips) == 1 and clips[0] in self.answers_hung:
            slow = f"not answered after {self.hang_seconds:.0f} s: see --seconds-per-file"
            raise MediaError("predict", "too_slow", slow)
        if len(clips) == 1 and self._is_deadly(clips[0], self.answers_deaths):
            died = f"ended {self.answers_deaths[clips[0]]} processes that answered for it"
            raise MediaError("predict", "killed", died)
        if clips:
            self._write("answer", list(clips))
        if self.of_section:
            self._answer += 1
            self._write("at", f"answer {self._answer}")
        try:
            with self._alarm(self.hang_seconds):
                yield
        finally:
            if clips:
                self._write("end", "")

    @contextmanager
    def _alarm(self, seconds: float) -> Iterator[None]:
        """End this process after so many seconds, and note in the journal that it was no death of the file's doing.

        By a thread of C that needs no lock of Python's: a decoder may hold it. There is one: the inner alarm stops the
        outer one, which begins again.
        """
        with appending(self.path) as file:
            self._alarms.append((min(seconds, _LONGEST_ALARM), file))
            self._arm()
            try:
                yield
            finally:
                self._alarms.pop()
                self._arm()

    def _alive(self, seconds: float) -> None:
        """Set the alarm anew, now and then: a decoder that goes on does not hang; and note how far it is."""
        if self.of_section and int(seconds / PLACE_SECONDS) > self._place:
            self._place = int(seconds / PLACE_SECONDS)
            self._write("at", str(self._place))
        if time.monotonic() > self._armed + self.hang_seconds / _REARMS:
            self._arm()

    def _arm(self) -> None:
        self._armed = time.monotonic()
        faulthandler.cancel_dump_traceback_later()
        if self._alarms:
            seconds, file = self._alarms[-1]
            faulthandler.dump_traceback_later(seconds, exit=True, file=file)

    def _write(self, word: str, what: str | list[str]) -> None:
        append_line(self.path, json.dumps([word, what]))

    def forget(self) -> None:
        """Remove the journal, once its shard is committed."""
        delete(self.path)


def _ended_processes(lines: list[str]) -> Iterator[tuple[str, str | list[str] | None, bool, str]]:
    """Yield, for every process that wrote these lines, its machine, what it did not end, whether it hung, and where.

    What it did not end is a file that it read, or the clips that it answered for.
    """
    machine: str | None = None
    begun: list[str | list[str]] = []  # the innermost last
    is_hung = False
    place = ""
    for line in lines:
        is_hung |= line.startswith(_HUNG)
        try:
            word, name = json.loads(line)
        except ValueError:  # the process died while it wrote the line: the file was not opened yet
            continue
        if word == "start":
            if machine is not None:
                yield machine, begun[-1] if begun else None, is_hung, place
            machine, begun, place = name, [], ""
        elif word == "at":
            place = name
        elif word == "end":
            begun = begun[:-1]
        else:
            begun.append(name)
        is_hung = False
    if machine is not None:
        yield machine, begun[-1] if begun else None, is_hung, place


def clear_journals(out: Path) -> None:
    """Remove all journals: once every shard is committed, and before a run, as what was stopped killed nobody."""
    shutil.rmtree(out / JOURNALS, ignore_errors=True)
