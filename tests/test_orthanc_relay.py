"""Requests passed on to Orthanc: with our credentials, as they arrive, and with a clear error where that fails."""

import base64
import http.server
import io
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import Mock

import pytest

from Orthanc.archive import ArchiveTimeoutError, ArchiveUnavailableError
from Orthanc.relay import RESOURCE, Relay, decoded_query


@pytest.mark.parametrize(
    ("query", "decoded"),
    [
        (b"includefield=00081030%2C00080060&limit=101", "includefield=00081030,00080060&limit=101"),
        (b"PatientName=%2ADoe%5EJohn%2A", "PatientName=*Doe^John*"),
        (b"StudyDate=20240101-20240201", "StudyDate=20240101-20240201"),
        (b"PatientName=Doe%20John", "PatientName=Doe?John"),
        (b"PatientID=a%26limit%3D1%23%25", "PatientID=a?limit=1??"),
        (b"PatientName=M%C3%BCller", "PatientName=M?ller"),
        (b"PatientID=%0D%0AHost%3A%20other", "PatientID=??Host:?other"),
    ],
)
def test_queries_are_decoded_for_orthanc(query: bytes, decoded: str) -> None:
    assert decoded_query(query) == decoded


@pytest.mark.parametrize(
    ("resource", "allowed"),
    [
        ("studies", True),
        ("studies/1.2/series/3.4/instances/5.6/frames/1,2", True),
        ("instances", True),
        ("servers", False),
        ("servers/other/get", False),
        ("studies/../servers", False),
        ("studies/1.2/..", False),
        ("studies//instances", False),
        ("studies/", False),
        ("studiesx", False),
    ],
)
def test_only_dicom_is_passed_on(resource: str, allowed: bool) -> None:
    assert bool(RESOURCE.fullmatch(resource)) is allowed


MULTIPART = 'multipart/related; type="application/octet-stream"; boundary=b1'


class Upstream(http.server.BaseHTTPRequestHandler):
    """Stands in for Orthanc; what it does is said by the address, what it got is kept."""

    protocol_version = "HTTP/1.1"
    seen: list[dict[str, Any]]
    proceed: threading.Event

    def do_GET(self) -> None:
        self.seen.append({"path": self.path, "headers": dict(self.headers), "port": self.client_address[1]})
        kind = self.path.split("/")[-1]
        if kind in ("401", "403"):
            self.answer(int(kind), b"no", {"WWW-Authenticate": "Basic"})
        elif kind == "slow":
            self.proceed.wait(10)
            self.answer(200, b"late")
        elif kind == "drip":
            self.head(200, 4)
            self.wfile.write(b"ab")
            self.wfile.flush()
            assert self.proceed.wait(10), "the first half was not passed on before the second was there"
            self.wfile.write(b"cd")
        elif kind == "frames":
            self.answer(200, b"--b1\r\n\r\nwhole\r\n--b1--", {"content-TYPE": MULTIPART, "Warning": "none"})
        elif kind == "silent":
            self.close_connection = True
        elif kind == "cut":
            self.head(200, 100)
            self.wfile.write(b"only this")
            self.close_connection = True
        elif kind in ("204", "304"):
            self.send_response(int(kind))
            self.end_headers()
        else:
            self.answer(200, b"whole")
            self.close_connection = kind == "closing"

    def do_HEAD(self) -> None:
        self.seen.append({"port": self.client_address[1]})
        self.head(200, 5)

    def do_POST(self) -> None:
        if self.path.endswith("unread"):
            self.answer(415, b"not this")
            return
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.seen.append({"path": self.path, "headers": dict(self.headers), "body": body})
        self.answer(200, b"stored")

    def head(self, status: int, length: int, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(length), **(headers or {"Content-Type": "text/x"})}.items():
            self.send_header(name, value)
        self.end_headers()

    def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.head(status, len(body), headers)
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def upstream() -> Iterator[tuple[str, type[Upstream]]]:
    class Handler(Upstream):
        seen = []
        proceed = threading.Event()

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", Handler
    finally:
        Handler.proceed.set()
        server.shutdown()
        server.server_close()
        thread.join()


def body_of(relay: Relay, resource: str, **headers: str) -> bytes:
    return b"".join(relay.ask("GET", resource, b"", headers).body)


def test_our_credentials_go_along_and_the_browsers_do_not() -> None:
    with upstream() as (url, handler):
        relay = Relay(url, "us", "secret", 5)
        headers = {"Authorization": "Basic theirs", "Cookie": "a=b", "Accept": "text/x", "Host": "viewer:99"}
        answer = relay.ask("GET", "studies/1.2", b"limit=1%2C", headers)
        assert b"".join(answer.body) == b"whole"
        (seen,) = handler.seen
    assert seen["path"] == "/dicom-web/studies/1.2?limit=1,"
    assert seen["headers"]["Authorization"] == "Basic " + base64.b64encode(b"us:secret").decode()
    assert seen["headers"]["Host"] == "viewer:99"
    assert seen["headers"]["Accept"] == "text/x"
    assert "Cookie" not in seen["headers"]
    assert answer.headers == {"Content-Type": "text/x", "Content-Length": "5"}


def test_a_multipart_answer_keeps_its_boundary_and_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    with upstream() as (url, _):
        relay = Relay(url, "us", "secret", 5)
        body_of(relay, "studies")
        compiling = Mock(wraps=re.compile)
        monkeypatch.setattr(re, "compile", compiling)
        answer = relay.ask("GET", "studies/frames", b"", {})
        made = [call.args[0] for call in compiling.call_args_list if "b1" in call.args[0]]
        assert not made, "as the library would for each answer"
        assert answer.headers == {"Content-Type": MULTIPART, "Content-Length": "21", "Warning": "none"}
        assert b"".join(answer.body) == b"--b1\r\n\r\nwhole\r\n--b1--"


def test_an_answer_is_passed_on_as_it_arrives() -> None:
    with upstream() as (url, handler):
        body = Relay(url, "us", "secret", 10).ask("GET", "studies/drip", b"", {}).body
        assert next(body) == b"ab"
        handler.proceed.set()
        assert b"".join(body) == b"cd"


def test_a_connection_is_kept_and_made_again_when_it_was_closed() -> None:
    with upstream() as (url, handler):
        relay = Relay(url, "us", "secret", 5)
        for resource in ("studies", "studies", "studies/closing", "studies"):
            assert body_of(relay, resource) == b"whole"
        ports = [one["port"] for one in handler.seen]
    assert ports[0] == ports[1] == ports[2] != ports[3]


def test_a_body_is_sent_while_it_is_read() -> None:
    with upstream() as (url, handler):
        relay = Relay(url, "us", "secret", 5)
        body = bytes(3_000_000)
        headers = {"Content-Length": str(len(body)), "Content-Type": "multipart/related"}
        answer = relay.ask("POST", "studies", b"", headers, io.BytesIO(body))
        assert b"".join(answer.body) == b"stored"
        (seen,) = handler.seen
    assert seen["body"] == body
    assert seen["headers"]["Content-Type"] == "multipart/related"


def test_a_body_is_whole_though_the_connection_was_closed_meanwhile() -> None:
    """It can be read but once: it goes over a connection of its own, or the rest of it would on the second try."""
    with upstream() as (url, handler):
        relay = Relay(url, "us", "secret", 5)
        assert body_of(relay, "studies/closing") == b"whole"
        body = bytes(3_000_000)
        answer = relay.ask("POST", "studies", b"", {"Content-Length": str(len(body))}, io.BytesIO(body))
        assert b"".join(answer.body) == b"stored"
        assert handler.seen[-1]["body"] == body


def test_a_length_whose_body_stays_here_takes_nothing_of_the_next_request() -> None:
    with upstream() as (url, handler):
        relay = Relay(url, "us", "secret", 5)
        for told in ({"Content-Length": "20", "Content-Type": "text/x"}, {"Transfer-Encoding": "chunked"}):
            for method in ("GET", "HEAD"):
                b"".join(relay.ask(method, "studies", b"", told).body)
        passed = {name for seen in handler.seen for name in seen.get("headers", ())}
    assert not passed & {"Content-Length", "Content-Type", "Transfer-Encoding"}


def test_what_is_left_unread_of_a_body_is_no_request() -> None:
    with upstream() as (url, handler):
        relay = Relay(url, "us", "secret", 5)
        body = b"GET /system HTTP/1.1\r\nX: "
        answer = relay.ask("POST", "studies/unread", b"", {"Content-Length": str(len(body))}, io.BytesIO(body))
        assert b"".join(answer.body) == b"not this"
        assert body_of(relay, "studies") == b"whole"
        asked = [seen["path"] for seen in handler.seen if "Authorization" in seen["headers"]]
        assert asked == ["/dicom-web/studies"], "with our password"


def test_an_orthanc_behind_a_path_is_asked_there() -> None:
    with upstream() as (url, handler):
        body_of(Relay(f"{url}/orthanc/", "us", "secret", 5), "studies/1.2")
        (seen,) = handler.seen
    assert seen["path"] == "/orthanc/dicom-web/studies/1.2"


def test_what_follows_a_question_mark_in_a_path_is_no_query() -> None:
    with upstream() as (url, handler):
        body_of(Relay(url, "us", "secret", 5), "studies/1.2?limit=1#x")
        (seen,) = handler.seen
    assert seen["path"] == "/dicom-web/studies/1.2%3Flimit%3D1%23x"


def test_only_over_a_kept_connection_is_a_request_sent_twice() -> None:
    with upstream() as (url, handler):
        relay = Relay(url, "us", "secret", 5)
        with pytest.raises(ArchiveUnavailableError, match="is Orthanc running"):
            body_of(relay, "studies/silent")
        assert len(handler.seen) == 1


def test_an_answer_that_is_cut_off_is_an_error_and_not_half_an_image() -> None:
    with upstream() as (url, _):
        relay = Relay(url, "us", "secret", 5)
        with pytest.raises(ArchiveUnavailableError, match="91 bytes early"):
            body_of(relay, "studies/cut")
        assert body_of(relay, "studies") == b"whole"


def test_a_body_that_nobody_reads_to_its_end_spoils_no_later_answer() -> None:
    with upstream() as (url, handler):
        relay = Relay(url, "us", "secret", 5)
        body = relay.ask("GET", "studies/drip", b"", {}).body
        next(body)
        body.close()
        handler.proceed.set()
        assert body_of(relay, "studies") == b"whole"


@pytest.mark.parametrize(("method", "kind"), [("HEAD", "any"), ("GET", "204"), ("GET", "304")])
def test_an_answer_without_a_body_leaves_the_connection_free(method: str, kind: str) -> None:
    """A server does not touch the body of such an answer: what ends with it would never end."""
    with upstream() as (url, handler):
        relay = Relay(url, "us", "secret", 5)
        answer = relay.ask(method, f"studies/{kind}", b"", {})
        assert answer.status == (200 if method == "HEAD" else int(kind))
        if method == "HEAD":
            assert answer.headers["Content-Length"] == "5"
        assert body_of(relay, "studies") == b"whole"
        assert len({one["port"] for one in handler.seen}) == 1, "one connection for both"


def test_a_body_that_nobody_begins_to_read_spoils_no_later_answer() -> None:
    with upstream() as (url, _):
        relay = Relay(url, "us", "secret", 5)
        relay.ask("GET", "studies", b"", {}).body.close()
        assert body_of(relay, "studies") == b"whole"


@pytest.mark.parametrize("status", [401, 403])
def test_wrong_credentials_are_our_fault_and_not_asked_of_the_browser(status: int) -> None:
    with upstream() as (url, _), pytest.raises(ArchiveUnavailableError, match="ORTHANC_PASSWORD") as caught:
        Relay(url, "us", "secret", 5).ask("GET", f"studies/{status}", b"", {})
    assert "secret" not in str(caught.value)


def test_an_orthanc_that_is_slow_or_gone() -> None:
    with upstream() as (url, _), pytest.raises(ArchiveTimeoutError, match=r"0\.1 s"):
        Relay(url, "us", "secret", 0.1).ask("GET", "studies/slow", b"", {})
    with pytest.raises(ArchiveUnavailableError, match="is Orthanc running"):
        Relay(url, "us", "secret", 1).ask("GET", "studies", b"", {})
