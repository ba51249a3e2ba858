"""One job at a time, from the queue to its end, whatever that is.

A worker claims the job in the database, runs the pipeline, and commits the outcome in one transaction; only then are
the objects of an earlier version taken out of the archive. Whatever stops it, the database knows what is left to do:

* the archive or the database does not answer, or the series changed meanwhile: the job waits (JOB_RETRY_DELAYS) and is
  tried again, then fails and can be run again;
* the worker is killed, or ends because its GPU has had a fault: at its next start, or by another worker, the job is
  queued again; the UIDs of its results derive from its id, so nothing doubles;
* the job fails or is cancelled: objects it had stored already are marked, and taken out until none is left.
"""

import logging
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from huey import crontab
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from BDD import following_store, rethread_store, store
from BDD.course_store import content_of, course
from BDD.models import RELABEL, Job
from BDD.packing import pack_label_map
from BDD.problems import WORKER_LOST, problem_of
from imaging.errors import ChangedImagesError
from imaging.volume import Series
from jobs import JobQueue
from Orthanc.archive import (
    ArchiveError,
    ArchiveTimeoutError,
    ArchiveUnavailableError,
    NotOursError,
    SeriesChangedError,
)
from Orthanc.dicomweb import OrthancArchive
from rano.history import Rules
from rano.lesion import Lesion
from rano.reduced import reduce_volume
from rano.shape import lesion_shapes
from results.context import ResultContext, derive_uid
from results.key_images import key_images
from results.report import Standing
from segmentation import Cancelled, Earlier, Outcome, segment_study, write_again
from services.outages import in_one_line, is_device_lost, is_outage
from services.reporter import JobReporter, results_of

if TYPE_CHECKING:
    from unetr.predictor import Predictor

logger = logging.getLogger(__name__)

TRANSIENT = (ArchiveUnavailableError, ArchiveTimeoutError, SeriesChangedError, OperationalError)
"""What may be over after a while: the job is tried again. Of the database: it is locked, full or away."""

BUSY_SECONDS = 2.0
LOG_TRIES = 10
"""After so many tries in a row that did not empty the database's log, somebody is told; there is one a minute."""
MINIMUM_STARTS = 3
JUDGING_SECONDS = 2.0
"""So long it is looked at a time which series were written with what no longer holds: after another target rule was
set that is every one ever segmented, and no job is to wait for all of them."""


class Worker:
    """Runs one job at a time.

    Parameters
    ----------
    number
        The worker's row in the database.
    model
        Gives the network of a name; None for the default.
    retry_delays
        Seconds before each further try of a job whose archive or database does not answer.
    rules
        By which the reports judge the course of a patient.
    segment
        The pipeline.
    """

    def __init__(
        self,
        database: store.Database,
        queue_url: str,
        archive: OrthancArchive,
        model: Callable[[str | None], "Predictor"],
        number: int,
        retry_delays: Sequence[float],
        rules: Rules,
        segment: Callable[..., Outcome] = segment_study,
    ) -> None:
        self._database, self._archive, self._model, self._number = database, archive, model, number
        self._retry_delays, self._rules, self._segment = retry_delays, rules, segment
        self.queue = JobQueue(queue_url, self.run_job)
        self._running: str | None = None
        self._claiming = threading.Lock()
        self._log_kept = 0  # so many tries in a row the database's log could not be emptied

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
        except store.JobLostError as error:
            logger.warning("%s; its outcome is dropped", error)
        except Exception as error:
            if is_device_lost(error):
                logger.critical("job %s: the GPU is lost, and the worker ends: %s", job_id, in_one_line(error))
                logging.shutdown()
                os._exit(1)  # as if killed: what is left to do is known, and every further job would fail
            self._end(job, error)
        finally:
            self._running = None
        self.tidy()

    def _run(self, job: Job) -> None:
        reporter = JobReporter(self._database, job, self._number)
        followed: list[following_store.Following] = []
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
            written=results_of(job.job_id, outcome.written),
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
        return key_images(outcome.series, outcome.label_map, outcome.lesions)

    def _find(self, job: Job, reporter: JobReporter, followed: list[following_store.Following]) -> Outcome:
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
            course=lambda series, lesions: self._course(series, lesions, followed[0]),
            on_stored=reporter.stored,
            created=job.created_at,
            reporter=reporter,
        )

    def _follow(
        self, job: Job, series: Series, label_map: np.ndarray, lesions: list[Lesion]
    ) -> following_store.Following:
        return following_store.follow(
            self._database,
            store.SeriesRecord.from_header(series.header),
            str(series.header.get("FrameOfReferenceUID") or "") or None,
            reduce_volume(series.volume.array, series.volume.affine),
            lesions,
            lesion_shapes(label_map, series.volume.affine),
            lambda key: derive_uid(job.job_id, key),
        )

    def _course(
        self, series: Series, lesions: Sequence[Lesion], followed: following_store.Following
    ) -> Standing | None:
        record = store.SeriesRecord.from_header(series.header)
        return course(self._database, record, lesions, followed.links, followed.absent, self._rules)

    def _relabel(self, job: Job, reporter: JobReporter) -> Outcome:
        return write_again(
            self._archive,
            study_instance_uid=job.study_instance_uid,
            series_instance_uid=job.series_instance_uid,
            found=partial(self._found, job),
            outputs=tuple(job.outputs),
            reporter=reporter,
        )

    def _found(self, job: Job, series: Series) -> Earlier:
        """Give what is to be written of a series, which must show what was segmented, for the patient it has now.

        Raises
        ------
        ChangedImagesError
            When it shows something else, or the same elsewhere.
        """
        found = store.found_in(self._database, job.series_instance_uid, self._rules)
        _check_unchanged(series, found)
        # The archive's word of whose the images are goes into what is written; the course must be the same patient's.
        store.describe_again(self._database, job.job_id, self._number, store.SeriesRecord.from_header(series.header))
        rethread_store.follow_again(self._database)
        found = store.found_in(self._database, job.series_instance_uid, self._rules)
        model = found.model
        context = ResultContext(
            job.job_id, model.name, model.version, model.sha256, model.statement, created=job.created_at
        )
        return Earlier(found.label_map, found.lesions, context, found.standing)

    def _end(self, job: Job, error: Exception) -> None:
        """Note that a job ended without an outcome; if even that fails, ``recover`` finds it later."""
        try:
            if isinstance(error, Cancelled):
                store.record_cancelled(self._database, job.job_id, self._number)
                logger.info("job %s: cancelled", job.job_id)
            elif isinstance(error, TRANSIENT) and job.attempts <= len(self._retry_delays):
                delay = self._retry_delays[job.attempts - 1]
                first_line = str(error).partition("\n")[0]  # a database's further ones are the statement
                logger.warning("job %s: %s; tried again in %g s", job.job_id, first_line, delay)
                store.requeue(self._database, job.job_id, self._number, delay=delay, problem=problem_of(error))
                self.queue.enqueue(job.job_id, delay=delay)
            else:
                logger.error("job %s: failed", job.job_id, exc_info=error)
                store.record_failure(self._database, job.job_id, self._number, problem_of(error))
        except (store.JobLostError, SQLAlchemyError):
            logger.exception("job %s: its end could not be noted", job.job_id)

    def tidy(self) -> None:
        """Do what is left to do after a job, or after people have decided something; what fails is done a minute later.

        Patients are followed again of whom other visits are known now. What must not be in the archive any more is
        taken out: replaced versions, remains of failed jobs. A job that is tried again writes the same UIDs: from a
        last look at each until it is gone no worker begins it. What was forgotten leaves the database's files.
        """
        duties = {
            self._follow_again: "visits that have changed are followed again later",
            self._take_out: "replaced results stay in the archive for now",
            self._empty_log: "what was forgotten stays in the database's files for now",
        }
        for duty, later in duties.items():
            try:
                duty()
            except Exception as error:  # neither the other duties nor the worker end by it
                passing = isinstance(error, ArchiveError) or is_outage(error)
                logger.warning("%s: %s", later, problem_of(error).detail, exc_info=None if passing else error)

    def _follow_again(self) -> None:
        rethread_store.follow_again(self._database)
        for job_id in store.queue_relabelling(self._database, self._rules, seconds=JUDGING_SECONDS):
            self.queue.enqueue(job_id)

    def _empty_log(self) -> None:
        """Empty it whether or not something was forgotten: nobody needs to note that, and it takes milliseconds."""
        self._log_kept = 0 if self._database.empty_log() else self._log_kept + 1
        if self._log_kept and self._log_kept % LOG_TRIES == 0:
            logger.warning(
                "what was forgotten may still be in the database's files: at each of the last %d looks somebody was "
                "reading the database, such as a backup that does not end",
                self._log_kept,
            )

    def _take_out(self) -> None:
        for uid in store.results_to_retire(self._database):
            if store.begin_retiring(self._database, uid, self._number):
                try:
                    self._retire(uid)
                finally:
                    store.end_retiring(self._database, uid)

    def _retire(self, series_instance_uid: str) -> None:
        """Take one series out; that it cannot be done is no reason to leave those after it."""
        seen = True
        try:
            with suppress(NotOursError):  # somebody has put it to a use of his own; it is no longer our concern
                seen = self._archive.retire_series(series_instance_uid)
        except Exception as error:
            self._archive.check()  # raises when it is the archive as a whole
            detail = problem_of(error).detail
            logger.warning("replaced series %s stays in the archive for now: %s", series_instance_uid, detail)
        else:
            store.record_retired(self._database, series_instance_uid, seen=seen)

    def recover(self) -> None:
        """Queue again what no living worker runs, what waits in the database but is in no queue, and new names."""
        starts = max(MINIMUM_STARTS, len(self._retry_delays) + 1)
        with self._claiming:
            orphans = store.requeue_orphans(
                self._database, self._number, running=self._running, max_attempts=starts, problem=WORKER_LOST
            )
        for job_id in orphans:
            logger.warning("job %s: its worker is gone", job_id)
        store.queue_relabelling(self._database, self._rules, seconds=JUDGING_SECONDS)
        waiting = self.queue.waiting()
        for job_id, delay in store.waiting_jobs(self._database).items():
            if job_id not in waiting:
                self.queue.enqueue(job_id, delay=delay)

    def work(self) -> None:
        """Serve the queue until SIGINT (after the running job) or SIGTERM (at once)."""
        self.queue.huey.periodic_task(crontab(), name="tidy")(self.tidy)
        # A file is looked into again after so long; servers call by themselves, and are waited for when they are away.
        pace = {"max_delay": 5.0, "backoff": 2.0} if self.queue.calls else {"max_delay": 0.25}
        self.queue.huey.create_consumer(workers=1, initial_delay=0.05, **pace).run()


def _check_unchanged(series: Series, found: store.Found) -> None:
    """Raise ChangedImagesError when a series is not what was segmented, by its grid and by what it shows."""
    now, then = series.volume.spatial_shape, found.label_map.shape
    if now != then:
        how = "they are {} x {} x {} voxels, and were {} x {} x {}".format(*now, *then)
    else:
        how = found.image.difference(reduce_volume(series.volume.array, series.volume.affine))
    if how:
        raise ChangedImagesError(
            f"The images of series {series.series_instance_uid} have changed since they were segmented: {how}. What "
            "was found then is not written onto them: segment the series again."
        )
