"""Child processes: only our own are ended, a death is told with its last words, one launcher at a time."""

import errno
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from services import log_files, processes
from services.processes import AtDeath, ServiceError, Services, end, free_port, is_free, only_one

SLEEP = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; [signal.signal(s, signal.SIG_IGN) for s in (signal.SIGTERM, signal.SIGINT)];"
    "print('up', flush=True); time.sleep(60)",
]
DIES = [sys.executable, "-c", "import sys; print('no model at models/unetr'); sys.exit(3)"]


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """A process like ours that is not ours."""
    process = subprocess.Popen(SLEEP, stdout=subprocess.DEVNULL)
    yield process
    process.kill()
    process.wait()


def wait_until_up(log: Path) -> None:
    give_up = time.monotonic() + 20
    while "up" not in log.read_text(encoding="utf-8"):
        assert time.monotonic() < give_up
        time.sleep(0.02)


def test_ends_what_it_started_and_nothing_else(tmp_path: Path, stranger: subprocess.Popen[bytes]) -> None:
    with Services(tmp_path) as services:
        ours = [services.start(name, SLEEP, tmp_path, {}) for name in ("One", "Two")]
        services.check()
    assert all(service.process.poll() is not None for service in ours)
    assert stranger.poll() is None


def test_ends_in_reverse_order(tmp_path: Path) -> None:
    order: list[str] = []
    with Services(tmp_path) as services:
        services.at_end(lambda: order.append("first"))
        service = services.start("One", SLEEP, tmp_path, {})
        services.at_end(lambda: order.append("second" if service.process.poll() is None else "too late"))
    assert order == ["second", "first"]


def test_a_child_that_does_not_listen_is_killed(tmp_path: Path) -> None:
    with Services(tmp_path) as services:
        service = services.start("Deaf", STUBBORN, tmp_path, {})
        wait_until_up(service.log)
        end(service.process, seconds=0.2)
        assert service.process.returncode != 0


def test_a_death_is_told_with_its_last_words(tmp_path: Path) -> None:
    with Services(tmp_path) as services:
        services.start("Worker", DIES, tmp_path, {})
        with pytest.raises(ServiceError, match=r"(?s)Worker ended with status 3.*no model at models/unetr"):
            services.wait_for("Worker", lambda: "not yet", 20)


def logged(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}


def test_the_logs_of_earlier_runs_are_kept_and_not_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_files, "KEPT", 2)
    for run in range(4):
        with Services(tmp_path) as services:
            services.start("Worker", [sys.executable, "-c", f"print('run {run}')"], tmp_path, {}).process.wait()
    assert logged(tmp_path) == {"worker.log": "run 3\n", "worker.log.1": "run 2\n", "worker.log.2": "run 1\n"}


def test_a_log_that_grows_is_put_aside_while_its_process_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_files, "LARGEST_BYTES", 1000)
    with Services(tmp_path) as services:
        talks = "import os\nfor number in range(1000): print('line', number)\nos.write(1, b'M\\xfcller')"
        services.start("Worker", [sys.executable, "-c", talks], tmp_path, {}).process.wait()
    logs = logged(tmp_path)
    assert len(logs) == 1 + log_files.KEPT
    assert all(len(text) <= 1000 for text in logs.values())
    assert "line 999" in logs["worker.log"]


def test_what_is_killed_has_said_all_that_it_said(tmp_path: Path) -> None:
    talks = "import time\nprint('x' * 5_000_000 + '\\n' * 1000 + 'up', flush=True); time.sleep(60)"
    with Services(tmp_path) as services:
        service = services.start("Worker", [sys.executable, "-c", talks], tmp_path, {})
        wait_until_up(service.log)
    assert sum(text.count("x") for text in logged(tmp_path).values()) == 5_000_000


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a watch says; it looks often, and waits for little."""
    monkeypatch.setattr(processes, "WATCH_SECONDS", 0.01)
    monkeypatch.setattr(processes, "PAUSES", (0.0, 0.05))
    return []


def test_one_that_is_killed_is_started_again(tmp_path: Path, said: list[str]) -> None:
    dies_at_first = (
        "import os, sys, time\n"
        "if not os.path.exists('once'): open('once', 'w').close(); print('once', flush=True); os._exit(3)\n"
        "print('twice', flush=True); open('twice', 'w').close(); time.sleep(60)"
    )
    ends_then = "import os, time\nwhile not os.path.exists('twice'): time.sleep(0.01)\nraise SystemExit(4)"
    with Services(tmp_path) as services:
        worker = services.start("Worker", [sys.executable, "-c", dies_at_first], tmp_path, {}, AtDeath.START_AGAIN)
        services.start("Orthanc", [sys.executable, "-c", ends_then], tmp_path, {})
        with pytest.raises(ServiceError, match="Orthanc ended with status 4"):
            services.watch(said.append)
        assert worker.process.poll() is None
    assert worker.process.poll() is not None, "what was started again is ended too"
    assert worker.log.read_text(encoding="utf-8").split() == ["once", "twice"]
    (line,) = said
    assert "Worker ended with status 3; it is started again in 0 s" in line


def test_one_that_the_system_refuses_a_process_is_tried_again(
    tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Services(tmp_path) as services:
        archive = services.start("Orthanc", SLEEP, tmp_path, {})
        worker = services.start("Worker", DIES, tmp_path, {}, AtDeath.START_AGAIN)
        first, start = worker.process, worker.run

        def refuse() -> Any:
            worker.run = start
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

        worker.run = refuse
        while worker.process is first:
            services._look_after(worker, said.append)
        assert worker.deaths == 2
        assert archive.process.poll() is None
    assert [line.partition(";")[0] for line in said] == [
        "Worker ended with status 3",
        f"Worker cannot be started again: [Errno {errno.EAGAIN}] Resource temporarily unavailable",
    ]


def test_a_death_long_ago_is_forgotten(tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with Services(tmp_path) as services:
        worker = services.start("Worker", SLEEP, tmp_path, {}, AtDeath.START_AGAIN)
        worker.deaths = 2
        services._look_after(worker, said.append)
        assert worker.deaths == 2
        monkeypatch.setattr(processes, "CALM_SECONDS", 0.0)
        services._look_after(worker, said.append)
        assert worker.deaths == 0


def test_one_that_dies_again_and_again_takes_nothing_else_along(tmp_path: Path, said: list[str]) -> None:
    """Jobs that no memory suffices for end the worker each time they are tried; Orthanc takes images in meanwhile."""
    with Services(tmp_path) as services:
        archive = services.start("Orthanc", SLEEP, tmp_path, {})
        services.start("Worker", DIES, tmp_path, {}, AtDeath.START_AGAIN)

        def say(line: str) -> None:
            said.append(line)
            if len(said) == 5:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            services.watch(say)
        assert archive.process.poll() is None
    assert [line.partition(" in ")[2].partition(" s")[0] for line in said] == ["0", *["0.05"] * 4]
    assert "died 5 times" in said[-1]


@pytest.mark.parametrize("status", [0, 2])
def test_one_that_was_meant_to_end_is_not_started_again(tmp_path: Path, said: list[str], status: int) -> None:
    with Services(tmp_path) as services:
        services.start(
            "Worker", [sys.executable, "-c", f"raise SystemExit({status})"], tmp_path, {}, AtDeath.START_AGAIN
        )
        with pytest.raises(ServiceError, match=f"Worker ended with status {status};"):
            services.watch(said.append)
    assert said == []


def test_one_that_can_be_done_without_ends_nothing_else(tmp_path: Path, said: list[str]) -> None:
    with Services(tmp_path) as services:
        services.start("nginx", DIES, tmp_path, {}, AtDeath.GO_ON)
        services.start(
            "Orthanc", [sys.executable, "-c", "import time; time.sleep(1); raise SystemExit(4)"], tmp_path, {}
        )
        with pytest.raises(ServiceError, match="Orthanc ended with status 4"):
            services.watch(said.append)
    assert [line.partition(";")[0] for line in said] == ["nginx ended with status 3"]


def test_gives_up_with_the_reason(tmp_path: Path) -> None:
    with Services(tmp_path) as services, pytest.raises(ServiceError, match=r"API was not ready .*: still loading"):
        services.wait_for("API", lambda: "still loading", 0)


def test_free_port_passes_by_one_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        assert not is_free(taken)
        assert free_port(taken) > taken


@pytest.mark.skipif(os.name == "nt", reason="every port is for everybody there")
def test_a_port_that_we_may_not_have_is_not_called_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket.socket, "bind", Mock(side_effect=PermissionError))
    with pytest.raises(ServiceError, match=r"port 443 is not for this account: .*CAP_NET_BIND_SERVICE"):
        free_port(443)
    assert not is_free(8443)


def test_a_port_is_free_again_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port))
        accepted, _ = server.accept()
        accepted.close()  # the server's side lingers now
        client.close()
    assert is_free(port)


def test_a_second_launcher_is_told_of_the_first(tmp_path: Path) -> None:
    lock = tmp_path / "var" / "launcher.lock"
    again = (
        f"from pathlib import Path; from services.processes import only_one; only_one(Path({str(lock)!r})).__enter__()"
    )
    with only_one(lock):
        second = subprocess.run([sys.executable, "-c", again], capture_output=True, text=True, check=False)
    assert "already running (process " in second.stderr
    with only_one(lock):
        pass
