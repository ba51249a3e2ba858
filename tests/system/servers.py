"""PostgreSQL and Redis as the real servers: temporary storage, free ports, generated passwords, ended by pid."""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path

import psycopg
import redis

from services.processes import END_SECONDS, Service, Services, free_port

PATIENCE_SECONDS = 60.0
USER = "tester"


def find_postgresql() -> Path | None:
    """Give the folder of PostgreSQL's programs, the newest's; Debian keeps them out of the PATH."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    here = shutil.which("postgres")
    folders += [Path(here).resolve().parent] if here else []
    return next((folder for folder in reversed(folders) if (folder / "initdb").exists()), None)


def find_redis() -> str | None:
    """Give Redis's program."""
    return shutil.which("redis-server")


class PostgreSQL:
    """A PostgreSQL server; its texts are sorted as people do, not as computers, as in most hospitals' databases."""

    def __init__(self, programs: Path, folder: Path, services: Services) -> None:
        self._programs, self._folder, self._services = programs, folder, services
        self._port, self._password, self._numbers = free_port(25432), secrets.token_urlsafe(16), count(1)
        # PostgreSQL refuses root, and Debian's package has made an account for it.
        root = sys.platform != "win32" and os.getuid() == 0
        self._as_other = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"] if root else []
        if self._as_other:
            shutil.chown(folder, "postgres")
        word = folder / "password"
        word.write_text(self._password)
        word.chmod(0o644)  # in a folder that is closed
        command = [*self._as_other, str(programs / "initdb"), f"--pgdata={folder / 'data'}", f"--pwfile={word}"]
        command += [f"--username={USER}", "--auth=scram-sha-256", "--no-sync", "--encoding=UTF8", "--locale=C.UTF-8"]
        command += ["--locale-provider=icu", "--icu-locale=en-US"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        self.start()

    def url(self, name: str) -> str:
        """Give the address of a database, as the queue takes it."""
        return f"postgresql://{USER}:{self._password}@127.0.0.1:{self._port}/{name}"

    def new_database(self, template: str = "template1") -> str:
        """Make a database, a copy of another; give its name."""
        name = f"metia_{next(self._numbers)}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def start(self) -> None:
        """Start it on the data that are there, and wait until it answers."""
        command = [*self._as_other, str(self._programs / "postgres"), "-D", str(self._folder / "data")]
        command += ["-p", str(self._port), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]
        command += ["-c", "fsync=off", "-c", "timezone=America/New_York"]
        self._service = self._services.start("PostgreSQL", command, self._folder, {})
        wait_for(self._services, "PostgreSQL", lambda: psycopg.connect(self.url("postgres")).close())

    def stop(self) -> None:
        """End it, whoever is connected."""
        self._service.process.send_signal(signal.SIGINT)  # after a SIGTERM it would wait for its clients to leave
        _forget(self._services, self._service)


class Redis:
    """A Redis server that keeps nothing on disk: what was in it is gone when it ends."""

    def __init__(self, program: str, folder: Path, services: Services) -> None:
        self._program, self._folder, self._services = program, folder, services
        self._port, self._password, self._numbers = free_port(26379), secrets.token_urlsafe(16), count(1)
        self._configuration = folder / "redis.conf"
        self._configuration.write_text(f'bind 127.0.0.1\nport {self._port}\nrequirepass {self._password}\nsave ""\n')
        self.start()

    def url(self, number: int = 0) -> str:
        """Give the address of one of its 16 databases."""
        return f"redis://:{self._password}@127.0.0.1:{self._port}/{number}"

    def new_url(self) -> str:
        """Give the address of a database that nobody has used yet."""
        return self.url(next(self._numbers))

    def start(self) -> None:
        """Start it and wait until it answers."""
        command = [self._program, str(self._configuration)]
        self._service = self._services.start("Redis", command, self._folder, {})
        wait_for(self._services, "Redis", lambda: redis.Redis.from_url(self.url()).ping())

    def stop(self) -> None:
        """End it."""
        self._service.process.terminate()
        _forget(self._services, self._service)


def wait_for(services: Services, name: str, call: Callable[[], object]) -> None:
    """Wait until a call of a server succeeds."""

    def missing() -> str | None:
        try:
            call()
        except (psycopg.OperationalError, redis.RedisError) as error:
            return str(error)
        return None

    services.wait_for(name, missing, PATIENCE_SECONDS)


def _forget(services: Services, service: Service) -> None:
    service.process.wait(END_SECONDS)
    if service in services.running:
        services.running.remove(service)


@contextmanager
def running() -> Iterator[tuple[PostgreSQL, Redis]]:
    """Run both, in a folder that PostgreSQL's own account can reach; not to be called where one is missing."""
    programs, program = find_postgresql(), find_redis()
    assert programs, "find_postgresql() says whether it is there"
    assert program, "find_redis() says whether it is there"
    with ExitStack() as endings:
        top = Path(endings.enter_context(tempfile.TemporaryDirectory()))
        top.chmod(0o711)
        for name in ("postgresql", "redis"):
            (top / name).mkdir(mode=0o700)
        services = endings.enter_context(Services(top / "log"))
        postgresql = PostgreSQL(programs, top / "postgresql", services)
        endings.callback(postgresql.stop)
        yield postgresql, Redis(program, top / "redis", services)
