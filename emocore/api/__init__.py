"""emocore from Python: `load_model(…).label(…)` gives the numbers of `jobs/label.py`, for one recording at a time.

Media are read in another process, which a hostile file may end, or keep: this one goes on, and says so.
"""

import io
import os
import threading
import time
import wave
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from emocore.child import Child
from emocore.errors import MediaError, UserError
from emocore.labels import EMOTIONS
from emocore.storage.files import write_bytes
from emocore.storage.local import scratch

if TYPE_CHECKING:
    from numpy.typing import NDArray

ATTEMPTS = 2
_BYTES_A_TIME = 2**20  # of a file, for which a process has as long again
READER = "emocore.api.reader:work"


@dataclass(frozen=True)
class Prediction:
    """What a model says of a stretch of a clip; without an answer `probabilities` is empty, and `state` says why."""

    clip: str
    track: int
    start_seconds: float
    end_seconds: float
    probabilities: Mapping[str, float]
    predicted: str | None
    confidence: float | None
    runner_up: str | None
    state: str
    answered_by: tuple[str, ...]


@dataclass(frozen=True)
class Answer:
    """What a model says of a clip: as a whole, and of each of its windows."""

    clip: Prediction
    windows: Sequence[Prediction]
    emotions: Sequence[str] = EMOTIONS  # that the model tells apart

    @property
    def tracks(self) -> Mapping[int, Sequence[Prediction]]:
        """The windows of each track; track 0 is the clip as a whole, and voices told apart are tracks from 1 on."""
        tracks: dict[int, list[Prediction]] = {}
        for window in self.windows:
            tracks.setdefault(window.track, []).append(window)
        return tracks

    def to_pandas(self) -> Any:
        """Return a pandas.DataFrame with a row a window. Raises UserError where pandas is not installed."""
        try:
            import pandas as pd  # type: ignore[import-untyped]  # noqa: PLC0415 - no dependency: whoever wants a frame has it
        except ImportError as error:
            raise UserError("to_pandas() needs pandas, which is not installed: pip install pandas.") from error
        return pd.DataFrame([_flat(window, self.emotions) for window in self.windows])

    def plot(self) -> Any:
        """Return a matplotlib Figure: the probabilities over time, and of one window its bars, the largest first.

        Raises UserError where there is no answer.
        """
        from emocore.reports.curves import curve_of  # noqa: PLC0415 - matplotlib takes a second to import
        from emocore.reports.plots import curve_figure, probability_figure  # noqa: PLC0415 - as above

        if not self.clip.probabilities:
            raise UserError(f"{self.clip.clip} has no answer to plot: its state is {self.clip.state}.")
        answered = [window for window in self.windows if window.probabilities]
        if len(answered) < 2:
            return probability_figure(self.clip.clip, self.clip.probabilities)
        said = [
            (window.start_seconds, window.end_seconds, [window.probabilities[name] for name in self.emotions])
            for window in answered
        ]
        end = max(self.clip.end_seconds, *(window.end_seconds for window in answered))
        return curve_figure(curve_of(self.clip.clip, self.clip.start_seconds, end, said, self.emotions))


def _flat(prediction: Prediction, emotions: Sequence[str]) -> dict[str, Any]:
    shares = {f"p_{emotion}": prediction.probabilities.get(emotion) for emotion in emotions}
    return {**{name: value for name, value in asdict(prediction).items() if name != "probabilities"}, **shares}


class Model:
    """A trained model. Reading happens in a process that is kept between calls; `close`, or a `with`, ends it."""

    def __init__(
        self,
        place: str,
        seconds_per_file: float = 600.0,
        emotions: Sequence[str] = EMOTIONS,
        how: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        self.place, self.seconds_per_file, self.emotions, self.how = place, seconds_per_file, tuple(emotions), how
        self._child: Child | None = None

    def label(
        self, source: "str | os.PathLike[str] | bytes | NDArray[Any]", sample_rate_hz: int | None = None
    ) -> Answer:
        """Return what the model says of a file, of a file's bytes, or of samples float[n] from −1 to 1.

        Raises MediaError for what cannot be read, with its reason (`killed` and `too_slow` too), and UserError.
        """
        with _as_file(source, sample_rate_hz) as path:
            for _ in range(ATTEMPTS):
                said = self._ask(path)
                if "died" not in said:
                    break
            else:
                does = "read it" if said["died"] == "decode" else "answered for it"
                raise MediaError(said["died"], "killed", f"ended {ATTEMPTS} processes that {does}")
        if "refused" in said:
            raise UserError(str(said["refused"]))
        answer = _answer_of(said, self.emotions)
        if isinstance(answer, MediaError):
            if answer.reason == "internal":  # perhaps a process that a file has taken over: the next has another
                self.close()
            raise answer
        return answer

    def _ask(self, path: str) -> dict[str, Any]:
        """Return what the process says in the end: answer, fault or refused; died: the stage in which it did."""
        is_new = self._child is None
        child = self._child = self._child or _start(self.place, self.seconds_per_file, self.how)
        alarm = _Alarm(child, 2 * self.seconds_per_file, _size(path))
        stage = ""
        try:
            child.tell(path)
            # What it takes to import and to load a model is not the file's.
            said = child.answer() if is_new else {"stage": ""}
            with alarm:
                while "stage" in said:
                    alarm.set_anew()
                    stage, said = str(said["stage"]), child.answer()
        except BaseException:
            self.close()
            raise
        if said:
            return said
        if not stage and not is_new:  # it ended after the file before
            self.close()
            return self._ask(path)
        if not stage:
            error = child.ended_as_it_began()
            self.close()
            raise error
        self.close()
        if alarm.rang:
            return {"fault": [stage, "too_slow", f"not done after {alarm.seconds:.0f} s"]}
        return {"died": stage}

    def close(self) -> None:
        """End the process that reads."""
        child, self._child = self._child, None
        if child is not None:
            child.end()

    def __enter__(self) -> "Model":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def load_model(
    model: str | os.PathLike[str],
    seconds_per_file: float = 600.0,
    *,
    grid: Literal["tiled", "speech"] | None = None,
    window_seconds: float | None = None,
    hop_seconds: float | None = None,
    vad: bool = True,
    channels: Literal["mix", "separate"] = "mix",
) -> Model:
    """Return a model: of a RUN folder of `train` or `tune`, or one that is shipped, by its name, as "face-cnn".

    One recording at a time is answered for on the CPU, by the numbers of a job with the same options (`--grid`,
    `--window-seconds`, `--hop-seconds`, `--no-vad`, `--channels`). Raises UserError where there is none, and as the
    job does.
    """
    from emocore.features.catalogue import families_of  # noqa: PLC0415 - as above
    from emocore.features.family import check_window  # noqa: PLC0415 - as above
    from emocore.models.bundle import read_card  # noqa: PLC0415 - as above
    from emocore.models.catalogue import find_model  # noqa: PLC0415 - as above
    from emocore.timeline import how_cut  # noqa: PLC0415 - pyarrow takes a part of a second to import

    place = os.fspath(model)
    card = read_card(place)
    sees = find_model(card["model"]).sees
    how = how_cut(grid, window_seconds, hop_seconds, vad=vad, channels=channels, sees=sees)
    check_window([] if sees else list(families_of(card["families"]).values()), window_seconds)
    return Model(place, seconds_per_file, card["emotions"], asdict(how))


def _size(path: str) -> int:
    from emocore.media.source import split_segment  # noqa: PLC0415 - `import emocore` is to take no time

    try:
        return os.path.getsize(split_segment(path)[0])  # noqa: PTH202 - of a link what it leads to, of a member none
    except OSError:
        return 0


class _Alarm:
    """Ends a process that was silent for so many seconds, or that goes on for longer than its file's bytes are for."""

    def __init__(self, child: Child, seconds: float, n_bytes: int = 0) -> None:
        self.seconds, self.rang, self._child = seconds, False, child
        # What the process says may be what a file makes it say.
        self._last = time.monotonic() + seconds * (1 + n_bytes / _BYTES_A_TIME)
        self._timer = self._new()

    def _new(self) -> threading.Timer:
        left = max(0.0, min(self.seconds, self._last - time.monotonic()))
        timer = threading.Timer(min(left, threading.TIMEOUT_MAX), self._ring)
        timer.daemon = True
        return timer

    def set_anew(self) -> None:
        """Begin again: what was waited for goes on."""
        self._timer.cancel()
        self._timer = self._new()
        self._timer.start()

    def _ring(self) -> None:
        self.rang = True
        self._child.kill()

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()


def _start(place: str, seconds_per_file: float, how: Mapping[str, Any]) -> Child:
    child = Child(READER)
    child.tell((place, seconds_per_file, dict(how)))
    return child


def _answer_of(said: dict[str, Any], emotions: Sequence[str]) -> Answer | MediaError:
    """Return what a process said as what it is; one that a file has taken over may say anything."""
    try:
        if "fault" in said:
            return MediaError(*said["fault"])
        clip, *windows = map(_prediction, said["answer"])
    except (KeyError, TypeError, ValueError, AttributeError):
        return MediaError("decode", "internal", "the process that read it answered something else")
    return Answer(clip, windows, emotions)


def _prediction(row: dict[str, Any]) -> Prediction:
    return Prediction(**{**row, "answered_by": tuple(row["answered_by"])})


@contextmanager
def _as_file(source: Any, sample_rate_hz: int | None) -> Iterator[str]:
    if isinstance(source, str | os.PathLike):
        yield os.path.abspath(os.fspath(source))  # noqa: PTH100 - resolve() would follow links
        return
    content = source if isinstance(source, bytes) else _wav(source, sample_rate_hz)
    with scratch() as folder:
        write_bytes(folder / "recording.wav", content)
        yield str(folder / "recording.wav")


def _wav(samples: Any, sample_rate_hz: int | None) -> bytes:
    """Return samples as the bytes of a WAV file of 32-bit integers, of which float32's 24 bits lose nothing."""
    import numpy as np  # noqa: PLC0415 - `import emocore` is to take no time

    values = np.asarray(samples, np.float64)
    if sample_rate_hz is None or sample_rate_hz <= 0:
        raise UserError("Samples need their rate: label(samples, sample_rate_hz=48000).")
    if values.ndim != 1 or not np.isfinite(values).all() or (len(values) and np.abs(values).max() > 1):
        raise UserError(f"Samples must be finite, from -1 to 1, in one dimension: got {values.ndim} dimensions.")
    file = io.BytesIO()
    with wave.open(file, "wb") as written:
        written.setnchannels(1)
        written.setsampwidth(4)
        written.setframerate(int(sample_rate_hz))
        written.writeframes(np.clip(np.rint(values * 2**31), -(2**31), 2**31 - 1).astype("<i4").tobytes())
    return file.getvalue()
