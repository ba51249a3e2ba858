"""Which jobs speak for their series or study: those that ended last, whenever they were asked for."""

from typing import Any

from sqlalchemy import ColumnElement, Select, func, or_, select

from BDD.models import DONE, FINAL_STATES, OPEN_STATES, SEGMENT, Job


def newest(of: ColumnElement[Any] | Any, *conditions: ColumnElement[bool]) -> Select[tuple[int]]:
    """Ask for the keys of the jobs that ended last, one for each value of a column of job or series.

    A job that failed and is tried again keeps its key, so that the highest key need not be the newest result.

    Parameters
    ----------
    of
        The column, such as ``Job.series_key``.
    conditions
        What else holds of the jobs.
    """
    return _last_to_end(of, select(Job.id).join(Job.series).where(Job.state == DONE, *conditions))


def counts_now(*conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    """Say of a job whether it tells how its study stands, among the jobs of which the conditions hold.

    These are the jobs that have not ended, the one of each study that ended last, whatever came of it, and of each
    series the segmentation and the result that ended last: few, however often the results were written again.
    """
    ended = select(Job.id).where(Job.state.in_(FINAL_STATES), *conditions)
    return or_(
        Job.state.in_(OPEN_STATES),
        Job.id.in_(_last_to_end(Job.study_instance_uid, ended)),
        Job.id.in_(newest(Job.series_key, Job.purpose == SEGMENT, *conditions)),
        Job.id.in_(newest(Job.series_key, *conditions)),
    )


def _last_to_end(of: ColumnElement[Any] | Any, jobs: Select[Any]) -> Select[tuple[int]]:
    order = (Job.finished_at.desc(), Job.version.desc(), Job.id.desc())
    place = func.row_number().over(partition_by=of, order_by=order).label("place")
    ranked = jobs.add_columns(place).subquery()
    return select(ranked.c.id).where(ranked.c.place == 1)
