"""Face detectors on one thread: found, wrong, false, and milliseconds a picture.

Run: python tests/bench/faces.py [FER2013]. The folder holds PublicTest.zip; without it drawn faces alone are pasted.
The faces lie, 120 to 400 pixels wide, in scenes of 1280 × 720 full of shapes, letters and noise. The drawn faces are
those of the demo, 192 × 192. A detector answers with its largest face: found where that shares 0.4 with the true one
(intersection over union), wrong elsewhere, false in a scene without a face.
"""

import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from emocore.corpora.synthetic.acting import make_actor, perform
from emocore.corpora.synthetic.face import FACE_SHARE, Pose, draw
from emocore.labels import EMOTIONS
from emocore.tracks.faces import SHORT_SIDE, SMALLEST_SHARE, largest_face

PASTED, EMPTY, DRAWN = 400, 300, 192
WIDTH, HEIGHT = 1280, 720
Rectangle = tuple[float, float, float, float]
Sample = tuple[Any, Rectangle | None]  # a grey picture and its face


def main() -> None:
    """Print one row a detector."""
    cv2.setNumThreads(1)
    faces = _fer2013(Path(sys.argv[1]) / "PublicTest.zip") if len(sys.argv) > 1 else _drawn_faces()
    samples = {
        "FER2013 in 720p" if len(sys.argv) > 1 else "drawn in 720p": list(islice(_scenes(faces), PASTED)),
        "no face": [(scene, None) for scene in islice(textures(np.random.default_rng(1)), EMPTY)],
        "drawn 192 × 192": list(islice(_drawn(), DRAWN)),
    }
    print(f"{'detector':20}" + "".join(f"{name:>36}" for name in samples))
    for name, find in _detectors().items():
        print(f"{name:20}" + "".join(_measure(find, of_kind) for of_kind in samples.values()))
        sys.stdout.flush()


def _detectors() -> dict[str, Callable[[Any], Rectangle | None]]:
    return {"MTCNN (ours)": largest_face} | {f"Haar {name}": _haar(name) for name in ("default", "alt", "alt2")}


def _haar(name: str) -> Callable[[Any], Rectangle | None]:
    """Return a cascade at OpenCV's own settings but for the size of the picture and of the smallest face, as ours."""
    cascade = cv2.CascadeClassifier(f"{cv2.data.haarcascades}haarcascade_frontalface_{name}.xml")
    smallest = round(SMALLEST_SHARE * SHORT_SIDE)

    def find(grey: Any) -> Rectangle | None:
        scale = min(1.0, SHORT_SIDE / min(grey.shape))
        shrunk = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        found = cascade.detectMultiScale(shrunk, 1.1, 5, minSize=(smallest, smallest))
        largest = max(found, key=lambda box: box[2] * box[3], default=None)
        return None if largest is None else tuple(float(value) / scale for value in largest)

    return find


def _measure(find: Callable[[Any], Rectangle | None], samples: list[Sample]) -> str:
    found = wrong = 0
    start = time.process_time()
    answers = [find(grey) for grey, _ in samples]
    milliseconds = 1e3 * (time.process_time() - start) / len(samples)
    for answer, (_, face) in zip(answers, samples, strict=True):
        right = answer is not None and face is not None and overlap(answer, face) >= 0.4
        found += right
        wrong += answer is not None and not right
    shares = f"{100 * found / len(samples):.1f} %", f"{100 * wrong / len(samples):.1f} %"
    hits = f"{shares[0]} found, {shares[1]} wrong" if samples[0][1] else f"{shares[1]} false"
    return f"{hits}, {milliseconds:.1f} ms".rjust(36)


def overlap(one: Rectangle, two: Rectangle) -> float:
    width = min(one[0] + one[2], two[0] + two[2]) - max(one[0], two[0])
    height = min(one[1] + one[3], two[1] + two[3]) - max(one[1], two[1])
    common = max(0.0, width) * max(0.0, height)
    return common / (one[2] * one[3] + two[2] * two[3] - common)


def _fer2013(archive: Path) -> Iterator[Any]:
    random = np.random.default_rng(3)
    with zipfile.ZipFile(archive) as members:
        names = sorted(name for name in members.namelist() if name.endswith(".jpg"))
        for place in random.permutation(len(names)):
            yield cv2.imdecode(np.frombuffer(members.read(names[place]), np.uint8), cv2.IMREAD_GRAYSCALE)


def _drawn_faces() -> Iterator[Any]:
    for picture, (x, y, width, height) in _drawn():
        left, top, side = round(x), round(y), round(max(width, height))
        yield picture[max(top, 0) : top + side, max(left, 0) : left + side]


def _drawn() -> Iterator[Sample]:
    """Yield the actors of the demo in turn, each with another expression, and the rectangle of the face's outline."""
    random = np.random.default_rng(2)
    size = 192
    for i in range(PASTED):
        actor = make_actor(1 + i % 24, seed=0, habit_noise=1.0)
        _, style = perform(actor, EMOTIONS[i % 8], "normal" if i % 3 else "strong", 1.0, random)
        x, y, roll, yaw = (random.standard_normal(4) * (0.06, 0.05, 0.04, 0.3)).tolist()
        lids = 1.0 if i % 10 else 0.1
        wall = np.full((size, size, 3), actor.look.wall, np.uint8)
        picture = draw(actor.look, Pose(style, float(random.uniform()), lids, x, y, roll, yaw), wall)
        noisy = np.clip(picture + random.normal(0, 2.5, picture.shape), 0, 255).astype(np.uint8)
        half = FACE_SHARE * size
        left, top = 0.5 * size + x * half - half, 0.44 * size + y * half - 1.02 * half
        yield cv2.cvtColor(noisy, cv2.COLOR_BGR2GRAY), (left, top, 2 * half, (1.02 + actor.look.face_height) * half)


def _scenes(faces: Iterator[Any]) -> Iterator[Sample]:
    """Yield faces in scenes."""
    random = np.random.default_rng(0)
    for face, scene in zip(faces, textures(random), strict=False):
        side = int(random.integers(120, 401))
        left, top = int(random.integers(WIDTH - side)), int(random.integers(HEIGHT - side))
        paste(scene, face, left, top, side)
        yield scene, (left, top, side, side)


def paste(scene: Any, face: Any, left: int, top: int, side: int) -> None:
    """Write a face, so many pixels wide, over a scene; its edges are blended over a sixteenth of that."""
    large = cv2.resize(face, (side, side), interpolation=cv2.INTER_CUBIC)
    edge = side // 16
    share = np.zeros((side, side), np.float32)
    share[edge:-edge, edge:-edge] = 1
    share = cv2.GaussianBlur(share, (0, 0), edge / 2)
    under = scene[top : top + side, left : left + side]
    scene[top : top + side, left : left + side] = (share * large + (1 - share) * under).astype(np.uint8)


def textures(random: np.random.Generator) -> Iterator[Any]:
    """Yield grey scenes: clouds of all sizes, and before them boxes, discs, lines, letters and shelves."""
    while True:
        clouds = np.full((HEIGHT, WIDTH), random.uniform(70, 180), np.float32)
        for cells, contrast in ((4, 60), (12, 40), (40, 25), (120, 15), (400, 10)):
            coarse = random.normal(0, contrast, (max(2, cells * 9 // 16), cells)).astype(np.float32)
            clouds += random.uniform(0.3, 1) * cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        scene = np.clip(clouds, 0, 255).astype(np.uint8)
        for _ in range(random.integers(10, 60)):
            _add_shape(scene, random)
        yield np.clip(scene + random.normal(0, 4, scene.shape), 0, 255).astype(np.uint8)


def _add_shape(scene: Any, random: np.random.Generator) -> None:
    shade, kind = int(random.integers(256)), int(random.integers(5))
    x, y, width, height = (int(value) for value in random.integers((0, 0, 8, 8), (WIDTH, HEIGHT, 220, 220)))
    if kind == 0:
        cv2.rectangle(scene, (x, y), (x + width, y + height), shade, -1)
    elif kind == 1:
        cv2.ellipse(scene, (x, y), (width // 2, height // 2), random.uniform(0, 180), 0, 360, shade, -1, cv2.LINE_AA)
    elif kind == 2:
        cv2.line(scene, (x, y), (x + 2 * width - height, y + 2 * height - width), shade, height // 20 + 1, cv2.LINE_AA)
    elif kind == 3:
        letters = "".join(map(chr, random.integers(48, 123, 6)))
        cv2.putText(scene, letters, (x, y), cv2.FONT_HERSHEY_SIMPLEX, width / 50, shade, height // 40 + 1, cv2.LINE_AA)
    else:
        for book in range(8):
            left = x + book * width // 4
            cv2.rectangle(scene, (left, y), (left + width // 6, y + height), int(random.integers(256)), -1)


if __name__ == "__main__":
    main()
