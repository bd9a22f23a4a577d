"""Seeded damage to a file's bytes: the same seed gives the same mutation on any machine."""

import numpy as np

EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
BAIT = "bait.mp4"  # beside the mutations: nothing may open it
SERVER = "http://127.0.0.1:9/"
REFERENCES = [
    text.encode()
    for text in (
        f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{BAIT}\n#EXT-X-ENDLIST\n",
        f'#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="{BAIT}"\n#EXTINF:9,\n{SERVER}a.ts\n',
        f"ffconcat version 1.0\nfile {BAIT}\n",
        f'<MPD type="static"><Period><AdaptationSet><Representation><BaseURL>{BAIT}</BaseURL></Representation>'
        "</AdaptationSet></Period></MPD>",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
        f"subfile,,start,0,end,0,,:{BAIT}",
        f"\0\0\0\x0cdref{SERVER}",
    )
]


def mutate(content: bytes, other: bytes, seed: int) -> bytes:
    """Return the content with one to four changes; `other` is what splices are taken from."""
    rng = np.random.default_rng(seed)
    changed = bytearray(content)
    for _ in range(int(rng.integers(1, 5))):
        if changed:
            change = CHANGES[int(rng.integers(len(CHANGES)))]
            change(changed, other, rng)
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


def insert_reference(content, _, rng):
    """Paste what names another file or an address; at the very start, half the time."""
    at = place(content, rng) if rng.integers(2) else 0
    content[at:at] = REFERENCES[int(rng.integers(len(REFERENCES)))]


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


CHANGES = (flip_bits, write_run, truncate, delete, duplicate, insert, splice, insert_reference) + 3 * (edit_number,)
