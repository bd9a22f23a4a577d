"""What answers for a file in the process beside a program: windows of sound by all that the model reads of them."""

from pathlib import Path

import numpy as np

from emocore.api import reader
from emocore.features.catalogue import FAMILIES
from emocore.labels import EMOTIONS
from emocore.models.bundle import Bundle
from emocore.models.catalogue import find_model
from emocore.models.joining import JoiningSink
from emocore.timeline import how_cut


def test_a_model_of_several_families_needs_nothing_of_films():
    spec = find_model("lda")
    families = tuple(FAMILIES[name] for name in spec.reads)
    bundle = Bundle(spec, families, 1.0, {"emotions": list(EMOTIONS)}, Path(), "0")
    watch = reader._Watch(lambda _: None)
    sink = reader._sink((bundle, np.zeros_like), how_cut(), lambda *_: None, watch)
    assert isinstance(sink, JoiningSink)
    assert sink.family.size == sum(family.size for family in families)
    assert sink.family.name == "functionals+gabor+high-band"
