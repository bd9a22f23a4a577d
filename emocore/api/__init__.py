"""emocore from Python: `load_model(…).label(…)` gives the numbers of `jobs/label.py`, for one recording at a time.

Media are read in another process, which a hostile file may end, or keep: this one goes on, and says so.
"""

import io
import os
import pickle
import subprocess
import sys
import threading
import wave
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from emocore.errors import MediaError, UserError
from emocore.labels import EMOTIONS
from emocore.storage.files import write_bytes
from emocore.storage.local import scratch

if TYPE_CHECKING:
    from numpy.typing import NDArray

ATTEMPTS = 2
_COMMAND = "import sys, pickle; sys.path[:] = pickle.load(sys.stdin.buffer); from emocore.api import reader; "
_COMMAND += "reader.work()"


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
        """The windows of each track; track 0 is the clip as a whole, no person told apart."""
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
        """Return a matplotlib Figure of the clip's probabilities, the largest first. Raises UserError without any."""
        from emocore.reports.plots import probability_figure  # noqa: PLC0415 - matplotlib takes a second to import

        if not self.clip.probabilities:
            raise UserError(f"{self.clip.clip} has no answer to plot: its state is {self.clip.state}.")
        return probability_figure(self.clip.clip, self.clip.probabilities)


def _flat(prediction: Prediction, emotions: Sequence[str]) -> dict[str, Any]:
    shares = {f"p_{emotion}": prediction.probabilities.get(emotion) for emotion in emotions}
    return {**{name: value for name, value in asdict(prediction).items() if name != "probabilities"}, **shares}


class Model:
    """A trained model. Reading happens in a process that is kept between calls; `close`, or a `with`, ends it."""

    def __init__(self, place: str, seconds_per_file: float = 600.0, emotions: Sequence[str] = EMOTIONS) -> None:
        self.place, self.seconds_per_file, self.emotions = place, seconds_per_file, tuple(emotions)
        self._process: subprocess.Popen[bytes] | None = None

    def label(
        self, source: "str | os.PathLike[str] | bytes | NDArray[Any]", sample_rate_hz: int | None = None
    ) -> Answer:
        """Return what the model says of a file, of a file's bytes, or of samples float[n] from −1 to 1.

        Raises MediaError for what cannot be read, with its reason (`killed` and `too_slow` too), and UserError.
        """
        with _as_file(source, sample_rate_hz) as path:
            for _ in range(ATTEMPTS):
                given = self._ask(path)
                if given is not None:
                    break
            else:
                raise MediaError("decode", "killed", f"ended {ATTEMPTS} processes that read it")
        if isinstance(given, UserError):
            raise given
        if given[0] == "fault":
            raise MediaError(*given[1:])
        clip, windows = given
        return Answer(Prediction(**clip), [Prediction(**window) for window in windows], self.emotions)

    def _ask(self, path: str) -> Any:
        """Return what the process answers; None where it died of the file."""
        process = self._process = self._process or _start(self.place, self.seconds_per_file)
        assert process.stdin is not None
        assert process.stdout is not None
        alarm = _Alarm(process, 2 * self.seconds_per_file)
        is_ready = False
        try:
            pickle.dump(path, process.stdin)
            process.stdin.flush()
            is_ready = pickle.load(process.stdout) == "ready"
            with alarm:  # what it takes to import and to load a model is not the file's
                return pickle.load(process.stdout)
        except (EOFError, BrokenPipeError, pickle.UnpicklingError) as error:
            self.close()
            if not is_ready:
                raise UserError(
                    f"The process that reads ended before it read (exit code {process.returncode}): look for too "
                    "little memory."
                ) from error
            if alarm.rang:
                return "fault", "decode", "too_slow", f"not done after {alarm.seconds:.0f} s"
            return None
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the process that reads."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()

    def __enter__(self) -> "Model":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def load_model(model: str | os.PathLike[str], seconds_per_file: float = 600.0) -> Model:
    """Return a model: of a RUN folder of `train` or `tune`, or one that is shipped, by its name, as "face-cnn".

    One recording at a time is answered for on the CPU, by the numbers of a job. Raises UserError where there is none.
    """
    from emocore.models.bundle import read_card  # noqa: PLC0415 - pyarrow takes a part of a second to import

    place = os.fspath(model)
    return Model(place, seconds_per_file, read_card(place)["emotions"])


class _Alarm:
    """Ends a process after so many seconds."""

    def __init__(self, process: subprocess.Popen[bytes], seconds: float) -> None:
        self.seconds, self.rang, self._process = seconds, False, process
        self._timer = threading.Timer(min(seconds, threading.TIMEOUT_MAX), self._ring)
        self._timer.daemon = True

    def _ring(self) -> None:
        self.rang = True
        self._process.kill()

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()


def _start(place: str, seconds_per_file: float) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", _COMMAND],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        # As the workers of a job have it: the same numbers to the last digit.
        env={"OMP_NUM_THREADS": "1", **os.environ},
        start_new_session=True,  # Ctrl-C is for this process, which ends that one
    )
    assert process.stdin is not None
    pickle.dump(sys.path, process.stdin)
    pickle.dump((place, seconds_per_file), process.stdin)
    return process


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
