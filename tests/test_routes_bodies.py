"""What waitress itself sees to: what is too large is refused before it is sent; who does not read is given up."""

import contextlib
import errno
import io
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import waitress
from flask import Flask, Response, request
from waitress.server import BaseWSGIServer

from routes import bodies

UPLOAD_BYTES = 4 << 20
ALWAYS = [
    "/segment",
    "/jobs/x/retry",
    "/uploadDicom/",
    "/dicom-web/studies/1.2/metadata",
    "/dicom-web/instances",
    "/nothing",
]
UPLOADS = ["/uploadDicom", "/dicom-web/studies", "/dicom-web/studies/1.2.3"]


@contextlib.contextmanager
def serving(app: Flask, **adjustments: int) -> Iterator[int]:
    """Serve as ``api.py`` does; gives the port."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BaseWSGIServer, "channel_class", bodies.Channel)
        server = waitress.create_server(app, host="127.0.0.1", port=0, **adjustments)
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            yield server.effective_port
        finally:
            server.close()
            thread.join(10)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    app = Flask("sizes")

    @app.post("/<path:_>")
    def size(_: str) -> str:
        return str(len(request.get_data()))

    with serving(app, max_request_body_size=UPLOAD_BYTES + 1) as port:
        yield port


def answer(port: int, path: str, *headers: str, body: bytes = b"") -> str:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        head = [f"POST {path} HTTP/1.1", "Host: x", "Connection: close", *headers, "", ""]
        connection.sendall("\r\n".join(head).encode() + body)
        return b"".join(iter(lambda: connection.recv(1 << 16), b"")).decode()


@pytest.mark.parametrize(
    ("path", "limit"), [*((path, bodies.MAXIMUM_BYTES) for path in ALWAYS), *((path, UPLOAD_BYTES) for path in UPLOADS)]
)
def test_refused_before_it_is_sent(port: int, path: str, limit: int) -> None:
    for headers in ((), ("Expect: 100-continue",)):
        said = answer(port, path, f"Content-Length: {limit + 1}", *headers)
        assert said.startswith("HTTP/1.1 413 "), said
        assert "Content-Type: application/problem+json" in said
        assert f'"instance": "{path}"' in said
        assert ('"error":' in said) == (path == "/uploadDicom"), "the published front-end reads it"
    assert answer(port, path, f"Content-Length: {limit}", body=bytes(limit)).endswith(f"\r\n{limit}")


@pytest.mark.parametrize(("path", "limit"), [("/segment", bodies.MAXIMUM_BYTES), ("/dicom-web/studies", UPLOAD_BYTES)])
def test_of_a_body_of_unknown_length_no_more_is_taken(port: int, path: str, limit: int) -> None:
    for size, status in ((limit - 100, 200), (limit + 100, 413)):  # lengths of chunks count, too
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (size, bytes(size))
        assert answer(port, path, "Transfer-Encoding: chunked", body=body).startswith(f"HTTP/1.1 {status} ")


def test_who_sends_it_all_the_same_reads_why_not(port: int) -> None:
    """Whose connection were reset could not tell a refusal from a broken line."""
    body = bytes(8 * UPLOAD_BYTES)
    for path in ("/segment", "/uploadDicom"):
        assert answer(port, path, f"Content-Length: {len(body)}", body=body).startswith("HTTP/1.1 413 ")


def test_a_client_that_leaves_its_connections_open_does_not_keep_ours() -> None:
    with contextlib.ExitStack() as left:
        port = left.enter_context(serving(Flask("left"), connection_limit=8))
        for _ in range(20):
            connection = left.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
            connection.sendall(b"GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert connection.recv(1 << 16).startswith(b"HTTP/1.1 404 ")


def test_who_neither_reads_nor_ends_is_not_waited_for_without_end() -> None:
    with (
        serving(Flask("idle"), channel_timeout=1, cleanup_interval=1) as port,
        socket.create_connection(("127.0.0.1", port), timeout=30) as connection,
    ):
        connection.sendall(b"POST /segment HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n")
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 413 ")
        until = time.monotonic() + 30
        with contextlib.suppress(ConnectionError):
            while time.monotonic() < until:  # what still comes keeps nothing open
                connection.sendall(b"x")
                time.sleep(0.1)
        assert time.monotonic() < until


def test_who_asks_first_whether_to_send_it_is_told_to_where_it_fits(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(b"POST /segment HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 100 ")
        connection.sendall(b"{}")
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200 ")


class Full(io.BytesIO):
    """A file on a disk without room."""

    def write(self, _: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    def close(self) -> None:
        super().close()
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("path", UPLOADS)
def test_without_room_on_the_disk_the_client_is_told(port: int, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda _: Full())
    said = answer(port, path, f"Content-Length: {UPLOAD_BYTES}", body=bytes(UPLOAD_BYTES))
    assert said.startswith("HTTP/1.1 507 Insufficient Storage\r\n"), said
    assert "Content-Type: application/problem+json" in said
    assert "No space left on device" in said
    assert f'"instance": "{path}"' in said
    assert ('"error":' in said) == (path == "/uploadDicom"), "the published front-end reads it"
    assert answer(port, path, "Content-Length: 2", body=b"{}").endswith("\r\n2")


@pytest.fixture(scope="module")
def sending() -> Iterator[int]:
    """Serve so many MiB with one thread, to clients that may not read for 4 s: waitress looks once a second."""
    app = Flask("sending")

    @app.get("/<int:mib>")
    def send(mib: int) -> Response:
        return Response((bytes(1 << 20) for _ in range(mib)), headers={"Content-Length": str(mib << 20)})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bodies, "UNREAD_SECONDS", 4.0)
        with serving(app, threads=1) as port:
            yield port


def asked(port: int, mib: int) -> socket.socket:
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 18)
    client.settimeout(30)
    client.connect(("127.0.0.1", int(port)))
    client.sendall(b"GET /%d HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % mib)
    return client


def taken(client: socket.socket, pause: float) -> int:
    """Read until the connection ends, with a pause after each of the first forty pieces; give how much came."""
    length = pieces = 0
    with contextlib.suppress(ConnectionError):
        while piece := client.recv(1 << 20):
            length += len(piece)
            time.sleep(pause if (pieces := pieces + 1) <= 40 else 0)
    return length


@pytest.mark.parametrize("mib", [12, 48], ids=["held by waitress", "for which a thread waits"])
def test_who_does_not_read_holds_nobody_up(sending: int, mib: int) -> None:
    with asked(sending, mib) as idle:
        with asked(sending, 1) as other:
            assert taken(other, 0.0) > 1 << 20
        time.sleep(7)
        assert taken(idle, 0.0) < mib << 20


def test_who_reads_slowly_gets_it_all(sending: int) -> None:
    with asked(sending, 24) as slow:
        assert taken(slow, 0.05) > 24 << 20


def test_a_head_that_is_none_or_too_long_is_refused_as_ever(port: int) -> None:
    assert answer(port, "/segment", "Content-Length: many").startswith("HTTP/1.1 400 ")
    assert answer(port, "/segment", "X: " + "x" * (1 << 18)).startswith("HTTP/1.0 431 ")
