"""From a bare Python to a running launcher: makes .venv, installs the requirements when they changed, and hands over.

Called by start_services.sh, start_services.bat and run_tests.sh; nothing but the standard library is here yet.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
MINIMUM = (3, 11)

EXAMPLES = """\
examples:
  start_services                 start Orthanc, the API and the worker; Ctrl-C ends them
  start_services --demo          the same, then segment two visits of a synthetic patient and compare with the truth
  start_services --demo --stop   the same, then end everything; exit status 0 only if the result was right
  start_services --dry-run       say what would be done, and do nothing
"""


class BootstrapError(Exception):
    """The Python environment cannot be made; the message says what to do."""


def parser() -> argparse.ArgumentParser:
    """Return the command line of the launcher."""
    arguments = argparse.ArgumentParser(
        prog="start_services",
        description="Start MetIA server: Orthanc, the API and the worker. Settings are in .env.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    arguments.add_argument("--demo", action="store_true", help="run the demo once everything answers")
    arguments.add_argument("--stop", action="store_true", help="with --demo: end everything when the demo is done")
    arguments.add_argument("--dry-run", action="store_true", help="only say what would be done")
    arguments.add_argument("--prepare", metavar="FILE", help="only make .venv with this requirements file, then exit")
    return arguments


def venv_python() -> Path:
    """Return the interpreter inside .venv, whether or not it is there yet."""
    return VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def digest(requirements: Path) -> str:
    """Return the hash of a requirements file, of those it names (-r, -c), and of the version of Python they are for."""
    text = requirements.read_text(encoding="utf-8")
    included = [line.split(maxsplit=1)[1] for line in text.splitlines() if line.startswith(("-r ", "-c "))]
    parts = [repr(sys.version_info[:2]), text, *(digest(requirements.parent / name.strip()) for name in included)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def marker(requirements: Path) -> Path:
    """Return the file that remembers which requirements are installed."""
    return VENV / f".{requirements.stem}.sha256"


def is_ready(requirements: Path) -> bool:
    """Whether .venv holds what the file names."""
    mark = marker(requirements)
    return venv_python().exists() and mark.exists() and mark.read_text(encoding="utf-8") == digest(requirements)


def prepare(requirements: Path) -> None:
    """Make .venv where there is none, and install the requirements where they changed."""
    if is_ready(requirements):
        return
    if not _has_pip():
        _make_venv()
    print(f"Installing what {requirements.name} names into .venv (the first time takes some minutes) ...", flush=True)
    quiet = [] if sys.stdout.isatty() else ["--quiet"]
    install = [str(venv_python()), "-m", "pip", "install", "--disable-pip-version-check", *quiet]
    if subprocess.run([*install, "-r", str(requirements)], check=False).returncode != 0:
        raise BootstrapError(f"pip could not install {requirements.name}; the lines above say why")
    marker(requirements).write_text(digest(requirements), encoding="utf-8")


def _has_pip() -> bool:
    python = venv_python()
    return python.exists() and _quietly([str(python), "-m", "pip", "--version"])


def _make_venv() -> None:
    print("Making .venv ...", flush=True)
    make = [sys.executable, "-m", "venv", "--clear", str(VENV)]
    if _quietly(make):
        return
    package = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
    if shutil.which("apt-get") and os.name == "posix" and os.geteuid() == 0:
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (["apt-get", "update", "-qq"], ["apt-get", "install", "-y", "-qq", package]):
            subprocess.run(command, check=False, env=environment, stdout=subprocess.DEVNULL)
        if _quietly(make):
            return
    raise BootstrapError(f"{sys.executable} cannot make a virtual environment; install {package} and try again")


def _quietly(command: list[str]) -> bool:
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def main(argv: Sequence[str] | None = None) -> int:
    """Prepare .venv and run the launcher in it with the same arguments."""
    argv = list(sys.argv[1:] if argv is None else argv)
    arguments = parser().parse_args(argv)
    if sys.version_info < MINIMUM:
        print(f"Python 3.11 or newer is needed; {sys.executable} is {sys.version.split()[0]}", file=sys.stderr)
        return 1
    requirements = ROOT / (arguments.prepare or "requirements.txt")
    try:
        if arguments.dry_run and not is_ready(requirements):
            print(f"would make {VENV} and install {requirements.name}, then start the services")
            return 0
        prepare(requirements)
    except BootstrapError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    if arguments.prepare:
        return 0
    command = [str(venv_python()), "-m", "services.launcher", *argv]
    os.chdir(ROOT)
    if os.name != "nt":  # on Windows exec would return to the prompt at once
        os.execv(command[0], command)  # noqa: S606  # the launcher takes this process over, so a signal reaches it
    try:
        return subprocess.run(command, check=False).returncode
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
