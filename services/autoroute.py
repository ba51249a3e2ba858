"""Auto-routing: each series that has come to the archive complete is segmented, if it is the one of its study to be.

A worker reads Orthanc's change log (``GET /changes``, which every version has) while AUTO_SEGMENT is 1. The first
reading of a log begins at its end: what was there before is left alone. How far it was read is kept while no worker
runs, and forgotten by one that starts with AUTO_SEGMENT=0, so that the next reading is a first one. Our logs name
series by their UIDs only.
"""

import logging
import threading
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from BDD import store
from BDD.problems import problem_of
from imaging.selection import AmbiguousSeriesError, NoCandidateError, choose
from jobs import JobQueue
from Orthanc.archive import AmbiguousStudyError, StudyNotFoundError
from Orthanc.dicomweb import OrthancArchive
from Orthanc.rest import Change
from results.context import is_ours
from results.objects import WRITTEN

logger = logging.getLogger(__name__)

POLL_SECONDS = 2.0
STABLE = "StableSeries"
BATCH = 100
TRIES = 5
"""So often a series is looked at that cannot be understood though the archive is alive; then it is passed over."""


class AutoRouter:
    """Reads the change log of one archive and queues jobs; several may read the same log at once."""

    def __init__(self, database: store.Database, queue: JobQueue, archive: OrthancArchive) -> None:
        self._database, self._queue, self._archive = database, queue, archive
        self._since: int | None = None  # how far the log was read when it was last looked
        self._failed: tuple[int, int] = (0, 0)  # the entry that could not be looked at, and how often

    def run(self, stop: threading.Event) -> None:
        """Read on until told to stop; an archive that does not answer is asked again."""
        told = ""
        while not stop.wait(POLL_SECONDS):
            try:
                while self.poll() == BATCH and not stop.is_set():
                    pass
                told = ""
            except Exception as error:
                problem = problem_of(error).title
                if problem != told:
                    logger.warning("auto-routing waits: %s", problem, exc_info=error)
                told = problem

    def poll(self) -> int:
        """Deal with the next entries of the log; give how many there were.

        An entry whose series is being worked on is waited for, and so are those behind it: that takes minutes at most.

        Raises
        ------
        ArchiveError
            When the archive does not answer; what was dealt with before stays so.
        """
        since = self._position()
        entries = self._archive.changes(since, BATCH)
        for entry in entries:
            # Only what may end in a job is noted by itself: a series of 200 slices makes 200 other entries.
            if entry.kind == STABLE or entry is entries[-1]:
                job = self._job_for(entry) if entry.kind == STABLE else None
                try:
                    moved, job_id = store.advance_log(
                        self._database, self._archive.url, since=since, to=entry.sequence, job=job
                    )
                except store.SeriesBusyError:
                    return 0
                if not moved:
                    break
                if job_id is not None:
                    logger.info("series %s came in and qualifies: job %s", job and job["series_instance_uid"], job_id)
                    self._queue.enqueue(job_id)
                since = entry.sequence
        return len(entries)

    def _position(self) -> int:
        url, last = self._archive.url, self._archive.last_change()
        known = store.log_position(self._database, url)
        if known is None:  # never read; or a worker that does not read has started beside this one, which reads on
            known = store.begin_log(self._database, url, last if self._since is None else self._since)
        elif last < known:  # another log: the archive was emptied, or restored from a backup with all its old studies
            logger.warning("the archive's change log is another one; auto-routing begins at its end")
            store.advance_log(self._database, url, since=known, to=last)
            known = store.log_position(self._database, url) or 0
        self._since = known
        return known

    def _job_for(self, entry: Change) -> dict[str, Any] | None:
        """Give what ``create_job`` takes for a series that is to be segmented; None for any other."""
        try:
            return self._qualified(entry)
        except StudyNotFoundError:
            return None
        except AmbiguousStudyError as error:  # it lasts until a person has put it right
            logger.warning("what has come in is left alone: %s", error)
            return None
        except SQLAlchemyError:  # no fault of the series: it waits for the database
            raise
        except Exception:
            self._archive.check()  # raises when it is the archive as a whole
            number, tries = self._failed
            self._failed = (entry.sequence, tries + 1 if number == entry.sequence else 1)
            if self._failed[1] < TRIES:
                raise
            logger.exception("entry %d of the change log is passed over", entry.sequence)
            return None

    def _qualified(self, entry: Change) -> dict[str, Any] | None:
        tags = self._archive.series_tags(entry.identifier)
        if tags is None or tags["Modality"] != "MR":
            return None
        series = tags["SeriesInstanceUID"]
        summaries = self._archive.list_series(tags["StudyInstanceUID"])
        own = next((one for one in summaries if one.series_instance_uid == series), None)
        if own is None or is_ours(own.header):
            return None
        if store.was_segmented(self._database, series, own.number_of_instances):
            logger.info("series %s is left alone: it was asked for already", series)
            return None
        try:
            selection = choose(summaries)
        except AmbiguousSeriesError as error:
            tied = [one.series_instance_uid for one in error.candidates if one.excluded is None]
            logger.info("series %s is left alone: of its study, %s are alike", series, ", ".join(tied))
            return None
        except NoCandidateError:
            logger.info("series %s is left alone: it does not show that it is a post-contrast T1 volume", series)
            return None
        if selection.chosen.series_instance_uid != series:
            best = selection.chosen.series_instance_uid
            logger.info("series %s is left alone: series %s of its study suits better", series, best)
            return None
        return {
            "study_instance_uid": tags["StudyInstanceUID"],
            "series_instance_uid": series,
            "selection": {**selection.to_json(), "named_by_caller": False},
            "outputs": list(WRITTEN),
        }
