"""How the visits of a patient lie to each other: by registration, or by a frame of reference that they share."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session, undefer

from BDD.followup_models import RegistrationRow, VisitImage
from BDD.followup_store import study_of
from BDD.models import Job
from BDD.records import SeriesRecord
from rano.reduced import ReducedVolume
from rano.registration import Registration, register
from rano.rigid import RigidTransform

Places = dict[int, tuple[RigidTransform | None, str]]
"""By the key of a series: from its coordinates to those common to the patient, or why that is not known."""

_TRIES = 3
"""A visit is registered to so many others at most, until one registration can be trusted."""


def places_of(session: Session, series: Sequence[int]) -> Places:
    """Give how each series lies in the coordinates of the one that became known first, or why that is not known."""
    images = {
        image.series_key: image
        for image in session.scalars(select(VisitImage).where(VisitImage.series_key.in_(series)))
    }
    rows = session.scalars(
        select(RegistrationRow).where(RegistrationRow.earlier_key.in_(series), RegistrationRow.later_key.in_(series))
    ).all()
    steps: dict[int, list[tuple[int, RigidTransform]]] = {key: [] for key in series}
    for row in rows:
        if row.ok:
            step = RigidTransform(np.reshape(row.matrix, (4, 4)))
            steps[row.later_key].append((row.earlier_key, step))
            steps[row.earlier_key].append((row.later_key, step.inverse()))
    for key, image in images.items():
        for other, same in images.items():
            if (
                key != other
                and image.frame_of_reference_uid
                and image.frame_of_reference_uid == same.frame_of_reference_uid
            ):
                steps[key].append((other, RigidTransform.identity()))
    places: Places = {
        key: (None, next((row.reason for row in rows if row.later_key == key), "it was not registered"))
        for key in series
    }
    if not images:
        return places
    # Outwards from the first; a step leads from a series to one whose place is known.
    anchor = min(images)
    places[anchor] = (RigidTransform.identity(), "")
    reached = [anchor]
    for known in reached:  # grows as it goes
        base = places[known][0]
        assert base is not None, "only what has a place is reached"
        for key in series:
            leads = next((step for other, step in steps[key] if other == known), None)
            if places[key][0] is None and leads is not None:
                places[key] = (leads.then(base), "")
                reached.append(key)
    return places


@dataclass(frozen=True)
class Base:
    series_key: int
    frame_of_reference_uid: str | None
    image: ReducedVolume


def bases_for(session: Session, jobs: Sequence[Job], record: SeriesRecord) -> list[Base]:
    """Give the images that a new visit may be registered to, those nearest in time first."""

    def distance(job: Job) -> float:
        date = study_of(job).study_date
        return abs((date - record.study_date).days) if date and record.study_date else float("inf")

    order = [job.series_key for job in sorted(jobs, key=distance)]
    query = select(VisitImage).where(VisitImage.series_key.in_(order)).options(undefer(VisitImage.image))
    images = {image.series_key: image for image in session.scalars(query)}
    return [
        Base(image.series_key, image.frame_of_reference_uid, ReducedVolume.from_bytes(image.image))
        for image in (images[key] for key in order if key in images)
    ]


def place_of(
    frame_of_reference_uid: str | None,
    image: ReducedVolume,
    bases: Sequence[Base],
    places: Places,
) -> tuple[RigidTransform | None, dict[int, Registration], str]:
    """Find the new visit's place: as one in the same frame of reference, or registered to one whose place is known."""
    placed = [(base, place) for base in bases if (place := places[base.series_key][0]) is not None]
    for base, place in placed:
        if frame_of_reference_uid and base.frame_of_reference_uid == frame_of_reference_uid:
            return place, {}, ""
    registrations: dict[int, Registration] = {}
    trouble = "no other visit can be registered to"
    for base, place in placed[:_TRIES]:
        registration = registrations[base.series_key] = register(image, base.image)
        if registration.ok:
            return registration.transform.then(place), registrations, ""
        trouble = registration.reason
    return None, registrations, trouble
