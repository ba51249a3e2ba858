"""Auto-routing on a made-up change log: what qualifies runs once, whatever happens, and nothing else does."""

import logging
import sqlite3
from typing import cast

import pytest
from pydicom.uid import generate_uid
from sqlalchemy.exc import OperationalError

import jobs
from BDD import store
from BDD.models import CANCELLED, RELABEL, SEGMENT
from Orthanc.archive import AmbiguousStudyError, ArchiveUnavailableError, StudyNotFoundError
from Orthanc.dicomweb import OrthancArchive
from Orthanc.rest import Change
from services import autoroute
from services.autoroute import AutoRouter
from settings import SettingsError, load_settings
from tests import factory
from tests.jobs_factory import MemoryArchive
from tests.store_factory import finish, new_database, new_worker, queued_job, running_job

FLAIR = "T2 FLAIR"


class LoggedArchive(MemoryArchive):
    """An archive with a change log, as Orthanc keeps one."""

    url = "http://orthanc.example"

    def __init__(self):
        super().__init__()
        self.log = []

    def arrive(self, *, study="", stable=True, **options):
        """Let a series come in; gives its SeriesInstanceUID."""
        options = {"study_instance_uid": study or generate_uid(), "series_instance_uid": generate_uid()} | options
        datasets = factory.series_datasets(**options)
        self.store(datasets)
        series = str(datasets[0].SeriesInstanceUID)
        for dataset in datasets:
            self.note("NewInstance", str(dataset.SOPInstanceUID))
        if stable:
            self.note("StableSeries", series)
        return series

    def note(self, kind, identifier):
        self.log.append(Change(len(self.log) + 1, kind, identifier))

    def study_of(self, series):
        return next(str(one.StudyInstanceUID) for one in self.instances.values() if one.SeriesInstanceUID == series)

    def last_change(self):
        self._called("last_change")
        return self.log[-1].sequence if self.log else 0

    def changes(self, since, limit=100):
        self._called("changes")
        return [one for one in self.log if one.sequence > since][:limit]

    def series_tags(self, identifier):
        self._called("series_tags")
        found = next((one for one in self.instances.values() if one.SeriesInstanceUID == identifier), None)
        names = ("StudyInstanceUID", "SeriesInstanceUID", "Modality")
        return found and {name: str(getattr(found, name)) for name in names}


class Hall:
    """A database, a queue, an archive, and workers that start and stop."""

    def __init__(self, folder):
        self.database = new_database(folder)
        self.queue = jobs.JobQueue(f"sqlite:///{folder.as_posix()}/queue.db")
        self.archive = LoggedArchive()
        self.restart()

    def restart(self):
        self.router = AutoRouter(self.database, self.queue, cast(OrthancArchive, self.archive))

    def read(self):
        while self.router.poll() == autoroute.BATCH:
            pass

    def ran(self):
        """SeriesInstanceUIDs of all jobs, the first asked for first."""
        return [job.series_instance_uid for job in reversed(store.list_jobs(self.database))]


@pytest.fixture
def hall(tmp_path):
    hall = Hall(tmp_path)
    hall.read()
    yield hall
    hall.queue.close()
    hall.database.dispose()


def test_what_qualifies_is_queued_once(hall):
    series = hall.archive.arrive()
    hall.read()
    hall.read()
    assert hall.ran() == [series]
    (job,) = store.list_jobs(hall.database)
    assert hall.queue.waiting() == {job.job_id}
    assert job.selection["named_by_caller"] is False
    assert job.outputs == ["SEG", "RTSTRUCT", "SR"]


def test_what_was_there_before_is_left_alone(tmp_path):
    hall = Hall(tmp_path)
    hall.archive.arrive()
    for _ in range(3):
        hall.read()  # nothing new: the log does not begin anew
    later = hall.archive.arrive()
    hall.read()
    assert hall.ran() == [later]


def test_a_restart_misses_nothing_and_repeats_nothing(hall):
    first = hall.archive.arrive()
    hall.read()
    second, third = hall.archive.arrive(), hall.archive.arrive()
    hall.restart()
    hall.read()
    assert hall.ran() == [first, second, third]


def test_a_crash_before_the_commit_loses_nothing(hall, monkeypatch):
    series = hall.archive.arrive()
    monkeypatch.setattr(store, "advance_log", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        hall.read()
    monkeypatch.undo()
    hall.restart()
    hall.read()
    assert hall.ran() == [series]


def test_a_crash_after_the_commit_repeats_nothing(hall, monkeypatch):
    series = hall.archive.arrive()
    monkeypatch.setattr(hall.queue, "enqueue", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        hall.read()
    hall.restart()
    hall.read()
    assert hall.ran() == [series]
    (job,) = store.list_jobs(hall.database)
    assert list(store.waiting_jobs(hall.database)) == [job.job_id], "a worker picks it up"


def test_two_workers_share_the_log(hall, monkeypatch):
    """The second reads the same entries while the first is deciding."""
    series = [hall.archive.arrive() for _ in range(3)]
    other = AutoRouter(hall.database, hall.queue, hall.archive)
    decide = hall.router._job_for

    def slowly(entry):
        decided = decide(entry)
        other.poll()
        return decided

    monkeypatch.setattr(hall.router, "_job_for", slowly)
    while hall.router.poll() == autoroute.BATCH:
        pass
    hall.read()
    assert sorted(hall.ran()) == sorted(series)


def test_never_our_own_nor_what_is_no_mr(hall):
    hall.archive.arrive(series_description=FLAIR)
    source = hall.archive.arrive()
    hall.read()
    assert hall.ran() == [source]
    for modality in ("SEG", "RTSTRUCT", "SR", "CT"):
        dataset = factory.series_datasets(study_instance_uid=hall.archive.study_of(source))[0]
        dataset.SeriesInstanceUID, dataset.SOPInstanceUID, dataset.Modality = generate_uid(), generate_uid(), modality
        hall.archive.store([dataset])
        hall.archive.note("StableSeries", str(dataset.SeriesInstanceUID))
    hall.read()
    assert hall.ran() == [source]


def test_an_mr_object_of_ours_is_left_alone(hall, monkeypatch):
    monkeypatch.setattr(autoroute, "is_ours", lambda _: True)
    hall.archive.arrive()
    hall.read()
    assert hall.ran() == []


def test_ambiguous_ones_are_left_alone_and_named(hall, caplog):
    caplog.set_level(logging.INFO)
    study = generate_uid()
    twins = [hall.archive.arrive(study=study, stable=False) for _ in range(2)]
    for series in twins:
        hall.archive.note("StableSeries", series)
    hall.read()
    assert hall.ran() == []
    assert f"series {twins[0]} is left alone: of its study" in caplog.text
    assert str(next(iter(hall.archive.instances.values())).PatientName) not in caplog.text
    assert str(next(iter(hall.archive.instances.values())).SeriesDescription) not in caplog.text


def test_a_study_of_several_patients_is_left_alone_at_once(hall, caplog):
    def refuse(method):
        if method == "list_series":
            raise AmbiguousStudyError("the archive holds it 2 times")

    hall.archive.fail = refuse
    hall.archive.arrive()
    hall.read()
    assert hall.ran() == []
    (told,) = caplog.messages
    assert "2 times" in told


def test_more_slices_than_before_are_a_new_series(hall):
    """A transfer that stalled was taken for complete; the whole of it is segmented all the same, and that once."""
    series = hall.archive.arrive()
    whole = dict(hall.archive.instances)
    for uid in list(whole)[:10]:
        del hall.archive.instances[uid]
    hall.read()
    for kept in (hall.archive.instances, whole, whole):
        for job in store.list_jobs(hall.database, states=["queued"]):  # an open job would be in the way by itself
            assert store.request_cancel(hall.database, job.job_id).state == CANCELLED
        hall.archive.instances = dict(kept)
        hall.archive.note("StableSeries", series)
        hall.read()
    assert hall.ran() == [series, series]


@pytest.fixture
def half(hall):
    """A series of which half has come and is queued; gives what lets the other half come in, and be complete."""
    series = hall.archive.arrive()
    whole = dict(hall.archive.instances)
    for uid in list(whole)[: len(whole) // 2]:
        del hall.archive.instances[uid]
    hall.read()

    def grow():
        hall.archive.instances |= whole
        hall.archive.note("StableSeries", series)
        hall.read()

    return grow


def last_job(hall):
    return store.list_jobs(hall.database, limit=1)[0]


@pytest.mark.parametrize("purpose", [SEGMENT, RELABEL])
def test_what_grows_while_it_is_worked_on_is_segmented_when_that_is_over(hall, half, purpose):
    worker = new_worker(hall.database)
    job = last_job(hall)
    assert store.claim_job(hall.database, job.job_id, worker)
    if purpose == RELABEL:
        finish(hall.database, job, worker, [])
        job = running_job(
            hall.database, worker, study=job.study_instance_uid, series=job.series_instance_uid, purpose=purpose
        )
    position = store.log_position(hall.database, hall.archive.url)
    half()
    other = hall.archive.arrive()
    hall.read()
    hall.restart()
    hall.read()
    assert last_job(hall).job_id == job.job_id
    assert store.log_position(hall.database, hall.archive.url) == position, "the entry is waited for"
    store.record_failure(hall.database, job.job_id, worker, store.Problem("t", "t", 500, "d"))
    hall.read()
    hall.read()
    assert hall.ran()[-2:] == [job.series_instance_uid, other]
    assert store.list_jobs(hall.database, limit=2)[1].selection["chosen"]["NumberOfSeriesRelatedInstances"] == 48


def test_what_grows_while_its_job_waits_is_fetched_whole_by_that(hall, half):
    job = last_job(hall)
    half()
    other = hall.archive.arrive()
    hall.read()
    assert hall.ran() == [job.series_instance_uid, other]


def test_what_grows_while_new_names_wait_is_segmented_instead(hall, half):
    worker = new_worker(hall.database)
    job = last_job(hall)
    assert store.claim_job(hall.database, job.job_id, worker)
    finish(hall.database, job, worker, [])
    renaming = queued_job(hall.database, study=job.study_instance_uid, series=job.series_instance_uid, purpose=RELABEL)
    half()
    assert store.get_job(hall.database, renaming.job_id).state == CANCELLED
    assert (last_job(hall).purpose, last_job(hall).state) == (SEGMENT, "queued")


def test_somebody_was_faster(hall):
    series = hall.archive.arrive()
    summary = {"NumberOfSeriesRelatedInstances": 1}
    store.create_job(
        hall.database,
        study_instance_uid=hall.archive.study_of(series),
        series_instance_uid=series,
        selection={"chosen": summary, "candidates": []},
        outputs=["SEG"],
    )
    hall.read()
    assert len(hall.ran()) == 1
    after = hall.archive.arrive()
    hall.read()
    assert hall.ran() == [series, after], "and the log goes on"


def test_an_archive_that_is_down_is_waited_for(hall):
    series = hall.archive.arrive()

    def down(_method):
        raise ArchiveUnavailableError("down")

    for method in ("changes", "series_tags", "list_series", "last_change"):
        hall.archive.fail = lambda called, method=method: down(called) if called in (method, "check") else None
        for _ in range(2 * autoroute.TRIES):
            with pytest.raises(ArchiveUnavailableError):
                hall.read()
    hall.archive.fail = lambda _: None
    hall.read()
    assert hall.ran() == [series]


@pytest.mark.parametrize("error", [ArchiveUnavailableError("something unexpected"), ValueError("DS: 'abc'")], ids=repr)
def test_one_series_that_cannot_be_described_holds_up_no_other(hall, error):
    bad, good = hall.archive.arrive(), hall.archive.arrive()
    describe = hall.archive.series_tags

    def fails(identifier):
        if identifier == bad:
            raise error
        return describe(identifier)

    hall.archive.series_tags = fails
    for _ in range(autoroute.TRIES - 1):
        with pytest.raises(type(error)):
            hall.read()
    hall.read()
    assert hall.ran() == [good]


def test_a_database_that_is_down_is_waited_for(hall, monkeypatch):
    def locked(*_):
        raise OperationalError("SELECT", {}, sqlite3.OperationalError("database is locked"))

    series = hall.archive.arrive()
    with monkeypatch.context() as patch:
        patch.setattr(store, "was_segmented", locked)
        for _ in range(2 * autoroute.TRIES):
            with pytest.raises(OperationalError):
                hall.read()
    hall.read()
    assert hall.ran() == [series]


def test_a_series_that_has_gone(hall):
    series, other = hall.archive.arrive(), hall.archive.arrive()
    for uid in [uid for uid, one in hall.archive.instances.items() if one.SeriesInstanceUID == series]:
        del hall.archive.instances[uid]
    hall.read()
    assert hall.ran() == [other]
    hall.archive.arrive()
    hall.archive.list_series = lambda _: (_ for _ in ()).throw(StudyNotFoundError("gone"))
    hall.read()
    assert hall.ran() == [other]


def test_an_archive_that_was_emptied_or_restored_is_read_from_its_end(hall):
    first = [hall.archive.arrive() for _ in range(2)]
    hall.read()
    old = hall.archive.arrive(stable=False)
    hall.archive.log.clear()
    hall.archive.note("StableSeries", old)
    assert hall.archive.last_change() < (store.log_position(hall.database, hall.archive.url) or 0)
    hall.read()
    assert hall.ran() == first
    later = hall.archive.arrive()
    hall.read()
    assert hall.ran() == [*first, later]


def test_what_comes_while_it_is_off_is_left_alone(hall):
    before = hall.archive.arrive()
    hall.read()
    store.end_log(hall.database, hall.archive.url)  # a worker has started with AUTO_SEGMENT=0
    hall.archive.arrive()
    hall.restart()
    hall.read()
    after = hall.archive.arrive()
    hall.read()
    assert hall.ran() == [before, after]


def test_a_worker_that_reads_on_loses_nothing_when_one_beside_it_starts_without(hall):
    store.end_log(hall.database, hall.archive.url)
    series = hall.archive.arrive()
    hall.read()
    assert hall.ran() == [series]


def test_two_that_begin_at_once_begin_at_one_place(hall):
    store.end_log(hall.database, hall.archive.url)
    assert [store.begin_log(hall.database, hall.archive.url, number) for number in (7, 9)] == [7, 7]
    assert store.log_position(hall.database, hall.archive.url) == 7


def test_who_was_overtaken_does_nothing_and_turns_nothing_back(hall):
    url = hall.archive.url
    job = {"study_instance_uid": "1.2", "series_instance_uid": "1.2.3", "selection": {}, "outputs": ["SEG"]}
    assert store.advance_log(hall.database, url, since=0, to=9) == (True, None)
    assert store.advance_log(hall.database, url, since=0, to=5, job=job) == (False, None)
    assert (store.log_position(hall.database, url), hall.ran()) == (9, [])


def test_each_archive_has_a_position_of_its_own(hall):
    url, other = hall.archive.url, "http://another.example"
    assert store.log_position(hall.database, other) is None
    assert store.begin_log(hall.database, other, 0) == 0
    assert store.advance_log(hall.database, url, since=0, to=9) == (True, None)
    assert store.log_position(hall.database, other) == 0
    store.end_log(hall.database, url)
    assert (store.log_position(hall.database, url), store.log_position(hall.database, other)) == (None, 0)


def test_the_setting():
    assert load_settings({}, None).auto_segment is False
    assert load_settings({"AUTO_SEGMENT": "1"}, None).auto_segment is True
    with pytest.raises(SettingsError, match="AUTO_SEGMENT"):
        load_settings({"AUTO_SEGMENT": "yes"}, None)
