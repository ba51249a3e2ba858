"""Jobs from the queue to their end, through the real pipeline, with every fault that may stop them on the way."""

import copy
import itertools
import json
import os
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from sqlalchemy import insert, update
from sqlalchemy.exc import OperationalError

from BDD import database, rethread_store, store
from BDD.models import RUNNING_STATES, Job
from BDD.models import Worker as WorkerRow
from Orthanc.archive import ArchiveTimeoutError, ArchiveUnavailableError, StoreRejectedError
from rano.history import Rules
from results.context import derive_uid
from segmentation import SHARES, segment_study
from services.reporter import JobReporter
from services.runner import JUDGING_SECONDS, LOG_TRIES, Worker
from tests import factory, results_cases
from tests.jobs_factory import MODEL_SHA256, MemoryArchive, PredictorStub
from tests.store_factory import new_database, queued_job

MR = factory.series_datasets()
STUDY, SERIES = str(MR[0].StudyInstanceUID), str(MR[0].SeriesInstanceUID)
RUNNING_UNTIL_WRITING = ("fetching", "reading", "segmenting", "measuring")


class Site:
    """A database, a queue, an archive in memory, and workers on them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database = new_database(folder)
        self.archive = MemoryArchive(*MR)
        self.predictor: Any = PredictorStub()
        self.worker = self.new_worker()

    def new_worker(self, retry_delays=(0.0, 0.0), **changes) -> Worker:
        self.number = store.worker_started(self.database, pid=1)
        return Worker(
            self.database,
            f"sqlite:///{self.folder.as_posix()}/queue.db",
            self.archive,
            lambda _: self.predictor,
            self.number,
            retry_delays,
            Rules(),
            **changes,
        )

    def try_once(self) -> None:
        """Have a worker that tries no job a second time."""
        self.worker.queue.close()
        self.worker = self.new_worker(retry_delays=())

    def post(self, **changes) -> str:
        return queued_job(self.database, **({"study": STUDY, "series": SERIES} | changes)).job_id

    def run(self, **changes) -> str:
        job_id = self.post(**changes)
        self.worker.run_job(job_id)
        return job_id

    def job(self, job_id: str):
        return store.get_job(self.database, job_id)

    def results(self) -> set[str]:
        return self.archive.series() - {SERIES}


@pytest.fixture
def site(tmp_path):
    site = Site(tmp_path)
    yield site
    site.worker.queue.close()
    site.database.dispose()


def series_of(job_id: str) -> set[str]:
    return {derive_uid(job_id, "SEG series"), derive_uid(job_id, "RTSTRUCT series")}


def fail_at(method: str, *errors: BaseException):
    """Raise these, one at each call of the method; an endless row of the last when it is the only one."""
    waiting = list(errors)

    def fail(called: str) -> None:
        if called == method and waiting:
            raise waiting.pop(0) if len(errors) > 1 else waiting[0]

    return fail


# -- The good way ------------------------------------------------------------------------------------------------


def test_a_job_writes_and_records_everything(site):
    job = site.job(site.run())
    assert (job.state, job.fraction, job.problem, job.version) == ("done", 1.0, None, 1)
    assert site.results() == series_of(job.job_id)
    written = {result.sop_instance_uid for result in job.results if result.written_at}
    assert written == set(site.archive.instances) - {dataset.SOPInstanceUID for dataset in MR}
    assert len(job.lesions) == len(factory.LESIONS)
    assert job.lesions[0].first_sop_instance_uid in site.archive.instances
    assert (job.model.name, job.model.sha256) == ("stub", MODEL_SHA256)
    assert set(job.timings) == {"fetching", "reading", "segmenting", "measuring", "writing"}
    with site.database.reading() as session:
        patient = session.merge(job.series, load=True).study.patient
        assert (patient.patient_id, patient.patient_name) == ("TEST-001", "Test^Synthetic")


def test_a_second_job_is_a_new_version_with_the_same_lesions(site):
    first, second = site.job(site.run()), site.job(site.run())
    assert second.version == 2
    assert [lesion.tracking_uid for lesion in second.lesions] == [lesion.tracking_uid for lesion in first.lesions]
    assert site.results() == series_of(second.job_id), "the first version is taken out, and nothing else"
    assert all(result.retired_at for result in site.job(first.job_id).results)


def test_what_others_wrote_is_never_touched(site):
    foreign = results_cases.datasets()[0]
    foreign.StudyInstanceUID, foreign.Modality = STUDY, "RTSTRUCT"
    site.archive.instances[foreign.SOPInstanceUID] = foreign
    site.run()
    site.run()
    assert foreign.SOPInstanceUID in site.archive.instances


def test_the_order_is_store_commit_retire(site):
    site.run()
    seen = []

    def look(method: str) -> None:
        if method in ("store", "retire_series"):
            seen.append((method, store.list_jobs(site.database)[0].state))

    site.archive.fail = look
    site.run()
    assert seen == [*2 * [("store", "writing")], *2 * [("retire_series", "done")]]


def test_only_the_outputs_asked_for_and_the_replaced_ones_go_all_the_same(site):
    site.run()
    job_id = site.run(outputs=["SEG"])
    assert site.results() == {derive_uid(job_id, "SEG series")}


def test_a_series_without_lesions(site):
    site.run()
    finds_nothing(site)
    job = site.job(site.run())
    assert (job.state, job.lesions) == ("done", [])
    known = [lesion.name for lesion in store.earlier_lesions(site.database, SERIES)]
    assert len(known) == 3, "what was once there is known again should it be found again"
    assert site.results() == set(), "the lesions of the earlier version are not shown any more"


def finds_nothing(site):
    site.predictor.predict = lambda image, *_: SimpleNamespace(
        probability=image * 0, mask=image < 0, minimum_volume_mm3=5.0
    )


def test_progress_is_written_a_few_times_a_second_at_most(site, monkeypatch):
    noted = []

    def note(*_, state=None, fraction):
        noted.append((state, fraction))
        return True

    monkeypatch.setattr(store, "advance", note)
    clock = iter(number / 100 for number in range(10_000))
    monkeypatch.setattr("services.reporter.time.monotonic", lambda: next(clock))
    job: Any = SimpleNamespace(job_id="j", state="fetching")
    reporter = JobReporter(site.database, job, 1)
    reporter.stage("segmenting")
    for step in range(100):
        reporter.progress(step / 100)
    assert 2 < len(noted) < 10
    fractions = [fraction for _, fraction in noted]
    assert fractions == sorted(fractions)
    assert 0.12 <= fractions[0] <= fractions[-1] <= 0.85


def test_the_percentages_of_the_stages_follow_each_other():
    assert tuple(SHARES) == RUNNING_STATES
    begins_and_ends = list(SHARES.values())
    assert begins_and_ends[0][0] == 0.0
    assert begins_and_ends[-1][1] == 1.0
    assert all(one[1] == next_one[0] for one, next_one in itertools.pairwise(begins_and_ends))


# -- The archive ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["list_series", "fetch_series", "store"])
@pytest.mark.parametrize(
    ("error", "status"), [(ArchiveUnavailableError("GET /x: refused"), 502), (ArchiveTimeoutError("GET /x: 30 s"), 504)]
)
def test_an_archive_that_comes_back(site, method, error, status):
    site.archive.fail = fail_at(method, error, error)
    job_id = site.run()
    job = site.job(job_id)
    assert (job.state, job.attempts, job.problem["status"]) == ("queued", 1, status)
    assert "GET /x" in job.problem["detail"]
    assert site.results() == set()
    assert job_id in site.worker.queue.waiting()

    site.worker.run_job(job_id)
    site.worker.run_job(job_id)
    job = site.job(job_id)
    assert (job.state, job.attempts, job.problem) == ("done", 3, None)
    assert site.results() == series_of(job_id)


def test_an_archive_that_stays_away(site):
    site.archive.fail = fail_at("fetch_series", ArchiveUnavailableError("GET /x: refused"))
    job_id = site.run()
    for _ in range(5):
        site.worker.run_job(job_id)
    job = site.job(job_id)
    assert (job.state, job.stage, job.attempts, job.problem["status"]) == ("failed", "fetching", 3, 502)

    site.archive.fail = lambda _: None
    store.retry(site.database, job_id)
    site.worker.run_job(job_id)
    assert site.job(job_id).state == "done"


def test_each_further_try_waits_longer(site):
    site.worker.queue.close()
    site.worker = site.new_worker(retry_delays=(100.0, 1000.0))
    site.archive.fail = fail_at("list_series", ArchiveUnavailableError("x"))
    job_id = site.post()
    waits = []
    for _ in range(2):
        site.worker.run_job(job_id)
        waits.append((site.job(job_id).not_before - datetime.now(UTC)).total_seconds())
        now_due(site, job_id)
    assert waits == pytest.approx([100, 1000], abs=5)
    due = [task.eta.replace(tzinfo=UTC) - datetime.now(UTC) for task in site.worker.queue.huey.pending()]
    assert [delay.total_seconds() for delay in due] == pytest.approx([100, 1000], abs=5)


def now_due(site, job_id):
    with site.database.writing() as session:
        session.get(Job, site.job(job_id).id).not_before = datetime.now(UTC)


def test_a_job_that_is_to_wait_is_not_taken_early(site):
    site.worker.queue.close()
    site.worker = site.new_worker(retry_delays=(100.0,))
    site.archive.fail = fail_at("list_series", ArchiveUnavailableError("x"))
    job_id = site.run()
    site.worker.run_job(job_id)
    assert site.job(job_id).attempts == 1


def test_a_study_that_is_deleted_while_it_is_segmented_does_not_come_back_with_results(site):
    site.predictor.during = site.archive.instances.clear
    job = site.job(site.run())
    assert (job.state, job.problem["type"]) == ("failed", "urn:metia:problem:series-not-found")
    assert site.archive.instances == {}


def test_a_study_that_is_corrected_while_it_is_segmented_is_segmented_again(site):
    corrected = copy.deepcopy(MR)
    for dataset in corrected:
        dataset.PatientID = "RIGHT-ID"
    site.predictor.during = lambda: site.archive.instances.update({one.SOPInstanceUID: one for one in corrected})
    job_id = site.run()
    job = site.job(job_id)
    assert (job.state, job.problem["type"]) == ("queued", "urn:metia:problem:series-changed")
    assert site.results() == set()

    site.worker.run_job(job_id)
    assert site.job(job_id).state == "done"
    assert {one.PatientID for one in site.archive.instances.values()} == {"RIGHT-ID"}


def test_results_that_are_refused(site):
    site.archive.fail = fail_at("store", StoreRejectedError("POST /studies: 1 of 2"))
    job = site.job(site.run())
    assert (job.state, job.stage, job.problem["type"]) == ("failed", "writing", "urn:metia:problem:store-rejected")
    assert job.lesions == []
    assert site.results() == set()


@pytest.mark.parametrize(
    ("error", "state"), [(StoreRejectedError("no"), "failed"), (ArchiveUnavailableError("gone"), "queued")]
)
def test_the_first_result_is_known_at_once_and_no_more_when_the_rest_fails(site, error, state):
    seen: list[set[str]] = []

    def refuse_the_second(method: str) -> None:
        if site.archive.calls.count("store") == 2 and method == "store":
            seen.append({one.kind for one in site.job(job_id).results if one.written_at})
            raise error

    site.archive.fail = refuse_the_second
    job_id = site.post()
    site.worker.run_job(job_id)
    assert seen == [{"SEG"}]
    job = site.job(job_id)
    assert (job.state, job.lesions) == (state, [])
    assert not any(one.written_at and not one.retired_at for one in job.results)
    assert site.results() == (set() if state == "failed" else {derive_uid(job_id, "SEG series")})
    if state == "queued":  # what it is about to write again is left there, and said to be there no more
        site.worker.run_job(job_id)
        assert site.job(job_id).state == "done"
        assert site.results() == series_of(job_id)


def test_what_a_failed_store_left_is_taken_out_once_the_archive_is_back(site):
    """The archive took the objects, then died before it said so, and before anybody could take them out."""
    stored: list[bool] = []

    def die_after_storing(method: str) -> None:
        if method == "store" and not stored:
            stored.append(True)
            for uid in series_of(job_id):
                site.archive.instances[uid] = ours(job_id, uid)
        if stored:
            raise ArchiveUnavailableError("gone")

    site.try_once()
    job_id = site.post()
    site.archive.fail = die_after_storing
    site.worker.run_job(job_id)
    assert site.job(job_id).state == "failed"
    assert len(site.results()) == 2

    site.archive.fail = lambda _: None
    site.worker.tidy()
    assert site.results() == set()
    assert store.results_to_retire(site.database) == []


def test_what_arrives_after_its_job_has_failed_is_taken_out_too(site):
    """A store that nobody waited for any longer: the archive gets it minutes after it was looked for in vain."""
    site.try_once()
    site.archive.fail = fail_at("store", ArchiveTimeoutError("no answer"))
    job_id = site.run()
    assert site.job(job_id).state == "failed"
    site.worker.tidy()
    assert store.results_to_retire(site.database, confirmed=True) == [], "nobody waits for what may never come"

    for uid in series_of(job_id):
        site.archive.instances[uid] = ours(job_id, uid)
    site.worker.tidy()
    assert site.results() == set()
    assert store.results_to_retire(site.database) == []


def test_what_never_arrives_is_not_looked_for_for_ever(site):
    site.try_once()
    site.archive.fail = fail_at("store", ArchiveTimeoutError("no answer"))
    job_id = site.run()
    for minutes, looked_for in ((9, series_of(job_id)), (11, set())):
        with site.database.writing() as session:
            session.execute(update(Job).values(finished_at=datetime.now(UTC) - timedelta(minutes=minutes)))
        site.worker.tidy()
        assert set(store.results_to_retire(site.database)) == looked_for


def ours(job_id: str, series_uid: str):
    """Make an instance as the pipeline would have stored it."""
    reference = MemoryArchive(*MR)
    predictor: Any = PredictorStub()
    outcome = segment_study(reference, predictor, job_id=job_id, study_instance_uid=STUDY, series_instance_uid=SERIES)
    return next(one for one in outcome.objects.values() if one.SeriesInstanceUID == series_uid)


def test_a_version_that_cannot_be_taken_out_now_is_taken_out_later(site):
    first = site.run()
    site.archive.fail = fail_at("retire_series", ArchiveUnavailableError("gone"))
    second = site.run()
    assert site.job(second).state == "done"
    assert site.results() == series_of(first) | series_of(second)
    site.archive.fail = lambda _: None
    site.worker.tidy()
    assert site.results() == series_of(second)


def test_what_goes_wrong_in_following_ends_neither_the_worker_nor_the_taking_out(site, monkeypatch, caplog):
    def fail(_):
        raise RuntimeError("nobody foresaw this")

    site.run()
    monkeypatch.setattr(rethread_store, "follow_again", fail)
    second = site.run()
    assert site.job(second).state == "done"
    assert site.results() == series_of(second)
    (record,) = caplog.records
    assert "visits that have changed are followed again later" in record.getMessage()
    assert "RuntimeError: nobody foresaw this" in caplog.text, "with its traceback"


def test_a_log_that_could_not_be_emptied_is_emptied_in_tidying(site, monkeypatch, caplog):
    monkeypatch.setattr("BDD.database.LOG_TIMEOUT_MS", 1)
    site.run()
    files = [site.folder / "metia.db", site.folder / "metia.db-wal"]
    with site.database.reading() as backup:
        assert backup.query(Job).count() == 1
        assert store.forget_study(site.database, STUDY)
        caplog.clear()
        for _ in range(LOG_TRIES):
            site.worker.tidy()
        assert any(b"Synthetic" in file.read_bytes() for file in files)
    (told,) = (one.getMessage() for one in caplog.records)
    assert "forgotten" in told
    site.worker.tidy()
    assert not any(b"Synthetic" in file.read_bytes() for file in files)


def test_an_archive_that_breaks_in_tidying_does_not_end_the_worker(site):
    site.run()
    site.archive.fail = fail_at("retire_series", *[ArchiveUnavailableError("gone")] * 9)
    site.archive.check = lambda: 1 / 0
    assert site.job(site.run()).state == "done"
    site.worker.tidy()


def test_an_archive_that_is_away_is_not_waited_for_once_for_each_series(site):
    site.run()
    site.run()
    site.archive.fail = lambda method: 1 / 0 if method in ("retire_series", "check") else None
    site.run()
    before = site.archive.calls.count("retire_series")
    site.worker.tidy()
    assert len(store.results_to_retire(site.database)) == 2
    assert site.archive.calls.count("retire_series") == before + 1


def test_one_that_can_never_be_taken_out_holds_up_no_other(site):
    first = site.run()
    stuck = min(series_of(first))
    retire = site.archive.retire_series

    def fails(uid):
        if uid == stuck:
            raise ValueError("a header nobody can read")
        retire(uid)

    site.archive.retire_series = fails
    second = site.run()
    assert site.results() == {stuck} | series_of(second)
    assert store.results_to_retire(site.database) == [stuck]


def tidy_while_another_tries_again(site, job_id):
    """Have the worker tidy up; as it takes the first series out, the job is tried again by another, which is given."""
    retire, other = site.archive.retire_series, site.new_worker()

    def retire_slowly(uid):
        if site.job(job_id).state == "failed":
            store.retry(site.database, job_id)
            other.run_job(job_id)
        retire(uid)

    site.archive.fail = lambda _: None
    site.archive.retire_series = retire_slowly
    site.worker.tidy()
    return other


def test_what_another_worker_writes_again_is_not_taken_out(site):
    """A job fails half way, and is tried again by another worker while the first looks after another series."""
    earlier = site.run()
    site.archive.fail = fail_at("retire_series", ArchiveUnavailableError("gone"))
    site.run()
    site.archive.fail = lambda method: refuse_the_second(method)

    def refuse_the_second(method: str) -> None:
        if method == "retire_series" or (method == "store" and site.archive.calls.count("store") % 2 == 0):
            raise StoreRejectedError("no")

    job_id = site.run()
    assert {*store.results_to_retire(site.database)} == series_of(earlier) | series_of(job_id)
    tidy_while_another_tries_again(site, job_id)
    assert site.job(job_id).state == "done"
    assert site.results() == series_of(job_id)
    assert not any(one.retired_at for one in site.job(job_id).results)


def test_a_job_that_is_tried_again_waits_until_what_it_left_is_taken_out(site):
    """It is tried again, and another worker free for it, while its result is on its way out of the archive."""

    def refuse_the_second(method: str) -> None:
        if method == "retire_series" or (method == "store" and site.archive.calls.count("store") == 2):
            raise StoreRejectedError("no")

    site.archive.fail = refuse_the_second
    job_id = site.run()
    assert len(site.results()) == 1
    other = tidy_while_another_tries_again(site, job_id)
    assert (site.job(job_id).state, site.results()) == ("queued", set())
    other.run_job(job_id)
    assert site.job(job_id).state == "done"
    assert site.results() == series_of(job_id)


def test_a_worker_that_died_while_it_took_something_out_holds_up_no_job(site):
    def refuse(method: str) -> None:
        if method == "retire_series" or (method == "store" and site.archive.calls.count("store") == 2):
            raise StoreRejectedError("no")

    site.archive.fail = refuse
    job_id = site.run()
    (left,) = site.results()
    other = site.new_worker()
    assert store.begin_retiring(site.database, left, site.number)
    site.archive.fail = lambda _: None
    site.worker.tidy()
    assert site.results() == {left}, "one worker at a time"
    store.retry(site.database, job_id)
    site.worker.run_job(job_id)
    assert site.job(job_id).state == "queued"
    store.worker_stopped(site.database, site.number)
    site.worker.run_job(job_id)
    assert site.results() == series_of(job_id)
    other.queue.close()


def test_what_a_waiting_job_writes_again_is_not_taken_out(site):
    site.archive.fail = fail_at("store", ArchiveUnavailableError("gone"))
    site.run()
    assert "retire_series" not in site.archive.calls


def test_a_result_that_somebody_made_his_own_is_let_go(site):
    first = site.run()
    for dataset in site.archive.instances.values():
        if dataset.SeriesInstanceUID in series_of(first):
            del dataset.ContributingEquipmentSequence
    site.run()
    assert series_of(first) <= site.results()
    assert store.results_to_retire(site.database) == []


# -- The series ----------------------------------------------------------------------------------------------------


def test_a_missing_slice_fails_with_its_millimetres(site):
    position = sorted(MR, key=lambda dataset: float(dataset.ImagePositionPatient[2]))
    del site.archive.instances[position[10].SOPInstanceUID]
    job = site.job(site.run())
    assert (job.state, job.stage, job.problem["status"]) == ("failed", "reading", 422)
    assert "mm" in job.problem["detail"]
    assert job.attempts == 1, "it will not be better the next time"


def test_an_unknown_study(site):
    job = site.job(site.run(study="1.2.3.4", series="1.2.3.4.5"))
    assert (job.state, job.problem["status"]) == ("failed", 404)


def test_an_unforeseen_error_shows_nothing_of_its_inside(site, caplog):
    def burst():
        raise KeyError("secret of the house")

    site.predictor.during = burst
    job = site.job(site.run())
    assert (job.state, job.stage, job.problem["status"]) == ("failed", "segmenting", 500)
    assert "secret" not in json.dumps(job.problem)
    assert "secret of the house" in caplog.text


# -- The database --------------------------------------------------------------------------------------------------


def test_a_commit_that_fails_leaves_nothing_in_the_archive(site, monkeypatch):
    site.try_once()
    first = site.run()

    def fail(*_args, **_kwargs):
        assert len(site.results()) == 4, "the new objects are stored already"
        raise OperationalError("INSERT", {}, sqlite3.OperationalError("disk I/O error"))

    with monkeypatch.context() as patch:
        patch.setattr(store, "record_outcome", fail)
        job_id = site.run()
    job = site.job(job_id)
    assert (job.state, job.stage, job.problem["type"]) == ("failed", "writing", "urn:metia:problem:database")
    assert site.results() == series_of(first), "the earlier version is there as before"
    assert len(store.earlier_lesions(site.database, SERIES)) == len(factory.LESIONS)

    store.retry(site.database, job_id)
    site.worker.run_job(job_id)
    assert site.results() == series_of(job_id)


def test_a_database_that_is_gone_is_recovered_from(site, monkeypatch):
    """Neither the outcome nor the failure can be noted: the job is found when the database is back."""

    def fail(*_args, **_kwargs):
        raise OperationalError("INSERT", {}, sqlite3.OperationalError("disk I/O error"))

    with monkeypatch.context() as patch:
        patch.setattr(store, "record_outcome", fail)
        patch.setattr(store, "requeue", fail)
        job_id = site.run()
    assert site.job(job_id).state == "writing"
    site.worker.recover()
    assert site.job(job_id).state == "queued"
    site.worker.run_job(job_id)
    assert site.job(job_id).state == "done"
    assert site.results() == series_of(job_id), "the same objects, once"


def test_a_database_that_is_locked_for_a_moment(site, monkeypatch, caplog):
    monkeypatch.setattr(database, "BUSY_TIMEOUT_MS", 50)
    site.database.dispose()
    lock = sqlite3.connect(site.folder / "metia.db", isolation_level=None)
    requeue = store.requeue

    def requeue_afterwards(*args, **kwargs):
        lock.execute("ROLLBACK")
        requeue(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(store, "requeue", requeue_afterwards)
        patch.setattr(site.predictor, "during", lambda: lock.execute("BEGIN IMMEDIATE"))
        job_id = site.run()
    assert site.job(job_id).state == "queued"
    assert "(sqlite3.OperationalError) database is locked; tried again in 0 s" in caplog.text
    site.worker.run_job(job_id)
    assert site.job(job_id).state == "done"
    lock.close()


def test_no_patient_in_the_log(site, caplog):
    caplog.set_level("DEBUG")
    site.run()
    site.archive.fail = fail_at("store", StoreRejectedError("POST /studies: 1 of 2"))
    site.run()
    with pytest.raises(Exception, match="hidden") as caught, site.database.writing() as session:
        session.execute(insert(WorkerRow).values(host="Test^Synthetic", pid=None))
    assert "TEST-001" not in caplog.text
    assert "Synthetic" not in caplog.text + str(caught.value)


def test_looking_for_what_is_to_be_written_again_holds_no_job_up(site, monkeypatch):
    given = []

    def look(*_, seconds):
        given.append(seconds)
        return []

    monkeypatch.setattr(store, "queue_relabelling", look)
    site.worker.recover()
    site.worker.tidy()
    assert given == [JUDGING_SECONDS] * 2


# -- Cancelling ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", RUNNING_UNTIL_WRITING)
def test_cancelled_in_each_stage(site, state, monkeypatch):
    job_id = site.post()
    cancel_when(site, job_id, state, monkeypatch)
    site.worker.run_job(job_id)
    job = site.job(job_id)
    assert (job.state, job.lesions) == ("cancelled", [])
    assert "store" not in site.archive.calls
    assert site.results() == set()


def test_cancelled_too_late(site, monkeypatch):
    job_id = site.post()
    refusals = cancel_when(site, job_id, "writing", monkeypatch)
    site.worker.run_job(job_id)
    assert site.job(job_id).state == "done"
    assert site.results() == series_of(job_id)
    assert "writing its results" in str(refusals[0])


def cancel_when(site, job_id, state, monkeypatch):
    advance, refusals = store.advance, []

    def and_cancel(*args, **kwargs):
        answer = advance(*args, **kwargs)
        if kwargs.get("state") == state:
            try:
                store.request_cancel(site.database, job_id)
            except store.JobStateError as refusal:
                refusals.append(refusal)
        return answer

    monkeypatch.setattr(store, "advance", and_cancel)
    return refusals


def test_a_job_cancelled_in_the_queue_never_runs(site):
    job_id = site.post()
    store.request_cancel(site.database, job_id)
    site.worker.run_job(job_id)
    assert site.archive.calls == []


# -- Workers that die ----------------------------------------------------------------------------------------------


class PowerCut(BaseException):
    """Ends a worker where it stands, as kill -9 does: no except clause of ours sees it."""


def bury(site):
    with site.database.writing() as session:
        session.get(WorkerRow, site.number).seen_at = datetime.now(UTC) - timedelta(minutes=1)


@pytest.mark.parametrize("method", ["list_series", "fetch_series", "store"])
def test_killed_before_the_results_are_stored(site, method):
    job_id = site.post()
    site.archive.fail = fail_at(method, PowerCut())
    with pytest.raises(PowerCut):
        site.worker.run_job(job_id)
    after_restart(site, job_id)


def test_a_worker_whose_gpu_is_lost_ends_and_the_next_runs_the_job(site, monkeypatch, caplog):
    def ends(status: int) -> None:
        assert status != 0, "else nobody starts it again"
        raise PowerCut

    def fault() -> None:
        raise torch.AcceleratorError("CUDA error: unspecified launch failure\nmore of it")

    monkeypatch.setattr(os, "_exit", ends)
    job_id = site.post()
    site.predictor.during = fault
    with pytest.raises(PowerCut):
        site.worker.run_job(job_id)
    assert site.job(job_id).state == "segmenting"
    assert (
        "the GPU is lost, and the worker ends: AcceleratorError: CUDA error: unspecified launch failure" in caplog.text
    )
    site.predictor.during = lambda: None
    after_restart(site, job_id)


def test_killed_between_store_and_commit(site, monkeypatch):
    job_id = site.post()
    with monkeypatch.context() as patch:
        patch.setattr(store, "record_outcome", lambda *_, **__: (_ for _ in ()).throw(PowerCut()))
        with pytest.raises(PowerCut):
            site.worker.run_job(job_id)
    assert site.results() == series_of(job_id)
    after_restart(site, job_id)


def after_restart(site, job_id):
    """Let a new worker find the job and do it: everything is there once."""
    bury(site)
    site.archive.fail = lambda _: None
    site.worker.queue.close()
    site.worker = site.new_worker()
    site.worker.recover()
    assert site.worker.queue.waiting() == {job_id}
    site.worker.run_job(job_id)
    assert site.job(job_id).state == "done"
    assert site.results() == series_of(job_id)


def test_killed_between_store_and_commit_and_never_done(site, monkeypatch):
    """The series vanishes before the second try: what the first try stored is taken out."""
    job_id = site.post()
    with monkeypatch.context() as patch:
        patch.setattr(store, "record_outcome", lambda *_, **__: (_ for _ in ()).throw(PowerCut()))
        with pytest.raises(PowerCut):
            site.worker.run_job(job_id)
    for dataset in MR:
        del site.archive.instances[dataset.SOPInstanceUID]
    bury(site)
    site.worker = site.new_worker()
    site.worker.recover()
    site.worker.run_job(job_id)
    assert site.job(job_id).state == "failed"
    assert site.archive.instances == {}


def test_killed_between_store_and_commit_and_nothing_found_at_the_second_try(site, monkeypatch):
    """Another network, or other images, may find nothing: what the first try stored shows lesions of no version."""
    job_id = site.post()
    with monkeypatch.context() as patch:
        patch.setattr(store, "record_outcome", lambda *_, **__: (_ for _ in ()).throw(PowerCut()))
        with pytest.raises(PowerCut):
            site.worker.run_job(job_id)
    finds_nothing(site)
    bury(site)
    site.worker = site.new_worker()
    site.worker.recover()
    site.worker.run_job(job_id)
    assert (site.job(job_id).state, site.job(job_id).lesions) == ("done", [])
    assert site.results() == set()


@pytest.mark.parametrize(("delays", "attempts"), [((), 2), ((1.0,) * 5, 5)], ids=["never", "five times"])
def test_a_worker_that_dies_costs_a_job_no_more_than_one_try(site, delays, attempts):
    """However often an archive that does not answer is tried again."""
    job_id = site.post()
    assert store.claim_job(site.database, job_id, site.number)
    with site.database.writing() as session:
        session.get(Job, site.job(job_id).id).attempts = attempts
    bury(site)
    site.worker.queue.close()
    site.worker = site.new_worker(retry_delays=delays)
    site.worker.recover()
    assert site.job(job_id).state == "queued"


def test_killed_between_commit_and_retiring(site):
    first = site.run()
    second = site.post()
    site.archive.fail = fail_at("retire_series", PowerCut())
    with pytest.raises(PowerCut):
        site.worker.run_job(second)
    assert site.results() == series_of(first) | series_of(second), "nothing is lost"
    site.archive.fail = lambda _: None
    site.worker = site.new_worker()
    site.worker.tidy()
    assert site.results() == series_of(second)


def test_a_worker_that_was_only_asleep_does_no_harm(site):
    """Taken for dead while it segments; another worker does the job; then the first wakes up and goes on."""
    job_id = site.post()

    def sleep_long() -> None:
        site.predictor.during = lambda: None
        bury(site)
        other = site.new_worker()
        other.recover()
        other.run_job(job_id)

    site.predictor.during = sleep_long
    site.worker.run_job(job_id)
    job = site.job(job_id)
    assert (job.state, job.attempts) == ("done", 2)
    assert site.results() == series_of(job_id)


@pytest.mark.parametrize("call", [1, 2])
def test_a_worker_that_was_asleep_while_it_stored_takes_nothing_of_the_other_ones_away(site, call):
    """Taken for dead while it stores; the other worker's results have the same UIDs."""
    job_id = site.post()

    def sleep_long(method: str) -> None:
        if method == "store" and site.archive.calls.count("store") == call:
            site.archive.fail = lambda _: None
            bury(site)
            other = site.new_worker()
            other.recover()
            other.run_job(job_id)
            if call == 2:
                raise StoreRejectedError("too late")

    site.archive.fail = sleep_long
    site.worker.run_job(job_id)
    job = site.job(job_id)
    assert (job.state, job.attempts) == ("done", 2)
    assert site.results() == series_of(job_id)


def test_a_running_job_is_left_alone_by_recover(site):
    seen = []

    def look() -> None:
        site.worker.recover()
        seen.append(store.list_jobs(site.database)[0].state)

    site.predictor.during = look
    assert site.job(site.run()).state == "done"
    assert seen == ["segmenting"]


# -- The queue -----------------------------------------------------------------------------------------------------


def test_a_job_that_never_reached_the_queue_is_found(site):
    """The API ended between its commit and the queue."""
    job_id = site.post()
    assert site.worker.queue.waiting() == set()
    site.worker.recover()
    site.worker.recover()
    assert [task.args for task in site.worker.queue.huey.pending()] == [[job_id]]


def test_a_second_job_of_the_study_waits_for_the_first(site):
    second = site.post(series="1.2.3.9")
    first = site.post()
    site.predictor.during = lambda: site.worker.run_job(second)
    site.worker.run_job(first)
    assert site.job(first).state == "done"
    assert (site.job(second).state, site.job(second).attempts) == ("queued", 0)
    assert second in site.worker.queue.waiting()
