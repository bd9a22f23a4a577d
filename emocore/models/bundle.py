"""A trained model on disk: what `label` loads. It holds no pickle, and refuses any type that is not ours."""

import contextlib
import hashlib
import json
import math
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from emocore import __version__
from emocore.config import FeatureConfig
from emocore.errors import UserError
from emocore.evaluation.calibration import softmax
from emocore.labels import EMOTIONS
from emocore.models.base import Classifier
from emocore.models.catalogue import classifier_class
from emocore.models.fitting import Recipe
from emocore.outputs import write_json
from emocore.schema import SCHEMA_VERSION, write_table

_CARD = "bundle.json"
_TRAINING = "training.parquet"
# Packages that decide a result, each with the names of its builds.
_PACKAGES = (
    ("ray",),
    ("numpy",),
    ("scipy",),
    ("librosa",),
    ("soxr",),
    ("av",),
    ("scikit-learn",),
    ("skops",),
    ("xgboost", "xgboost-cpu"),
    ("keras",),
    ("tensorflow", "tensorflow-cpu"),
    ("pyarrow",),
)


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


def save_bundle(
    folder: Path, files: Mapping[str, bytes], recipe: Recipe, training: pa.Table, facts: Mapping[str, Any]
) -> None:
    """Write the bundle; bundle.json comes last. `files` is what the classifier saved, `training` its clips.

    `facts` holds at least `temperature`, `features`, `features_hash`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    write_table(training.select(["clip", "take", "path", "actor", "content_id"]), folder / _TRAINING)
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


def load_bundle(run: str) -> Bundle:
    """Load the bundle of a run folder, or the `model` folder itself.

    Raises UserError where there is none, or where it asks for features that this release does not compute.
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
        features = FeatureConfig(**card["features"])
        name, temperature, hash_then = str(card["model"]), float(card["temperature"]), card["features_hash"]
        if not 0 < temperature < math.inf:
            raise ValueError(f"temperature {temperature}")
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder / _CARD} is not the card of a bundle ({error}): train the model again.") from error
    if features.hash() != hash_then:
        raise UserError(
            f"{folder} was trained on features {hash_then}, this release computes {features.hash()}: train it again."
        )
    return Bundle(_load_classifier(folder, name), features, temperature, card)


def _load_classifier(folder: Path, name: str) -> Classifier:
    try:
        return classifier_class(name).load(folder, name)
    except UserError:
        raise
    except Exception as error:  # skops, XGBoost and Keras raise what their readers happen to meet
        cause = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"The model in {folder} cannot be read ({cause}): train it again.") from error


def bundle_folder(run: str) -> Path:
    """Return the folder that holds bundle.json. Raises UserError where neither RUN/model nor RUN has one."""
    for folder in (Path(run).absolute() / "model", Path(run).absolute()):
        if os.path.isfile(folder / _CARD):  # noqa: PTH113 - False, not an error, where we may not look
            return folder
    raise UserError(f"{run} holds no finished model: name the folder that jobs/train.py wrote.")


def training_clips(folder: Path) -> Path:
    """Return the table of clips that the bundle was trained on."""
    return folder / _TRAINING


def bundle_hash(folder: Path) -> str:
    """Return the SHA-256 over the names and bytes of the bundle's files."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        digest.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that decide a result."""
    found = {"emocore": __version__, "python": platform.python_version()}
    for names in _PACKAGES:
        for name in names:
            with contextlib.suppress(PackageNotFoundError):
                found[names[0]] = version(name)
    return found
