"""Where Ray runs: the cluster whose address is set, else this machine, started inside this process."""

import logging
import os
import sys
from typing import Any

from emocore.errors import UserError
from emocore.storage.tables import forget_types

_LOOK_SECONDS = 0.02


def connect() -> None:
    """Start Ray, or join the cluster that RAY_ADDRESS names; does nothing where this process has done so."""
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
        # The job server sets RAY_ADDRESS. What workers print stays in Ray's logs: a job's own log ends with its result.
        if is_joined():
            ray.init(logging_level=logging.ERROR, log_to_driver=False)
        else:
            ray.init(address="local", include_dashboard=False, logging_level=logging.ERROR, log_to_driver=False)
    forget_types()
    context = DataContext.get_current()
    context.enable_progress_bars = False  # ours count files, and stay readable in a job's log
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    look_often(_LOOK_SECONDS)


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
