"""What is measured: a head of full size with lesions that are known, as a DICOM series and as a network would see them.

No anatomy: only the size of the head, and the number, size and raggedness of the lesions cost time or memory.
"""

import zlib
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import highdicom as hd
import numpy as np
from pydicom import Dataset

from imaging.mr_writer import write_mr_series
from imaging.uids import uid_of

if TYPE_CHECKING:
    from unetr.predictor import Prediction

HEAD_SEMIAXES_MM = np.array([100.0, 98.0, 88.0])
"""Along (slice, row, column): with the neck, a head fills all slices."""
DIAMETERS_MM = (4.0, 30.0)
MINIMUM_VOLUME_MM3 = 10.0


@dataclass(frozen=True)
class Subject:
    """A head with lesions.

    Attributes
    ----------
    volume
        uint16, axes (slice, row, column), in the order that ``read_series`` gives.
    probability
        float32 of the same shape: more than one half in the lesions, one half on their surface.
    lesions
        How many there are.
    """

    volume: hd.Volume
    probability: np.ndarray
    lesions: int

    @property
    def datasets(self) -> list[Dataset]:
        """The volume as an MR series."""
        shape = "x".join(map(str, self.volume.shape))
        return write_mr_series(
            self.volume,
            patient_id="METIA-BENCHMARK",
            patient_name="Benchmark^Synthetic",
            study_instance_uid=uid_of("benchmarks", shape, self.lesions),
            series_description="T1 MPRAGE post Gd",
            contrast_agent="Gadobutrol",
        )


def make_subject(shape: tuple[int, int, int], spacing: tuple[float, float, float], lesions: int) -> Subject:
    """Make an axial head with lesions of 4 to 30 mm that do not touch, the small ones more frequent.

    Parameters
    ----------
    shape, spacing
        (slice, row, column); mm.
    """
    affine = np.eye(4)
    affine[:3, :3] = np.array([[0, 0, 1], [0, 1, 0], [-1, 0, 0]]) * spacing  # from head to feet, as read_series sorts
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    rng = np.random.default_rng(zlib.crc32(repr((shape, lesions)).encode()))
    from_middle = [(np.arange(n) - (n - 1) / 2) * mm for n, mm in zip(shape, spacing, strict=True)]
    z, y, x = np.meshgrid(*from_middle, indexing="ij", sparse=True)
    c, b, a = HEAD_SEMIAXES_MM
    inside = ((x / a) ** 2 + (y / b) ** 2 + (z / c) ** 2 < 1).astype(np.float32)
    image = inside * 300 + rng.normal(20, 6, shape).astype(np.float32)
    probability = np.zeros(shape, np.float32)
    diameters = np.sort(np.geomspace(*DIAMETERS_MM, lesions))[::-1]
    for centre, diameter in zip(_centres(rng, diameters), diameters, strict=True):
        _paint(probability, centre, diameter, spacing, rng)
    image += 400 * probability
    return Subject(
        hd.Volume(np.clip(image, 0, 4095).astype(np.uint16), affine, coordinate_system="PATIENT"), probability, lesions
    )


def _centres(rng: np.random.Generator, diameters: np.ndarray) -> list[np.ndarray]:
    """Return where the lesions lie, (slice, row, column) in mm from the middle, none touching another."""
    centres: list[np.ndarray] = []
    while len(centres) < len(diameters):
        centre = rng.uniform(-1, 1, 3) * 0.75 * HEAD_SEMIAXES_MM
        mine = diameters[len(centres)]
        free = all(np.linalg.norm(centre - c) > 0.7 * (mine + d) + 3 for c, d in zip(centres, diameters, strict=False))
        if free and np.linalg.norm(centre / HEAD_SEMIAXES_MM) < 0.75:
            centres.append(centre)
    return centres


def _paint(
    probability: np.ndarray,
    centre: np.ndarray,
    diameter: float,
    spacing: tuple[float, float, float],
    rng: np.random.Generator,
) -> None:
    """Add a ball with a bumpy surface."""
    middle = centre / spacing + (np.array(probability.shape) - 1) / 2
    reach = 0.7 * diameter / np.array(spacing) + 3
    low = np.maximum(np.floor(middle - reach), 0).astype(int)
    high = np.minimum(np.ceil(middle + reach) + 1, probability.shape).astype(int)
    offset = (np.moveaxis(np.indices(tuple(high - low)), 0, -1) + low - middle) * spacing
    distance = np.linalg.norm(offset, axis=-1)
    direction = offset / np.maximum(distance, 1e-6)[..., None]
    bumps = sum(np.sin(3 * direction @ rng.normal(0, 1.5, 3) + rng.uniform(0, 6)) for _ in range(3))
    surface = diameter / 2 * (1 + 0.08 * bumps)
    box = tuple(slice(*ends) for ends in zip(low, high, strict=True))
    probability[box] = np.maximum(probability[box], 1 / (1 + np.exp(np.clip(4 * (distance - surface), -30, 30))))


class KnowingPredictor:
    """Stands in for the network: knows the answer, and so takes no time."""

    info: Any = SimpleNamespace(
        name="known", version="0", sha256="0" * 64, statement="Knows the lesions beforehand; not a medical device."
    )

    def __init__(self, subject: Subject) -> None:
        self._subject = subject

    def predict(self, image: np.ndarray, *_: object) -> "Prediction":
        """Return the subject's lesions, whatever the image."""
        from unetr.predictor import Prediction

        probability = self._subject.probability
        assert image.shape == probability.shape
        return Prediction(probability, probability >= 0.5, MINIMUM_VOLUME_MM3)
