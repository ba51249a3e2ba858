"""The database on PostgreSQL and the queue on Redis or PostgreSQL, as several machines use them: the real servers."""

import multiprocessing
import re
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from pydicom import Dataset
from pydicom.uid import generate_uid
from sqlalchemy import inspect, text
from sqlalchemy.exc import OperationalError

from BDD import database as connections
from BDD import migrate, rethread_store, store
from BDD.models import Base, Patient
from jobs import JobQueue
from rano.history import Rules
from services.runner import Worker
from services.worker import HEARTBEAT_SECONDS
from settings import SettingsError
from tests import factory
from tests.factory import Sphere
from tests.followup_factory import patient_key, sized, visit
from tests.jobs_factory import MemoryArchive, PredictorStub
from tests.store_factory import at_once, back_to, count_in_threads, new_worker, queued_job
from tests.system.conftest import RunningOrthanc
from tests.system.processes import ServerSite
from tests.system.servers import PostgreSQL, Redis, find_postgresql, find_redis, running

T = TypeVar("T")

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(find_postgresql() is None, reason="PostgreSQL is not installed"),
    pytest.mark.skipif(find_redis() is None, reason="Redis is not installed"),
]


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[PostgreSQL, Redis]]:
    with running() as both:
        yield both


@pytest.fixture(scope="module")
def migrated(servers: tuple[PostgreSQL, Redis]) -> str:
    """Give the name of a database with the newest tables, to be copied."""
    name = servers[0].new_database()
    migrate.upgrade(servers[0].url(name))
    return name


@pytest.fixture
def url(servers: tuple[PostgreSQL, Redis], migrated: str) -> str:
    """Give the address of a database of its own."""
    return servers[0].url(servers[0].new_database(migrated))


@pytest.fixture
def database(url: str) -> Iterator[store.Database]:
    database = store.open_database(url)
    yield database
    database.dispose()


@pytest.fixture(params=["redis", "postgresql"])
def queue_url(request: pytest.FixtureRequest, servers: tuple[PostgreSQL, Redis]) -> str:
    """Give the address of an empty queue of each kind."""
    if request.param == "postgresql":
        return servers[0].url(servers[0].new_database())
    return servers[1].new_url()


# -- The database --------------------------------------------------------------------------------------------------


def test_an_empty_database_is_migrated_by_whoever_starts_first(servers: tuple[PostgreSQL, Redis]) -> None:
    url = servers[0].url(servers[0].new_database())
    with multiprocessing.get_context("spawn").Pool(2) as pool:  # Alembic knows one migration in a process
        pool.map(migrate.upgrade, [url] * 3, chunksize=1)
    engine = store.open_database(url).engine
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, Base.metadata) == []
        conditions = connection.scalars(text("SELECT indexdef FROM pg_indexes WHERE indexdef LIKE '% WHERE %'")).all()
        assert len(conditions) == 2, "a series has one open job, a study one that runs"
    with engine.begin() as connection:
        command.downgrade(migrate._config(connection), "base")
    assert inspect(engine).get_table_names() == ["alembic_version"]
    engine.dispose()


def test_lesions_of_an_earlier_version_get_their_numbers(database: store.Database, url: str) -> None:
    visit(database, new_worker(database), 1, [sized(1, 20.0), sized(2, 15.0)])
    back_to(database, "0015")
    migrate.upgrade(url)
    for table in ("lesions", "tracked_lesions"):
        with database.reading() as session:
            assert session.scalars(text(f"SELECT number FROM {table} ORDER BY id")).all() == [1, 2]


def test_writers_wait_for_each_other(database: store.Database) -> None:
    """Read, then write what was read plus one: without the lock at the start some of these would be lost."""
    assert count_in_threads(database, 4, 10) == 40


def test_a_writer_does_not_wait_for_ever(database: store.Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "BUSY_TIMEOUT_MS", 50)
    with database.writing() as session:
        session.add(Patient(patient_id="1", patient_name=""))
        session.flush()
        with pytest.raises(OperationalError, match="SQLSTATE 55P03"):
            new_worker(database)


def test_a_reader_sees_one_moment_and_waits_for_nobody(database: store.Database) -> None:
    with database.reading() as reader:
        assert reader.query(Patient).count() == 0
        with database.writing() as session:
            session.add(Patient(patient_id="1", patient_name=""))
        assert reader.query(Patient).count() == 0
    with database.reading() as reader:
        assert reader.query(Patient).count() == 1


def test_a_patient_is_followed_again_once(database: store.Database) -> None:
    """The mark is compared with what was read: a time that came back as another would stay for ever."""
    worker = new_worker(database)
    for number in (1, 2, 3):
        visit(database, worker, number, [sized(1, 20.0)])
    store.forget_study(database, "1.2.3.2")
    rethread_store.follow_again(database)
    with database.reading() as session:
        assert session.query(Patient).one().unfollowed_at is None


def test_times_come_back_in_utc(database: store.Database) -> None:
    job = queued_job(database)
    known = store.get_job(database, job.job_id)
    assert known.created_at == job.created_at
    assert known.created_at.utcoffset() == job.created_at.utcoffset(), "the server's own zone is another"


def test_an_error_quotes_no_row(database: store.Database) -> None:
    with pytest.raises(Exception, match="SQLSTATE 23505") as caught, database.writing() as session:
        session.add_all(Patient(patient_id="A-0042", patient_name="Doe^Jane") for _ in range(2))
    assert "A-0042" not in str(caught.value)
    assert "A-0042" not in str(caught.value.__cause__)


def test_a_patient_and_a_network_are_entered_once(database: store.Database) -> None:
    workers = at_once(3, partial(new_worker, database))
    jobs = at_once(1, *(partial(visit, database, worker, worker, [sized(1, 20.0)]) for worker in workers))
    assert [job.state for job in jobs] == ["done"] * 3
    assert len({job.model_key for job in jobs}) == 1
    assert len(store.load_timeline(database, patient_key(database), Rules()).visits) == 3


# -- Jobs ----------------------------------------------------------------------------------------------------------


def test_each_job_is_claimed_once(database: store.Database) -> None:
    workers = [new_worker(database) for _ in range(4)]
    for number in range(5):
        job_id = queued_job(database, study=f"1.2.{number}", series=f"1.2.{number}.1").job_id
        claims = at_once(1, *(partial(store.claim_job, database, job_id, worker) for worker in workers))
        (claimed,) = [claim for claim in claims if claim is not None]
        known = store.get_job(database, job_id)
        assert (known.attempts, known.worker_key) == (1, claimed.worker_key)


A, B, C = factory.LESIONS


def visit_datasets(number: int, lesions: tuple[Sphere, ...]) -> list[Dataset]:
    """Make a visit of one patient, in one frame of reference."""
    return factory.series_datasets(
        factory.volume(lesions=lesions, seed=number),
        study_date=f"2024{number:02}08",
        study_instance_uid=f"1.2.3.{number}",
        series_instance_uid=f"1.2.3.{number}.1",
        frame_of_reference_uid="1.2.3",
    )


class Site:
    """A worker on real servers, in this process; archive and network are made up."""

    def __init__(self, database: store.Database, queue_url: str, datasets: list[Dataset]) -> None:
        self.database, self.api = database, JobQueue(queue_url)
        archive, predictor, number = MemoryArchive(*datasets), PredictorStub(), new_worker(database)
        self.worker = Worker(database, queue_url, archive, lambda _: predictor, number, (0.0,), Rules())  # type: ignore[arg-type, return-value]

    def post(self, number: int) -> str:
        """Do as the API does for a visit."""
        job = queued_job(self.database, study=f"1.2.3.{number}", series=f"1.2.3.{number}.1")
        self.api.enqueue(job.job_id)
        return job.job_id

    def serve(self) -> None:
        """Do what is in the queue."""
        huey = self.worker.queue.huey
        while task := huey.dequeue():
            huey.execute(task)

    def close(self) -> None:
        self.api.close()
        self.worker.queue.close()


def test_two_visits_are_followed_and_a_decision_is_taken_back(
    database: store.Database, servers: tuple[PostgreSQL, Redis]
) -> None:
    grown = Sphere(A.centre_lps, 9.0)
    datasets = [*visit_datasets(1, (A, B)), *visit_datasets(2, (grown, B, C))]
    site = Site(database, servers[1].new_url(), datasets)
    for number in (1, 2):
        job_id = site.post(number)
        assert site.worker.queue.waiting() == {job_id}
        site.serve()
        job = store.get_job(database, job_id)
        assert (job.state, job.problem) == ("done", None)
    timeline = store.load_timeline(database, patient_key(database), Rules())
    assert [[size is not None for size in lesion.sizes] for lesion in timeline.lesions] == [[True, True]] * 2 + [
        [False, True]
    ]

    lesion = timeline.lesions[0]
    store.edit_lesion(database, lesion.key, {"name": "left frontal"}, version=lesion.version, made_by="ana")
    with pytest.raises(store.EditConflictError):
        store.edit_lesion(database, lesion.key, {"name": "right"}, version=lesion.version, made_by="ben")
    site.worker.recover()  # names are written into what the archive has
    site.serve()
    assert {job.state for job in store.list_jobs(database)} == {"done"}
    assert [job.purpose for job in store.list_jobs(database)].count("relabel") == 2
    (change,) = store.list_changes(database, timeline.patient_key)
    store.undo_change(database, change.id, made_by="ben")
    assert store.load_timeline(database, timeline.patient_key, Rules()).lesions[0].name == lesion.name
    site.close()


def test_texts_that_break_the_rules(database: store.Database, url: str) -> None:
    """SQLite keeps any text; PostgreSQL counts characters. The queue is in the same database."""
    datasets = visit_datasets(1, (A,))
    for dataset in datasets:
        dataset.PatientID, dataset.PatientSex, dataset.SeriesDescription = "7" * 100, "not to be known", "T1 Gd"
    site = Site(database, url, datasets)
    site.post(1)
    site.serve()
    assert [(job.state, job.problem) for job in store.list_jobs(database)] == [("done", None)]
    assert store.list_patients(database)[0].patient_id == "7" * 100
    site.close()


# -- The queue -----------------------------------------------------------------------------------------------------


def test_the_queue_is_made_by_whoever_starts_first(queue_url: str) -> None:
    queues = at_once(6, partial(JobQueue, queue_url))
    for queue in queues:
        queue.close()


def test_each_id_is_taken_once_and_later_ones_later(queue_url: str) -> None:
    ran: list[str] = []
    api, *workers = JobQueue(queue_url), JobQueue(queue_url, ran.append), JobQueue(queue_url, ran.append)
    for number in range(10):
        api.enqueue(f"job {number}")
    api.enqueue("later", delay=60)

    def serve(queue: JobQueue) -> None:
        while task := queue.huey.dequeue():
            queue.huey.execute(task)

    at_once(1, *(partial(serve, worker) for worker in workers))
    assert sorted(ran) == [f"job {number}" for number in range(10)]
    assert api.waiting() == {"later"}
    for queue in (api, *workers):
        queue.close()


def test_a_queue_that_cannot_be_used_says_so_without_the_password(queue_url: str) -> None:
    with pytest.raises(SettingsError, match=r"the queue of QUEUE_URL cannot be used: .*password") as caught:
        JobQueue(queue_url.replace("@", "x@"))
    assert queue_url.split("@")[0].rsplit(":", 1)[1] not in str(caught.value)


def test_a_queue_that_is_away_stops_nobody(
    servers: tuple[PostgreSQL, Redis], queue_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    server = servers[1] if queue_url.startswith("redis") else servers[0]
    queue = JobQueue(queue_url)
    server.stop()
    queue.enqueue("first")
    assert "job first: not in the queue yet, which does not answer" in caplog.text
    server.start()
    queue.enqueue("second")
    assert queue.waiting() == {"second"}
    queue.close()


# -- All of it -----------------------------------------------------------------------------------------------------


def do_a_job(site: ServerSite, orthanc: RunningOrthanc) -> None:
    study = generate_uid()
    orthanc.archive.store(
        factory.series_datasets(study_instance_uid=study, series_instance_uid=generate_uid(), patient_id=generate_uid())
    )
    answer = site.post(study)
    job = answer.json()
    assert (answer.status_code, job["state"], job["attempts"]) == (200, "done", 1), job


def test_a_worker_outlives_its_servers(
    tmp_path: Path,
    orthanc: RunningOrthanc,
    tiny_model: Path,
    servers: tuple[PostgreSQL, Redis],
    url: str,
    queue_url: str,
) -> None:
    database_url = url.replace("postgresql", "postgresql+psycopg", 1)
    site = ServerSite(tmp_path, orthanc, tiny_model, DATABASE_URL=database_url, QUEUE_URL=queue_url)
    try:
        api, worker = site.start("api.py"), site.start("jobs.py")
        site.until(lambda: site.answers(api) and site.is_ready(worker), "API and worker are ready")
        do_a_job(site, orthanc)
        for server in servers:
            server.stop()
            time.sleep(2 * HEARTBEAT_SECONDS)
            server.start()
        do_a_job(site, orthanc)
        assert worker.poll() is None
        site.until(lambda: "heartbeat: all is well again" in site.log("jobs.py"), "the worker says that it is over")
        assert not re.search(r"(huey|heartbeat).*\nTraceback", site.log("jobs.py"))
        assert site.log("jobs.py").count("Error reading") <= 6, "a line for each outage, not for each try"
    finally:
        site.close()
