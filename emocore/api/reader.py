"""The process beside a program that labels: it reads what may be hostile, and answers by the model."""

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from queue import SimpleQueue
from typing import Any

import pyarrow as pa

from emocore import child
from emocore.errors import MediaError, UserError
from emocore.features.clock import begins_of, on_file_clock
from emocore.features.extract import PLANNED, featurize_batch, reading_of
from emocore.models.bundle import Bundle, bundle_folder, load_bundle, readable
from emocore.models.joining import JoiningSink
from emocore.models.labelling import Write
from emocore.models.labelling_films import SeenSink, seen_grid
from emocore.storage.folder import WINDOWS_FOLDER
from emocore.timeline import HowCut

TOLD_SECONDS = 1.0  # between two words that all is well
Row = dict[str, Any]


def work() -> None:
    """Answer for one path after the other, which it is told, until that ends."""
    paths: SimpleQueue[str] = SimpleQueue()
    place, seconds_per_file, how = child.told()
    threading.Thread(target=_take_in, args=(paths,), daemon=True).start()
    with child.answering() as say:
        label: Callable[[str], list[Row]] | None = None
        while True:
            path = paths.get()
            try:
                label = label or partial(
                    _label, _load(place), seconds_per_file, HowCut(**how), lambda stage: say({"stage": stage})
                )
                say(_answer(label, path))
            except UserError as error:
                say({"refused": str(error)})


def _take_in(paths: "SimpleQueue[str]") -> None:
    try:
        while True:
            paths.put(child.told())
    except EOFError:
        os._exit(0)  # in the middle of a file too: who asked is gone


def _answer(label: Callable[[str], list[Row]], path: str) -> dict[str, Any]:
    try:
        return {"answer": label(path)}
    except MediaError as fault:
        return {"fault": [fault.stage, fault.reason, fault.detail]}
    except UserError:
        raise
    except Exception as error:  # as in a job: ours, and of this file
        return {"fault": ["predict", "internal", f"{type(error).__name__}: {error}"]}


def _load(place: str) -> tuple[Bundle, Callable[[Any], Any]]:
    """Return the bundle, and what gives float64[n, k] for what it reads."""
    bundle = load_bundle(place)
    if not bundle.spec.sees:
        return bundle, bundle.probabilities
    from emocore.models.keras.devices import use_cpu  # noqa: PLC0415 - TensorFlow takes seconds to import
    from emocore.models.keras.frame_network import FrameNetwork  # noqa: PLC0415 - as above

    use_cpu(1)
    folder = bundle_folder(place)
    with readable(folder):
        return bundle, FrameNetwork.load(folder, bundle.model).probabilities


def _label(
    model: tuple[Bundle, Callable[[Any], Any]],
    seconds_per_file: float,
    how: HowCut,
    tell: Callable[[str], None],
    path: str,
) -> list[Row]:
    """Return the Predictions of the clip and of its windows, as rows; tell the stage that begins. Raises MediaError."""
    bundle, _ = model
    tell("decode")
    windows: list[pa.Table] = []

    def write(table: str, rows: pa.Table) -> None:
        if table == WINDOWS_FOLDER:
            windows.append(rows)

    watch = _Watch(tell)
    begins = begins_of({path: path}).get(path, 0.0)
    sink = _sink(model, how, on_file_clock(write, {path: begins}), watch)
    planned = pa.Table.from_pylist([{"path": path, "clip": path}], PLANNED)
    reading = reading_of(bundle.families, seconds_per_file)
    read = featurize_batch(planned, bundle.families, reading, watch.reading, sink, how)
    fault = read.select(["stage", "reason", "detail"]).to_pylist()[0]
    if fault["reason"] and read["broken_after_seconds"][0].as_py() is None:
        raise MediaError(**fault)
    sink.finish()
    for unanswered in sink.faults.values():
        raise unanswered
    (clip,) = sink.rows(read).to_pylist()
    duration = clip["duration_seconds"] or 0.0
    whole = {**clip, "track": 0, "start_seconds": begins, "end_seconds": begins + duration}
    return [_prediction(row) for row in (whole, *(row for rows in windows for row in rows.to_pylist()))]


def _sink(
    model: tuple[Bundle, Callable[[Any], Any]], how: HowCut, write: Write, watch: "_Watch"
) -> SeenSink | JoiningSink:
    """Return what answers for a file's windows, or for its frames."""
    bundle, probabilities = model
    if not bundle.spec.sees:
        return JoiningSink(probabilities, bundle.families, bundle.emotions, write, watch)
    told = (probabilities, bundle.family, bundle.emotions, write, watch)
    return SeenSink(*told, how=bundle.combine, temperature=bundle.temperature, grid=seen_grid(how))


class _Watch:
    """Tells what the process is at."""

    suspects: frozenset[str] = frozenset()

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell, self._told = tell, time.monotonic()

    def tell(self, stage: str) -> None:
        """Say which stage goes on."""
        self._told = time.monotonic()
        self._tell(stage)

    @contextmanager
    def answering(self, clips: Sequence[str]) -> Iterator[None]:  # noqa: ARG002 - there is one
        """Say that the model answers, and then that the file is read again."""
        self.tell("predict")
        yield
        self.tell("decode")

    @contextmanager
    def reading(self, path: str) -> Iterator[Callable[[float], None]]:  # noqa: ARG002 - as above
        """Say now and then that a file is still being read."""
        yield self._alive

    def _alive(self, _: float) -> None:
        if time.monotonic() > self._told + TOLD_SECONDS:
            self.tell("decode")


def _prediction(row: Row) -> Row:
    """Return the fields of a Prediction from a row of an answer."""
    names = ("clip", "track", "start_seconds", "end_seconds", "predicted", "confidence", "runner_up", "state")
    shares = {name.removeprefix("p_"): share for name, share in row.items() if name.startswith("p_")}
    told = shares if row["predicted"] is not None else {}
    return {**{name: row[name] for name in names}, "probabilities": told, "answered_by": row["answered_by"]}
