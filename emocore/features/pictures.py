"""Sampled frames as grey pictures: what networks that see read. Its rows are frames, each a point in time."""

from typing import NoReturn

from emocore.features.family import FeatureFamily, FrameInput


def _load(family: FeatureFamily) -> NoReturn:
    raise TypeError(f"{family.name} are kept as they are decoded: no values are computed of their windows.")


PICTURES = FeatureFamily("pictures", 1, FrameInput(), (256, 256), _load)
