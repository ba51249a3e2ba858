"""Gets an Orthanc: the one that answers already, one of our own, one to install, or one in a container."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from Orthanc.archive import ArchiveError
from Orthanc.dicomweb import OrthancArchive
from services import known_archive
from services.known_archive import NOTHING, KnownArchive
from services.processes import Service, ServiceError, Services, free_port, is_free
from settings import ROOT

CONFIGURATION = ROOT / "Orthanc" / "orthanc.json"
COMPOSE = ("docker", "compose", "--env-file", str(ROOT / ".env"), "-f", str(ROOT / "Orthanc" / "docker-compose.yml"))
PACKAGES = ("orthanc", "orthanc-dicomweb")
LOOPBACK = ("127.0.0.1", "localhost", "::1")
NAME = "MetIA"
"""What orthanc.json calls an Orthanc of our own."""
OWN = "VAR_DIR/orthanc"
PLACES = {"installed": OWN, "apt": OWN, "docker": "the container's volume"}
"""Where an Orthanc of our own has its images."""
WAIT_SECONDS = 60.0
CONTAINER_SECONDS = 300.0

FOLDERS = ("/usr/sbin", "/usr/local/sbin", r"C:\Program Files\Orthanc Server")
PLUGIN_FOLDERS = ("/usr/share/orthanc/plugins", "/usr/local/share/orthanc/plugins", "/usr/lib/orthanc")
PLUGIN_NAMES = ("libOrthancDicomWeb.so", "libOrthancDicomWeb.dylib", "OrthancDicomWeb.dll")

ADVICE = (
    "No Orthanc can be had. One of these helps: install Orthanc and its DICOMweb plugin (Debian, Ubuntu: "
    "sudo apt-get install orthanc orthanc-dicomweb; Windows, macOS: https://www.orthanc-server.com/download.php), "
    "install Docker, or set ORTHANC_URL, ORTHANC_USERNAME and ORTHANC_PASSWORD in .env to an Orthanc that runs."
)


def in_json(value: str) -> str:
    """Return what stands for a value between the quotes of orthanc.json, where Orthanc puts it without a look at it."""
    return json.dumps(value)[1:-1].replace("$", r"\u0024")


@dataclass(frozen=True)
class Account:
    """Where an Orthanc answers, and to whom."""

    url: str
    username: str
    password: str

    @property
    def port(self) -> int:
        """The TCP port in the URL."""
        parts = urlsplit(self.url)
        return parts.port or (443 if parts.scheme == "https" else 80)

    @property
    def digest(self) -> str:
        """What tells whether .env has changed."""
        return known_archive.digest(self.url, self.username, self.password)

    @property
    def environment(self) -> dict[str, str]:
        """What orthanc.json takes of it from the environment."""
        return {"ORTHANC_USERNAME": in_json(self.username), "ORTHANC_PASSWORD": in_json(self.password)}

    def archive(self) -> OrthancArchive:
        """Return the archive, with the short patience that starting needs."""
        return OrthancArchive(self.url, self.username, self.password, connect_timeout=2, read_timeout=5)

    def missing(self) -> str | None:
        """Return why it does not answer as it should, or None if it does."""
        try:
            self.archive().check()
        except ArchiveError as error:
            return str(error)
        return None

    def name(self) -> str:
        """Return what it is called by its configuration."""
        try:
            return self.archive().name()
        except ArchiveError:
            return ""


@dataclass(frozen=True)
class Plan:
    """How Orthanc will be had.

    Attributes
    ----------
    way
        "running", "installed", "apt" or "docker".
    place
        Where its images lie, as in ``KnownArchive``.
    """

    way: str
    account: Account
    words: str
    place: str


def plan(wanted: Account, known: KnownArchive = NOTHING, *, generated: bool = False) -> Plan:
    """Choose how to get an Orthanc, without doing anything yet.

    Images never come to lie elsewhere by themselves: what answers is used, but an Orthanc of our own is started only
    where none but our own was used before. It passes by a port that is taken only if nobody else can be meant by the
    account in .env.

    Parameters
    ----------
    known
        The archive used last.
    generated
        Whether the password was made just now, so that no Orthanc that runs can have it.

    Raises
    ------
    ServiceError
        If there is no way.
    """
    problem = wanted.missing()
    own = known.place in PLACES.values()
    unchanged = own and known.settings == wanted.digest
    if problem is None:
        name = wanted.name()
        if own and name == NAME and known.settings in ("", wanted.digest):
            return Plan("running", wanted, f"our own of an earlier start, which answers at {wanted.url}", known.place)
        if not unchanged:
            return Plan("running", wanted, f"the Orthanc that answers at {wanted.url}", wanted.url)
        problem = f"by an Orthanc named {name!r}; ours goes on with the images it has. {_to_choose_anew('that one')}"
    if urlsplit(wanted.url).hostname not in LOOPBACK:
        raise ServiceError(f"ORTHANC_URL in .env names another machine, which does not answer as it should: {problem}")
    if not wanted.username or not wanted.password:
        raise ServiceError("ORTHANC_USERNAME and ORTHANC_PASSWORD in .env must not be empty to start an own Orthanc")
    port = free_port(wanted.port)
    if port != wanted.port and not unchanged and not generated:
        raise ServiceError(
            f"ORTHANC_URL={wanted.url}: the port is taken, but not by an archive that can be used: {problem}. If it is "
            "your Orthanc, check ORTHANC_USERNAME and ORTHANC_PASSWORD in .env; if it is something else, set "
            f"ORTHANC_URL to a free port for an Orthanc of our own, such as http://127.0.0.1:{port}"
        )
    way, words = _own_way(problem)
    if known.settings and known.place != PLACES[way]:
        raise ServiceError(
            f"The results in VAR_DIR belong to the images in {known.place}, and none of our own, with images in "
            f"{PLACES[way]}, is started instead: {problem}. Start that archive again, or check ORTHANC_URL, "
            f"ORTHANC_USERNAME and ORTHANC_PASSWORD in .env. {_to_choose_anew('one of our own')}"
        )
    busy = "" if port == wanted.port else f" (port {wanted.port} is taken: {problem})"
    account = Account(f"http://127.0.0.1:{port}", wanted.username, wanted.password)
    return Plan(way, account, f"{words} on port {port}{busy}", PLACES[way])


def _to_choose_anew(archive: str) -> str:
    return f"To use {archive} all the same, remove {known_archive.FILE} in VAR_DIR"


def _own_way(problem: str) -> tuple[str, str]:
    """Return the way to an Orthanc of our own on this machine, and the words for it."""
    executable = find_executable()
    if executable and find_plugin(executable):
        return "installed", str(executable)
    if shutil.which("apt-get") and os.name == "posix" and os.geteuid() == 0:
        return "apt", f"apt-get install {' '.join(PACKAGES)}, then"
    if shutil.which("docker") and _succeeds("docker", "info") and _succeeds("docker", "compose", "version"):
        return "docker", "a container"
    if executable:
        raise ServiceError(f"{executable} has no DICOMweb plugin; install orthanc-dicomweb. {ADVICE}")
    raise ServiceError(f"{problem}. {ADVICE}")


def carry_out(chosen: Plan, services: Services, storage: Path, say: Callable[[str], None]) -> Account:
    """Bring the planned Orthanc up and wait until it answers; only what is started here is ended with ``services``."""
    account = chosen.account
    if chosen.way == "running":
        return account
    if chosen.way == "docker":
        say("Starting Orthanc in a container (the first time it is downloaded) ...")
        environment = {**os.environ, **account.environment, "ORTHANC_PORT": str(account.port)}
        _run([*COMPOSE, "up", "-d"], services.log_dir / "docker.log", environment)
        services.at_end(lambda: subprocess.run([*COMPOSE, "stop"], check=False, env=environment, capture_output=True))
        services.wait_for("Orthanc", account.missing, CONTAINER_SECONDS)
        return account
    if chosen.way == "apt":
        say(f"Installing {' and '.join(PACKAGES)} (apt-get) ...")
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        _run(["apt-get", "update"], services.log_dir / "apt.log", environment)
        _run(["apt-get", "install", "-y", *PACKAGES], services.log_dir / "apt.log", environment)
        if not is_free(account.port):  # some systems start the packaged Orthanc at once, with its own account
            account = replace(account, url=f"http://127.0.0.1:{free_port(account.port)}")
            say(f"Port {chosen.account.port} was taken meanwhile; Orthanc is started on port {account.port}")
    start(services, account, storage)
    return account


def start(services: Services, account: Account, storage: Path) -> Service:
    """Start the installed Orthanc with our configuration and wait until it answers.

    Parameters
    ----------
    account
        The address and the one account it will have.
    storage
        Folder for its database and files; made when needed.
    """
    executable = find_executable()
    plugin = executable and find_plugin(executable)
    if not executable or not plugin:
        raise ServiceError(ADVICE)
    storage.mkdir(mode=0o700, parents=True, exist_ok=True)  # patients' images: for nobody else on this machine
    service = services.start(
        "Orthanc",
        [str(executable), str(CONFIGURATION)],
        cwd=storage,
        environment={
            "ORTHANC_STORAGE": in_json(storage.as_posix()),
            "ORTHANC_PLUGIN": in_json(plugin.as_posix()),
            "ORTHANC_PORT": str(account.port),
            "ORTHANC_REMOTE_ACCESS": "false",
            **account.environment,
        },
    )
    services.wait_for("Orthanc", account.missing, WAIT_SECONDS)
    return service


def find_executable() -> Path | None:
    """Return the installed Orthanc: on the PATH, or where Debian and the Windows installer put it."""
    found = shutil.which("Orthanc", path=os.pathsep.join((os.environ.get("PATH", ""), *FOLDERS)))
    return Path(found) if found else None


def find_plugin(executable: Path) -> Path | None:
    """Return the DICOMweb plugin of an installed Orthanc."""
    folders = (*map(Path, PLUGIN_FOLDERS), executable.parent / "Plugins", executable.parent)
    return next((folder / name for folder in folders for name in PLUGIN_NAMES if (folder / name).is_file()), None)


def _succeeds(*command: str) -> bool:
    try:
        return subprocess.run(command, check=False, capture_output=True, timeout=20).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _run(command: list[str], log: Path, environment: dict[str, str]) -> None:
    with log.open("ab") as output:
        # What a package installs is for everybody on the machine, and not only for us.
        umask = 0o022 if os.name == "posix" else -1
        status = subprocess.run(
            command, check=False, env=environment, stdout=output, stderr=output, umask=umask
        ).returncode
    if status != 0:
        raise ServiceError(f"{' '.join(command[:3])} ... ended with status {status}; see {log}")
