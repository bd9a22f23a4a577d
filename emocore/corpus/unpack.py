"""Published zips into a folder of clips: only the actors asked for, and nothing outside the folder."""

import re
import shutil
import stat
import zipfile
import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from emocore.corpus.checksums import disk_fault
from emocore.corpus.ravdess import is_ravdess_name
from emocore.errors import UserError
from emocore.outputs import folder_lock
from emocore.pipeline.progress import Counter, megabytes

_BAD_ZIP = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, ValueError, EOFError)


@dataclass(frozen=True)
class _Member:
    archive: Path
    info: zipfile.ZipInfo
    target: Path


def check_apart(dest: str, folder: str) -> None:
    """Raise UserError unless zips and unpacked clips lie apart: as a corpus, one folder would hold each clip twice."""
    zips, clips = Path(dest).resolve(), Path(folder).resolve()
    if zips == clips or zips in clips.parents or clips in zips.parents:
        raise UserError(
            f"--unpack {folder} and --dest {dest} lie in one another, and as a corpus would hold every clip twice: "
            "name two folders side by side."
        )


def unpack(zips: Sequence[Path], folder: str, actors: Collection[str]) -> int:
    """Unpack what belongs to these actors, and return how many files the folder has of it.

    Every name is checked before anything is written: UserError for one that leads outside, for a link, an encrypted
    member or a broken zip. A file that is there with the right size is kept; a new one gets its name when it is whole.
    """
    root = Path(folder)
    members = [member for path in zips for member in _members(path, root, actors)]
    waiting = [member for member in members if not _is_there(member)]
    try:
        root.mkdir(parents=True, exist_ok=True)
        with folder_lock(root, f"Another run is writing to {folder}: wait until it ends, or choose another --unpack."):
            _check_space(waiting, root)
            _write_all(waiting, root)
    except OSError as error:
        raise disk_fault(root, error) from error
    return len(members)


def _members(path: Path, root: Path, actors: Collection[str]) -> list[_Member]:
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
    except (*_BAD_ZIP, OSError) as error:
        raise UserError(f"{path} cannot be unpacked ({error}): run the same command with --verify.") from error
    for info in infos:
        fault = _fault(info)
        if fault:
            raise UserError(f"{path} holds {info.orig_filename!r}, {fault}: nothing was unpacked.")
    return [
        _Member(path, info, root / info.filename)
        for info in infos
        if not info.is_dir() and _is_wanted(PurePosixPath(info.filename), actors)
    ]


def _fault(info: zipfile.ZipInfo) -> str:
    name, kind = info.orig_filename, stat.S_IFMT(info.external_attr >> 16)
    if not name or name.startswith("/") or re.match(r"[A-Za-z]:", name) or ".." in re.split(r"[/\\]", name):
        return "which leads outside the folder"
    if "\\" in name or "\0" in name:
        return "which no folder can hold"
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "which is a link or a device"
    return "which is encrypted" if info.flag_bits & 1 else ""


def _is_wanted(name: PurePosixPath, actors: Collection[str]) -> bool:
    if any(part.startswith(".") or part == "__MACOSX" for part in name.parts):
        return False
    # What is no recording, such as a README, belongs to all.
    return not is_ravdess_name(name.stem) or name.stem[-2:] in actors


def _is_there(member: _Member) -> bool:
    target = member.target
    return target.is_file() and not target.is_symlink() and target.stat().st_size == member.info.file_size


def _check_space(waiting: Sequence[_Member], root: Path) -> None:
    needed, free = sum(member.info.file_size for member in waiting), shutil.disk_usage(root).free
    if needed > free:
        raise UserError(
            f"{root} has {megabytes(free)} free, and unpacking takes {megabytes(needed)}: free some space, or choose "
            "fewer --actors."
        )


def _write_all(waiting: Sequence[_Member], root: Path) -> None:
    if not waiting:
        return
    with Counter("unpack", len(waiting), "files") as counter:
        for path in dict.fromkeys(member.archive for member in waiting):
            with zipfile.ZipFile(path) as archive:
                for member in (member for member in waiting if member.archive == path):
                    _write(archive, member, root)
                    counter.add(1)


def _write(archive: zipfile.ZipFile, member: _Member, root: Path) -> None:
    folder = member.target.parent
    if not folder.resolve().is_relative_to(root.resolve()):
        raise UserError(f"{folder} is a link that leads outside {root}: nothing is written through it.")
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{member.target.name}.tmp"
    try:
        with archive.open(member.info) as source, temporary.open("wb") as copy:
            shutil.copyfileobj(source, copy, 1 << 20)
    except _BAD_ZIP as error:
        temporary.unlink(missing_ok=True)
        raise UserError(f"{member.archive} holds {member.info.filename!r}, which cannot be read ({error}).") from error
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    temporary.replace(member.target)
