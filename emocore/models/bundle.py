"""A trained model on disk: what `label` loads. It holds no pickle, and refuses any type that is not ours."""

import contextlib
import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from emocore.errors import UserError
from emocore.features.catalogue import families_of, find_family
from emocore.features.family import FeatureFamily, FrameInput, joined
from emocore.labels import EMOTIONS, check_set
from emocore.media.resize import MAX_PIXELS_A_SIDE, MIN_PIXELS
from emocore.models.aggregation import HOW, How
from emocore.models.base import Classifier, ModelSpec
from emocore.models.catalogue import MODELS, SHIPPED, classifier_class, find_model
from emocore.models.fitting import Recipe
from emocore.models.foreign import check_files
from emocore.models.network_settings import NetworkSettings
from emocore.probabilities import softmax
from emocore.schema import CLIPS, SCHEMA_VERSION
from emocore.storage.files import write_bytes, write_json
from emocore.storage.folder import of_other_version
from emocore.storage.tables import read_table, write_table
from emocore.versions import versions

_CARD = "bundle.json"
_TRAINING = "training.parquet"
_MOST_CARD = 2**23  # bytes
_COLDEST, _HOTTEST = 1e-3, 1e3  # those that are fitted lie from 0.01 to 100
# What training.parquet says of each clip.
KNOWN = pa.schema([CLIPS.field(name) for name in ("clip", "take", "path", "actor", "content_id")])


@dataclass(frozen=True)
class Bundle:
    """A trained model: what it is, the feature families that it asks for, and its card (the contents of bundle.json).

    `hash`: SHA-256 over the names and bytes of its files. `classifier` is there once `load_bundle` has read it; a
    network of frames loads in workers, and has none here.
    """

    spec: ModelSpec
    families: tuple[FeatureFamily, ...]
    temperature: float
    card: Mapping[str, Any]
    folder: Path
    hash: str
    classifier: Classifier | None = None

    @property
    def model(self) -> str:
        """The model's name."""
        return self.spec.name

    @property
    def family(self) -> FeatureFamily:
        """The family that it reads; of several the values of all, end to end."""
        return joined(self.families)

    @property
    def emotions(self) -> tuple[str, ...]:
        """What it tells apart, in the order of its answers."""
        return tuple(self.card["emotions"])

    @property
    def combine(self) -> How:
        """How a clip's frames answer together."""
        how: How = self.card["combine"]
        return how

    def probabilities(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return float64[n, k] for what the family has of n windows, float32[n, *shape]."""
        assert self.classifier is not None
        logits = self.classifier.logits(x)
        if logits.shape[1:] != (len(self.emotions),):
            raise UserError(f"{self.model} answers {logits.shape}, and its bundle names {len(self.emotions)} emotions.")
        return softmax(logits, self.temperature)


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

    `facts` holds at least `temperature`, `families`, `emotions` where they are not EMOTIONS
    and, of a network of frames, `settings` and `combine`.
    """
    for name, content in files.items():
        write_bytes(folder / name, content)
    known = training.select(KNOWN.names)
    if base is not None:
        known = pa.concat_tables([known, known_clips(base).cast(known.schema)])
    write_table(known, folder / _TRAINING)
    card = {
        "schema_version": SCHEMA_VERSION,
        "model": recipe.model,
        "source_hash": find_model(recipe.model).source_hash,
        "seed": recipe.seed,
        "balanced": recipe.balanced,
        "emotions": list(EMOTIONS),
        **facts,
        "versions": versions(),
    }
    write_json(folder / _CARD, card)


def open_bundle(run: str) -> Bundle:
    """Open the bundle of a run folder, of the `model` folder itself, or one that is shipped, by its name.

    Its card is read and its files are hashed; the model is not loaded. Raises UserError as `read_card`.
    """
    folder = bundle_folder(run)
    digest, card = bundle_hash(folder), _read_card(folder)
    families = tuple(families_of(card["families"]).values())
    return Bundle(find_model(str(card["model"])), families, float(card["temperature"]), card, folder, digest)


def load_bundle(run: str) -> Bundle:
    """Open a bundle as `open_bundle` does, and load its model.

    Raises UserError where the model is not what its name says, but for networks of frames, at which only workers look.
    """
    bundle = open_bundle(run)
    if bundle.spec.sees:
        return bundle
    return replace(bundle, classifier=_load_classifier(bundle.folder, bundle.spec, len(bundle.emotions)))


def read_card(run: str) -> dict[str, Any]:
    """Return what bundle.json says, without loading the model.

    Raises UserError where there is none, or one of another schema version, and where it asks for features that this
    release does not compute.
    """
    folder = bundle_folder(run)
    for _ in check_files(folder):
        pass
    return _read_card(folder)


def _read_card(folder: Path) -> dict[str, Any]:
    """Return the card of a folder whose files were looked at."""
    try:
        if (folder / _CARD).stat().st_size > _MOST_CARD:
            raise ValueError("too large")
        card = dict(json.loads((folder / _CARD).read_text()))
        version_then = card["schema_version"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"{folder / _CARD} is not the card of a bundle: train the model again.") from error
    if version_then != SCHEMA_VERSION:
        raise of_other_version(folder, version_then, f"python jobs/train.py FEATURES --model {_named(card)} --out NEW")
    try:
        _check_values(folder, card)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise UserError(f"{folder / _CARD} is not the card of a bundle ({error}): train the model again.") from error
    return card


def _named(card: Mapping[str, Any]) -> str:
    """Return the model's name, where it is one of ours."""
    return str(card.get("model")) if card.get("model") in MODELS else "MODEL"


def _check_values(folder: Path, card: Mapping[str, Any]) -> None:
    if isinstance(card["temperature"], bool) or not _COLDEST <= float(card["temperature"]) <= _HOTTEST:
        raise ValueError(f"temperature {card['temperature']}")
    check_set(card["emotions"])
    spec = find_model(str(card["model"]), str(card.get("source_hash")))
    try:
        families = families_of(card["families"])
    except UserError as error:
        raise UserError(f"{folder}: {error} Train the model again.") from error
    if list(families) != [find_family(name).name for name in spec.reads]:
        raise ValueError(f"families {', '.join(families)}")
    if spec.sees:
        for family in families.values():
            assert isinstance(family.reads, FrameInput)
            _check_pictures(family.reads)
        settings = NetworkSettings.from_json(card["settings"])
        if settings.emotions != tuple(card["emotions"]):
            raise ValueError("two sets of emotions")
        if card["combine"] not in HOW:
            raise ValueError(f"combine {card['combine']}")


def _check_pictures(reads: FrameInput) -> None:
    if reads.every is not None and reads.every < 1:
        raise ValueError(f"{reads}")
    if reads.frames_per_second is not None and not 0 < reads.frames_per_second < math.inf:
        raise ValueError(f"{reads}")
    if not MIN_PIXELS <= reads.pixels <= MAX_PIXELS_A_SIDE or reads.faces not in (True, False):
        raise ValueError(f"{reads}")


def _load_classifier(folder: Path, spec: ModelSpec, n_emotions: int) -> Classifier:
    with readable(folder):
        classifier = classifier_class(spec.name).load(folder, spec.name)
        classifier.answer_for(n_emotions)
        return classifier


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
    """Return the SHA-256 over the names and bytes of the bundle's files. Raises UserError as `check_files`."""
    digest = hashlib.sha256()
    for path in check_files(folder):
        with path.open("rb") as file:
            digest.update(path.name.encode() + b"\0" + hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
