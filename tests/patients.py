"""Simulated patients: lesions that grow, shrink, come, go, merge and split, in heads that never lie the same.

A patient is made of *blobs*, bent ellipsoids fixed in the head. What a segmentation would find at a visit are the
connected components of the voxels that any blob fills; one blob may be in two components' past, two in one's. So the
truth about two components is which blobs they share.
"""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from rano.components import label_lesions
from rano.links import FollowedLesion, FollowedVisit, VisitLinks
from rano.rigid import RigidTransform
from rano.shape import lesion_shapes

Floats = npt.NDArray[np.float64]

HEAD_RADII_MM = np.array([60.0, 75.0, 55.0])
SMALLEST_MM = 2.5
FIRST_DAY = datetime.date(2024, 1, 1)
VISITS = 6


@dataclass(frozen=True)
class Blob:
    """A bent ellipsoid in the head; ``trend`` is by what its diameters are multiplied from visit to visit."""

    number: int
    centre: Floats
    radii: Floats
    turn: Floats
    bend: Floats
    trend: float

    def contains(self, points: Floats) -> npt.NDArray[np.bool_]:
        local = (points - self.centre) @ self.turn / self.radii
        radius = np.linalg.norm(local, axis=-1)
        direction = local / np.maximum(radius, 1e-9)[..., None]
        return np.asarray(radius <= 1 + 0.15 * np.sin(3 * direction @ self.bend + self.bend[0]))


@dataclass(frozen=True)
class SimulatedVisit:
    """A visit to be followed, which blobs are in each of its lesions, and where all blobs are, those missed as well."""

    visit: FollowedVisit
    blobs: tuple[frozenset[int], ...]
    centres: Mapping[int, Floats]

    def nearest(self, blob: int, lesions: Sequence[int]) -> int:
        """Return which of these lesions a blob lies nearest to; the first where it lies nowhere any more."""

        def distance(lesion: int) -> float:
            return min(float(np.linalg.norm(self.centres[other] - self.centres[blob])) for other in self.blobs[lesion])

        return min(lesions, key=distance) if blob in self.centres else lesions[0]


def simulate_patient(rng: np.random.Generator) -> list[SimulatedVisit]:
    """Simulate a patient's visits, 8 weeks apart, in the order of time."""
    blobs: list[Blob] = []
    for _ in range(int(rng.integers(1, 13))):
        blobs += _appearing(rng, blobs)
    course = []
    for number in range(VISITS):
        seen = [blob for blob in blobs if 2 * blob.radii.mean() > 5 or rng.random() > 0.1]  # small ones are missed
        course.append(_scan(rng, number, seen, {blob.number: blob.centre for blob in blobs}))
        blobs = [grown for blob in blobs if (grown := _grown(rng, blob)) is not None]
        for _ in range(int(rng.poisson(0.6))):
            blobs += _appearing(rng, blobs)
    return course


def _appearing(rng: np.random.Generator, there: Sequence[Blob]) -> list[Blob]:
    """Return a lesion: one blob somewhere, near another one or on its own, or two that hang together and shrink."""
    number = int(rng.integers(1 << 62))
    radius = float(np.clip(np.exp(rng.normal(1.2, 0.6)), 1.3, 15))
    near = there and rng.random() < 0.25
    if near:
        neighbour = there[int(rng.integers(len(there)))]
        away = neighbour.radii.max() + radius + rng.uniform(1.5, 6)
        centre = neighbour.centre + _direction(rng) * away
    else:
        centre = _direction(rng) * HEAD_RADII_MM * np.cbrt(rng.random())
    trend = float(np.exp(rng.normal(0, 0.15)))
    blob = Blob(
        number,
        centre,
        radius * rng.uniform(0.75, 1.25, 3),
        Rotation.random(random_state=rng).as_matrix(),
        rng.uniform(-2, 2, 3),
        trend,
    )
    if radius > 4 and rng.random() < 0.25:
        other = centre + _direction(rng) * blob.radii.min() * 1.6
        blob = replace(blob, trend=float(rng.uniform(0.75, 0.95)))
        return [blob, replace(blob, number=number + 1, centre=other, radii=blob.radii * rng.uniform(0.6, 1))]
    return [blob]


def _grown(rng: np.random.Generator, blob: Blob) -> Blob | None:
    """Return the blob as it is at the next visit; None if it has gone."""
    factor = float(np.clip(blob.trend * np.exp(rng.normal(0, 0.1)), 0.5, 1.8))
    radii = np.minimum(blob.radii * factor * np.exp(rng.normal(0, 0.05, 3)), 20)
    drift = _direction(rng) * abs(radii.mean() - blob.radii.mean()) * rng.uniform(0, 0.6)
    if 2 * radii.mean() < SMALLEST_MM or rng.random() < 0.05:
        return None
    trend = float(np.exp(rng.normal(0, 0.15))) if rng.random() < 0.2 else blob.trend  # a change of treatment
    return replace(blob, radii=radii, centre=blob.centre + drift, trend=trend)


def _scan(
    rng: np.random.Generator, number: int, blobs: Sequence[Blob], centres: Mapping[int, Floats]
) -> SimulatedVisit:
    """Scan the head as it happens to lie, segment it a little wrongly, and register it a little wrongly."""
    pose = _motion(rng, rng.uniform(0, 15), rng.uniform(0, 20)) if number else RigidTransform.identity()
    error = _motion(rng, rng.uniform(0, 0.5), rng.uniform(0.3, 0.8)) if number else RigidTransform.identity()
    spacing = np.array([rng.uniform(0.8, 2.0), *[rng.uniform(0.6, 1.0)] * 2])
    to_lps = np.array([[0, 0, 1, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1.0]]) @ np.diag([*spacing, 1])
    to_lps[:3, 3] = rng.uniform(-0.5, 0.5, 3)
    segmented = [
        replace(
            blob, radii=blob.radii * rng.normal(1, 0.04, 3).clip(0.85, 1.15), centre=blob.centre + rng.normal(0, 0.2, 3)
        )
        for blob in blobs
    ]
    lesions, truth = [], []
    for group in _groups(segmented):
        label_map, affine, inside = _rasterise(group, pose, to_lps)
        for label, shape in enumerate(lesion_shapes(label_map, affine), start=1):
            lesions.append(FollowedLesion(shape))
            mask = label_map == label
            truth.append(
                frozenset(blob.number for blob, where in zip(group, inside, strict=True) if (where & mask).any())
            )
    date = FIRST_DAY + datetime.timedelta(weeks=8 * number)
    visit = FollowedVisit(f"visit {number}", date, tuple(lesions), pose.inverse().then(error))
    return SimulatedVisit(visit, tuple(truth), centres)


def _missegmented(rng: np.random.Generator, blob: Blob) -> Blob:
    radii = blob.radii * rng.normal(1, 0.04, 3).clip(0.85, 1.15)
    return replace(blob, radii=radii, centre=blob.centre + rng.normal(0, 0.2, 3))


def _groups(blobs: Sequence[Blob]) -> list[list[Blob]]:
    """Part the blobs into those that might touch each other."""
    groups: list[list[Blob]] = []
    for blob in blobs:
        near = [g for g in groups if any(_apart(blob, other) < 4 for other in g)]
        groups = [g for g in groups if g not in near] + [[blob, *(other for g in near for other in g)]]
    return groups


def _apart(one: Blob, other: Blob) -> float:
    reach = 1.15 * (one.radii.max() + other.radii.max())
    return float(np.linalg.norm(one.centre - other.centre)) - reach


def _rasterise(
    group: Sequence[Blob], pose: RigidTransform, to_lps: Floats
) -> tuple[npt.NDArray[np.int32], Floats, list[npt.NDArray[np.bool_]]]:
    """Return the group's label map in a box of the visit's grid, its affine, and the voxels of each blob."""
    to_index = np.linalg.inv(to_lps)
    centres = pose.apply(np.array([blob.centre for blob in group])) @ to_index[:3, :3].T + to_index[:3, 3]
    reach = np.array([1.2 * blob.radii.max() for blob in group])[:, None] / np.linalg.norm(to_lps[:3, :3], axis=0) + 1
    first = np.floor((centres - reach).min(axis=0)).astype(int)
    shape = np.ceil((centres + reach).max(axis=0)).astype(int) - first + 1
    affine = to_lps.copy()
    affine[:3, 3] += to_lps[:3, :3] @ first
    points = np.moveaxis(np.indices(shape), 0, -1) @ affine[:3, :3].T + affine[:3, 3]
    inside = [blob.contains(pose.inverse().apply(points)) for blob in group]
    return label_lesions(np.any(inside, axis=0), affine, 3.0), affine, inside


def _direction(rng: np.random.Generator) -> Floats:
    vector = rng.normal(size=3)
    return np.asarray(vector / np.linalg.norm(vector))


def _motion(rng: np.random.Generator, degrees: float, shift: float) -> RigidTransform:
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec(np.radians(degrees) * _direction(rng)).as_matrix()
    matrix[:3, 3] = shift * _direction(rng)
    return RigidTransform(matrix)


@dataclass(frozen=True)
class Figures:
    """How well lesions were followed.

    Attributes
    ----------
    patients, lesions
        How many there were; lesions counted at every visit.
    links
        What was to be got right: for every lesion at every visit but the first, the set of lesions of earlier visits
        that it continues (none, one or several), and for every lesion not continued, that it has gone.
    wrong, wrong_unflagged
        Links got wrong, and those of them that nobody was told to look at.
    flagged
        Links that someone was told to look at, right or wrong.
    kinds
        How many links of each status were given.
    """

    patients: int
    lesions: int
    links: int
    wrong: int
    wrong_unflagged: int
    flagged: int
    kinds: dict[str, int]

    @property
    def right(self) -> float:
        return 1 - self.wrong / max(self.links, 1)


def score(courses: Sequence[tuple[Sequence[SimulatedVisit], Sequence[VisitLinks]]]) -> Figures:
    """Compare the links of patients with the truth."""
    verdicts = [verdict for course, links in courses for verdict in _verdicts(course, links)]
    return Figures(
        patients=len(courses),
        lesions=sum(len(one.blobs) for course, _ in courses for one in course),
        links=len(verdicts),
        wrong=sum(not right for right, _, _ in verdicts),
        wrong_unflagged=sum(not right and not flagged for right, flagged, _ in verdicts),
        flagged=sum(flagged for _, flagged, _ in verdicts),
        kinds={kind: sum(kind == other for *_, other in verdicts) for kind in sorted({kind for *_, kind in verdicts})},
    )


def _verdicts(course: Sequence[SimulatedVisit], links: Sequence[VisitLinks]) -> list[tuple[bool, bool, str]]:
    """Return for each link whether it is right, whether it is flagged, and its status."""
    verdicts = []
    last_of_blob: dict[int, tuple[int, int]] = {}  # (visit, lesion) that it was last part of
    last_of_uid: dict[str, tuple[int, int]] = {}
    into: dict[str, str] = {}
    for number, (simulated, found) in enumerate(zip(course, links, strict=True)):
        here = frozenset[int]().union(*simulated.blobs)
        present = {link.tracking_uid for link in found.lesions}
        truth = [{last_of_blob[blob] for blob in blobs if blob in last_of_blob} for blobs in simulated.blobs]
        for true, link in zip(truth, found.lesions, strict=True):
            names = [link.tracking_uid, link.part_of or "", *link.merged]
            given = {last_of_uid[uid] for uid in names if uid in last_of_uid}
            if number:
                verdicts.append((given == true, link.ambiguous, str(link.status)))
        for absence in found.absent:
            visit, lesion = last_of_uid[absence.tracking_uid]
            if absence.into is None:
                gone = course[visit].blobs[lesion]
                verdicts.append((not gone & here, absence.ambiguous, str(absence.status)))
            else:
                into[absence.tracking_uid] = absence.into
        for blob, last in last_of_blob.items():
            # What was missed of a lesion that is still there stays part of it, or of the nearest of its parts.
            heirs = [lesion for lesion, true in enumerate(truth) if last in true]
            if heirs and blob not in here:
                last_of_blob[blob] = number, simulated.nearest(blob, heirs)
        for lesion, (blobs, link) in enumerate(zip(simulated.blobs, found.lesions, strict=True)):
            last_of_blob.update(dict.fromkeys(blobs, (number, lesion)))
            last_of_uid[link.tracking_uid] = (number, lesion)
        into = {uid: survivor for uid, survivor in into.items() if uid not in present}
        last_of_uid.update({uid: last_of_uid[survivor] for uid, survivor in into.items()})
    return verdicts
