"""What the database is told of a running job: how far it is, and, before the first is stored, what it will write."""

import logging
import time
from collections.abc import Iterable, Sequence

from BDD import store
from BDD.models import WRITING, Job
from results.context import instance_uid, series_uid
from results.objects import WRITTEN
from segmentation import Cancelled, whole

logger = logging.getLogger(__name__)

PROGRESS_SECONDS = 0.2


class JobReporter:
    """Tells the database how far a job is, and the pipeline that it is to stop (``segmentation.Reporter``)."""

    def __init__(self, database: store.Database, job: Job, worker: int) -> None:
        self._database, self._job, self._worker = database, job, worker
        self._state = job.state
        self._noted = 0.0

    def stage(self, state: str) -> None:
        """Note the next stage; before the first object is written, note which they are."""
        self._state = state
        self._note(0.0, state=state)
        if state == WRITING:
            roles = [role for kind in self._job.outputs for role in WRITTEN[kind]]
            planned = results_of(self._job.job_id, roles)
            store.plan_results(self._database, self._job.job_id, self._worker, planned)
        logger.info("job %s: %s", self._job.job_id, state)

    def progress(self, fraction: float) -> None:
        """Note the progress within the stage, a few times a second at most."""
        if time.monotonic() - self._noted >= PROGRESS_SECONDS:
            self._note(fraction)

    def stored(self, roles: Sequence[str]) -> None:
        """Note what the archive has: a viewer may show it, though the job is not done before all is there."""
        store.note_written(self._database, self._job.job_id, self._worker, results_of(self._job.job_id, roles))
        logger.info("job %s: stored %s", self._job.job_id, ", ".join(roles))

    def _note(self, fraction: float, state: str | None = None) -> None:
        done = whole(self._state, fraction)
        if not store.advance(self._database, self._job.job_id, self._worker, state=state, fraction=done):
            raise Cancelled
        self._noted = time.monotonic()


def results_of(job_id: str, roles: Iterable[str]) -> list[store.ResultRecord]:
    """Give the series that a job writes, one per role; their UIDs derive from its id."""
    kinds = {role: kind for kind, roles in WRITTEN.items() for role in roles}
    return [store.ResultRecord(kinds[role], series_uid(job_id, role), instance_uid(job_id, role)) for role in roles]
