"""Which networks are in memory: the default and one more, each as it is on disk when a job begins."""

import gc
import json
import logging
import shutil
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch

from BDD import store
from BDD.models import FINAL_STATES, Job
from rano.history import Rules
from services.models import Models
from services.runner import Worker
from tests import factory
from tests.jobs_factory import MemoryArchive
from tests.store_factory import new_database, new_worker, queued_job
from tests.tiny_model import tiny_bundle
from unetr.bundle import ModelError, read_bundle
from unetr.predictor import Predictor, load_predictor

WAIT = 120.0


def load(bundle: Path) -> Predictor:
    return load_predictor(bundle, "cpu")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("first", "second", "third"):
        tiny_bundle(tmp_path / name, name=name)
    return tmp_path


def replace_weights(bundle: Path) -> str:
    """Put other weights into a bundle; give their hash."""
    path = bundle / "models" / "model.safetensors"
    weights = safetensors.torch.load(path.read_bytes())
    weights["out.conv.conv.bias"] -= 1.0
    safetensors.torch.save_file(weights, path)
    return read_bundle(bundle).sha256


def truncate_weights(bundle: Path) -> None:
    path = bundle / "models" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def test_the_default_stays_in_memory(folder: Path) -> None:
    models = Models(folder / "first", folder / "var", load)
    default = models(None)
    assert default is models("first")
    second = models("second")
    assert second.info.name == "second"
    assert models("second") is second, "not read again for each job"
    models("third")
    assert models(None) is default
    assert models("second") is not second, "only one beside the default is kept"


def test_what_is_not_needed_any_more_is_freed(folder: Path) -> None:
    models = Models(folder / "first", folder / "var", load)
    gone = [weakref.ref(models("second")), weakref.ref(models(None))]
    models("third")
    replace_weights(folder / "first")
    models(None)
    assert [one() for one in gone] == [None, None]
    gc.unfreeze()


def test_an_unknown_model_names_the_known(folder: Path) -> None:
    models = Models(folder / "first", folder / "var", load)
    with pytest.raises(ModelError, match="no model fourth; there is first, second, third"):
        models("fourth")
    assert models(None).info.name == "first"


def test_a_missing_default_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="MODEL_PATH"):
        Models(tmp_path / "nothing", tmp_path / "var", load)


def test_a_changed_bundle_is_loaded_with_the_next_job(folder: Path) -> None:
    told: list[str] = []
    models = Models(folder / "first", folder / "var", load, lambda model: told.append(model.info.sha256))
    before = models(None)
    sha256 = replace_weights(folder / "first")
    after = models(None)
    assert after.info.sha256 == sha256 != before.info.sha256
    assert models(None) is after
    assert told == [before.info.sha256, sha256], "the default is announced each time it is loaded"
    metadata = folder / "first" / "configs" / "metadata.json"
    metadata.write_text(json.dumps(json.loads(metadata.read_text("utf-8")) | {"version": "2.0"}), "utf-8")
    assert models(None).info.version == "2.0", "the descriptions count as well"


def test_a_new_bundle_is_found_without_a_restart(folder: Path) -> None:
    models = Models(folder / "first", folder / "var", load)
    tiny_bundle(folder / "fourth", name="fourth")
    assert models("fourth").info.name == "fourth"


@pytest.mark.parametrize("name", [None, "first"])
@pytest.mark.parametrize(
    "break_it",
    [
        truncate_weights,
        lambda bundle: (bundle / "models" / "model.safetensors").unlink(),
        lambda bundle: (bundle / "configs" / "metadata.json").write_text('{"name": "fi', "utf-8"),
        shutil.rmtree,
    ],
    ids=["cut off", "no weights", "half a description", "no folder"],
)
def test_a_half_copied_bundle_leaves_the_earlier_network_in_service(
    folder: Path, caplog: pytest.LogCaptureFixture, name: str | None, break_it: Callable[[Path], Any]
) -> None:
    models = Models(folder / "first", folder / "var", load)
    before = models(None)
    break_it(folder / "first")
    with caplog.at_level(logging.WARNING):
        assert models(name) is before
    assert "The network that was loaded before goes on" in caplog.text
    shutil.rmtree(folder / "first", ignore_errors=True)
    tiny_bundle(folder / "first", name="first", peak=0.9)
    assert models(name).info.postprocessing.peak == 0.9


def test_a_half_copied_bundle_that_was_never_loaded_is_refused(folder: Path) -> None:
    models = Models(folder / "first", folder / "var", load)
    truncate_weights(folder / "second")
    with pytest.raises(ModelError, match="no model second; there is first, third"):
        models("second")


class Site:
    """A worker on its queue in a thread of its own; a job stops at the archive until it may go on."""

    def __init__(self, folder: Path, models: Models) -> None:
        self.database = new_database(folder)
        self.fetching, self.go_on, self._stop = threading.Event(), threading.Event(), threading.Event()
        self.go_on.set()
        datasets = factory.series_datasets()
        self._uids = {"study": str(datasets[0].StudyInstanceUID), "series": str(datasets[0].SeriesInstanceUID)}
        archive = MemoryArchive(*datasets)
        archive.fail = self._called
        url = f"sqlite:///{folder.as_posix()}/queue.db"
        self.worker = Worker(self.database, url, archive, models, new_worker(self.database), (), Rules())
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while not self._stop.wait(0.01):
            task = self.worker.queue.huey.dequeue()
            if task is not None:
                self.worker.queue.huey.execute(task)

    def _called(self, method: str) -> None:
        if method == "fetch_series":
            self.fetching.set()
            assert self.go_on.wait(WAIT)

    def post(self, model: str | None = None) -> str:
        job = queued_job(self.database, **self._uids, model=model)
        self.worker.queue.enqueue(job.job_id)
        return job.job_id

    def end(self, job_id: str) -> Job:
        """Wait until the job has ended."""
        patience = threading.Event()
        while (job := store.get_job(self.database, job_id)).state not in FINAL_STATES:
            assert self._thread.is_alive()
            patience.wait(0.02)
        return job

    def close(self) -> None:
        self.go_on.set()
        self._stop.set()
        self._thread.join()
        self.worker.queue.close()
        self.database.dispose()


@pytest.fixture
def site(folder: Path) -> Iterator[Site]:
    (folder / "var").mkdir()
    site = Site(folder / "var", Models(folder / "first", folder / "var", load))
    yield site
    site.close()


def ran(job: Job) -> str:
    assert job.state == "done", job.problem
    assert job.model is not None
    return job.model.sha256


def test_a_bundle_replaced_between_and_during_jobs(site: Site, folder: Path) -> None:
    bundle = folder / "first"
    hashes = [read_bundle(bundle).sha256]
    assert ran(site.end(site.post())) == hashes[0]

    hashes.append(replace_weights(bundle))
    assert ran(site.end(site.post())) == hashes[1], "replaced between jobs: used by the next"

    site.fetching.clear()
    site.go_on.clear()
    running = site.post()
    assert site.fetching.wait(WAIT)
    hashes.append(replace_weights(bundle))
    site.go_on.set()
    assert ran(site.end(running)) == hashes[1], "replaced during a job: it keeps what it was loaded with"
    assert ran(site.end(site.post())) == hashes[2]
    assert len(set(hashes)) == 3

    truncate_weights(bundle)
    assert ran(site.end(site.post("first"))) == hashes[2], "half-copied: the one before goes on, and is named"
    truncate_weights(folder / "second")
    refused = site.end(site.post("second"))
    assert (refused.state, refused.problem and refused.problem["type"]) == ("failed", "urn:metia:problem:model")
    assert "no model second" in str(refused.problem)

    shutil.rmtree(folder / "second")
    tiny_bundle(folder / "second", name="second")
    assert ran(site.end(site.post("second"))) == read_bundle(folder / "second").sha256, "mended: no restart"
