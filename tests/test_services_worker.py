"""The worker process: which network is in memory, who is alive, and what stops a start."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from BDD import store
from BDD.problems import problem_of
from services import worker
from settings import ROOT
from tests.store_factory import new_database, new_worker
from tests.tiny_model import tiny_bundle
from unetr.bundle import ModelError


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for name in ("first", "second"):
        tiny_bundle(folder / name, name=name)
    return folder


def test_the_default_stays_in_memory(bundles: Path) -> None:
    models = worker.Models(bundles / "first")
    default = models(None)
    assert default is models("first") is models.default
    second = models("second")
    assert second.info.name == "second"
    assert models("second") is second, "not read again for each job"
    assert models(None) is default


def test_an_unknown_model_names_the_known(bundles: Path) -> None:
    models = worker.Models(bundles / "first")
    with pytest.raises(ModelError, match="no model third; there is first, second"):
        models("third")
    assert models(None) is models.default


def test_a_missing_model_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="MODEL_PATH"):
        worker.Models(tmp_path / "nothing")


def test_processes() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    assert worker._is_running(os.getpid())
    assert not worker._is_running(gone.pid) or os.name == "nt"


def test_the_heart_goes_on_when_a_duty_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "HEARTBEAT_SECONDS", 0.01)
    database = new_database(tmp_path)
    number, beats, enough = new_worker(database), [], threading.Event()
    before = store.live_workers(database)[0].seen_at

    def duty() -> None:
        beats.append(problem_of(RuntimeError()))
        if len(beats) == 3:
            enough.set()
        raise RuntimeError("the database is down")

    worker._keep_alive(database, number, [duty], enough)
    assert len(beats) == 3
    assert store.live_workers(database)[0].seen_at > before


@pytest.mark.parametrize("program", ["api.py", "jobs.py"])
@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"API_PORT": "many"}, "API_PORT='many' is not usable"),
        ({"DATABASE_URL": "sqlite:////proc/none/metia.db"}, "/proc/none"),
    ],
)
def test_what_stops_a_start_is_said_in_one_line(
    program: str, environ: dict[str, str], words: str, tmp_path: Path, bundles: Path
) -> None:
    everything = {**os.environ, "VAR_DIR": str(tmp_path), "MODEL_PATH": str(bundles / "first"), **environ}
    done = subprocess.run(
        [sys.executable, program], cwd=ROOT, env=everything, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode in (1, 2)
    assert words in done.stderr
    assert "Traceback" not in done.stderr
