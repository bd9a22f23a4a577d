"""Media made to harm: they name other files, or state sizes that nobody has."""

import ctypes
import io
import json
import os
import socket
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path
from types import SimpleNamespace

import av
import cv2
import numpy as np
import pytest
import soundfile
from whole_media import read_media

from emocore.errors import MediaError
from emocore.media import source
from emocore.media.container import _Seekable, stated_seconds
from emocore.media.reading import Reading
from emocore.media.source import open_source

ROOT = Path(__file__).parents[3]
linux = pytest.mark.skipif(sys.platform != "linux", reason="inotify and /proc are Linux's")


def outcome(path):
    """ "read", or the reason why not."""
    try:
        with open_source(str(path)) as stream:
            read_media(stream, Reading(every=2))
    except MediaError as error:
        return error.reason
    return "read"


# References to other files and addresses


class Watch:
    """Names of files below a folder that are opened, by whatever library (inotify)."""

    IN_OPEN = 0x20

    def __init__(self, folder):
        libc = ctypes.CDLL(None, use_errno=True)
        self.events = libc.inotify_init1(os.O_NONBLOCK)
        assert self.events >= 0, os.strerror(ctypes.get_errno())  # each user has a limit of them
        assert libc.inotify_add_watch(self.events, os.fsencode(folder), self.IN_OPEN) >= 0

    def opened(self):
        """Their names; the watch is over."""
        names = set()
        try:
            while content := os.read(self.events, 65_536):
                while content:
                    length = struct.unpack("iIII", content[:16])[3]
                    names.add(content[16 : 16 + length].rstrip(b"\0").decode())
                    content = content[16 + length :]
        except BlockingIOError:
            return names
        finally:
            os.close(self.events)


class Server:
    """Listens at an address of its own; whoever connects is counted."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.socket.setblocking(False)
        self.port = self.socket.getsockname()[1]

    def connections(self):
        count = 0
        try:
            while True:
                self.socket.accept()[0].close()
                count += 1
        except BlockingIOError:
            return count


@pytest.fixture
def server():
    server = Server()
    yield server
    server.socket.close()


HLS = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{}\n#EXT-X-ENDLIST\n"
MPD = (
    '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period><AdaptationSet '
    'mimeType="video/mp4"><Representation id="0"><BaseURL>{}</BaseURL></Representation></AdaptationSet></Period></MPD>'
)
SDP = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio {port} RTP/AVP 0\n"
SCRIPTS = {
    "hls": HLS,
    "hls-master": "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{}\n",
    "hls-key": '#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="{}"\n#EXTINF:9,\na.ts\n#EXT-X-ENDLIST\n',
    "hls-map": '#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXT-X-MAP:URI="{}"\n#EXTINF:9,\na.ts\n#EXT-X-ENDLIST\n',
    "concat": "ffconcat version 1.0\nfile '{}'\n",
    "concat-options": "ffconcat version 1.0\nstream\nfile '{}'\noption safe 0\n",
    "dash": MPD,
    "sdp": SDP,
    "file": "file:{}\n",
    "concat-protocol": "concat:{}|{}",
    "subfile": "subfile,,start,0,end,0,,:{}",
    "crypto": "crypto:{}",
    "cue": 'FILE "{}" WAVE\n  TRACK 01 AUDIO\n    INDEX 01 00:00:00\n',
    "smil": '<smil><body><video src="{}"/></body></smil>',
    "asx": '<ASX version="3.0"><ENTRY><REF HREF="{}"/></ENTRY></ASX>',
    "pls": "[playlist]\nFile1={}\nNumberOfEntries=1\n",
    "imf": '<AssetMap xmlns="http://www.smpte-ra.org/schemas/429-9/2007/AM"><Path>{}</Path></AssetMap>',
    "image-sequence": "%03d {}",
}


@linux
@pytest.mark.parametrize("name", ["a.mp4", "a.wav", "a.mkv"])
@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_opens_neither_file_nor_address(media_files, server, script, name):
    for kind, target in {
        "relative": "secret.flac",
        "absolute": media_files.folder / "secret.flac",
        "url": f"file://{media_files.folder}/secret.flac",
        "address": f"http://127.0.0.1:{server.port}/a.ts",
    }.items():
        media_files.sound("secret.flac")
        path = media_files.bytes(f"{kind}-{name}", SCRIPTS[script].format(target, target, port=server.port).encode())
        watch = Watch(media_files.folder)
        assert outcome(path) == "unsupported"
        assert watch.opened() == {f"{kind}-{name}"}
    assert server.connections() == 0


@linux
def test_what_these_tests_watch_for_is_seen(media_files, server):
    secret = media_files.sound("secret.flac")
    watch = Watch(media_files.folder)
    with av.open(media_files.bytes("a.mp4", SCRIPTS["concat"].format(secret).encode()), options={"safe": "0"}):
        pass
    assert watch.opened() == {"a.mp4", "secret.flac"}
    address = f"http://127.0.0.1:{server.port}/a.ts"
    playlist = media_files.bytes("b.m3u8", HLS.format(address).encode())
    with pytest.raises((av.error.FFmpegError, OSError)):
        av.open(playlist, timeout=0.3, options={"protocol_whitelist": "file,http,tcp"})
    assert server.connections() > 0


def box(name, *contents):
    content = b"".join(contents)
    return struct.pack(">I4s", 8 + len(content), name) + content


def replace_box(content, path, new):
    """Return an mp4's bytes with one box below nested boxes replaced; no box after it may be pointed to."""
    if not path:
        return new
    at = 0
    while at < len(content):
        size, name = struct.unpack(">I4s", content[at : at + 8])
        if name == path[0]:
            inner = content[at + 8 : at + size]
            changed = new if len(path) == 1 else box(name, replace_box(inner, path[1:], new))
            return content[:at] + changed + content[at + size :]
        at += size
    raise KeyError(path[0])


def alias(target):
    """A QuickTime alias record: the absolute path under tag 2 (FFmpeg's mov.c, mov_read_dref)."""
    path = str(target).encode()
    fixed = bytes(10) + b"\0" + bytes(27) + bytes(12) + b"\0" + bytes(63) + bytes(16)
    levels = struct.pack(">hh", -1, -1) + bytes(16)
    tag = struct.pack(">HH", 2, len(path)) + path + b"\0" * (len(path) % 2)
    return box(b"alis", bytes(4), fixed, levels, tag, struct.pack(">HH", 0xFFFF, 0), bytes(40))


DREF = (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref")


def pointing_elsewhere(media_files, name, entry):
    """A film whose samples are said to lie where the entry says."""
    content = Path(media_files.encoded(f"whole-{name}", None, 0, video="libx264")).read_bytes()
    assert content.index(b"moov") > content.index(b"mdat")
    dref = box(b"dref", bytes(4), struct.pack(">I", 1), entry)
    return media_files.bytes(name, replace_box(content, DREF, dref))


@linux
@pytest.mark.parametrize("name", ["a.mov", "a.mp4"])
@pytest.mark.parametrize("kind", ["alis", "url ", "urn "])
def test_a_track_whose_samples_lie_elsewhere(media_files, server, name, kind):
    secret = Path(media_files.encoded("secret.mp4", None, 0, video="libx264"))
    for number, target in enumerate([secret, secret.name, f"file://{secret}", f"http://127.0.0.1:{server.port}/a.mp4"]):
        entry = box(kind.encode(), bytes(4), f"{target}\0".encode())
        path = pointing_elsewhere(media_files, f"{number}-{name}", alias(target) if kind == "alis" else entry)
        watch = Watch(media_files.folder)
        outcome(path)
        assert watch.opened() == {f"{number}-{name}"}
    assert server.connections() == 0


@linux
def test_the_alias_would_be_followed_if_ffmpeg_were_told_to(media_files):
    secret = media_files.encoded("secret.mp4", None, 0, video="libx264")
    path = pointing_elsewhere(media_files, "a.mov", alias(secret))
    watch = Watch(media_files.folder)
    options = {"enable_drefs": "1", "use_absolute_path": "1"}
    with av.open(path, options=options) as container:
        assert container.streams.video
    assert watch.opened() == {"a.mov", "secret.mp4"}


def element(identity, content):
    return identity + struct.pack(">Q", 1 << 56 | len(content)) + content


@linux
def test_matroska_segments_that_go_on_elsewhere_and_attachments(media_files, server):
    """Linked segments and attached playlists are named in a file's own elements (RFC 9559, 17 and 5.1.6)."""
    content = Path(media_files.encoded("whole.mkv", media_files.voice(), 22_050, "flac")).read_bytes()
    media_files.sound("secret.mkv", format="FLAC")
    address = f"http://127.0.0.1:{server.port}/a.mkv".encode()
    info = content.index(b"\x15\x49\xa9\x66")
    links = element(b"\x3e\x83\xbb", b"secret.mkv") + element(b"\x3c\x83\xab", address)
    links += element(b"\x3e\xb9\x23", bytes(16)) + element(b"\x3c\xb9\x23", bytes(16))
    playlist = HLS.format("secret.mkv").encode()
    attached = element(b"\x46\x6e", b"secret.mkv") + element(b"\x46\x60", b"application/x-mpegURL")
    attached = element(b"\x61\xa7", attached + element(b"\x46\x5c", playlist) + element(b"\x46\xae", b"\1"))
    segment = content.index(b"\x18\x53\x80\x67")
    unknown_size = b"\x01" + b"\xff" * 7
    body = content[segment + 12 :]
    parts = [element(b"\x15\x49\xa9\x66", links), element(b"\x19\x41\xa4\x69", attached)]
    assert segment < info
    path = media_files.bytes("a.mkv", content[: segment + 4] + unknown_size + b"".join(parts) + body)
    watch = Watch(media_files.folder)
    assert outcome(path) in {"read", "truncated", "broken"}
    assert watch.opened() == {"a.mkv"}
    assert server.connections() == 0


def test_a_zip_member_that_is_more_than_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(source, "MAX_MEMBER_BYTES", 10**6)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("big.wav", bytes(10**6 + 1))
        archive.writestr("small.wav", bytes(10**6))
    assert outcome(f"{tmp_path}/a.zip!/big.wav") == "too_large"
    assert outcome(f"{tmp_path}/a.zip!/small.wav") == "unsupported"


def test_a_zip_member_that_is_more_than_its_directory_states(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.wav", bytes(10**7))
    content = (tmp_path / "a.zip").read_bytes()
    (tmp_path / "a.zip").write_bytes(content.replace(struct.pack("<I", 10**7), struct.pack("<I", 1_000)))
    assert outcome(f"{tmp_path}/a.zip!/a.wav") == "broken"


# Sizes that nobody has: what each takes is measured in a process of its own

MEASURE = """
import json, resource, sys
from pathlib import Path
from emocore.errors import MediaError
from emocore.media.reading import Reading, stream_media
from emocore.media.source import open_source
from emocore.media.video import whole
import av, librosa
av.logging.set_level(None)
resource.setrlimit(resource.RLIMIT_AS, (3 * 2**30, 3 * 2**30))
def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) / 1024
def read(path):
    try:
        with open_source(path) as stream:
            hear = lambda rate, begins: lambda signal: None
            stream_media(stream, Reading(every=2, seconds_per_file=10), hear, lambda picture: None, whole(256))
        return "read"
    except MediaError as error:
        return error.reason
    except BaseException as error:
        return repr(error)
read(sys.argv[1])
for path in sys.argv[1:]:
    Path("/proc/self/clear_refs").write_text("5")
    before = peak()
    reason = read(path)
    print(json.dumps([Path(path).name, reason, peak() - before]), flush=True)
"""
FLAT_MIB = 60


def patch(content, *changes):
    content = bytearray(content)
    for at, new in changes:
        content[at : at + len(new)] = new
    return bytes(content)


@pytest.mark.parametrize("hours", ["9" * 400, "9" * 5_000, "\N{ARABIC-INDIC DIGIT ONE}0"])
def test_a_matroska_length_beyond_all_numbers_states_nothing(hours):
    film = SimpleNamespace(duration=None, time_base=None, start_time=None, metadata={"DURATION": f"{hours}:00:00"})
    container = SimpleNamespace(format=SimpleNamespace(name="matroska,webm"), duration=None, streams=[film])
    assert stated_seconds(container, film) is None
    film.metadata["DURATION"] = "01:01:02.500000000"
    assert stated_seconds(container, film) == 3_662.5


def png(width, height):
    """A picture of 16-bit RGBA zeros: 8 bytes a pixel in memory, about 1/1000 of that here."""

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    packer = zlib.compressobj(1)
    rows = b"".join([packer.compress(bytes(1 + 8 * width)) for _ in range(height)]) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 16, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def film_of(path, codec, packet, pix_fmt):
    with av.open(str(path), "w") as container:
        film = container.add_stream(codec, rate=25)
        film.width, film.height, film.pix_fmt = 16, 16, pix_fmt
        copy = av.Packet(packet)
        copy.stream, copy.pts, copy.dts, copy.is_keyframe = film, 0, 0, True
        container.mux(copy)


@pytest.fixture(scope="module")
def bombs(shared_media):
    """File name → the reasons that are right for it."""
    m = shared_media
    folder = m.folder / "bombs"
    folder.mkdir()
    expected = {}

    def add(name, content, *reasons):
        (folder / name).write_bytes(content)
        expected[name] = set(reasons)

    damaged = {"unsupported", "broken", "truncated", "no_pictures", "no_samples", "too_large", "read"}
    wav = Path(m.sound("bomb.wav")).read_bytes()
    fmt = wav.index(b"fmt ") + 8
    add("wav-channels.wav", patch(wav, (fmt + 2, b"\xff\xff")), "too_large", "unsupported")
    add("wav-rate.wav", patch(wav, (fmt + 4, b"\xff\xff\xff\x7f")), "too_large", "unsupported")
    add("wav-rate-negative.wav", patch(wav, (fmt + 4, b"\xff\xff\xff\xff")), "too_large", "unsupported")
    add("wav-rate-zero.wav", patch(wav, (fmt + 4, bytes(4))), "unsupported", "too_large")
    add(
        "wav-block.wav", patch(wav, (fmt + 12, b"\xff\xff")), "unsupported", "broken", "read", "truncated", "no_samples"
    )
    add("wav-bits.wav", patch(wav, (fmt + 14, b"\xff\xff")), "unsupported", "broken")
    add("wav-length.wav", patch(wav, (wav.index(b"data") + 4, b"\xff\xff\xff\xef")), "truncated")
    add(
        "wav-chunk.wav", patch(wav, (wav.index(b"data"), b"junk\xfe\xff\xff\xff")), "unsupported", "broken", "truncated"
    )
    flac = Path(m.sound("bomb.flac")).read_bytes()
    stream_info = 8 + 10  # 20 bits of rate, 3 of channels, 5 of depth, 36 of samples (RFC 9639, 8.2)
    add(
        "flac-samples.flac",
        patch(flac, (stream_info + 3, bytes([flac[stream_info + 3] | 15]) + b"\xff" * 4)),
        "truncated",
    )
    add(
        "flac-rate.flac", patch(flac, (stream_info, b"\xff\xff\xff")), "broken", "too_large", "unsupported", "truncated"
    )
    add(
        "flac-picture.flac",
        flac[:4] + b"\x06\xff\xff\xff" + flac[4:],
        "unsupported",
        "broken",
        "truncated",
        "no_samples",
    )
    mp4 = Path(m.encoded("bomb.mp4", m.voice(rate=44_100), 44_100, "aac", "libx264")).read_bytes()
    for name, at in {
        "stts": 4,
        "ctts": 4,
        "stsc": 4,
        "stco": 4,
        "stss": 4,
        "elst": 4,
        "stsd": 4,
        "dref": 4,
        "stsz": 8,
    }.items():
        if name.encode() in mp4:
            for count in (0xFFFFFFFF, 0x0FFFFFFF, 0x7FFFFFFF):
                place = mp4.index(name.encode()) + 4 + at
                add(f"mp4-{name}-{count:x}.mp4", patch(mp4, (place, struct.pack(">I", count))), *damaged)
    stsz = mp4.index(b"stsz")  # one size for 2³² − 1 samples: no table to run out of
    add("mp4-stsz-constant.mp4", patch(mp4, (stsz + 8, struct.pack(">II", 1, 0xFFFFFFFF))), *damaged)
    stts = mp4.index(b"stts")
    add("mp4-stts-run.mp4", patch(mp4, (stts + 12, struct.pack(">II", 0xFFFFFFFF, 0xFFFFFFFF))), *damaged)
    add("mp4-atom-length.mp4", patch(mp4, (mp4.index(b"trak") - 4, b"\xff\xff\xff\xff")), *damaged)
    deep = b"".join(struct.pack(">I4s", 8 * (50_000 - i), b"trak" if i else b"moov") for i in range(50_000))
    add("mp4-deep.mp4", mp4[: mp4.index(b"ftyp") - 4 + 32] + deep, "unsupported", "broken")
    width = mp4.index(b"avc1", mp4.index(b"stsd")) + 4 + 24
    add("mp4-says-30000.mp4", patch(mp4, (width, struct.pack(">HH", 30_000, 30_000))), "too_large", "read")
    avi = Path(m.encoded("bomb.avi", None, 0, video="mpeg4")).read_bytes()
    size = avi.index(b"strf") + 8 + 4
    add("avi-says-30000.avi", patch(avi, (size, struct.pack("<ii", 30_000, 30_000))), "too_large", "read", "broken")
    raw = patch(avi, (size, struct.pack("<ii", 30_000, 30_000)), (size + 12, bytes(4)), (avi.index(b"FMP4"), b"DIB "))
    add("avi-raw.avi", raw, "too_large", "unsupported", "broken", "no_pictures")
    most = patch(avi, (size, struct.pack("<ii", 0x7FFFFFFF, -0x80000000)))
    add("avi-4-billion.avi", most, "too_large", "unsupported", "broken", "read", "no_pictures")
    mkv = Path(m.encoded("bomb.mkv", None, 0, video="libx264")).read_bytes()
    pixels = mkv.index(b"\xb0\x81\x40\xba\x81\x40")  # PixelWidth and PixelHeight, one byte each: 64
    huge = mkv[:pixels] + b"\xb0\x81\xff\xba\x81\xff" + mkv[pixels + 6 :]
    add("mkv-says-255.mkv", huge, "read")
    add("mkv-element.mkv", patch(mkv, (mkv.index(b"\x16\x54\xae\x6b") + 4, b"\x01\x0f" + b"\xff" * 6)), *damaged)
    large = png(10_000, 9_000)
    for name in ("png.mov", "png.avi"):
        film_of(folder / name, "png", large, "rgba64be")
        expected[name] = {"too_large", "broken"}
    wall = cv2.imencode(".jpg", np.zeros((9_000, 9_000, 1), np.uint8))[1].tobytes()
    for name in ("jpeg.mov", "jpeg.avi"):
        film_of(folder / name, "mjpeg", wall, "yuvj420p")
        expected[name] = {"too_large", "broken"}
    add("mp3-tag.mp3", b"ID3\x04\0\0\x7f\x7f\x7f\x7f" + Path(m.sound("bomb.mp3")).read_bytes(), *damaged)
    ogg = Path(m.sound("bomb.ogg", format="OGG", subtype="VORBIS")).read_bytes()
    add("ogg-rate.ogg", patch(ogg, (ogg.index(b"\1vorbis") + 12, b"\xff\xff\xff\x7f")), *damaged - {"read"})
    return folder, expected


@linux
def test_absurd_sizes_are_refused_before_memory_is_taken(bombs):
    folder, expected = bombs
    small = soundfile_of(folder)
    paths = [small, *(str(folder / name) for name in expected)]
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *paths], capture_output=True, text=True, timeout=60, cwd=ROOT, env=environment()
    )
    found = {name: (reason, mib) for name, reason, mib in map(json.loads, done.stdout.splitlines())}
    assert set(found) == {"small.wav", *expected}, done.stderr[-500:]
    assert {name: found[name][0] for name in expected if found[name][0] not in expected[name]} == {}
    assert {name: mib for name, (_, mib) in found.items() if mib > FLAT_MIB} == {}


def soundfile_of(folder):
    path = str(folder / "small.wav")
    soundfile.write(path, np.zeros(2_000), 16_000)
    return path


def environment():
    return {**os.environ, "PYTHONPATH": str(ROOT)}


@pytest.mark.parametrize("place", [-1, 2**63, -(2**70)])
def test_a_place_that_cannot_be_is_answered_for_by_a_number(media_files, place):
    """PyAV writes an exception of ours out, with lines of the files that it names, whatever else becomes of it."""
    path = media_files.bytes("a.bin", b"abc")
    for opened in (lambda _: io.BytesIO(b"abc"), open_source):
        with opened(path) as stream:
            assert _Seekable(stream).seek(place) < 0
            assert _Seekable(stream).seek(-1, io.SEEK_END) == 2
            assert stream.read() == b"c"
