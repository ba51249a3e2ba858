"""Results as plain files, for those who work without an archive: NIfTI mask, JSON and CSV of lesions, a picture."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from imaging.planes import Slice
from imaging.volume import Series
from rano.lesion import Chord, Lesion, Measurement
from results.context import DISCLAIMER, ResultContext
from results.key_images import key_images, picture_of
from results.lettering import plain
from results.numbers import cm3
from results.spreadsheet import csv_file

_PANELS = 48
"""Lesions that ``lesions.png`` shows at most: 700 of them would take minutes."""


def _ends(chord: Chord) -> list[list[float]]:
    return [[round(x, 3) for x in end] for end in (chord.start_lps_mm, chord.end_lps_mm)]


_COLUMNS: dict[str, Callable[[Lesion, Measurement, Sequence[Slice]], Any]] = {
    "name": lambda lesion, _m, _slices: lesion.name,
    "label": lambda _lesion, m, _slices: m.label,
    "tracking_uid": lambda lesion, _m, _slices: lesion.tracking_uid,
    "volume_mm3": lambda _lesion, m, _slices: round(m.volume_mm3, 3),
    "longest_diameter_mm": lambda _lesion, m, _slices: round(m.longest.length_mm, 3),
    "longest_diameter_lps_mm": lambda _lesion, m, _slices: _ends(m.longest),
    "perpendicular_diameter_mm": lambda _lesion, m, _slices: round(m.perpendicular.length_mm, 3),
    "perpendicular_diameter_lps_mm": lambda _lesion, m, _slices: _ends(m.perpendicular),
    "diameter_3d_mm": lambda _lesion, m, _slices: round(m.diameter_3d_mm, 3),
    "centroid_lps_mm": lambda _lesion, m, _slices: [round(x, 3) for x in m.centroid_lps_mm],
    "first_slice_sop_instance_uid": lambda _lesion, m, slices: slices[m.first_slice].sop_instance_uid,
    "first_slice_frame_number": lambda _lesion, m, slices: slices[m.first_slice].frame_number,
    "last_slice_sop_instance_uid": lambda _lesion, m, slices: slices[m.last_slice].sop_instance_uid,
    "last_slice_frame_number": lambda _lesion, m, slices: slices[m.last_slice].frame_number,
    "measured_slice_sop_instance_uid": lambda _lesion, m, slices: slices[m.measured_slice].sop_instance_uid,
    "measured_slice_frame_number": lambda _lesion, m, slices: slices[m.measured_slice].frame_number,
    "measured_plane": lambda _lesion, m, _slices: m.plane,
    "measurable": lambda _lesion, m, _slices: m.measurable,
    "measurable_reason": lambda _lesion, m, _slices: m.reason,
    "mean_probability": lambda _lesion, m, _slices: m.confidence and round(m.confidence.mean_probability, 4),
    "entropy_bits": lambda _lesion, m, _slices: m.confidence and round(m.confidence.entropy_bits, 4),
}
"""What is said of a lesion, in the files' order; the API gives it under the same names."""


def write_files(
    folder: Path, series: Series, label_map: npt.NDArray[np.integer], lesions: Sequence[Lesion], context: ResultContext
) -> None:
    """Write ``prediction_mask.nii.gz``, ``lesions.json``, ``lesions.csv`` and ``lesions.png`` into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    write_mask(folder / "prediction_mask.nii.gz", series, label_map, context)
    rows = [lesion_row(lesion, series) for lesion in lesions]
    (folder / "lesions.json").write_text(json.dumps(rows, indent=2) + "\n", "utf-8")
    cells = [{name: _in_one_cell(value) for name, value in row.items()} for row in rows]
    (folder / "lesions.csv").write_bytes(csv_file(_COLUMNS, cells))
    _montage(series, label_map, lesions, context).savefig(folder / "lesions.png", dpi=110, facecolor="black")


def write_mask(path: Path, series: Series, label_map: npt.NDArray[np.integer], context: ResultContext) -> None:
    """Write a label map as NIfTI, on the grid on which ITK reads the series; axes (column, row, slice), RAS mm.

    The slices of that grid make it right-handed, the other way round than here; frames are taken as they come.
    Programs that lay a mask on an image voxel by voxel, whatever its header says (ITK-SNAP), would show the lesions
    mirrored otherwise. The header says what this is not, and names the model.
    """
    volume = series.volume.with_array(np.asarray(label_map).astype(np.uint16)).permute_spatial_axes([2, 1, 0])
    first, last = (series.slices[k].frame_number for k in (0, -1))
    if first is None or last is None:
        volume = volume.ensure_handedness("RIGHT_HANDED", flip_axis=2)
    elif first > last:
        volume = volume.flip_spatial(2)
    affine = volume.get_affine("RAS")
    image = nib.Nifti1Image(volume.array, affine)
    image.set_sform(affine, code="scanner")
    image.set_qform(affine, code="scanner")
    image.header.set_xyzt_units("mm")
    image.header["descrip"] = context.content_description.encode("ascii", "replace")
    nib.save(image, path)


def lesion_row(lesion: Lesion, series: Series) -> dict[str, Any]:
    """One lesion as JSON: mm and mm3, positions in patient LPS, slices by SOPInstanceUID and, within it, frame."""
    return {name: value(lesion, lesion.measurement, series.slices) for name, value in _COLUMNS.items()}


def _in_one_cell(value: Any) -> Any:
    """Give points as the JSON has them, and all else as it is.

    Without its brackets Excel takes "-15.0 -7.0 -5.0" for a formula.
    """
    return json.dumps(value) if isinstance(value, list) else value


def _montage(
    series: Series, label_map: npt.NDArray[np.integer], lesions: Sequence[Lesion], context: ResultContext
) -> Figure:
    """Each lesion in the plane where it was measured, with its outline and diameters; of very many the first ones."""
    title, found = f"{context.model}: {DISCLAIMER.lower()}", len(lesions)
    lesions = lesions[:_PANELS]
    if len(lesions) < found:
        title += f"; the first {len(lesions)} of {found} lesions"
    columns = min(4, max(1, len(lesions)))
    rows = max(1, -(-len(lesions) // columns))
    figure = Figure(figsize=(3.2 * columns, 3.4 * rows + 0.5))
    figure.suptitle(plain(title), color="0.7", fontsize=8, y=0.995)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel in panels:
        panel.set_axis_off()
    drawn = key_images(series, label_map, lesions)
    for panel, lesion in zip(panels, lesions, strict=False):
        m = lesion.measurement
        size = f"{m.longest.length_mm:.1f} x {m.perpendicular.length_mm:.1f} mm, {cm3(m.volume_mm3)} cm³"
        panel.imshow(picture_of(drawn[m.label], lesion.number))
        panel.set_title(plain(f"{lesion.name}\n{size}"), color="white", fontsize=9)
    if not lesions:
        panels[0].text(0.5, 0.5, "no lesion found", color="white", ha="center")
    figure.tight_layout()
    return figure
