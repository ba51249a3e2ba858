"""What a job writes back into its study: what can be asked for, the objects that makes, and who builds each."""

from collections.abc import Callable, Iterator, Sequence

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


def build_objects(
    series: Series,
    label_map: LabelMap,
    lesions: Sequence[Lesion],
    context: ResultContext,
    outputs: Sequence[str],
    standing: Callable[[], Standing | None],
) -> Iterator[tuple[str, Dataset]]:
    """Build what was asked for, one by one in the order of :data:`WRITTEN`, each with its role; without a lesion, none.

    Parameters
    ----------
    series, label_map, lesions, context
        As for ``results.seg.build_seg``.
    outputs
        Which of :data:`WRITTEN` to build.
    standing
        Asked, when it is the volumetric report's turn, what that says of the visit.
    """
    seg = None
    for kind, build in OUTPUTS.items():
        if kind in outputs and (dataset := build(series, label_map, lesions, context)) is not None:
            seg = dataset if kind == "SEG" else seg
            yield kind, dataset
    if "SR" not in outputs:
        return
    drawn = build_bidirectional_sr(series, label_map, lesions, context)
    if drawn is not None:
        yield "SR_BIDIRECTIONAL", drawn
    if seg is not None:  # the volumes are those of its segments
        point, assessment = standing() or (None, None)
        volumes = build_volumetric_sr(series, label_map, lesions, seg, context, time_point=point, assessment=assessment)
        if volumes is not None:
            yield "SR_VOLUMETRIC", volumes
