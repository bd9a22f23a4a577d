"""A file read whole, for tests of what a reading hands on piece by piece."""

from dataclasses import dataclass
from functools import lru_cache

import av
import numpy as np
import pyarrow as pa

from emocore.corpora.synthetic.acting import NEUTRAL_VOICE, make_actor
from emocore.corpora.synthetic.voice import speak
from emocore.features.extract import FEATURIZED, featurize_batch, heard_by
from emocore.features.listen import Windows
from emocore.features.rows import window_table
from emocore.media.audio import Resampler
from emocore.media.reading import stream_media
from emocore.media.video import whole
from emocore.schema import features_schema
from emocore.timeline import Window


@dataclass
class Sound:
    """float32[samples] of one channel at a rate."""

    signal: np.ndarray
    sample_rate_hz: int

    @property
    def duration_seconds(self):
        """How long it lasts."""
        return len(self.signal) / self.sample_rate_hz


@dataclass
class Whole:
    """What a file held: None where it has no such track, or where it was not asked for."""

    sound: Sound | None
    pictures: list | None
    media: object

    def __getattr__(self, name):
        return getattr(self.media, name)


def read_media(stream, reading, keep=None, speaks=None):
    """Return all that a reading hands on."""
    tracks, pictures = [], []

    def hear(rate, begins):
        tracks.append((rate, []))
        return tracks[-1][1].append

    media = stream_media(
        stream, reading, hear if reading.sound else None, pictures.append, keep or whole(reading.pixels), speaks
    )
    sound = Sound(np.concatenate(tracks[-1][1], axis=-1), tracks[-1][0]) if media.sound_seconds is not None else None
    return Whole(sound, pictures if media.shown else None, media)


def prepare(sound, sample_rate_hz, level):
    """Return the signal of a sound at a rate and level."""
    resampler = Resampler(sound.sample_rate_hz, sample_rate_hz)
    signal = np.concatenate([resampler.feed(sound.signal), resampler.finish()])
    peak = np.abs(signal).max(initial=0.0)
    return signal / peak if level == "peak" and peak > 0 else signal


@lru_cache(maxsize=4)
def spoken(rate=16_000):
    """A second of a statement, float32 of peak 1: the voice-activity detector hears it, in a chord as loud too."""
    speech = speak(make_actor(1, 0, 0.5), NEUTRAL_VOICE, "kids", np.random.default_rng(0)).astype(np.float32)
    resampler = Resampler(48_000, rate)
    speech = np.concatenate([resampler.feed(speech), resampler.finish()])
    begins = np.flatnonzero(np.abs(speech) > 0.02)[0]
    second = speech[begins : begins + rate]
    return second / np.abs(second).max()


class Collected:
    """A sink that keeps all windows and pictures, by clip and family."""

    def __init__(self):
        self.heard, self.seen = {}, {}

    def windows(self, clips, family, windows):
        """Keep windows."""
        for clip in clips:
            self.heard.setdefault((clip, family.name), []).append(windows)

    def pictures(self, clips, pictures):
        """Keep pictures."""
        for clip in clips:
            self.seen.setdefault(clip, []).extend(pictures)

    def finish(self):
        """Nothing waits."""

    def table(self, family, clips=None):
        """Return the windows of a family as its table of features."""
        found = [(clip, one) for (clip, name), given in self.heard.items() if name == family.name for one in given]
        tables = [window_table([clip], family, one) for clip, one in found if clips is None or clip in clips]
        return pa.concat_tables([features_schema(family.shape, family.columns).empty_table(), *tables])


def _kind(family):
    fields = [("window", pa.int32()), ("start_seconds", pa.float64()), ("end_seconds", pa.float64())]
    return pa.list_(pa.struct([*fields, ("state", pa.string()), ("values", pa.list_(pa.float32(), family.size))]))


def featurized_schema(families):
    """Return what `featurized` gives."""
    return pa.schema([*FEATURIZED, *(pa.field(family.name, _kind(family)) for family in heard_by(families))])


def featurized(planned, families, *arguments, **options):
    """Return what `featurize_batch` gives, with the windows of each family in a list."""
    sink = Collected()
    table = featurize_batch(planned, families, *arguments, sink=sink, **options)
    for family in heard_by(families):
        lists = []
        for clip in table["clip"].to_pylist():
            told = [
                {
                    "window": window.index,
                    "start_seconds": window.start_seconds,
                    "end_seconds": window.end_seconds,
                    "state": state,
                    "values": value.ravel(),
                }
                for one in sink.heard.get((clip, family.name), [])
                for window, state, value in zip(one.windows, one.states, one.values, strict=True)
            ]
            lists.append(told)
        table = table.append_column(pa.field(family.name, _kind(family)), pa.array(lists, _kind(family)))
    return table


def windows_of(table, family):
    """Return the windows of `featurized` rows as the family's table of features."""
    tables = [features_schema(family.shape, family.columns).empty_table()]
    for clip, rows in zip(table["clip"].to_pylist(), table[family.name].to_pylist(), strict=True):
        windows = Windows(
            [Window(row["window"], row["start_seconds"], row["end_seconds"]) for row in rows],
            [row["state"] for row in rows],
            np.full(len(rows), np.nan),
            np.array([row["values"] for row in rows], np.float32).reshape(-1, *family.shape),
        )
        tables.append(window_table([clip], family, windows))
    return pa.concat_tables(tables)


def write_film(path, codec, gop=25, options=None, frames=1_250, b_frames=2):
    """Write a film, by default of 50 seconds: waves that move; return its path."""
    y, x = np.mgrid[:48, :64]
    with av.open(path, "w") as container:
        film = container.add_stream(codec, rate=25, options=options or {})
        film.width, film.height, film.pix_fmt = 64, 48, "yuv420p"
        film.codec_context.gop_size = gop
        film.codec_context.max_b_frames = b_frames
        for i in range(frames):
            wave = (128 + 60 * np.sin((x + 3 * i) / 13) + 50 * np.cos((y - 5 * i) / 17)).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(np.stack([wave] * 3, axis=-1), format="rgb24")
            frame.pts = i
            container.mux(film.encode(frame))
        container.mux(film.encode(None))
    return path
