"""What a model is trained and tested on: feature tables, selected, joined, and as arrays."""

import json
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from emocore.datasets.groups import actors_in_paths
from emocore.datasets.selection import Channel, select
from emocore.errors import UserError, amount
from emocore.features.extract import AUDIO, FRAMES, inputs_of
from emocore.features.family import FeatureConfig, Inputs
from emocore.schema import CLIPS, SCHEMA_VERSION
from emocore.storage.tables import read_tables

MANIFEST = "manifest.json"


@dataclass(frozen=True, kw_only=True)
class Examples(ABC):
    """Clips (schema.CLIPS) and their soft labels [n, 8], row by row."""

    clips: pa.Table
    soft: NDArray[np.float32]
    synthetic: bool
    left_out: dict[str, int] = field(default_factory=dict)  # clips and files that are not among them, by cause

    @property
    def truth(self) -> NDArray[np.int64]:
        """The raters' majority, an index into EMOTIONS, int64[n]; −1 where unlabelled."""
        return np.where(self.soft.sum(axis=1) > 0, self.soft.argmax(axis=1), -1)

    def take(self, rows: NDArray[np.int64]) -> Self:
        """Return these rows alone."""
        return replace(self, clips=self.clips.take(rows), soft=self.soft[rows])

    @abstractmethod
    def made_by(self) -> dict[str, Any]:
        """Return how the inputs were made, as JSON values."""


@dataclass(frozen=True, kw_only=True)
class ArrayExamples(Examples):
    """Examples whose inputs are held as an array: x [n, …]."""

    x: NDArray[np.float32]
    features: FeatureConfig

    def take(self, rows: NDArray[np.int64]) -> Self:
        """Return these rows alone."""
        return replace(super().take(rows), x=self.x[rows])

    def made_by(self) -> dict[str, Any]:
        """Return the features' definition and its hash."""
        return {"features": self.features.to_json(), "features_hash": self.features.hash()}


Some = TypeVar("Some", bound=Examples)


def is_features(path: str) -> bool:
    """Whether the path is a folder that `featurize` finished."""
    return (Path(path) / MANIFEST).is_file()


def read_manifest(folder: str) -> dict[str, Any]:
    """Return manifest.json. Raises UserError where it is another schema version's, or no manifest of ours."""
    path = Path(folder) / MANIFEST
    try:
        manifest = dict(json.loads(path.read_text()))
        version = manifest["schema_version"]
        if version != SCHEMA_VERSION:
            raise UserError(
                f"{folder} has schema version {version}, this release reads {SCHEMA_VERSION}: "
                "featurize the corpus again."
            )
        current = FeatureConfig(**manifest["features"]).hash()
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is not the manifest of feature tables: featurize the corpus again.") from error
    if current != manifest.get("features_hash"):
        raise UserError(f"{folder} holds features that this release computes otherwise: featurize the corpus again.")
    return manifest


def load_examples(folders: Sequence[str], inputs: Inputs, channel: Channel, features: FeatureConfig) -> ArrayExamples:
    """Load FEATURES folders as one set of examples, sorted by clip: usable clips, one a take.

    `features` is what is asked for. Raises UserError where a folder's features were made otherwise, where it
    lacks sound, or the MFCC frames that `inputs` asks for, or where they share a clip or hold nothing usable.
    """
    manifests = {folder: read_manifest(folder) for folder in folders}
    for folder, manifest in manifests.items():
        _check_config(folder, manifest, features)
        if not manifest.get("sound", True):
            raise UserError(f"{folder} was made for a model that sees, and this one hears: featurize the corpus again.")
        if inputs == "frames" and not manifest["mfcc"]:
            raise UserError(f"{folder} holds no MFCC frames, which this model reads: featurize with --mfcc.")
    clips, inputs_by_clip = _read_all(folders, inputs)
    states = Counter(clips["state"].to_pylist())
    usable = clips.filter(pc.is_in(clips["state"], pa.array(["ok", "no_video"])))
    if not usable.num_rows:
        raise UserError(
            f"{', '.join(folders)}: none of the {amount(clips.num_rows, 'clip')} has sound in it: give other files."
        )
    chosen = select(usable, channel=channel, media="audio").sort_by("clip").combine_chunks()
    rows = pc.index_in(chosen["clip"], inputs_by_clip["clip"]).combine_chunks()
    if rows.null_count:
        lost = chosen["clip"].filter(pc.is_null(rows))[0]
        raise UserError(f"The clip {str(lost)!r} has no row in the feature tables: featurize the corpus again.")
    x = inputs_of(inputs_by_clip.take(rows), inputs)
    soft = chosen["soft_label"].combine_chunks().to_numpy_ndarray()
    left_out = {
        "failed": sum(manifest.get("failures", 0) for manifest in manifests.values()),
        "silent": states["silent"],
        "no_audio": states["no_audio"],
        "not_selected": usable.num_rows - chosen.num_rows,
    }
    synthetic = any(manifest["synthetic"] for manifest in manifests.values())
    return ArrayExamples(clips=chosen, soft=soft, synthetic=synthetic, left_out=left_out, x=x, features=features)


def labelled(examples: Some) -> Some:
    """Return the examples that have a label. Raises UserError where none has one."""
    rows = np.flatnonzero(examples.truth >= 0)
    check_labelled(len(rows), examples.clips.num_rows)
    left_out = {**examples.left_out, "unlabelled": len(examples.truth) - len(rows)}
    return replace(examples.take(rows), left_out=left_out)


def check_labelled(n_labelled: int, n_clips: int) -> None:
    """Raise UserError where no clip has a label."""
    if not n_labelled:
        raise UserError(
            f"None of the {amount(n_clips, 'clip')} is labelled: name the folders by emotion, or give a manifest."
        )


def with_actors(examples: Some, actor_from: str) -> Some:
    """Return the examples with the actors that a regular expression finds in their paths, where none is known.

    Raises UserError for a bad expression.
    """
    found = pa.array(actors_in_paths(examples.clips, actor_from), pa.string())
    column = examples.clips.column_names.index("actor")
    actors = pc.coalesce(examples.clips["actor"], found)
    return replace(examples, clips=examples.clips.set_column(column, CLIPS.field("actor"), actors))


def _check_config(folder: str, manifest: dict[str, Any], config: FeatureConfig) -> None:
    found = FeatureConfig(**manifest["features"])
    for name, wanted in config.to_json().items():
        if found.to_json()[name] != wanted:
            raise UserError(
                f"{folder} was featurized with {name} = {found.to_json()[name]}, {wanted} is asked for: "
                "featurize the corpus again with that setting."
            )


def _read_all(folders: Sequence[str], inputs: Inputs) -> tuple[pa.Table, pa.Table]:
    """Return all clips, and all inputs by clip; a name that an earlier folder used gets its own folder's behind it."""
    table, columns = ("audio", AUDIO) if inputs == "columns" else ("mfcc", [FRAMES])
    names: set[str] = set()
    all_clips, all_inputs = [], []
    for folder, clips in read_clips(folders).items():
        found = read_tables(Path(folder) / table, pa.schema([CLIPS.field("clip"), *columns]))
        taken = names.intersection(clips["clip"].to_pylist())
        names.update(clips["clip"].to_pylist())
        all_clips.append(_rename(clips, ("clip", "take"), taken, folder))
        all_inputs.append(_rename(found, ("clip",), taken, folder))
    return pa.concat_tables(all_clips), pa.concat_tables(all_inputs)


def read_clips(folders: Sequence[str]) -> dict[str, pa.Table]:
    """Return the clips of each FEATURES folder. Raises UserError where two hold one file."""
    clips_of: dict[str, pa.Table] = {}
    paths: set[str] = set()
    for folder in folders:
        clips = read_tables(Path(folder) / "clips", CLIPS)
        twice = next((path for path in clips["path"].to_pylist() if path in paths), None)
        if twice is not None:
            raise UserError(f"The file {twice!r} stands in two of the tables given: give it once.")
        paths.update(clips["path"].to_pylist())
        clips_of[folder] = clips
    return clips_of


def _rename(table: pa.Table, columns: Sequence[str], taken: set[str], folder: str) -> pa.Table:
    for name in columns if taken else ():
        values = [f"{value}@{folder}" if value in taken else value for value in table[name].to_pylist()]
        field = table.schema.field(name)
        table = table.set_column(table.column_names.index(name), field, pa.array(values, field.type))
    return table
