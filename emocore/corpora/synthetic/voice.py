"""Voices of the generated corpus: a glottal source through formant resonators, in two RAVDESS statements."""

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.signal import butter, lfilter, sosfilt

from emocore.arrays import Floats
from emocore.corpora.synthetic.acting import Actor, VoiceStyle

SAMPLE_RATE_HZ = 48_000
BLOCK_SAMPLES = 240  # 5 ms, over which the formants stand still
BLOCKS_PER_SECOND = SAMPLE_RATE_HZ // BLOCK_SAMPLES
BLOCKS_PER_VIDEO_FRAME = 8  # 25 frames a second: sound and picture end together
QUIET_SECONDS = 0.16  # before and after the statement
ROOM_NOISE_DBFS = -66.0
HIGHER_FORMANTS_HZ = (3500.0, 4500.0)  # F4 and F5 of a man, Klatt (1980)
BANDWIDTHS_HZ = np.array([70.0, 90.0, 130.0, 220.0, 300.0])

# F1, F2, F3 in hertz (vowels of men: Peterson & Barney, 1952), then the gains of voicing, of hissing noise
# (s, z) and of the duller noise of bursts.
PHONES = {
    "ih": (390, 1990, 2550, 1.00, 0.0, 0.0),
    "ah": (640, 1190, 2390, 0.90, 0.0, 0.0),
    "aa": (730, 1090, 2440, 1.00, 0.0, 0.0),
    "ao": (570, 840, 2410, 1.00, 0.0, 0.0),
    "r": (420, 1300, 1650, 0.70, 0.0, 0.0),
    "ng": (280, 2000, 2600, 0.40, 0.0, 0.0),
    "b": (250, 900, 2300, 0.12, 0.0, 0.05),
    "d": (250, 1750, 2600, 0.12, 0.0, 0.12),
    "g": (250, 1900, 2300, 0.12, 0.0, 0.12),
    "dh": (300, 1400, 2500, 0.35, 0.0, 0.08),
    "k": (300, 1900, 2300, 0.00, 0.0, 0.30),
    "t": (300, 1750, 2600, 0.00, 0.12, 0.25),
    "s": (300, 1700, 2600, 0.00, 0.45, 0.0),
    "z": (300, 1700, 2600, 0.30, 0.25, 0.0),
}
# "Kids are talking by the door", "Dogs are sitting by the door": phone, milliseconds, stress.
_BY_THE_DOOR = "b 60 0,aa 70 0,ih 60 0,dh 45 0,ah 50 0,d 55 0,ao 150 0.8,r 100 0"
STATEMENTS = {
    "kids": "k 75 0,ih 95 1,d 45 0,z 65 0,aa 75 0,r 50 0,t 75 0,ao 135 0.9,k 65 0,ih 60 0,ng 75 0",
    "dogs": "d 60 0,ao 130 1,g 55 0,z 65 0,aa 75 0,r 50 0,s 90 0,ih 90 0.9,t 65 0,ih 60 0,ng 75 0",
}


def speak(actor: Actor, style: VoiceStyle, statement: str, rng: np.random.Generator) -> Floats:
    """Return one spoken statement as samples in [-1, 1] at 48 kHz, a whole number of video frames long."""
    phones, progress = _phone_tracks(statement, style.rate_percent, rng)
    formants_hz, gains, stress = phones[:, :3], phones[:, 3:6], phones[:, 6]
    f0_hz = _f0_contour(actor.f0_hz, style, stress, progress, rng)
    loudness = 10 ** (gaussian_filter1d(stress, 8) * (2 + 0.5 * style.accent_semitones) / 20)

    flow = _glottal_flow(_to_samples(f0_hz), style, rng)
    voiced = _to_samples(gains[:, 0]) * _voice_source(flow, style, rng)
    formants_hz = np.column_stack([formants_hz, np.tile(HIGHER_FORMANTS_HZ, (len(formants_hz), 1))])
    scale = actor.tract * (1 + style.formant_percent / 100)
    speech = _resonate(voiced, formants_hz * scale) + _frication(gains[:, 1], gains[:, 2], rng)
    speech *= _to_samples(loudness)

    level = 10 ** ((actor.level_dbfs + style.level_db) / 20)
    speech *= level / np.sqrt(np.mean(speech[np.abs(speech) > 1e-6] ** 2))
    speech += 10 ** (ROOM_NOISE_DBFS / 20) * _room_noise(len(speech), rng)
    return np.asarray(speech * min(1.0, 0.98 / np.abs(speech).max()))


def _phone_tracks(statement: str, rate_percent: float, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Return float[blocks, 7] (F1, F2, F3, three gains, stress) and the progress in the statement."""
    rows, blocks = [], []
    for entry in f"{STATEMENTS[statement]},{_BY_THE_DOOR}".split(","):
        phone, milliseconds, stress = entry.split()
        seconds = float(milliseconds) / 1000 / (1 + rate_percent / 100) * np.exp(rng.normal(0, 0.08))
        blocks.append(max(3, round(seconds * BLOCKS_PER_SECOND)))
        rows.append([*PHONES[phone], float(stress)])
    tracks = np.repeat(np.array(rows), blocks, axis=0)
    before = round(QUIET_SECONDS * BLOCKS_PER_SECOND * rng.uniform(0.7, 1.3))
    after = round(QUIET_SECONDS * BLOCKS_PER_SECOND * rng.uniform(0.7, 1.3))
    after += -(before + len(tracks) + after) % BLOCKS_PER_VIDEO_FRAME
    progress = np.pad(np.linspace(0, 1, len(tracks)), (before, after), mode="edge")
    tracks = np.pad(tracks, ((before, after), (0, 0)), mode="edge")
    tracks[:before, 3:] = tracks[len(tracks) - after :, 3:] = 0
    tracks[:, :3] = gaussian_filter1d(tracks[:, :3], 4, axis=0, mode="nearest")  # coarticulation
    tracks[:, 3:6] = gaussian_filter1d(tracks[:, 3:6], 1.5, axis=0, mode="constant")
    return tracks, progress


def _f0_contour(f0_hz: float, style: VoiceStyle, stress: Floats, progress: Floats, rng: np.random.Generator) -> Floats:
    wander = gaussian_filter1d(rng.standard_normal(len(stress)), 15, mode="wrap") * 2
    seconds = np.arange(len(stress)) / BLOCKS_PER_SECOND
    tremor = np.sin(2 * np.pi * (rng.uniform(5, 8) * seconds + rng.random()))
    semitones = (
        style.f0_semitones
        + style.accent_semitones * gaussian_filter1d(stress, 10, mode="nearest")
        + style.slope_semitones * (progress - 0.5)
        + style.tremor_semitones * tremor
        + wander
    )
    return np.asarray(f0_hz * 2 ** (semitones / 12))


def _to_samples(blocks: Floats) -> Floats:
    """Draw a line through the middles of the 5 ms blocks."""
    middles = (np.arange(len(blocks)) + 0.5) * BLOCK_SAMPLES
    return np.interp(np.arange(len(blocks) * BLOCK_SAMPLES), middles, blocks)


def _glottal_flow(f0_hz: Floats, style: VoiceStyle, rng: np.random.Generator) -> Floats:
    """Return the air flow through the vocal folds, 0 to 1: Rosenberg's (1971) trigonometric pulses."""
    spare = 8
    cycle = (np.cumsum(f0_hz) / SAMPLE_RATE_HZ).astype(int)
    jitter = 1 + style.jitter_percent / 100 * rng.standard_normal(cycle[-1] + spare)
    phase, cycle = np.modf(np.cumsum(f0_hz * jitter[cycle]) / SAMPLE_RATE_HZ)
    shimmer = 1 + 3 * style.jitter_percent / 100 * rng.standard_normal(len(jitter) + spare)

    opened = style.open_quotient_percent / 100
    peak = opened * 2 / 3
    opening = 0.5 - 0.5 * np.cos(np.pi * phase / peak)
    closing = np.cos(0.5 * np.pi * (phase - peak) / (opened - peak))
    flow = np.where(phase < peak, opening, np.where(phase < opened, closing, 0))
    return np.asarray(flow * shimmer[np.minimum(cycle.astype(int), len(shimmer) - 1)])


def _voice_source(flow: Floats, style: VoiceStyle, rng: np.random.Generator) -> Floats:
    """Return the flow's derivative (what lips radiate) with tilt, and aspiration while the folds are open."""
    pulses = np.diff(flow, prepend=0.0)
    if style.tilt_db > 0:
        corner_hz = 3000 / np.sqrt(10 ** (style.tilt_db / 10) - 1)
        pole = np.exp(-2 * np.pi * corner_hz / SAMPLE_RATE_HZ)
        pulses = lfilter([1 - pole], [1, -pole], pulses)
    breath = rng.standard_normal(len(flow)) * (0.3 + flow)
    gain = 10 ** (style.breath_db / 20) * np.std(pulses) / np.std(breath)
    return np.asarray(pulses + gain * breath)


def _resonate(source: Floats, formants_hz: Floats) -> Floats:
    """Pass the source through Klatt's (1980) digital resonators in cascade, one set of formants a block."""
    radius = np.exp(-np.pi * BANDWIDTHS_HZ / SAMPLE_RATE_HZ)
    b = 2 * radius * np.cos(2 * np.pi * formants_hz / SAMPLE_RATE_HZ)
    c = np.broadcast_to(-(radius**2), b.shape)
    one, zero = np.ones_like(b), np.zeros_like(b)
    sections = np.stack([1 - b - c, zero, zero, one, -b, -c], axis=-1)
    state = np.zeros((formants_hz.shape[1], 2))
    heard = np.empty_like(source)
    for block, filters in enumerate(sections):
        at = slice(block * BLOCK_SAMPLES, (block + 1) * BLOCK_SAMPLES)
        heard[at], state = sosfilt(filters, source[at], zi=state)
    return heard


def _frication(hiss: Floats, burst: Floats, rng: np.random.Generator) -> Floats:
    noise = rng.standard_normal(len(hiss) * BLOCK_SAMPLES)
    high = sosfilt(butter(2, (5000, 9000), "bandpass", fs=SAMPLE_RATE_HZ, output="sos"), noise)
    low = sosfilt(butter(2, (1500, 4500), "bandpass", fs=SAMPLE_RATE_HZ, output="sos"), noise)
    return np.asarray(0.05 * (_to_samples(hiss) * high + _to_samples(burst) * low))


def _room_noise(samples: int, rng: np.random.Generator) -> Floats:
    """Return noise of unit variance that falls off above some 400 Hz, as the hum of a quiet room does."""
    noise = lfilter([1], [1, -0.95], rng.standard_normal(samples))
    return np.asarray(noise / np.std(noise))
