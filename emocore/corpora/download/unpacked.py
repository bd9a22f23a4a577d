"""`.unpacked.json` of a folder of unpacked files: what every zip held, and which files were found to be that."""

import json
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from emocore.storage.files import write_json
from emocore.storage.local import sync

UNPACKED = ".unpacked.json"  # hidden: no member that is unpacked has such a name, and no corpus lists it
MISSING = "is missing"


@dataclass(frozen=True)
class Member:
    """A file in a zip, as the zip's directory says."""

    archive: str  # the zip's name
    name: str  # below the folder
    size: int  # bytes
    crc32: int


class Unpacked:
    """What was unpacked into a folder.

    `{"files": {NAME: {"archive", "size", "crc32", "verified_mtime_ns"}}}`: all members of every zip that was unpacked,
    so that files can be checked when the zip is gone; `verified_mtime_ns` is null for those that were not asked for.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._files = _read(root / UNPACKED)

    def members(self, archive: str) -> list[Member]:
        """Return what a zip held when it was unpacked; nothing where it never was."""
        return [member for member, _ in self._files.values() if member.archive == archive]

    def had(self, member: Member) -> bool:
        """Whether the member was unpacked, or found to be there."""
        return self._verified(member) is not None

    def is_verified(self, member: Member) -> bool:
        """Whether the file is as it was when its bytes were checked: same size, same modification time."""
        file = self.root / member.name
        if not _is_plain(file):
            return False
        status = file.stat()
        return (status.st_size, status.st_mtime_ns) == (member.size, self._verified(member))

    def fault(self, member: Member) -> str:
        """Read the member's file, and return what is wrong with it, "" where nothing is."""
        file = self.root / member.name
        if not _is_plain(file):
            return MISSING
        size = file.stat().st_size
        if size != member.size:
            return f"has {size:,} bytes, expected {member.size:,}"
        try:
            crc32 = _crc32(file)
        except OSError as error:
            return f"cannot be read ({error.strerror})"
        return "" if crc32 == member.crc32 else f"has CRC {crc32:08x}, expected {member.crc32:08x}"

    def keep(self, held: Iterable[Member], verified: Iterable[Member]) -> None:
        """Write down what zips held, and which of it is there as it should be; that is on the disk first."""
        files = self._files | {member.name: (member, self._verified(member)) for member in held}
        folders: set[Path] = set()
        for member in verified:
            file = self.root / member.name
            mtime = file.stat().st_mtime_ns
            if files[member.name][1] != mtime:
                sync(file)
                folders.update(self.root / parent for parent in Path(member.name).parents)
            files[member.name] = (member, mtime)
        for folder in sorted(folders, reverse=True):
            sync(folder)
        if files != self._files:
            self._files = files
            self._write()

    def _verified(self, member: Member) -> int | None:
        known, mtime = self._files.get(member.name, (None, None))
        return mtime if known == member else None

    def _write(self) -> None:
        entries = {
            name: {
                "archive": member.archive,
                "size": member.size,
                "crc32": f"{member.crc32:08x}",
                "verified_mtime_ns": mtime,
            }
            for name, (member, mtime) in sorted(self._files.items())
        }
        write_json(self.root / UNPACKED, {"files": entries})


def _is_plain(file: Path) -> bool:
    return file.is_file() and not file.is_symlink()


def _crc32(file: Path) -> int:
    crc32 = 0
    with file.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            crc32 = zlib.crc32(chunk, crc32)
    return crc32


def _read(path: Path) -> dict[str, tuple[Member, int | None]]:
    """Return what was written; nothing where it cannot be read, so that all files are read and written down anew."""
    try:
        return {
            str(name): (
                Member(str(entry["archive"]), str(name), int(entry["size"]), int(entry["crc32"], 16)),
                entry["verified_mtime_ns"],
            )
            for name, entry in json.loads(path.read_text())["files"].items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
