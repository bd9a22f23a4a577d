"""How TensorFlow's workers find each other under Ray Train.

Ray's own TensorflowTrainer imports TensorFlow on the driver and on its controller too, which takes seconds a training
and hundreds of megabytes, and fills the job's log.
"""

import json
import os
import socket
from typing import Any

import ray
from ray.train.backend import Backend, BackendConfig


class Meeting(BackendConfig):
    """Tells each worker the addresses of all of them, in TF_CONFIG."""

    @property
    def backend_cls(self) -> type[Backend]:
        """Return what Ray calls before the training starts."""
        return _Meeting


class _Meeting(Backend):
    def on_start(self, worker_group: Any, backend_config: BackendConfig) -> None:  # noqa: ARG002 - Ray's signature
        addresses = worker_group.execute(_free_address)
        told = [worker_group.execute_single_async(n, _tell, addresses, n) for n in range(len(worker_group))]
        ray.get(told)


def _free_address() -> str:
    host = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call] # Ray has none
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.bind(("", 0))
        port = probe.getsockname()[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _tell(addresses: list[str], rank: int) -> None:
    os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": addresses}, "task": {"type": "worker", "index": rank}})
