"""CPU time of sampling 720p films: ours beside OpenCV's grab and retrieve, and the floor.

Run: python tests/bench/decoding.py. The floor decodes every frame and uses none. Films are generated, without sound;
median of five; `grey levels` is the largest mean difference of a picture from OpenCV's.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from whole_media import read_media

from emocore.corpora.synthetic.corpus import DemoSettings, perform_clip, plan
from emocore.media.reading import Reading

EVERY, FRAMES, WIDTH, HEIGHT = 20, 105, 1280, 720
# name → codec, its options, and how long each frame lasts, in milliseconds
FILMS: dict[str, tuple[str, dict[str, str], tuple[int, ...]]] = {
    "x264-default.mp4": ("libx264", {}, (33,)),
    "x264-variable-rate.mp4": ("libx264", {}, (16, 33, 60, 33)),
    "x264-no-b-frames.mp4": ("libx264", {"bf": "0"}, (33,)),
    "x264-ultrafast.mkv": ("libx264", {"preset": "ultrafast"}, (33,)),
    "x265-fast.mp4": ("libx265", {"preset": "fast", "x265-params": "log-level=0"}, (33,)),
    "vp9.webm": ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "8", "b": "2M"}, (33,)),
    "av1.mp4": ("libsvtav1", {"preset": "10"}, (33,)),
    "mpeg4.mp4": ("mpeg4", {"b": "4M", "bf": "2"}, (33,)),
    "mpeg4.avi": ("mpeg4", {"b": "4M"}, (33,)),
}


def main() -> None:
    """Print one row a film."""
    cv2.setNumThreads(1)
    print(f"{'film':24} {'OpenCV ms':>10} {'ours ms':>8} {'floor ms':>9} {'ratio':>6} {'grey levels':>12}")
    with tempfile.TemporaryDirectory() as folder:
        for name, (codec, options, lengths) in FILMS.items():
            path = Path(folder) / name
            write_film(path, codec, options, lengths)
            pairs = zip(_opencv(path), _ours(path), strict=True)
            difference = max(float(np.abs(a.astype(int) - b).mean()) for a, b in pairs)
            opencv, ours, floor = (1e3 * _cpu_seconds(read, path) for read in (_opencv, _ours, _floor))
            print(f"{name:24} {opencv:10.0f} {ours:8.0f} {floor:9.0f} {ours / opencv:6.2f} {difference:12.2f}")
            sys.stdout.flush()


def write_film(path: Path, codec: str, options: dict[str, str], lengths: tuple[int, ...]) -> None:
    with av.open(path, "w") as container:
        stream: Any = container.add_stream(codec, rate=30, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        milliseconds = 0
        for i, scene in enumerate(_scenes()):
            frame = av.VideoFrame.from_ndarray(scene, "bgr24")
            frame.pts, frame.time_base = milliseconds, Fraction(1, 1000)
            milliseconds += lengths[i % len(lengths)]
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _scenes() -> Iterator[Any]:
    """A talking head of the demo before a wall, with a camera's noise."""
    rng = np.random.default_rng(0)
    heads = list(perform_clip(plan(DemoSettings(actors=1))[7])[1])
    wall = cv2.resize(rng.integers(60, 200, (36, 64, 3), np.uint8), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    noise = [rng.normal(0, 4, (HEIGHT, WIDTH, 1)) for _ in range(8)]
    for i in range(FRAMES):
        scene, left = wall.copy(), 360 + int(20 * np.sin(i / 9))
        scene[100:660, left : left + 560] = cv2.resize(heads[i % len(heads)], (560, 560))
        yield np.clip(scene + noise[i % 8], 0, 255).astype(np.uint8)


def _opencv(path: Path) -> list[Any]:
    film = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    pictures, index = [], 0
    while film.grab():
        if index % EVERY == 0:
            grey = cv2.cvtColor(film.retrieve()[1], cv2.COLOR_BGR2GRAY)
            pictures.append(cv2.resize(grey, (256, 256), interpolation=cv2.INTER_AREA))
        index += 1
    return pictures


def _ours(path: Path) -> list[Any]:
    with path.open("rb") as stream:
        return [picture.image for picture in read_media(stream, Reading(EVERY)).pictures or []]


def _floor(path: Path) -> None:
    with av.open(path) as container:
        stream = container.streams.video[0]
        stream.thread_type, stream.codec_context.thread_count = "NONE", 1
        for _ in container.decode(stream):
            pass


def _cpu_seconds(read: Callable[[Path], object], path: Path) -> float:
    times = []
    for _ in range(5):
        start = time.process_time()
        read(path)
        times.append(time.process_time() - start)
    return statistics.median(times)


if __name__ == "__main__":
    main()
