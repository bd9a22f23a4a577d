"""Pictures of the size that a network takes."""

import cv2
import numpy as np
from numpy.typing import NDArray


def resize(images: NDArray[np.uint8], pixels: int) -> NDArray[np.uint8]:
    """Return grey pictures uint8[n, h, w] as uint8[n, pixels, pixels]: areas are averaged, gaps interpolated.

    >>> resize(np.full((2, 8, 6), 7, "u1"), 4).shape
    (2, 4, 4)
    """
    if images.shape[1:] == (pixels, pixels):
        return images
    shrinks = min(images.shape[1:]) >= pixels
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    resized = [cv2.resize(image, (pixels, pixels), interpolation=how) for image in images]
    return np.stack(resized) if resized else np.zeros((0, pixels, pixels), np.uint8)
