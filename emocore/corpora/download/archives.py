"""Published archives into a folder: verified, resumable, several at once, and never half a file taken for whole."""

import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from emocore.corpora.corpus import Archive
from emocore.corpora.download.checksums import Checksums, Expected, FileError, check_file
from emocore.corpora.download.http import Server, Stopped, Transfer
from emocore.corpora.download.ravdess_record import files_of_record
from emocore.corpora.download.transfer import discard_part, fetch, part_bytes
from emocore.errors import UserError
from emocore.progress import ByteCounter, Counter, megabytes, say
from emocore.storage.folder import check_outlives_job, folder_lock
from emocore.storage.local import writing

ZENODO = "https://zenodo.org"


@dataclass(frozen=True)
class Downloaded:
    """What a download came to."""

    files: tuple[Path, ...]  # every archive asked for, whole
    fetched: int  # how many of them came from the server in this run
    size: int  # bytes of all


def download(
    archives: Sequence[Archive],
    dest: str,
    transfer: Transfer = Transfer(),  # noqa: B008 - it is frozen
    *,
    verify: bool = False,
    base_url: str = ZENODO,
) -> Downloaded:
    """Have every archive in the folder `dest`, whole.

    A file of an earlier run is taken as it is while its size and modification time stand in checksums.json
    (`verify`: its bytes are read again); one put there by hand is verified and adopted. Raises UserError for
    whatever keeps a file from being had; the other files are still fetched where that makes sense.
    """
    _check_transfer(transfer)
    folder = _make_folder(dest)
    busy = f"Another download is writing to {dest}: wait until it ends, or choose another --dest."
    with folder_lock(folder, busy):
        checksums = Checksums(folder)
        open_ = [archive for archive in archives if verify or not checksums.is_verified(archive)]
        if open_:
            server = Server(base_url, transfer, note=say)
            expected = _expect(open_, folder, checksums, server)
            there = [item for item in expected if (folder / item.name).exists()]
            _adopt(there, folder, checksums)
            missing = [item for item in expected if item not in there]
            _check_space(missing, folder)
            _fetch_all(missing, folder, checksums, server)
        else:
            missing = []
    files = tuple(folder / archive.name for archive in archives)
    return Downloaded(files, len(missing), sum(file.stat().st_size for file in files))


def _check_transfer(transfer: Transfer) -> None:
    for option, value in (("--parallel", transfer.parallel), ("--tries", transfer.tries)):
        if value < 1:
            raise UserError(f"{option} {value} is too few: give at least 1.")
    if not transfer.timeout_seconds > 0:
        raise UserError(f"--timeout-seconds {transfer.timeout_seconds:g} is too short: give more than 0.")


def _make_folder(dest: str) -> Path:
    folder = Path(dest)
    check_outlives_job("--dest", folder)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def _expect(archives: Sequence[Archive], folder: Path, checksums: Checksums, server: Server) -> list[Expected]:
    """Return what each file must be; what no table says, the record's API does."""
    asked = {archive.record for archive in archives if _must_ask(archive, folder, checksums)}
    answers = {record: files_of_record(server.record(record), record) for record in sorted(asked)}
    found = []
    for archive in archives:
        size, md5 = answers.get(archive.record, {}).get(archive.name, (None, None))
        found.append(checksums.expect(archive, server.url_of(archive.record, archive.name), size, md5))
    return found


def _must_ask(archive: Archive, folder: Path, checksums: Checksums) -> bool:
    # A learnt checksum is compared with the record's whenever the file is about to come from there.
    learnt = archive.md5 is None
    return learnt and not (checksums.knows(archive) and (folder / archive.name).exists())


def _adopt(there: Sequence[Expected], folder: Path, checksums: Checksums) -> None:
    if not there:
        return
    with Counter("verify", len(there), "file") as counter:
        for item in there:
            try:
                check_file(folder / item.name, item)
            except (FileError, OSError) as error:
                raise UserError(
                    f"{folder / item.name} is not the published file ({str(error).rstrip('.')}): move or delete it, "
                    "and run the same command again."
                ) from error
            discard_part(folder / item.name)
            checksums.verified(item.name)
            counter.add(1)


def _check_space(missing: Sequence[Expected], folder: Path) -> None:
    needed = sum(item.size - part_bytes(folder / item.name, item) for item in missing)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(
            f"{folder} has {megabytes(free)} free, and {megabytes(needed)} are still to come: free some space, or "
            "choose fewer --actors or another --dest."
        )


def _fetch_all(missing: Sequence[Expected], folder: Path, checksums: Checksums, server: Server) -> None:
    if not missing:
        return
    failures: list[FileError] = []
    with ByteCounter("download", sum(item.size for item in missing), len(missing)) as counter:
        server.note = counter.note

        def one(item: Expected) -> None:
            file = folder / item.name
            try:
                fetch(server, item, file, lambda position: counter.at(item.name, position))
                checksums.verified(item.name)
                counter.finish()
            except FileError:
                counter.finish(failed=True)
                raise

        failures = _run(one, missing, server)
    if failures:
        others = "" if len(missing) == 1 else f" ({len(failures)} of {len(missing)} files failed; the others are whole)"
        raise UserError(f"{failures[0]}{others}")


def _run(one: Callable[[Expected], None], items: Sequence[Expected], server: Server) -> list[FileError]:
    """Call `one` for all items, and return what failed for one file only; anything else stops all and is raised."""
    failures = []
    with ThreadPoolExecutor(server.transfer.parallel) as pool:
        try:
            for future in as_completed([pool.submit(one, item) for item in items]):
                error = future.exception()
                if isinstance(error, FileError):
                    failures.append(error)
                elif error is not None and not isinstance(error, Stopped):
                    raise error
        except BaseException:  # Control-C too: the threads end at their next chunk, and their parts stay
            server.halt()
            raise
    return failures
