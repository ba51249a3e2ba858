"""How much a request may hold, said by waitress before it takes any of it in; and how long a client may not read.

It lays the whole of a body down on disk before a route is asked, and knows one limit for all addresses, the uploads'.
"""

import json
import logging
import re
import socket
import time
from contextlib import suppress
from copy import copy
from http import HTTPStatus
from typing import Any

from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.utilities import Error, RequestEntityTooLarge

from BDD.records import Problem
from routes.problems import no_room

MAXIMUM_BYTES = 1 << 20
"""The most that a request may hold anywhere but where images are stored."""

UNREAD_SECONDS = 60.0
"""So long a client may take nothing of what is there for it."""

_UPLOADS = re.compile(r"/uploadDicom|/dicom-web/studies(/[^/]+)?")


_TOO_LARGE = Problem(
    "about:blank",
    "Request Entity Too Large",
    413,
    "This address takes no such amount of data.",
    "Send less. What an upload may hold is UPLOAD_MAX_MB in .env.",
)

logger = logging.getLogger(__name__)


class _RefusalError(Error):
    """waitress's answer to a request that is not taken in, as every error of ours is."""

    def __init__(self, path: str, problem: Problem) -> None:
        super().__init__(problem.detail)
        self._path, self._problem = path, problem

    def to_response(self, _ident: str | None = None) -> tuple[str, list[tuple[str, str]], bytes]:
        problem = {**self._problem.to_json(), "instance": self._path}
        if self._path == "/uploadDicom":
            problem["error"] = self._problem.detail  # which the published front-end reads
        headers = [("Content-Type", "application/problem+json"), ("X-Content-Type-Options", "nosniff")]
        status = HTTPStatus(self._problem.status)
        return f"{status.value} {status.phrase}", headers, json.dumps(problem).encode()


class Parser(HTTPRequestParser):
    """waitress's, with ``MAXIMUM_BYTES`` for whatever is no upload, and an answer where there is no room for a body."""

    adj: Any
    body_rcv: Any
    error: Any

    def parse_header(self, header_plus: bytes) -> None:
        """Read the head; the limit that goes with the address holds from here on."""
        super().parse_header(header_plus)
        if not _UPLOADS.fullmatch(self.path):
            self.adj = copy(self.adj)
            self.adj.max_request_body_size = MAXIMUM_BYTES + 1

    def received(self, data: bytes) -> int:
        """Take in what has arrived of a request."""
        try:
            consumed: int = super().received(data)
        except OSError as error:
            logger.error("no room for what is sent: %s", error.strerror)  # noqa: TRY400 - the trace tells no more
            with suppress(OSError):  # what is not written yet is tried once more
                self.close()
            self.body_rcv = None
            self._refuse(no_room(error).problem)
            return len(data)
        if isinstance(self.error, RequestEntityTooLarge):
            self._refuse(_TOO_LARGE)
        return consumed

    def _refuse(self, problem: Problem) -> None:
        self.error, self.completed = _RefusalError(self.path, problem), True
        self.expect_continue = False  # who asks first whether to send it is not told to go on


class Channel(HTTPChannel):
    """waitress's, with our parser, which gives up a client that does not read, and lets a refused one end it.

    To close on a body not read resets the connection, and the client may lose the answer that tells it why. What
    still comes is thrown away until the client has read the answer and closes, or waitress calls it idle
    (``channel_timeout`` after the answer: what is thrown away is no activity).
    """

    parser_class = Parser
    close_when_flushed: bool
    _refuses = _lingers = False
    _active_at = _moved_at = 0.0

    def service(self) -> None:
        """Answer a request; a refused one is the last, and may not have been read to its end."""
        self._refuses = self.requests[0].error is not None
        super().service()

    def readable(self) -> bool:
        """Whether something is to be read."""
        return self._lingers or bool(super().readable())

    def writable(self) -> bool:
        """Whether something is to be sent; asked every second at least.

        A client that takes none of it is waited for by waitress without end, and by the thread that answers it.
        """
        now = time.monotonic()
        if not self.total_outbufs_len or self._active_at != self.last_activity:
            self._active_at, self._moved_at = self.last_activity, now
        elif now - self._moved_at > UNREAD_SECONDS:
            self.handle_close()
            return False
        return bool(super().writable())

    def handle_write(self) -> None:
        """Send what is left to send; once a refusal is sent, say that this is all, and stay to hear the client out."""
        if self._refuses and self.close_when_flushed and not self.will_close:
            self._flush_exception(self._flush_some)
            if self.connected and not self.total_outbufs_len and not self.will_close:
                self.close_when_flushed = False
                self._lingers = True
                try:
                    self.socket.shutdown(socket.SHUT_WR)
                except OSError:  # the client has gone
                    self.handle_close()
                return
        super().handle_write()

    def handle_read(self) -> None:
        """Take what has come; after the last answer, throw it away."""
        if not self._lingers:
            super().handle_read()
            return
        try:
            self.recv(self.adj.recv_bytes)  # which closes where the client has closed
        except OSError:
            self.handle_close()
