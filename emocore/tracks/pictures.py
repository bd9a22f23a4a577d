"""What is kept of a frame: the whole of it or its largest face, in grey, as a square."""

from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from emocore.media.reading import Reading
from emocore.media.resize import fit
from emocore.media.video import Keep, Picture
from emocore.tracks.faces import crop_face, largest_face


def make_picture(
    frame_index: int, time_seconds: float, grey: NDArray[np.uint8], pixels: int, faces: bool = False
) -> Picture:
    """Return what is kept of an upright frame uint8[height, width]."""
    box = largest_face(grey) if faces else None
    shown = grey if box is None else crop_face(grey, box)
    state: Literal["ok", "no_face"] = "no_face" if faces and box is None else "ok"
    return Picture(frame_index, time_seconds, fit(shown, pixels), state, box)


def keeper(reading: Reading) -> Keep:
    """Return what `read_media` is to keep of each picture: the whole of it, or its largest face."""
    return partial(make_picture, pixels=reading.pixels, faces=reading.faces)
