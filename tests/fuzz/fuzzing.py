"""Read mutations in child processes, and count what came of them."""

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from itertools import islice
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from samples import write_samples
from watching import Watch

BATCH = 25
MOST_BUGS = 100


class Fuzzing:
    """Runs (sample, seed) items on child processes; `counts[sample]` says what came of them.

    What the watch sees and should not have is among the bugs.
    """

    def __init__(self, work: Path, processes: int, command=(sys.executable,)):
        self.work, self.processes, self.command = work, processes, command
        (work / "samples").mkdir(parents=True, exist_ok=True)
        self.samples = write_samples(work / "samples")
        self.watch = Watch(work, self.samples["a.mp4"])
        self.counts: dict[str, Counter] = {name: Counter() for name in self.samples}
        self.bugs: list[str] = []
        self.lock = threading.Lock()

    def run(self, each: int, first_seed: int = 0, seconds: float | None = None):
        """Read so many mutations of each sample, or until the time is up. Once only."""
        seeds = range(first_seed, first_seed + each)
        self.items = iter([(name, seed) for seed in seeds for name in self.samples])
        self.deadline = None if seconds is None else time.monotonic() + seconds
        threads = [threading.Thread(target=self._feed) for _ in range(self.processes)]
        with self.watch:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        self.bugs += self.watch.strange()

    def _batch(self):
        with self.lock:
            if len(self.bugs) > MOST_BUGS or (self.deadline is not None and time.monotonic() > self.deadline):
                return []
            return list(islice(self.items, BATCH))

    def _feed(self):
        child = None
        while batch := self._batch():
            while batch:
                child = child or self._start()
                self._send(child, batch)
                answers = self._answers(child, len(batch))
                batch = batch[len(answers) :]
                if batch:  # the child died of the first one without an answer
                    self._count(*batch.pop(0), f"bug: died with code {child.wait()}")
                    child = None
        if child:
            child.stdin.close()
            child.wait()

    def _start(self):
        reader = str(Path(__file__).with_name("reader.py"))
        return subprocess.Popen(
            [*self.command, reader],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )

    def _send(self, child, batch):
        child.stdin.write(json.dumps({"work": str(self.work), "port": self.watch.port, "items": batch}) + "\n")
        child.stdin.flush()

    def _answers(self, child, count):
        answers = []
        while len(answers) < count and (line := child.stdout.readline()):
            answers.append(json.loads(line))
            self._count(*answers[-1])
        return answers

    def _count(self, sample, seed, outcome):
        with self.lock:
            is_bug = outcome.startswith("bug")
            self.counts[sample]["bug" if is_bug else outcome] += 1
            if is_bug:
                self.bugs.append(f"{sample} seed {seed}: {outcome}")


def table(all_counts: dict[str, Counter]) -> str:
    """The counts by outcome, a line a container."""
    outcomes = sorted({outcome for count in all_counts.values() for outcome in count})
    lines = [["", *outcomes]] + [
        [name, *(str(count[outcome]) for outcome in outcomes)] for name, count in all_counts.items()
    ]
    widths = [max(len(line[i]) for line in lines) for i in range(len(outcomes) + 1)]
    padded = [[cell.rjust(width) for cell, width in zip(line, widths, strict=True)] for line in lines]
    return "\n".join("  ".join(line) for line in padded)
