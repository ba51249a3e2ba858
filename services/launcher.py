"""Starts Orthanc, the API, the worker and nginx, waits until all answer, and ends them; --demo shows that it works.

start_services.sh and start_services.bat both come here, by way of ``services.bootstrap``.
"""

import argparse
import contextlib
import dataclasses
import logging
import os
import sys
import time
import webbrowser
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import requests

from Orthanc.direct import direct_session
from services import environment, front, known_archive, ohif, orthanc
from services.addresses import api_url
from services.bootstrap import ROOT, parser
from services.known_archive import KnownArchive
from services.log_files import open_log
from services.logs import FORMAT
from services.private import keep_private
from services.processes import AtDeath, ServiceError, Services, free_port, obey_interrupts, only_one
from settings import Settings, SettingsError, load_settings

READY_SECONDS = 300.0
INTERRUPTED = 130
ENV = ROOT / ".env"
EXAMPLE = ROOT / ".env.example"

logger = logging.getLogger("launcher")
logger.setLevel(logging.INFO)
logger.addHandler(logging.NullHandler())  # the terminal has it already


@contextlib.contextmanager
def noted(folder: Path) -> Iterator[None]:
    """Keep what is said, and what ends it all, in ``launcher.log`` too: a terminal is closed and forgotten."""
    log = open_log(folder / "launcher.log")
    log.setFormatter(logging.Formatter(FORMAT))
    logger.addHandler(log)
    try:
        yield
    except KeyboardInterrupt:
        logger.info("ended by Ctrl-C or a signal")
        raise
    except Exception as error:
        logger.error("%s", error)  # noqa: TRY400  # the message is made for a person
        raise
    finally:
        logger.removeHandler(log)
        log.close()


def say(text: str, *, colour: str = "") -> None:
    """Print a line at once, in colour only on a terminal that wants it."""
    logger.info("%s", text)
    if colour and sys.stdout.isatty() and "NO_COLOR" not in os.environ:
        text = f"\x1b[{colour}m{text}\x1b[0m"
    print(text, flush=True)


def complain(error: Exception) -> int:
    """Print an error and return the exit status for it."""
    print(f"error: {error}", file=sys.stderr, flush=True)
    return 1


def account_of(settings: Settings) -> orthanc.Account:
    """Return the Orthanc that the settings name."""
    return orthanc.Account(settings.orthanc_url, settings.orthanc_username, settings.orthanc_password)


def start(services: Services, settings: Settings, generated: bool = False) -> tuple[Settings, str]:
    """Start everything and wait until it answers.

    Parameters
    ----------
    generated
        Whether Orthanc's password was made just now.

    Returns
    -------
    Settings
        With the addresses it really has.
    str
        The origin of the viewer: nginx where that runs, else the API.

    Raises
    ------
    ServiceError
        When something does not start; without nginx all goes on, unless https or a login is asked for.
    """
    front.check(settings)
    wanted = account_of(settings)
    chosen = orthanc.plan(wanted, known_archive.read(settings.var_dir, orthanc.OWN), generated=generated)
    say(f"Archive: {chosen.words}")
    account = orthanc.carry_out(chosen, services, settings.var_dir / "orthanc", say)
    known_archive.note(settings.var_dir, KnownArchive(chosen.place, wanted.digest))
    api_port, front_port = settings.api_port, settings.front_port
    settings = dataclasses.replace(settings, orthanc_url=account.url, api_port=free_port(api_port))
    say_port("API_PORT", api_port, settings.api_port)
    addresses = {"ORTHANC_URL": settings.orthanc_url, "API_PORT": str(settings.api_port), "PYTHONUNBUFFERED": "1"}
    services.start("API", [sys.executable, "api.py"], ROOT, addresses, AtDeath.START_AGAIN)
    services.start("Worker", [sys.executable, "jobs.py"], ROOT, addresses, AtDeath.START_AGAIN)
    try:
        ohif.fetch(settings.ohif_dir, say)
    except ServiceError as error:
        say(f"No viewer: {error}")
    services.wait_for("MetIA server", not_ready(f"{api_url(settings)}/ready"), READY_SECONDS)
    if front.is_possible(settings):
        try:
            settings = front.start(services, settings)
        except front.NoFrontError as error:
            if front.is_needed(settings):
                raise
            say(f"No nginx, the API serves viewer and images instead: {error}")
        else:
            say_port("FRONT_PORT", front_port, settings.front_port)
            return settings, front.url(settings)
    return settings, api_url(settings)


def say_port(key: str, wanted: int, used: int) -> None:
    """Say that a port was taken: bookmarks lead to the one of the settings."""
    if used != wanted:
        say(f"{key}={wanted} is taken by another program; {used} is used instead")


def has_viewer(settings: Settings) -> bool:
    """Whether there is an OHIF to serve."""
    return (settings.ohif_dir / "index.html").is_file()


def viewer_url(origin: str) -> str:
    """Return the address of the viewer's list of studies."""
    return f"{origin}/ohif/"


def not_ready(url: str) -> Callable[[], str | None]:
    """Make a question that answers why ``url`` does not answer 200 yet, or None when it does."""

    def ask() -> str | None:
        try:
            answer = direct_session().get(url, timeout=10)
        except requests.RequestException:
            return f"no answer from {url}"
        return None if answer.ok else f"{url} answers {answer.status_code}: {' '.join(answer.text.split())[:1000]}"

    return ask


def addresses(settings: Settings, origin: str, seconds: float) -> list[str]:
    """Return the lines that tell a person where everything is."""
    url, open_ = api_url(settings), front.open_to_all(settings)
    return [
        f"MetIA server is ready ({seconds:.1f} s)",
        f"  Viewer   {viewer_url(origin) if has_viewer(settings) else 'not installed: see above'}",
        f"  API      {url}        try {url}/docs",
        f"  Orthanc  {settings.orthanc_url}        user {settings.orthanc_username}, password in .env",
        f"  Logs     {settings.var_dir / 'log'}",
        *(f"No login: by {one} everybody on the network sees and changes patients' data" for one in open_),
    ]


def open_browser(settings: Settings, origin: str) -> None:
    """Show the viewer on Windows, where a double click started us and nobody may look at the lines above."""
    if os.name == "nt" and has_viewer(settings):
        webbrowser.open(viewer_url(origin))


def describe() -> int:
    """Say what a start would do, and do nothing."""
    generated = not ENV.exists()
    if generated:
        say(f"would write {ENV} from {EXAMPLE.name} with a generated password")
    settings = load_settings(env_file=EXAMPLE if generated else ENV)
    front.check(settings)
    account = account_of(settings)
    if generated:
        account = dataclasses.replace(account, password="(generated)")  # noqa: S106
    chosen = orthanc.plan(account, known_archive.read(settings.var_dir, orthanc.OWN), generated=generated)
    say(f"would use as Orthanc: {chosen.words}")
    if not has_viewer(settings):
        say(f"would fetch the viewer with npm ({ohif.PACKAGE}) into {settings.ohif_dir}")
    say(
        f"would start the API on port {free_port(settings.api_port)} and the worker, logs in {settings.var_dir / 'log'}"
    )
    if front.is_possible(settings):
        say(f"would start nginx in front of them on port {free_port(settings.front_port)}")
    return 0


def run(arguments: argparse.Namespace) -> int:
    """Start, show, wait, end; returns the exit status."""
    began = time.monotonic()
    generated = environment.prepare(ENV, EXAMPLE)
    if generated:
        say(f"Wrote {ENV.name} with a generated password for Orthanc")
    settings = load_settings(env_file=ENV)
    keep_private(settings)
    status = INTERRUPTED
    try:
        with (
            only_one(settings.var_dir / "launcher.lock"),
            Services(settings.var_dir / "log") as services,
            noted(services.log_dir),
        ):
            settings, origin = start(services, settings, generated)
            headline, *rest = addresses(settings, origin, time.monotonic() - began)
            say(headline, colour="1;32")
            say("\n".join(rest))
            open_browser(settings, origin)
            if arguments.demo:
                status = run_demo(services, settings)
                if arguments.stop:
                    return status
            else:
                status = 0
            say("Ctrl-C ends it.")
            services.watch(say)
    except KeyboardInterrupt:
        say("\nEnded.")
    return status


def run_demo(services: Services, settings: Settings) -> int:
    """Run the demo; when it fails because a service died, say that instead."""
    from services import demo  # torch is needed by no other start

    try:
        return demo.run(settings)
    except Exception:
        services.check()
        raise


def main(argv: Sequence[str] | None = None) -> int:
    """Run the launcher; returns the exit status."""
    arguments = parser().parse_args(argv)
    obey_interrupts()
    try:
        return describe() if arguments.dry_run else run(arguments)
    except (ServiceError, SettingsError, OSError) as error:
        return complain(error)
    except KeyboardInterrupt:
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
