"""A cluster of two machines of which one goes in mid-run: no file is lost, and none is blamed for it."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

LOSE_ONE = """
import os, sys, threading, time
from pathlib import Path

import pyarrow.parquet as pq
import ray
from ray.cluster_utils import Cluster

from emocore.config import FeatureConfig
from emocore.corpus.listing import list_corpora
from emocore.pipeline import featurize as featurizing, planning, shards

def slow_task(table, **arguments):
    import time
    from emocore.features import stage
    from emocore.pipeline import shards
    here = ray.get_runtime_context().get_node_id()
    original = stage.read_media
    def read_media(stream, reading):
        (arguments["out"] / f".begun-{here}").touch()
        time.sleep(0.5)  # so that the machine goes while it reads a file
        return original(stream, reading)
    stage.read_media = read_media
    try:
        return shards._run_task(table, **arguments)
    finally:
        stage.read_media = original

corpus, out = Path(sys.argv[1]), Path(sys.argv[2])
machines = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
second = machines.add_node(num_cpus=1)
ray.init(address=machines.address, log_to_driver=False)
machines.wait_for_nodes()

def lose():
    while not (out / f".begun-{second.node_id}").exists():
        time.sleep(0.05)
    machines.remove_node(second, allow_graceful=False)
    print("lost", flush=True)

threading.Thread(target=lose, daemon=True).start()
planning.SHARD_FILES = 4
shards._run_task = slow_task
done = featurizing.featurize(list_corpora([str(corpus)]), str(out), FeatureConfig(), mfcc=False, options={})
paths = [path for file in (out / "clips").glob("*.parquet") for path in pq.read_table(file)["path"].to_pylist()]
print(done.clips, done.failures, len(paths), len(set(paths)), flush=True)
os._exit(0)  # the cluster's own shutting down takes seconds
"""


def test_a_machine_that_goes_loses_no_file_and_blames_none(tone, write_wav, tmp_path):
    for i in range(24):
        write_wav(tmp_path / "corpus" / f"{i:02d}.wav", tone(300 + 20 * i, 0.3))
    command = [sys.executable, "-c", LOSE_ONE, str(tmp_path / "corpus"), str(tmp_path / "F")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=150, check=False)
    assert done.returncode == 0, done.stderr
    assert "lost" in done.stdout.splitlines()
    assert done.stdout.splitlines()[-1] == "24 0 24 24"
