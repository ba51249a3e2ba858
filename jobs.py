"""The queue and its worker: job ids travel through Huey, what is known of a job lives in the database.

The API puts a job's id into the queue. ``python jobs.py`` is a worker (``services.worker``), one process per GPU. It
claims the job in the database, runs the pipeline, and commits the outcome in one transaction; only then are the objects
of an earlier version taken out of the archive. Whatever stops it, the database knows what is left to do:

* the archive does not answer: the job waits (JOB_RETRY_DELAYS) and is tried again, then fails and can be run again;
* the worker is killed: at its next start, or by another worker, the job is queued again; the UIDs of its results derive
  from its id, so nothing doubles;
* the job fails or is cancelled: objects it had stored already are marked, and taken out until none is left.
"""

import json
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from huey import Huey, PostgresHuey, RedisHuey, SqliteHuey, crontab
from huey.exceptions import ConfigurationError
from huey.registry import Message
from huey.serializer import Serializer
from sqlalchemy.exc import SQLAlchemyError

from BDD import store
from BDD.course_store import content_of, course
from BDD.models import RELABEL, RUNNING_STATES, WRITING, Job
from BDD.packing import pack_label_map
from BDD.problems import WORKER_LOST, problem_of
from imaging.volume import Series
from Orthanc.archive import Archive, ArchiveError, ArchiveTimeoutError, ArchiveUnavailableError, NotOursError
from Orthanc.dicomweb import OrthancArchive
from rano.lesion import Lesion
from rano.links import Link
from rano.reduced import reduce_volume
from rano.shape import lesion_shapes
from results.context import ResultContext, derive_uid
from results.objects import WRITTEN
from results.report import Standing
from segmentation import Cancelled, Outcome, segment_study, write_again
from settings import Settings, SettingsError, sqlite_path

if TYPE_CHECKING:
    from BDD.following_store import Following
    from unetr.predictor import Predictor

logger = logging.getLogger("jobs")

TRANSIENT = (ArchiveUnavailableError, ArchiveTimeoutError)
"""What may be over after a while: the job is tried again."""

PROGRESS_SECONDS = 0.2
BUSY_SECONDS = 2.0
MINIMUM_STARTS = 3
_SHARES = dict(zip(RUNNING_STATES, ((0.0, 0.1), (0.1, 0.12), (0.12, 0.85), (0.85, 0.92), (0.92, 1.0)), strict=True))
"""Which part of a job's whole progress each stage is, from 0 to 1."""


class JobQueue:
    """Job ids on their way from the API to a worker, in a file, in Redis or in PostgreSQL."""

    def __init__(self, url: str, run: Callable[[str], None] | None = None) -> None:
        def run_job(job_id: str) -> None:
            if run is None:
                raise RuntimeError("this process only fills the queue")
            run(job_id)

        self.huey = _open_huey(url)
        self._run_job = self.huey.task(name="run_job")(run_job)

    def enqueue(self, job_id: str, *, delay: float = 0.0) -> None:
        """Put an id into the queue, to be taken ``delay`` seconds from now; twice does no harm."""
        if delay > 0:
            self._run_job.schedule((job_id,), delay=delay)
        else:
            self._run_job(job_id)

    def waiting(self) -> set[str]:
        """Give the ids in the queue, those to be taken later too."""
        return {task.args[0] for task in (*self.huey.pending(), *self.huey.scheduled()) if task.args}

    def close(self) -> None:
        """Close the connection."""
        self.huey.storage.close()


class _JsonSerializer(Serializer):
    """Messages as JSON: Huey's own pickles would let who can write into the queue run code in the worker."""

    def _serialize(self, data: Message) -> bytes:
        return json.dumps(data._asdict(), default=datetime.isoformat).encode()

    def _deserialize(self, data: bytes) -> Message:
        fields = json.loads(bytes(data))
        eta = fields.pop("eta")
        return Message(**fields, eta=datetime.fromisoformat(eta) if eta else None)


def _open_huey(url: str) -> Huey:
    options: dict[str, Any] = {"name": "metia", "results": False, "serializer": _JsonSerializer()}
    path = sqlite_path(url)
    try:
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            return SqliteHuey(filename=str(path), strict_fifo=True, timeout=15, **options)
        return PostgresHuey(dsn=url, **options) if url.startswith("postgresql") else RedisHuey(url=url, **options)
    except ConfigurationError as error:
        raise SettingsError(f"QUEUE_URL needs one more package: {error}") from error


class _Reporter:
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
            planned = _results_of(self._job.job_id, roles)
            store.plan_results(self._database, self._job.job_id, self._worker, planned)
        logger.info("job %s: %s", self._job.job_id, state)

    def progress(self, fraction: float) -> None:
        """Note the progress within the stage, a few times a second at most."""
        if time.monotonic() - self._noted >= PROGRESS_SECONDS:
            self._note(fraction)

    def _note(self, fraction: float, state: str | None = None) -> None:
        begin, end = _SHARES[self._state]
        whole = begin + (end - begin) * min(max(fraction, 0.0), 1.0)
        if not store.advance(self._database, self._job.job_id, self._worker, state=state, fraction=whole):
            raise Cancelled
        self._noted = time.monotonic()


def _results_of(job_id: str, roles: Iterable[str]) -> list[store.ResultRecord]:
    """Give the series that a job writes, one per role; their UIDs derive from its id."""
    kinds = {role: kind for kind, roles in WRITTEN.items() for role in roles}
    return [
        store.ResultRecord(kinds[role], derive_uid(job_id, f"{role} series"), derive_uid(job_id, f"{role} instance"))
        for role in roles
    ]


class Worker:
    """Runs one job at a time.

    Parameters
    ----------
    number
        The worker's row in the database.
    model
        Gives the network of a name; None for the default.
    retry_delays
        Seconds before each further try of a job whose archive does not answer.
    segment
        The pipeline.
    """

    def __init__(
        self,
        database: store.Database,
        queue_url: str,
        archive: Archive,
        model: Callable[[str | None], "Predictor"],
        number: int,
        retry_delays: Sequence[float],
        segment: Callable[..., Outcome] = segment_study,
    ) -> None:
        self._database, self._archive, self._model, self._number = database, archive, model, number
        self._retry_delays, self._segment = retry_delays, segment
        self.queue = JobQueue(queue_url, self.run_job)
        self._running: str | None = None
        self._claiming = threading.Lock()

    def run_job(self, job_id: str) -> None:
        """Run a job to its end, whatever that is; nothing is raised for what goes wrong within it."""
        try:
            with self._claiming:  # so that recover() never sees a claimed job that is not yet ``_running``
                job = store.claim_job(self._database, job_id, self._number)
                self._running = job.job_id if job else None
        except store.StudyBusyError:
            self.queue.enqueue(job_id, delay=BUSY_SECONDS)
            return
        if job is None:
            return
        try:
            self._run(job)
            logger.info("job %s: done", job_id)
            self._rethread(job)
        except store.JobLostError as error:
            logger.warning("%s; its outcome is dropped", error)
        except Exception as error:
            self._end(job, error)
        finally:
            self._running = None
        self.tidy()

    def _run(self, job: Job) -> None:
        reporter = _Reporter(self._database, job, self._number)
        followed: list[Following] = []
        outcome = self._relabel(job, reporter) if job.purpose == RELABEL else self._find(job, reporter, followed)
        context = outcome.context
        store.record_outcome(
            self._database,
            job.job_id,
            self._number,
            series=store.SeriesRecord.from_header(outcome.series.header),
            slices=outcome.series.slices,
            lesions=outcome.lesions,
            model=store.ModelRecord(
                context.model_name, context.model_version, context.model_sha256, context.model_statement
            ),
            written=_results_of(job.job_id, outcome.written),
            timings=outcome.timings,
            label_map=pack_label_map(outcome.label_map),
            pictures=self._pictures(job, outcome),
            content=content_of([(one.name, one.tracking_uid) for one in outcome.lesions], outcome.standing),
            following=followed[0] if followed else None,
        )

    def _pictures(self, job: Job, outcome: Outcome) -> dict[int, bytes]:
        """Draw what was found; that it has other names now changes no picture."""
        if job.purpose == RELABEL:
            return {}
        from results.key_images import key_images  # drawing is not the web process's business

        return key_images(outcome.series, outcome.label_map, outcome.lesions)

    def _find(self, job: Job, reporter: _Reporter, followed: list["Following"]) -> Outcome:
        """Segment; how the lesions were followed to this visit is put into ``followed``."""

        def follow(series: Series, label_map: np.ndarray, lesions: list[Lesion]) -> list[Lesion]:
            followed.append(self._follow(job, series, label_map, lesions))
            return followed[0].lesions

        return self._segment(
            self._archive,
            self._model(job.requested_model),
            job_id=job.job_id,
            study_instance_uid=job.study_instance_uid,
            series_instance_uid=job.series_instance_uid,
            outputs=tuple(job.outputs),
            earlier_lesions=partial(store.earlier_lesions, self._database),
            follow=follow,
            course=lambda series, lesions: self._course(series, lesions, followed[0].links),
            created=job.created_at,
            reporter=reporter,
        )

    def _rethread(self, job: Job) -> None:
        """Set the patient's other visits right; what fails here is done again with the next visit."""
        from BDD.following_store import rethread

        try:
            rethread(self._database, job.study_instance_uid)
            for job_id in store.queue_relabelling(self._database):
                self.queue.enqueue(job_id)
        except (SQLAlchemyError, ValueError):
            logger.exception("job %s: the other visits could not be followed again", job.job_id)

    def _follow(self, job: Job, series: Series, label_map: np.ndarray, lesions: list[Lesion]) -> "Following":
        from BDD.following_store import follow  # registration is not the web process's business

        return follow(
            self._database,
            store.SeriesRecord.from_header(series.header),
            str(series.header.get("FrameOfReferenceUID") or "") or None,
            reduce_volume(series.volume.array, series.volume.affine),
            lesions,
            lesion_shapes(label_map, series.volume.affine),
            lambda key: derive_uid(job.job_id, key),
        )

    def _course(self, series: Series, lesions: Sequence[Lesion], links: Sequence[Link]) -> Standing | None:
        return course(self._database, store.SeriesRecord.from_header(series.header), lesions, links)

    def _relabel(self, job: Job, reporter: _Reporter) -> Outcome:
        found = store.found_in(self._database, job.series_instance_uid)
        model = found.model
        return write_again(
            self._archive,
            study_instance_uid=job.study_instance_uid,
            series_instance_uid=job.series_instance_uid,
            label_map=found.label_map,
            lesions=found.lesions,
            context=ResultContext(
                job.job_id, model.name, model.version, model.sha256, model.statement, created=job.created_at
            ),
            outputs=tuple(job.outputs),
            course=lambda series, lesions: self._course(series, lesions, found.links),
            reporter=reporter,
        )

    def _end(self, job: Job, error: Exception) -> None:
        """Note that a job ended without an outcome; if even that fails, ``recover`` finds it later."""
        try:
            if isinstance(error, Cancelled):
                store.record_cancelled(self._database, job.job_id, self._number)
                logger.info("job %s: cancelled", job.job_id)
            elif isinstance(error, TRANSIENT) and job.attempts <= len(self._retry_delays):
                delay = self._retry_delays[job.attempts - 1]
                logger.warning("job %s: %s; tried again in %g s", job.job_id, error, delay)
                store.requeue(self._database, job.job_id, self._number, delay=delay, problem=problem_of(error))
                self.queue.enqueue(job.job_id, delay=delay)
            else:
                logger.error("job %s: failed", job.job_id, exc_info=error)
                store.record_failure(self._database, job.job_id, self._number, problem_of(error))
        except (store.JobLostError, SQLAlchemyError):
            logger.exception("job %s: its end could not be noted", job.job_id)

    def tidy(self) -> None:
        """Take out of the archive what must not be there any more: replaced versions, remains of failed jobs."""
        try:
            for uid in store.results_to_retire(self._database):
                with suppress(NotOursError):  # somebody has put it to a use of his own; it is no longer our concern
                    self._archive.retire_series(uid)
                store.record_retired(self._database, uid)
        except (ArchiveError, SQLAlchemyError) as error:
            logger.warning("replaced results stay in the archive for now: %s", problem_of(error).detail)

    def recover(self) -> None:
        """Queue again what no living worker runs, what waits in the database but is in no queue, and new names."""
        starts = max(MINIMUM_STARTS, len(self._retry_delays) + 1)
        with self._claiming:
            orphans = store.requeue_orphans(
                self._database, self._number, running=self._running, max_attempts=starts, problem=WORKER_LOST
            )
        for job_id in orphans:
            logger.warning("job %s: its worker is gone", job_id)
        store.queue_relabelling(self._database)
        waiting = self.queue.waiting()
        for job in store.queued_jobs(self._database):
            if job.job_id not in waiting:
                self.queue.enqueue(job.job_id, delay=(job.not_before - datetime.now(UTC)).total_seconds())

    def work(self) -> None:
        """Serve the queue until SIGINT (after the running job) or SIGTERM (at once)."""
        self.queue.huey.periodic_task(crontab(), name="tidy")(self.tidy)
        self.queue.huey.create_consumer(workers=1, initial_delay=0.05, max_delay=0.25).run()


def open_archive(settings: Settings) -> OrthancArchive:
    """Give a connection to the archive that the settings name, for one thread."""
    return OrthancArchive(
        settings.orthanc_url,
        settings.orthanc_username,
        settings.orthanc_password,
        read_timeout=settings.orthanc_timeout,
    )


if __name__ == "__main__":
    from services.worker import main

    sys.exit(main())
