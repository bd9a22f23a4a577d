"""Faces in interlaced films and in HDR: found, told right by face-cnn, and milliseconds for a frame's grey.

Run: python tests/bench/light.py FER2013 [N]. The folder holds PublicTest.zip. N faces (400), 60 to 320 pixels wide, lie
in scenes of 720 × 576 full of shapes, letters and noise, a frame each, encoded by x264. In interlaced films the face
moves by so many pixels from one field to the next; in HDR a scene is as bright as on an ordinary screen whose white is
203 cd/m², or so many times brighter, and all above 1,000 cd/m² is cut off. Beside what we see stands what there is
where every film is taken for an ordinary one. A face is found where the largest box shares 0.4 with it (intersection
over union), and told right where it is found and has the label of its folder.
"""

import io
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from av.video.reformatter import ColorRange, ColorTrc, VideoReformatter
from faces import overlap, paste, textures  # its folder is the script's own

import emocore
from emocore.media.light import grey_of
from emocore.media.resize import fit
from emocore.models.keras.frame_network import FrameNetwork
from emocore.tracks.faces import crop_face, largest_face

WIDTH, HEIGHT, MOST_STEP = 720, 576, 10
INTERLACED = 1 << 29 | 1 << 18  # AV_CODEC_FLAG_INTERLACED_ME, AV_CODEC_FLAG_INTERLACED_DCT
NAMES = {"fear": "fearful", "surprise": "surprised"}  # FER2013's words, and ours
PQ, HLG = ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67
Scene = tuple[Any, Any, tuple[int, int, int], str]  # an empty scene, a face, where it lies and how wide, and its label


def main() -> None:
    """Print two rows a kind of film: taken for an ordinary one, and as we see it."""
    cv2.setNumThreads(1)
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 400
    scenes = list(islice(_scenes(Path(sys.argv[1]) / "PublicTest.zip"), count))
    folder = Path(emocore.__file__).parent / "models" / "weights" / "face-cnn"
    network = FrameNetwork.load(folder, "face-cnn")
    for name, film in _films(scenes):
        with av.open(film) as container:
            frames = list(container.decode(video=0))
        for how, grey in (("as an ordinary film", _ordinary), ("ours", _ours)):
            print(f"{name:28}{how:22}{_measure(network, grey, frames, scenes)}", flush=True)


def _films(scenes: list[Scene]) -> Iterator[tuple[str, Any]]:
    yield "ordinary", _encode((_woven(scene, 0) for scene in scenes), "yuv420p")
    for step in (0, 2, 5, MOST_STEP):
        woven = (_woven(scene, step) for scene in scenes)
        yield f"interlaced, {step} pixels", _encode(woven, "yuv420p", flags=INTERLACED)
    for transfer, times in ((PQ, 1), (HLG, 1), (PQ, 2), (PQ, 4), (HLG, 2)):
        light = np.minimum(times * 203 * (np.arange(256) / 255) ** 2.4, 1_000)
        signal = {PQ: _pq, HLG: _hlg}[transfer](light)
        table = np.rint(64 + 876 * signal).astype(np.uint16)
        bright = (table[_woven(scene, 0)] for scene in scenes)
        yield f"{transfer.name}, {times} times", _encode(bright, "yuv420p10le", transfer)


def _pq(light: Any) -> Any:
    power = (light / 10_000) ** (2610 / 16384)
    return ((3424 / 4096 + 2413 / 128 * power) / (1 + 2392 / 128 * power)) ** (2523 / 32)


def _hlg(light: Any) -> Any:
    scene = (light / 1_000) ** (1 / 1.2)
    bright = 0.17883277 * np.log(np.maximum(12 * scene, 1) - 0.28466892) + 0.55991073
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), bright)


def _measure(network: FrameNetwork, grey: Callable[[Any], Any], frames: list[Any], scenes: list[Scene]) -> str:
    start = time.process_time()
    for frame in frames:
        grey(frame)
    milliseconds = 1e3 * (time.process_time() - start) / len(frames)
    found, crops = [], []
    for frame, (_, _, (left, top, side), _) in zip(frames, scenes, strict=True):
        picture = grey(frame)
        box = largest_face(picture)
        found.append(box is not None and overlap(box, (left, top, side, side)) >= 0.4)
        crops.append(fit(picture if box is None else crop_face(picture, box), 48))
    told = network.probabilities(np.stack(crops)).argmax(axis=1)
    labels = [network.settings.emotions.index(label) for *_, label in scenes]
    right = np.array(found) & (told == labels)
    return f"{100 * np.mean(found):.1f} % found, {100 * right.mean():.1f} % told right, {milliseconds:.2f} ms"


_CONVERTER = VideoReformatter()


def _ours(frame: Any) -> Any:
    return grey_of(frame, ColorTrc.UNSPECIFIED, _CONVERTER)


def _ordinary(frame: Any) -> Any:
    plane = _CONVERTER.reformat(frame, format="bgr24", threads=1).planes[0]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
    return cv2.cvtColor(rows[:, : 3 * plane.width].reshape(plane.height, plane.width, 3), cv2.COLOR_BGR2GRAY)


def _scenes(archive: Path) -> Iterator[Scene]:
    random = np.random.default_rng(0)
    with zipfile.ZipFile(archive) as members:
        names = sorted(name for name in members.namelist() if name.endswith(".jpg"))
        for place, texture in zip(random.permutation(len(names)), textures(np.random.default_rng(1)), strict=False):
            label = Path(names[place]).parent.name
            face = cv2.imdecode(np.frombuffer(members.read(names[place]), np.uint8), cv2.IMREAD_GRAYSCALE)
            side = int(random.integers(60, 321))
            left, top = int(random.integers(WIDTH - side - MOST_STEP)), int(random.integers(HEIGHT - side))
            scene = cv2.resize(texture, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
            yield scene, face, (left, top, side), NAMES.get(label, label)


def _woven(scene: Scene, step: int) -> Any:
    """Return a frame whose odd rows show the face so many pixels further to the right."""
    texture, face, (left, top, side), _ = scene
    frame, later = texture.copy(), texture.copy()
    paste(frame, face, left, top, side)
    paste(later, face, left + step, top, side)
    frame[1::2] = later[1::2]
    return frame


def _encode(pictures: Iterator[Any], pix_fmt: str, transfer: ColorTrc | None = None, flags: int = 0) -> Any:
    """Return a film: of grey levels uint8[height, width], or of luma uint16[height, width] in HDR."""
    film = io.BytesIO()
    options = {"preset": "veryfast", "crf": "20"} | ({"x264-params": "tff=1"} if flags else {})
    with av.open(film, "w", format="matroska") as container:
        stream = container.add_stream("libx264", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, pix_fmt
        stream.codec_context.flags |= flags
        stream.codec_context.color_range = ColorRange.MPEG
        if transfer:
            stream.codec_context.color_trc = transfer
        for i, picture in enumerate(pictures):
            luma = picture if transfer else np.rint(16 + picture * (219 / 255)).astype(np.uint8)
            frame = av.VideoFrame(WIDTH, HEIGHT, pix_fmt)
            for number, plane in enumerate(frame.planes):
                grey = np.full((plane.height, plane.width), 512 if transfer else 128, luma.dtype)
                rows = np.zeros((plane.height, plane.line_size // luma.itemsize), luma.dtype)
                rows[:, : plane.width] = grey if number else luma
                plane.update(rows.tobytes())
            frame.pts, frame.color_range = i, ColorRange.MPEG
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    film.seek(0)
    return film


if __name__ == "__main__":
    main()
