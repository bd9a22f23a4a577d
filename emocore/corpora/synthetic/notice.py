"""Whether files say of themselves that they are generated."""

import zipfile
from collections.abc import Iterable
from pathlib import Path

from emocore.media.source import split_member

NOTICE_NAME = "SYNTHETIC.txt"


def is_synthetic(paths: Iterable[str]) -> bool:
    """Whether any path lies in or below a folder, or in a zip, that says of itself that it is generated."""
    folders: set[Path] = set()
    archives: set[str] = set()
    for file, member in map(split_member, paths):
        folders.add(Path(file).parent)
        if member is not None:
            archives.add(file)
    above = {parent for folder in folders for parent in (folder, *folder.parents)}
    return any((folder / NOTICE_NAME).exists() for folder in above) or any(map(_has_notice, archives))


def _has_notice(archive: str) -> bool:
    try:
        with zipfile.ZipFile(archive) as members:
            return any(Path(name).name == NOTICE_NAME for name in members.namelist())
    except (OSError, zipfile.BadZipFile):  # it was there when it was listed
        return False
