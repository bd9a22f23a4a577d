"""A Python process beside this one, for what a stranger's file may end: told by pickles, it answers in lines of JSON.

It imports what this process can, but no caller's script again, and does not fork from it. What it says is never
unpickled: a file may have taken it over.
"""

import contextlib
import json
import os
import pickle
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
_LONGEST_ANSWER = 2**28  # bytes
_SECONDS_TO_END, _SECONDS_TO_LISTEN = 5.0, 1.0  # its stderr outlasts it where a process of its own has it


class Child:
    """A process that calls `module:function`; it ends with `end`, or as the function finds its stdin at an end."""

    def __init__(self, function: str) -> None:
        module, _, name = function.partition(":")
        self._process = subprocess.Popen(
            # -P: the working directory may be a stranger's, with a pickle.py of its own.
            [sys.executable, "-P", "-c", _COMMAND.format(module, name)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # As Ray has it for a task of one CPU: the numbers are those of a cluster to the last digit.
            env={"OMP_NUM_THREADS": "1", **os.environ},
            start_new_session=True,  # Ctrl-C is for this process, which ends that one
        )
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
        assert self._process.stdout is not None
        line = self._process.stdout.readline(_LONGEST_ANSWER)
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
            self.kill()
            code = self._process.wait()
        self._listener.join(_SECONDS_TO_LISTEN)
        lines = [line.decode(errors="replace").strip() for line in self._last]
        remedy = f"its last words: {lines[-1]}" if lines else "look for too little memory."
        return UserError(f"A process that reads files ended as it began (exit code {code}): {remedy}")

    def kill(self) -> None:
        """End it at once; what it said before can still be had."""
        self._process.kill()

    def end(self) -> None:
        """End it, whatever it does."""
        self.kill()
        self._process.wait()
        self._listener.join(_SECONDS_TO_LISTEN)
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):  # what it was told and did not take
                pipe.close()


@contextmanager
def answering() -> Iterator[Callable[[dict[str, Any]], None]]:
    """Give what says something to the process that began this one. A library that prints does not say so."""
    with open(os.dup(1), "w", encoding="ascii", buffering=1) as answers:  # noqa: PTH123 - a descriptor
        os.dup2(2, 1)
        yield partial(_say, answers)


def _say(answers: IO[str], what: dict[str, Any]) -> None:
    print(json.dumps(what), file=answers)


def told() -> Any:
    """Return the next that this process is told. Raises EOFError where who began it has gone."""
    return pickle.load(sys.stdin.buffer)
