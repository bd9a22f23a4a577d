"""A trained model on disk: what `label` loads. It holds no pickle, and refuses any type that is not ours."""

import contextlib
import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from emocore.errors import UserError
from emocore.features.family import FeatureConfig
from emocore.labels import EMOTIONS
from emocore.media.resize import MAX_PIXELS_A_SIDE, MIN_PIXELS
from emocore.models.aggregation import HOW, How
from emocore.models.base import Classifier
from emocore.models.catalogue import FRAME_MODELS, SHIPPED, classifier_class
from emocore.models.fitting import Recipe
from emocore.models.network_settings import NetworkSettings
from emocore.probabilities import softmax
from emocore.schema import CLIPS, SCHEMA_VERSION
from emocore.storage.local import write_json
from emocore.storage.tables import read_table, write_table
from emocore.tracks.pictures import PictureConfig
from emocore.versions import versions

_CARD = "bundle.json"
_TRAINING = "training.parquet"
# What training.parquet says of each clip.
KNOWN = pa.schema([CLIPS.field(name) for name in ("clip", "take", "path", "actor", "content_id")])


@dataclass(frozen=True)
class Bundle:
    """A loaded model, the features that it asks for, and its card (the contents of bundle.json)."""

    classifier: Classifier
    features: FeatureConfig
    temperature: float
    card: Mapping[str, Any]

    @property
    def model(self) -> str:
        """The model's name."""
        return str(self.card["model"])

    def probabilities(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return float64[n, 8] for the 160 columns [n, 160], or for MFCC frames [n, 157, 39]."""
        return softmax(self.classifier.logits(x), self.temperature)


@dataclass(frozen=True)
class FrameBundle:
    """Which pictures a network of frames asks for, how they answer together, and its card; it loads in workers."""

    reading: PictureConfig
    combine: How
    temperature: float  # of the clips' answers
    card: Mapping[str, Any]

    @property
    def model(self) -> str:
        """The model's name."""
        return str(self.card["model"])


def save_bundle(
    folder: Path,
    files: Mapping[str, bytes],
    recipe: Recipe,
    training: pa.Table,
    facts: Mapping[str, Any],
    base: Path | None = None,
) -> None:
    """Write the bundle; bundle.json comes last. `files` is what the classifier saved, `training` its clips.

    `base`: the bundle that its training began from, whose clips it knows too.

    `facts` holds at least `temperature` and, by the kind of the model, `features` and `features_hash`, or `reading`
    and `combine`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    known = training.select(KNOWN.names)
    if base is not None:
        known = pa.concat_tables([known, known_clips(base).cast(known.schema)])
    write_table(known, folder / _TRAINING)
    card = {
        "schema_version": SCHEMA_VERSION,
        "model": recipe.model,
        "seed": recipe.seed,
        "balanced": recipe.balanced,
        "emotions": list(EMOTIONS),
        **facts,
        "versions": versions(),
    }
    write_json(folder / _CARD, card)


def load_bundle(run: str) -> Bundle | FrameBundle:
    """Load the bundle of a run folder, of the `model` folder itself, or one that is shipped, by its name.

    Raises UserError as `read_card`, and where the model is not what its name says, but for networks of frames, at
    which only workers look.
    """
    folder, card = bundle_folder(run), read_card(run)
    name, temperature = str(card["model"]), float(card["temperature"])
    if name in FRAME_MODELS:
        return FrameBundle(PictureConfig(**card["reading"]), card["combine"], temperature, card)
    return Bundle(_load_classifier(folder, name), FeatureConfig(**card["features"]), temperature, card)


def read_card(run: str) -> dict[str, Any]:
    """Return what bundle.json says, without loading the model.

    Raises UserError where there is none, or one of another schema version, and where it asks for features that this
    release does not compute.
    """
    folder = bundle_folder(run)
    try:
        card = dict(json.loads((folder / _CARD).read_text()))
        version_then = card["schema_version"]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder / _CARD} is not the card of a bundle: train the model again.") from error
    if version_then != SCHEMA_VERSION:
        raise UserError(
            f"{folder} has schema version {version_then}, this release reads {SCHEMA_VERSION}: train the model again."
        )
    try:
        _check_values(folder, card)
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder / _CARD} is not the card of a bundle ({error}): train the model again.") from error
    return card


def _check_values(folder: Path, card: Mapping[str, Any]) -> None:
    if not 0 < float(card["temperature"]) < math.inf:
        raise ValueError(f"temperature {card['temperature']}")
    if card["model"] in FRAME_MODELS:
        _check_pictures(**card["reading"])
        NetworkSettings.from_json(card["settings"])
        if card["combine"] not in HOW:
            raise ValueError(f"combine {card['combine']}")
        return
    features, hash_then = FeatureConfig(**card["features"]).hash(), card["features_hash"]
    if features != hash_then:
        raise UserError(
            f"{folder} was trained on features {hash_then}, this release computes {features}: train it again."
        )


def _check_pictures(every: int, pixels: int, faces: bool) -> None:
    if every < 1 or not MIN_PIXELS <= pixels <= MAX_PIXELS_A_SIDE or faces not in (True, False):
        raise ValueError(f"every {every}, pixels {pixels}, faces {faces}")


def _load_classifier(folder: Path, name: str) -> Classifier:
    with readable(folder):
        return classifier_class(name).load(folder, name)


@contextlib.contextmanager
def readable(folder: Path) -> Iterator[None]:
    """Turn whatever a reader of model files raises into a UserError."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # skops, XGBoost and Keras raise what their readers happen to meet
        cause = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"The model in {folder} cannot be read ({cause}): train it again.") from error


def bundle_folder(run: str) -> Path:
    """Return the folder that holds bundle.json: of a model that is shipped, RUN/model, or RUN.

    Raises UserError where none has one.
    """
    if run in SHIPPED:
        folder = Path(str(package_files("emocore.models") / "weights" / run))
        if not (folder / _CARD).is_file():
            raise UserError(
                f"The weights of {run!r} are not in this installation: train them with jobs/train.py FER2013 "
                f"--model {run}, and name that RUN."
            )
        return folder
    for folder in (Path(run).absolute() / "model", Path(run).absolute()):
        if os.path.isfile(folder / _CARD):  # noqa: PTH113 - False, not an error, where we may not look
            return folder
    raise UserError(f"{run} holds no finished model: name the folder that jobs/train.py wrote.")


def known_clips(folder: Path) -> pa.Table:
    """Return the clips that the bundle was trained on, KNOWN rows."""
    return read_table(training_clips(folder), KNOWN)


def training_clips(folder: Path) -> Path:
    """Return the table of clips that the bundle was trained on."""
    return folder / _TRAINING


def bundle_hash(folder: Path) -> str:
    """Return the SHA-256 over the names and bytes of the bundle's files."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        digest.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
