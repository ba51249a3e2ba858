"""RANO-BM's table itself: how the parts of a visit make the radiographic response, and that the overall one.

==================  ================  ================  =============================  =======================
needs               CR (all of)       PR (all of)       SD (all of)                    PD (any of)
==================  ================  ================  =============================  =======================
target lesions      none left         30 % below the    neither                        20 % and 5 mm above the
                                      baseline                                         nadir
non-target lesions  none left         no progression    no progression                 unequivocal progression
new lesions         none              none              none                           present
corticosteroids     none              not raised        not raised                     -
clinical status     stable, improved  stable, improved  stable, improved               worse
==================  ================  ================  =============================  =======================

What it leaves open, and how that is taken here:

- Corticosteroids raised above the baseline's dose rule out CR, PR and SD, and are no progression: NE.
- A complete radiographic response on corticosteroids that were not raised is a partial one.
- An equivocal new lesion rules out CR; under immunotherapy, an unequivocal one rules out CR and PR.
- Without a target lesion there is no PR or SD, only non-CR/non-PD; without any lesion at the baseline and now there is
  no evidence of disease.
"""

from collections.abc import Sequence

from rano.confirmation import Verdict
from rano.criteria import Part, Response
from rano.history import ClinicalStatus


def radiographic(
    targets: Part | None,
    non_targets: Part | None,
    progression: Sequence[str] = (),
    tolerated: Sequence[str] = (),
    equivocal: Sequence[str] = (),
    judged: Sequence[str] = (),
) -> Verdict:
    """Combine what the images show.

    Parameters
    ----------
    targets, non_targets
        Of those there were at the baseline; None where there were none.
    progression
        What else is progression (new lesions, a relapse), in words.
    tolerated
        New lesions that are no progression on their own (under immunotherapy), by name.
    equivocal
        Lesions that may be new, by name.
    judged
        What a reader has said of lesions besides, in words.
    """
    parts = [part for part in (targets, non_targets) if part is not None]
    progressed = [reason for response, reason in parts if response is Response.PD] + list(progression)
    by_reader = [f"by a reader's judgement {', '.join(judged)}"] if judged else []
    if progressed:
        return _verdict(Response.PD, *progressed, *by_reader)
    response, *reasons = _without_new_lesions(targets, non_targets)
    lesser = Response.NON_CR_NON_PD if targets is None else Response.SD
    if tolerated:
        response = lesser if response in (Response.CR, Response.PR, Response.NED) else response
        reasons.append(f"new under immunotherapy, and no progression on that ground alone: {', '.join(tolerated)}")
    elif equivocal and response is Response.CR:
        response = lesser if targets is None else Response.PR
        reasons.append(f"not CR while it is open whether there is a new lesion: {', '.join(equivocal)}")
    elif equivocal and response is Response.NED:
        response = Response.NE
        reasons.append(f"it is open whether there is a new lesion: {', '.join(equivocal)}")
    return _verdict(response, *reasons, *by_reader)


def _without_new_lesions(targets: Part | None, non_targets: Part | None) -> tuple[Response, *tuple[str, ...]]:
    if targets is None:
        return non_targets or (Response.NED, "there was no lesion at the baseline, and there is none now")
    if targets[0] is Response.CR and non_targets is not None:
        response = Response.CR if non_targets[0] is Response.CR else Response.PR
        return response, targets[1], non_targets[1]
    return targets


def overall(
    radiographic: Verdict,
    corticosteroid_mg: float | None,
    baseline_corticosteroid_mg: float | None,
    clinical_status: ClinicalStatus | None,
    has_targets: bool,
) -> Verdict:
    """Add the patient to the images.

    Parameters
    ----------
    radiographic
        What the images say.
    corticosteroid_mg, baseline_corticosteroid_mg
        Daily dose at this visit and at the baseline; None when not known.
    clinical_status
        Against the baseline; None when not known.
    has_targets
        Whether there are target lesions.
    """
    response = radiographic.response
    if clinical_status is ClinicalStatus.WORSE:
        return _verdict(Response.PD, "the clinical status is worse")
    if response in (Response.PD, Response.NE):
        return Verdict(response, radiographic.reason)
    dose, before = corticosteroid_mg, baseline_corticosteroid_mg
    raised = None if dose is None or (before is None and dose > 0) else dose > (before or 0)
    missing = []
    if clinical_status is None:
        missing.append("the clinical status")
    if raised is None:
        missing.append("the corticosteroid dose" + (" at the baseline" if dose is not None else ""))
    if missing:
        are = "is" if len(missing) == 1 else "are"
        return _verdict(Response.NE, f"the images say {response}, but {' and '.join(missing)} {are} not known")
    if raised:
        words = f"corticosteroids were raised from {before or 0:g} mg to {dose:g} mg"
        return _verdict(Response.NE, f"the images say {response}, but {words}: that rules it out and is no progression")
    if response is Response.CR and dose:
        lesser = Response.PR if has_targets else Response.NON_CR_NON_PD
        return _verdict(lesser, f"the images say CR, but it needs the patient off corticosteroids ({dose:g} mg)")
    kept = (
        f"corticosteroids not raised ({dose:g} mg, {before or 0:g} mg at the baseline)"
        if dose
        else "no corticosteroids"
    )
    return _verdict(response, radiographic.reason, f"{kept}; clinically {clinical_status}")


def _verdict(response: Response, *reasons: str) -> Verdict:
    return Verdict(response, "; ".join(reasons))
