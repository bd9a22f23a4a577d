"""The process beside a program that labels: it reads what may be hostile, and answers by the model."""

import os
import threading
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from typing import Any

import numpy as np
import pyarrow as pa

from emocore import child
from emocore.errors import MediaError, UnansweredClips, UserError
from emocore.features.extract import PLANNED, featurize_batch, reading_of
from emocore.media.video import Picture
from emocore.models.bundle import Bundle, bundle_folder, load_bundle, readable
from emocore.models.labelling import label_heard, label_seen
from emocore.models.predictions import FRAMES_AT_ONCE, answer_frames, answers_of
from emocore.schema import FRAME_LABELS, of_emotions

Row = dict[str, Any]


def work() -> None:
    """Answer for one path after the other, which it is told, until that ends."""
    paths: SimpleQueue[str] = SimpleQueue()
    place, seconds_per_file = child.told()
    threading.Thread(target=_take_in, args=(paths,), daemon=True).start()
    with child.answering() as say:
        label: Callable[[str], list[Row]] | None = None
        while True:
            path = paths.get()
            try:
                label = label or partial(_label, _load(place), seconds_per_file, lambda stage: say({"stage": stage}))
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
    model: tuple[Bundle, Callable[[Any], Any]], seconds_per_file: float, tell: Callable[[str], None], path: str
) -> list[Row]:
    """Return the Predictions of the clip and of its windows, as rows; tell the stage that begins. Raises MediaError."""
    bundle, probabilities = model
    tell("decode")
    pictures: list[Picture] = []
    planned = pa.Table.from_pylist([{"path": path, "clip": path}], PLANNED)
    reading = reading_of(bundle.families, seconds_per_file)
    read = featurize_batch(planned, bundle.families, reading, sink=lambda _, shown: pictures.extend(shown))
    fault = read.slice(0, 1).select(["stage", "reason", "detail"]).to_pylist()[0]
    if fault["reason"]:
        raise MediaError(**fault)
    tell("predict")
    windows, labels = _seen(read, pictures, bundle, probabilities) if bundle.spec.sees else _heard(read, bundle)
    (clip,) = labels.to_pylist()
    duration = clip["duration_seconds"] or 0.0
    whole = {**clip, "track": 0, "start_seconds": 0.0, "end_seconds": duration}
    return [_prediction(row) for row in (whole, *windows.to_pylist())]


def _heard(read: pa.Table, bundle: Bundle) -> tuple[pa.Table, pa.Table]:
    try:
        return label_heard(read, bundle)
    except UnansweredClips as unanswered:
        raise next(iter(unanswered.faults.values())) from None


def _seen(
    read: pa.Table, pictures: list[Picture], bundle: Bundle, probabilities: Callable[[Any], Any]
) -> tuple[pa.Table, pa.Table]:
    (clip,) = read["clip"].to_pylist()
    used = [picture for picture in pictures if picture.state == "ok"]
    parts = [used[i : i + FRAMES_AT_ONCE] for i in range(0, len(used), FRAMES_AT_ONCE)]
    nothing = of_emotions(FRAME_LABELS, bundle.emotions).empty_table()
    frames = pa.concat_tables([nothing, *(_answer_part(clip, part, bundle, probabilities) for part in parts)])
    shown = [clip] if pictures else []
    return label_seen(read, frames, shown, bundle.combine, bundle.temperature, bundle.family.name)


def _answer_part(clip: str, pictures: list[Picture], bundle: Bundle, probabilities: Callable[[Any], Any]) -> pa.Table:
    """Return FRAME_LABELS rows. Raises MediaError where the model has no answer for one."""
    images = np.stack([picture.image for picture in pictures])
    given, faults = answers_of(lambda rows: probabilities(images[rows]), len(images), len(bundle.emotions))
    for fault in faults.values():
        raise fault
    frames = {
        "clip": [clip] * len(pictures),
        "track": [0] * len(pictures),
        "frame_index": [picture.frame_index for picture in pictures],
        "time_seconds": [picture.time_seconds for picture in pictures],
    }
    return answer_frames(frames, given, bundle.emotions)


def _prediction(row: Row) -> Row:
    """Return the fields of a Prediction from a row of an answer."""
    names = ("clip", "track", "start_seconds", "end_seconds", "predicted", "confidence", "runner_up", "state")
    shares = {name.removeprefix("p_"): share for name, share in row.items() if name.startswith("p_")}
    told = shares if row["predicted"] is not None else {}
    return {**{name: row[name] for name in names}, "probabilities": told, "answered_by": row["answered_by"]}
