"""What Ray Data makes of the CPUs that are there."""

import os
import subprocess
import sys
import time

import pyarrow as pa
import pytest
import ray

pytestmark = pytest.mark.usefixtures("cluster")

SECONDS = 0.8


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="two tasks need two CPUs")
def test_tasks_start_at_once_on_all_cpus():
    data = ray.data.from_arrow([pa.table({"task": [n]}) for n in range(2)])
    for _ in range(2):  # the first time their processes have yet to start
        spans = data.map_batches(sleep, batch_format="pyarrow", batch_size=None, num_cpus=1).to_pandas()
    assert spans.begun.max() < spans.ended.min()


def sleep(_: pa.Table) -> pa.Table:
    begun = time.time()
    time.sleep(SECONDS)
    return pa.table({"begun": [begun], "ended": [time.time()]})


ASK = "import ray; ray.init(address={address!r}, log_to_driver=False); print(ray.cluster_resources())"


def test_our_own_ray_keeps_to_loopback_and_tells_nothing_without_its_token():
    address = ray.get_runtime_context().gcs_address
    assert address.startswith("127.0.0.1:")

    def ask(**environment):
        others = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        command = [sys.executable, "-c", ASK.format(address=address)]
        return subprocess.run(
            command, env=others | environment, capture_output=True, text=True, timeout=120, check=False
        )

    for wrong in ({"RAY_AUTH_MODE": "disabled"}, {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64}):
        refused = ask(**wrong)
        assert refused.returncode != 0
        assert "CPU" not in refused.stdout
    assert "CPU" in ask(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=os.environ["RAY_AUTH_TOKEN"]).stdout
