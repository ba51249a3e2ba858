"""Connections to Orthanc, and of this server's parts to each other: direct, whatever proxy leads out of the house."""

import http.client
import os
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter

_READING = ("/tools/lookup", "/tools/find")
"""Ends of the addresses that a POST only asks something of."""
CLOSED = (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError)
"""What is met on a kept connection that had been closed over there meanwhile."""


def direct_session() -> requests.Session:
    """Give a session that asks no proxy, for what is asked here is the house's own: passwords, patients, images.

    An environment that names a proxy, as pip and npm need it in many hospitals, often forgets to except 127.0.0.1.
    """
    session = requests.Session()
    session.trust_env = False
    session.verify = authorities() or True
    for scheme in ("http://", "https://"):
        session.mount(scheme, _AskingAgain())
    return session


class _AskingAgain(HTTPAdapter):
    """Asks a second time, over a new connection, where the kept one had been closed over there meanwhile.

    Only what reads: of anything else nobody knows whether it was done before the connection ended.
    """

    def send(self, request: requests.PreparedRequest, *arguments: Any, **named: Any) -> requests.Response:
        try:
            return super().send(request, *arguments, **named)
        except requests.ConnectionError as error:
            if not (_only_reads(request) and _was_closed(error)):
                raise
            self.close()  # others that were kept are as old
            return super().send(request, *arguments, **named)


def _only_reads(request: requests.PreparedRequest) -> bool:
    if request.method == "POST":
        return urlsplit(request.url or "").path.endswith(_READING)
    return request.method in ("GET", "HEAD")


def _was_closed(error: requests.ConnectionError) -> bool:
    """Whether the connection ended before an answer began: urllib3's error, with the socket's own, is within."""
    return any(isinstance(one, CLOSED) for cause in error.args for one in getattr(cause, "args", ()))


def authorities() -> str | None:
    """Give the file with the authorities that are trusted, where the environment names the house's own."""
    return os.environ.get("REQUESTS_CA_BUNDLE") or None
