"""What a job writes back into its study: what can be asked for, the objects that makes, and who builds each."""

from collections.abc import Callable, Sequence

from pydicom import Dataset

from imaging.volume import Series
from rano.lesion import Lesion
from results.common import LabelMap
from results.context import ResultContext
from results.report import Standing, build_bidirectional_sr, build_volumetric_sr
from results.rtstruct import build_rtstruct
from results.seg import build_seg

OUTPUTS: dict[str, Callable[[Series, LabelMap, Sequence[Lesion], ResultContext], Dataset | None]] = {
    "SEG": build_seg,
    "RTSTRUCT": build_rtstruct,
}
"""What can be written back as one object, and who builds it."""

WRITTEN = {**{kind: (kind,) for kind in OUTPUTS}, "SR": ("SR_BIDIRECTIONAL", "SR_VOLUMETRIC")}
"""All that can be asked for, and the roles of the objects it is written as; their UIDs derive from these."""

Course = Callable[[Series, Sequence[Lesion]], Standing | None]
"""Given a series and its lesions, where the visit stands among the patient's others; None where that is not known."""


def build_objects(
    series: Series,
    label_map: LabelMap,
    lesions: Sequence[Lesion],
    context: ResultContext,
    outputs: Sequence[str],
    course: Course,
) -> tuple[dict[str, Dataset], Standing | None]:
    """Build what was asked for; give the objects by their role, and what the report says of the visit.

    Parameters
    ----------
    series, label_map, lesions, context
        As for ``results.seg.build_seg``.
    outputs
        Which of :data:`WRITTEN` to build.
    course
        Asked when there is a volumetric report.

    Returns
    -------
    dict, tuple or None
        No object when there is no lesion; no standing when no report tells it.
    """
    standing = None
    built = {kind: OUTPUTS[kind](series, label_map, lesions, context) for kind in outputs if kind in OUTPUTS}
    if "SR" in outputs:
        built["SR_BIDIRECTIONAL"] = build_bidirectional_sr(series, label_map, lesions, context)
        seg = built.get("SEG")
        if seg is not None:  # the volumes are those of its segments
            standing = course(series, lesions)
            point, assessment = standing or (None, None)
            built["SR_VOLUMETRIC"] = build_volumetric_sr(
                series, label_map, lesions, seg, context, time_point=point, assessment=assessment
            )
    return {role: dataset for role, dataset in built.items() if dataset is not None}, standing
