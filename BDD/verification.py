"""What a person has looked at who found right how the lesions of a visit were followed.

It goes by a short name, which is another as soon as any of it is another: the visit is segmented again, a finding is
taken for another lesion or comes to it in another way, or another one is missed. A verification holds for as long as
the name does.
"""

import hashlib
from collections.abc import Iterable, Mapping

from BDD.absence_store import Absent
from BDD.followup_models import Finding, TrackedLesion
from BDD.identities import root
from BDD.models import Job


def followed(job: Job, findings: Iterable[Finding], absent: Absent, lesions: Mapping[int, TrackedLesion]) -> str:
    """Name what a visit shows: which lesion each finding is, and how, and which are missed; 64 hexadecimal digits.

    Parameters
    ----------
    job
        The segmentation that speaks for the visit.
    findings
        All that it found.
    absent
        The lesions that it did not find, where it is open whether they have gone.
    lesions
        All tracked lesions of the patient by key: one that people have merged is the one that stands for it.
    """
    found = sorted(
        (one.lesion.label, root(one.tracked, lesions).tracking_uid, one.part_of, sorted(one.merged), _link(one))
        for one in findings
    )
    missed = sorted((root(lesion, lesions).tracking_uid, str(status)) for lesion, status in absent)
    return hashlib.sha256(repr((job.job_id, found, missed)).encode()).hexdigest()


def _link(finding: Finding) -> tuple[str, bool]:
    """Give what its link is, and whether it is in doubt; not why: distances and overlaps change with every visit."""
    return finding.relation.partition(":")[0], finding.ambiguous
