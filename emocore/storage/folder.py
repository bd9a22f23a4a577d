"""The output folder: one run at a time, continued where it stopped, never mixed with anything else."""

import contextlib
import itertools
import json
import os
import shlex
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emocore.errors import FULL, UserError, output_error
from emocore.schema import SCHEMA_VERSION
from emocore.storage.files import delete, store_of, write_json
from emocore.storage.local import link_error

CONFIG = "config.json"
ARCHIVE = ".archive.sqlite"  # what a folder that follows an archive knows of its files
PLAN = ".plan.arrow"  # the files that are to be worked on
JOURNALS = ".journals"  # what is being read of them
SECTIONS = ".sections"  # what was made of parts of long files, until the whole is there
FRAMES_FOLDER, WINDOWS_FOLDER, TRACKS_FOLDER = "frames", "windows", "tracks"  # tables with several rows a clip
FEATURES = "features"  # a folder for each family
LOCK = ".lock"
_COMMANDS = ("featurize", "train", "tune", "evaluate", "label", "compare")


@dataclass(frozen=True)
class OutputFolder:
    """A locked output folder; `finished` says that an earlier run of the same command completed it."""

    path: Path
    finished: bool


@contextmanager
def output_folder(
    out: str, config: Mapping[str, Any], last_file: str, free: tuple[str, ...] = ()
) -> Iterator[OutputFolder]:
    """Lock `out` for this process and write its config.json, or check that it holds the same one.

    `last_file` is what the command writes last: where it exists, the command had finished. Raises UserError where
    another process holds the lock, where the folder holds other things, or where any setting differs, but for those
    options that are `free` to be others.
    """
    path = Path(out).absolute()  # workers may have another working directory
    check_outlives_job("--out", path)
    if path.exists() and not path.is_dir():
        raise UserError(f"--out {out} is a file: name a folder, new or empty.")
    _check_ours(path)
    try:
        path.mkdir(0o700, parents=True, exist_ok=True)  # what a voice or a face says of someone is not for all to read
    except OSError as error:
        if error.errno in FULL:
            raise output_error(path, error) from error
        raise UserError(f"--out {out} cannot be made ({error.strerror}): name a folder that can be written.") from error
    with folder_lock(path, f"Another run is writing to {out}: wait until it ends, or choose another --out."):
        check_no_links(path)
        _check_ours(path)
        is_new = not check_config(path, config, free)
        if is_new:
            write_json(path / CONFIG, config)
        try:
            yield OutputFolder(path, finished=_is_whole(path / last_file))
        except UserError:
            # A refused command does not claim the folder; one that had begun, and may go on, does.
            if is_new and not _foreign(path, besides=CONFIG):
                delete(path / CONFIG)
            raise


def _is_whole(path: Path) -> bool:
    """Whether a file is there, and all of it: a copy may have been cut off."""
    try:
        return isinstance(json.loads(path.read_bytes()), dict)
    except (OSError, ValueError, RecursionError):
        return False


def folder_lock(path: Path, busy: str) -> AbstractContextManager[None]:
    """Lock a folder for this process. Raises UserError with the sentence `busy` where another one holds it."""
    return store_of(path).lease(path / LOCK, busy)


def check_no_links(folder: Path) -> None:
    """Raise UserError where an output folder holds, at any depth, a link, a pipe or a device.

    What is written or deleted there would be somebody else's. The folder itself may be reached by a link.
    """
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_symlink():
                raise link_error(Path(entry.path))
            if entry.is_dir(follow_symlinks=False):
                check_no_links(Path(entry.path))
            elif not stat.S_ISREG(entry.stat(follow_symlinks=False).st_mode):
                raise UserError(f"{entry.path} is neither a file nor a folder: take it away.")


@contextmanager
def tables_lock(paths: Iterable[str]) -> Iterator[None]:
    """Keep finished folders as they are while they are read. Raises UserError where one is being brought up to date."""
    with ExitStack() as stack:
        for path in paths:
            busy = f"{path} is being brought up to date: wait until that ends."
            stack.enter_context(store_of(Path(path)).lease(Path(path) / LOCK, busy, shared=True))
        yield


def check_outlives_job(option: str, path: Path) -> None:
    """Raise UserError where a submitted job would write into Ray's copy of its working directory."""
    parts = path.resolve().parts
    if ("runtime_resources", "working_dir_files") in itertools.pairwise(parts):
        raise UserError(
            f"{option} {path} lies in the job's copy of the working directory, which Ray deletes: "
            "name a folder by its whole path, on storage that every node has."
        )


def _check_ours(path: Path) -> None:
    if not path.exists() or (path / CONFIG).exists():
        return
    others = _foreign(path)
    if others:
        raise UserError(
            f"--out {path} holds other things ({others[0]!r}): name a folder that is new, empty, or of this command."
        )


def _foreign(path: Path, besides: str = "") -> list[str]:
    """Return what the folder holds that is not of a run which was refused before it had begun."""
    ours = {
        LOCK,
        besides,
        *(ARCHIVE, f"{ARCHIVE}-journal", PLAN, JOURNALS, SECTIONS),
        *(("features",) if (path / "features" / CONFIG).exists() else ()),
    }
    return sorted(entry.name for entry in path.iterdir() if entry.name not in ours)


def check_config(path: Path, config: Mapping[str, Any], free: tuple[str, ...] = ()) -> bool:
    """Return whether a folder holds this config.json. Raises UserError where it holds another one, or a damaged one."""
    file = path / CONFIG
    if not file.exists():
        return False
    try:
        before = dict(json.loads(file.read_text()))
    except (ValueError, TypeError) as error:
        raise UserError(f"{file} is not valid JSON: choose another --out.") from error
    if before.get("schema_version") != config.get("schema_version"):
        raise of_other_version(path, before.get("schema_version"), f"python jobs/{config.get('command')}.py --out NEW")
    difference = first_difference(_without(free, before), _without(free, json.loads(json.dumps(config))))
    if difference:
        name, old, new = difference
        raise UserError(
            f"{path} was made with {name} = {old}, this command has {new}: choose another --out, "
            f"or repeat that run with --config {file}."
        )
    return True


def of_other_version(place: Path, found: object, otherwise: str) -> UserError:
    """Return what to say of what another release wrote: the command that makes it anew.

    That is the one of the config.json in the folder, or in one that it lies in; `otherwise`, where there is none.
    """
    command = otherwise
    for folder in (place, *place.parents[:3]):
        with contextlib.suppress(OSError, ValueError, TypeError, RecursionError, KeyError):
            if stat.S_ISREG((folder / CONFIG).lstat().st_mode):
                job = dict(json.loads((folder / CONFIG).read_text()))["command"]
                if job in _COMMANDS:
                    command = f"python jobs/{job}.py --config {shlex.quote(str(folder / CONFIG))} --out NEW"
                    break
    return UserError(
        f"{place} has schema version {str(found)[:20]}, this release reads {SCHEMA_VERSION}: make it anew by {command}."
    )


def _without(free: tuple[str, ...], config: dict[str, Any]) -> dict[str, Any]:
    options = {name: value for name, value in (config.get("options") or {}).items() if name not in free}
    return {**config, "options": options}


def first_difference(before: Any, now: Any, name: str = "") -> tuple[str, str, str] | None:
    """Return the dotted name of the first value that differs, and both values as JSON; None where all agree.

    >>> first_difference({"options": {"seed": 0}}, {"options": {"seed": 1}})
    ('options.seed', '0', '1')
    """
    if isinstance(before, dict) and isinstance(now, dict):
        for key in [*now, *(key for key in before if key not in now)]:
            found = first_difference(before.get(key), now.get(key), f"{name}.{key}" if name else key)
            if found:
                return found
        return None
    if before == now:
        return None
    return name, json.dumps(before, ensure_ascii=False), json.dumps(now, ensure_ascii=False)
