"""The demo's patient: one synthetic head, two visits eight weeks apart, lesions known to the millimetre.

Every lesion is a sphere, so that its true diameter is the same in whatever plane it is measured.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import highdicom as hd
import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from pydicom import Dataset
from scipy.spatial.transform import Rotation

from imaging.mr_writer import write_mr_series
from imaging.uids import uid_of
from unetr.synthesis.acquisition import acquire
from unetr.synthesis.anatomy import mni152
from unetr.synthesis.fields import Rng
from unetr.synthesis.generator import GRID
from unetr.synthesis.head import Head, make_head
from unetr.synthesis.lesions import LesionShape, paint

PATIENT_ID = "METIA-DEMO"
_SEED = 20
_SHAPE = (176, 224, 184)
"""Slices, rows, columns of the acquisition, 1 mm each."""
_GREY_LEVELS = 400.0
"""Stored value of white matter."""


@dataclass(frozen=True)
class DemoLesion:
    """A lesion in template coordinates (MNI, RAS mm), with its diameter in mm at each visit (None: not there)."""

    name: str
    mni: tuple[float, float, float]
    diameters_mm: tuple[float | None, float | None]
    kind: str
    enhancement: float


LESIONS = (
    DemoLesion("right frontal", (32.0, 36.0, 22.0), (9.0, 13.0), "solid", 2.0),
    DemoLesion("left parietal", (-38.0, -48.0, 40.0), (16.0, 21.0), "ring", 2.0),
    DemoLesion("left frontal", (-30.0, 26.0, 30.0), (18.0, 11.0), "solid", 1.9),
    DemoLesion("right parietal", (34.0, -44.0, 44.0), (12.0, 12.0), "solid", 2.1),
    DemoLesion("right cerebellar", (26.0, -66.0, -40.0), (None, 8.0), "solid", 2.0),
)


@dataclass(frozen=True)
class Truth:
    """A lesion as it was painted into one visit."""

    name: str
    centre_lps_mm: tuple[float, float, float]
    diameter_mm: float

    @property
    def volume_mm3(self) -> float:
        return math.pi / 6 * self.diameter_mm**3

    def found_at(self, centroids_lps_mm: Sequence[Sequence[float]]) -> int | None:
        """Return the place in the list of the centroid that lies within the lesion, of several the most central one."""
        distances = [math.dist(centroid, self.centre_lps_mm) for centroid in centroids_lps_mm]
        nearest = min(range(len(distances)), key=distances.__getitem__, default=None)
        return nearest if nearest is not None and distances[nearest] < self.diameter_mm / 2 else None


@dataclass(frozen=True)
class Visit:
    """One visit: an MR series to store, and the truth to compare with."""

    date: str
    datasets: list[Dataset]
    lesions: list[Truth]

    @property
    def study_instance_uid(self) -> str:
        return str(self.datasets[0].StudyInstanceUID)


def make_visits() -> list[Visit]:
    """Make both visits; the same every time (about half a minute)."""
    head = make_head(mni152(), Rng(_SEED), GRID, variety=0.0)
    poses = ((12.0, -4.0, 3.0), (15.0, 3.0, 6.0))  # degrees about right-left, front-back, head-foot
    return [_visit(head, index, date, pose) for index, (date, pose) in enumerate(zip(_DATES, poses, strict=True))]


_DATES = ("20260112", "20260309")


def _visit(head: Head, index: int, date: str, pose: tuple[float, float, float]) -> Visit:
    """Lay an oblique grid through the head, paint the visit's lesions on it, acquire it."""
    affine = _oblique_affine(pose)
    rng = Rng(_SEED + 1 + index)
    image, depth = (_sample(volume, affine) for volume in (head.image, head.maps["depth"]))
    inside = torch.sigmoid(3 * depth)
    truths = []
    for lesion in LESIONS:
        diameter = lesion.diameters_mm[index]
        if diameter is None:
            continue
        lps = np.array(lesion.mni) * (-1, -1, 1)
        voxel = (np.linalg.inv(affine) @ np.r_[lps, 1.0])[:3]
        centre = (float(voxel[0]), float(voxel[1]), float(voxel[2]))
        paint(image, inside, LesionShape(centre, diameter, lesion.kind, enhancement=lesion.enhancement), rng)
        truths.append(Truth(lesion.name, (float(lps[0]), float(lps[1]), float(lps[2])), diameter))
    acquired = acquire(image, depth, rng, stripped=False).clamp(min=0).numpy() * _GREY_LEVELS
    study = uid_of(PATIENT_ID, date)
    datasets = write_mr_series(
        hd.Volume(acquired, affine, coordinate_system="PATIENT", frame_of_reference_uid=uid_of(study, "frame")),
        patient_id=PATIENT_ID,
        patient_name="Demo^Synthetic",
        patient_sex="O",
        study_instance_uid=study,
        study_date=date,
        study_description="MR brain, synthetic",
        series_number=5,
        series_description="t1_mprage_tra_p2_iso_gd",
        contrast_agent="Gadobutrol",
    )
    return Visit(date, datasets, truths)


def _oblique_affine(degrees: tuple[float, float, float]) -> np.ndarray:
    """Index (slice, row, column) to LPS mm: transverse slices tilted by ``degrees``, centred on the head."""
    rotation = Rotation.from_euler("XYZ", degrees, degrees=True).as_matrix()
    affine = np.eye(4)
    affine[:3, :3] = rotation[:, [2, 1, 0]]  # slices towards the head, rows towards posterior, columns towards left
    centre = np.array([0.0, 16.0, 6.0])  # of the head in LPS
    affine[:3, 3] = centre - affine[:3, :3] @ ((np.array(_SHAPE) - 1) / 2)
    return affine


def _sample(volume: torch.Tensor, affine: np.ndarray) -> torch.Tensor:
    """A volume of the template's grid (axes right, anterior, superior, 1 mm) on the acquisition's grid, trilinear."""
    axes = [torch.arange(n, dtype=torch.float32) for n in _SHAPE]
    index = torch.stack(torch.meshgrid(*axes, indexing="ij"))
    matrix = torch.from_numpy(affine).float()
    lps = torch.einsum("ij,jxyz->ixyz", matrix[:3, :3], index) + matrix[:3, 3].view(3, 1, 1, 1)
    ras = lps * torch.tensor([-1.0, -1.0, 1.0]).view(3, 1, 1, 1)
    size = torch.tensor(volume.shape, dtype=torch.float32).view(3, 1, 1, 1)
    middle = torch.tensor(_GRID_CENTRE_RAS).view(3, 1, 1, 1)
    unit = 2 * (ras - middle) / (size - 1)
    sampled = F.grid_sample(
        volume[None, None], unit.flip(0).movedim(0, -1)[None], align_corners=True, padding_mode="zeros"
    )
    return sampled[0, 0]


_GRID_CENTRE_RAS = (-0.5, -16.5, 5.5)
"""MNI coordinates of the middle of the head's grid: that of the template's."""
