"""Pictures as they might also have been taken: mirrored, turned, shifted, nearer or farther, brighter or darker."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Augmentation:
    """How far a picture may be changed; each change is drawn evenly from its range, both ways."""

    flip: bool = True  # left to right, half of the pictures
    shift: float = 0.05  # share of the picture's side
    rotation_degrees: float = 5.0
    zoom: float = 0.1  # share of the size
    brightness: float = 0.1  # share of full scale
    contrast: float = 0.1  # share of the contrast
    erase: float = 0.0  # chance that a square of a fifth to two fifths of the side is painted over with noise


NONE = Augmentation(False, 0.0, 0.0, 0.0, 0.0, 0.0)


def augment(images: NDArray[np.uint8], how: Augmentation, random: np.random.Generator) -> NDArray[np.uint8]:
    """Return changed copies of grey pictures uint8[n, h, w]; what comes into view from outside repeats the edge.

    >>> pictures = np.arange(16, dtype="u1").reshape(1, 4, 4)
    >>> (augment(pictures, NONE, np.random.default_rng(0)) == pictures).all()
    np.True_
    """
    return np.stack([_change(image, how, random) for image in images]) if len(images) else images.copy()


def _change(image: NDArray[np.uint8], how: Augmentation, random: np.random.Generator) -> NDArray[np.uint8]:
    height, width = image.shape
    flip, right, down, turn, zoom, light, gain, erase = random.uniform(-1, 1, 8)
    angle, scale = turn * how.rotation_degrees, 1 + zoom * how.zoom
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, scale)
    matrix[:, 2] += right * how.shift * width, down * how.shift * height
    if how.flip and flip < 0:
        matrix = matrix @ np.array([[-1, 0, width - 1], [0, 1, 0], [0, 0, 1]], float)
    moved = cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    factor = 1 + gain * how.contrast
    # One look-up table: around middle grey for the contrast, then a shift for the light.
    table = np.clip((np.arange(256) - 127.5) * factor + 127.5 + 255 * light * how.brightness, 0, 255)
    changed: NDArray[np.uint8] = np.asarray(cv2.LUT(moved, np.rint(table).astype(np.uint8)), np.uint8)
    if (erase + 1) / 2 < how.erase:
        side = int(random.uniform(0.2, 0.4) * min(height, width))
        top, left = int(random.integers(height - side)), int(random.integers(width - side))
        changed[top : top + side, left : left + side] = random.integers(0, 256, (side, side), dtype=np.uint8)
    return changed
