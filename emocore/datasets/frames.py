"""What a model of frames is trained and tested on: clips that have pictures, which are read where they are needed."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from emocore.datasets.examples import Examples, check_families, emotions_in, read_clips, read_manifest
from emocore.datasets.selection import Channel, select
from emocore.errors import UserError, amount
from emocore.features.catalogue import families_of
from emocore.features.family import FeatureFamily, FrameInput
from emocore.features.pictures import PICTURES
from emocore.schema import pictures_schema
from emocore.storage.folder import FRAMES_FOLDER
from emocore.storage.tables import open_table, picture_columns, read_table

_READ = ("clip", "track", "frame_index", "time_seconds", "state", "image")
_HEADS = pa.schema([pictures_schema(1).field(name) for name in ("clip", "state")])


@dataclass(frozen=True)
class FrameInputs:
    """Pictures in the `frames` of FEATURES folders; `n_frames` int64[n]: those of each clip that can be used."""

    family: FeatureFamily
    folders: tuple[Path, ...]
    n_frames: NDArray[np.int64]

    @property
    def reads(self) -> FrameInput:
        """Which pictures they are."""
        assert isinstance(self.family.reads, FrameInput)
        return self.family.reads

    def take(self, rows: NDArray[np.int64]) -> Self:
        """Return these rows alone."""
        return replace(self, n_frames=self.n_frames[rows])


def frames_of(examples: Examples) -> FrameInputs:
    """Return the pictures of examples that have some."""
    (inputs,) = examples.inputs.values()
    assert isinstance(inputs, FrameInputs)
    return inputs


def pictures_of(folder: str) -> FeatureFamily:
    """Return which pictures a FEATURES folder holds. Raises UserError where it holds none."""
    found = families_of(read_manifest(folder)["families"])
    if PICTURES.name not in found:
        raise UserError(f"{folder} holds no pictures, which this model reads: featurize with --frames.")
    return found[PICTURES.name]


def load_frame_examples(folders: Sequence[str], channel: Channel, pictures: FeatureFamily) -> Examples:
    """Load FEATURES folders as one set of clips, sorted by clip: those with a usable picture, one a take.

    `pictures` is what is asked for. Raises UserError where a folder's pictures were made otherwise, where two folders
    share a clip, and where no clip has a picture that can be used.
    """
    manifests = [read_manifest(folder) for folder in folders]
    for folder in folders:
        pictures_of(folder)
        check_families(folder, [pictures])
    clips_of = read_clips(folders)
    clips = pa.concat_tables(clips_of.values())
    _check_names(clips_of)
    shown, usable = count_frames([Path(folder) for folder in folders])
    names = clips["clip"].to_pylist()
    n_frames = np.array([usable[name] for name in names], np.int64)
    left_out = {
        "failed": sum(manifest.get("failures", 0) for manifest in manifests),
        "no_video": sum(not shown[name] for name in names),
        "no_face": sum(bool(shown[name]) and not usable[name] for name in names),
    }
    if not n_frames.any():
        missing = "a face in its pictures" if left_out["no_face"] else "pictures in it"
        given = "films or images" if missing.startswith("pictures") else "others, or leave out --faces"
        raise UserError(f"{', '.join(folders)}: none of the {amount(len(names), 'clip')} has {missing}: give {given}.")
    candidates = clips.append_column("n_frames", pa.array(n_frames)).filter(pa.array(n_frames > 0))
    chosen = select(candidates, channel=channel, media="frames").sort_by("clip").combine_chunks()
    places = tuple(Path(folder).absolute() for folder in folders)
    return Examples(
        clips=chosen.drop_columns("n_frames"),
        soft=chosen["soft_label"].combine_chunks().to_numpy_ndarray(),
        emotions=emotions_in(folders),
        inputs={pictures.name: FrameInputs(pictures, places, chosen["n_frames"].to_numpy())},
        synthetic=any(manifest["synthetic"] for manifest in manifests),
        left_out={**left_out, "not_selected": candidates.num_rows - chosen.num_rows},
    )


def frame_files(folders: Sequence[Path]) -> list[Path]:
    """Return the Parquet files that hold the folders' pictures, in name order."""
    return [path for folder in folders for path in sorted((folder / FRAMES_FOLDER).glob("*.parquet"))]


def count_frames(folders: Sequence[Path]) -> tuple[Counter[str], Counter[str]]:
    """Return how many pictures each clip has, and how many of them can be used; no image is read.

    Raises UserError where a file has another schema version.
    """
    shown: Counter[str] = Counter()
    usable: Counter[str] = Counter()
    for path in frame_files(folders):
        heads = read_table(path, _HEADS, of_this_version=True)
        kept = heads.filter(pc.equal(heads["state"], "ok"))
        for counter, rows in ((shown, heads), (usable, kept)):
            counter.update({entry["values"]: entry["counts"] for entry in rows["clip"].value_counts().to_pylist()})
    return shown, usable


def read_frames(path: Path, clips: Collection[str] | pa.Array) -> Iterator[pa.Table]:
    """Yield the usable pictures of these clips, row group by row group: never more than one is held."""
    wanted = clips if isinstance(clips, pa.Array) else pa.array(sorted(clips), pa.string())
    with open_table(path) as file:
        shown = picture_columns(file.schema_arrow, _READ, path)
        for group in range(file.num_row_groups):
            heads = file.read_row_group(group, ["clip", "state"])
            keep = pc.and_(pc.is_in(heads["clip"], wanted), pc.equal(heads["state"], "ok")).combine_chunks()
            rows = np.flatnonzero(keep.to_numpy(zero_copy_only=False))
            if len(rows):
                columns = [name for name in shown.names if name != "state"]
                yield file.read_row_group(group, columns).take(pa.array(rows))


def images_of(frames: pa.Table) -> NDArray[np.uint8]:
    """Return the pictures uint8[n, pixels, pixels] of a table."""
    return np.asarray(frames["image"].combine_chunks().to_numpy_ndarray(), np.uint8)


def _check_names(clips_of: dict[str, pa.Table]) -> None:
    folder_of: dict[str, str] = {}
    for folder, clips in clips_of.items():
        for clip in clips["clip"].to_pylist():
            other = folder_of.setdefault(clip, folder)
            if other != folder:
                raise UserError(
                    f"{other} and {folder} both hold a clip {clip!r}: featurize their corpora into one folder."
                )
