"""Some shards in one process beside this one, without Ray, which takes longer to start than they take.

The process may die with a file as a worker of Ray may: another begins where it stopped, and the shard's journal says
which file was being read. What it imports takes seconds: a job begins it before its own imports, and both import side
by side.
"""

import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import import_module
from typing import Any

from emocore import child
from emocore.child import Child
from emocore.errors import UserError
from emocore.pipeline import cluster
from emocore.pipeline.archive.journal import DEATHS_ALLOWED, DEATHS_IN_A_SECTION, UNEXPLAINED_ALLOWED

# A shard is 64 recordings, or 8 films. Recordings of 3 s by svc, on two busy cores, took these seconds from command to
# prompt in one process, and on Ray: 16 files 18 and 51 to 55, 64 files 15 to 19 and 46 to 48, 256 files 30 to 35 and 51
# to 108, 1,024 files 81 to 96 and 82 to 93.
MOST_SHARDS = 4

Item = tuple[int, int]
RunItem = Callable[..., dict[str, Any]]
"""Does an item of the plan, of which the first number is the place of its shard, and returns what is DONE."""


def is_enough(n_shards: int, gpus: float | None) -> bool:
    """Whether one process without Ray does so many shards: few, where no cluster is named and Ray does not run yet."""
    return gpus is None and n_shards <= MOST_SHARDS and not cluster.is_joined() and not cluster.is_running()


@contextmanager
def begun(function: str, *arguments: str) -> Iterator[None]:
    """Begin the process that `run_here` takes, which calls `module:function` with these arguments meanwhile.

    None begins where Ray is asked anyway. It ends with the `with`, at the latest.
    """
    if cluster.is_joined() or cluster.is_running():
        yield
        return
    process = _Process((function, *arguments))
    token = _BEGUN.set(process)
    try:
        yield
    finally:
        _BEGUN.reset(token)
        process.end()


def wait_prepared() -> bool:
    """Whether a process has begun and has done what it was to call; waits for it. Raises UserError as that did."""
    process = _BEGUN.get()
    if process is not None:
        process.wait_prepared()
    return process is not None


def end_begun() -> None:
    """End the process that was begun, where Ray does the work."""
    process = _BEGUN.get()
    if process is not None:
        process.end()


def run_here(run_item: RunItem, items: list[Item], told: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield what is DONE of these items of the plan; `told` is run_item's stage, plan and out.

    Raises UserError where more processes end than a shard's files can be to blame for.
    """
    left, deaths = list(items), 0
    process = _BEGUN.get()
    while left:
        process = process if process and process.is_free else _Process()
        try:
            process.wait_prepared()
            for answer in process.answers(run_item, left, told):
                if "error" in answer:
                    raise RuntimeError(answer["error"])
                if "done" in answer:
                    left.pop(0)
                    deaths = 0
                    yield answer["done"]
                else:
                    deaths += 1  # until it is done
        finally:
            process.end()
        if left and deaths == 0:
            raise process.ended_as_it_began()
        if deaths and deaths > most_deaths(told["plan"].shard(left[0][0]).num_rows, of_section=left[0][1] >= 0):
            raise UserError(f"{deaths} processes ended one after the other: look for too little memory.")


def most_deaths(n_files: int, *, of_section: bool = False) -> int:
    """Return how many processes a shard or section may end, as its journal counts: each by a file, all answers, or
    nothing."""
    return (DEATHS_IN_A_SECTION if of_section else DEATHS_ALLOWED * n_files) + 1 + UNEXPLAINED_ALLOWED


class _Process:
    """A process that works on shards as soon as it is told which; it ends when this one does."""

    def __init__(self, preparation: tuple[str, ...] = ()) -> None:
        self.is_free = True  # nothing was asked of it, and it was not ended
        self._prepared: dict[str, Any] = {}
        self._child = Child("emocore.pipeline.archive.here:work")
        self._child.tell(preparation)

    def wait_prepared(self) -> None:
        """Wait until it has called what it was to call. Raises UserError as that did, and where the process ended."""
        self._prepared = self._prepared or self._child.answer()
        if not self._prepared:
            raise self.ended_as_it_began()
        if self._prepared["refused"]:
            raise UserError(self._prepared["refused"])

    def answers(self, run_item: RunItem, items: list[Item], told: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Tell it which shards to work on, and yield what it says of them, until it ends."""
        self.is_free = False
        self._child.tell((run_item, items, told))
        yield from iter(self._child.answer, {})

    def ended_as_it_began(self) -> UserError:
        """Return what to say where it ended before a file was begun."""
        return self._child.ended_as_it_began()

    def end(self) -> None:
        """End it, whatever it does."""
        self.is_free = False
        self._child.end()


_BEGUN: ContextVar[_Process | None] = ContextVar("begun", default=None)


def work() -> None:
    """Prepare, and work on what the starting process says; said to it: what begins, what became of it."""
    with child.answering() as say:
        say({"refused": _refusal(*child.told())})
        try:
            run_item, items, told = child.told()
        except EOFError:  # the starting process has gone
            return
        threading.Thread(target=_end_with_parent, daemon=True).start()
        for item in items:
            say({"begun": item})
            try:
                say({"done": run_item(item, **told)})
            except Exception:  # a fault of ours, which the starting process raises: only here is it known where it was
                say({"error": traceback.format_exc()})


def _refusal(function: str = "", *arguments: str) -> str | None:
    """Call `module:function` with the arguments; return the sentence that it refuses them with."""
    if not function:
        return None
    module, _, name = function.partition(":")
    try:
        getattr(import_module(module), name)(*arguments)
    except UserError as error:
        return str(error)
    return None


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(1)
