"""Faces of the generated corpus: a cartoon head whose features follow the action units of a FaceStyle."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d

from emocore.corpus.demo_acting import Actor, FaceStyle, Floats, Look

Picture = npt.NDArray[np.uint8]
Colour = Sequence[float]

SUBPIXEL_BITS = 4
FACE_SHARE = 0.27  # half width of the face over the width of the picture
SENSOR_NOISE = 3.0  # grey levels
NOISE_MARGIN_PIXELS = 32
INK = (36, 30, 34)
EYE_WHITE = (236, 238, 240)
TEETH = (228, 236, 238)
THROAT = (34, 20, 60)


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


def mouth_opening(speech: Floats, frames: int) -> Floats:
    """Return how far the mouth opens in each video frame, float[frames] from 0 to 1, from the speech's level.

    >>> mouth_opening(np.concatenate([np.zeros(9600), np.ones(9600)]), 2).round(1).tolist()
    [0.0, 1.0]
    """
    rms = np.sqrt(np.mean(speech[: len(speech) // frames * frames].reshape(frames, -1) ** 2, axis=1))
    return np.asarray(np.clip(rms / max(np.quantile(rms, 0.95), 1e-9), 0, 1) ** 0.7)


def film(
    actor: Actor, style: FaceStyle, mouth: Floats, size_pixels: int, rng: np.random.Generator
) -> Iterator[Picture]:
    """Yield one BGR picture, uint8[size, size, 3], for each entry of `mouth`."""
    wall = _wall(actor.look, size_pixels, rng)
    grain_size = size_pixels + NOISE_MARGIN_PIXELS
    grain = np.zeros((grain_size, grain_size, 1), np.float32)
    grain[..., 0] = SENSOR_NOISE * rng.standard_normal((grain_size, grain_size), np.float32)
    grain = np.repeat(grain, 3, axis=2)
    light = 1 + rng.normal(0, 0.06) + 0.012 * np.sin(np.arange(len(mouth)) / 9 + rng.uniform(0, 6))
    for gain, pose in zip(light, _poses(style, mouth, rng), strict=True):
        picture = draw(actor.look, pose, wall)
        top, left = rng.integers(0, NOISE_MARGIN_PIXELS, 2)
        noise = grain[top : top + size_pixels, left : left + size_pixels]
        yield cv2.addWeighted(picture, gain, noise, 1, 0, dtype=cv2.CV_8U)


def _poses(style: FaceStyle, mouth: Floats, rng: np.random.Generator) -> Iterator[Pose]:
    """Let the expression rise from a third, the eyes blink and the head drift."""
    frames = len(mouth)
    time = np.arange(frames)
    onset = 1 / (1 + np.exp(-(time - rng.uniform(4, 11)) / rng.uniform(1.5, 3.5)))
    strength = 0.35 + 0.65 * onset + 0.05 * gaussian_filter1d(rng.standard_normal(frames), 4)
    lids = np.ones(frames)
    for blink in rng.choice(frames, size=int(rng.integers(1, 3)), replace=False):
        lids *= 1 - np.exp(-(((time - blink) / 1.5) ** 2))
    drift = gaussian_filter1d(rng.standard_normal((4, frames)), 8, axis=1, mode="wrap")
    drift = drift * np.array([[0.12], [0.10], [0.12], [0.5]]) + rng.normal(0, 1, (4, 1)) * [
        [0.06], [0.05], [0.04], [0.25]
    ]
    drift[1] += 0.03 * gaussian_filter1d(mouth, 2)
    for frame in range(frames):
        now = FaceStyle(*(np.array(style) * strength[frame]))
        x, y, roll, yaw = drift[:, frame].tolist()
        yield Pose(now, float(mouth[frame]), float(lids[frame]), x, y, roll, yaw)


def _wall(look: Look, size_pixels: int, rng: np.random.Generator) -> Picture:
    """Return the background: the actor's wall, a little different from clip to clip, and the word SYNTHETIC."""
    shade = np.linspace(1.06, 0.9, size_pixels)[:, None, None] + np.linspace(-0.04, 0.04, size_pixels)[:, None]
    colour = np.array(look.wall) + rng.normal(0, 4, 3)
    wall = np.tile(shade * colour, (1, 1, 1)).clip(0, 255).astype(np.uint8)
    return np.ascontiguousarray(wall)


class _Easel:
    """A picture, and the way from face units (half widths of the face, y down, origin between the eyes)."""

    def __init__(self, wall: Picture, pose: Pose) -> None:
        self.picture = wall.copy()
        size = len(wall)
        self.scale = FACE_SHARE * size
        cos, sin = np.cos(pose.roll_radians) * self.scale, np.sin(pose.roll_radians) * self.scale
        self.turn = np.array([[cos, sin], [-sin, cos]])
        self.origin = np.array([0.5 * size + pose.x * self.scale, 0.47 * size + pose.y * self.scale])

    def fill(self, points: Floats, colour: Colour) -> None:
        cv2.fillPoly(self.picture, [self._pixels(points)], colour, cv2.LINE_AA, SUBPIXEL_BITS)

    def stroke(self, points: Floats, colour: Colour, width: float) -> None:
        thickness = max(1, round(width * self.scale))
        cv2.polylines(
            self.picture, [self._pixels(points)], False, colour, thickness, cv2.LINE_AA, SUBPIXEL_BITS
        )

    def _pixels(self, points: Floats) -> npt.NDArray[np.int32]:
        return np.rint((points @ self.turn + self.origin) * (1 << SUBPIXEL_BITS)).astype(np.int32)


def draw(look: Look, pose: Pose, wall: Picture) -> Picture:
    """Return the wall with the actor's head before it, uint8[size, size, 3]."""
    easel = _Easel(wall, pose)
    _draw_head(easel, look, pose)
    shift = 0.10 * pose.yaw  # features travel over the head as it turns
    for side in (-1.0, 1.0):
        _draw_eye(easel, look, pose, side, shift)
        _draw_brow(easel, look, pose.style, side, shift)
    _draw_nose(easel, look, pose.style, shift)
    _draw_mouth(easel, look, pose, shift)
    picture = cv2.GaussianBlur(easel.picture, (3, 3), 0.6)
    size = len(picture)
    cv2.putText(
        picture,
        "SYNTHETIC",
        (round(0.03 * size), round(0.97 * size)),
        cv2.FONT_HERSHEY_SIMPLEX,
        size / 600,
        (250, 250, 250),
        1,
        cv2.LINE_AA,
    )
    return picture
