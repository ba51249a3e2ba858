"""Databases, jobs and lesions for the tests of the store, the queue and the API."""

import functools
import itertools
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

from alembic import command

from BDD import migrate, store
from BDD.models import Job, Patient
from rano.lesion import Chord, Confidence, Lesion, Measurement

STUDY, SERIES = "1.2.3.1", "1.2.3.1.1"
MODEL = store.ModelRecord("unetr", "1.0", "ab" * 32, "Measured on synthetic heads. Not a medical device.")
TIMINGS = {"fetching": 0.5, "segmenting": 2.0}


T = TypeVar("T")


@dataclass(frozen=True)
class SliceStub:
    """A slice as ``imaging.volume.Slice`` names it."""

    sop_instance_uid: str
    frame_number: int | None = None


SLICES = tuple(SliceStub(f"{SERIES}.{k}") for k in range(20))


def new_database(folder: Path) -> store.Database:
    """Make an empty database with the newest tables."""
    (folder / "metia.db").write_bytes(_empty_database())
    return store.open_database(f"sqlite:///{folder.as_posix()}/metia.db")


@functools.cache
def _empty_database() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        migrate.upgrade(f"sqlite:///{folder}/metia.db")
        return Path(folder, "metia.db").read_bytes()


def lesion(label: int = 1, *, name: str = "", tracking_uid: str = "", volume_mm3: float = 500.0) -> Lesion:
    """Make a lesion on slices 2 to 6, measured on slice 4."""
    return Lesion(
        name=name or f"GTV_MetIA_{label}",
        tracking_uid=tracking_uid or f"2.25.{label}",
        number=label,
        measurement=Measurement(
            label=label,
            volume_mm3=volume_mm3,
            longest=Chord(12.5, (1.0, 2.0, 3.25), (13.5, 2.0, 3.25)),
            perpendicular=Chord(8.0, (5.0, -2.0, 3.25), (5.0, 6.0, 3.25)),
            diameter_3d_mm=13.1,
            centroid_lps_mm=(0.1, 2.0 / 3.0, -3.0),
            first_slice=2,
            last_slice=6,
            measured_slice=4,
            plane="acquired",
            measurable=True,
            reason="12.5 mm and 8.0 mm",
            confidence=Confidence(0.93, 0.25),
        ),
    )


def back_to(database: store.Database, revision: str) -> None:
    """Take the tables back to those of an earlier version, with the rows that are in them."""
    with database.engine.begin() as connection:
        command.downgrade(migrate._config(connection), revision)


def series_record(**changes: Any) -> store.SeriesRecord:
    """Make the record of the series SERIES in the study STUDY."""
    values: dict[str, Any] = {
        "patient_id": "A-0042",
        "patient_name": "Doe^Jane",
        "patient_birth_date": date(1960, 2, 29),
        "patient_sex": "F",
        "study_instance_uid": STUDY,
        "study_date": date(2024, 5, 6),
        "series_instance_uid": SERIES,
        "modality": "MR",
        "series_description": "T1 3D Gd",
    }
    return store.SeriesRecord(**(values | changes))


def queued_job(database: store.Database, *, study: str = STUDY, series: str = SERIES, **changes: Any) -> Job:
    """Queue a job."""
    values: dict[str, Any] = {"selection": {"chosen": series, "candidates": []}, "outputs": ["SEG", "RTSTRUCT"]}
    return store.create_job(database, study_instance_uid=study, series_instance_uid=series, **(values | changes))


_pids = itertools.count(1_000_000)


def new_worker(database: store.Database) -> int:
    """Enter a worker that has its model."""
    worker = store.worker_started(database, pid=next(_pids))
    store.worker_ready(database, worker, model=MODEL, device="cpu")
    return worker


def running_job(database: store.Database, worker: int, *, state: str = "segmenting", **changes: Any) -> Job:
    """Queue a job and let the worker take it to this state."""
    job = queued_job(database, **changes)
    assert store.claim_job(database, job.job_id, worker)
    assert store.advance(database, job.job_id, worker, state=state, fraction=0.5)
    return store.get_job(database, job.job_id)


def written_results(job_id: str) -> list[store.ResultRecord]:
    """Give the result series of a job, made up from its id."""
    number = int(job_id.replace("-", "")[:12], 16)
    return [
        store.ResultRecord(kind, f"2.25.{number}{n}", f"2.25.{number}{n}1") for n, kind in ((1, "SEG"), (2, "RTSTRUCT"))
    ]


def written_series(job_id: str) -> dict[str, str]:
    """Give kind -> SeriesInstanceUID of the same."""
    return {result.kind: result.series_instance_uid for result in written_results(job_id)}


def finish(database: store.Database, job: Job, worker: int, lesions: list[Lesion], **changes: Any) -> list[str]:
    """Take a running job through writing to done; give the series it replaces."""
    written = changes.pop("written", written_results(job.job_id))
    store.plan_results(database, job.job_id, worker, written)
    assert store.advance(database, job.job_id, worker, state="writing", fraction=0.9)
    values: dict[str, Any] = {
        "series": series_record(series_instance_uid=job.series_instance_uid),
        "slices": SLICES,
        "lesions": lesions,
        "model": MODEL,
        "written": written,
        "timings": TIMINGS,
        "label_map": None,
        "pictures": {},
        "content": None,
        "following": None,
    }
    return store.record_outcome(database, job.job_id, worker, **(values | changes))


def done_job(database: store.Database, worker: int, lesions: list[Lesion], **changes: Any) -> Job:
    """Queue, run and finish a job."""
    job = running_job(database, worker, **changes)
    finish(database, job, worker, lesions)
    return store.get_job(database, job.job_id)


def at_once(count: int, *calls: Callable[[], T]) -> list[T]:
    """Call each of these in as many threads, all at one moment; give what they gave."""
    gate = threading.Barrier(count * len(calls))

    def call(one: Callable[[], T]) -> T:
        gate.wait()
        return one()

    with ThreadPoolExecutor(count * len(calls)) as threads:
        return list(threads.map(call, [*calls] * count))


def count_in_threads(database: store.Database, threads: int, times: int) -> int:
    """Have threads read a number and write it plus one, so many times each; give what it is in the end."""
    with database.writing() as session:
        session.add(Patient(patient_id="counter", patient_name="0"))

    def count() -> None:
        for _ in range(times):
            with database.writing() as session:
                patient = session.query(Patient).one()
                patient.patient_name = str(int(patient.patient_name) + 1)

    at_once(threads, count)
    with database.reading() as session:
        return int(session.query(Patient).one().patient_name)
