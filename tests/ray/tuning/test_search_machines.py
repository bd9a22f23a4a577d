"""A search whose machine goes, or whose own process: no setting is lost, and none that is done is tried again."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

ROOT = Path(__file__).parents[3]

pytestmark = pytest.mark.cluster

LOSE_ONE = """
import json, os, sys, threading, time
from pathlib import Path

import ray
from ray.cluster_utils import Cluster

from emocore.models.spaces import Range
from emocore.pipeline import cluster
from emocore.pipeline.tuning.search import search_settings
from emocore.pipeline.options.search import SearchOptions
from emocore.pipeline.tuning.runner import Room

folder, how = Path(sys.argv[1]), sys.argv[2]

def begun():  # the machines that have tried settings
    return [line for path in folder.glob("tried-*") for line in path.read_text().splitlines()]

class Slow:
    def reports(self, setting, in_parts):
        import time
        from emocore.pipeline.tuning.objective import Report
        with (folder / f"tried-{setting['C']}").open("a") as file:
            file.write(ray.get_runtime_context().get_node_id() + "\\n")
        until = time.monotonic() + 60
        while setting["C"] != 10 and len(set(begun())) < 2 and time.monotonic() < until:
            time.sleep(0.05)  # so that both machines have settings when one goes; the defaults may be alone
        for part in (0.2, 0.4, 0.6, 0.8) if in_parts else (0.8,):
            time.sleep(0.5 if in_parts else 0.2)
            if in_parts:
                yield Report(part, [setting["C"]])
        yield Report(1.0, [setting["C"]])

machines = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
second = machines.add_node(num_cpus=1)
ray.init(address=machines.address, log_to_driver=False)
machines.wait_for_nodes()
cluster.connect()

def lose():
    while second.node_id not in begun():
        time.sleep(0.05)
    machines.remove_node(second, allow_graceful=False)
    print("lost", flush=True)

threading.Thread(target=lose, daemon=True).start()
space, told = {"C": Range(1.0, 100.0)}, SearchOptions(search=how, samples=8 if how == "bayes" else 12, folds=2)
best, rows = search_settings(Slow(), Room({"CPU": 1}), "svc", space, told, 0, folder / "S", "search")
print(json.dumps([best, rows]), flush=True)
os._exit(0)  # the cluster's own shutting down takes seconds
"""


def lose_a_machine(folder, how):
    """Search on two machines, one of which goes; return the best setting, the rows, and how often each was tried."""
    command = [sys.executable, "-c", LOSE_ONE, str(folder), how]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=150, check=False)
    assert done.returncode == 0, done.stderr
    assert "lost" in done.stdout.splitlines()
    tried = {float(path.name[6:]): len(path.read_text().splitlines()) for path in folder.glob("tried-*")}
    return *json.loads(done.stdout.splitlines()[-1]), tried


def test_a_machine_that_goes_loses_no_setting_and_blames_none(tmp_path):
    best, rows, tried = lose_a_machine(tmp_path, "random")
    assert sorted(row["number"] for row in rows) == list(range(12))
    assert {(row["state"], row["share"], row["reason"]) for row in rows} == {("ok", 1.0, None)}
    assert all(row["score"] == row["setting"]["C"] for row in rows)
    assert best["C"] == max(row["score"] for row in rows)
    # What was lost with the machine was tried again: at most the three settings that its trial had.
    assert {row["setting"]["C"] for row in rows} == set(tried) and sum(tried.values()) <= 12 + 3


def test_proposals_survive_a_machine_too(tmp_path):
    best, rows, tried = lose_a_machine(tmp_path, "bayes")
    assert sorted(row["number"] for row in rows) == list(range(8))
    assert {row["state"] for row in rows} <= {"ok", "stopped"} and {row["reason"] for row in rows} == {None}
    assert best["C"] == max(row["score"] for row in rows if row["state"] == "ok")
    assert {row["setting"]["C"] for row in rows} == set(tried)


def test_a_search_that_was_killed_goes_on_where_it_was(acted, write_features, job, tmp_path, monkeypatch):
    """As users start it, in a folder named from where they are."""
    write_features(tmp_path / "F", acted([1, 2, 3, 4]))
    monkeypatch.chdir(tmp_path)
    words = ["F", "--model", "svc", "--search", "random", "--samples", "60", "--folds", "2", "--out", "RUN"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("RAY_ADDRESS", None)
    journal = tmp_path / "RUN" / ".search" / "all" / "trials.jsonl"
    command = [sys.executable, str(ROOT / "jobs" / "tune.py"), *words]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as driver:
        while driver.poll() is None and not (journal.exists() and journal.read_text().count("\n")):
            time.sleep(0.01)
        driver.send_signal(signal.SIGKILL)
        assert driver.wait() == -signal.SIGKILL
    before = [json.loads(line) for line in journal.read_text().splitlines()[:-1]]  # the last may be half a line
    outcome = job("tune", *words)
    assert outcome.code == 0, outcome.err
    lines = outcome.out.splitlines()
    assert lines[-1] == "RUN/report.html" and lines[-2].startswith("best setting, all: C ")
    assert "on actors that chose the settings" in lines[-3]
    rows = pq.read_table("RUN/trials.parquet").to_pylist()
    assert [row["number"] for row in rows] == list(range(60)) and {row["state"] for row in rows} == {"ok"}
    assert len(before) < 60
    for row in before:
        assert rows[row["number"]] == {**row, "fold": "all", "setting": json.dumps(row["setting"])}
    assert not (tmp_path / "RUN" / ".search").exists()
