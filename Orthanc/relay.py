"""Passes one DICOMweb request on to Orthanc and its answer back, as it arrives, with our credentials.

Lean on purpose: a viewer that scrolls asks for a hundred frames a second. Each thread keeps its connection open.
"""

import base64
import http.client
import re
import ssl
import threading
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import IO, Any, cast
from urllib.parse import quote, unquote_to_bytes, urlsplit

from Orthanc.archive import ArchiveTimeoutError, ArchiveUnavailableError
from Orthanc.direct import CLOSED, authorities

CHUNK_BYTES = 1 << 17
RESOURCE = re.compile(r"(studies|series|instances)(/(?!\.{1,2}(/|$))[^/]+)*", re.ASCII)
"""What may be asked for below /dicom-web/: DICOM, and not the plugin's own services, which reach other servers."""

_ASKED = ("Accept", "Host", "Forwarded")
_ASKED_OF_A_BODY = ("Content-Type", "Content-Length")
"""A length without a body, as of a GET whose body stays here, would have Orthanc take the next request for the body."""

_ANSWERED = ("Content-Type", "Content-Length", "Content-Location", "Location", "Warning")
_PLAIN = re.compile(rb"[\x21-\x7e]")
_AMISS = {401, 403}
_BODILESS = {204, 304}


def decoded_query(query: bytes) -> str:
    """Decode a QIDO-RS query, for Orthanc's plugin 1.7 takes ``%2A`` and the like as they stand.

    What cannot stand plainly in an address (a space, a letter beyond ASCII, ``&``, ``#``, ``%``) is asked for as ``?``,
    which matches any one character.
    """
    parts = []
    for argument in query.split(b"&"):
        name, equals, value = argument.partition(b"=")
        parts.append(_plain(name) + equals.decode() + _plain(value))
    return "&".join(parts)


def _plain(text: bytes) -> str:
    letters = unquote_to_bytes(text).decode("utf-8", errors="replace")
    return "".join(one if _PLAIN.fullmatch(one.encode()) and one not in "&#%" else "?" for one in letters)


@dataclass(frozen=True)
class Answer:
    """Status, headers and body of an answer; the body must be read to its end or closed."""

    status: int
    headers: dict[str, str]
    body: Generator[bytes, None, None]


class _Head:
    """The file that the head of an answer is read from; it keeps the Content-Type back.

    The standard library has heads read by its parser of mails, which makes a regular expression of each new boundary
    of a multipart body. That took longer than all the rest of a frame.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.content_type = file, ""

    def readline(self, limit: int) -> bytes:
        """Read a line that is not the Content-Type."""
        line = self._file.readline(limit)
        name, _, value = line.partition(b":")
        if name.lower() != b"content-type":
            return line
        self.content_type = value.decode("latin-1").strip()
        return self.readline(limit)


class _Response(http.client.HTTPResponse):
    def begin(self) -> None:
        file: Any = self.fp
        head = _Head(file)
        self.fp = cast(Any, head)
        try:
            super().begin()
        finally:
            self.fp = file
        if head.content_type:
            self.headers["Content-Type"] = head.content_type


class Relay:
    """Passes requests on to one Orthanc; for use by many threads."""

    def __init__(self, url: str, username: str, password: str, timeout: float) -> None:
        parts = urlsplit(url)
        self.url, self._timeout = url, timeout
        self._secure, self._host, self._port = parts.scheme == "https", parts.hostname or "", parts.port
        self._root = f"{parts.path.rstrip('/')}/dicom-web/"
        login = base64.b64encode(f"{username}:{password}".encode()).decode()
        self._login = {"Authorization": f"Basic {login}"} if username else {}
        self._kept = threading.local()

    def ask(
        self, method: str, resource: str, query: bytes, headers: Mapping[str, str], body: IO[bytes] | None = None
    ) -> Answer:
        """Send a request on.

        Parameters
        ----------
        resource
            Path below ``/dicom-web/``, decoded; of the form of ``RESOURCE``.
        query
            As it came, still encoded.
        headers
            As they came; those that matter are passed on.
        body
            Sent while it is read; its length must be in the headers.

        Raises
        ------
        ArchiveUnavailableError, ArchiveTimeoutError
            While nothing of the answer has arrived yet.
        """
        path = self._root + quote(resource, safe="/,()")
        target = f"{path}?{decoded_query(query)}" if query else path
        names = _ASKED if body is None else _ASKED + _ASKED_OF_A_BODY
        passed = {name: headers[name] for name in names if headers.get(name)} | self._login
        call = f"{method} /dicom-web/{resource}"
        connection, used = self._connection(fresh=body is not None)
        try:
            try:
                answer = self._send(connection, method, target, passed, body)
            except CLOSED:
                if not used:
                    raise
                connection, _ = self._connection(fresh=True)  # the kept one had been closed over there meanwhile
                answer = self._send(connection, method, target, passed, body)
        except TimeoutError as error:
            connection.close()
            raise ArchiveTimeoutError(f"{self.url} did not answer {call} in {self._timeout:g} s") from error
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise ArchiveUnavailableError(f"no connection to {self.url} for {call}: is Orthanc running?") from error
        if answer.status in _AMISS:
            connection.close()
            advice = "check ORTHANC_USERNAME and ORTHANC_PASSWORD"
            raise ArchiveUnavailableError(f"{self.url} answered {call} with {answer.status}: {advice}")
        kept = {name: value for name in _ANSWERED if (value := answer.headers.get(name)) is not None}
        lasts = body is None  # what Orthanc left unread of one, it would take for the next request
        if method == "HEAD" or answer.status in _BODILESS:
            answer.close()  # the connection is free again; no server asks for a body that there cannot be
            if not lasts:
                connection.close()
            return Answer(answer.status, kept, _nothing())
        stream = _stream(connection, answer, lasts=lasts)
        next(stream)  # begun, so that its end comes even where nobody reads it
        return Answer(answer.status, kept, stream)

    @staticmethod
    def _send(
        connection: http.client.HTTPConnection,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: IO[bytes] | None,
    ) -> http.client.HTTPResponse:
        connection.request(method, target, body=body, headers=headers)
        return connection.getresponse()

    def _connection(self, *, fresh: bool) -> tuple[http.client.HTTPConnection, bool]:
        """Give this thread's connection, and whether it was used before."""
        kept: http.client.HTTPConnection | None = getattr(self._kept, "connection", None)
        if kept is not None and kept.sock is not None and not fresh:
            return kept, True
        if kept is not None:
            kept.close()
        if self._secure:
            context = ssl.create_default_context(cafile=authorities())
            made: http.client.HTTPConnection = http.client.HTTPSConnection(
                self._host, self._port, timeout=self._timeout, blocksize=CHUNK_BYTES, context=context
            )
        else:
            made = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout, blocksize=CHUNK_BYTES)
        made.response_class = _Response
        self._kept.connection = made
        return made, False


def _nothing() -> Generator[bytes, None, None]:
    yield from ()


def _stream(
    connection: http.client.HTTPConnection, answer: http.client.HTTPResponse, *, lasts: bool
) -> Generator[bytes, None, None]:
    """Give nothing at first, then the body as it arrives; a connection that does not last is closed then.

    Nor does one last that was not read to its end.
    """
    whole = False
    try:
        yield b""
        while chunk := answer.read1(CHUNK_BYTES):
            yield chunk
        if answer.length:  # read1 ends quietly where the other side hung up
            raise ArchiveUnavailableError(f"an answer ended {answer.length} bytes early")
        whole = True
        answer.close()  # read1 does not tell the connection that nothing is left
    finally:
        if not (whole and lasts):
            connection.close()
