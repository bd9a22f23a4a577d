"""Read mutations in child processes, and count what came of them; run as a program it is the soak.

python tests/fuzz/fuzzing.py --each 5000 --first-seed 0 --keep runs/soak
"""

import argparse
import ctypes
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
from mutate import BAIT
from samples import write_samples

BATCH = 25
MOST_BUGS = 100


class Bait:
    """A film that mutations name and nothing may open: inotify sees FFmpeg's own opens too."""

    IN_OPEN = 0x20

    def __init__(self, folder, content):
        self.events = None
        (folder / BAIT).write_bytes(content)
        if sys.platform == "linux":
            libc = ctypes.CDLL(None, use_errno=True)
            self.events = libc.inotify_init1(os.O_NONBLOCK)
            libc.inotify_add_watch(self.events, os.fsencode(folder / BAIT), self.IN_OPEN)

    def opened(self):
        """How often it was opened since the last call."""
        try:
            return len(os.read(self.events, 65_536)) // 16 if self.events is not None else 0
        except BlockingIOError:
            return 0


class Fuzzing:
    """Runs (sample, seed) items on child processes; `counts[sample]` says what came of them."""

    def __init__(self, folder: Path, processes: int, command=(sys.executable,)):
        self.folder, self.processes, self.command = folder, processes, command
        (folder / "samples").mkdir(parents=True, exist_ok=True)
        self.samples = write_samples(folder / "samples")
        self.counts: dict[str, Counter] = {name: Counter() for name in self.samples}
        self.bugs: list[str] = []
        self.lock = threading.Lock()

    def run(self, each: int, first_seed: int = 0, seconds: float | None = None):
        """Read so many mutations of each sample, or until the time is up."""
        seeds = range(first_seed, first_seed + each)
        self.items = iter([(name, seed) for seed in seeds for name in self.samples])
        self.deadline = None if seconds is None else time.monotonic() + seconds
        threads = [threading.Thread(target=self._feed) for _ in range(self.processes)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

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
        child.stdin.write(json.dumps({"folder": str(self.folder), "items": batch}) + "\n")
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

    def table(self):
        """The counts by outcome, a line a container."""
        outcomes = sorted({outcome for count in self.counts.values() for outcome in count})
        lines = [["", *outcomes]] + [
            [name, *(str(count[outcome]) for outcome in outcomes)] for name, count in self.counts.items()
        ]
        widths = [max(len(line[i]) for line in lines) for i in range(len(outcomes) + 1)]
        padded = [[cell.rjust(width) for cell, width in zip(line, widths, strict=True)] for line in lines]
        return "\n".join("  ".join(line) for line in padded)


def say(text):
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--each", type=int, default=5_000, help="mutations of each container")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, help="stop after so long")
    parser.add_argument("--keep", type=Path, default=Path("runs/soak"), help="where files that show a bug are left")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    options = parser.parse_args()
    say(f"seeds {options.first_seed} to {options.first_seed + options.each - 1}, {options.processes} processes")
    fuzzing = Fuzzing(options.keep.resolve(), options.processes)
    bait = Bait(fuzzing.folder, fuzzing.samples["a.mp4"])
    started = time.monotonic()
    fuzzing.run(options.each, options.first_seed, options.seconds)
    opened = bait.opened()
    say(fuzzing.table())
    for bug in fuzzing.bugs:
        say(bug)
    say(f"{time.monotonic() - started:.0f} s, {len(fuzzing.bugs)} bugs, bait opened {opened} times")
    sys.exit(bool(fuzzing.bugs or opened))


if __name__ == "__main__":
    main()
