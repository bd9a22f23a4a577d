"""Where media bytes come from: a file, or a member of a zip, written ARCHIVE.zip!/MEMBER; of either perhaps a segment.

A row of a table of pictures is written as a member of it, TABLE.csv!/ROW.bmp.

A segment is written as a fragment behind the name, #t=START,END, unless a file bears the whole of that name.
"""

import hashlib
import io
import lzma
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import IO

from emocore.errors import MediaError
from emocore.media.fragment import Segment, split_fragment
from emocore.media.limit import NO_LIMIT, TimeLimit
from emocore.media.picture_table import is_table, still_in_table

MEMBER = "!/"
MAX_MEMBER_BYTES = 2**31  # a member is read into memory
CHUNK_BYTES = 2**18  # after which the clock is looked at: storage may be slow
BAD_ZIP = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, RuntimeError, ValueError, EOFError)
Stream = io.BufferedReader | io.BytesIO
# What an archive may hold and container.DEMUXERS read. Not here: playlists, which name other files (.m3u8, .asx,
# .pls); what is told from noise by a few bits (.ac3, .dts, .raw); and disk images.
AUDIO_SUFFIXES = frozenset(
    {
        *(".wav", ".wave", ".bwf", ".rf64", ".w64", ".aif", ".aiff", ".aifc", ".au", ".snd", ".caf", ".flac"),
        *(".mp3", ".mp2", ".mpga", ".aac", ".m4a", ".m4b", ".m4r", ".ogg", ".oga", ".opus", ".mka", ".amr", ".wma"),
    }
)
VIDEO_SUFFIXES = frozenset(
    {
        *(".mp4", ".m4v", ".mov", ".qt", ".mj2", ".3gp", ".3g2", ".mkv", ".webm", ".ogv", ".avi"),
        *(".asf", ".wmv", ".flv", ".f4v", ".mpg", ".mpeg", ".vob", ".ts", ".mts", ".m2ts"),
    }
)
STILL_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp"})  # media only where pictures are asked for
MEDIA_SUFFIXES = AUDIO_SUFFIXES | VIDEO_SUFFIXES


def split_member(path: str) -> tuple[str, str | None]:
    """Return the file to open and, for a member of a zip, the member's name.

    >>> split_member("/data/speech.zip!/Actor_01/a.wav"), split_member("/data/wow!/a.wav")
    (('/data/speech.zip', 'Actor_01/a.wav'), ('/data/wow!/a.wav', None))
    """
    found = re.search(rf"\.(?:zip|csv){MEMBER}", path, re.IGNORECASE)
    return (path[: found.start() + 4], path[found.end() :]) if found else (path, None)


def split_segment(path: str) -> tuple[str, Segment | None]:
    """Return the path of the whole file or member, and which stretch of it is meant; None where it is the whole."""
    whole, segment = split_fragment(path)
    return (path, None) if segment is None or _exists(path) else (whole, segment)


def file_of(path: str) -> str:
    """Return the file on the disk that holds what is at a path: the member of a zip, or the segment."""
    return split_member(split_segment(path)[0])[0]


def file_suffix(path: str) -> str:
    """Return the suffix of a file, member or segment, in small letters.

    >>> file_suffix("/a.b/film.MP4#t=1.5,2.0"), file_suffix("/a.b/noise")
    ('.mp4', '')
    """
    return os.path.splitext(split_segment(path)[0])[1].lower()  # noqa: PTH122 - a Path for each of a million is slow


def _exists(path: str) -> bool:
    file, member = split_member(path)
    if member is None:
        return os.path.exists(file)  # noqa: PTH110 - fast
    try:
        if is_table(file):
            return True  # a row's name holds no "#", so that nothing is mistaken for a segment
        return member in _open_archive(file, Path(file).stat().st_mtime_ns).NameToInfo
    except (OSError, *BAD_ZIP):
        return False


def open_source(path: str, limit: TimeLimit = NO_LIMIT) -> Stream:
    """Open the bytes for reading and seeking: of a segment those of its file. Raises MediaError (stage open)."""
    file, member = split_member(split_segment(path)[0])
    try:
        if member is None:
            stream: Stream = Path(file).open("rb")  # noqa: SIM115 - the caller closes it
        elif is_table(file):
            stream = io.BytesIO(still_in_table(file, member))
        else:
            archive = _open_archive(file, Path(file).stat().st_mtime_ns)
            if archive.getinfo(member).file_size > MAX_MEMBER_BYTES:
                raise MediaError("open", "too_large", f"{path}: over {MAX_MEMBER_BYTES} bytes: unpack the archive")
            stream = io.BytesIO()
            with archive.open(member) as packed:
                stream.writelines(_chunks(packed, limit))
            stream.seek(0)
    except (FileNotFoundError, KeyError) as error:
        raise MediaError("open", "not_found", f"{path}: no such file") from error
    except PermissionError as error:
        raise MediaError("open", "not_permitted", f"{path}: permission denied") from error
    except (OSError, *BAD_ZIP) as error:
        raise MediaError("open", "broken", f"{path}: {error}") from error
    if not stream.read(1):
        stream.close()
        raise MediaError("open", "empty_file", f"{path}: zero bytes")
    stream.seek(0)
    return stream


@lru_cache(maxsize=4)
def _open_archive(file: str, changed_ns: int) -> zipfile.ZipFile:  # noqa: ARG001 - a changed archive is another one
    return zipfile.ZipFile(file)  # its directory is read once, not once a member


def content_id(stream: Stream, limit: TimeLimit = NO_LIMIT) -> str:
    """Return the SHA-256 of the stream's bytes in hexadecimal, and rewind it. Raises MediaError (stage open)."""
    digest = hashlib.sha256()
    try:
        stream.seek(0)
        for chunk in _chunks(stream, limit):
            digest.update(chunk)
        stream.seek(0)
    except OSError as error:
        raise MediaError("open", "broken", f"the file cannot be read to its end ({error})") from error
    return digest.hexdigest()


def clip_id(path: str, stream: Stream, limit: TimeLimit = NO_LIMIT) -> str:
    """Return what tells a clip from those that are no copies of it; `stream` is what `open_source` gave.

    That is the `content_id`, and of a segment the SHA-256 of that and of the fragment: segments are copies where the
    same stretch of the same bytes is meant. A file of which many are asked for is read once a process. Raises
    MediaError (stage open).
    """
    whole, segment = split_segment(path)
    if segment is None:
        return content_id(stream, limit)
    status = os.stat(split_member(whole)[0])  # noqa: PTH116 - fast
    found = _id_of(whole, status.st_size, status.st_mtime_ns)
    if not found:
        found.append(content_id(stream, limit))
    return hashlib.sha256(f"{found[0]}{segment.fragment}".encode()).hexdigest()


@lru_cache(maxsize=64)
def _id_of(whole: str, size: int, changed_ns: int) -> list[str]:  # noqa: ARG001 - a changed file is another one
    return []  # the content id, once it is known


def _chunks(file: IO[bytes], limit: TimeLimit) -> Iterator[bytes]:
    while chunk := file.read(CHUNK_BYTES):
        yield chunk
        limit.read(n_bytes=len(chunk))
        limit.check("open")
