"""The API and the worker as the processes they are, on free ports and in a temporary folder, ended by pid."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests

from services.processes import end, free_port
from settings import ROOT
from tests.system.conftest import RunningOrthanc

PATIENCE_SECONDS = 120.0


class ServerSite:
    """An API and at most one worker on one database, one queue, and a real Orthanc."""

    def __init__(self, folder: Path, orthanc: RunningOrthanc, model_path: Path, **environ: str) -> None:
        self.folder = folder
        port = free_port(15000)
        self.url = f"http://127.0.0.1:{port}"
        self.environ = {
            "ORTHANC_URL": orthanc.url,
            "ORTHANC_USERNAME": orthanc.username,
            "ORTHANC_PASSWORD": orthanc.password,
            "API_PORT": str(port),
            "VAR_DIR": str(folder / "var"),
            "MODEL_PATH": str(model_path),
            "JOB_RETRY_DELAYS": "0.5,0.5",
            "OMP_NUM_THREADS": "1",
            **environ,
        }
        self.running: list[subprocess.Popen[bytes]] = []

    def start_api(self) -> subprocess.Popen[bytes]:
        """Start the API and wait until it answers."""
        process = self.start("api.py")
        self.until(lambda: self.answers(process), "the API answers")
        return process

    def answers(self, process: subprocess.Popen[bytes]) -> bool:
        assert process.poll() is None, self.log("api.py")
        try:
            return requests.get(f"{self.url}/health", timeout=5).ok
        except requests.ConnectionError:
            return False

    def start_worker(self) -> subprocess.Popen[bytes]:
        """Start a worker and wait until it can work."""
        process = self.start("jobs.py")
        self.until(lambda: self.is_ready(process), "the worker is ready")
        return process

    def is_ready(self, process: subprocess.Popen[bytes]) -> bool:
        assert process.poll() is None, self.log("jobs.py")
        return requests.get(f"{self.url}/ready", timeout=10).ok

    def start(self, program: str) -> subprocess.Popen[bytes]:
        """Start a program of the checkout; its output goes to a log in the folder."""
        with (self.folder / f"{program}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, program], cwd=ROOT, env={**os.environ, **self.environ}, stdout=log, stderr=log
            )
        self.running.append(process)
        return process

    def log(self, program: str) -> str:
        """What a program has said so far."""
        return (self.folder / f"{program}.log").read_text(encoding="utf-8")

    def until(self, done: Callable[[], Any], what: str) -> Any:
        """Wait until something is true; give it."""
        give_up = time.monotonic() + PATIENCE_SECONDS
        while not (answer := done()):
            assert time.monotonic() < give_up, f"never came: {what}"
            time.sleep(0.02)
        return answer

    def post(self, study: str, query: str = "?wait=100", **body: Any) -> requests.Response:
        """Ask for a segmentation."""
        return requests.post(f"{self.url}/segment{query}", json={"StudyInstanceUID": study} | body, timeout=120)

    def job(self, job_id: str, query: str = "") -> dict[str, Any]:
        """See a job."""
        answer: dict[str, Any] = requests.get(f"{self.url}/jobs/{job_id}{query}", timeout=120).json()
        return answer

    def jobs(self, study: str) -> list[dict[str, Any]]:
        """See the jobs of a study, the newest first."""
        answer = requests.get(f"{self.url}/jobs", params={"StudyInstanceUID": study}, timeout=60).json()
        return list(answer["jobs"])

    def close(self) -> None:
        """End what was started."""
        for process in reversed(self.running):
            end(process)
