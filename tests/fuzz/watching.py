"""Who sees what a hostile file reaches for. No watch sees everything; together they do.

- `Watch.opened` (Linux, inotify): files opened in the inputs' folder and in one elsewhere, each with a bait, by any
  library of any process, so FFmpeg's and Ray's workers' too; nothing in other folders.
- `Watch.connections`: who connects to the port of this machine that mutations name; not other ports, not UDP.
- `traced` (where strace may run): every file opened, every socket and every program started by a reader, anywhere.
- The audit hook of reader.py: what Python itself does, anywhere, on any system; nothing of FFmpeg's.
"""

import ctypes
import os
import re
import selectors
import shutil
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path

from mutate import BAIT, ELSEWHERE, FILES, NAME

INOTIFY = sys.platform == "linux"
IN_OPEN, IN_Q_OVERFLOW, IN_ISDIR = 0x20, 0x4000, 0x40000000
CALLS = "trace=?open,openat,?openat2,?creat,%network,execve,?execveat"


class Watch:
    """While entered, notes the paths opened in both folders of a work folder, and counts who connects to `port`."""

    def __init__(self, work: Path, bait: bytes):
        self.folders = [work / FILES, work / ELSEWHERE]
        for folder in self.folders:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / BAIT).write_bytes(bait)
        self.server = socket.create_server(("127.0.0.1", 0))
        self.server.setblocking(False)
        self.port = self.server.getsockname()[1]
        self.opened: set[str] = set()
        self.connections = 0

    def __enter__(self):
        self.over = threading.Event()
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.server, selectors.EVENT_READ, self._accept)
        self.events = None
        if INOTIFY:
            libc = ctypes.CDLL(None, use_errno=True)
            self.events = libc.inotify_init1(os.O_NONBLOCK)
            assert self.events >= 0, os.strerror(ctypes.get_errno())  # each user has a limit of them
            self.watched = {libc.inotify_add_watch(self.events, os.fsencode(f), IN_OPEN): f for f in self.folders}
            assert min(self.watched) >= 0, os.strerror(ctypes.get_errno())
            self.selector.register(self.events, selectors.EVENT_READ, self._note)
        self.thread = threading.Thread(target=self._look)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()
        self.selector.close()
        self.server.close()
        if self.events is not None:
            os.close(self.events)

    def strange(self) -> list[str]:
        """What was opened beside the mutations, and whether anybody connected."""
        mutation = re.compile(re.escape(f"{self.folders[0]}/") + NAME.pattern)
        found = [f"opened {path}" for path in sorted(self.opened) if not mutation.fullmatch(path)]
        return found + [f"{self.connections} connections"] * bool(self.connections)

    def _look(self):
        last = False
        while not last:
            last = self.over.is_set()  # then what is there already is still taken
            for key, _ in self.selector.select(0 if last else 0.05):
                key.data()

    def _accept(self):
        try:
            while True:
                self.server.accept()[0].close()
                self.connections += 1
        except BlockingIOError:
            return

    def _note(self):
        try:
            while content := os.read(self.events, 65_536):
                while content:
                    watched, kind, _, length = struct.unpack("iIII", content[:16])
                    name = os.fsdecode(content[16 : 16 + length].rstrip(b"\0"))
                    if kind & IN_Q_OVERFLOW:
                        self.opened.add("more than inotify could tell")
                    elif not kind & IN_ISDIR:
                        self.opened.add(f"{self.watched[watched]}/{name}")
                    content = content[16 + length :]
        except BlockingIOError:
            return


def can_trace() -> bool:
    """Whether strace is installed and may follow a process here."""
    if not shutil.which("strace"):
        return False
    return subprocess.run(["strace", "-qq", "-o", os.devnull, "true"], capture_output=True, check=False).returncode == 0


def traced(log: Path) -> list[str]:
    """Return what to put before a command, so that its calls are written to files that begin with `log`."""
    script = f'exec strace -f -qq --seccomp-bpf -e "{CALLS}" -o "$0.$$" "$@"'
    return ["sh", "-c", script, str(log)]


def strange_calls(log: Path, work: Path) -> list[str]:
    """Return the calls that readers made once they had written their first mutation, but for opening mutations."""
    mutation = re.compile(rf'openat\(AT_FDCWD, "{re.escape(str(work / FILES))}/({NAME.pattern})"')
    found = []
    for file in sorted(log.parent.glob(f"{log.name}.*")):
        now = None
        for line in file.read_text(errors="replace").splitlines():
            call = line.partition(" ")[2].strip()
            if match := mutation.match(call):
                now = match[1]
            elif now and not call.startswith(HARMLESS):
                found.append(f"{call} at {now}")
    return found


# The reader's own look at its descriptors, and what strace adds.
HARMLESS = ('openat(AT_FDCWD, "/proc/self/fd"', "+++", "---", "<... ")
