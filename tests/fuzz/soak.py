"""Many damaged files: through readers, traced where strace may run, and a part of them through the whole job.

python tests/fuzz/soak.py --each 5000 --job-each 200 --first-seed 0 --keep runs/soak
"""

import argparse
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from fuzzing import Fuzzing, table
from watching import can_trace, strange_calls, traced
from whole_job import clear, run_job


def say(text):
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def through_readers(options):
    """Return the bugs of the readers."""
    work = options.keep / "readers"
    log = work / "calls" / "log"
    clear(log.parent)
    log.parent.mkdir(parents=True)
    tracing = can_trace()
    fuzzing = Fuzzing(work, options.processes, [*traced(log), sys.executable] if tracing else [sys.executable])
    fuzzing.run(options.each, options.first_seed, options.seconds)
    say(table(fuzzing.counts))
    if not tracing:
        say("strace may not run here: the readers' calls were not seen, only their folders and our port")
    calls = strange_calls(log, work)
    if not calls:
        clear(log.parent)
    return fuzzing.bugs + [f"called {call}" for call in calls]


def through_the_job(options):
    """Return the bugs of the job."""
    clear(options.keep / "job")
    job = run_job(options.keep / "job", options.job_each, options.first_seed)
    say(table(job.counts))
    if not job.bugs:
        clear(options.keep / "job")
    return job.bugs


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--each", type=int, default=5_000, help="mutations of each container")
    parser.add_argument("--job-each", type=int, default=200, help="mutations of each container in the job")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, help="stop the readers after so long")
    parser.add_argument("--keep", type=Path, default=Path("runs/soak"), help="where files that show a bug are left")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    options = parser.parse_args()
    options.keep = options.keep.resolve()
    bugs = []
    for what, each, run in (
        ("readers", options.each, through_readers),
        ("job", options.job_each, through_the_job),
    ):
        say(f"{what}: seeds {options.first_seed} to {options.first_seed + each - 1}")
        started = time.monotonic()
        found = run(options)
        for bug in found:
            say(bug)
        say(f"{what}: {time.monotonic() - started:.0f} s, {len(found)} bugs")
        bugs += found
    sys.exit(bool(bugs))


if __name__ == "__main__":
    main()
