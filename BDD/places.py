"""How the visits of a patient lie to each other: by registration, or by a frame of reference that they share."""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import delete, or_, select
from sqlalchemy.orm import Session, undefer

from BDD.followup_models import RegistrationRow, VisitImage
from BDD.followup_store import study_of
from BDD.models import Job, Series, Study
from rano.reduced import ReducedVolume
from rano.registration import Registration, doubt_by, register
from rano.rigid import RigidTransform

Places = dict[int, tuple[RigidTransform | None, str]]
"""By the key of a series: from its coordinates to those common to the patient; why that is not known, or in doubt."""

Place = tuple[RigidTransform, str]
"""A place that is known; the words are empty when it can be relied on."""

Steps = dict[int, dict[int, Place]]
"""``steps[a][b]`` leads from the coordinates of series b to those of series a."""

_TRIES = 3
"""A visit is registered to so many others at most, until one registration can be relied on."""


def places_of(session: Session, patient_key: int, *, without: int | None = None) -> Places:
    """Give how each series of a patient lies in their common coordinates, and why that is not known or in doubt.

    All series count, also those that speak for their study no more: a way from visit to visit may lead over them.
    The coordinates are those of the series that became known first, among those that a way without a doubt joins to
    the most others. From these, ways lead on over registrations that are in doubt, and so is what lies there.
    ``without`` is a series (its key) of which nothing counts.
    """
    of_patient = (
        select(Series.id).join(Series.study).where(Study.patient_key == patient_key, Series.id != (without or 0))
    )
    images = session.scalars(
        select(VisitImage).where(VisitImage.series_key.in_(of_patient)).order_by(VisitImage.series_key)
    ).all()
    series = session.scalars(of_patient.order_by(Series.id)).all()
    rows = session.scalars(
        select(RegistrationRow).where(RegistrationRow.earlier_key.in_(series), RegistrationRow.later_key.in_(series))
    ).all()
    steps: Steps = {key: {} for key in series}
    for image in images:
        for other in images:
            frame = image.frame_of_reference_uid
            if frame and frame == other.frame_of_reference_uid and image is not other:
                steps[image.series_key][other.series_key] = RigidTransform.identity(), ""
    doubts = {row.id: doubt_by(row.quality["edge_correlation"]) for row in rows}
    for row in sorted(rows, key=lambda row: bool(doubts[row.id])):  # of two of the same pair the surer one counts
        if row.ok:
            step, doubt = RigidTransform(np.reshape(row.matrix, (4, 4))), doubts[row.id]
            steps[row.earlier_key].setdefault(row.later_key, (step, doubt))
            steps[row.later_key].setdefault(row.earlier_key, (step.inverse(), doubt))
    places: Places = {
        key: (None, next((row.reason for row in rows if row.later_key == key), "it was not registered"))
        for key in series
    }
    sure = {key: {other: step for other, step in by_other.items() if not step[1]} for key, by_other in steps.items()}
    groups: list[dict[int, Place]] = []
    for image in images:
        if not any(image.series_key in group for group in groups):
            groups.append(_reached_from({image.series_key: (RigidTransform.identity(), "")}, sure))
    return places | _reached_from(max(groups, key=len, default={}), steps)


def _reached_from(start: Mapping[int, Place], steps: Steps) -> dict[int, Place]:
    """Give the series that steps join to those placed already, and the place of each, by the fewest steps."""
    reached = dict(start)
    order = list(reached)
    for known in order:  # grows as it goes
        place, doubt = reached[known]
        for other, (step, doubtful) in steps[known].items():
            if other not in reached:
                reached[other] = step.then(place), doubt or doubtful
                order.append(other)
    return reached


@dataclass(frozen=True)
class Base:
    series_key: int
    frame_of_reference_uid: str | None
    image: ReducedVolume


def bases_for(session: Session, jobs: Sequence[Job], date: datetime.date | None) -> list[Base]:
    """Give the images that a visit of this date may be registered to, those nearest in time first."""

    def distance(job: Job) -> float:
        other = study_of(job).study_date
        return abs((other - date).days) if other and date else float("inf")

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
    tries: int = _TRIES,
) -> tuple[RigidTransform | None, dict[int, Registration], str]:
    """Find a visit's place: as one in the same frame of reference, or registered to one whose place is known.

    Where that fails, or is in doubt, it is registered to others too: once they are joined to each other, more is known
    than before.
    """
    for base in bases:
        place, doubt = places[base.series_key]
        if place is not None and frame_of_reference_uid and base.frame_of_reference_uid == frame_of_reference_uid:
            return place, {}, doubt
    registrations: dict[int, Registration] = {}
    in_doubt: list[Place] = []
    trouble = "no other visit can be registered to"
    for base in sorted(bases, key=lambda base: places[base.series_key][0] is None)[:tries]:
        registration = registrations[base.series_key] = register(image, base.image)
        place, doubt = places[base.series_key]
        if not registration.ok:
            trouble = registration.reason
        elif place is not None:
            place, doubt = registration.transform.then(place), doubt or registration.doubt
            if not doubt:
                return place, registrations, ""
            in_doubt.append((place, doubt))
    place, trouble = in_doubt[0] if in_doubt else (None, trouble)
    return place, registrations, trouble


def register_missing(session: Session, jobs: Sequence[Job], places: Places) -> dict[tuple[int, int], Registration]:
    """Register the visits that have no place to others that they were not registered to yet.

    Ways are lost when a study is forgotten, and were never sought between visits segmented at the same time.

    Returns
    -------
    dict
        By the keys of the series registered to, and of the one registered.
    """
    missing = [job for job in jobs if job.series_key is not None and places[job.series_key][0] is None]
    keys = [job.series_key for job in missing]
    pairs = select(RegistrationRow.earlier_key, RegistrationRow.later_key).where(
        RegistrationRow.earlier_key.in_(keys) | RegistrationRow.later_key.in_(keys)
    )
    # A visit that has gone to another patient may have been tried in vain; it counts no more.
    tried = {pair for one in session.execute(pairs) if (pair := frozenset(one)) <= places.keys()} if missing else set()
    found: dict[tuple[int, int], Registration] = {}
    for job in missing:
        key = job.series_key
        image = session.get(VisitImage, key, options=[undefer(VisitImage.image)])
        if key is None or image is None:
            continue
        others = [other for other in jobs if other is not job and frozenset((other.series_key, key)) not in tried]
        left = _TRIES - sum(key in pair for pair in tried)
        if not others or left <= 0:
            continue
        _, registrations, _ = place_of(
            image.frame_of_reference_uid,
            ReducedVolume.from_bytes(image.image),
            bases_for(session, others, study_of(job).study_date),
            places,
            left,
        )
        found |= {(other, key): registration for other, registration in registrations.items()}
        tried |= {frozenset((other, key)) for other in registrations}
    return found


def forget_registrations(session: Session, series_key: int) -> None:
    """Forget how a series lies to others: its images are others now."""
    either = or_(RegistrationRow.earlier_key == series_key, RegistrationRow.later_key == series_key)
    session.execute(delete(RegistrationRow).where(either))


def keep_registration(session: Session, earlier: int, later: int, registration: Registration) -> None:
    """Keep how series ``later`` lies to ``earlier``; the newest word holds."""
    pair = (RegistrationRow.earlier_key == earlier, RegistrationRow.later_key == later)
    row = session.scalar(select(RegistrationRow).where(*pair))
    if row is None:
        row = RegistrationRow(earlier_key=earlier, later_key=later)
    row.matrix = registration.transform.matrix.ravel().tolist()
    row.ok, row.reason = bool(registration.ok), registration.reason
    names = ("mutual_information", "edge_correlation", "overlap")
    row.quality = {name: float(getattr(registration, name)) for name in names}
    session.add(row)
