"""start_services.bat, read as strictly as it can be where no cmd.exe is: it finds a Python and calls the launcher."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from settings import ROOT

SCRIPT = ROOT / "start_services.bat"
LINES = [
    r"@echo off",
    r"rem .*",
    r"setlocal",
    r'set "PYTHON="',
    r'for %%P in \((?P<pythons>("[\w. -]+" ?)+)\) do if not defined PYTHON %%~P (?P<check>-c ".*") >nul 2>nul '
    r'&& set "PYTHON=%%~P"',
    r"if not defined PYTHON \(",
    r"    echo [^()%^&|<>]+ 1>&2",
    r"    exit /b 1",
    r"\)",
    r'%PYTHON% "%~dp0(?P<program>[\w\\.]+)" %\*',
    r"exit /b %errorlevel%",
]
"""Every line there may be, in this order; ``rem`` as often as wanted."""


def lines() -> list[str]:
    return SCRIPT.read_bytes().decode("ascii").removesuffix("\r\n").split("\r\n")


def test_cmd_reads_it_as_it_is_meant() -> None:
    content = SCRIPT.read_bytes()
    assert content.count(b"\n") == content.count(b"\r\n") > 0, "labels and blocks go astray with other line ends"
    assert not content.startswith(b"\xef\xbb\xbf"), "the first command would not be known"
    assert all(len(line) < 8191 for line in lines())


def test_there_is_nothing_in_it_but_finding_a_python_and_calling_the_launcher() -> None:
    wanted = list(LINES)
    for line in lines():
        if re.fullmatch(LINES[1], line):
            continue
        while wanted and wanted[0] == LINES[1]:
            wanted.pop(0)
        assert wanted, f"one line too many: {line}"
        pattern = wanted.pop(0)
        assert re.fullmatch(pattern, line), f"{line!r} is not {pattern!r}"
    assert wanted == []


def test_it_calls_what_the_shell_script_calls() -> None:
    text = "\n".join(lines())
    (program,) = re.findall(r'%~dp0([\w\\.]+)"', text)
    path = program.replace("\\", "/")
    assert (ROOT / path).is_file()
    assert f'"$here/{path}" "$@"' in (ROOT / "start_services.sh").read_text(encoding="utf-8")


def test_its_check_of_python_is_one(tmp_path: Path) -> None:
    (check,) = re.findall(r'-c "(import sys[^"]+)"', "\n".join(lines()))
    assert check in (ROOT / "start_services.sh").read_text(encoding="utf-8")
    assert subprocess.run([sys.executable, "-c", check]).returncode == 0
    old = check.replace("sys.version_info", "(3, 10)")
    assert subprocess.run([sys.executable, "-c", old]).returncode == 1


@pytest.mark.skipif(not shutil.which("cmd.exe"), reason="no cmd.exe")
def test_cmd_runs_it() -> None:
    done = subprocess.run(["cmd.exe", "/c", str(SCRIPT), "--dry-run"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "would" in done.stdout
