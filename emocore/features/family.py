"""The contract of a feature family: what it reads, what it gives, and the hash that a table and a model must share."""

import dataclasses
import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from emocore.errors import UserError
from emocore.timeline import WHOLE_CLIP, Window, WindowGrid

Level = Literal["as-is", "peak"]
ABSENT = -9999.0  # in a column that a window has nothing for, such as the pitch of what is unvoiced
JOINED_BY = "+"  # of the names of families whose values stand one behind the other
LONGEST_SECONDS = 10.0  # of a window of a family of whole clips, where a clip is answered for in windows


@dataclass(frozen=True)
class SoundInput:
    """Sound of one channel at this rate; with level "peak" the largest magnitude of each window is 1."""

    sample_rate_hz: int = 22_050
    level: Level = "as-is"

    def __post_init__(self) -> None:
        if not 4_000 <= self.sample_rate_hz <= 192_000:
            raise UserError(
                f"The sample rate must be from 4,000 to 192,000 Hz: got {self.sample_rate_hz}; 22,050 is the article's."
            )


@dataclass(frozen=True)
class FrameInput:
    """Every n-th frame of a film, or so many a second of its time; in grey, scaled to a square: all of it, or a face.

    The k-th second's share [k / f, (k + 1) / f) since the first frame gives the first one that is shown in it.
    """

    every: int | None = 20
    frames_per_second: float | None = field(default=None, kw_only=True)  # f, where `every` is None
    pixels: int = 256
    faces: bool = False  # the largest one alone

    def __post_init__(self) -> None:
        if (self.every is None) == (self.frames_per_second is None):
            raise UserError(
                f"Frames are taken by their number or by their time: got every = {self.every} and "
                f"frames_per_second = {self.frames_per_second}, of which one must be None."
            )


@dataclass(frozen=True)
class SoundWindow:
    """A window of sound: float32[samples] within ±1 at the family's rate, shorter than the window where it ends.

    Where `stretch` is there the samples stand in it from `first` on, and so do those of the other windows of a call:
    what does not depend on a window may be computed of it once.
    """

    window: Window
    samples: NDArray[np.float32]
    sample_rate_hz: int
    stretch: NDArray[np.float32] | None = None
    first: int = 0


class Extractor(Protocol):
    """Computes a family's values for many windows at once."""

    def __call__(self, windows: Sequence[Any]) -> NDArray[np.float32]:
        """Return float32[n, *shape] for n windows."""


@dataclass(frozen=True)
class FeatureFamily:
    """Features of one kind: a file of their own, and one line in the catalogue.

    Importing the file imports nothing heavy; `load`, called once a process, does. The values of vectors stand in named
    columns where they have names. Two tables with equal hashes may be joined; a model asks for its own.
    """

    name: str  # the folder's name, and what --features takes
    version: int  # rises when the numbers change
    reads: SoundInput | FrameInput
    shape: tuple[int, ...]  # of a window's values, float32
    load: Callable[["FeatureFamily"], Extractor]
    columns: tuple[str, ...] = ()  # as many as shape[0], or none
    names: tuple[str, ...] = ()  # of the values, where they are too many for columns: they stand in one, as a tensor
    is_fixed: bool = False  # its recipe is for its input: another rate or level is refused
    hop_seconds: float | None = None  # between steps of a sequence
    grid: WindowGrid = WHOLE_CLIP
    window_samples: int | None = None  # of the only window, where the recipe counts it so: the grid follows the rate
    hop_samples: int | None = None  # between its steps, where the recipe counts it so
    module: str | None = None  # of a family outside of the package: what `load_family` was given
    source_hash: str | None = None  # of that module's file

    def __post_init__(self) -> None:
        if self.columns and (len(self.shape) != 1 or len(self.columns) != self.shape[0]):
            raise UserError(f"The family {self.name!r} names {len(self.columns)} columns for values of {self.shape}.")
        if self.names and (len(self.shape) != 1 or len(self.names) != self.shape[0]):
            raise UserError(f"The family {self.name!r} has {len(self.names)} names for values of {self.shape}.")
        plain = self.name.translate(dict.fromkeys(map(ord, f"-_.{JOINED_BY}")))
        if not plain.isalnum() or self.name.startswith("."):
            raise UserError(f"A family's name is a folder's: letters, digits, - _ and . only, got {self.name!r}.")

    @property
    def modality(self) -> Literal["audio", "video"]:
        """Which track of a file is read."""
        return "audio" if isinstance(self.reads, SoundInput) else "video"

    @property
    def step_samples(self) -> int:
        """How many samples of its input lie between two of its steps: windows begin at multiples of it."""
        rate = self.reads.sample_rate_hz if isinstance(self.reads, SoundInput) else 1
        return self.hop_samples or max(1, round((self.hop_seconds or 0.0) * rate))

    @property
    def longest_seconds(self) -> float:
        """How long a window of it may be."""
        return self.grid.length_seconds or LONGEST_SECONDS

    @property
    def size(self) -> int:
        """How many values a window has."""
        return math.prod(self.shape)

    def with_input(self, **values: Any) -> Self:
        """Return the family of another input: of another rate or level, or other frames.

        Raises UserError where its recipe is for the input that it has.
        """
        reads = replace(self.reads, **values)
        if self.is_fixed and reads != self.reads:
            raise UserError(
                f"The family {self.name!r} is made for {self.reads}, {reads} is asked for: leave out --sample-rate-hz "
                "and --level."
            )
        if self.window_samples is None or not isinstance(reads, SoundInput):
            return replace(self, reads=reads)
        return replace(self, reads=reads, grid=first_window(self.window_samples, reads.sample_rate_hz))

    def to_json(self) -> dict[str, Any]:
        """Return what decides the values, as JSON values; manifests and bundles hold it."""
        return {
            "version": self.version,
            "reads": self._input(),
            "shape": list(self.shape),
            "hop_seconds": self.hop_seconds,
            "grid": self.grid.to_json(),
            **({"module": self.module, "source_hash": self.source_hash} if self.module else {}),
            "hash": self.hash(),
        }

    def _input(self) -> dict[str, Any]:
        """Return what it reads, as JSON values, without what did not exist before and is not asked for."""
        told = dataclasses.asdict(self.reads)
        return {name: value for name, value in told.items() if name != "frames_per_second" or value is not None}

    def hash(self) -> str:
        """Return 16 hexadecimal digits over all that decides the values."""
        facts = [self.name, self.version, self.modality, self._input(), self.shape, self.columns]
        facts += [self.hop_seconds, self.grid.to_json(), self.source_hash, *([self.names] if self.names else [])]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def joined(families: Sequence[FeatureFamily]) -> FeatureFamily:
    """Return the family of the values of several, one behind the other; of one it is that.

    Raises UserError where one of several is no vector of sound.
    """
    first, *others = families
    if not others:
        return first
    for family in families:
        if len(family.shape) != 1 or family.modality != "audio":
            raise UserError(f"The family {family.name!r} is no vector of sound: a model reads it alone.")
    name = JOINED_BY.join(family.name for family in families)
    return replace(first, name=name, shape=(sum(family.size for family in families),), columns=(), names=())


def other_input(there: FeatureFamily, asked: FeatureFamily) -> tuple[str, Any, str] | None:
    """Return the setting of a table's input that is not what is asked for, its value, and in words what is.

    None: there is no such setting.
    """
    theirs, ours = ([s for s in dataclasses.asdict(one.reads).items() if s[1] is not None] for one in (there, asked))
    for (name, value), (wanted, wanted_value) in zip(theirs, ours, strict=True):
        if (name, value) != (wanted, wanted_value):
            return name, value, f"{wanted_value}" if name == wanted else f"{wanted} = {wanted_value}"
    return None


def each_alone(compute: Callable[[NDArray[np.float32]], NDArray[Any]], family: FeatureFamily) -> Extractor:
    """Return what computes a family's values of each window by itself, from its samples float32[n]."""

    def extract(windows: Sequence[SoundWindow]) -> NDArray[np.float32]:
        return np.stack([compute(window.samples) for window in windows]).reshape(-1, *family.shape)

    return extract


def check_window(families: Sequence[FeatureFamily], window_seconds: float | None) -> None:
    """Raise UserError for windows that are longer than what a family is made for: it would hear their begin alone."""
    for family in families:
        longest = family.grid.length_seconds
        if window_seconds is not None and longest is not None and window_seconds > longest + 1e-6:
            raise UserError(
                f"--window-seconds {window_seconds:g} is longer than what {family.name} is made for: give "
                f"{longest:.2f} at most."
            )


def first_window(samples: int, sample_rate_hz: int) -> WindowGrid:
    """Return the grid of one window, the first so many samples of a clip, filled up with silence."""
    return WindowGrid(samples / sample_rate_hz, tail="pad")
