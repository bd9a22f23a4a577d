"""Where Ray runs: the cluster whose address is set, else this machine, started inside this process."""

import logging
import os
import secrets
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from emocore.errors import UserError, said_to_user
from emocore.storage.tables import forget_types

_LOOK_SECONDS = 0.02
_ANSWER_SECONDS = 5.0
_TRIES, _TRIES_OF_RAY = 5, "RAY_gcs_server_port_wait_time_s"  # to join, a second each
_TOKEN = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")


def connect() -> None:
    """Start Ray, or join the cluster that RAY_ADDRESS names; does nothing where this process has done so.

    Raises UserError where nothing answers at the address, or the cluster does not let this process in.
    """
    if is_joined() and not is_running():
        check_answers(os.environ["RAY_ADDRESS"])
    import ray  # noqa: PLC0415 - Ray takes seconds to import: only where it is needed
    from ray.data import DataContext  # noqa: PLC0415 - as above

    from emocore.pipeline.ray_private import look_often  # noqa: PLC0415 - as above

    if not ray.is_initialized():
        # Under `uv run` Ray would start every worker through uv; our dependencies are installed already.
        os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        # What we ask Ray for we also wait for; the rest are pages of its own housekeeping, when a process was killed.
        os.environ.setdefault("RAY_IGNORE_UNHANDLED_ERRORS", "1")
        # An idle process ends after a second by default, and each pass over the training frames would start new ones.
        os.environ.setdefault("RAY_idle_worker_killing_time_threshold_ms", "60000")
        _join() if is_joined() else _start()
    forget_types()
    context = DataContext.get_current()
    context.enable_progress_bars = False  # ours count files, and stay readable in a job's log
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    look_often(_LOOK_SECONDS)


def check_answers(address: str) -> None:
    """Raise UserError where an address has a port at which nothing answers: Ray asks for minutes, and says pages."""
    place = urlsplit(address if "://" in address else f"//{address}")
    try:
        if place.hostname and place.port:
            socket.create_connection((place.hostname, place.port), _ANSWER_SECONDS).close()
    except (OSError, ValueError) as error:
        raise UserError(
            f"Nothing answers at RAY_ADDRESS={address} ({error}): start the cluster, or unset RAY_ADDRESS to use "
            "this machine alone."
        ) from error


def _join() -> None:
    """Join a cluster; the job server sets RAY_ADDRESS. What workers print stays in Ray's logs, out of a job's own."""
    # Something answers at the address: where that does not let us in, 20 tries, a line each, make it no other.
    tries = os.environ.get(_TRIES_OF_RAY)
    os.environ.setdefault(_TRIES_OF_RAY, str(_TRIES))
    import ray  # noqa: PLC0415 - Ray takes seconds to import: only where it is needed

    try:
        ray.init(logging_level=logging.ERROR, log_to_driver=False)
    except Exception as error:  # of several kinds, by what was missing, and some with pages of text
        raise UserError(
            f"The cluster at RAY_ADDRESS={os.environ['RAY_ADDRESS']} does not let this process in "
            f"({type(error).__name__}): set RAY_AUTH_MODE, and its token, as where it was started; a head that is only "
            f"slow to begin is waited for longer with {_TRIES_OF_RAY}=60."
        ) from error
    finally:
        if tries is None:
            del os.environ[_TRIES_OF_RAY]


def _start() -> None:
    """Start Ray on this machine, for this process alone: no other machine reaches it, and it asks for a token."""
    import ray  # noqa: PLC0415 - Ray takes seconds to import: only where it is needed

    from emocore.pipeline.ray_private import ask_for_token, on_the_loopback  # noqa: PLC0415 - as above

    if not any(os.environ.get(name) for name in _TOKEN):
        # In no file: only processes of the same user can see the environment.
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    ask_for_token()
    with on_the_loopback():
        ray.init(address="local", include_dashboard=False, logging_level=logging.ERROR, log_to_driver=False)


@contextmanager
def plainly(place: Path | None = None) -> Iterator[None]:
    """Raise what a worker says to the user as it was said there: Ray puts pages of its own around it.

    `place`: where the work writes, for a full disk that Ray met itself; None: where Ray keeps its own files.
    """
    try:
        yield
    except Exception as error:
        said = said_to_user(error, place or Path(tempfile.gettempdir()))
        if said is None or said is error:
            raise
        raise said from None


def largest_node_cpus() -> int:
    """Return the CPUs of the largest machine, on which one task may run."""
    return max(int(node["Resources"].get("CPU", 0)) for node in _nodes() if node["Alive"])


def check_room(cpus: int, gpus: float, option: str = "--gpus-per-trial") -> None:
    """Raise UserError where no machine has so many CPUs and GPUs; a cluster that was joined may still grow."""
    if cpus > largest_node_cpus():
        raise UserError(f"--cpus-per-fit {cpus} is more than any machine here has: at most {largest_node_cpus()}.")
    if not is_joined() and gpus > max(machine.get("GPU", 0) for machine in machines()):
        raise UserError(f"{option} {gpus:g} asks for a GPU, and this machine has none: leave it out.")


def cpus() -> int:
    """Return the CPUs of all machines that are there now; at least 1, as a cluster may still be growing."""
    return max(1, sum(int(node["Resources"].get("CPU", 0)) for node in _nodes() if node["Alive"]))


def is_joined() -> bool:
    """Whether this is a cluster that RAY_ADDRESS names, rather than this machine alone."""
    return bool(os.environ.get("RAY_ADDRESS"))


def ask_for(bundles: list[dict[str, float]]) -> None:
    """Ask a cluster that grows for room for these at once, in the place of what was asked for before."""
    from ray.autoscaler.sdk import request_resources  # noqa: PLC0415 - Ray takes seconds to import: only where it is needed

    request_resources(bundles=bundles)


def machines() -> list[dict[str, float]]:
    """Return what each machine that is there now has: CPU, GPU, memory …"""
    return [node["Resources"] for node in _nodes() if node["Alive"]]


def is_lost(node_id: str) -> bool:
    """Whether a machine that was in the cluster has left it."""
    return bool(node_id) and all(node["NodeID"] != node_id or not node["Alive"] for node in _nodes())


def is_running() -> bool:
    """Whether this process has Ray; asking does not start it."""
    return "ray" in sys.modules and bool(sys.modules["ray"].is_initialized())


def here() -> str:
    """Return the id of the machine that this process runs on; nothing where it has no Ray."""
    return str(sys.modules["ray"].get_runtime_context().get_node_id()) if is_running() else ""


def _nodes() -> list[dict[str, Any]]:
    import ray  # noqa: PLC0415 - Ray takes seconds to import: only where it is needed

    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call] # Ray has no types here
    return nodes
