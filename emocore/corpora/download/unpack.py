"""Published zips into a folder of clips: only the actors asked for, and nothing outside the folder."""

import re
import shutil
import stat
import zipfile
from collections.abc import Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from emocore.corpora.download.unpacked import MISSING, UNPACKED, Member, Unpacked
from emocore.corpora.ravdess import is_ravdess_name
from emocore.errors import UserError
from emocore.media.source import BAD_ZIP
from emocore.progress import Counter, megabytes, say
from emocore.storage.files import put
from emocore.storage.folder import folder_lock
from emocore.storage.local import writing


@dataclass(frozen=True)
class Outcome:
    """What unpacking came to."""

    files: int  # of these actors, all there now
    restored: int  # how many of them had been there, and were damaged or missing


def check_apart(dest: str, folder: str) -> None:
    """Raise UserError unless zips and unpacked clips lie apart: as a corpus, one folder would hold each clip twice."""
    zips, clips = Path(dest).resolve(), Path(folder).resolve()
    if zips == clips or zips in clips.parents or clips in zips.parents:
        raise UserError(
            f"--unpack {folder} and --dest {dest} lie in one another, and as a corpus would hold every clip twice: "
            "name two folders side by side."
        )


def unpack(zips: Sequence[Path], folder: str, actors: Collection[str], *, verify: bool = False) -> Outcome:
    """Have what belongs to these actors in the folder, each file as the zip's directory says (size, CRC).

    Every name is checked before anything is written: UserError for one that leads outside, for a link, an encrypted
    member or a broken zip. A file of an earlier run is taken as it is while its size and modification time stand in
    .unpacked.json (`verify`: its bytes are read again); one that is not what it should be is unpacked anew. A new one
    gets its name when it is whole.
    """
    root = Path(folder)
    held = {member.name: member for path in zips for member in _members(path)}
    wanted = [member for member in held.values() if _is_wanted(member.name, actors)]
    with writing(root):
        root.mkdir(parents=True, exist_ok=True)
        with folder_lock(root, _busy(folder)):
            unpacked = Unpacked(root)
            faults = _faults(wanted, unpacked, verify)
            # What is missing and never was there is new, not damaged.
            damaged = {member: fault for member, fault in faults.items() if fault != MISSING or unpacked.had(member)}
            _tell(damaged, root, "it is unpacked anew")
            _check_space(list(faults), root)
            _write_all(zips, list(held.values()), wanted, faults, unpacked)
    return Outcome(len(wanted), len(damaged))


def whole_without_zip(names: Collection[str], folder: str, actors: Collection[str]) -> dict[str, int]:
    """Read the unpacked files of zips that are gone; return how many each has, for the zips that are not needed again.

    A zip is needed again where a file of these actors is damaged or missing, or was never unpacked.
    """
    root = Path(folder)
    if not names or not (root / UNPACKED).exists():
        return {}
    with writing(root), folder_lock(root, _busy(folder)):
        unpacked = Unpacked(root)
        held = {name: [m for m in unpacked.members(name) if _is_wanted(m.name, actors)] for name in names}
        faults = _faults([member for members in held.values() for member in members], unpacked, verify=True)
    _tell({member: fault for member, fault in faults.items() if unpacked.had(member)}, root, "its zip is needed again")
    return {name: len(members) for name, members in held.items() if members and faults.keys().isdisjoint(members)}


def _busy(folder: str) -> str:
    return f"Another run is writing to {folder}: wait until it ends, or choose another --unpack."


def _members(path: Path) -> list[Member]:
    """Return what a zip holds. Raises UserError for a name or a kind that must not be unpacked."""
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
    except (*BAD_ZIP, OSError) as error:
        raise UserError(f"{path} cannot be unpacked ({error}): run the same command with --verify.") from error
    for info in infos:
        fault = _fault(info)
        if fault:
            raise UserError(f"{path} holds {info.orig_filename!r}, {fault}: nothing was unpacked.")
    return [Member(path.name, info.filename, info.file_size, info.CRC) for info in infos if not info.is_dir()]


def _faults(wanted: Sequence[Member], unpacked: Unpacked, verify: bool) -> dict[Member, str]:
    """Return what is wrong with each file that is not what it should be; reads those that nothing vouches for."""
    faults = dict.fromkeys((member for member in wanted if verify or not unpacked.is_verified(member)), MISSING)
    there = [member for member in faults if (unpacked.root / member.name).is_file()]
    if there:
        with Counter("verify unpacked", len(there), "file") as counter:
            for member in there:
                faults[member] = unpacked.fault(member)
                counter.add(1, failed=int(bool(faults[member])))
    return {member: fault for member, fault in faults.items() if fault}


def _tell(damaged: Mapping[Member, str], root: Path, remedy: str) -> None:
    for member, fault in damaged.items():
        say(f"{root / member.name} {fault}: {remedy}")


def _fault(info: zipfile.ZipInfo) -> str:
    name, kind = info.orig_filename, stat.S_IFMT(info.external_attr >> 16)
    if not name or name.startswith("/") or re.match(r"[A-Za-z]:", name) or ".." in re.split(r"[/\\]", name):
        return "which leads outside the folder"
    if "\\" in name or "\0" in name:
        return "which no folder can hold"
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "which is a link or a device"
    return "which is encrypted" if info.flag_bits & 1 else ""


def _is_wanted(member: str, actors: Collection[str]) -> bool:
    name = PurePosixPath(member)
    if any(part.startswith(".") or part == "__MACOSX" for part in name.parts):
        return False
    # What is no recording, such as a README, belongs to all.
    return not is_ravdess_name(name.stem) or name.stem[-2:] in actors


def _check_space(waiting: Sequence[Member], root: Path) -> None:
    needed, free = sum(member.size for member in waiting), shutil.disk_usage(root).free
    if needed > free:
        raise UserError(
            f"{root} has {megabytes(free)} free, and unpacking takes {megabytes(needed)}: free some space, or choose "
            "fewer --actors."
        )


def _write_all(
    zips: Sequence[Path],
    held: Sequence[Member],
    wanted: Sequence[Member],
    waiting: Collection[Member],
    unpacked: Unpacked,
) -> None:
    """Unpack zip by zip, and write down after each what is whole now."""
    with Counter("unpack", len(waiting), "file") if waiting else nullcontext() as counter:
        for path in zips:
            missing = [member for member in waiting if member.archive == path.name]
            if counter and missing:
                with zipfile.ZipFile(path) as archive:
                    for member in missing:
                        _write(archive, member, unpacked.root)
                        counter.add(1)
            unpacked.keep(*([m for m in members if m.archive == path.name] for members in (held, wanted)))


def _write(archive: zipfile.ZipFile, member: Member, root: Path) -> None:
    target = root / member.name
    folder = target.parent
    if not folder.resolve().is_relative_to(root.resolve()):
        raise UserError(f"{folder} is a link that leads outside {root}: nothing is written through it.")
    try:
        with archive.open(member.name) as source, put(target) as copy:
            shutil.copyfileobj(source, copy, 1 << 20)
    except BAD_ZIP as error:
        raise UserError(f"{archive.filename} holds {member.name!r}, which cannot be read ({error}).") from error
