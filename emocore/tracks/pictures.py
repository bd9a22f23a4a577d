"""What is kept of a frame: the whole of it or its largest face, in grey, as a square."""

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from emocore.media.resize import fit
from emocore.tracks.faces import Box, crop_face, largest_face


@dataclass(frozen=True)
class PictureConfig:
    """Which pictures of a film a model of frames looks at: every n-th, scaled to a square, whole or the face alone."""

    every: int = 20
    pixels: int = 256
    faces: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return dataclasses.asdict(self)


DEFAULT_PIXELS = 256
MIN_PIXELS, MAX_PIXELS_A_SIDE = 16, 1_024


@dataclass(frozen=True)
class Picture:
    """One sampled frame: its index among all frames as shown, when it is shown, and uint8[pixels, pixels] of grey.

    Where faces were looked for, the image is a face with a margin, and `box` the face in pixels of the upright frame;
    without one (state no_face) it is the whole frame.
    """

    frame_index: int
    time_seconds: float
    image: NDArray[np.uint8]
    state: Literal["ok", "no_face"] = "ok"
    box: Box | None = None


def make_picture(
    frame_index: int, time_seconds: float, grey: NDArray[np.uint8], pixels: int, faces: bool = False
) -> Picture:
    """Return what is kept of an upright frame uint8[height, width]."""
    box = largest_face(grey) if faces else None
    shown = grey if box is None else crop_face(grey, box)
    state: Literal["ok", "no_face"] = "no_face" if faces and box is None else "ok"
    return Picture(frame_index, time_seconds, fit(shown, pixels), state, box)
