"""One frozen Settings object, read once from the environment and ``.env``; ``.env.example`` explains every key.

The environment wins over the file. A value that cannot be meant stops the program with a sentence that names the key; a
key of the file that is none is passed over, with a warning.
Relative paths count from the checkout, so that the API, the worker and the launcher meet in the same files wherever
they are started.
"""

import logging
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, TypeVar
from urllib.parse import parse_qs, urlsplit

from dotenv import dotenv_values

ROOT = Path(__file__).resolve().parent
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
DATABASE_SCHEMES = ("sqlite", "postgresql", "postgresql+psycopg", "postgresql+psycopg2")
ENGINES = ("auto", "torch-cpu", "openvino-cpu", "torch-cuda")
TargetRule = Literal["any_lesion", "sum", "volume"]
TARGET_RULES: tuple[TargetRule, ...] = ("any_lesion", "sum", "volume")
QUEUE_SCHEMES = ("sqlite", "redis", "rediss", "postgresql")
_ESCAPED = {character: f"%{ord(character):02X}" for character in "@/#?%"}
"""How what would end a user name or a password early is written in a URL."""
_LOGIN = r"([^@/?#%\s]|%[0-9A-Fa-f]{2})*@"
_HOST = r"(\[[^]@/?#\s]+\]|[^][:,@/?#\s]*)(:\d{1,5})?"
_SERVER = re.compile(rf"({_LOGIN})?{_HOST}(,{_HOST})*([/?][^@#]*)?")
"""What stands behind :// for a server: strict, for libraries quote the piece of a password that they stumble over."""

Choice = TypeVar("Choice", bound=str)

logger = logging.getLogger(__name__)


class SettingsError(ValueError):
    """A setting has a value that cannot be used."""


@dataclass(frozen=True)
class Settings:
    """What can be set from outside; times are in seconds, paths absolute.

    Secrets, and URLs that may hold one, are left out of ``repr`` so that no log shows them.
    """

    orthanc_url: str
    orthanc_username: str
    orthanc_password: str = field(repr=False)
    orthanc_timeout: float
    api_host: str
    api_port: int
    api_threads: int
    api_wait_max: float
    upload_max_mb: int
    cors_origins: tuple[str, ...]
    trusted_hosts: tuple[str, ...]
    database_url: str = field(repr=False)
    queue_url: str = field(repr=False)
    job_retry_delays: tuple[float, ...]
    auto_segment: bool
    model_path: Path
    engine: str
    rano_target_rule: TargetRule
    ohif_dir: Path
    front_host: str
    front_port: int
    front_certificate: Path | None
    front_key: Path | None
    front_users: Path | None
    var_dir: Path
    log_level: str

    @property
    def upload_max_bytes(self) -> int:
        """The most that an upload may hold."""
        return self.upload_max_mb << 20

    @property
    def spool_dir(self) -> Path:
        """Where what is sent to the API lies while it is taken in."""
        return self.var_dir / "spool"

    @property
    def engines_dir(self) -> Path:
        """Where networks compiled for this machine are kept."""
        return self.var_dir / "engines"


def load_settings(environ: Mapping[str, str] | None = None, env_file: Path | None = ROOT / ".env") -> Settings:
    """Read and check every setting.

    Parameters
    ----------
    environ
        The environment; the process's own when None.
    env_file
        The ``.env`` file; may be missing; None reads no file.

    Raises
    ------
    SettingsError
        Naming the key, the value (never a secret's) and what is expected; or the file that cannot be read.
    """
    values = _in_file(env_file) if env_file else {}
    _warn_of_unknown((key for key, value in values.items() if value is not None), env_file)
    values.update(os.environ if environ is None else environ)
    read = _Reader({key: value.strip() for key, value in values.items() if value is not None and value.strip()})
    var_dir = read.path("VAR_DIR", "var")
    return Settings(
        orthanc_url=read.url("ORTHANC_URL", "http://127.0.0.1:8042", ("http", "https")).rstrip("/"),
        orthanc_username=read.text("ORTHANC_USERNAME", ""),
        orthanc_password=read.text("ORTHANC_PASSWORD", ""),
        orthanc_timeout=read.number("ORTHANC_TIMEOUT", "30", 0.1, 3600),
        api_host=read.host("API_HOST", "127.0.0.1"),
        api_port=int(read.number("API_PORT", "5000", 1, 65535, whole=True)),
        api_threads=int(read.number("API_THREADS", "16", 2, 256, whole=True)),
        api_wait_max=read.number("API_WAIT_MAX", "300", 1, 3600),
        upload_max_mb=int(read.number("UPLOAD_MAX_MB", "2048", 1, 1 << 20, whole=True)),
        cors_origins=read.origins("CORS_ORIGINS"),
        trusted_hosts=read.hosts("TRUSTED_HOSTS"),
        database_url=read.store_url("DATABASE_URL", f"sqlite:///{(var_dir / 'metia.db').as_posix()}", DATABASE_SCHEMES),
        queue_url=read.store_url("QUEUE_URL", f"sqlite:///{(var_dir / 'queue.db').as_posix()}", QUEUE_SCHEMES),
        job_retry_delays=read.delays("JOB_RETRY_DELAYS", "5,15,45"),
        auto_segment=read.choice("AUTO_SEGMENT", "0", ("0", "1")) == "1",
        model_path=read.path("MODEL_PATH", "models/segresnet"),
        engine=read.choice("ENGINE", "auto", ENGINES),
        rano_target_rule=read.choice("RANO_TARGET_RULE", "any_lesion", TARGET_RULES),
        ohif_dir=read.path("OHIF_DIR", str(var_dir / "ohif")),
        front_host=read.host("FRONT_HOST", "127.0.0.1"),
        front_port=int(read.number("FRONT_PORT", "8080", 1, 65535, whole=True)),
        front_certificate=read.file("FRONT_CERTIFICATE"),
        front_key=read.file("FRONT_KEY"),
        front_users=read.file("FRONT_USERS"),
        var_dir=var_dir,
        log_level=read.choice("LOG_LEVEL", "INFO", LOG_LEVELS),
    )


def _in_file(env_file: Path) -> dict[str, str | None]:
    try:
        return dict(dotenv_values(env_file, interpolate=False))
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise SettingsError(f"{env_file} is not UTF-8 (see line {line}): save it in that encoding") from error
    except OSError as error:
        raise SettingsError(f"{env_file} cannot be read: {error.strerror}") from error


def _warn_of_unknown(keys: Iterable[str], env_file: Path | None) -> None:
    """Name what has no effect: who has misspelt a key would take the default for what he has set."""
    unknown = sorted(set(keys) - {one.name.upper() for one in fields(Settings)})
    if unknown:
        logger.warning("%s: no settings, and without effect: %s (.env.example has all)", env_file, ", ".join(unknown))


def sqlite_path(url: str) -> Path | None:
    """Give the file of a ``sqlite:///`` URL, None for any other URL and for a database in memory."""
    scheme, _, rest = url.partition(":///")
    return Path(rest) if scheme == "sqlite" and rest and rest != ":memory:" else None


def unless_named(url: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Give those arguments of a connection that its URL does not name itself."""
    named = parse_qs(url.partition("?")[2], keep_blank_values=True)
    return {key: value for key, value in arguments.items() if key not in named}


class _Reader:
    """Reads one value at a time; each method raises SettingsError in the same words."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values

    def text(self, key: str, default: str) -> str:
        return self._values.get(key, default)

    def path(self, key: str, default: str) -> Path:
        return (ROOT / Path(self.text(key, default)).expanduser()).resolve()

    def file(self, key: str) -> Path | None:
        return self.path(key, "") if self.text(key, "") else None

    def number(self, key: str, default: str, low: float, high: float, *, whole: bool = False) -> float:
        value = self.text(key, default)
        expected = f"a {'whole ' if whole else ''}number from {low:g} to {high:g}"
        try:
            number: float = int(value) if whole else float(value)
        except ValueError:
            raise _wrong(key, value, expected) from None
        if not low <= number <= high:
            raise _wrong(key, value, expected)
        return number

    def delays(self, key: str, default: str) -> tuple[float, ...]:
        value = self.text(key, default)
        if value.lower() == "none":
            return ()
        try:
            delays = tuple(float(part) for part in value.split(","))
        except ValueError:
            delays = (-1.0,)
        if not all(0 <= delay <= 86400 for delay in delays):
            raise _wrong(key, value, "seconds to wait before each further try, like 5,15,45, or none")
        return delays

    def choice(self, key: str, default: str, choices: tuple[Choice, ...]) -> Choice:
        value = self.text(key, default)
        for choice in choices:
            if choice.lower() == value.lower():
                return choice
        raise _wrong(key, value, f"one of {', '.join(choices)}")

    def url(self, key: str, default: str, schemes: tuple[str, ...]) -> str:
        value = self.text(key, default)
        expected = f"an address like {default}"
        if "@" in value:
            raise SettingsError(f"{key} holds a user name or password: give them as ORTHANC_USERNAME, ORTHANC_PASSWORD")
        try:
            parts = urlsplit(value)
            usable = parts.scheme in schemes and bool(parts.hostname) and (parts.port is None or parts.port > 0)
        except ValueError:
            raise _wrong(key, value, expected) from None
        if not usable:
            raise _wrong(key, value, expected)
        return value

    def origins(self, key: str) -> tuple[str, ...]:
        origins = tuple(part.strip().rstrip("/") for part in self.text(key, "").split(",") if part.strip())
        for origin in origins:
            parts = urlsplit(origin)
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.path or "*" in origin:
                raise _wrong(key, origin, "origins like http://localhost:3000, with commas between; * is not accepted")
        return origins

    def host(self, key: str, default: str) -> str:
        """Read a name or an address of this machine; an IPv6 address may be in brackets, as in a URL."""
        value = self.text(key, default)
        host = re.sub(r"^\[(.*:.*)\]$", r"\1", value)
        if not re.fullmatch(r"[\w.:%-]+", host, re.ASCII):
            raise _wrong(key, value, "a name or an IP address of this machine, without port")
        return host

    def hosts(self, key: str) -> tuple[str, ...]:
        hosts = tuple(part.strip().lower() for part in self.text(key, "").split(",") if part.strip())
        for host in hosts:
            if not re.fullmatch(r"[\w-]+(\.[\w-]+)*", host, re.ASCII):
                raise _wrong(key, host, "names like metia.hospital.example, without port, with commas between; no *")
        return hosts

    def store_url(self, key: str, default: str, schemes: tuple[str, ...]) -> str:
        value = self.text(key, default)
        scheme, separator, rest = value.partition("://")
        if not separator or scheme not in schemes:
            raise SettingsError(f"{key} does not start with one of {', '.join(schemes)} and ://")
        if scheme != "sqlite":
            if not _SERVER.fullmatch(rest):
                raise SettingsError(
                    f"{key} is not usable; expected {scheme}://user:password@host:port/name, with "
                    f"{' '.join(_ESCAPED)} in a password written as {' '.join(_ESCAPED.values())}"
                )
            return value
        if not rest.startswith("/") or rest == "/":
            raise SettingsError(f"{key}={value!r} names no file; expected sqlite:///folder/file.db")
        if rest == "/:memory:":
            raise SettingsError(f"{key}={value!r}: the API and the worker are two processes and need a file")
        return f"sqlite:///{(ROOT / rest[1:]).resolve().as_posix()}"


def _wrong(key: str, value: str, expected: str) -> SettingsError:
    return SettingsError(f"{key}={value!r} is not usable; expected {expected}")
