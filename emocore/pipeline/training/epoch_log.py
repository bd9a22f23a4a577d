"""A line for every epoch of a training, carried from Ray Train's controller to the driver by a file."""

import json
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from ray.train import UserCallback

from emocore.errors import OutputError
from emocore.progress import duration, say
from emocore.storage.local import append_line

_POLL_SECONDS = 0.3


class Reporter(UserCallback):
    """Writes what the workers report, in the controller's process, which runs on the driver's machine."""

    def __init__(self, path: Path) -> None:
        self.path = str(path.absolute())

    def after_report(self, run_context: Any, metrics: list[dict[str, Any]], checkpoint: Any) -> None:  # noqa: ARG002 - Ray's
        """Write the figures of an epoch, which are those of all workers."""
        self._write(metrics[0])

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:  # noqa: ARG002 - Ray's
        """Write which workers were lost, and what the first of them says."""
        said = str(next(iter(worker_exceptions.values()), "")).strip().splitlines()
        self._write({"lost": sorted(worker_exceptions), "cause": said[-1] if said else ""})

    def _write(self, entry: dict[str, Any]) -> None:
        # Raised in the controller, it would be tried again for minutes; the checkpoint beside it says it at once.
        with suppress(OutputError):
            append_line(Path(self.path), json.dumps(entry))


def follow(what: str, path: Path, thread: threading.Thread) -> None:
    """Say what `Reporter` writes until the thread has ended."""
    shown, seconds = 0, 0.0
    while True:
        over = not thread.is_alive()
        entries = read_progress(path)
        for entry in entries[shown:]:
            latest = entry.get("seconds", seconds)
            seconds = 0.7 * (seconds or latest) + 0.3 * latest
            say(f"{what}: {describe(entry, seconds)}")
        shown = len(entries)
        if over:
            return
        thread.join(_POLL_SECONDS)


def read_progress(path: Path) -> list[dict[str, Any]]:
    """Return the whole lines that `Reporter` has written so far."""
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    return [json.loads(line) for line in lines]


def describe(entry: dict[str, Any], seconds: float) -> str:
    """Return a line about an epoch that took so many seconds, or about lost workers.

    >>> describe({"epoch": 2, "epochs": 4, "loss": 1.5, "accuracy": 0.25, "images_a_second": 90.0}, 30)
    'epoch 2 of 4, loss 1.500, accuracy 0.250, 90 images/s, at most 1 min 00 s left'
    >>> describe({"lost": [1], "cause": "Out of memory"}, 30)
    'worker 1 was lost (Out of memory); the training goes on from its last checkpoint'
    """
    if "lost" in entry:
        cause = f" ({entry['cause']})" if entry["cause"] else ""
        who = ", ".join(map(str, entry["lost"]))
        return f"worker {who} was lost{cause}; the training goes on from its last checkpoint"
    parts = [f"epoch {entry['epoch']} of {entry['epochs']}"]
    parts += [f"loss {entry['loss']:.3f}, accuracy {entry['accuracy']:.3f}"]
    if "val_loss" in entry:
        parts += [f"validation {entry['val_loss']:.3f}, {entry['val_accuracy']:.3f}"]
    parts += [f"{entry['images_a_second']:,.0f} images/s"]
    parts += [f"at most {duration((entry['epochs'] - entry['epoch']) * seconds)} left"]
    return ", ".join(parts)
