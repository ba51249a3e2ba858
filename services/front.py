"""nginx in front of the API and Orthanc: one address for the viewer, and images at full speed.

It is used where it is installed and ORTHANC_URL is plain http; everything works without it, through the API: that it
cannot be started, or ends, ends nothing else. Only https and a login are had from nginx alone: where one of them is
asked for, nothing starts without it.
"""

import base64
import os
import re
import secrets
import shutil
import warnings
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import InsecureRequestWarning

from Orthanc.direct import direct_session
from services.addresses import is_loopback, reachable, with_port
from services.processes import AtDeath, ServiceError, Services, free_port
from settings import ROOT, Settings

TEMPLATE = ROOT / "Orthanc" / "nginx.conf"
FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/usr/local/bin", "/opt/homebrew/bin")
WAIT_SECONDS = 30.0


class NoFrontError(ServiceError):
    """nginx cannot be started; the message says why in one line."""


def find_nginx() -> str | None:
    """Return the installed nginx: on the PATH, or where Debian and Homebrew put it."""
    return shutil.which("nginx", path=os.pathsep.join((os.environ.get("PATH", ""), *FOLDERS)))


def is_possible(settings: Settings) -> bool:
    """Whether nginx can stand in front of these."""
    return obstacle(settings) is None


def obstacle(settings: Settings) -> str | None:
    """Return why nginx cannot stand in front of these, or None if it can."""
    if find_nginx() is None:
        return "nginx is not installed (Debian, Ubuntu: sudo apt-get install nginx)"
    parts = urlsplit(settings.orthanc_url)
    if parts.scheme != "http" or parts.path not in ("", "/"):
        return f"it works only where Orthanc is plain http and has no path, not for ORTHANC_URL={settings.orthanc_url}"
    return None


def is_https(settings: Settings) -> bool:
    """Whether https is asked for."""
    return bool(settings.front_certificate or settings.front_key)


def is_needed(settings: Settings) -> bool:
    """Whether something is asked for that is had from nginx alone."""
    return is_https(settings) or settings.front_users is not None


def check(settings: Settings) -> None:
    """Let nobody who asks for https get http instead, nor who asks for a login go without.

    Raises
    ------
    ServiceError
        When one of them is asked for and cannot be had: a file of it is missing, or nginx cannot be used; or when a
        login would protect nothing.
    """
    https = {"FRONT_CERTIFICATE": settings.front_certificate, "FRONT_KEY": settings.front_key}
    login = {"FRONT_USERS": settings.front_users}
    for what, files in (("https", https), ("a login", login)):
        if not any(files.values()):
            continue
        keys, ask = " and ".join(files), "ask" if len(files) > 1 else "asks"
        for key, path in files.items():
            if path is None or not path.is_file():
                raise ServiceError(f"{what} needs {keys} in .env; {key} names no file: {path}")
        if (why := obstacle(settings)) is not None:
            raise ServiceError(
                f"{keys} in .env {ask} for {what}, which needs nginx: {why}. Without, there is http and no login, on "
                "this machine alone, for a proxy of your own that has both"
            )
    if settings.front_users is not None:
        _check_login(settings)


def _check_login(settings: Settings) -> None:
    if not is_loopback(settings.api_host):
        raise ServiceError(
            f"FRONT_USERS in .env asks for a login, which the API has none of, and others reach it at "
            f"API_HOST={settings.api_host}: leave API_HOST empty"
        )
    if not is_https(settings) and not is_loopback(settings.front_host):
        raise ServiceError(
            f"FRONT_USERS in .env asks for a login, and without https names and passwords cross the network for all to "
            f"read: give FRONT_CERTIFICATE and FRONT_KEY, or leave FRONT_HOST={settings.front_host} empty and let a "
            "proxy with https stand in front"
        )


def open_to_all(settings: Settings) -> list[str]:
    """Name the settings by which others on the network reach patients' data without a login."""
    open_ = {"API_HOST": settings.api_host}
    if settings.front_users is None and is_possible(settings):
        open_["FRONT_HOST"] = settings.front_host
    return [f"{key}={host}" for key, host in open_.items() if not is_loopback(host)]


def url(settings: Settings) -> str:
    """Return the address to reach it at from this machine."""
    scheme = "https" if settings.front_certificate else "http"
    return f"{scheme}://{with_port(reachable(settings.front_host), settings.front_port)}"


def in_quotes(path: Path) -> str:
    """Return what stands for a path between the quotes of nginx.conf."""
    return re.sub(r'(["\\])', r"\\\1", path.as_posix())


def configuration(settings: Settings, folder: Path) -> str:
    """Fill in ``Orthanc/nginx.conf``.

    Parameters
    ----------
    folder
        For its temporary files and its pid.
    """
    tls, users, access_log = "", "", "off"
    if settings.front_certificate and settings.front_key:
        files = in_quotes(settings.front_certificate), in_quotes(settings.front_key)
        tls = 'ssl_certificate "{}"; ssl_certificate_key "{}";'.format(*files)
    if settings.front_users:
        users = f'auth_basic "MetIA server"; auth_basic_user_file "{in_quotes(settings.front_users)}";'
        access_log = f'"{in_quotes(settings.var_dir / "log" / "access.log")}" who if=$told'
    orthanc = urlsplit(settings.orthanc_url)
    login = f"{settings.orthanc_username}:{settings.orthanc_password}".encode()
    values = {
        "FRONT_FOLDER": in_quotes(folder),
        "FRONT_LISTEN": f"{with_port(settings.front_host, settings.front_port)}{' ssl' if tls else ''}",
        "FRONT_TLS": tls,
        "FRONT_UPLOAD": str(settings.upload_max_bytes),
        "FRONT_API": with_port(reachable(settings.api_host), settings.api_port),
        "FRONT_ORTHANC": with_port(orthanc.hostname or "", orthanc.port or 80),
        "FRONT_LOGIN": users,
        "FRONT_ACCESS_LOG": access_log,
        "FRONT_ORIGINS": " ".join(f'"{origin}" $http_origin;' for origin in settings.cors_origins),
        "FRONT_ORTHANC_LOGIN": base64.b64encode(login).decode(),
    }
    return re.sub(r"\$\{(\w+)\}", lambda name: values[name[1]], TEMPLATE.read_text(encoding="utf-8"))


def start(services: Services, settings: Settings) -> Settings:
    """Start nginx and wait until the API answers through it; returns the settings with the port it really has.

    Raises
    ------
    NoFrontError
        When nginx cannot be started, or the API not be reached through it; it is ended then.
    ServiceError
        When https or a login is asked for and cannot be had, or another service has ended meanwhile.
    """
    check(settings)
    folder = settings.var_dir / "nginx"
    try:
        settings = replace(settings, front_port=free_port(settings.front_port))
        for needed in (folder, settings.var_dir / "log"):
            needed.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / "nginx.conf"
        path.unlink(missing_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(configuration(settings, folder))  # it holds Orthanc's password
        command = [str(find_nginx()), "-p", str(folder), "-c", str(path), "-g", "daemon off;"]
        services.start("nginx", command, folder, {}, AtDeath.GO_ON)
        services.wait_for("nginx", lambda: _missing(f"{url(settings)}/health"), WAIT_SECONDS)
        if settings.front_users is not None:
            _check_locked(settings)
    except (ServiceError, OSError) as error:
        services.stop("nginx")
        services.check()
        first, *rest = str(error).splitlines()
        raise NoFrontError(" ".join((first, *(line.strip(" |") for line in rest[-1:])))) from error
    return settings


def _missing(address: str) -> str | None:
    try:
        answer = _get(address)
    except requests.RequestException as error:
        return f"no answer from {address}: {type(error).__name__}"
    return None if answer.ok else f"{address} answers {answer.status_code}"


def _check_locked(settings: Settings) -> None:
    """Try a password that nobody has: nginx reads the file for it, lets nobody in, and notes whose try it was."""
    status = _get(url(settings), auth=("start_services", secrets.token_hex())).status_code
    if status != HTTPStatus.UNAUTHORIZED:
        raise ServiceError(
            f"nginx answers {status} to a login that FRONT_USERS={settings.front_users} does not have, not 401: it "
            "cannot read the file (started by root, it does so as another account: see docs/operations.md)"
        )


def _get(address: str, **more: Any) -> requests.Response:
    with warnings.catch_warnings(action="ignore", category=InsecureRequestWarning):
        # The site's own certificate, on this machine.
        return direct_session().get(address, timeout=5, verify=False, **more)
