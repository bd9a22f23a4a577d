"""One small file of each container and of each kind of still, which the mutations start from."""

import av
import cv2
import numpy as np
import soundfile

FILMS = {
    "a.mp4": ("libx264", "aac"),
    "a.mkv": ("libx265", "libopus"),
    "a.webm": ("libvpx-vp9", "libopus"),
    "a.avi": ("mpeg4", "libmp3lame"),
    "a.wmv": ("wmv2", "wmav2"),
    "a.flv": ("flv", "aac"),
    "a.mpg": ("mpeg1video", "mp2"),
    "a.ts": ("mpeg2video", "ac3"),
}
OPTIONS = {
    "libx264": {"preset": "ultrafast", "bf": "2", "g": "8"},
    "libx265": {"preset": "ultrafast", "x265-params": "log-level=none:pools=none:frame-threads=1:bframes=2:keyint=8"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8"},
    "mpeg4": {"bf": "2", "g": "8"},
}
SOUNDS = {"a.m4a": "aac", "a.mp3": "libmp3lame", "a.amr": "libopencore_amrnb"}
PLAIN = {"a.wav": "WAV", "a.flac": "FLAC", "a.aif": "AIFF", "a.au": "AU", "a.caf": "CAF", "a.w64": "W64"}
RATES = {"libopus": 48_000, "libopencore_amrnb": 8_000, "mp2": 32_000, "ac3": 32_000}
STILLS = ("a.jpg", "a.png", "a.bmp")
RATE = 16_000


def voice(seconds=0.8):
    time = np.arange(round(RATE * seconds)) / RATE
    return (0.4 * np.sin(2 * np.pi * (200 * time + 300 * time**2))).astype(np.float32)


def wave(i):
    y, x = np.mgrid[:64, :96]
    grey = (128 + 90 * np.sin((x + 5 * i) / 9) * np.cos((y - 3 * i) / 7)).astype(np.uint8)
    return np.stack([grey] * 3, -1)


def write_samples(folder):
    """Write them, and return {name: bytes}."""
    for name, kind in PLAIN.items():
        soundfile.write(folder / name, voice(), RATE, format=kind)
    soundfile.write(folder / "a.ogg", voice(), RATE, format="OGG", subtype="VORBIS")
    for name, codec in SOUNDS.items():
        write(folder / name, None, codec)
    for name, (film, sound) in FILMS.items():
        write(folder / name, film, sound)
    for name in STILLS:
        cv2.imwrite(str(folder / name), wave(0))
    names = sorted(["a.ogg", *PLAIN, *SOUNDS, *FILMS, *STILLS])
    return {name: (folder / name).read_bytes() for name in names}


def write(path, film, sound):
    rate = RATES.get(sound, RATE)
    with av.open(str(path), "w") as container:
        if film:
            pictures = container.add_stream(film, rate=25, options=OPTIONS.get(film, {}))
            pictures.width, pictures.height, pictures.pix_fmt = 96, 64, "yuv420p"
        track = container.add_stream(sound, rate=rate, layout="mono")
        track.format = track.codec.audio_formats[0]
        track.bit_rate = track.bit_rate or (32_000 if sound == "wmav2" else 0)
        if not track.codec_context.is_open:
            track.codec_context.open()
        if film:
            for i in range(20):
                frame = av.VideoFrame.from_ndarray(wave(i), format="rgb24")
                frame.pts = i
                container.mux(pictures.encode(frame))
            container.mux(pictures.encode(None))
        frame = av.AudioFrame.from_ndarray(voice()[None], format="flt", layout="mono")
        frame.sample_rate, frame.pts = RATE, 0
        resampler = av.AudioResampler(track.format, "mono", rate, track.codec_context.frame_size or None)
        for part in (*resampler.resample(frame), *resampler.resample(None), None):
            container.mux(track.encode(part))
