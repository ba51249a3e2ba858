"""What the viewer's panel makes of answers: its own modules under Node, without OHIF or server (``tests/viewer``)."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from routes.bounds import NAME_LENGTH
from routes.schemas.follow_up import SCHEMAS
from settings import ROOT

TESTS = ROOT / "tests" / "viewer"
MODULES = ROOT / "Orthanc" / "ohif" / "metia"


@pytest.mark.parametrize("name", sorted(path.name for path in TESTS.glob("*.test.mjs")))
def test_under_node(name: str, tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        if os.environ.get("CI"):
            pytest.fail("Node.js is not installed")
        pytest.skip("Node.js is not installed")
    shutil.copytree(TESTS, tmp_path, dirs_exist_ok=True)
    shutil.copytree(MODULES, tmp_path / "metia")
    (tmp_path / "package.json").write_text('{"type": "module"}')  # as a browser takes them
    done = subprocess.run([node, "--test", name], check=False, cwd=tmp_path, capture_output=True, text=True, timeout=99)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_name_can_be_as_long_as_the_server_takes_it() -> None:
    typed = re.findall(r"maxLength: (\d+)", (MODULES / "lesions.js").read_text(encoding="utf-8"))
    described = SCHEMAS["LesionChange"]["properties"]["name"]["maxLength"]
    assert [*map(int, typed), described] == [NAME_LENGTH] * 2
