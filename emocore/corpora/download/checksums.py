"""checksums.json of a download folder: what every archive must be, and which ones were found to be that."""

import hashlib
import json
import threading
import zipfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from emocore.corpora.corpus import Archive
from emocore.errors import UserError
from emocore.media.source import BAD_ZIP
from emocore.storage.files import write_json
from emocore.storage.local import sync, writing

CHECKSUMS = "checksums.json"


class FileError(UserError):
    """One file cannot be had; the others still can."""


@dataclass(frozen=True)
class Expected:
    """What a file must be before it gets its name."""

    name: str
    url: str
    size: int  # bytes
    md5: str


class Checksums:
    """The lock file of a download folder. Its methods may be called from several threads.

    `{"files": {NAME: {"size", "md5", "url", "learnt", "verified_mtime_ns"}}}`: sizes in bytes; `learnt` is when the
    checksum was first relied on; `verified_mtime_ns` is null until the file's bytes were checked.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / CHECKSUMS
        self._lock = threading.Lock()
        self._files = _read(self.path)

    def knows(self, archive: Archive) -> bool:
        """Whether size and checksum are known, from here or from the published table."""
        return archive.md5 is not None or archive.name in self._files

    def is_verified(self, archive: Archive) -> bool:
        """Whether the file is there as it was when its bytes were checked: same size, same modification time."""
        file, known = self.path.with_name(archive.name), self._files.get(archive.name)
        if known is None or archive.md5 not in (None, known["md5"]) or not file.is_file():
            return False
        status = file.stat()
        return (status.st_size, status.st_mtime_ns) == (known["size"], known["verified_mtime_ns"])

    def expect(self, archive: Archive, url: str, size: int | None = None, md5: str | None = None) -> Expected:
        """Return what the file must be, from all who know: the published table, this file, and the record's answer.

        What is new is written down. Raises UserError where two of them differ.
        """
        known = self._files.get(archive.name, {})
        since = f"{self.path} since {known.get('learnt')}"
        sources = [("the published table", archive.size, archive.md5), (since, known.get("size"), known.get("md5"))]
        for source, its_size, its_md5 in sources:
            _compare(archive.name, "bytes", size, its_size, source)
            _compare(archive.name, "MD5", md5, its_md5, source)
            size, md5 = size or its_size, md5 or its_md5
        if size is None or md5 is None:
            raise UserError(f"{archive.name} is not in record {archive.record} (any more): leave it out.")
        if not known:
            now = datetime.now(UTC).isoformat(timespec="seconds")
            self._write(archive.name, {"size": size, "md5": md5, "url": url, "learnt": now, "verified_mtime_ns": None})
        return Expected(archive.name, url, size, md5)

    def verified(self, name: str) -> None:
        """Write down that the bytes of the file, as it is now, were checked; they are on the disk before that."""
        file = self.path.with_name(name)
        with writing(self.path.parent):
            sync(file)
            mtime = file.stat().st_mtime_ns
        self._write(name, {**self._files[name], "verified_mtime_ns": mtime})

    def _write(self, name: str, entry: dict[str, Any]) -> None:
        with self._lock:
            self._files[name] = entry
            write_json(self.path, {"files": dict(sorted(self._files.items()))})


def check_file(path: Path, expected: Expected) -> None:
    """Read the whole file: size, MD5, and the CRC of every member. Raises FileError."""
    size = path.stat().st_size
    if size != expected.size:
        raise FileError(f"{expected.name} has {size:,} bytes, expected {expected.size:,}.")
    with path.open("rb") as stream:
        md5 = hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if md5 != expected.md5:
        raise FileError(f"{expected.name} has MD5 {md5}, expected {expected.md5}.")
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
    except BAD_ZIP as error:
        raise FileError(f"{expected.name} is not a whole zip ({error}).") from error
    if broken is not None:
        raise FileError(f"{expected.name} holds {broken!r}, whose CRC is wrong.")


def _compare(name: str, what: str, new: int | str | None, old: int | str | None, source: str) -> None:
    if None not in (new, old) and new != old:
        raise UserError(
            f"{name} is published with {new} {what}, but has {old} in {source}: the published file has changed, and "
            "nothing was overwritten; choose another --dest to begin anew with the file as it is now."
        )


def _read(path: Path) -> dict[str, dict[str, Any]]:
    if not path.exists():
        return {}
    try:
        files = json.loads(path.read_text())["files"]
        return {
            str(name): {
                "size": int(entry["size"]),
                "md5": str(entry["md5"]),
                "url": str(entry["url"]),
                "learnt": str(entry["learnt"]),
                "verified_mtime_ns": entry["verified_mtime_ns"],
            }
            for name, entry in files.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is not a list of checksums that emocore wrote: move it away.") from error
