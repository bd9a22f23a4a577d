"""The best that is known here of a voice: what was computed of its sound, and what a pretrained ear makes of it.

The ridges were chosen on RAVDESS's actors 1 to 20, by inner folds of actors; the weights are each training's own.
"""

from typing import ClassVar

from emocore.features.family import FeatureFamily
from emocore.features.high_band import HIGH_BAND
from emocore.features.speech_encoder import SPEECH_ENCODER
from emocore.models.base import Classifier, ModelSpec, Settings
from emocore.models.fusion import LateFusion, Member, families_read, parameters_of
from emocore.models.lda import LDA, RidgeLda


class HighBandLda(RidgeLda):
    """Of the band above 7 kHz alone: among ten thousand other columns its 320 are not heard as much as they tell."""

    reads: ClassVar[tuple[FeatureFamily, ...]] = (HIGH_BAND,)
    defaults: ClassVar[Settings] = {**RidgeLda.defaults, "ridge": 3.0}


class EncoderLda(RidgeLda):
    """Of the states of a pretrained ear."""

    reads: ClassVar[tuple[FeatureFamily, ...]] = (SPEECH_ENCODER,)
    defaults: ClassVar[Settings] = {**RidgeLda.defaults, "ridge": 1.0}


def _member(name: str, kind: type[RidgeLda]) -> Member:
    reads = tuple(family.name for family in kind.reads)
    return Member(name, ModelSpec(LDA.name, reads, lambda: kind, parameters=lambda: dict(kind.defaults)))


_ACOUSTIC = _member("acoustic", RidgeLda)
_HIGH_BAND = _member("high", HighBandLda)
_ENCODER = _member("encoder", EncoderLda)


class VoiceScratch(LateFusion):
    """Nothing pretrained: all that is computed of the sound, and its high band once more."""

    parts = (_ACOUSTIC, _HIGH_BAND)


class Voice(LateFusion):
    """All that is computed of the sound, and the pretrained ear; the high band once more would weigh nothing here."""

    parts = (_ACOUSTIC, _ENCODER)


def _spec(name: str, kind: type[LateFusion]) -> ModelSpec:
    def load() -> type[Classifier]:
        return kind

    return ModelSpec(name, families_read(kind.parts), load, parameters=lambda: parameters_of(kind.parts))


VOICE, VOICE_SCRATCH = _spec("voice", Voice), _spec("voice-scratch", VoiceScratch)
