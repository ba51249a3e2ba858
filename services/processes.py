"""Child processes: start them, see that they live, and end those and no others, by pid."""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import IO, Any, Self

from BDD.problems import is_disk_full
from services.log_files import open_log, write_down

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

END_SECONDS = 10.0
LAST_WORDS_SECONDS = 1.0
"""So long it is waited for what an ended child has said last; what it started may keep its output open."""
LOG_LINES = 15
PR_SET_PDEATHSIG = 1
PRIVILEGED = 1024
"""Ports below it are not for everybody."""
LIBC = ctypes.CDLL(None if sys.platform != "win32" else "msvcrt")
INTERRUPTS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
"""What a person, a service manager, and a terminal that closes send to end us."""
WRONG_SETTINGS = 2
"""The exit status of a program of ours that cannot work as it is set up: trying again changes nothing."""
MEANT = {0, WRONG_SETTINGS, 0xC000013A, *(-number for number in INTERRUPTS)}
"""Exit statuses of what ended because somebody wanted it to (0xC000013A: Ctrl-C on Windows), or will end again."""
KILLED = {-9: " (killed: out of memory?)"}
PAUSES = (1.0, 5.0, 15.0, 60.0)
"""Seconds before a service that died is started again, and again; the last of them each further time.

It is never given up: that it can be started at all was seen at the start, and what kills it may be a job or two, while
Orthanc takes images in.
"""
WATCH_SECONDS = 0.5
CALM_SECONDS = 600.0
"""After so long an earlier death is forgotten."""


class ServiceError(RuntimeError):
    """A service cannot be had, did not answer, or ended; the message says which, why, and what to do."""


class AtDeath(Enum):
    """What is done when a service ends by itself while it is watched."""

    END_ALL = auto()
    START_AGAIN = auto()
    GO_ON = auto()


@dataclass
class Service:
    """A child process of ours and its log.

    Attributes
    ----------
    output
        Writes the log.
    deaths
        How often it has died lately.
    due
        When it is to be started again, on the monotonic clock.
    """

    name: str
    log: Path
    run: Callable[[], tuple[subprocess.Popen[bytes], Thread]]
    process: subprocess.Popen[bytes]
    output: Thread
    at_death: AtDeath
    began: float
    deaths: int = 0
    due: float | None = None

    def last_words(self) -> str:
        """Return the last lines of the log."""
        self.output.join(LAST_WORDS_SECONDS)
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(f"  | {line}" for line in lines[-LOG_LINES:])

    def wait(self, now: float) -> float:
        """Set when it is to be started again; give the seconds until then."""
        pause = PAUSES[min(self.deaths, len(PAUSES) - 1)]
        self.due = now + pause
        return pause

    def end(self) -> None:
        """End the process, and let its log hold all that it has said."""
        end(self.process)
        self.output.join(LAST_WORDS_SECONDS)


class Services:
    """The processes started by us, ended in reverse order when the block ends.

    Parameters
    ----------
    log_dir
        One log per service is written there, beside those of earlier runs; made when needed.
    """

    def __init__(self, log_dir: Path) -> None:
        self.log_dir = log_dir
        self.running: list[Service] = []
        self._endings = ExitStack()

    def __enter__(self) -> Self:
        self.log_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with _deaf_to_interrupts():
            self._endings.close()

    def start(
        self,
        name: str,
        command: Sequence[str],
        cwd: Path,
        environment: Mapping[str, str],
        at_death: AtDeath = AtDeath.END_ALL,
    ) -> Service:
        """Start a command with additions to our environment, its output going to ``name.log``."""
        path = self.log_dir / f"{name.lower()}.log"
        log = open_log(path)
        self._endings.callback(log.close)

        def run() -> tuple[subprocess.Popen[bytes], Thread]:
            process = subprocess.Popen(
                command,
                cwd=cwd,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                **_own_group(),
            )
            assert process.stdout is not None
            return process, write_down(process.stdout, log)

        service = Service(name, path, run, *run(), at_death, time.monotonic())
        self.running.append(service)
        self._endings.callback(service.end)
        return service

    def stop(self, name: str) -> None:
        """End the service of this name before the others; nothing when there is none."""
        for service in [one for one in self.running if one.name == name]:
            service.end()
            self.running.remove(service)

    def at_end(self, action: Callable[[], object]) -> None:
        """Call something when the block ends, before what was started earlier is ended."""
        self._endings.callback(action)

    def check(self) -> None:
        """Raise ServiceError if a service has ended by itself."""
        for service in self.running:
            if service.process.poll() is not None:
                raise _dead(service)

    def wait_for(self, name: str, missing: Callable[[], str | None], seconds: float) -> None:
        """Wait until ``missing`` has nothing to say, while every service lives."""
        give_up = time.monotonic() + seconds
        while (reason := missing()) is not None:
            self.check()
            if time.monotonic() > give_up:
                raise ServiceError(
                    f"{name} was not ready after {seconds:g} s: {reason}; see the logs in {self.log_dir}"
                )
            time.sleep(0.1)

    def watch(self, say: Callable[[str], object]) -> None:
        """Return never: start what dies again where that is wanted; raise ServiceError when one ends for good."""
        while True:
            for service in tuple(self.running):
                self._look_after(service, say)
            time.sleep(WATCH_SECONDS)

    def _look_after(self, service: Service, say: Callable[[str], object]) -> None:
        status, now = service.process.poll(), time.monotonic()
        if status is None:
            if now - service.began > CALM_SECONDS:
                service.deaths = 0
        elif service.at_death is AtDeath.GO_ON:
            say(f"{service.name} ended with status {status}; the rest goes on without it. See {service.log}")
            self.running.remove(service)
        elif service.at_death is AtDeath.END_ALL or status in MEANT:
            raise _dead(service)
        elif service.due is None:
            pause = service.wait(now)
            often = f"; it has died {service.deaths + 1} times" if service.deaths else ""
            say(
                f"{service.name} ended with status {status}{KILLED.get(status, '')}; it is started again in {pause:g} s"
                f"{often}. See {service.log}"
            )
        elif now >= service.due:
            service.deaths += 1
            try:
                service.process, service.output = service.run()
            except OSError as error:  # no memory, or no process, is left for it at this moment
                say(f"{service.name} cannot be started again: {error}; it is tried again in {service.wait(now):g} s")
            else:
                service.began, service.due = now, None


def _dead(service: Service) -> ServiceError:
    again = f", started again {service.deaths} times" if service.deaths else ""
    return ServiceError(
        f"{service.name} ended with status {service.process.returncode}{again}; the last lines of {service.log}:\n"
        f"{service.last_words()}"
    )


def exit_status(error: BaseException) -> int:
    """Give the status to end with: what the system refuses, a full disk above all, it may grant after a while."""
    cause: BaseException | None = error
    while cause is not None and not is_disk_full(cause):
        cause = cause.__cause__
    return 1 if cause or isinstance(error, OSError) else WRONG_SETTINGS


def end(process: subprocess.Popen[bytes], seconds: float = END_SECONDS) -> None:
    """Ask a child of ours to end, and make it end if it does not in time."""
    if process.poll() is not None:
        return
    if sys.platform == "win32":
        with contextlib.suppress(OSError):
            process.send_signal(signal.CTRL_BREAK_EVENT)
    else:
        process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _own_group() -> dict[str, Any]:
    """Keep a Ctrl-C at the terminal for us alone: children are ended in order, not all at once."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True, "preexec_fn": _end_with_parent if sys.platform == "linux" else None}


def _end_with_parent() -> None:
    """In a new child: end should the launcher be killed outright, so that nothing is left behind."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def obey_interrupts() -> None:
    """Let everything that asks us to end raise KeyboardInterrupt, so that one way out serves all."""
    for number in INTERRUPTS:
        signal.signal(number, signal.default_int_handler)


@contextlib.contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """A second Ctrl-C must not cut the ending short and leave a process behind."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in INTERRUPTS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def is_free(port: int) -> bool:
    """Whether nothing listens on a TCP port of this machine.

    Raises
    ------
    ServiceError
        Where it is one that we may not have.
    """
    with socket.socket() as probe:
        # A port whose last connections linger is free to a server; on Windows the same option would steal it.
        exclusive = getattr(socket, "SO_EXCLUSIVEADDRUSE", None)
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR if exclusive is None else exclusive, 1)
        try:
            probe.bind(("", port))
        except PermissionError as error:
            if sys.platform == "win32" or port >= PRIVILEGED:  # Windows says so of one that is taken, too
                return False
            raise ServiceError(
                f"port {port} is not for this account: below {PRIVILEGED} it needs a right (CAP_NET_BIND_SERVICE, see "
                "docs/operations.md); choose a higher one, or give it that"
            ) from error
        except OSError:
            return False
    return True


def free_port(preferred: int) -> int:
    """Return the first free port from ``preferred`` upwards."""
    for port in range(preferred, min(preferred + 100, 65536)):
        if is_free(port):
            return port
    raise ServiceError(f"no free port from {preferred} to {preferred + 99}")


@contextlib.contextmanager
def only_one(lock: Path) -> Iterator[None]:
    """Hold a lock file; the system gives it back even when we are killed."""
    lock.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with lock.open("a+", encoding="ascii") as file:
        try:
            _lock(file)
        except OSError:
            file.seek(0)
            raise ServiceError(
                f"MetIA server is already running (process {file.read().strip() or 'unknown'}); "
                "end it with Ctrl-C where it was started"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _lock(file: IO[str]) -> None:
    if sys.platform == "win32":
        file.seek(1 << 20)  # a byte behind the pid, which others must be able to read
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
