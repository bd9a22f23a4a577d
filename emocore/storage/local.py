"""Files on this machine's file systems: each there whole, or not at all, or added to line by line."""

import errno
import fcntl
import io
import os
import secrets
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from emocore.errors import UserError, output_error

_UNFINISHED = ".tmp"
_SHOWN = 40  # characters of a name that its temporary one keeps: a name may be as long as the file system allows


class LocalStore:
    """The folders of this machine, and those that machines share as such."""

    def open(self, path: Path) -> BinaryIO:
        """Return the bytes of a file."""
        return path.open("rb")

    def list(self, folder: Path) -> list[Path]:
        """Return the files right in a folder in name order, hidden ones left out; none where there is no folder."""
        try:
            with os.scandir(folder) as entries:
                names = [entry.name for entry in entries if not entry.name.startswith(".") and entry.is_file()]
        except FileNotFoundError:
            return []
        return [folder / name for name in sorted(names)]

    @contextmanager
    def put(self, path: Path) -> Iterator[BinaryIO]:
        """Write one file: it is there whole, or not at all; the folders above it are made."""
        # Two processes may write one shard: the first may only seem to be dead. So each has a file of its own.
        own = f".{path.name[:_SHOWN]}.{os.getpid()}-{secrets.token_hex(4)}{_UNFINISHED}"
        temporary = path.with_name(own)
        try:
            with writing(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                raw = _Output(temporary, "x", path)
            with io.BufferedWriter(raw) as file:
                yield file
                file.flush()
                with writing(path):
                    os.fsync(file.fileno())
            with writing(path):
                temporary.replace(path)
                sync(path.parent)
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)

    def put_new(self, path: Path, content: bytes) -> bool:
        """Write one small file unless there is one; return whether there was none."""
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                file = _Output(path, "x", path)
            except FileExistsError:
                return False
        with file:
            file.write(content)
        return True

    def delete(self, path: Path) -> None:
        """Remove a file, where there is one."""
        with writing(path):
            path.unlink(missing_ok=True)

    @contextmanager
    def lease(self, path: Path, busy: str | None, *, shared: bool = False) -> Iterator[None]:
        """Hold the kernel's lock of a file, which goes with this process, and which no worker of it keeps alive."""
        descriptor = _open_lock(path, shared)
        if descriptor is None:
            yield
            return
        with os.fdopen(descriptor) as lock:
            kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
            try:
                fcntl.flock(lock, kind if busy is None else kind | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise UserError(busy or "") from error
            yield


def _open_lock(path: Path, shared: bool) -> int | None:
    """Open a lock as it is: it may be anybody's file, so it is neither emptied, nor followed, nor waited for."""
    # Python opens files close-on-exec, so that no worker keeps the lock alive; the kernel drops it with this process.
    flags = os.O_RDONLY if shared else os.O_RDWR | os.O_CREAT
    try:
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise link_error(path) from error
        if shared:  # a copy without it, or one that may only be read
            return None
        raise output_error(path, error) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UserError(f"{path} is no file: take it away, and give the same command again.")
    return descriptor


def link_error(path: Path) -> UserError:
    """Return what is said of a link in the place of a file of ours."""
    return UserError(f"{path} is a link: nothing is written through one, so take it away.")


class _Output(io.FileIO):
    """A file whose writing raises OutputError, and takes all of what it is given, or that."""

    def __init__(self, file: Path, mode: str, shown: Path) -> None:
        super().__init__(file, mode)
        self.shown = shown

    def write(self, content: Any) -> int:
        rest = memoryview(content).cast("B")
        size = len(rest)
        while rest:
            with writing(self.shown):
                rest = rest[super().write(rest) or 0 :]
        return size


@contextmanager
def appending(path: Path, *, anew: bool = False) -> Iterator[io.FileIO]:
    """Open a file to add to, its end first, or to begin anew: unbuffered, so that a killed process loses nothing.

    For what this machine keeps while it works; no bucket has such files.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = _Output(path, "w" if anew else "a", path)
    with file:
        yield file


def append_line(path: Path, line: str, *, synced: bool = False) -> None:
    """Add a line to a file; `synced`: it holds after a power cut too."""
    with appending(path) as file:
        file.write(f"{line}\n".encode())
        if synced:
            with writing(path):
                os.fsync(file.fileno())


def keep(part: Path, path: Path) -> None:
    """Give a file that was added to the name that it has when it is whole; it is on the disk before that."""
    with writing(path):
        sync(part)  # or a power cut could leave a whole name on half a file
        part.replace(path)
        sync(path.parent)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn the OSError of whatever writes to a path, or below it, into an OutputError."""
    try:
        yield
    except OSError as error:
        raise output_error(path, error) from error


@contextmanager
def scratch() -> Iterator[Path]:
    """Give a folder of this machine alone, for what writes files by name; it goes with the context.

    Raises OutputError where it cannot be made.
    """
    with writing(Path(os.environ.get("TMPDIR", "/tmp"))):  # of which tempfile may find that it is full
        folder = tempfile.TemporaryDirectory(prefix="emocore-", ignore_cleanup_errors=True)
    with folder as path:
        yield Path(path)


def sync(path: Path) -> None:
    """Wait until a file's bytes, or a folder's names, are on the disk: what is there then outlasts a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # what shared folders say that cannot
            raise
    finally:
        os.close(descriptor)


def clear_unfinished(folder: Path) -> None:
    """Remove what processes that died were writing into the tables of this folder."""
    for pattern in (f".*{_UNFINISHED}", f"*/.*{_UNFINISHED}", f"*/*/.*{_UNFINISHED}"):
        for path in folder.glob(pattern):
            with writing(path):
                path.unlink(missing_ok=True)
