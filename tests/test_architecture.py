"""The modules at the top keep their places: what each may import, as import-linter holds the packages to theirs."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = {"api", "jobs", "segmentation", "settings", "routes", "services", "benchmarks"}
ROOMS |= {"results", "rano", "imaging", "unetr", "Orthanc", "BDD"}
MAY_IMPORT = {
    "settings": set(),
    "segmentation": {"imaging", "unetr", "rano", "results", "Orthanc", "services.segment_folder"},
    "jobs": {"settings", "services.worker"},
    "api": {
        "routes",
        "BDD",
        "Orthanc",
        "settings",
        "jobs",
        "imaging.leniency",
        "services.addresses",
        "services.logs",
        "services.private",
        "services.processes",
    },
}
"""Rooms, or single modules of one: what two programs are started by, and what the API shares with the worker."""


def imported(module: str) -> set[str]:
    tree = ast.parse((ROOT / f"{module}.py").read_text("utf-8"))
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return {name for name in names if name.split(".")[0] in ROOMS}


@pytest.mark.parametrize("module", MAY_IMPORT)
def test_imports_downwards_only(module: str) -> None:
    allowed = MAY_IMPORT[module]
    assert [name for name in imported(module) if not allowed & {name, name.split(".")[0]}] == []


@pytest.mark.parametrize("module", ["api", "segmentation", "jobs"])
def test_starts_without_torch(module: str) -> None:
    """The web process and every --help answer at once: torch is the worker's business."""
    code = f"import {module}, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
