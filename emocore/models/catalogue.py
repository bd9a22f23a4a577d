"""The models by name. A new one is one line here and one file."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from emocore.errors import UserError
from emocore.features.catalogue import find_family
from emocore.features.family import joined
from emocore.models.base import Classifier, ModelSpec, NetworkSpec
from emocore.models.lda import LDA
from emocore.models.network_settings import NetworkSettings, outputs_of
from emocore.models.picture_models import CNN, FACE_CNN, TRANSFER
from emocore.models.sound_models import AUDIO_CNN, AUDIO_CONV1D, MLP, RANDOM_FOREST, SVC, SVC_LINEAR, XGBOOST
from emocore.models.voice import VOICE, VOICE_SCRATCH
from emocore.own import load_own

SPECS: Mapping[str, ModelSpec] = {
    spec.name: spec
    for spec in (
        *(SVC, SVC_LINEAR, RANDOM_FOREST, XGBOOST, MLP, AUDIO_CONV1D, AUDIO_CNN, LDA, VOICE, VOICE_SCRATCH),
        *(CNN, TRANSFER, FACE_CNN),
    )
}
MODELS = tuple(SPECS)
FRAME_MODELS = tuple(name for name, spec in SPECS.items() if spec.sees)
SHIPPED = tuple(name for name, spec in SPECS.items() if spec.shipped)
SEARCHED = tuple(name for name, spec in SPECS.items() if spec.parameters)
ON_GPUS = tuple(name for name, spec in SPECS.items() if spec.trial_gpus)


def find_model(name: str, expected: str | None = None) -> ModelSpec:
    """Return what a model is, by its name, or by `my_module:NAME` one of a module of the user's own.

    `expected`: the hash of that module. Raises UserError for an unknown name.
    """
    if ":" in name:
        spec, digest = load_own(name, ModelSpec, "--model", expected)
        if spec.sees == (spec.load is not None):
            raise UserError(f"--model {name} has to have load or network, and not both: see ModelSpec.")
        if not spec.reads:
            raise UserError(f"--model {name} reads no feature family: name one in ModelSpec.reads.")
        joined([find_family(family) for family in spec.reads])
        return replace(spec, name=name, module=name, source_hash=digest)
    if name not in SPECS:
        raise UserError(
            f"--model {name!r} is unknown: choose one of {', '.join(MODELS)}, my_module:NAME, or the folder of a run."
        )
    return SPECS[name]


def can_search(name: str) -> bool:
    """Whether a name is that of a model with parameters that may be searched."""
    return name in SEARCHED or (":" in name and find_model(name).parameters is not None)


def is_model(name: str) -> bool:
    """Whether this is a model's name, and not the folder of a run."""
    return name in SPECS or ":" in name


def classifier_class(name: str) -> type[Classifier]:
    """Return the class that fits and loads a model that is fitted in memory. Raises UserError for other names."""
    spec = find_model(name)
    if spec.load is None:
        raise UserError(f"{spec.name} learns from pictures that are streamed to it: no arrays are fitted.")
    return spec.load()


def network_spec(name: str) -> NetworkSpec:
    """Return what a network of frames is. Raises UserError for a model that hears."""
    network = find_model(name).network
    if network is None:
        raise UserError(f"{name!r} is no network of frames: choose one of {', '.join(FRAME_MODELS)}.")
    return network


def outputs(name: str, settings: NetworkSettings) -> tuple[str, ...]:
    """Return the emotions that a network has outputs for."""
    return outputs_of(network_spec(name).emotions, settings)


def input_pixels(name: str, settings: NetworkSettings) -> int:
    """Return the side of the pictures that a network takes."""
    return network_spec(name).input_pixels or settings.pixels


def build_network(name: str, settings: NetworkSettings, base: Any = None) -> Any:
    """Return the network, in Keras's current precision and scope, with logits [n, emotions].

    `base`: a face-cnn whose weights the trunk of `transfer` takes; None leaves them to chance.
    """
    build = network_spec(name).build
    return build(settings) if base is None else build(settings, base)
