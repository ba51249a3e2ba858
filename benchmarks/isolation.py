"""Clean ground for a measurement: an Orthanc of its own, a process of its own."""

import multiprocessing
import os
import re
import secrets
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.report import Skipped
from Orthanc.dicomweb import OrthancArchive
from services.orthanc import Account, find_executable, find_plugin, start
from services.processes import Services, free_port

T = TypeVar("T")
FIRST_PORT = 18142


@contextmanager
def own_orthanc() -> Iterator[Account]:
    """A real Orthanc with a password and an empty, temporary storage, ended by its pid."""
    executable = find_executable()
    if not executable or not find_plugin(executable):
        raise Skipped("Orthanc or its DICOMweb plugin is not installed")
    with tempfile.TemporaryDirectory(prefix="metia-benchmark-") as folder, Services(Path(folder) / "log") as services:
        account = Account(f"http://127.0.0.1:{free_port(FIRST_PORT)}", "benchmark", secrets.token_urlsafe(16))
        start(services, account, Path(folder) / "storage")
        yield account


def connect(account: Account) -> OrthancArchive:
    """Return the archive as the worker uses it: with more patience than starting needs."""
    return OrthancArchive(account.url, account.username, account.password)


def in_fresh_process(function: Callable[..., T], *arguments: Any) -> T:
    """Call a function in a new interpreter: nothing is loaded, warmed up or left over there."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def resident_bytes(which: str, process: int | str = "self") -> int | None:
    """Return memory of a process by its name in ``/proc/PID/status`` (VmRSS, VmHWM); None where that is not told."""
    status = Path(f"/proc/{process}/status")
    found = re.search(rf"{which}:\s+(\d+) kB", status.read_text("ascii")) if status.exists() else None
    return int(found[1]) * 1024 if found else None


def peak_bytes() -> int:
    """Return the most memory this process has had resident so far."""
    # Not getrusage where it can be helped: Linux lets a child begin with the peak of the process that started it.
    if (peak := resident_bytes("VmHWM")) is not None:
        return peak
    if os.name == "nt":
        raise Skipped("the peak of memory is measured on Linux and macOS only")
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
