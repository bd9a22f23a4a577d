"""Child process: read mutations one after another as `featurize --frames` does, and say what came of each.

Takes a JSON line a batch: {"folder", "sample", "seeds"}, answers a JSON line a seed: [seed, outcome], where the
outcome is "read", a reason of MediaError, or "bug: …", and nothing else is allowed. Dies of what kills it, with
the seed's file left in the folder.
"""

import faulthandler
import json
import logging
import resource
import signal
import sys
import traceback
from pathlib import Path

import av
from mutate import mutate

from emocore.errors import MediaError
from emocore.media.reading import Reading, read_media
from emocore.media.source import open_source

MEMORY_BYTES = 4 * 2**30
SECONDS = 20
allowed: str | None = None  # the one file that may be opened, while a mutation is read
forbidden: list[str] = []


def watch(event, arguments):
    """Audit hook: what Python opens or connects to while a file is read."""
    if allowed is None:
        return
    if event == "open" and str(arguments[0]) != allowed:
        forbidden.append(f"opened {arguments[0]}")
    elif event.startswith(("socket.", "subprocess.", "os.exec", "os.posix_spawn")):
        forbidden.append(event)


def descriptors():
    return set(Path("/proc/self/fd").iterdir()) if sys.platform == "linux" else set()


def outcome_of(path):
    global allowed
    fault: Exception | None = None
    allowed = path
    try:
        with open_source(path) as stream:
            read_media(stream, Reading(every=2, seconds_per_file=SECONDS))
    except Exception as error:
        fault = error
    finally:
        allowed = None
    if isinstance(fault, MediaError):
        return fault.reason
    return "bug: " + "".join(traceback.format_exception(fault, limit=-3)) if fault else "read"


def main():
    faulthandler.enable()
    av.logging.set_level(None)
    logging.disable()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.addaudithook(watch)
    samples = {}
    before = set()
    for line in sys.stdin:
        batch = json.loads(line)
        folder = Path(batch["folder"])
        if not samples:
            samples = {path.name: path.read_bytes() for path in sorted((folder / "samples").iterdir())}
            for name in samples:  # what libraries open on first use
                path = folder / "samples" / name
                with path.open("rb") as stream:
                    read_media(stream, Reading(every=2))
            forbidden.clear()
            before = descriptors()
        for sample, seed in batch["items"]:
            names = sorted(samples)
            other = samples[names[seed % len(names)]]
            path = folder / f"{sample}-{seed}{Path(sample).suffix}"
            path.write_bytes(mutate(samples[sample], other, seed))
            signal.alarm(3 * SECONDS)  # a hang is a death
            outcome = outcome_of(str(path))
            signal.alarm(0)
            if forbidden:
                outcome = f"bug: {forbidden.pop()}"
            if descriptors() != before:
                outcome = f"bug: open descriptors {descriptors() ^ before}"
                before = descriptors()
            if not outcome.startswith("bug"):
                path.unlink()
            sys.stdout.write(json.dumps([sample, seed, outcome]) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
