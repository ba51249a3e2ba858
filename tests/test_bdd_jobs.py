"""A job's life in the store: every way from queued to an end, and who may take which step."""

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.exc import IntegrityError

from BDD import job_store, store
from BDD.database import Database
from BDD.models import RELABEL, RUNNING_STATES, Job, Series, Worker
from tests.store_factory import (
    STUDY,
    done_job,
    finish,
    lesion,
    new_worker,
    queued_job,
    running_job,
    written_results,
    written_series,
)

NOTHING: Any = None
PROBLEM = store.Problem("urn:metia:problem:x", "It broke", 502, "GET /x: refused", "try again")


def age(database, worker, seconds):
    with database.writing() as session:
        session.get(Worker, worker).seen_at = datetime.now(UTC) - timedelta(seconds=seconds)


def test_a_new_job_waits(database):
    job = queued_job(database, model="unetr")
    assert (job.state, job.fraction, job.attempts, job.requested_model) == ("queued", 0.0, 0, "unetr")
    assert job.problem is None
    assert job.lesions == []
    assert store.queue_positions(database, [job]) == {job.job_id: 1}


def test_an_unknown_job(database):
    for call in (store.get_job, store.request_cancel, store.retry):
        with pytest.raises(store.JobNotFoundError, match="no job nothing"):
            call(database, "nothing")


def test_the_queue_is_served_in_order(database):
    jobs = [queued_job(database, series=f"1.2.{n}") for n in range(3)]
    assert store.queue_positions(database, jobs) == {job.job_id: n for n, job in enumerate(jobs, start=1)}
    assert list(store.waiting_jobs(database)) == [job.job_id for job in jobs]
    store.claim_job(database, jobs[0].job_id, new_worker(database))
    assert store.queue_positions(database, jobs[2:]) == {jobs[2].job_id: 2}
    assert store.queue_positions(database, [store.get_job(database, jobs[0].job_id)]) == {}


def test_of_what_waits_only_what_is_asked_for_is_read(database):
    """Every worker asks every few seconds, however many wait; of each, the series to choose from are kilobytes."""
    for n in range(3):
        queued_job(database, series=f"1.2.{n}")
    asked = statements(database)
    waiting = store.waiting_jobs(database)
    jobs = store.list_jobs(database)
    assert list(waiting.values()) == [0.0] * 3
    before = len(asked)
    assert sorted(store.queue_positions(database, jobs).values()) == [1, 2, 3]
    assert [one for one in asked[before:] if one.startswith("SELECT")] == asked[-1:], "one question for all jobs"
    assert "selection" not in asked[1]


def statements(database):
    """Keep what the database is asked from now on."""
    asked: list[str] = []
    event.listen(database.engine, "before_cursor_execute", lambda *call: asked.append(call[2]))
    return asked


def test_lists_newest_first_and_filters(database):
    first = queued_job(database, series="1.2.1")
    second = queued_job(database, series="1.2.2", study="9.9")
    store.request_cancel(database, first.job_id)
    assert [job.job_id for job in store.list_jobs(database)] == [second.job_id, first.job_id]
    assert [job.job_id for job in store.list_jobs(database, states=["cancelled"])] == [first.job_id]
    assert [job.job_id for job in store.list_jobs(database, study_instance_uid="9.9")] == [second.job_id]
    assert len(store.list_jobs(database, limit=1)) == 1


def test_how_a_study_stands_is_told_by_a_few_jobs(database, worker):
    """However often its results were written again, and whatever was asked for since and has come to nothing."""
    done_job(database, worker, [], series="1.2.1")
    segmented = done_job(database, worker, [], series="1.2.1")
    done_job(database, worker, [], series="1.2.1", purpose="relabel")
    written = done_job(database, worker, [], series="1.2.1", purpose="relabel")
    other = done_job(database, worker, [], series="1.2.2")
    for _ in range(2):
        store.request_cancel(database, (cancelled := queued_job(database, series="1.2.3")).job_id)
    waiting = queued_job(database, series="1.2.1")
    elsewhere = queued_job(database, study="9.9", series="9.9.1")
    few = [waiting, cancelled, other, written, segmented]

    def ids(**asked):
        return [job.job_id for job in store.list_jobs(database, current=True, **asked)]

    assert ids(study_instance_uid=STUDY) == [job.job_id for job in few]
    assert ids() == [job.job_id for job in (elsewhere, *few)]
    assert ids(study_instance_uid=STUDY, states=["queued"]) == [waiting.job_id]


@pytest.mark.parametrize("state", ["queued", *RUNNING_STATES])
def test_a_series_has_one_open_job(database, state):
    job = queued_job(database) if state == "queued" else running_job(database, new_worker(database), state=state)
    with pytest.raises(store.SeriesBusyError) as caught:
        queued_job(database)
    assert caught.value.job_id == job.job_id
    queued_job(database, series="1.2.3.1.2")


def test_a_race_for_a_new_job_has_one_winner(database):
    answers = []

    def post() -> None:
        try:
            answers.append(("made", queued_job(database).job_id))
        except store.SeriesBusyError as error:
            answers.append(("told", error.job_id))

    threads = [threading.Thread(target=post) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(kind for kind, _ in answers) == ["made"] + ["told"] * 5
    assert len({job_id for _, job_id in answers}) == 1


def ending_before_it_is_named(database, worker, job, monkeypatch):
    """Let the open job end after it was in the way, and before anybody can see which one it was."""
    reading = Database.reading

    def reading_late(self):
        monkeypatch.setattr(Database, "reading", reading)
        store.record_failure(database, job.job_id, worker, PROBLEM)
        return reading(self)

    monkeypatch.setattr(Database, "reading", reading_late)


def test_a_job_that_ends_while_it_is_in_the_way_is_in_nobodys_way(database, monkeypatch):
    worker = new_worker(database)
    ending_before_it_is_named(database, worker, running_job(database, worker), monkeypatch)
    assert queued_job(database).state == "queued"


def test_nor_in_the_way_of_one_that_is_tried_again(database, monkeypatch):
    worker = new_worker(database)
    first = queued_job(database)
    store.request_cancel(database, first.job_id)
    second = running_job(database, worker)
    get_job = job_store.get_job(database, first.job_id)
    monkeypatch.setattr(job_store, "get_job", lambda *_: get_job)
    ending_before_it_is_named(database, worker, second, monkeypatch)
    assert store.retry(database, first.job_id).state == "queued"


def test_what_is_refused_for_another_reason_is_not_tried_for_ever(database):
    with pytest.raises(IntegrityError):
        queued_job(database, study=NOTHING)


def test_a_job_is_claimed_once(database):
    job = queued_job(database)
    first, second = new_worker(database), new_worker(database)
    claimed = store.claim_job(database, job.job_id, first)
    assert claimed is not None
    assert (claimed.state, claimed.attempts, claimed.worker_key) == ("fetching", 1, first)
    assert store.claim_job(database, job.job_id, second) is None
    assert store.claim_job(database, "nothing", second) is None


def test_one_job_of_a_study_runs_at_a_time(database):
    worker, other = new_worker(database), new_worker(database)
    running = running_job(database, worker)
    waiting = queued_job(database, series="1.2.3.1.2")
    with pytest.raises(store.StudyBusyError):
        store.claim_job(database, waiting.job_id, other)
    assert store.get_job(database, waiting.job_id).attempts == 0, "waiting is no try"
    finish(database, running, worker, [])
    assert store.claim_job(database, waiting.job_id, other)


def test_other_studies_run_beside_it(database):
    running_job(database, new_worker(database))
    running_job(database, new_worker(database), study="9.9", series="9.9.1")


def test_stage_and_progress_are_noted(database):
    worker = new_worker(database)
    job = running_job(database, worker, state="reading")
    assert store.advance(database, job.job_id, worker, fraction=0.75)
    job = store.get_job(database, job.job_id)
    assert (job.state, job.stage, job.fraction) == ("reading", "reading", 0.75)


def test_a_queued_job_is_cancelled_at_once(database):
    job = store.request_cancel(database, queued_job(database).job_id)
    assert job.state == "cancelled"
    assert job.finished_at is not None
    assert store.claim_job(database, job.job_id, new_worker(database)) is None


@pytest.mark.parametrize("state", [state for state in RUNNING_STATES if state != "writing"])
def test_a_running_job_is_told_to_stop(database, state):
    worker = new_worker(database)
    job = running_job(database, worker, state=state)
    assert store.request_cancel(database, job.job_id).state == state
    assert not store.advance(database, job.job_id, worker, fraction=0.9)
    assert not store.advance(database, job.job_id, worker, state="writing", fraction=0.9)
    store.record_cancelled(database, job.job_id, worker)
    job = store.get_job(database, job.job_id)
    assert (job.state, job.stage) == ("cancelled", state), "the stage tells how far it came"


def test_a_writing_job_cannot_be_cancelled(database):
    worker = new_worker(database)
    job = running_job(database, worker, state="writing")
    with pytest.raises(store.JobStateError, match="writing its results"):
        store.request_cancel(database, job.job_id)
    assert store.advance(database, job.job_id, worker, fraction=0.95)


def test_an_ended_job_cannot_be_cancelled(database):
    job = done_job(database, new_worker(database), [])
    with pytest.raises(store.JobStateError, match="already ended: done"):
        store.request_cancel(database, job.job_id)


def test_a_failure_keeps_its_problem_and_can_be_tried_again(database):
    worker = new_worker(database)
    job = running_job(database, worker)
    store.record_failure(database, job.job_id, worker, PROBLEM)
    job = store.get_job(database, job.job_id)
    assert (job.state, job.stage, job.problem) == ("failed", "segmenting", PROBLEM.to_json())
    assert job.finished_at is not None

    again = store.retry(database, job.job_id)
    assert (again.state, again.attempts, again.problem, again.finished_at) == ("queued", 0, None, None)
    assert store.claim_job(database, job.job_id, worker)


def test_only_a_failed_or_cancelled_job_is_tried_again(database):
    worker = new_worker(database)
    job = queued_job(database)
    with pytest.raises(store.JobStateError, match="is queued"):
        store.retry(database, job.job_id)
    store.request_cancel(database, job.job_id)
    newer = queued_job(database)
    with pytest.raises(store.SeriesBusyError) as caught:
        store.retry(database, job.job_id)
    assert caught.value.job_id == newer.job_id
    store.claim_job(database, newer.job_id, worker)
    finish(database, newer, worker, [])
    with pytest.raises(store.JobStateError, match="is done"):
        store.retry(database, newer.job_id)


def test_a_cancelled_job_that_is_tried_again_is_to_stop_no_more(database):
    worker = new_worker(database)
    first, other = running_job(database, worker), queued_job(database, study="1.9", series="1.9.1")
    store.request_cancel(database, first.job_id)
    store.record_cancelled(database, first.job_id, worker)
    again = store.retry(database, first.job_id)
    assert list(store.waiting_jobs(database)) == [other.job_id, again.job_id], "it waits behind those that came before"
    assert [job.job_id for job in store.get_jobs(database, [other.job_id, again.job_id])] == [
        other.job_id,
        again.job_id,
    ]
    assert store.claim_job(database, again.job_id, worker)
    assert store.advance(database, again.job_id, worker, fraction=0.1)


def test_new_names_that_wait_make_way_and_are_looked_for_again(database):
    worker = new_worker(database)
    done_job(database, worker, [lesion()])
    failed = running_job(database, worker)
    store.record_failure(database, failed.job_id, worker, PROBLEM)
    with database.writing() as session:
        session.query(Series).one().checked_at = datetime.now(UTC)
    names = queued_job(database, purpose=RELABEL)
    with pytest.raises(store.SeriesBusyError, match=names.job_id):
        queued_job(database, purpose=RELABEL)
    assert store.retry(database, failed.job_id).state == "queued"
    assert store.get_job(database, names.job_id).state == "cancelled"
    with database.reading() as session:
        assert session.query(Series).one().checked_at is None


def test_names_that_are_being_written_make_no_way(database):
    queued_job(database, study="1.9", series="1.9.1")
    names = running_job(database, new_worker(database), purpose=RELABEL)
    with pytest.raises(store.SeriesBusyError, match=names.job_id):
        queued_job(database)
    assert store.get_job(database, names.job_id).state == "segmenting"


def test_requeue_waits_and_says_why(database):
    worker = new_worker(database)
    job = running_job(database, worker)
    store.requeue(database, job.job_id, worker, delay=60, problem=PROBLEM)
    assert 50 < store.waiting_jobs(database)[job.job_id] <= 60
    job = store.get_job(database, job.job_id)
    assert job.problem is not None
    assert (job.state, job.attempts, job.problem["status"]) == ("queued", 1, 502)
    assert 50 < (job.not_before - datetime.now(UTC)).total_seconds() <= 60
    assert store.claim_job(database, job.job_id, worker) is None, "not before its time"
    with database.writing() as session:
        session.get(Job, job.id).not_before = datetime.now(UTC)
    again = store.claim_job(database, job.job_id, worker)
    assert again is not None
    assert again.problem is None
    assert again.started_at == job.started_at, "when it was first begun"


@pytest.mark.parametrize("delay", [None, 60.0], ids=["new", "to be tried again"])
def test_a_clock_set_back_holds_no_job_back(database, monkeypatch, delay):
    worker = new_worker(database)
    job = queued_job(database) if delay is None else running_job(database, worker)
    if delay is not None:
        store.requeue(database, job.job_id, worker, delay=delay, problem=PROBLEM)

    class Clock(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) - timedelta(hours=1)

    monkeypatch.setattr("BDD.job_run_store.datetime", Clock)
    assert not store.get_job(database, job.job_id).is_held_back(Clock.now(UTC))
    assert store.claim_job(database, job.job_id, worker) is not None


@pytest.mark.parametrize(("max_attempts", "state"), [(3, "fetching"), (1, "failed")], ids=["given away", "given up"])
def test_a_worker_whose_job_was_taken_from_it_can_do_nothing_with_it(database, max_attempts, state):
    asleep, other = new_worker(database), new_worker(database)
    job = running_job(database, asleep, state="writing")
    store.worker_stopped(database, asleep)
    store.requeue_orphans(database, other, running=None, max_attempts=max_attempts, problem=PROBLEM)
    store.claim_job(database, job.job_id, other)
    steps = [
        lambda: store.advance(database, job.job_id, asleep, fraction=0.9),
        lambda: store.record_failure(database, job.job_id, asleep, PROBLEM),
        lambda: store.record_cancelled(database, job.job_id, asleep),
        lambda: store.plan_results(database, job.job_id, asleep, written_results(job.job_id)),
        lambda: store.requeue(database, job.job_id, asleep, delay=0, problem=None),
        lambda: finish(database, job, asleep, [lesion()]),
    ]
    for step in steps:
        with pytest.raises(store.JobLostError):
            step()
    job = store.get_job(database, job.job_id)
    assert (job.state, job.lesions, job.results) == (state, [], [])


def test_what_has_ended_stays_so_when_its_worker_dies(database):
    dead, other = new_worker(database), new_worker(database)
    done_job(database, dead, [lesion()], study="1.1", series="1.1.1")
    store.record_failure(database, running_job(database, dead).job_id, dead, PROBLEM)
    store.worker_stopped(database, dead)
    assert store.requeue_orphans(database, other, running=None, max_attempts=3, problem=PROBLEM) == []
    assert {job.state for job in store.list_jobs(database)} == {"done", "failed"}


@pytest.mark.parametrize("state", RUNNING_STATES)
@pytest.mark.parametrize("end", ["killed", "stopped"])
def test_the_job_of_a_dead_worker_is_queued_again(database, state, end):
    dead, other = new_worker(database), new_worker(database)
    job = running_job(database, dead, state=state)
    assert store.requeue_orphans(database, other, running=None, max_attempts=3, problem=PROBLEM) == []
    if end == "killed":
        age(database, dead, store.ALIVE_SECONDS + 1)
    else:
        store.worker_stopped(database, dead)
    assert store.requeue_orphans(database, other, running=None, max_attempts=3, problem=PROBLEM) == [job.job_id]
    assert store.get_job(database, job.job_id).state == "queued"
    assert store.claim_job(database, job.job_id, other)


def test_a_worker_finds_the_job_it_dropped(database):
    worker = new_worker(database)
    job = running_job(database, worker)
    assert store.requeue_orphans(database, worker, running=job.job_id, max_attempts=3, problem=PROBLEM) == []
    assert store.requeue_orphans(database, worker, running=None, max_attempts=3, problem=PROBLEM) == [job.job_id]


def test_a_worker_that_has_slept_does_not_take_its_own_job_for_lost(database):
    """A laptop wakes up, or the clock is set: the last heartbeat is old, and the next one is a moment away."""
    worker = new_worker(database)
    job = running_job(database, worker)
    age(database, worker, store.ALIVE_SECONDS + 25)
    assert store.requeue_orphans(database, worker, running=job.job_id, max_attempts=3, problem=PROBLEM) == []
    assert store.advance(database, job.job_id, worker, fraction=0.6)


def test_a_job_that_kills_its_workers_fails_in_the_end(database):
    other = new_worker(database)
    job = queued_job(database)
    for _ in range(2):
        worker = new_worker(database)
        store.claim_job(database, job.job_id, worker)
        store.worker_stopped(database, worker)
        store.requeue_orphans(database, other, running=None, max_attempts=2, problem=PROBLEM)
    job = store.get_job(database, job.job_id)
    assert job.problem is not None
    assert (job.state, job.problem["title"]) == ("failed", "It broke")


def test_an_orphan_that_was_to_be_cancelled_is_cancelled(database):
    dead, other = new_worker(database), new_worker(database)
    job = running_job(database, dead)
    store.request_cancel(database, job.job_id)
    store.worker_stopped(database, dead)
    store.requeue_orphans(database, other, running=None, max_attempts=3, problem=PROBLEM)
    assert store.get_job(database, job.job_id).state == "cancelled"


@pytest.mark.parametrize("end", ["tried again", "failed"])
def test_what_was_to_be_cancelled_is_cancelled_however_it_ends(database, end):
    """The archive did not answer: the worker could not ask whether it is to stop before that showed."""
    worker = new_worker(database)
    job = running_job(database, worker)
    store.request_cancel(database, job.job_id)
    if end == "failed":
        store.record_failure(database, job.job_id, worker, PROBLEM)
    else:
        store.requeue(database, job.job_id, worker, delay=60, problem=PROBLEM)
    job = store.get_job(database, job.job_id)
    assert (job.state, job.problem) == ("cancelled", None)
    assert job.finished_at is not None


@pytest.mark.parametrize("end", ["failed", "cancelled"])
def test_what_a_job_may_have_written_is_to_be_taken_out_when_it_ends_without_result(database, end):
    worker = new_worker(database)
    job = running_job(database, worker)
    written = written_results(job.job_id)
    store.plan_results(database, job.job_id, worker, written)
    assert store.results_to_retire(database) == [], "not while it may still be finished"
    if end == "failed":
        store.record_failure(database, job.job_id, worker, PROBLEM)
    else:
        store.record_cancelled(database, job.job_id, worker)
    assert set(store.results_to_retire(database)) == set(written_series(job.job_id).values())
    for uid in store.results_to_retire(database):
        store.record_retired(database, uid)
    assert store.results_to_retire(database) == []


def test_each_series_is_taken_out_by_one_worker(database):
    worker, other = new_worker(database), new_worker(database)
    job = running_job(database, worker)
    store.plan_results(database, job.job_id, worker, written_results(job.job_id))
    store.record_failure(database, job.job_id, worker, PROBLEM)
    first, second = store.results_to_retire(database)
    assert store.begin_retiring(database, second, other)
    assert store.begin_retiring(database, first, worker)
    store.end_retiring(database, first)
    assert not store.begin_retiring(database, second, worker)
    assert store.begin_retiring(database, first, other)


def test_what_has_gone_is_marked_as_nobodys_to_take_out(database):
    worker, other = new_worker(database), new_worker(database)
    job = running_job(database, worker)
    store.plan_results(database, job.job_id, worker, written_results(job.job_id))
    store.record_failure(database, job.job_id, worker, PROBLEM)
    for uid in store.results_to_retire(database):
        assert store.begin_retiring(database, uid, worker)
        store.record_retired(database, uid)  # and its end is never noted
    store.retry(database, job.job_id)
    assert store.claim_job(database, job.job_id, other) is not None


def test_what_a_worker_marked_to_take_out_keeps_others_waiting_and_not_itself(database):
    worker, other = new_worker(database), new_worker(database)
    job = running_job(database, worker)
    store.plan_results(database, job.job_id, worker, written_results(job.job_id))
    store.record_failure(database, job.job_id, worker, PROBLEM)
    assert store.begin_retiring(database, store.results_to_retire(database)[0], worker)
    store.retry(database, job.job_id)
    assert store.claim_job(database, job.job_id, other) is None
    assert store.claim_job(database, job.job_id, worker) is not None


def test_a_second_try_plans_the_same_series_again(database):
    worker = new_worker(database)
    job = running_job(database, worker)
    written = written_results(job.job_id)
    store.plan_results(database, job.job_id, worker, written)
    store.record_failure(database, job.job_id, worker, PROBLEM)
    store.retry(database, job.job_id)
    store.claim_job(database, job.job_id, worker)
    finish(database, job, worker, [], written=written)
    assert store.results_to_retire(database) == []
    results = store.get_job(database, job.job_id).results
    assert {result.kind: result.series_instance_uid for result in results} == written_series(job.job_id)


def test_what_was_taken_out_and_written_again_goes_with_the_next_version(database):
    worker = new_worker(database)
    job = running_job(database, worker)
    store.plan_results(database, job.job_id, worker, written_results(job.job_id))
    store.record_failure(database, job.job_id, worker, PROBLEM)
    for uid in store.results_to_retire(database):
        store.record_retired(database, uid)
    store.retry(database, job.job_id)
    store.claim_job(database, job.job_id, worker)
    finish(database, job, worker, [])
    done_job(database, worker, [])
    assert set(store.results_to_retire(database)) == set(written_series(job.job_id).values())


def test_a_forgotten_study_leaves_open_jobs_and_those_of_other_studies(database):
    worker = new_worker(database)
    failed, other = running_job(database, worker), running_job(database, worker, study="1.9", series="1.9.1")
    for job in (failed, other):
        store.record_failure(database, job.job_id, worker, PROBLEM)
    waiting = queued_job(database, series="1.2.3.1.2")
    assert store.forget_study(database, STUDY)
    assert [job.job_id for job in store.list_jobs(database)] == [waiting.job_id, other.job_id]
    assert not store.forget_study(database, STUDY)


def test_the_study_of_the_job_is_kept(database):
    assert queued_job(database).study_instance_uid == STUDY
