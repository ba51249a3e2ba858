"""Which jobs speak for their series or study: those that ended last, whenever they were asked for."""

from typing import Any

from sqlalchemy import ColumnElement, Select, func, select

from BDD.models import DONE, Job


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
    order = (Job.finished_at.desc(), Job.version.desc(), Job.id.desc())
    place = func.row_number().over(partition_by=of, order_by=order).label("place")
    ranked = select(Job.id, place).join(Job.series).where(Job.state == DONE, *conditions).subquery()
    return select(ranked.c.id).where(ranked.c.place == 1)
