"""Some shards in one process beside this one, without Ray, which takes longer to start than they take.

The process may die with a file as a worker of Ray may: another begins where it stopped, and the shard's journal says
which file was being read. It is a process that this one starts, not one that forks from it or imports a caller's
script again.
"""

import json
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from emocore.errors import UserError
from emocore.pipeline import cluster

MOST_FILES = 64
MOST_DEATHS = 1000  # in a row, of one shard: every one of its files may end two
_COMMAND = (
    "import sys, pickle; sys.path[:] = pickle.load(sys.stdin.buffer); from emocore.pipeline.archive import here; "
)
_COMMAND += "here.work()"


def is_enough(n_files: int, gpus: float | None) -> bool:
    """Whether one process without Ray does so many files: few, where no cluster is named and Ray does not run yet."""
    return gpus is None and n_files <= MOST_FILES and not cluster.is_joined() and not cluster.is_running()


def run_here(places: list[int], told: dict[str, Any], gpus: float | None) -> Iterator[dict[str, Any]]:  # noqa: ARG001
    """Yield DONE rows of the shards at these places of the plan; `told` is run_place's stage, plan and out."""
    left, deaths = list(places), 0
    while left:
        with _process(left, told) as (process, answers):
            for line in answers:
                answer = json.loads(line)
                if "error" in answer:
                    raise RuntimeError(answer["error"])
                if "done" in answer:
                    left.pop(0)
                    deaths = 0
                    yield answer["done"]
                else:
                    deaths += 1  # until it is done
            process.wait()
        if left and deaths == 0:
            raise UserError(f"A process that reads files ended as it began (exit code {process.returncode}).")
        if deaths > MOST_DEATHS:
            raise UserError(f"{deaths} processes ended one after the other: look for too little memory.")


@contextmanager
def _process(places: list[int], told: dict[str, Any]) -> Iterator[tuple[subprocess.Popen[bytes], Any]]:
    """Start a process that works on these shards; it ends when this one does."""
    reader, writer = os.pipe()
    # As Ray has it for a task of one CPU: the numbers are those of a cluster to the last digit.
    environment = {"OMP_NUM_THREADS": "1", **os.environ}
    with open(reader) as answers:  # noqa: PTH123 - a pipe
        process = subprocess.Popen(
            [sys.executable, "-c", _COMMAND],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[writer],
            env=environment,
            start_new_session=True,  # Ctrl-C is for this process, which ends that one
        )
        os.close(writer)
        assert process.stdin is not None
        try:
            pickle.dump(sys.path, process.stdin)
            pickle.dump((writer, places, told), process.stdin)
            process.stdin.flush()
            yield process, answers
        finally:
            process.kill()
            process.wait()
            process.stdin.close()


def work() -> None:
    """Work on what the starting process says; said to it line by line: that a shard begins, and what became of it."""
    writer, places, told = pickle.load(sys.stdin.buffer)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    from emocore.pipeline.archive.shards import run_place  # noqa: PLC0415 - it imports this module

    with open(writer, "w", buffering=1) as answers:  # noqa: PTH123 - a pipe
        for place in places:
            print(json.dumps({"begun": place}), file=answers)
            try:
                answer: dict[str, Any] = {"done": {"files": 0, "failed": 0, "fault": None, **run_place(place, **told)}}
            except Exception as error:
                answer = {"error": repr(error)}
            print(json.dumps(answer), file=answers)


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(1)
