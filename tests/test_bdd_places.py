"""How visits lie to each other: over any series of the patient, by the fewest steps, in the largest group."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sqlalchemy import update

import BDD.places
from BDD.followup_models import VisitImage
from BDD.models import Patient, Series, Study
from BDD.places import Base, Places, keep_registration, place_of, places_of, register_missing
from rano.reduced import ReducedVolume
from rano.registration import Registration
from rano.rigid import RigidTransform


@pytest.fixture
def session(database):
    with database.writing() as session:
        yield session


def patient(session, frames):
    """Enter a patient with one series for each frame of reference, keys 1, 2, ..."""
    one = Patient(patient_id="A", patient_name="")
    for number, frame in enumerate(frames, start=1):
        study = Study(study_instance_uid=f"1.{number}", patient=one)
        series = Series(series_instance_uid=f"2.{number}", study=study, modality="MR", series_description="")
        session.add(series)
        session.flush()
        assert series.id == number
        session.add(VisitImage(series_key=number, frame_of_reference_uid=frame, image=b""))
    session.flush()
    return one.id


def join(session, earlier, later, shift, *, ok=True, edges=0.9):
    matrix = np.eye(4)
    matrix[:3, 3] = shift
    keep_registration(
        session, earlier, later, Registration(RigidTransform(matrix), 1.0, edges, 0.9, ok, "well" if ok else "badly")
    )
    session.flush()


def shifts(places):
    return {key: None if place is None else place.matrix[:3, 3].tolist() for key, (place, _) in places.items()}


def test_a_way_leads_over_other_visits_in_either_direction(session):
    key = patient(session, ["a", "b", "c"])
    join(session, 2, 1, (1, 0, 0))  # from 1 to 2
    join(session, 2, 3, (0, 5, 0))  # from 3 to 2
    assert shifts(places_of(session, key)) == {1: [0, 0, 0], 2: [-1, 0, 0], 3: [-1, 5, 0]}


def test_a_shared_frame_of_reference_goes_before_a_registration(session):
    key = patient(session, ["a", "a"])
    join(session, 1, 2, (0.3, 0, 0))
    assert shifts(places_of(session, key)) == {1: [0, 0, 0], 2: [0, 0, 0]}


def test_one_visit_that_nothing_fits_does_not_leave_the_others_without_a_place(session):
    key = patient(session, ["a", "b", "c", None])
    join(session, 1, 2, (0, 0, 0), ok=False)
    join(session, 2, 3, (0, 0, 7))
    places = places_of(session, key)
    assert shifts(places) == {1: None, 2: [0, 0, 0], 3: [0, 0, 7], 4: None}
    assert places[4][1] == "it was not registered"


def test_of_equal_groups_the_one_known_first_has_the_place(session):
    key = patient(session, ["a", "b"])
    join(session, 1, 2, (0, 0, 0), ok=False)
    places = places_of(session, key)
    assert shifts(places) == {1: [0, 0, 0], 2: None}
    assert places[2][1] == "badly"


def test_a_pair_registered_again_has_the_newest_word(session):
    key = patient(session, ["a", "b"])
    join(session, 1, 2, (0, 0, 0), ok=False)
    join(session, 1, 2, (0, 2, 0))
    assert shifts(places_of(session, key)) == {1: [0, 0, 0], 2: [0, 2, 0]}


DOUBT = "correlation of the heads' edges 0.60 is below 0.8"


def test_a_place_over_a_registration_in_doubt_is_in_doubt(session):
    key = patient(session, ["a", "b", "c", "c"])
    join(session, 1, 2, (0, 2, 0), edges=0.6)
    join(session, 2, 3, (0, 0, 7), ok=False)
    places = places_of(session, key)
    assert shifts(places) == {1: None, 2: None, 3: [0, 0, 0], 4: [0, 0, 0]}, "without a doubt goes before with one"
    join(session, 2, 3, (0, 0, 7))
    places = places_of(session, key)
    assert shifts(places) == {1: [0, -2, 0], 2: [0, 0, 0], 3: [0, 0, 7], 4: [0, 0, 7]}
    assert [doubt for _, doubt in places.values()] == [DOUBT, "", "", ""]


def test_a_way_around_a_registration_in_doubt_takes_the_doubt_away(session):
    key = patient(session, ["a", "b", "c"])
    join(session, 1, 2, (0, 9, 0), edges=0.6)
    join(session, 1, 3, (0, 0, 5))
    join(session, 3, 2, (0, 2, 0))
    places = places_of(session, key)
    assert shifts(places) == {1: [0, 0, 0], 2: [0, 2, 5], 3: [0, 0, 5]}
    assert {doubt for _, doubt in places.values()} == {""}


@pytest.mark.parametrize(("edges", "tried", "place", "doubt"), [([0.6, 0.9], 2, 2, ""), ([0.6, 0.6, 0.7], 3, 1, DOUBT)])
def test_a_visit_registered_in_doubt_is_registered_to_others_too(monkeypatch, edges, tried, place, doubt):
    left = iter(edges)
    monkeypatch.setattr(
        BDD.places, "register", lambda *_: Registration(RigidTransform.identity(), 1.0, next(left), 0.9, True, "well")
    )
    image = ReducedVolume(np.zeros((2, 2, 2), np.uint8), np.eye(4))
    bases = [Base(number, None, image) for number in (1, 2, 3)]
    places: Places = {number: (RigidTransform(shifted(number)), "") for number in (1, 2, 3)}
    found, registrations, trouble = place_of(None, image, bases, places)
    assert found is not None
    assert (found.matrix[0, 3], len(registrations), trouble) == (place, tried, doubt)


def shifted(x):
    matrix = np.eye(4)
    matrix[0, 3] = x
    return matrix


def test_a_patient_without_visits_has_no_places(session):
    assert places_of(session, 7) == {}


def test_tries_to_register_to_visits_that_have_gone_to_another_patient_do_not_count(session, monkeypatch):
    key = patient(session, ["a", "b", "c", "d", "e"])
    for moved in (1, 2, 3):
        join(session, moved, 5, (0, 0, 0), ok=False)
    other = Patient(patient_id="B", patient_name="")
    for number in (1, 2, 3):
        session.get_one(Series, number).study.patient = other
    image = ReducedVolume(np.zeros((2, 2, 2), np.uint8), np.eye(4)).to_bytes()
    session.execute(update(VisitImage).values(image=image))
    registered = Registration(RigidTransform.identity(), 1.0, 0.9, 0.9, True, "well")
    monkeypatch.setattr(BDD.places, "register", lambda *_: registered)
    jobs: list[Any] = [SimpleNamespace(series_key=number, series=session.get_one(Series, number)) for number in (4, 5)]
    assert set(register_missing(session, jobs, places_of(session, key))) == {(4, 5)}
