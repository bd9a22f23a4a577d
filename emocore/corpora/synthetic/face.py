"""Faces of the generated corpus: a cartoon head that follows action units (Ekman & Friesen's FACS, 1978).

Lengths are in half widths of the face, y points down, the origin lies between the eyes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from emocore.arrays import Floats
from emocore.corpora.synthetic.acting import FaceStyle, Look

Picture = npt.NDArray[np.uint8]
Colour = Sequence[float]

SUBPIXEL_BITS = 4
FACE_SHARE = 0.29  # half width of the face over the width of the picture
INK = (38, 30, 34)
EYE_WHITE = (232, 238, 240)
TEETH = (226, 236, 240)
THROAT = (34, 20, 56)
MOUTH_Y = 0.66
CIRCLE = np.column_stack([np.cos(np.linspace(0, 2 * np.pi, 40)), np.sin(np.linspace(0, 2 * np.pi, 40))])
LEFT_TO_RIGHT = np.linspace(-1, 1, 15)


@dataclass(frozen=True)
class Pose:
    """One video frame: the style of the moment, the open mouth and eyes (0 to 1), and where the head is."""

    style: FaceStyle
    mouth: float
    lids: float
    x: float
    y: float
    roll_radians: float
    yaw: float


class _Easel:
    """A picture, and the way from face units to its pixels."""

    def __init__(self, wall: Picture, pose: Pose) -> None:
        self.picture = wall.copy()
        size = len(wall)
        self.scale = FACE_SHARE * size
        cos, sin = np.cos(pose.roll_radians) * self.scale, np.sin(pose.roll_radians) * self.scale
        self.turn = np.array([[cos, sin], [-sin, cos]])
        self.origin = np.array([0.5 * size + pose.x * self.scale, 0.44 * size + pose.y * self.scale])

    def fill(self, points: Floats, colour: Colour) -> None:
        cv2.fillPoly(self.picture, [self._pixels(points)], colour, cv2.LINE_AA, SUBPIXEL_BITS)

    def stroke(self, points: Floats, colour: Colour, width: float) -> None:
        thickness = max(1, round(width * self.scale))
        pixels = [self._pixels(points)]
        cv2.polylines(self.picture, pixels, False, colour, thickness, cv2.LINE_AA, SUBPIXEL_BITS)

    def _pixels(self, points: Floats) -> npt.NDArray[np.int32]:
        return np.asarray(np.rint((points @ self.turn + self.origin) * (1 << SUBPIXEL_BITS)), np.int32)


def draw(look: Look, pose: Pose, wall: Picture) -> Picture:
    """Return the wall with the actor's head and the word SYNTHETIC before it, uint8[size, size, 3] BGR."""
    easel = _Easel(wall, pose)
    shift = 0.10 * pose.yaw  # the features travel over the head as it turns
    _draw_head(easel, look, pose)
    for side in (-1, 1):
        _draw_eye(easel, look, pose, side, shift)
        _draw_brow(easel, look, pose.style, side, shift)
    _draw_nose(easel, look, pose.style, shift)
    _draw_mouth(easel, look, pose, shift)
    picture = cv2.GaussianBlur(easel.picture, (3, 3), 0.6)
    size = len(picture)
    at = (round(0.03 * size), round(0.975 * size))
    cv2.putText(picture, "SYNTHETIC", at, cv2.FONT_HERSHEY_SIMPLEX, size / 560, (250, 250, 250), 1, cv2.LINE_AA)
    return np.asarray(picture, np.uint8)


def _opening(pose: Pose) -> float:
    """Return how far the lips part: the jaw follows the voice, more so under AU26."""
    style = pose.style
    return 0.02 + 0.16 * pose.mouth * (1 - 0.35 * style.lip_tighten) + style.jaw_drop * (0.10 + 0.16 * pose.mouth)


def _draw_head(easel: _Easel, look: Look, pose: Pose) -> None:
    x, y = CIRCLE.T
    fall = look.hair_length
    hair = 1.12 * np.column_stack([x * np.where(y > 0, 1 + 0.06 * fall, 1), y * np.where(y < 0, 1.08, fall)])
    easel.fill(hair + np.array([0, -0.12]), look.hair)
    easel.fill(np.array([[-0.34, 0.6], [0.34, 0.6], [0.42, 1.7], [-0.42, 1.7]]), _shade(look.skin, 0.82))
    easel.fill(1.7 * CIRCLE * (1, 0.6) + (0, 2.42), look.shirt)
    for side in (-1, 1):
        easel.fill(CIRCLE * (0.13, 0.2) + (side * 0.98, 0.1), _shade(look.skin, 0.9))
    chin = look.face_height + 0.5 * _opening(pose)
    narrow = np.where(y > 0, 1 - (1 - look.jaw_width) * y**2, 1)
    below = np.sign(y) * np.abs(y) ** 0.85
    face = np.column_stack([x * narrow, np.where(y > 0, below * chin, y * 1.02)])
    easel.fill(face, look.skin)
    if look.bearded:
        beard = face[y > 0.25] * (0.985, 0.985)
        easel.fill(
            np.vstack([beard, [[-0.55, 0.45], [0, 0.40], [0.55, 0.45]]]),
            _mix(look.skin, _shade(look.hair, 0.55), 0.6),
        )
    angle = np.linspace(np.pi, 2 * np.pi, 20)
    fringe = np.column_stack([1.03 * np.cos(angle), 1.08 * np.sin(angle) - 0.05])
    hairline = np.column_stack([LEFT_TO_RIGHT, look.parting * LEFT_TO_RIGHT - 0.66 + 0.5 * LEFT_TO_RIGHT**4])
    easel.fill(np.vstack([fringe, hairline[::-1]]), look.hair)
    flush = 0.12 + 0.25 * pose.style.cheek_raise
    for side in (-1, 1):
        cheek = (side * 0.55 + 0.06 * pose.yaw, 0.42 - 0.08 * pose.style.cheek_raise)
        easel.fill(CIRCLE * (0.2, 0.14) + cheek, _mix(look.skin, [*_shade(look.skin, 0.75)[:2], 235], flush))


def _draw_eye(easel: _Easel, look: Look, pose: Pose, side: int, shift: float) -> None:
    style = pose.style
    middle = np.array([side * look.eye_spacing + shift, 0.0])
    socket = _shade(look.skin, 0.78)
    easel.fill(CIRCLE * (0.27, 0.21) + middle, socket)
    upper = 0.12 + 0.09 * style.upper_lid_raise - 0.035 * style.lid_tighten - 0.055 * style.lid_droop
    upper = max(0.012, max(0.045, upper) * pose.lids)
    lower = max(0.012, (0.09 - 0.05 * style.cheek_raise - 0.045 * style.lid_tighten) * (0.4 + 0.6 * pose.lids))
    bow = 1 - LEFT_TO_RIGHT**2
    x = 0.2 * LEFT_TO_RIGHT
    top = np.column_stack([x, -upper * bow]) + middle
    bottom = np.column_stack([x, lower * bow]) + middle
    easel.fill(np.vstack([top, bottom[::-1]]), _mix(EYE_WHITE, look.skin, 0.45))
    iris = middle + np.array([0.03 * pose.yaw, -0.005])
    easel.fill(CIRCLE * 0.098 + iris, look.iris)
    easel.fill(CIRCLE * 0.045 + iris, INK)
    easel.fill(CIRCLE * 0.018 + iris + (0.03, -0.035), EYE_WHITE)
    # Lids are skin over the iris, up and down to the socket's rim.
    rim = 0.21 * np.sqrt(bow)
    easel.fill(np.vstack([top, np.column_stack([x, -rim])[::-1] + middle]), socket)
    easel.fill(np.vstack([bottom, np.column_stack([x, rim])[::-1] + middle]), socket)
    easel.stroke(top, INK, 0.06 if look.female else 0.045)
    easel.stroke(bottom, _shade(look.skin, 0.55), 0.015)
    if style.cheek_raise > 0.35:
        for slope in (-0.07, 0.03):
            feet = np.array([[0.25 * side, 0.02], [0.35 * side, 0.02 + slope]]) + middle
            easel.stroke(feet, _shade(look.skin, 0.7), 0.02)


def _draw_brow(easel: _Easel, look: Look, style: FaceStyle, side: int, shift: float) -> None:
    inner_x = 0.18 - 0.07 * style.brow_lower
    inner_y = -0.30 - 0.22 * style.inner_brow_raise + 0.17 * style.brow_lower + 0.05 * style.nose_wrinkle
    outer_y = -0.27 - 0.18 * style.outer_brow_raise + 0.05 * style.inner_brow_raise - 0.05 * style.brow_lower
    arch = 0.06 + 0.06 * style.outer_brow_raise - 0.04 * style.brow_lower
    t = np.linspace(0, 1, 8)
    line = np.column_stack(
        [
            side * (inner_x + (look.eye_spacing + 0.26 - inner_x) * t) + shift,
            inner_y + (outer_y - inner_y) * t - arch * 4 * t * (1 - t),
        ]
    )
    width = look.brow_thickness * (1.1 - 0.6 * t)
    brow = np.vstack([line - np.column_stack([0 * t, width]), (line + np.column_stack([0 * t, width]))[::-1]])
    easel.fill(brow, _mix(look.hair, INK, 0.65))
    if style.brow_lower > 0.35:
        furrow = np.array([[side * 0.06 + shift, -0.30], [side * 0.05 + shift, -0.16]])
        easel.stroke(furrow, _shade(look.skin, 0.62), 0.025)


def _draw_nose(easel: _Easel, look: Look, style: FaceStyle, shift: float) -> None:
    tip_y = look.nose_length - 0.06 * style.nose_wrinkle
    dark = _shade(look.skin, 0.68)
    easel.fill(CIRCLE * (0.07, 0.24) + (shift, tip_y - 0.22), _mix(look.skin, (255, 255, 255), 0.16))
    wing = 0.13 + 0.03 * style.nose_wrinkle
    base = np.column_stack([wing * LEFT_TO_RIGHT + 1.3 * shift, tip_y + 0.035 * (1 - 2 * LEFT_TO_RIGHT**2)])
    easel.stroke(base, dark, 0.04)
    for side in (-1, 1):
        if style.nose_wrinkle > 0.3:
            for y in (0.02, 0.10):
                wrinkle = np.array([[side * 0.03 + shift, y], [side * 0.13 + shift, y - 0.06]])
                easel.stroke(wrinkle, dark, 0.025)
        fold = max(style.upper_lip_raise, style.corner_pull, style.nose_wrinkle)
        if fold > 0.3:
            x = side * np.array([0.2, 0.36, 0.42]) + shift
            line = np.column_stack([x, [tip_y - 0.02, tip_y + 0.14, 0.62]])
            easel.stroke(line, _mix(look.skin, dark, min(1.0, fold)), 0.025)


def _draw_mouth(easel: _Easel, look: Look, pose: Pose, shift: float) -> None:
    style = pose.style
    opening = _opening(pose)
    half_width = look.mouth_width * (
        1 + 0.38 * style.corner_pull + 0.38 * style.lip_stretch - 0.22 * style.lip_tighten - 0.28 * style.jaw_drop
    )
    corners = 0.17 * style.corner_depress - 0.16 * style.corner_pull + 0.03 * style.lip_stretch
    bow = 1 - LEFT_TO_RIGHT**2
    # Raising the upper lip (AU10) squares it, stretching (AU20) flattens both.
    raised = opening * 0.35 + 0.13 * style.upper_lip_raise
    x = half_width * LEFT_TO_RIGHT + shift
    top = np.column_stack([x, MOUTH_Y + corners * (1 - bow) - raised * bow**0.7])
    bottom = np.column_stack([x, MOUTH_Y + corners * (1 - bow) + opening * bow ** (0.7 - 0.3 * style.lip_stretch)])
    lip = (0.075 if look.female else 0.055) * (1 - 0.6 * style.lip_tighten)
    over = top - np.column_stack([0 * x, lip * (bow**0.5 - 0.25 * bow**6)])
    under = bottom + np.column_stack([0 * x, 1.35 * lip * bow**0.5])
    lips = _mix(look.skin, (80, 70, 190) if look.female else (96, 100, 180), 0.6)
    easel.fill(np.vstack([over, under[::-1]]), lips)
    easel.fill(np.vstack([top, bottom[::-1]]), THROAT)
    gap = (bottom - top)[:, 1]
    if gap.max() > 0.07:
        teeth = top + np.column_stack([0 * x, np.minimum(0.55 * gap, 0.075)])
        easel.fill(np.vstack([top[1:-1], teeth[1:-1][::-1]]), TEETH)
    else:
        easel.stroke(top, _shade(lips, 0.55), 0.03)


def _shade(colour: Colour, factor: float) -> list[float]:
    return [channel * factor for channel in colour]


def _mix(colour: Colour, other: Colour, share: float) -> list[float]:
    return [(1 - share) * a + share * b for a, b in zip(colour, other, strict=True)]
