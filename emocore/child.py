"""A Python process beside this one, for what a stranger's file may end: told by pickles, it answers in lines of JSON.

It imports what this process can, but no caller's script again, and does not fork from it. What it says is never
unpickled: a file may have taken it over.
"""

import contextlib
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import IO, Any

from emocore.errors import UserError

_COMMAND = (
    "import sys, pickle; sys.path[:] = pickle.load(sys.stdin.buffer); from importlib import import_module; "
    "getattr(import_module({!r}), {!r})()"
)
_LAST_LINES, _LONGEST_LINE = 20, 4096  # of its stderr, bytes
_LONGEST_ANSWER = 2**28  # bytes: some 60,000 windows
_SECONDS_TO_END, _SECONDS_TO_LISTEN = 5.0, 1.0  # its stderr outlasts it where a process of its own has it


class Child:
    """A process that calls `module:function`; it ends with `end`, or as the function finds its stdin at an end."""

    def __init__(self, function: str) -> None:
        module, _, name = function.partition(":")
        reader, writer = os.pipe()  # of its own: what else it and its libraries print is no answer
        self._answers = open(reader, "rb")  # noqa: PTH123, SIM115 - a pipe, which `end` closes
        self._process = subprocess.Popen(
            # -P: the working directory may be a stranger's, with a pickle.py of its own.
            [sys.executable, "-P", "-c", _COMMAND.format(module, name), str(writer)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=[writer],
            # As Ray has it for a task of one CPU: the numbers are those of a cluster to the last digit.
            env={"OMP_NUM_THREADS": "1", **os.environ},
            start_new_session=True,  # Ctrl-C is for this process, which ends that one
        )
        os.close(writer)
        self._last: deque[bytes] = deque(maxlen=_LAST_LINES)
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        self.tell(sys.path)

    def _listen(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as lines:
            self._last.extend(iter(partial(lines.readline, _LONGEST_LINE), b""))

    def tell(self, what: Any) -> None:
        """Pickle something to it; where it has ended its answers say so."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            pickle.dump(what, self._process.stdin)
            self._process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """Return the next that it says; nothing where it ended, or says what no answer is."""
        line = self._answers.readline(_LONGEST_ANSWER)
        try:
            said = json.loads(line)
        except (ValueError, RecursionError):  # cut off in the middle of it, too
            return {}
        return said if isinstance(said, dict) else {}

    def ended_as_it_began(self) -> UserError:
        """Return what to say where it ended before it could be told of a file, after waiting for its end."""
        try:
            code = self._process.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:  # it said what is no answer, and goes on
            self.end()
            return UserError("A process that reads files said what is no answer as it began: look at what it imports.")
        self._listener.join(_SECONDS_TO_LISTEN)
        lines = [line.decode(errors="replace").strip() for line in self._last]
        words = f"its last words: {lines[-1]}" if lines else ""
        memory = "look for too little memory" if code == -signal.SIGKILL or not words else ""
        told = "; ".join(filter(None, (memory, words)))
        return UserError(f"A process that reads files ended as it began (exit code {code}): {told}")

    def kill(self) -> None:
        """End it at once; what it said before can still be had."""
        if self._process.returncode is None:  # once that is known, its number may be another's
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)  # with what it has started: that holds the pipe open

    def end(self) -> None:
        """End it, whatever it does."""
        self.kill()
        self._process.wait()
        self._listener.join(_SECONDS_TO_LISTEN)
        self._answers.close()
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # what it was told and did not take
            self._process.stdin.close()


@contextmanager
def answering() -> Iterator[Callable[[dict[str, Any]], None]]:
    """Give what says something to the process that began this one. A library that prints does not say so."""
    with open(int(sys.argv[1]), "w", encoding="ascii", buffering=1) as answers:  # noqa: PTH123 - a descriptor
        yield partial(_say, answers)


def _say(answers: IO[str], what: dict[str, Any]) -> None:
    print(json.dumps(what), file=answers)


def told() -> Any:
    """Return the next that this process is told. Raises EOFError where who began it has gone."""
    return pickle.load(sys.stdin.buffer)
