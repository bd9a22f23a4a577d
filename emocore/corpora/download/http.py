"""One HTTP server, asked politely: who we are, time-outs, what is worth another try and after how long."""

import contextlib
import json
import random
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http.client import IncompleteRead
from typing import Any, TypeVar
from urllib.parse import urljoin, urlsplit

import requests
from requests import Response
from urllib3.exceptions import HTTPError, InvalidHeader, NewConnectionError
from urllib3.util import Retry

from emocore import __version__
from emocore.corpora.download.checksums import FileError
from emocore.errors import UserError
from emocore.progress import duration, megabytes

# Zenodo answers 403 or 429 to the default name of the requests library (fatiando/pooch#502).
_USER_AGENT = f"emocore/{__version__} (RAVDESS downloader)"
_CHUNK_BYTES = 1 << 20
_RECORD_BYTES = 4 << 20  # of a record's JSON, which lists some 50 files
_CONNECT_SECONDS = 15.0
_LONGEST_BACKOFF_SECONDS = 60.0
_LONGEST_WISH_SECONDS = 600.0
_ASKS_TO_WAIT = (429, 503)
_TRANSIENT = (408, 425, 429, 500, 502, 503, 504)
_GONE = (404, 410)

Result = TypeVar("Result")


@dataclass(frozen=True)
class Transfer:
    """How patient a download is."""

    parallel: int = 4  # files at once
    tries: int = 8  # in a row without a megabyte of progress
    timeout_seconds: float = 60.0  # without a byte
    backoff_seconds: float = 1.0  # before the second try; doubles from try to try


class Transient(Exception):
    """A fault of network or server that another try may not meet; `wait_seconds` is what the server asked for."""

    def __init__(self, what: str, wait_seconds: float = 0.0) -> None:
        super().__init__(what)
        self.wait_seconds = wait_seconds


class NoSuchRange(Transient):
    """The server's file ends before the range that was asked for."""


class Stopped(Exception):
    """Another thread has met what makes going on pointless."""


class _Session(requests.Session):
    """Follows redirections, but never from https to anything that others on the way could read or change."""

    def get_redirect_target(self, resp: Response) -> str | None:
        """Return where an answer leads, None where it is the last one. Raises UserError."""
        target = super().get_redirect_target(resp)
        to = urlsplit(urljoin(resp.url, target or ""))
        if urlsplit(resp.url).scheme == "https" and to.scheme != "https":
            resp.close()
            raise UserError(
                f"{resp.url} leads to {to.scheme}://{to.netloc}, where anybody on the way could change what arrives: "
                "check the network and its proxy, or fetch the file with a browser into --dest, and run the same "
                "command again."
            )
        return target


class Server:
    """Asks one server, for several threads, until `stop` is set. `note` gets a line for every fault."""

    def __init__(self, base_url: str, transfer: Transfer, note: Callable[[str], None]) -> None:
        self.base_url = base_url.rstrip("/")
        self.transfer = transfer
        self.note = note
        self.stop = threading.Event()
        self._answered = False
        self._open: set[Response] = set()

    def record(self, record: str) -> Any:
        """Return the JSON that the record's API answers, None where it is none. Raises UserError."""

        def ask() -> Any:
            with self.get(f"{self.base_url}/api/records/{record}", {}) as response:
                body = self._record_body(record, response)
            try:
                return json.loads(body)
            except (ValueError, RecursionError):
                return None

        return self.persist(f"record {record}", ask)

    def _record_body(self, record: str, response: Response) -> bytes:
        body = bytearray()
        for chunk in self.chunks(response):
            body += chunk
            if len(body) > _RECORD_BYTES:
                raise UserError(
                    f"Record {record} answers with more than {megabytes(_RECORD_BYTES)}, which no list of files has, "
                    f"perhaps because a proxy answers in its place: fetch https://doi.org/10.5281/zenodo.{record} "
                    "with a browser into --dest, and run the same command again."
                )
        return bytes(body)

    def url_of(self, record: str, name: str) -> str:
        """Return where a record's file lies."""
        return f"{self.base_url}/records/{record}/files/{name}?download=1"

    def get(self, url: str, headers: Mapping[str, str]) -> Response:
        """Return a good answer, its body unread. Raises Transient, UserError where more tries are in vain."""
        if self.stop.is_set():
            raise Stopped
        headers = {"User-Agent": _USER_AGENT, "Accept-Encoding": "identity", **headers}
        timeout = (min(_CONNECT_SECONDS, self.transfer.timeout_seconds), self.transfer.timeout_seconds)
        try:
            with _Session() as session:
                response = session.get(url, headers=headers, stream=True, timeout=timeout)
        except requests.RequestException as error:
            raise self._fault(error) from error
        self._answered = True
        if response.ok:
            return response
        response.close()
        raise _status_fault(url, response)

    def chunks(self, response: Response) -> Iterator[bytes]:
        """Yield the body as it arrives, so that a cut loses nothing. Raises Transient where it is cut."""
        self._open.add(response)
        try:
            # requests' own iter_content would drop a chunk that was not complete at the cut.
            while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=False):
                yield chunk
                if self.stop.is_set():
                    break
        except (HTTPError, OSError) as error:
            if not self.stop.is_set():
                raise Transient(_short(error)) from error
        finally:
            self._open.discard(response)
        if self.stop.is_set():
            raise Stopped

    def halt(self) -> None:
        """End all that is under way, from any thread; what waits for bytes ends too."""
        self.stop.set()
        for response in list(self._open):
            with contextlib.suppress(OSError, ValueError, RuntimeError):
                response.raw.shutdown()

    def persist(self, what: str, action: Callable[[], Result], progress: Callable[[], int] = lambda: 0) -> Result:
        """Try until the action succeeds or too many tries in a row made no progress. Raises UserError.

        `progress` returns bytes: a megabyte more than at the last fault, and the count of tries begins anew.
        """
        tries, before = 0, progress()
        while True:
            try:
                return action()
            except Transient as fault:
                now = progress()
                tries = 1 if now - before >= _CHUNK_BYTES else tries + 1
                before = now
                seconds = self._wait_seconds(what, fault, tries)
                self.note(f"{what}: {fault}; try {tries + 1} of {self.transfer.tries} in {duration(seconds)}")
            if self.stop.wait(seconds):
                raise Stopped

    def _wait_seconds(self, what: str, fault: Transient, tries: int) -> float:
        again = "run the same command again, it continues where this one stopped."
        if tries >= self.transfer.tries:
            raise UserError(f"{what}: {fault}, {tries} times in a row: check the network and {again}")
        if fault.wait_seconds > _LONGEST_WISH_SECONDS:
            raise UserError(f"{what}: {fault}, and asks to wait {duration(fault.wait_seconds)}: then {again}")
        # urllib3's Retry would count a transfer's tries whether or not bytes arrived in between.
        backoff = min(self.transfer.backoff_seconds * 2 ** (tries - 1), _LONGEST_BACKOFF_SECONDS)
        # Many readers that were cut off together must not come back together.
        return float(fault.wait_seconds + backoff * random.uniform(0.5, 1))

    def _fault(self, error: requests.RequestException) -> Exception:
        refused = isinstance(getattr(error.args[0] if error.args else None, "reason", None), NewConnectionError)
        hopeless = isinstance(error, requests.exceptions.SSLError | requests.exceptions.ProxyError)
        late = isinstance(error, requests.exceptions.ConnectTimeout)
        if hopeless or ((refused or late) and not self._answered):
            return UserError(
                f"No connection to {self.base_url} ({_short(error)}): check the network and its proxy, and run the "
                "same command again."
            )
        return Transient(_short(error))


def _status_fault(url: str, response: Response) -> Exception:
    code = response.status_code
    says = f"the server says HTTP {code} {response.reason or ''}".rstrip()
    if code in _TRANSIENT:
        return Transient(says, _wish(response.headers.get("Retry-After")) if code in _ASKS_TO_WAIT else 0.0)
    if code == 416:
        return NoSuchRange("the server does not have the range asked for")
    if code in _GONE:
        return FileError(f"{url} does not exist ({says}): leave it out, or look at the record for its new name.")
    return UserError(
        f"{url}: {says}, and refuses this program or network for now: try later, or fetch the file with a browser "
        "into --dest and run the same command again."
    )


def _wish(retry_after: str | None) -> float:
    """Return the seconds of a Retry-After header, a number or a date (RFC 9110, 10.2.3)."""
    if retry_after is None:
        return 0.0
    try:
        return min(float(Retry().parse_retry_after(retry_after)), 1e9)
    except (InvalidHeader, ValueError, OverflowError):  # a number or a year without end
        return 0.0


def _short(error: BaseException) -> str:
    """Return what lies at the bottom of a chain of network errors, in a few words."""
    while error.__context__ is not None:
        error = error.__context__
    if isinstance(error, IncompleteRead):
        return "the connection was cut"
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return text.rstrip(".").replace("\n", " ")
