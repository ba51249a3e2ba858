"""Heartbeats: who is alive, and why the last one is not."""

import os
from datetime import UTC, datetime, timedelta

import pytest

from BDD import store
from BDD.models import Worker
from BDD.worker_store import SILENT_SECONDS
from tests.store_factory import MODEL, new_worker


def silence(database, *workers):
    """Let workers miss their heartbeats, but not for so long that they count as dead."""
    with database.writing() as session:
        for worker in workers:
            session.get(Worker, worker).seen_at -= timedelta(seconds=SILENT_SECONDS + 1)


def test_nobody_at_first(database):
    assert store.live_workers(database) == []
    assert store.last_worker(database) is None


def test_a_worker_tells_its_model(database):
    worker = store.worker_started(database, pid=os.getpid())
    assert store.live_workers(database)[0].model is None
    store.worker_ready(database, worker, model=MODEL, device="cuda:0")
    alive = store.live_workers(database)[0]
    assert alive.model is not None
    assert (alive.model.name, alive.device, alive.pid) == ("unetr", "cuda:0", os.getpid())


def test_a_silent_worker_is_not_alive_until_it_is_seen_again(database):
    worker, other = new_worker(database), new_worker(database)
    for silent in (worker, other):
        with database.writing() as session:
            session.get(Worker, silent).seen_at = datetime.now(UTC) - timedelta(seconds=store.ALIVE_SECONDS + 1)
    assert store.live_workers(database) == []
    store.worker_seen(database, worker)
    assert [row.id for row in store.live_workers(database)] == [worker]


def test_a_worker_killed_while_its_clock_was_ahead_is_dead(database):
    worker = new_worker(database)
    with database.writing() as session:
        session.get(Worker, worker).seen_at = datetime.now(UTC) + timedelta(hours=2)
    assert store.live_workers(database) == []


def test_a_stopped_worker_leaves_its_reason(database):
    worker = new_worker(database)
    store.worker_stopped(database, worker, error="models/unetr/models/model.safetensors is missing")
    assert store.live_workers(database) == []
    last = store.last_worker(database)
    assert last is not None
    assert str(last.error).endswith("is missing")


def test_a_worker_taken_for_dead_is_alive_as_soon_as_it_is_seen_again(database):
    worker = new_worker(database)
    store.worker_stopped(database, worker)
    store.worker_seen(database, worker)
    assert [row.id for row in store.live_workers(database)] == [worker]


def test_a_worker_whose_process_is_gone_is_buried(database):
    gone, there, me = (new_worker(database) for _ in range(3))
    silence(database, gone, there)
    pids = {row.id: row.pid for row in store.live_workers(database)}
    store.bury_dead_workers(database, me, is_running=lambda pid: pid != pids[gone])
    assert [row.id for row in store.live_workers(database)] == [there, me]


def test_a_predecessor_with_the_same_pid_is_buried(database):
    """In a container every worker has the same pid and, after a restart, the same host name."""
    before, me = (store.worker_started(database, pid=1) for _ in range(2))
    silence(database, before)
    store.bury_dead_workers(database, me, is_running=lambda _: True)
    assert [row.id for row in store.live_workers(database)] == [me]
    assert before != me


@pytest.mark.parametrize("pid", [1, 999_999], ids=["a container", "a cloned machine"])
def test_a_worker_whose_heart_beats_is_not_buried_by_another_of_the_same_host_name(database, pid):
    other, me = store.worker_started(database, pid=pid), store.worker_started(database, pid=1)
    store.bury_dead_workers(database, me, is_running=lambda _: False)
    assert [row.id for row in store.live_workers(database)] == [other, me]


def test_workers_of_other_machines_are_left_alone(database):
    other, me = new_worker(database), new_worker(database)
    silence(database, other)
    with database.writing() as session:
        session.get(Worker, other).host = "elsewhere"
    store.bury_dead_workers(database, me, is_running=lambda _: False)
    assert [row.id for row in store.live_workers(database)] == [other, me]
