"""Child process: read mutations one after another as `featurize --frames` does, and say what came of each.

Takes a JSON line a batch: {"work", "port", "items": [[sample, seed], …]}, answers a JSON line an item: [sample, seed,
outcome], where the outcome is "read", a reason of MediaError, or "bug: …", and nothing else is allowed. Dies of what
kills it, with the mutation left in the folder.
"""

import faulthandler
import json
import logging
import os
import resource
import signal
import sys
import traceback
from pathlib import Path

import av
import av.subtitles.codeccontext  # PyAV loads it where a file has subtitles
import cv2
import numpy as np
from mutate import FILES, Mutations, name_of

from emocore.errors import MediaError
from emocore.media.reading import Reading, stream_media
from emocore.media.source import open_source
from emocore.media.video import whole

MEMORY_BYTES = 4 * 2**30
SECONDS = 20
REACHES = ("socket.", "urllib.", "subprocess.", "os.exec", "os.fork", "os.posix_spawn", "os.system", "os.remove")
REACHES += ("os.rename", "os.mkdir", "os.listdir", "os.scandir", "ctypes.dlopen")
allowed: str | None = None  # the one file that may be opened, while a mutation is read
forbidden: list[str] = []


def watch(event, arguments):
    """Audit hook: what Python opens, starts or connects to while a file is read."""
    if allowed is None:
        return
    if event == "open" and str(arguments[0]) != allowed:
        forbidden.append(f"opened {arguments[0]}")
    elif event.startswith(REACHES):
        forbidden.append(event)


def read_media(stream, reading):
    """Read as `featurize` does, to its last sample and picture."""
    stream_media(stream, reading, lambda *_: lambda _: None, lambda _: None, whole(reading.pixels))


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


def prepare(batch):
    """Return the mutations, once each sample is read: libraries open things on first use."""
    samples = {path.name: path.read_bytes() for path in sorted(Path(batch["work"], "samples").iterdir())}
    for name in samples:
        with Path(batch["work"], "samples", name).open("rb") as stream:
            read_media(stream, Reading(every=2))
    large = np.zeros((2_000, 2_000, 3), np.uint8)  # OpenCV looks for CPUs and threads at the first one
    cv2.resize(cv2.cvtColor(large, cv2.COLOR_BGR2GRAY), (256, 256), interpolation=cv2.INTER_AREA)
    os.chdir(Path(batch["work"], FILES))  # so that a bare name finds the bait
    return Mutations(samples, Path(batch["work"]), batch["port"])


def main():
    faulthandler.enable()
    av.logging.set_level(None)
    logging.disable()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.addaudithook(watch)
    mutations = None
    before = set()
    for line in sys.stdin:
        batch = json.loads(line)
        if mutations is None:
            mutations = prepare(batch)
            before = descriptors()
        for sample, seed in batch["items"]:
            path = Path(batch["work"], FILES, name_of(sample, seed))
            path.write_bytes(mutations.content(sample, seed))
            signal.alarm(3 * SECONDS)  # a hang is a death
            outcome = outcome_of(str(path))
            signal.alarm(0)
            if forbidden:
                outcome = f"bug: {', '.join(forbidden)}"
                forbidden.clear()
            if descriptors() != before:
                outcome = f"bug: open descriptors {descriptors() ^ before}"
                before = descriptors()
            if not outcome.startswith("bug"):
                path.unlink()
            sys.stdout.write(json.dumps([sample, seed, outcome]) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
