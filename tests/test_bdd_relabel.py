"""Which series are written again, and that looking for them holds nobody up."""

from typing import Any

import numpy as np
import pytest
from sqlalchemy.orm import Session

from BDD import relabel_store, store
from BDD.models import Job
from BDD.packing import pack_label_map
from rano.history import Rules
from tests.store_factory import finish, lesion, new_worker, queued_job, running_job, series_record


@pytest.fixture
def stale(database: store.Database) -> list[str]:
    """Three series of three patients that were written with something else; gives their UIDs."""
    worker = new_worker(database)
    uids = []
    for n in range(3):
        study, series = f"1.2.3.{n}", f"1.2.3.{n}.1"
        job = running_job(database, worker, study=study, series=series)
        record = series_record(patient_id=f"P{n}", study_instance_uid=study, series_instance_uid=series)
        found = [lesion(tracking_uid=f"2.25.{n + 1}")]
        label_map = pack_label_map(np.ones((2, 2, 2), np.int32))
        finish(database, job, worker, found, series=record, label_map=label_map, content="others")
        uids.append(series)
    return uids


def series_of(database: store.Database, job_ids: list[str]) -> list[str]:
    return [job.series_instance_uid for job in store.get_jobs(database, job_ids)]


def test_all_at_once(database: store.Database, stale: list[str]) -> None:
    assert series_of(database, store.queue_relabelling(database, Rules())) == stale
    assert store.queue_relabelling(database, Rules()) == []


def test_in_portions(database: store.Database, stale: list[str]) -> None:
    portions = [store.queue_relabelling(database, Rules(), seconds=0.0) for _ in range(4)]
    assert [series_of(database, one) for one in portions] == [[uid] for uid in stale] + [[]]


def test_a_series_with_an_open_job_takes_no_time_from_others(
    database: store.Database, stale: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    busy = queued_job(database, study="1.2.3.0", series=stale[0])
    judged = []
    is_stale = relabel_store._is_stale

    def judge(session: Session, job: Job, *more: Any) -> bool:
        judged.append(job)
        return is_stale(session, job, *more)

    monkeypatch.setattr(relabel_store, "_is_stale", judge)
    assert series_of(database, store.queue_relabelling(database, Rules())) == stale[1:]
    assert len(judged) == 2
    store.request_cancel(database, busy.job_id)
    assert series_of(database, store.queue_relabelling(database, Rules())) == stale[:1]
