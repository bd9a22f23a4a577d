"""What Ray Data makes of the CPUs that are there, and of what a worker has to say."""

import errno
import os
import time
from pathlib import Path

import pyarrow as pa
import pytest
import ray

from emocore.errors import OutputError
from emocore.pipeline import cluster
from emocore.storage.files import write_json

pytestmark = pytest.mark.usefixtures("cluster")

SECONDS = 0.8
FSYNC = os.fsync


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


def fill(how):
    """What a task does where the disk takes no more: by our storage, or by other code."""
    if how == "storage":
        os.fsync = no_room  # in the worker, which writes nothing else
        try:
            write_json(Path("/tmp") / f"emocore-test-{os.getpid()}.json", {})
        finally:
            os.fsync = FSYNC
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/out/state.json")


def no_room(_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(("how", "place"), [("storage", "/tmp"), ("other", "/out")])
def test_a_full_disk_comes_out_of_a_worker_as_one_sentence(how, place):
    sentence = rf"^The disk of {place} is full \(No space left on device\): free some space [^\n]*$"
    with pytest.raises(OutputError, match=sentence) as error, cluster.plainly():
        ray.get(ray.remote(num_cpus=0.1)(fill).remote(how))
    assert type(error.value) is OutputError
