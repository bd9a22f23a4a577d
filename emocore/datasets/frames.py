"""What a model of frames is trained and tested on: clips that have pictures, which are read where they are needed."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from emocore.datasets.examples import Examples, read_clips, read_manifest
from emocore.datasets.selection import Channel, select
from emocore.errors import UserError, amount
from emocore.schema import pictures_schema
from emocore.storage.tables import open_table, picture_columns, read_tables
from emocore.tracks.pictures import PictureConfig

FRAMES = "frames"
HEADS = pa.schema([pictures_schema(1).field(name) for name in ("clip", "state")])


@dataclass(frozen=True, kw_only=True)
class FrameExamples(Examples):
    """Examples whose pictures lie in the `frames` of FEATURES folders, at least one a clip that can be used."""

    folders: tuple[Path, ...]
    n_frames: NDArray[np.int64]  # of each clip, those that can be used
    reading: PictureConfig

    def take(self, rows: NDArray[np.int64]) -> Self:
        """Return these rows alone."""
        return replace(super().take(rows), n_frames=self.n_frames[rows])

    def made_by(self) -> dict[str, Any]:
        """Return which pictures were read."""
        return {"reading": self.reading.to_json()}


def pictures_of(folder: str) -> PictureConfig:
    """Return which pictures a FEATURES folder holds. Raises UserError where it holds none."""
    manifest = read_manifest(folder)
    if manifest.get("every") is None:
        raise UserError(f"{folder} holds no pictures, which this model reads: featurize with --frames.")
    return PictureConfig(manifest["every"], manifest["pixels"], manifest["faces"])


def load_frame_examples(folders: Sequence[str], channel: Channel, reading: PictureConfig) -> FrameExamples:
    """Load FEATURES folders as one set of clips, sorted by clip: those with a usable picture, one a take.

    `reading` is what is asked for. Raises UserError where a folder's pictures were made otherwise, where two folders
    share a clip, and where no clip has a picture that can be used.
    """
    manifests = [read_manifest(folder) for folder in folders]
    for folder in folders:
        _check_pictures(folder, reading)
    clips_of = read_clips(folders)
    clips = pa.concat_tables(clips_of.values())
    _check_names(clips_of)
    shown, usable = _count_frames([Path(folder) for folder in folders])
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
    return FrameExamples(
        clips=chosen.drop_columns("n_frames"),
        soft=chosen["soft_label"].combine_chunks().to_numpy_ndarray(),
        synthetic=any(manifest["synthetic"] for manifest in manifests),
        left_out={**left_out, "not_selected": candidates.num_rows - chosen.num_rows},
        folders=tuple(Path(folder).absolute() for folder in folders),
        n_frames=chosen["n_frames"].to_numpy(),
        reading=reading,
    )


def frame_files(folders: Sequence[Path]) -> list[Path]:
    """Return the Parquet files that hold the folders' pictures, in name order."""
    return [path for folder in folders for path in sorted((folder / FRAMES).glob("*.parquet"))]


def read_frames(path: Path, clips: Collection[str]) -> Iterator[pa.Table]:
    """Yield the usable pictures of these clips, row group by row group: never more than one is held."""
    wanted = pa.array(sorted(clips), pa.string())
    with open_table(path) as file:
        shown = picture_columns(file.schema_arrow, ("clip", "frame_index", "time_seconds", "state", "image"), path)
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


def _check_pictures(folder: str, reading: PictureConfig) -> None:
    found = pictures_of(folder).to_json()
    for name, wanted in reading.to_json().items():
        if found[name] != wanted:
            raise UserError(
                f"{folder} was featurized with {name} = {found[name]}, {wanted} is asked for: "
                "featurize the corpus again with that setting."
            )


def _check_names(clips_of: dict[str, pa.Table]) -> None:
    folder_of: dict[str, str] = {}
    for folder, clips in clips_of.items():
        for clip in clips["clip"].to_pylist():
            other = folder_of.setdefault(clip, folder)
            if other != folder:
                raise UserError(
                    f"{other} and {folder} both hold a clip {clip!r}: featurize their corpora into one folder."
                )


def _count_frames(folders: Sequence[Path]) -> tuple[Counter[str], Counter[str]]:
    """Return how many pictures each clip has, and how many of them can be used; no image is read."""
    shown: Counter[str] = Counter()
    usable: Counter[str] = Counter()
    for folder in folders:
        if frame_files([folder]):
            table = read_tables(folder / FRAMES, HEADS)
            shown.update(table["clip"].to_pylist())
            usable.update(table.filter(pc.equal(table["state"], "ok"))["clip"].to_pylist())
    return shown, usable
