"""What Ray Data makes of the CPUs that are there."""

import os
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
