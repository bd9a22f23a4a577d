"""The feature families by name. A new one is one line here and one file."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from emocore.errors import UserError
from emocore.features.article import ARTICLE, ARTICLE_FRAMES
from emocore.features.family import JOINED_BY, FeatureFamily, SoundInput
from emocore.features.functionals import FUNCTIONALS
from emocore.features.gabor import GABOR
from emocore.features.high_band import HIGH_BAND
from emocore.features.logmel import LOGMEL
from emocore.features.pictures import PICTURES
from emocore.features.prosody import PROSODY
from emocore.features.speech_encoder import SPEECH_ENCODER, speech_encoder_of
from emocore.own import load_own

FAMILIES: Mapping[str, FeatureFamily] = {
    family.name: family
    for family in (
        *(ARTICLE, ARTICLE_FRAMES, PICTURES),
        *(FUNCTIONALS, GABOR, HIGH_BAND, LOGMEL, PROSODY, SPEECH_ENCODER),
    )
}
# Families that other weights may be given for: `name:PATH`.
OF_WEIGHTS: Mapping[str, Callable[[str, str | None], FeatureFamily]] = {SPEECH_ENCODER.name: speech_encoder_of}


def find_family(name: str, expected: str | None = None) -> FeatureFamily:
    """Return a family of the catalogue, or one of a module of the user's own, named `my_module:NAME`.

    `speech-encoder:PATH` is that family with weights of the user's. Raises UserError where there is none.
    """
    kind, _, place = name.partition(":")
    if kind in OF_WEIGHTS and place:
        return OF_WEIGHTS[kind](place, expected)
    if ":" in name:
        family, digest = load_own(name, FeatureFamily, "--features", expected)
        if family.name in FAMILIES:
            raise UserError(f"--features {name} is called {family.name!r}, as one of emocore is: give it another name.")
        if JOINED_BY in family.name:
            raise UserError(f"--features {name} is called {family.name!r}: {JOINED_BY} stands between two names.")
        if not isinstance(family.reads, SoundInput):
            raise UserError(
                f"--features {name} reads pictures, and families of your own read sound: give a SoundInput."
            )
        return replace(family, module=name, source_hash=digest)
    if name not in FAMILIES:
        raise UserError(f"--features {name!r} is unknown: choose of {', '.join(FAMILIES)}, or give my_module:NAME.")
    return FAMILIES[name]


def family_of(name: str, told: Mapping[str, Any]) -> FeatureFamily:
    """Return the family that a manifest or a bundle speaks of by `FeatureFamily.to_json`.

    Raises UserError where this release, or the user's own module, computes it otherwise.
    """
    if not isinstance(told, Mapping):
        raise ValueError(f"family {told!r}")
    family = find_family(told["module"], str(told.get("source_hash"))) if told.get("module") else find_family(name)
    family = family.with_input(**told["reads"])
    if family.hash() != told["hash"]:
        raise UserError(f"the features {name!r} of then are not computed any more: make them again.")
    return family


def families_of(told: Mapping[str, Mapping[str, Any]]) -> dict[str, FeatureFamily]:
    """Return the families that a manifest or a bundle speaks of, by name. Raises UserError as `family_of`."""
    if not isinstance(told, Mapping):
        raise ValueError(f"families {told!r}")
    return {name: family_of(name, facts) for name, facts in told.items()}


def to_json(families: Iterable[FeatureFamily]) -> dict[str, Any]:
    """Return what a manifest or a bundle says of families."""
    return {family.name: family.to_json() for family in families}
