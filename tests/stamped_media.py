"""Films and sounds in which a click is heard and a flash seen at known times, in containers whose stamps are odd."""

import struct
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

RATE = 48_000
EVENTS = (3.5, 4.88)  # true seconds, at which the film turns white for FLASH_SECONDS and a click is heard
FLASH_SECONDS = 0.2
END = 5.6
VARIES = (Fraction(1, 50), Fraction(1, 25), Fraction(3, 25), Fraction(1, 10))  # that pictures stay, in turn
_FAST = {"libvpx": {"deadline": "realtime", "cpu-used": "8"}}
_LOSSLESS = {"preset": "ultrafast", "qp": "0"}
_AT_A_RATE = ("mpeg4", "mpeg2video")  # codecs that know no other ticks


@dataclass(frozen=True)
class Stamped:
    """A file, and when its clicks and flashes are, in seconds since its sound or film begins."""

    path: str
    clicks: list[float]
    flashes: list[float]

    def moved(self, clicks, flashes=None):
        """Return it with other times; None: what is not there any more."""
        told = [
            [to(time) for time in times] for to, times in ((clicks, self.clicks), (flashes or clicks, self.flashes))
        ]
        return Stamped(self.path, *([time for time in times if time is not None] for times in told))


def picture_times(begins, varies, end):
    """When the pictures of a film are shown, in seconds."""
    times, i = [Fraction(str(begins))], 0
    while times[-1] < end:
        times.append(times[-1] + (VARIES[i % len(VARIES)] if varies else Fraction(1, 25)))
        i += 1
    return times[:-1]


def clicks(begins, end, events):
    """int16[samples]: a burst of 3 kHz, 4 ms long, around each event."""
    t = np.arange(round(begins * RATE), round(end * RATE)) / RATE
    signal = np.random.default_rng(0).normal(0, 1e-3, len(t))
    for event in events:
        near = np.abs(t - event) < 0.002
        window = np.cos(np.pi * (t[near] - event) / 0.004) ** 2
        signal[near] += window * np.cos(2 * np.pi * 3_000 * (t[near] - event))
    return (30_000 * signal.clip(-1, 1)).astype(np.int16)


def write(
    path,
    film=None,
    sound=None,
    *,
    film_begins=0.0,
    sound_begins=0.0,
    shift=0.0,
    varies=False,
    gap=(0.0, 0.0),
    noise=False,
    silent_tracks=0,
    events=EVENTS,
    end=END,
):
    """Write a file by its codecs.

    `shift`: of all stamps; `gap`: in which no sound is written; `noise`: megabytes; `silent_tracks`:
    how many tracks of sound are announced before it and never begin.
    """
    times = picture_times(film_begins, varies, end) if film else []
    with av.open(str(path), "w") as container:
        seen = _film(container, film, noise) if film else None
        for _ in range(silent_tracks):
            container.add_stream(sound, rate=RATE, layout="mono")
        heard = container.add_stream(sound, rate=RATE, layout="mono") if sound else None
        packets = _see(seen, times, shift, events, noise) if seen else []
        if heard:
            packets += _hear(heard, clicks(sound_begins, end, events), sound_begins, shift, gap)
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            container.mux(packet)
    begin = min([film_begins] * bool(film) + [sound_begins] * bool(sound))
    at = [event - begin for event in events if event >= sound_begins and not gap[0] <= event < gap[1]] if sound else []
    shown = [float(next(time for time in times if time >= event - 1e-9)) - begin for event in events] if film else []
    return Stamped(str(path), at, shown)


def _film(container, codec, noise):
    film = container.add_stream(codec, rate=25, options=_LOSSLESS if noise else _FAST.get(codec, {}))
    film.width, film.height = (320, 240) if noise else (64, 48)
    film.pix_fmt = "yuv420p"
    film.codec_context.time_base = Fraction(1, 25) if codec in _AT_A_RATE else Fraction(1, 1_000)
    film.codec_context.gop_size = 25
    return film


def _see(film, times, shift, events, noise):
    packets, tick = [], film.codec_context.time_base
    dark = np.random.default_rng(0).integers(0, 100 * noise + 1, (film.height, film.width, 3), np.uint8)
    for i, time in enumerate(times):
        lit = any(event - 1e-9 <= time < event + FLASH_SECONDS - 1e-9 for event in events)
        image = np.full_like(dark, 235) if lit else np.roll(dark, 7 * i, axis=1)
        frame = av.VideoFrame.from_ndarray(image, format="bgr24")
        frame.pts, frame.time_base = round((time + Fraction(str(shift))) / tick), tick
        packets += film.encode(frame)
    return packets + film.encode(None)


def _hear(track, samples, begins, shift, gap):
    packets, size = [], RATE // 50
    for at in range(0, len(samples), size):
        begin = begins + at / RATE
        if gap[0] <= begin < gap[1]:
            continue
        piece = av.AudioFrame.from_ndarray(samples[None, at : at + size], format="s16", layout="mono")
        piece.sample_rate, piece.time_base = RATE, Fraction(1, RATE)
        piece.pts = round((begin + shift) * RATE)
        packets += track.encode(piece)
    return packets + track.encode(None)


def with_edits(path, **edits):
    """Give the tracks of an MP4 these edits (ISO/IEC 14496-12, 8.6.6): `vide` and `soun`.

    Each is [(seconds it lasts, where in the track it begins)]; None: nothing is shown, or heard.
    """
    content = Path(path).read_bytes()
    parts = [_box(name, _movie(inner, edits) if name == b"moov" else inner) for name, inner in _boxes(content)]
    Path(path).write_bytes(b"".join(parts))


def _boxes(content):
    at = 0
    while at + 8 <= len(content):
        size, name = struct.unpack(">I4s", content[at : at + 8])
        yield name, content[at + 8 : at + size]
        at += size


def _box(name, content):
    return struct.pack(">I4s", 8 + len(content), name) + content


def _movie(moov, edits):
    ticks = struct.unpack(">I", dict(_boxes(moov))[b"mvhd"][12:16])[0]
    return b"".join(_box(name, _track(part, ticks, edits) if name == b"trak" else part) for name, part in _boxes(moov))


def _track(trak, movie_ticks, edits):
    held = dict(_boxes(trak))
    media = dict(_boxes(held[b"mdia"]))
    kind, ticks = media[b"hdlr"][8:12].decode(), struct.unpack(">I", media[b"mdhd"][12:16])[0]
    if kind not in edits:
        return trak
    first = 0  # what a codec puts before the first picture, or sample
    if b"edts" in held:
        (first,) = struct.unpack(">i", dict(_boxes(held[b"edts"]))[b"elst"][-8:-4])
    rows = b"".join(
        struct.pack(">IiI", round(lasts * movie_ticks), -1 if begins is None else first + round(begins * ticks), 2**16)
        for lasts, begins in edits[kind]
    )
    listed = _box(b"edts", _box(b"elst", struct.pack(">II", 0, len(edits[kind])) + rows))
    parts = [(name, _box(name, inner)) for name, inner in _boxes(trak) if name != b"edts"]
    return b"".join(part + (listed if name == b"tkhd" else b"") for name, part in parts)


def avi_sound_begins(path, seconds):
    """Have the header of an AVI's sound say that it begins so late: dwStart, in units of dwScale / dwRate."""
    content = bytearray(Path(path).read_bytes())
    at = content.index(b"auds")
    scale, rate = struct.unpack_from("<II", content, at + 20)
    struct.pack_into("<I", content, at + 28, round(seconds * rate / scale))
    Path(path).write_bytes(content)
