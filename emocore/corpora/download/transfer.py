"""One file over HTTP: continued where it was cut, checked, and named only when it is whole.

While it arrives, NAME is `NAME.part`, and `NAME.part.json` says of which version of the file it is a part.
"""

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from requests import Response

from emocore.corpora.download.checksums import Expected, FileError, check_file
from emocore.corpora.download.http import NoSuchRange, Server, Transient
from emocore.storage.files import read_json, write_json
from emocore.storage.local import appending, keep, writing

Report = Callable[[int], None]  # gets the number of bytes that are there


@dataclass(frozen=True)
class _Origin:
    """Of which version of the file a part is."""

    size: int  # bytes
    md5: str
    validator: str  # what If-Range takes: the ETag or the date of change; "" where the server names none


class _Joined(Exception):
    """A file put together from several connections is not what it should be: perhaps its parts differ in version."""


def fetch(server: Server, expected: Expected, file: Path, report: Report) -> None:
    """Fetch one file, verify its bytes, and only then give it its name.

    Raises FileError where the server's file is not the expected one, UserError where the disk or the network fail;
    the part stays for the next run, unless its bytes were wrong.
    """
    with writing(file.parent):
        _complete(server, expected, file, report)


def part_bytes(file: Path, expected: Expected) -> int:
    """Return how many bytes of the expected file an earlier run left."""
    part = _part(file)
    origin = _origin(part)
    if origin is None or (origin.size, origin.md5) != (expected.size, expected.md5) or not part.exists():
        return 0
    size = part.stat().st_size
    return size if size <= expected.size else 0


def discard_part(file: Path) -> None:
    """Remove what an earlier run left of a file that is whole now."""
    _discard(_part(file))


def _complete(server: Server, expected: Expected, file: Path, report: Report) -> None:
    part = _part(file)
    if not part_bytes(file, expected):
        _discard(part)
    report(part_bytes(file, expected))
    try:
        _fill_and_check(server, expected, part, report)
    except _Joined as fault:
        server.note(f"{fault} It was joined from several connections: fetching it anew.")
        report(0)
        try:
            _fill_and_check(server, expected, part, report)
        except _Joined as again:
            raise FileError(f"{again} Nothing was kept: run the same command again.") from again
    keep(part, file)
    discard_part(file)


def _fill_and_check(server: Server, expected: Expected, part: Path, report: Report) -> None:
    connections = 1 if _length(part) else 0

    def connect() -> None:
        nonlocal connections
        connections += 1
        _fill(server, expected, part, report)

    if _length(part) < expected.size:
        server.persist(expected.name, connect, progress=lambda: _length(part))
    try:
        check_file(part, expected)
    except FileError as error:
        _discard(part)
        if connections > 1:
            raise _Joined(str(error)) from error
        raise FileError(f"{error} What the server sent was not kept.") from error


def _fill(server: Server, expected: Expected, part: Path, report: Report) -> None:
    """Make one request for what is missing. Raises Transient where the body ends too early."""
    offset, origin = _length(part), _origin(part)
    headers = {}
    if offset and origin is not None:
        headers["Range"] = f"bytes={offset}-"
        if origin.validator:
            headers["If-Range"] = origin.validator
    try:
        answer = server.get(expected.url, headers)
    except NoSuchRange:
        _discard(part)
        raise
    with answer as response:
        if response.status_code != 206:
            offset = 0  # no ranges here, or another version of the file: from the beginning
        _check_answer(response, expected, part, offset, origin)
        if not offset:
            # The origin comes first: a part without one is never continued.
            write_json(_origin_path(part), asdict(_Origin(expected.size, expected.md5, _validator(response))))
        with appending(part, anew=not offset) as stream:
            for chunk in server.chunks(response):
                offset += len(chunk)
                if offset > expected.size:
                    _discard(part)
                    raise _changed(expected, f"more than {expected.size:,}")
                stream.write(chunk)
                report(offset)
    if offset < expected.size:
        raise Transient(f"the connection ended after {offset:,} of {expected.size:,} bytes")


def _check_answer(response: Response, expected: Expected, part: Path, offset: int, origin: _Origin | None) -> None:
    if response.status_code == 206:
        span = re.fullmatch(r"bytes ([0-9]{1,18})-[0-9]+/([0-9]+|\*)", response.headers.get("Content-Range", ""))
        other_version = (
            origin is not None and _validator(response) and origin.validator not in ("", _validator(response))
        )
        if span is None or int(span[1]) != offset or other_version:
            _discard(part)
            raise Transient("the server answered another range than the one asked for")
        total = span[2]
    else:
        total = response.headers.get("Content-Length", "*")
    if total not in ("*", str(expected.size)):
        raise _changed(expected, f"{int(total):,}" if re.fullmatch("[0-9]{1,18}", total) else repr(total[:18]))


def _changed(expected: Expected, size: str) -> FileError:
    return FileError(
        f"{expected.name}: the server offers {size} bytes, expected {expected.size:,}: the published file has changed, "
        "or a proxy answers in its place; nothing was overwritten."
    )


def _validator(response: Response) -> str:
    tag = response.headers.get("ETag", "")
    if tag and not tag.startswith("W/"):  # If-Range takes strong tags only (RFC 9110, 13.1.5)
        return tag
    return response.headers.get("Last-Modified", "")


def _part(file: Path) -> Path:
    return file.with_name(f"{file.name}.part")


def _origin_path(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _origin(part: Path) -> _Origin | None:
    try:
        return _Origin(**read_json(_origin_path(part)))
    except (OSError, ValueError, TypeError):
        return None


def _length(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _discard(part: Path) -> None:
    part.unlink(missing_ok=True)
    _origin_path(part).unlink(missing_ok=True)
