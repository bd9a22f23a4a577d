"""Seeded damage to a file's bytes: the same seed and references give the same mutation on any machine."""

import re
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np

EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
NAME = re.compile(r"a\.\w+-\d+\.\w+")
FILES, ELSEWHERE = "files", "elsewhere"  # below a work folder: the mutations, and what only they name
BAIT = ".bait.ts"  # in both folders: nothing may open it; hidden, as a job would read it
SCRIPTS = (
    "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{}\n#EXT-X-ENDLIST\n",
    '#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXT-X-KEY:METHOD=AES-128,URI="{0}"\n#EXTINF:9,\n{0}\n#EXT-X-ENDLIST\n',
    "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{}\n",
    "ffconcat version 1.0\nfile '{}'\n",
    "ffconcat version 1.0\nfile {}\nduration 1\n",
    "ffconcat version 1.0\nstream\nfile '{0}'\nfile '{0}'\n",
    '<MPD type="static"><Period><AdaptationSet mimeType="video/mp4"><Representation id="0"><BaseURL>{}</BaseURL>'
    "</Representation></AdaptationSet></Period></MPD>",
    "v=0\no=- 0 0 IN IP4 127.0.0.1\ns={}\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
    "subfile,,start,0,end,0,,:{}",
    "concat:{0}|{0}",
)


def references(work: Path, port: int) -> list[bytes]:
    """Return what names other files and addresses: the bait in every way, two files of the system, our server."""
    bait = work / ELSEWHERE / BAIT
    server = f"127.0.0.1:{port}"
    targets = [
        BAIT,
        f"file:{BAIT}",
        f"../{ELSEWHERE}/{BAIT}",
        str(bait),
        f"file://{bait}",
        f"http://{server}/a.ts",
        f"tcp://{server}",
        "/etc/passwd",
        "file:///proc/self/environ",
    ]
    return [text for target in targets for text in (*(s.format(target).encode() for s in SCRIPTS), data_entry(target))]


def data_entry(target):
    """A box that says in which file a track's samples lie (ISO/IEC 14496-12, 8.7.2)."""
    entry = struct.pack(">4sI", b"url ", 0) + target.encode() + b"\0"
    boxes = struct.pack(">II", 0, 1) + struct.pack(">I", 4 + len(entry)) + entry
    return struct.pack(">I4s", 8 + len(boxes), b"dref") + boxes


def name_of(sample: str, seed: int) -> str:
    """Return the mutation's file name, which `NAME` matches."""
    return f"{sample}-{seed}{Path(sample).suffix}"


class Mutations:
    """The mutations of some samples: the same seed, folder and port give the same bytes."""

    def __init__(self, samples: dict[str, bytes], work: Path, port: int):
        self.samples, self.names, self.references = samples, sorted(samples), references(work, port)

    def content(self, sample: str, seed: int) -> bytes:
        other = self.samples[self.names[seed % len(self.names)]]
        return mutate(self.samples[sample], other, (seed, self.names.index(sample)), self.references)


def mutate(content: bytes, other: bytes, seed: int | Sequence[int], references: Sequence[bytes]) -> bytes:
    """Return the content with one to four changes; `other` is what splices are taken from."""
    rng = np.random.default_rng(seed)
    changed = bytearray(content)
    for _ in range(int(rng.integers(1, 5))):
        if changed:
            change = CHANGES[int(rng.integers(len(CHANGES)))]
            change(changed, references if change is paste_reference else other, rng)
    return bytes(changed)


def place(content, rng):
    """Half of all changes fall into the first or last kilobyte, where headers and indexes are."""
    size = len(content)
    where = rng.integers(4)
    start, end = {0: (0, min(size, 1_024)), 1: (max(0, size - 1_024), size)}.get(int(where), (0, size))
    return int(rng.integers(start, end))


def flip_bits(content, _, rng):
    for _ in range(int(rng.integers(1, 9))):
        content[place(content, rng)] ^= 1 << int(rng.integers(8))


def write_run(content, _, rng):
    at, length = place(content, rng), int(rng.integers(1, 200))
    run = rng.bytes(length) if rng.integers(2) else bytes([int(rng.integers(256))]) * length
    content[at : at + length] = run[: len(content) - at]


def truncate(content, _, rng):
    del content[place(content, rng) :]


def delete(content, _, rng):
    at = place(content, rng)
    del content[at : at + int(rng.integers(1, 300))]


def duplicate(content, _, rng):
    at, to = place(content, rng), place(content, rng)
    content[to:to] = content[at : at + int(rng.integers(1, 2_000))]


def insert(content, _, rng):
    at = place(content, rng)
    content[at:at] = rng.bytes(int(rng.integers(1, 200)))


def splice(content, other, rng):
    at, start = place(content, rng), int(rng.integers(len(other)))
    content[at:at] = other[start : start + int(rng.integers(1, 2_000))]


def paste_reference(content, references, rng):
    """Paste what names another file or an address: somewhere, at the very start, or as all that there is."""
    text = references[int(rng.integers(len(references)))]
    kind = int(rng.integers(4))
    at = place(content, rng) if kind < 2 else 0
    end = {0: at, 1: at + len(text), 2: at, 3: len(content)}[kind]
    content[at:end] = text


def edit_number(content, _, rng):
    """Write an extreme, a random or a slightly different value where a length, count or size may stand."""
    width = int(rng.choice([1, 2, 4, 8]))
    at = place(content, rng)
    order = "big" if rng.integers(2) else "little"
    now = int.from_bytes(content[at : at + width], order)
    kind = int(rng.integers(3))
    value = EXTREMES[int(rng.integers(len(EXTREMES)))] if kind == 0 else now + int(rng.integers(-16, 17))
    value = int.from_bytes(rng.bytes(width), order) if kind == 2 else value
    content[at : at + width] = (value % 2 ** (8 * width)).to_bytes(width, order)[: len(content) - at]


CHANGES = (flip_bits, write_run, truncate, delete, duplicate, insert, splice, paste_reference) + 3 * (edit_number,)
