"""The process beside a program that labels: it reads what may be hostile, and answers by the model."""

import os
import pickle
import sys
import threading
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from emocore.errors import MediaError, UserError
from emocore.features.extract import PLANNED, featurize_batch, reading_of, values_of, windows_of
from emocore.media.video import Picture
from emocore.models.aggregation import tempered
from emocore.models.bundle import Bundle, bundle_folder, load_bundle, readable
from emocore.models.predictions import (
    FRAMES_AT_ONCE,
    answer_clips,
    answer_frames,
    answers_of,
    clips_from_windows,
    label_rows,
    window_rows,
)

Row = dict[str, Any]


def work() -> None:
    """Answer for one path after the other, which come by stdin, until that ends; answers go by stdout."""
    paths: SimpleQueue[str] = SimpleQueue()
    stdin = sys.stdin.buffer
    place, seconds_per_file = pickle.load(stdin)
    threading.Thread(target=_take_in, args=(stdin, paths), daemon=True).start()
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)  # a library that prints does not print into the answers
        label: Callable[[str], Any] | None = None
        while True:
            path = paths.get()
            try:
                label = label or partial(_label, _load(place), seconds_per_file)
            except UserError as error:
                _say("ready", answers)
                _say(error, answers)
                continue
            _say("ready", answers)
            _say(_answer(label, path), answers)


def _take_in(stdin: BinaryIO, paths: "SimpleQueue[str]") -> None:
    try:
        while True:
            paths.put(pickle.load(stdin))
    except EOFError:
        os._exit(0)  # in the middle of a file too: who asked is gone


def _say(what: Any, answers: BinaryIO) -> None:
    pickle.dump(what, answers)
    answers.flush()


def _answer(label: Callable[[str], Any], path: str) -> Any:
    try:
        return label(path)
    except MediaError as fault:
        return ("fault", fault.stage, fault.reason, fault.detail)
    except Exception as error:  # as in a job: ours, and of this file
        return ("fault", "predict", "internal", f"{type(error).__name__}: {error}")


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


def _label(model: tuple[Bundle, Callable[[Any], Any]], seconds_per_file: float, path: str) -> tuple[Row, list[Row]]:
    """Return the clip's Prediction, and those of its windows, as rows. Raises MediaError."""
    bundle, probabilities = model
    pictures: list[Picture] = []
    planned = pa.Table.from_pylist([{"path": path, "clip": path}], PLANNED)
    reading = reading_of(bundle.families, seconds_per_file)
    read = featurize_batch(planned, bundle.families, reading, sink=lambda _, shown: pictures.extend(shown))
    fault = read.slice(0, 1).select(["stage", "reason", "detail"]).to_pylist()[0]
    if fault["reason"]:
        raise MediaError(**fault)
    if bundle.spec.sees:
        windows, state, given, there = _seen(read, pictures, bundle, probabilities)
    else:
        windows, state, given, there = _heard(read, bundle, probabilities)
    clip = label_rows(read, given, there, [state], windows).to_pylist()[0]
    duration = clip["duration_seconds"] or 0.0
    whole = {**clip, "track": 0, "start_seconds": 0.0, "end_seconds": duration}
    return _prediction(whole), [_prediction(row) for row in windows.to_pylist()]


def _heard(read: pa.Table, bundle: Bundle, probabilities: Callable[[Any], Any]) -> tuple[pa.Table, str, Any, Any]:
    windows = windows_of(read, bundle.family)
    heard = pc.equal(windows["state"], "ok").to_numpy(zero_copy_only=False)
    given = np.zeros((windows.num_rows, len(bundle.emotions)))
    if heard.any():
        x = values_of(windows.filter(pa.array(heard)), bundle.family)
        given[heard] = _all(partial(_of_rows, probabilities, x), len(x), bundle)
    answers = window_rows(windows, given, bundle.family.name, bundle.emotions)
    return answers, read["state"][0].as_py(), *clips_from_windows(answers, read["clip"].to_pylist())


def _seen(
    read: pa.Table, pictures: list[Picture], bundle: Bundle, probabilities: Callable[[Any], Any]
) -> tuple[pa.Table, str, Any, Any]:
    used = [picture for picture in pictures if picture.state == "ok"]
    given, clip = np.zeros((1, len(bundle.emotions))), read["clip"].to_pylist()
    if used:
        images = np.stack([picture.image for picture in used])
        parts = [images[i : i + FRAMES_AT_ONCE] for i in range(0, len(images), FRAMES_AT_ONCE)]
        shares = [_all(partial(_of_rows, probabilities, part), len(part), bundle) for part in parts]
        frames = pa.table(
            {
                "clip": clip * len(used),
                "track": np.zeros(len(used), np.int32),
                "frame_index": pa.array([picture.frame_index for picture in used], pa.int32()),
                "time_seconds": [picture.time_seconds for picture in used],
            }
        )
        answered = answer_frames(frames, np.concatenate(shares), bundle.emotions)
        given = tempered(answer_clips(answered, clip, bundle.combine), bundle.temperature)
    state = "ok" if used else "no_face" if pictures else "no_video"
    whole = {"clip": clip[0], "track": 0, "window": 0, "start_seconds": 0.0, "state": state}
    row = {**whole, "end_seconds": read["duration_seconds"][0].as_py() or 0.0}
    windows = window_rows(pa.Table.from_pylist([row]), given, bundle.family.name, bundle.emotions)
    return windows, state, given, np.array([bool(used)])


def _of_rows(probabilities: Callable[[Any], Any], x: Any, rows: Any) -> Any:
    return probabilities(x[rows])


def _all(model: Callable[[Any], Any], n: int, bundle: Bundle) -> Any:
    """Return what the model says of n rows. Raises MediaError where it has no answer for one."""
    given, faults = answers_of(model, n, len(bundle.emotions))
    for fault in faults.values():
        raise fault
    return given


def _prediction(row: Row) -> Row:
    """Return the fields of a Prediction from a row of an answer."""
    names = ("clip", "track", "start_seconds", "end_seconds", "predicted", "confidence", "runner_up", "state")
    shares = {name.removeprefix("p_"): share for name, share in row.items() if name.startswith("p_")}
    told = shares if row["predicted"] is not None else {}
    return {**{name: row[name] for name in names}, "probabilities": told, "answered_by": tuple(row["answered_by"])}
