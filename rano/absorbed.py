"""Which lesions have merged into others: they have not gone, but no visit measures them by themselves."""

from collections.abc import Sequence

from rano.families import families
from rano.history import VisitFindings


def absorbed(visits: Sequence[VisitFindings]) -> list[dict[str, str]]:
    """Tell, for each visit, which lesions that it does not list it shows as a part of another.

    One that has gone after it had lost a part is not among them: its part is a lesion by itself.

    Parameters
    ----------
    visits
        In the order of time.

    Returns
    -------
    list of dict
        Per visit, tracking UID to that of the lesion it has merged into.
    """
    merged: set[str] = set()
    result = []
    for visit, family in zip(visits, families(visits), strict=True):
        merged |= {uid for lesion in visit.lesions or () for uid in lesion.merged}
        unlisted = merged - family.keys()
        result.append({one: uid for uid, members in family.items() for one in members if one in unlisted})
    return result
