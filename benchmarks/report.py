"""What every benchmark prints: the machine, a table, and whether a target is met."""

import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path

from settings import ROOT, load_settings
from unetr.bundle import ModelError, read_bundle
from unetr.loading.converted import usable_bundle

GIB = 1 << 30


class Skipped(Exception):  # noqa: N818 - nothing went wrong
    """A benchmark cannot be run here; the message says what is missing."""


def machine() -> str:
    """Return what the figures were measured on, line by line."""
    commit = _output("git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12") or "unknown"
    lines = [
        f"machine  {_cpu()}, {_cores()} cores, {_memory_bytes() / GIB:.1f} GiB memory, {platform.platform()}",
        f"software Python {platform.python_version()}, torch {_version('torch')}, commit {commit}",
    ]
    if hasattr(os, "getloadavg") and (load := os.getloadavg()[0]) > 0.5:
        lines.append(f"caution  the machine is busy with something else (load {load:.1f}): times are too long")
    return "\n".join(lines)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows as aligned text: the first column to the left, the others to the right."""
    widths = [max(len(row[k]) for row in (header, *rows)) for k in range(len(header))]

    def line(row: Sequence[str]) -> str:
        others = (f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True))
        return "  ".join([f"{row[0]:<{widths[0]}}", *others]).rstrip()

    return "\n".join([line(header), line(["-" * width for width in widths]), *map(line, rows)])


def verdict(what: str, *, met: bool) -> bool:
    """Print whether a target is met, and return it."""
    print(f"{'met   ' if met else 'MISSED'}  {what}")
    return met


def within(measured: float, true: float, share: float, absolute: float = 0.0) -> bool:
    """Tell whether a measured value is as close to the true one as a share of it, or an absolute distance, allows."""
    return abs(measured - true) <= max(share * true, absolute)


def deviation(measured: float, true: float) -> str:
    """Return by how many per cent a measured value is off."""
    return f"{measured / true - 1:+.1%}"


def model_path(wanted: Path | None) -> Path:
    """Return the folder of the model to measure: the one wanted, or the server's.

    Raises
    ------
    Skipped
        When there is none.
    """
    settings = load_settings()
    try:
        path = usable_bundle(wanted or settings.model_path, settings.var_dir)
        read_bundle(path)
    except ModelError as error:
        raise Skipped(f"{error} Or name one with --model.") from error
    return path


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _memory_bytes() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError):
        return 0


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "missing"


def _output(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
