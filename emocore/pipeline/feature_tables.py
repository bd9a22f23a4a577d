"""A finished FEATURES folder as `label` answers for it: part by part, as its clips came when their media were read."""

import hashlib
import json
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from emocore.datasets.examples import cut_of, read_manifest
from emocore.datasets.frames import images_of
from emocore.errors import UserError
from emocore.features.catalogue import families_of
from emocore.features.clock import begins_of, later
from emocore.features.extract import FEATURIZED, SOFT
from emocore.features.family import FeatureFamily, FrameInput, SoundInput, other_input
from emocore.features.listen import Windows
from emocore.features.one_file import Sink
from emocore.features.rows import values_of
from emocore.media.video import Picture
from emocore.pipeline.archive.parts import numbered_files
from emocore.pipeline.archive.stage import ReadShard, shard_file
from emocore.pipeline.options.frames import SAMPLING, flag
from emocore.schema import FAILURES, features_schema, pictures_schema
from emocore.storage.files import store_of
from emocore.storage.folder import CONFIG, FEATURES, FRAMES_FOLDER
from emocore.storage.tables import check_types, open_table, picture_columns, read_table, row_groups, rows_of
from emocore.timeline import HowCut, Window

_CLIPS = "clips"
_OF_SOUND = ("sound_begin_seconds", "bandwidth_hz", "speech_seconds")  # a model that sees has not heard it
_GOOD = pa.schema([field for field in FEATURIZED if field.name != SOFT])  # emotions that a corpus names are no answer


@dataclass(frozen=True)
class FeatureTables:
    """The parts of a FEATURES folder, and what a model reads of them; workers are sent this, and read the files."""

    folder: Path
    families: tuple[FeatureFamily, ...]
    how: HowCut

    @property
    def sees(self) -> bool:
        """Whether pictures are read."""
        return any(isinstance(family.reads, FrameInput) for family in self.families)

    def numbers(self) -> list[int]:
        """Return the numbers of the parts, in order."""
        return sorted(numbered_files(self.folder / _CLIPS))

    def size(self, number: int) -> int:
        """Return how many files a part has a row of, those that failed among them."""
        failures = self._file("failures", number)
        return rows_of(self._file(_CLIPS, number)) + (rows_of(failures) if failures.exists() else 0)

    def shard(self, number: int) -> pa.Table:
        """Return the FEATURIZED rows of a part, without soft labels."""
        path = self._file(_CLIPS, number)
        with open_table(path, of_this_version=True) as file:
            there = [field for field in _GOOD if field.name in file.schema_arrow.names]
            check_types(file.schema_arrow, pa.schema(there), path)
            rows = file.read(columns=[field.name for field in there])
        told = [field.name for field in there if not (self.sees and field.name in _OF_SOUND)]
        columns = {
            field.name: rows[field.name] if field.name in told else pa.nulls(len(rows), field.type) for field in _GOOD
        }
        if not self.sees:  # said of a sound beside which pictures were looked for, and a model that hears wants none
            columns["state"] = pc.if_else(pc.equal(columns["state"], "no_video"), "ok", columns["state"])
        return pa.table(columns, _GOOD)

    def identity(self, number: int) -> str:
        """Return 16 hexadecimal digits over what a part holds: its files, how they were cut and what was computed."""
        facts = [asdict(self.how), [family.hash() for family in self.families]]
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
        for table in (_CLIPS, "failures"):
            path = self._file(table, number)
            if path.exists():
                with store_of(path).open(path) as file:
                    digest.update(hashlib.sha256(file.read()).digest())
        return digest.hexdigest()[:16]

    def read(self, number: int) -> ReadShard:
        """Return what was read of a part's files when it was made. Raises UserError where it is not whole."""
        good, path = self.shard(number), self._file("failures", number)
        failures = read_table(path, FAILURES).replace_schema_metadata() if path.exists() else FAILURES.empty_table()
        before = dict.fromkeys(good["path"].to_pylist(), 0)
        return ReadShard(number, good, failures, {}, before, self.identity(number))

    def replay(self, number: int, good: pa.Table, sink: Sink) -> None:
        """Give a sink all that was made of a part's files, in the order in which it was; copies together.

        Of segments on their own clocks, as they are read. Never more than a row group is held. Raises UserError where a
        table is not there, or not whole.
        """
        copies = _copies(good)
        begins = begins_of(dict(zip(good["clip"].to_pylist(), good["path"].to_pylist(), strict=True)))
        for family in self.families:
            if isinstance(family.reads, SoundInput):
                for clip, rows in self._runs_of(number, family, list(copies)):
                    sink.windows(copies[clip], family, _windows_of(rows, family, begins.get(clip, 0.0)))
            else:
                for clip, rows in self._pictures(number, list(copies)):
                    sink.pictures(copies[clip], _pictures_of(rows, begins.get(clip, 0.0)))

    def _runs_of(self, number: int, family: FeatureFamily, clips: list[str]) -> Iterator[tuple[str, pa.Table]]:
        path, wanted = self._there(f"{FEATURES}/{family.name}", number), pa.array(clips, pa.string())
        with open_table(path, features_schema(family.shape, family.columns), of_this_version=True) as file:
            for group in row_groups(file):
                rows = group.filter(pc.is_in(group["clip"], wanted))
                for clip, start, stop in _runs(rows):
                    yield clip, rows.slice(start, stop - start)

    def _pictures(self, number: int, clips: list[str]) -> Iterator[tuple[str, pa.Table]]:
        path, wanted = self._there(FRAMES_FOLDER, number), pa.array(clips, pa.string())
        with open_table(path, of_this_version=True) as file:
            picture_columns(file.schema_arrow, pictures_schema(1).names, path)
            for group in row_groups(file):
                rows = group.filter(pc.and_(pc.is_in(group["clip"], wanted), pc.equal(group["track"], 0)))
                for clip, start, stop in _runs(rows):
                    yield clip, rows.slice(start, stop - start)

    def _file(self, table: str, number: int) -> Path:
        return shard_file(self.folder / table, number)

    def _there(self, table: str, number: int) -> Path:
        path = self._file(table, number)
        if not path.exists():
            raise UserError(f"{path} is gone: repeat the command that made {self.folder}, which makes it again.")
        return path


def open_tables(folder: str, families: Sequence[FeatureFamily]) -> FeatureTables:
    """Return the tables of a finished FEATURES folder. Raises UserError where they lack what these families say.

    It names the command that makes tables which have it.
    """
    manifest = read_manifest(folder)
    found = families_of(manifest["families"])
    for family in families:
        missing = _missing(found, family)
        if missing:
            command = _command(folder, manifest, found.get(family.name), family)
            raise UserError(f"{folder} {missing}: make tables that fit, by {command}.")
    return FeatureTables(Path(folder).absolute(), tuple(families), cut_of(manifest))


def _missing(found: dict[str, FeatureFamily], family: FeatureFamily) -> str | None:
    """Return what tables lack of a family, in words; None where they have it."""
    if family.name not in found:
        return f"holds {', '.join(found)}, and the model reads {family.name}"
    there = found[family.name]
    other = other_input(there, family)
    if other:
        name, value, wanted = other
        may_be_given = name in SAMPLING or (name == "faces" and value)
        told = f" (or give {' '.join(_option(name, value))})" if may_be_given else ""
        return f"was featurized with {name} = {value}, and {wanted} is asked for{told}"
    return None if there.hash() == family.hash() else f"holds {family.name} computed otherwise than the model reads it"


def _command(folder: str, manifest: dict[str, Any], there: FeatureFamily | None, family: FeatureFamily) -> str:
    """Return the command that makes tables with this family of the same corpora; `there`: it as the tables have it."""
    config = Path(folder) / CONFIG
    corpora = ["--config", str(config)] if config.exists() else ["CORPUS"]
    given = ["--features", family.module or family.name]
    if isinstance(family.reads, FrameInput):
        given.append("--frames")
        for name in SAMPLING:
            value = getattr(family.reads, name)
            said_before = there is not None and getattr(there.reads, name) is not None
            given += _option(name, value) if value is not None else [flag(name), "None"] if said_before else []
        given += [*_option("pixels", family.reads.pixels), *_option("faces", family.reads.faces)]
    else:
        given += ["--sample-rate-hz", str(family.reads.sample_rate_hz), "--level", family.reads.level]
        given += [] if "how" in manifest else ["--grid", "speech"]
    return shlex.join(["python", "jobs/featurize.py", *corpora, *given, "--out", "NEW"])


def _option(name: str, value: bool | float) -> list[str]:
    """Return an option as it is typed."""
    if isinstance(value, bool):
        return [flag(name) if value else f"--no-{name}"]
    return [flag(name), str(value)]


def _copies(good: pa.Table) -> dict[str, list[str]]:
    """Return the clips of equal bytes, by the first of them."""
    alike: dict[str, list[str]] = {}
    for clip, content in zip(good["clip"].to_pylist(), good["content_id"].to_pylist(), strict=True):
        alike.setdefault(content or clip, []).append(clip)
    return {clips[0]: clips for clips in alike.values()}


def _runs(rows: pa.Table) -> Iterator[tuple[str, int, int]]:
    """Yield the clips of rows, each with where the rows of one of its tracks begin and end."""
    clips, tracks = np.array(rows["clip"].to_pylist(), object), rows["track"].to_numpy()
    edges = (clips[1:] != clips[:-1]) | (tracks[1:] != tracks[:-1])
    edges = [0, *(np.flatnonzero(edges) + 1).tolist(), len(clips)]
    for start, stop in pairwise(edges) if len(clips) else ():
        yield clips[start], start, stop


def _windows_of(rows: pa.Table, family: FeatureFamily, begins: float) -> Windows:
    places = (rows[name].to_pylist() for name in ("window", "start_seconds", "end_seconds"))
    windows = [Window(n, later(start, -begins), later(end, -begins)) for n, start, end in zip(*places, strict=True)]
    speech = rows["speech_seconds"].to_numpy().astype(np.float64)
    track = rows["track"][0].as_py()
    return Windows(windows, rows["state"].to_pylist(), speech, values_of(rows, family), track)


def _pictures_of(rows: pa.Table, begins: float) -> list[Picture]:
    columns = (rows[name].to_pylist() for name in ("frame_index", "time_seconds", "state", "box"))
    told = zip(*columns, images_of(rows), strict=True)
    return [
        Picture(index, later(seconds, -begins), np.asarray(image), state, None if box is None else tuple(box))
        for index, seconds, state, box, image in told
    ]
