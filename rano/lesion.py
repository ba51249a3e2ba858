"""The words of the follow-up: a chord, a lesion's measurement, a lesion.

Everything here is a value; the functions that make them are in ``measuring`` and ``matching``.
"""

from dataclasses import dataclass

Point = tuple[float, float, float]
"""A position in the patient's LPS coordinates, in mm."""


@dataclass(frozen=True)
class Chord:
    """A straight line across a lesion, in patient coordinates."""

    length_mm: float
    start_lps_mm: Point
    end_lps_mm: Point


@dataclass(frozen=True)
class Confidence:
    """How sure the network was of a lesion. Not the chance that it is a metastasis: nobody has calibrated it so.

    Attributes
    ----------
    mean_probability
        Mean over the lesion's voxels of the probability whose 0.5 is the lesion's surface; 0.5 to 1.
    entropy_bits
        Mean over them of each voxel's binary entropy, -p log2 p - (1 - p) log2 (1 - p): 0 sure, 1 a coin's toss.
        Small lesions, nearly all surface, have more of it than large ones that are as sure.
    """

    mean_probability: float
    entropy_bits: float


@dataclass(frozen=True)
class Measurement:
    """What is measured of one lesion of a label map.

    Attributes
    ----------
    label
        The lesion's value in the label map, 1-based.
    volume_mm3
        Volume. From a probability map, voxels at the surface count in part; of a mask, all its voxels count whole.
    longest, perpendicular
        Longest diameter within one axial plane, over all axial planes, and the longest chord at 90 degrees to it
        in the same plane.
    diameter_3d_mm
        Largest distance between any two points of the surface (IBSI L0JK).
    centroid_lps_mm
        Centre of mass of the lesion's voxels.
    first_slice, last_slice, measured_slice
        Indices along axis 0 of the label map, 0-based, inclusive: the lesion's extent, and the slice nearest to
        the longest diameter.
    plane
        ``"acquired"`` when the acquired slices are the patient's axial planes, ``"reformatted"`` when the axial
        planes were resampled from a sagittal, coronal or oblique series.
    measurable
        Whether RANO-BM calls the lesion measurable.
    reason
        Why it is, or is not, in words that name the numbers.
    confidence
        None when only a mask was measured.
    """

    label: int
    volume_mm3: float
    longest: Chord
    perpendicular: Chord
    diameter_3d_mm: float
    centroid_lps_mm: Point
    first_slice: int
    last_slice: int
    measured_slice: int
    plane: str
    measurable: bool
    reason: str
    confidence: Confidence | None = None


@dataclass(frozen=True)
class Lesion:
    """A lesion with its identity: the name people see and the tracking UID that follows it from visit to visit.

    Attributes
    ----------
    number
        Which of the patient's lesions it is, 1-based: the same at every visit, and whatever its name is. It has the
        colour of this number wherever it is shown.
    """

    name: str
    tracking_uid: str
    measurement: Measurement
    number: int
