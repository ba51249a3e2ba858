"""What a person has looked at who found right how the lesions of a visit were followed.

It goes by a short name, which is another as soon as any of it is another: the visit is segmented again, a finding is
taken for another lesion or comes to it in another way, or another one is missed. A verification holds for as long as
the name does. What people have decided themselves goes by their decision, as soon as it is made: that the visits are
followed by it a little later changes the name no more.
"""

import hashlib
from collections.abc import Iterable, Mapping

from BDD.absence_store import Absent
from BDD.followup_models import Finding, TrackedLesion
from BDD.identities import is_said, root
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
    found = []
    for one in findings:
        part_of, link = _link(one, job.study_instance_uid)
        found.append((one.lesion.label, root(one.tracked, lesions).tracking_uid, part_of, sorted(one.merged), link))
    shown = {uid for _, uid, *_ in found}
    missed = {
        (uid, str(status)) for lesion, status in absent if (uid := root(lesion, lesions).tracking_uid) not in shown
    }
    return hashlib.sha256(repr((job.job_id, sorted(found), sorted(missed))).encode()).hexdigest()


def _link(finding: Finding, study_instance_uid: str) -> tuple[str | None, tuple[str, bool]]:
    """Give what it is a part of, what its link is, and whether that is in doubt.

    Not why: distances and overlaps change with every visit. Of what people have decided the link is what following
    will make of it, if it has not yet: one that begins where they took it apart, one that goes on where they merged it.
    """
    if is_said(finding.tracked, study_instance_uid):
        return None, ("new" if finding.tracked.merged_into is None else "persisting", False)
    return finding.part_of, (finding.relation.partition(":")[0], finding.ambiguous)
