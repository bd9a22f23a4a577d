"""A frame as players show it: of square pixels, turned and mirrored as its film says."""

from fractions import Fraction

import cv2
import numpy as np
from numpy.typing import NDArray

from emocore.media.container import MAX_PIXELS

LEAST_ASPECT = Fraction(1, 4)


def as_wide_as_shown(grey: NDArray[np.uint8], aspect: Fraction | None) -> NDArray[np.uint8]:
    """Return uint8[height, width] with square pixels, where they are `aspect` times as wide as high.

    Films from tape and disc have others (DV, DVD, HDV); what is beyond a quarter or four is no film's, and left.

    >>> as_wide_as_shown(np.zeros((576, 720), np.uint8), Fraction(64, 45)).shape
    (576, 1024)
    """
    height, width = grey.shape
    if not aspect or aspect == 1 or not LEAST_ASPECT <= aspect <= 1 / LEAST_ASPECT:
        return grey
    shown = max(1, round(width * aspect))
    if shown * height > MAX_PIXELS:
        return grey
    interpolation = cv2.INTER_LINEAR if shown > width else cv2.INTER_AREA
    return np.asarray(cv2.resize(grey, (shown, height), interpolation=interpolation), np.uint8)


def upright(grey: NDArray[np.uint8], matrix: NDArray[np.int32] | None) -> NDArray[np.uint8]:
    """Return uint8[height, width] turned and mirrored as a display matrix int32[9] says (ISO/IEC 14496-12, 6.2.2).

    A point (x, y) is shown at (a·x + c·y, b·x + d·y); of other angles the nearest quarter turn is taken.

    >>> upright(np.array([[1, 2]], np.uint8), np.array([-65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30], np.int32)).tolist()
    [[2, 1]]
    """
    if matrix is None or len(matrix) != 9:
        return np.ascontiguousarray(grey)
    a, b, c, d = (int(matrix[place]) for place in (0, 1, 3, 4))
    if abs(a) + abs(d) < abs(b) + abs(c):
        grey, a, d = grey.T, c, b
    across, down = (-1 if a < 0 else 1), (-1 if d < 0 else 1)
    return np.ascontiguousarray(grey[::down, ::across])
