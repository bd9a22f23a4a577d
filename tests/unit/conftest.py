"""No unit test starts Ray; sounds and films to decode; tables of clips as `featurize` writes them."""

import importlib.abc
import json
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from emocore.features.article import ARTICLE, ARTICLE_FRAMES
from emocore.features.catalogue import to_json
from emocore.labels import EMOTIONS
from emocore.schema import CLIPS, SCHEMA_VERSION, features_schema, rows_to_table
from emocore.storage.tables import write_table

NO_RAY = "tests/unit never starts Ray: what needs it belongs in tests/ray"


class RefuseRay(importlib.abc.MetaPathFinder):
    def find_spec(self, name, *_):
        if name == "ray":
            raise AssertionError(NO_RAY)


def refuse(*arguments, **options):
    raise AssertionError(NO_RAY)


@pytest.fixture(autouse=True)
def no_ray(monkeypatch):
    """A test's body cannot import Ray; where a module above it has done so, `ray.init` and all calls to Ray fail."""
    if "ray" in sys.modules:
        ray = sys.modules["ray"]
        monkeypatch.setattr(ray, "init", refuse)
        monkeypatch.setattr(ray._private.worker.Worker, "check_connected", refuse)  # another test may have started it
    else:
        monkeypatch.setattr(sys, "meta_path", [RefuseRay(), *sys.meta_path])


def voice(seconds=1.0, rate=22_050, peak=0.5):
    """A voice-like sweep: at no other lag does it resemble itself."""
    time = np.arange(round(seconds * rate)) / rate
    sweep = np.sin(2 * np.pi * (150 * time + 400 * time**2)) + 0.3 * np.sin(2 * np.pi * (300 * time + 800 * time**2))
    signal = sweep * (1 + 0.5 * np.sin(2 * np.pi * 3 * time))
    return (peak * signal / np.abs(signal).max()).astype(np.float32)


class MediaFiles:
    """Writes media below a folder with libsndfile or FFmpeg, and returns their paths."""

    voice = staticmethod(voice)

    def __init__(self, folder):
        self.folder = folder

    def bytes(self, name, content):
        path = self.folder / name
        path.write_bytes(content)
        return str(path)

    def sound(self, name, signal=None, rate=22_050, **options):
        """`signal` float[samples] or [samples, channels]; `options` go to soundfile."""
        path = self.folder / name
        soundfile.write(path, voice(rate=rate) if signal is None else signal, rate, **options)
        return str(path)

    def encoded(self, name, signal, rate, codec=None, video=None, options=None):
        """`signal` float[samples], or None for a film without sound; `codec` and `video` are FFmpeg's names."""
        path = str(self.folder / name)
        with av.open(path, "w", container_options=options or {}) as container:
            if video:
                pictures = container.add_stream(video, rate=25)
                pictures.width = pictures.height = 64
                pictures.pix_fmt = "yuv420p"
            sound = None
            if signal is not None:
                sound = container.add_stream(codec, rate=rate, layout="mono")
                sound.format = sound.codec.audio_formats[0]
                sound.codec_context.open()
            if video:
                for i in range(10):
                    picture = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 20 * i, np.uint8), format="rgb24")
                    picture.pts = i
                    container.mux(pictures.encode(picture))
                container.mux(pictures.encode(None))
            if sound is not None:
                frame = av.AudioFrame.from_ndarray(signal[None, :], format="flt", layout="mono")
                frame.sample_rate, frame.pts = rate, 0
                resampler = av.AudioResampler(sound.format, "mono", rate, sound.codec_context.frame_size or None)
                for part in (*resampler.resample(frame), *resampler.resample(None), None):
                    container.mux(sound.encode(part))
        return path


@pytest.fixture
def media_files(tmp_path):
    return MediaFiles(tmp_path)


@pytest.fixture(scope="session")
def shared_media(tmp_path_factory):
    """The same, for files that a whole module reads."""
    return MediaFiles(tmp_path_factory.mktemp("media"))


def clip_row(clip, emotion="happy", **others):
    """A CLIPS row as keyword arguments say it."""
    soft = np.array([name == emotion for name in EMOTIONS], np.float32)
    row = {"take": clip, "path": f"/corpus/{clip}", "emotion": emotion, "soft_label": soft, "state": "ok"}
    return {"clip": clip, **row, **others}


def write_features(folder: Path, rows, columns, frames=None, families=None, **manifest):
    """Write a FEATURES folder: CLIPS rows, float[n, 160] columns and float[n, 157, 39] frames by clip.

    `families`: what the manifest speaks of; those that are written, unless given.
    """
    write_table(rows_to_table(rows, CLIPS), folder / "clips" / "000000.parquet")
    heard = [row["clip"] for row in rows if row["clip"] in columns]
    written = {ARTICLE: columns, **({ARTICLE_FRAMES: frames} if frames is not None else {})}
    for family, values in written.items():
        # Last clip first: nothing says that the tables have one order.
        window = {"track": 0, "window": 0, "start_seconds": 0.0, "end_seconds": 3.62, "state": "ok"}
        content = [{"clip": clip, **window, **cells(values[clip], family)} for clip in reversed(heard)]
        schema = features_schema(family.shape, family.columns)
        write_table(rows_to_table(content, schema), folder / "features" / family.name / "000000.parquet")
    content = {
        "kind": "features",
        "schema_version": SCHEMA_VERSION,
        "families": to_json(families or written),
        "fingerprint": "0" * 16,
        "synthetic": False,
        **manifest,
    }
    (folder / "manifest.json").write_text(json.dumps(content))
    return str(folder)


def cells(values, family):
    named = zip(family.columns, values, strict=True) if family.columns else [("values", values)]
    return {name: float(value) if family.columns else value for name, value in named}


@pytest.fixture
def make_clip():
    return clip_row


@pytest.fixture
def make_features():
    return write_features
