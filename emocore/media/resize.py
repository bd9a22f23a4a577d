"""Pictures of the size that is kept, or that a network takes."""

import cv2
import numpy as np
from numpy.typing import NDArray

DEFAULT_PIXELS = 256  # the side of a picture
MIN_PIXELS, MAX_PIXELS_A_SIDE = 16, 1_024


def fit(grey: NDArray[np.uint8], pixels: int) -> NDArray[np.uint8]:
    """Return uint8[pixels, pixels] of uint8[height, width]: shrunk by area, enlarged between its pixels, or as it is.

    >>> fit(np.array([[10, 30], [50, 70]], np.uint8), 2).tolist(), fit(np.array([[10, 30], [50, 70]], np.uint8), 1)
    ([[10, 30], [50, 70]], array([[40]], dtype=uint8))
    """
    height, width = grey.shape
    shrunk = cv2.resize(grey, (min(width, pixels), min(height, pixels)), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(shrunk, (pixels, pixels), interpolation=cv2.INTER_LINEAR), np.uint8)


def fit_all(images: NDArray[np.uint8], pixels: int) -> NDArray[np.uint8]:
    """Return grey pictures uint8[n, h, w] as uint8[n, pixels, pixels]."""
    if images.shape[1:] == (pixels, pixels):
        return images
    fitted = [fit(image, pixels) for image in images]
    return np.stack(fitted) if fitted else np.zeros((0, pixels, pixels), np.uint8)
