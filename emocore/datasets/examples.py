"""What a model is trained and tested on: clips of feature tables, selected, and what it reads of them by family."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from emocore.arrays import Rows
from emocore.datasets.groups import actors_in_paths
from emocore.datasets.selection import Channel, select
from emocore.datasets.windows import WindowsOfClips, end_to_end
from emocore.errors import UserError, amount
from emocore.features.catalogue import families_of, to_json
from emocore.features.family import FeatureFamily, other_input
from emocore.features.rows import values_of
from emocore.labels import EMOTIONS, check_set
from emocore.schema import CLIPS, SCHEMA_VERSION, features_schema, of_emotions
from emocore.storage.folder import CONFIG, FEATURES, of_other_version
from emocore.storage.tables import read_tables
from emocore.timeline import AS_FAMILIES_SAY, HowCut

MANIFEST = "manifest.json"
FIRST_WINDOW = 0


class Inputs(Protocol):
    """What the examples hold of one family, row by row: in memory, or on disk."""

    @property
    def family(self) -> FeatureFamily:
        """What the values are."""

    def take(self, rows: Rows) -> Self:
        """Return these rows alone."""


@dataclass(frozen=True)
class Values:
    """Inputs in memory: float32[n, *shape]."""

    family: FeatureFamily
    values: NDArray[np.float32]

    def take(self, rows: Rows) -> Self:
        """Return these rows alone."""
        return replace(self, values=self.values[rows])


@dataclass(frozen=True, kw_only=True)
class Examples:
    """Clips (schema.CLIPS), their soft labels [n, k] of k emotions, row by row, and what a model reads, by family.

    `windows`: where clips are tested by all of their windows.
    """

    clips: pa.Table
    soft: NDArray[np.float32]
    inputs: Mapping[str, Inputs]
    synthetic: bool
    emotions: tuple[str, ...] = EMOTIONS
    left_out: dict[str, int] = field(default_factory=dict)  # clips and files that are not among them, by cause
    windows: WindowsOfClips | None = None

    @property
    def truth(self) -> NDArray[np.int64]:
        """The raters' majority, an index into `emotions`, int64[n]; −1 where unlabelled."""
        return np.where(self.soft.sum(axis=1) > 0, self.soft.argmax(axis=1), -1)

    @property
    def x(self) -> NDArray[np.float32]:
        """What a model of sound reads, float32[n, *shape]; of several families their values, end to end."""
        return end_to_end([inputs.values for inputs in self.inputs.values() if isinstance(inputs, Values)])

    @property
    def families(self) -> list[FeatureFamily]:
        """What the inputs are."""
        return [inputs.family for inputs in self.inputs.values()]

    def take(self, rows: Rows) -> Self:
        """Return these rows alone."""
        inputs = {name: inputs.take(rows) for name, inputs in self.inputs.items()}
        windows = self.windows.take(rows) if self.windows else None
        return replace(self, clips=self.clips.take(rows), soft=self.soft[rows], inputs=inputs, windows=windows)

    def made_by(self) -> dict[str, Any]:
        """Return how the inputs were made, as JSON values."""
        return {"families": to_json(self.families)}


def is_features(path: str) -> bool:
    """Whether the path is a folder that `featurize` finished."""
    return (Path(path) / MANIFEST).is_file()


def check_finished(path: str) -> None:
    """Raise UserError for a folder that `featurize` has begun and not finished."""
    if not is_features(path) and (Path(path) / CONFIG).exists() and (Path(path) / "clips").is_dir():
        raise UserError(f"{path} holds unfinished feature tables: repeat the command that made them.")


def read_manifest(folder: str) -> dict[str, Any]:
    """Return manifest.json. Raises UserError where it is another schema version's, or no manifest of ours."""
    path = Path(folder) / MANIFEST
    try:
        manifest = dict(json.loads(path.read_text()))
        version = manifest["schema_version"]
        if version == SCHEMA_VERSION:
            families_of(manifest["families"])
            cut_of(manifest)
            check_set(manifest.setdefault("emotions", list(EMOTIONS)))
    except UserError as error:
        raise UserError(f"{folder}: {error} Featurize the corpus again.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is not the manifest of feature tables: featurize the corpus again.") from error
    if version != SCHEMA_VERSION:
        raise of_other_version(Path(folder), version, "python jobs/featurize.py CORPUS --out NEW")
    return manifest


def cut_of(manifest: Mapping[str, Any]) -> HowCut:
    """Return how the recordings of a manifest were cut into windows. Raises TypeError where it does not say so."""
    return HowCut(**manifest["how"]) if "how" in manifest else AS_FAMILIES_SAY


def check_families(folder: str, asked: Sequence[FeatureFamily]) -> None:
    """Raise UserError where a FEATURES folder lacks a family, has it of another input, or other windows of it."""
    manifest = read_manifest(folder)
    found = families_of(manifest["families"])
    for family in asked:
        if family.name not in found and family.modality == "video":
            raise UserError(f"{folder} holds no pictures, which this model reads: featurize with --frames.")
        if family.name not in found:
            raise UserError(
                f"{folder} holds {', '.join(found)}, and this model reads {family.name}: featurize the corpus again "
                f"with --features {family.name}."
            )
        other = other_input(found[family.name], family)
        if other:
            raise UserError(
                f"{folder} was featurized with {other[0]} = {other[1]}, {other[2]} is asked for: featurize the corpus "
                "again with that setting."
            )
        if family.modality == "audio" and cut_of(manifest) != AS_FAMILIES_SAY:
            raise UserError(
                f"{folder} holds windows over whole recordings (--grid {cut_of(manifest).grid}), and models are "
                "trained and evaluated by one window a clip: featurize the corpus without --grid."
            )


def check_one_window(families: Sequence[FeatureFamily]) -> None:
    """Raise UserError for a family of several windows a clip: a model is trained and evaluated by one."""
    for family in families:
        if family.grid.hop_seconds is not None:
            raise UserError(
                f"The family {family.name!r} has several windows a clip, and models are trained and evaluated by one: "
                "give a family whose grid has no hop_seconds."
            )


def load_examples(folders: Sequence[str], families: Sequence[FeatureFamily], channel: Channel) -> Examples:
    """Load FEATURES folders as one set of examples, sorted by clip: usable clips, one a take, by their first windows.

    Raises UserError for a family of several windows a clip, where a folder lacks one of the families of sound, or made
    it otherwise, where two folders share a file, or where they hold nothing usable.
    """
    check_one_window(families)
    manifests = {folder: read_manifest(folder) for folder in folders}
    for folder in folders:
        check_families(folder, families)
    clips_of = read_clips(folders)
    clips, renamed = _one_name_each(clips_of)
    states = Counter(clips["state"].to_pylist())
    usable = clips.filter(pc.is_in(clips["state"], pa.array(["ok", "no_video"])))
    if not usable.num_rows:
        raise UserError(
            f"{', '.join(folders)}: none of the {amount(clips.num_rows, 'clip')} has sound in it: give other files."
        )
    chosen = select(usable, channel=channel, media="audio").sort_by("clip").combine_chunks()
    left_out = {
        "failed": sum(manifest.get("failures", 0) for manifest in manifests.values()),
        **{state: states[state] for state in ("silent", "too_short", "no_audio")},
        "not_selected": usable.num_rows - chosen.num_rows,
    }
    return Examples(
        clips=chosen,
        soft=chosen["soft_label"].combine_chunks().to_numpy_ndarray(),
        emotions=emotions_in(folders),
        inputs={family.name: _read_values(folders, family, chosen["clip"], renamed) for family in families},
        synthetic=any(manifest["synthetic"] for manifest in manifests.values()),
        left_out=left_out,
    )


def _read_values(
    folders: Sequence[str], family: FeatureFamily, clips: pa.ChunkedArray, renamed: Mapping[str, set[str]]
) -> Values:
    """Return the values of each clip's first window, in the clips' order; later windows are passed over, by number."""
    declared = features_schema(family.shape, family.columns)
    tables = []
    for folder in folders:
        table = read_tables(Path(folder) / FEATURES / family.name, declared)
        first = pc.and_(pc.equal(table["window"], FIRST_WINDOW), pc.equal(table["track"], 0))
        tables.append(_rename(table.filter(first), ("clip",), renamed[folder], folder))
    windows = pa.concat_tables(tables)
    if len(pc.unique(windows["clip"])) != windows.num_rows:
        raise UserError(f"{', '.join(folders)} hold a window twice in {family.name}: featurize the corpus again.")
    rows = pc.index_in(clips, windows["clip"].combine_chunks()).combine_chunks()
    if rows.null_count:
        lost = clips.filter(pc.is_null(rows))[0]
        raise UserError(f"The clip {str(lost)!r} has no row in the feature tables: featurize the corpus again.")
    return Values(family, values_of(windows.take(rows), family))


def labelled(examples: Examples) -> Examples:
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


def with_actors(examples: Examples, actor_from: str) -> Examples:
    """Return the examples with the actors that a regular expression finds in their paths, where none is known.

    Raises UserError for a bad expression.
    """
    found = pa.array(actors_in_paths(examples.clips, actor_from), pa.string())
    column = examples.clips.column_names.index("actor")
    actors = pc.coalesce(examples.clips["actor"], found)
    return replace(examples, clips=examples.clips.set_column(column, CLIPS.field("actor"), actors))


def emotions_in(folders: Sequence[str]) -> tuple[str, ...]:
    """Return the emotions that the clips of FEATURES folders are labelled with. Raises UserError where they differ."""
    found = [(folder, tuple(read_manifest(folder)["emotions"])) for folder in folders]
    for folder, emotions in found:
        if emotions != found[0][1]:
            raise UserError(
                f"{folder} is labelled with {', '.join(emotions)}, and {found[0][0]} with {', '.join(found[0][1])}: "
                "featurize both with the same --emotions."
            )
    return found[0][1]


def in_emotions(examples: Examples, emotions: tuple[str, ...]) -> Examples:
    """Return the examples labelled with other emotions: a clip that shows another one the most is unlabelled."""
    if examples.emotions == emotions:
        return examples
    soft = np.zeros((len(examples.soft), len(emotions)), np.float32)
    for place, emotion in enumerate(emotions):
        if emotion in examples.emotions:
            soft[:, place] = examples.soft[:, examples.emotions.index(emotion)]
    soft[soft.max(axis=1) < examples.soft.max(axis=1)] = 0.0
    total = soft.sum(axis=1, keepdims=True)
    soft = np.divide(soft, total, out=np.zeros_like(soft), where=total > 0)
    made = replace(examples, soft=soft, emotions=emotions)
    names = [emotions[i] if i >= 0 else None for i in made.truth]
    place = made.clips.schema.get_field_index("emotion")
    return replace(made, clips=made.clips.set_column(place, CLIPS.field("emotion"), pa.array(names, pa.string())))


def read_clips(folders: Sequence[str]) -> dict[str, pa.Table]:
    """Return the clips of each FEATURES folder. Raises UserError where two hold one file."""
    declared = of_emotions(CLIPS, emotions_in(folders))
    clips_of: dict[str, pa.Table] = {}
    paths: set[str] = set()
    for folder in folders:
        clips = read_tables(Path(folder) / "clips", declared)
        twice = next((path for path in clips["path"].to_pylist() if path in paths), None)
        if twice is not None:
            raise UserError(f"The file {twice!r} stands in two of the tables given: give it once.")
        paths.update(clips["path"].to_pylist())
        clips_of[folder] = clips
    return clips_of


def _one_name_each(clips_of: Mapping[str, pa.Table]) -> tuple[pa.Table, dict[str, set[str]]]:
    """Return all clips; a name that an earlier folder used gets its own folder's behind it: which did, by folder."""
    names: set[str] = set()
    renamed, tables = {}, []
    for folder, clips in clips_of.items():
        renamed[folder] = names.intersection(clips["clip"].to_pylist())
        names.update(clips["clip"].to_pylist())
        tables.append(_rename(clips, ("clip", "take"), renamed[folder], folder))
    return pa.concat_tables(tables), renamed


def _rename(table: pa.Table, columns: Sequence[str], taken: set[str], folder: str) -> pa.Table:
    for name in columns if taken else ():
        values = [f"{value}@{folder}" if value in taken else value for value in table[name].to_pylist()]
        field = table.schema.field(name)
        table = table.set_column(table.column_names.index(name), field, pa.array(values, field.type))
    return table
