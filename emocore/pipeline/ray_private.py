"""What is used of Ray and is not public, in one place: a Ray that lacks it is refused in one sentence."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray

from emocore.errors import UserError

try:
    from ray._private import ray_constants
    from ray._raylet import Config  # type: ignore[attr-defined] # it is compiled
    from ray.data._internal.execution import streaming_executor_state
    from ray.data._internal.execution.resource_manager import ResourceManager
    from ray.train.v2._internal.exceptions import CheckpointManagerInitializationError
    from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer
    from ray.train.v2.api.exceptions import WorkerGroupError
    from ray.train.v2.api.report_config import CheckpointUploadMode

    ray_constants.ENABLE_RAY_CLUSTER  # noqa: B018 - what is set below must be what it reads
    ResourceManager.GLOBAL_LIMITS_UPDATE_INTERVAL_S  # noqa: B018 - as above
    streaming_executor_state.WAIT_FOR_TASK_COMPLETION_TIMEOUT_S  # noqa: B018 - as above
except (ImportError, AttributeError) as error:
    raise UserError(
        f"Ray {ray.__version__} lacks a part that emocore uses ({error}): install the version of constraints.txt."
    ) from error

__all__ = [
    "CheckpointManagerInitializationError",
    "CheckpointUploadMode",
    "DataParallelTrainer",
    "WorkerGroupError",
    "ask_for_token",
    "look_often",
    "on_the_loopback",
]


def ask_for_token() -> None:
    """Have the Ray that this process starts answer only to who has its token."""
    os.environ["RAY_AUTH_MODE"] = "token"
    configuration: Any = Config
    configuration.initialize("")  # it read the environment when it was imported


def look_often(seconds: float) -> None:
    """Have Ray Data look so often which tasks have ended, for small tasks."""
    # It hears of its CPUs after it has asked, and runs one task until it looks again: after a second by default.
    manager: Any = ResourceManager
    manager.GLOBAL_LIMITS_UPDATE_INTERVAL_S = 5 * seconds
    # It sleeps for so long between two looks: a tenth of a second by default.
    streaming_executor_state.WAIT_FOR_TASK_COMPLETION_TIMEOUT_S = seconds


@contextmanager
def on_the_loopback() -> Iterator[None]:
    """Have the Ray that is started within listen on the loopback only, where no other machine reaches it."""
    # Given 127.0.0.1, Ray takes the machine's address all the same, but on systems that are to be no cluster.
    constants: Any = ray_constants
    before, constants.ENABLE_RAY_CLUSTER = constants.ENABLE_RAY_CLUSTER, False
    try:
        yield
    finally:
        constants.ENABLE_RAY_CLUSTER = before
