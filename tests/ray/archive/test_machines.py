"""A cluster of two machines: one goes in mid-run, another one comes. No file is lost, and none is blamed for it."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

pytestmark = pytest.mark.cluster

LOSE_ONE = """
import os, sys, threading, time
from pathlib import Path

import pyarrow.parquet as pq
import ray
from ray.cluster_utils import Cluster

from emocore.pipeline.archive import plan as planning, shards
from emocore.pipeline.label import LabelOptions, label

def slow_task(table, **arguments):
    import time
    from emocore.features import one_file as stage
    from emocore.pipeline.archive import shards
    here = ray.get_runtime_context().get_node_id()
    original = stage.stream_media
    def stream_media(stream, *rest):
        (arguments["out"] / f".begun-{here}").touch()
        time.sleep(0.3)  # so that the machine goes while it reads a file
        return original(stream, *rest)
    stage.stream_media = stream_media
    try:
        yield from shards._run_task(table, **arguments)
    finally:
        stage.stream_media = original

corpus, out, model = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
machines = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
second = machines.add_node(num_cpus=1)
ray.init(address=machines.address, log_to_driver=False)
machines.wait_for_nodes()

def wait_for(machine):
    while not (out / f".begun-{machine.node_id}").exists():
        time.sleep(0.05)

planning.SHARD_FILES = 4
shards._run_task = slow_task
found = []
options = LabelOptions(media=(str(corpus),), model=model, out=str(out))
job = threading.Thread(target=lambda: found.append(label(options).summary))
job.start()
wait_for(second)
machines.remove_node(second, allow_graceful=False)
print("lost", flush=True)
third = machines.add_node(num_cpus=1)  # in the main thread, as it sets signals
wait_for(third)
print("the third works", flush=True)
job.join()
done = found[0]
paths = [path for file in (out / "labels").glob("*.parquet") for path in pq.read_table(file)["path"].to_pylist()]
print(done["labels"], done["failures"], len(paths), len(set(paths)), flush=True)
os._exit(0)  # the cluster's own shutting down takes seconds
"""


def test_a_machine_that_goes_loses_no_file_and_one_that_comes_works_along(tone, write_wav, bundle, tmp_path):
    for i in range(32):
        write_wav(tmp_path / "corpus" / f"{i:02d}.wav", tone(300 + 20 * i, 0.3))
    command = [sys.executable, "-c", LOSE_ONE, str(tmp_path / "corpus"), str(tmp_path / "L"), str(bundle)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=150, check=False)
    assert done.returncode == 0, done.stderr
    assert {"lost", "the third works"} <= set(done.stdout.splitlines()), done.stdout
    assert done.stdout.splitlines()[-1] == "32 0 32 32"
