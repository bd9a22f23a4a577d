"""Which file a process was reading when it died: written before each file, read by the process that comes after."""

import json
import shutil
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from emocore.errors import MediaError

JOURNALS = ".journals"
DEATHS_ALLOWED = 2
# Decoders look at the clock between packets; a hang inside one packet is ended with the process, as a death.
HANG_FACTOR = 2.0


class Journal:
    """The files of one shard that were begun, and ended; a begun one without an end killed its process."""

    def __init__(self, path: Path, seconds_per_file: float) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.hang_seconds = HANG_FACTOR * seconds_per_file
        self.deaths = self._bury()

    def _bury(self) -> Counter[str]:
        text = self.path.read_text() if self.path.exists() else ""
        if text and not text.endswith("\n"):
            with self.path.open("a") as file:
                file.write("\n")  # so that the torn line does not swallow the next
        lines = text.splitlines()
        begun: str | None = None
        deaths: Counter[str] = Counter()
        for line in lines:
            try:
                word, path = json.loads(line)
            except ValueError:  # the process died while it wrote the line: the file was not opened yet
                continue
            if word == "begin" and begun is not None:
                deaths[begun] += 1
            begun = path if word == "begin" else None
        if begun is not None:
            deaths[begun] += 1
        return deaths

    @contextmanager
    def guard(self, path: str) -> Iterator[None]:
        """Note that this file is being read. Raises MediaError where it ended two processes already."""
        if self.deaths[path] >= DEATHS_ALLOWED:
            raise MediaError("decode", "killed", f"ended {self.deaths[path]} processes that read it")
        self._write("begin", path)
        try:
            with _alarm(self.hang_seconds):
                yield
        finally:
            self._write("end", path)

    def _write(self, word: str, path: str) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps([word, path]) + "\n")

    def forget(self) -> None:
        """Remove the journal, once its shard is committed."""
        self.path.unlink(missing_ok=True)


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
