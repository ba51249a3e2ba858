"""/health, /ready, /models: each part that is amiss says why, and only then is the answer 503."""

import errno
import hashlib
import json
import os
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path

import pytest
from sqlalchemy import event

from BDD import store
from BDD.models import Worker
from Orthanc.archive import ArchiveUnavailableError
from routes import status
from tests.api_factory import STUDY, ApiSite
from tests.store_factory import MODEL
from unetr.loading.converted import bundle_folder


@pytest.fixture
def site(tmp_path):
    site = ApiSite(tmp_path)
    store.worker_ready(site.database, site.number, model=MODEL, device="cpu")
    yield site
    site.close()


def amiss(site) -> dict[str, str]:
    response = site.client.get("/ready")
    document = response.get_json()
    checks = {name: check for name, check in document.items() if name != "ready"}
    assert set(checks) == {"orthanc", "database", "worker", "model"}
    found = {name: check["reason"] for name, check in checks.items() if not check["ok"]}
    assert (response.status_code, document["ready"]) == ((503, False) if found else (200, True))
    assert all(check["reason"] for check in checks.values())
    return found


def test_alive(site):
    assert site.client.get("/health").get_json() == {"status": "alive"}


def test_ready(site):
    assert amiss(site) == {}


def test_without_archive(site):
    def fail(_):
        raise ArchiveUnavailableError("no connection to http://h for GET /system: is Orthanc running?")

    site.archive.fail = fail
    assert "is Orthanc running" in amiss(site)["orthanc"]
    assert set(amiss(site)) == {"orthanc"}


def test_without_worker(tmp_path):
    site = ApiSite(tmp_path)
    with site.database.writing() as session:
        session.delete(session.get(Worker, site.number))
    assert amiss(site).keys() == {"worker", "model"}
    assert "python jobs.py" in amiss(site)["worker"]
    site.close()


def test_a_worker_that_is_silent(site):
    with site.database.writing() as session:
        session.get(Worker, site.number).seen_at = datetime.now(UTC) - timedelta(seconds=store.ALIVE_SECONDS + 1)
    assert "No worker was seen since" in amiss(site)["worker"]


def test_a_worker_that_loads_its_model(tmp_path):
    write_bundle(tmp_path / "model")
    site = ApiSite(tmp_path / "var", MODEL_PATH=str(tmp_path / "model"))
    assert amiss(site) == {"model": "The worker is loading it."}
    site.close()


def test_a_worker_that_converts_a_checkpoint(tmp_path):
    """The API says so, reads nothing of the file, and knows the bundle as soon as it is there."""
    checkpoint = tmp_path / "published.cpkt"
    checkpoint.write_bytes(b"unread")
    site = ApiSite(tmp_path / "var", MODEL_PATH=str(checkpoint))
    reason = f"{checkpoint} is not converted yet: the worker does so before its next job; its log says if it cannot."
    assert amiss(site) == {"model": reason}
    assert site.client.get("/models").get_json()["refused"] == [
        {"name": "published.cpkt", "reason": reason, "default": True}
    ]
    assert reason in site.post(model="MetIA").get_json()["detail"]

    write_bundle(bundle_folder(checkpoint, tmp_path / "var"))
    assert amiss(site) == {"model": "The worker is loading it."}
    answer = site.client.get("/models").get_json()
    assert (len(answer["models"]), answer["refused"]) == (1, [])
    site.close()


def test_a_worker_whose_model_is_broken(site):
    store.worker_stopped(site.database, site.number, error="The weights /m/model.safetensors are missing.")
    assert amiss(site) == {
        "worker": "The worker ended: The weights /m/model.safetensors are missing.",
        "model": "The weights /m/model.safetensors are missing.",
    }


def test_without_tables(site):
    with site.database.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE jobs RENAME TO gone")
    assert amiss(site).keys() == {"database"}


class FullDisk(BytesIO):
    """A file on a full disk: its buffer takes what comes, and cannot let go of it."""

    def flush(self) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_on_a_full_disk(site, tmp_path, monkeypatch):
    tried = []

    def temporary_file(*, dir):
        tried.append(dir)
        return FullDisk()

    monkeypatch.setattr(status, "TemporaryFile", temporary_file)
    assert amiss(site) == {"database": f"Nothing can be written in {tmp_path}: the disk is full."}
    assert tried == [tmp_path]


def test_every_disk_that_is_written_to_is_looked_at(tmp_path, monkeypatch):
    (tmp_path / "queue").mkdir()
    database, queue = (f"sqlite:///{(tmp_path / one / 'a.db').as_posix()}" for one in ("database", "queue"))
    site = ApiSite(tmp_path / "var", DATABASE_URL=database, QUEUE_URL=queue)
    store.worker_ready(site.database, site.number, model=MODEL, device="cpu")
    (tmp_path / "var").mkdir(exist_ok=True)
    assert amiss(site) == {}
    real = status.TemporaryFile
    for folder in ("var", "database", "queue"):

        def temporary_file(*, dir, full=tmp_path / folder):
            return FullDisk() if dir == full else real(dir=dir)

        monkeypatch.setattr(status, "TemporaryFile", temporary_file)
        assert str(tmp_path / folder) in amiss(site)["database"]
    site.close()


def test_where_nothing_may_be_written(site, monkeypatch):
    def temporary_file(*, dir):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(status, "TemporaryFile", temporary_file)
    assert amiss(site)["database"].endswith("Permission denied.")


def test_a_write_that_meets_a_full_disk_says_so(site):
    """SQLite's own error, of a database that may not grow by a page."""
    site.post()
    site.work()
    engine = site.app.extensions["metia"].database.engine
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("PRAGMA max_page_count = 1"))
    noted = {"note": "x" * 4000, "version": 0}
    answer = site.client.post(f"/visits/{STUDY}/assessment", json=noted)
    problem = answer.get_json()
    assert (answer.status_code, problem["type"]) == (507, "urn:metia:problem:disk-full")
    assert "VAR_DIR" in problem["what_to_do"]
    (visit,) = site.client.get("/patients/1/timeline").get_json()["visits"]
    assert visit["assessment"]["note"] == ""


def write_bundle(folder: Path) -> Path:
    """Write a model's folder, named as it is; give its weights."""
    (folder / "configs").mkdir(parents=True)
    (folder / "models").mkdir()
    weights = folder / "models" / "model.safetensors"
    weights.write_bytes(tensors(folder.name))
    metadata = {"name": folder.name, "version": "1", "statement": "Dice 0.8 on synthetic heads."}
    (folder / "configs" / "metadata.json").write_text(json.dumps(metadata))
    network = {"network_def": {"_target_": "SegResNet"}, "inferer": {"roi_size": 96}}
    (folder / "configs" / "inference.json").write_text(json.dumps(network))
    return weights


def tensors(note: str) -> bytes:
    """Give a safetensors file without a tensor, of one length for every note of one length."""
    header = json.dumps({"__metadata__": {"note": note}}).encode()
    return len(header).to_bytes(8, "little") + header


def test_models_of_a_folder(tmp_path):
    for name in ("default", "other"):
        write_bundle(tmp_path / name)
    site = ApiSite(tmp_path / "var", MODEL_PATH=str(tmp_path / "default"))
    answer = site.client.get("/models").get_json()
    assert answer["default"] == "default"
    assert [model["name"] for model in answer["models"]] == ["default", "other"]
    assert len({model["sha256"] for model in answer["models"]}) == 2
    site.close()


def test_weights_are_hashed_once_for_each_state_of_their_file(tmp_path, monkeypatch):
    weights, hashed, real = write_bundle(tmp_path / "model"), [], hashlib.file_digest

    def file_digest(file, kind):
        hashed.append(Path(file.name))
        return real(file, kind)

    monkeypatch.setattr(hashlib, "file_digest", file_digest)
    site = ApiSite(tmp_path / "var", MODEL_PATH=str(tmp_path / "model"))

    def told():
        (model,) = site.client.get("/models").get_json()["models"]
        return model["sha256"]

    assert told() == told() == hashlib.sha256(tensors("model")).hexdigest()
    assert hashed == [weights]
    weights.write_bytes(tensors("other"))  # of the same size
    os.utime(weights, (1, 1))
    assert told() == hashlib.sha256(tensors("other")).hexdigest()
    weights.write_bytes(tensors("larger"))
    os.utime(weights, (1, 1))
    assert told() == told() == hashlib.sha256(tensors("larger")).hexdigest()
    assert len(hashed) == 3
    site.close()


def test_no_model(site):
    answer = site.client.get("/models")
    assert answer.status_code == 200
    document = answer.get_json()
    assert (document["models"], document["default"]) == ([], None)
    (refused,) = document["refused"]
    assert (refused["name"], refused["default"]) == ("none", True)
    assert "MODEL_PATH" in refused["reason"]


def test_what_is_told_of_a_model(tmp_path):
    bundle = write_bundle(tmp_path / "models" / "spleen").parents[1]
    image = {"num_channels": 1, "channel_def": {"0": "image"}}
    pred = {"num_channels": 2, "channel_def": {"0": "background", "1": "spleen"}}
    metadata = {
        "version": "0.5.7",
        "changelog": {"0.5.7": "fixed"},
        "authors": "MONAI team",
        "copyright": "Copyright (c) MONAI Consortium",
        "data_source": "Task09_Spleen.tar",
        "description": "Segments the spleen.",
        "network_data_format": {"inputs": {"image": image}, "outputs": {"pred": pred}},
    }
    (bundle / "configs" / "metadata.json").write_text(json.dumps(metadata))
    write_bundle(tmp_path / "models" / "half").unlink()
    site = ApiSite(tmp_path / "var", MODEL_PATH=str(bundle))
    document = site.client.get("/models").get_json()
    (model,) = document["models"]
    assert (model["name"], model["version"], model["default"]) == ("spleen", "0.5.7", True)
    assert (model["window"], model["spacing_mm"], model["preprocessing"]) == ([96, 96, 96], [1.0, 1.0, 1.0], "ras-1mm")
    assert (model["inputs"], model["labels"]) == ({"image": image}, pred["channel_def"])
    assert model["outputs"] == {"sigmoid": False, "lesion": [1], "brain": None}
    assert model["provenance"].keys() == {"changelog", "authors", "copyright", "data_source"}
    assert model["statement"] == "Not a medical device. Not measured here."
    (refused,) = document["refused"]
    assert (refused["name"], refused["default"]) == ("half", False)
    assert "are missing" in refused["reason"]
    site.close()
