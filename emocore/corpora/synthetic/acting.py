"""How the generated actors look and sound, and how each of them plays the eight emotions.

The directions in which an emotion moves the voice follow the review of Juslin & Laukka (2003, *Psychological
Bulletin* 129), those in which it moves the face the action units (AU) of EMFACS (Friesen & Ekman, 1983). The
sizes are ours: they make a demonstration, not a model of people.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from emocore.arrays import Floats
from emocore.labels import EMOTIONS

FEMALE_TRACT = 1.16  # formants of women over those of men, averaged over vowels (Peterson & Barney, 1952)


class VoiceStyle(NamedTuple):
    """How a clip is spoken; `f0` and `level` count from the actor's own neutral voice."""

    f0_semitones: float
    accent_semitones: float  # how far stressed syllables rise
    slope_semitones: float  # from the first phone to the last
    level_db: float
    rate_percent: float
    open_quotient_percent: float  # share of a cycle with open vocal folds: low is pressed, high is lax
    tilt_db: float  # loss at 3 kHz, Klatt's TL
    breath_db: float  # aspiration over voicing
    jitter_percent: float
    tremor_semitones: float
    formant_percent: float  # a smile shortens the vocal tract, protruded lips lengthen it


class FaceStyle(NamedTuple):
    """Action units from 0 (absent) to 1 (full)."""

    inner_brow_raise: float  # AU1
    outer_brow_raise: float  # AU2
    brow_lower: float  # AU4
    upper_lid_raise: float  # AU5
    cheek_raise: float  # AU6
    lid_tighten: float  # AU7
    nose_wrinkle: float  # AU9
    upper_lip_raise: float  # AU10
    corner_pull: float  # AU12
    corner_depress: float  # AU15
    lip_stretch: float  # AU20
    lip_tighten: float  # AU23
    jaw_drop: float  # AU26
    lid_droop: float  # AU43


NEUTRAL_VOICE = VoiceStyle(0, 2.5, -2.5, 0, 0, 60, 8, -26, 0.6, 0.1, 0)
LOWEST_VOICE = VoiceStyle(-8, 0, -9, -14, -30, 35, 0, -45, 0.1, 0, -10)
HIGHEST_VOICE = VoiceStyle(14, 12, 9, 12, 35, 90, 26, -8, 5, 1.2, 10)

# Added to NEUTRAL_VOICE by an average actor at normal intensity.
#                         f0  accent slope level rate   open tilt breath jitter tremor formant
EMOTION_VOICE = {
    "neutral": VoiceStyle(0.0, 0.0, 0.0, 0.0, 0, 0, 0, 0, 0.0, 0.0, 0),
    "calm": VoiceStyle(-0.8, -1.2, -0.5, -3.5, -9, 7, 4, 4, -0.2, 0.0, 0),
    "happy": VoiceStyle(4.0, 2.6, 1.5, 3.0, 7, 0, -2, -1, 0.0, 0.0, 4),
    "sad": VoiceStyle(-1.0, -1.3, -1.5, -6.0, -15, 9, 7, 6, 0.6, 0.25, -1),
    "angry": VoiceStyle(3.0, 2.0, 0.0, 6.5, 9, -14, -6, -4, 0.4, 0.0, -1),
    "fearful": VoiceStyle(5.5, -0.8, 1.5, 0.5, 15, 5, 0, 5, 1.3, 0.45, 1),
    "disgust": VoiceStyle(-1.5, 0.8, -2.0, -0.5, -12, -8, 2, 0, 1.2, 0.0, -5),
    "surprised": VoiceStyle(5.0, 4.0, 6.0, 2.0, -2, 1, -1, 2, 0.0, 0.0, 1),
}
# One standard deviation of an actor's habit in playing one emotion, and of one take.
VOICE_HABIT = VoiceStyle(1.05, 0.7, 0.9, 1.4, 3.5, 2.8, 1.4, 1.75, 0.2, 0.07, 1.0)
VOICE_TAKE = VoiceStyle(0.9, 0.65, 1.0, 1.3, 3.5, 2.8, 1.4, 1.75, 0.2, 0.07, 0.85)

#                        AU1  AU2  AU4  AU5  AU6  AU7  AU9 AU10 AU12 AU15 AU20 AU23 AU26 AU43
EMOTION_FACE = {
    "neutral": FaceStyle(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
    "calm": FaceStyle(0.1, 0.1, 0.0, 0.0, 0.1, 0.0, 0.0, 0.0, 0.25, 0.0, 0.0, 0.0, 0.0, 0.4),
    "happy": FaceStyle(0.1, 0.2, 0.0, 0.0, 0.7, 0.1, 0.0, 0.1, 0.8, 0.0, 0.1, 0.0, 0.15, 0.0),
    "sad": FaceStyle(0.9, 0.0, 0.2, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.9, 0.0, 0.0, 0.0, 0.35),
    "angry": FaceStyle(0.0, 0.15, 0.9, 0.3, 0.0, 0.5, 0.2, 0.2, 0.0, 0.2, 0.0, 0.7, 0.0, 0.0),
    "fearful": FaceStyle(0.8, 0.3, 0.4, 0.7, 0.0, 0.2, 0.0, 0.0, 0.0, 0.2, 0.8, 0.0, 0.25, 0.0),
    "disgust": FaceStyle(0.0, 0.0, 0.5, 0.0, 0.3, 0.5, 0.9, 0.8, 0.0, 0.4, 0.0, 0.0, 0.05, 0.0),
    "surprised": FaceStyle(0.8, 0.9, 0.0, 0.7, 0.0, 0.0, 0.0, 0.0, 0.05, 0.0, 0.0, 0.0, 0.7, 0.0),
}
FACE_HABIT = 0.12
FACE_TAKE = 0.1

INTENSITY = {"normal": 0.75, "strong": 1.15}


@dataclass(frozen=True)
class Look:
    """What does not change between an actor's clips; colours are BGR, lengths in half widths of the face."""

    female: bool
    skin: tuple[int, int, int]
    hair: tuple[int, int, int]
    iris: tuple[int, int, int]
    shirt: tuple[int, int, int]
    wall: tuple[int, int, int]
    face_height: float
    jaw_width: float
    eye_spacing: float
    brow_thickness: float
    nose_length: float
    mouth_width: float
    hair_length: float
    parting: float
    bearded: bool


@dataclass(frozen=True)
class Actor:
    """A generated actor: body, and habits of acting; `habits` rows follow EMOTIONS."""

    look: Look
    f0_hz: float
    tract: float  # formants over those of an average man
    level_dbfs: float
    vividness: float
    voice_habits: Floats
    face_habits: Floats


SKINS = ((186, 208, 240), (150, 184, 226), (124, 160, 208), (100, 138, 190), (84, 116, 168), (70, 96, 142))
HAIRS = ((30, 32, 40), (28, 48, 84), (38, 68, 108), (96, 156, 204), (40, 62, 128), (140, 142, 146))
IRISES = ((30, 44, 70), (84, 66, 40), (48, 74, 50), (24, 32, 44))


def make_actor(number: int, seed: int, habit_noise: float) -> Actor:
    """Return the actor of that number, odd ones male as in RAVDESS; the seed decides everything else."""
    rng = np.random.default_rng([seed, 1, number])
    female = number % 2 == 0
    spread = habit_noise * np.array(VOICE_HABIT)
    return Actor(
        look=_make_look(number, female, rng),
        f0_hz=float((200 if female else 112) * 2 ** rng.normal(0, 0.11)),
        tract=float((FEMALE_TRACT if female else 1.0) * np.exp(rng.normal(0, 0.03))),
        level_dbfs=float(-29 + habit_noise * rng.normal(0, 0.85)),
        vividness=float(np.exp(habit_noise * rng.normal(0, 0.1))),
        voice_habits=rng.standard_normal((len(EMOTIONS), len(spread))) * spread,
        face_habits=rng.standard_normal((len(EMOTIONS), len(FaceStyle._fields))) * habit_noise * FACE_HABIT,
    )


def perform(
    actor: Actor, emotion: str, intensity: str, clip_noise: float, rng: np.random.Generator
) -> tuple[VoiceStyle, FaceStyle]:
    """Return how the actor speaks and looks in one clip of that emotion."""
    row = EMOTIONS.index(emotion)
    strength = INTENSITY[intensity] * actor.vividness
    voice = np.array(NEUTRAL_VOICE) + strength * np.array(EMOTION_VOICE[emotion]) + actor.voice_habits[row]
    voice += clip_noise * np.array(VOICE_TAKE) * rng.standard_normal(len(voice))
    face = strength * np.array(EMOTION_FACE[emotion]) + actor.face_habits[row]
    face += clip_noise * FACE_TAKE * rng.standard_normal(len(face))
    return VoiceStyle(*np.clip(voice, LOWEST_VOICE, HIGHEST_VOICE)), FaceStyle(*np.clip(face, 0, 1.1))


def _make_look(number: int, female: bool, rng: np.random.Generator) -> Look:
    tint = rng.integers(-18, 18, 3) + int(rng.integers(150, 215))
    shirt = rng.integers(40, 170, 3)
    return Look(
        female=female,
        skin=SKINS[(number + int(rng.integers(2))) % len(SKINS)],
        hair=HAIRS[(2 * number + int(rng.integers(3))) % len(HAIRS)],
        iris=IRISES[int(rng.integers(len(IRISES)))],
        shirt=(int(shirt[0]), int(shirt[1]), int(shirt[2])),
        wall=(int(tint[0]), int(tint[1]), int(tint[2])),
        face_height=float(rng.uniform(1.2, 1.4)),
        jaw_width=float(rng.uniform(0.70, 0.80) if female else rng.uniform(0.78, 0.92)),
        eye_spacing=float(rng.uniform(0.38, 0.46)),
        brow_thickness=float(rng.uniform(0.04, 0.06) if female else rng.uniform(0.065, 0.095)),
        nose_length=float(rng.uniform(0.30, 0.42)),
        mouth_width=float(rng.uniform(0.27, 0.35)),
        hair_length=float(rng.uniform(1.0, 1.6) if female else rng.uniform(0.1, 0.4)),
        parting=float(rng.uniform(-0.12, 0.12)),
        bearded=not female and bool(rng.random() < 0.35),
    )
