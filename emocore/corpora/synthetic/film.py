"""Films of the generated corpus: a face that speaks, rises to its expression, blinks and moves."""

from collections.abc import Iterator

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter1d

from emocore.arrays import Floats
from emocore.corpora.synthetic.acting import Actor, FaceStyle, Look
from emocore.corpora.synthetic.face import Picture, Pose, draw

SENSOR_NOISE = 2.5  # grey levels
NOISE_MARGIN_PIXELS = 32


def mouth_opening(speech: Floats, frames: int) -> Floats:
    """Return how far the mouth opens in each video frame, float[frames] from 0 to 1, from the speech's level.

    >>> mouth_opening(np.repeat([0.0, 0.1], 960), 2).tolist()
    [0.0, 1.0]
    """
    rms = np.sqrt(np.mean(speech[: len(speech) // frames * frames].reshape(frames, -1) ** 2, axis=1))
    return np.asarray(np.clip(rms / max(float(np.quantile(rms, 0.9)), 1e-9), 0, 1))


def film(
    actor: Actor, style: FaceStyle, mouth: Floats, size_pixels: int, rng: np.random.Generator
) -> Iterator[Picture]:
    """Yield one BGR picture, uint8[size, size, 3], for each entry of `mouth`."""
    wall = _wall(actor.look, size_pixels, rng)
    # One sheet of grain a clip, shifted from frame to frame: fresh noise would cost more than the drawing.
    grain_shape = (size_pixels + NOISE_MARGIN_PIXELS, size_pixels + NOISE_MARGIN_PIXELS)
    grain = cv2.merge([SENSOR_NOISE * rng.standard_normal(grain_shape, np.float32)] * 3)
    light = 1 + rng.normal(0, 0.05) + 0.012 * np.sin(np.arange(len(mouth)) / 9 + rng.uniform(0, 6))
    for gain, pose in zip(light, _poses(style, mouth, rng), strict=True):
        picture = draw(actor.look, pose, wall)
        top, left = rng.integers(0, NOISE_MARGIN_PIXELS, 2)
        noise = grain[top : top + size_pixels, left : left + size_pixels]
        yield np.asarray(np.clip(picture * np.float32(gain) + noise, 0, 255), np.uint8)


def _poses(style: FaceStyle, mouth: Floats, rng: np.random.Generator) -> Iterator[Pose]:
    """Let the expression rise from a third, the eyes blink and the head drift."""
    frames = len(mouth)
    time = np.arange(frames)
    onset = 1 / (1 + np.exp(-(time - rng.uniform(4, 11)) / rng.uniform(1.5, 3.5)))
    strength = 0.35 + 0.65 * onset + 0.1 * gaussian_filter1d(rng.standard_normal(frames), 4)
    lids = np.ones(frames)
    for blink in rng.choice(frames, size=int(rng.integers(1, 3)), replace=False):
        lids *= 1 - np.exp(-(((time - blink) / 1.5) ** 2))
    # Columns: x, y (half widths of the face), roll (radians), yaw.
    still = rng.standard_normal(4) * (0.04, 0.03, 0.025, 0.2)
    drift = gaussian_filter1d(rng.standard_normal((frames, 4)), 8, axis=0, mode="nearest")
    path = still + drift * (0.15, 0.12, 0.1, 0.6)
    path[:, 1] += 0.03 * gaussian_filter1d(mouth, 2)
    for frame in range(frames):
        now = FaceStyle(*(np.array(style) * strength[frame]))
        x, y, roll, yaw = path[frame].tolist()
        yield Pose(now, float(mouth[frame]), float(lids[frame]), x, y, roll, yaw)


def _wall(look: Look, size_pixels: int, rng: np.random.Generator) -> Picture:
    """Return the background: the actor's wall, a little different from clip to clip."""
    across = np.linspace(-0.05, 0.05, size_pixels)[None, :, None] * rng.normal(0, 1)
    down = np.linspace(1.05, 0.9, size_pixels)[:, None, None]
    colour = np.array(look.wall) + rng.normal(0, 4, 3)
    return np.asarray(np.clip((down + across) * colour, 0, 255), np.uint8)
