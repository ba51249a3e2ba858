"""What the viewer's panel makes of answers: its own modules under Node, without OHIF or server (``tests/viewer``)."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from settings import ROOT

TESTS = ROOT / "tests" / "viewer"


@pytest.mark.parametrize("name", sorted(path.name for path in TESTS.glob("*.test.mjs")))
def test_under_node(name: str, tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        if os.environ.get("CI"):
            pytest.fail("Node.js is not installed")
        pytest.skip("Node.js is not installed")
    shutil.copytree(TESTS, tmp_path, dirs_exist_ok=True)
    shutil.copytree(ROOT / "Orthanc" / "ohif" / "metia", tmp_path / "metia")
    (tmp_path / "package.json").write_text('{"type": "module"}')  # as a browser takes them
    done = subprocess.run([node, "--test", name], check=False, cwd=tmp_path, capture_output=True, text=True, timeout=99)
    assert done.returncode == 0, done.stdout + done.stderr
