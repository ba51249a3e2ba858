"""Patients are followed again when other visits are theirs: one was corrected away, forgotten, or segmented."""

import numpy as np
import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError, OperationalError

from BDD import rethread_store, store
from BDD.models import Patient
from BDD.places import places_of, register_missing
from rano.following import thread
from rano.history import Rules
from tests import factory
from tests.api_factory import ApiSite
from tests.factory import Sphere
from tests.followup_factory import sized, study_of, visit
from tests.jobs_factory import MemoryArchive
from tests.test_bdd_following import see, visit_datasets
from tests.test_bdd_following import study_of as real_study_of

A, B, C = factory.LESIONS
SEG_ONLY = ("SEG",)
"""No report says where the visit stands: no visit is written again because others are known now."""


def beside(lesion, mm):
    x, y, z = lesion.centre_lps
    return Sphere((x + mm, y, z), lesion.radius_mm)


@pytest.fixture
def site(tmp_path):
    site = ApiSite(tmp_path, MemoryArchive())
    yield site
    site.close()


def timeline_of(site, patient_id="TEST-001"):
    (key,) = (one.key for one in store.list_patients(site.database) if one.patient_id == patient_id)
    return site.client.get(f"/patients/{key}/timeline").get_json()


def correct(site, number, lesions):
    """Let the PatientID of a visit be corrected, and the visit be segmented again."""
    see(site, number, lesions, patient_id="TEST-002", outputs=SEG_ONLY)


def forget(site, number, _lesions):
    """Let a study be deleted, and a minute go by."""
    assert site.client.delete(f"/delete-study/{real_study_of(number)}").status_code == 200
    site.worker.tidy()
    site.work()


def links(timeline):
    """Give how each lesion was followed to each visit, in a word, and whether that is in doubt."""
    return [
        [size and (size["relation"].partition(":")[0], size["ambiguous"]) for size in lesion["sizes"]]
        for lesion in timeline["lesions"]
    ]


def answers(timeline):
    return [visit["radiographic"] and visit["radiographic"]["response"] for visit in timeline["visits"]]


@pytest.mark.parametrize("lose", [correct, forget])
def test_lesions_that_only_the_lost_visit_joined_are_two(site, lose):
    between = [beside(A, 5), B]
    for number, lesions in ((1, [A, B]), (2, between), (3, [beside(A, 12), B])):
        see(site, number, lesions, outputs=SEG_ONLY)
    before = timeline_of(site)
    assert answers(before) == [None, "SD", "SD"]
    lose(site, 2, between)
    timeline = timeline_of(site)
    assert answers(timeline) == [None, "PD"]
    assert links(timeline) == [
        [("new", False), None],
        [("new", False), ("persisting", False)],
        [None, ("new", True)],
    ]
    assert timeline["lesions"][0]["tracking_uid"] == before["lesions"][0]["tracking_uid"]
    site.worker.tidy()
    site.work()
    assert timeline_of(site) == timeline, "again changes nothing"


@pytest.mark.parametrize("lose", [correct, forget])
def test_a_doubt_goes_with_the_visit_that_it_came_from(site, lose):
    between = [beside(A, 12)]
    for number, lesions in ((1, [A]), (2, between), (3, [A])):
        see(site, number, lesions, outputs=SEG_ONLY)
    assert "is not sure" in timeline_of(site)["visits"][2]["notes"][0]
    lose(site, 2, between)
    timeline = timeline_of(site)
    assert links(timeline) == [[("new", False), ("persisting", False)]]
    assert [visit["notes"] for visit in timeline["visits"]] == [[], []]


@pytest.mark.parametrize("lose", [correct, forget])
def test_the_visit_that_is_left_has_nothing_to_be_in_doubt_about(site, lose):
    see(site, 1, [A, B])
    see(site, 2, [beside(A, 12), B])
    assert "is not sure" in timeline_of(site)["visits"][1]["notes"][0]
    lose(site, 1, [A, B])
    timeline = timeline_of(site)
    assert links(timeline) == [[("new", False)]] * 2
    assert timeline["visits"][0]["notes"] == []


def decide(site, which, **values):
    lesion = timeline_of(site)["lesions"][which]
    answer = site.client.patch(f"/lesions/{lesion['id']}", json={**values, "version": lesion["version"]})
    assert answer.status_code == 200, answer.get_json()
    site.work()


@pytest.mark.parametrize("lose", [correct, forget])
def test_what_people_said_outlasts_that_the_patient_is_followed_again(site, lose):
    seen = [A, B, C]
    for number in (1, 2, 3):
        see(site, number, seen, outputs=SEG_ONLY)
    decide(site, 1, name="left frontal", target=False)
    decide(site, 2, merged_into=timeline_of(site)["lesions"][1]["id"])
    decide(site, 0, split_at=real_study_of(3))
    last = timeline_of(site)["visits"][2]
    body = {"verified": last["followed"], "version": last["assessment"]["version"]}
    assert site.client.post(f"/visits/{last['StudyInstanceUID']}/assessment", json=body).status_code == 200

    def said():
        fields = ("name", "role", "target", "merged_into", "split_from")
        return [[one[key] for key in fields] + [bool(one["sizes"][0]), bool(one["sizes"][-1])] for one in lesions()]

    def lesions():
        return timeline_of(site)["lesions"]

    before = said()
    lose(site, 2, seen)
    assert said() == before
    timeline = timeline_of(site)
    assert timeline["visits"][1]["followed"] == last["followed"], "what was found right still is"
    changes = site.client.get(f"/patients/{timeline['id']}/changes").get_json()["changes"]
    for one in [one for one in changes if {"split_at", "merged_into"} & one["after"].keys()]:
        assert site.client.post(f"/changes/{one['id']}/undo").status_code == 200
    site.work()
    site.worker.tidy()
    assert [(one["name"] == "left frontal", all(one["sizes"])) for one in lesions()] == [
        (False, True),
        (True, True),
        (False, True),
    ]


@pytest.mark.parametrize(
    ("mm", "merged", "split"), [(9, {2: 0}, None), (9, {2: 0, 3: 1}, None), (10.5, {2: 0}, None), (2, {}, 0)]
)
def test_what_is_found_right_just_after_a_decision_stays_so_when_that_is_followed(site, mm, merged, split):
    see(site, 1, [A, B], outputs=SEG_ONLY)
    see(site, 2, [beside(A, 2 if split is not None else 12), beside(B, mm)], outputs=SEG_ONLY)
    lesions = timeline_of(site)["lesions"]
    decisions = {which: {"merged_into": lesions[into]["id"]} for which, into in merged.items()}
    if split is not None:
        decisions[split] = {"split_at": real_study_of(2)}
    for which, values in decisions.items():  # nothing is followed yet
        body = {**values, "version": lesions[which]["version"]}
        assert site.client.patch(f"/lesions/{lesions[which]['id']}", json=body).status_code == 200
    seen = timeline_of(site)["visits"][1]
    assert marked(site.database) == ["TEST-001"]
    body = {"verified": seen["followed"], "version": seen["assessment"]["version"]}
    assert site.client.post(f"/visits/{seen['StudyInstanceUID']}/assessment", json=body).status_code == 200
    site.worker.tidy()
    site.work()
    assert marked(site.database) == []
    after = timeline_of(site)["visits"][1]
    assert after["followed"] == seen["followed"]
    assert not any("is not sure" in note for note in after["notes"])


def test_a_date_corrected_in_the_archive_changes_the_order_even_when_nothing_is_segmented_again(site):
    lesions = {1: [A, B], 2: [beside(A, 5), B], 3: [beside(A, 12), B]}
    for number, found in lesions.items():
        see(site, number, found, outputs=SEG_ONLY)
    assert np.shape(links(timeline_of(site)))[0] == 2, "visit 2 joins the others"
    for dataset in visit_datasets(2, lesions[2], date="20240901"):
        site.archive.instances[str(dataset.SOPInstanceUID)] = dataset
    decide(site, 0, name="left frontal")
    site.worker.recover()
    site.work()
    site.worker.tidy()
    site.work()
    timeline = timeline_of(site)
    assert [one["StudyInstanceUID"] for one in timeline["visits"]] == [real_study_of(n) for n in (1, 3, 2)]
    assert links(timeline) == [
        [None, ("new", True), ("persisting", True)],
        [("new", False), ("persisting", False), ("persisting", False)],
        [("new", False), None, None],
    ]


# -- Whom it concerns, and what goes wrong --------------------------------------------------------------------------


@pytest.fixture
def followed(monkeypatch):
    """Give the studies that are followed together, each time."""
    calls = []

    def threaded(visits):
        calls.append([one.visit for one in visits])
        return thread(visits)

    monkeypatch.setattr(rethread_store, "thread", threaded)
    return calls


def marked(database):
    with database.reading() as session:
        return list(session.scalars(select(Patient.patient_id).where(Patient.unfollowed_at.is_not(None))))


def three_patients(database, worker):
    for number, patient_id in ((1, "X"), (2, "X"), (3, "Y"), (4, "Z")):
        visit(database, worker, number, [sized(1, 12)], patient_id=patient_id)


def test_only_patients_with_other_visits_than_before_are_followed_again(database, worker, followed):
    three_patients(database, worker)
    rethread_store.follow_again(database)
    assert followed == [[study_of(1), study_of(2)], [study_of(3)], [study_of(4)]]
    followed.clear()
    visit(database, worker, 2, [sized(1, 12)], patient_id="Y")
    assert marked(database) == ["X", "Y"]
    rethread_store.follow_again(database)
    assert followed == [[study_of(1)], [study_of(2), study_of(3)]]
    followed.clear()
    store.forget_study(database, study_of(3))
    store.forget_study(database, study_of(4))
    rethread_store.follow_again(database)
    rethread_store.follow_again(database)
    assert followed == [[study_of(2)]]


def test_a_decision_about_which_lesions_are_one_is_followed_and_no_other(database, worker):
    visit(database, worker, 1, [sized(1, 12), sized(2, 9)])
    rethread_store.follow_again(database)
    (patient,) = store.list_patients(database)
    first, second = store.load_timeline(database, patient.key, Rules()).lesions
    store.edit_lesion(database, first.key, {"target": False, "name": "left"}, version=1, made_by="ana")
    assert marked(database) == []
    store.edit_lesion(database, second.key, {"merged_into": first.key}, version=1, made_by="ana")
    assert marked(database) == [patient.patient_id]


def test_a_visit_that_goes_meanwhile_is_not_overlooked(database, worker, monkeypatch):
    three_patients(database, worker)

    def meanwhile(*of_patient):
        store.forget_study(database, study_of(2))
        return register_missing(*of_patient)

    with monkeypatch.context() as patch:
        patch.setattr(rethread_store, "register_missing", meanwhile)
        rethread_store.follow_again(database)
    assert marked(database) == ["X"]
    rethread_store.follow_again(database)
    assert marked(database) == []


@pytest.mark.parametrize(
    "error",
    [
        ValueError("two lesions of one visit are to be the same"),
        RuntimeError("the registration failed"),
        IntegrityError("INSERT", {}, Exception("UNIQUE constraint failed")),
    ],
)
def test_a_patient_who_contradicts_himself_keeps_no_other_waiting(
    database, worker, followed, monkeypatch, caplog, error
):
    three_patients(database, worker)

    def contradicting(session, key):
        if key == 1:
            raise error
        return places_of(session, key)

    monkeypatch.setattr(rethread_store, "places_of", contradicting)
    rethread_store.follow_again(database)
    assert followed == [[study_of(3)], [study_of(4)]]
    assert "could not be followed again" in caplog.text
    assert "Doe" not in caplog.text
    assert marked(database) == [], "the next change is waited for"


def test_a_database_that_does_not_answer_is_asked_again_later(site, monkeypatch, caplog):
    def fail(*_):
        raise OperationalError("SELECT 1", {}, Exception("the database is locked"))

    with monkeypatch.context() as patch:
        patch.setattr(rethread_store, "places_of", fail)
        see(site, 1, [A], outputs=SEG_ONLY)
    assert marked(site.database) == ["TEST-001"]
    assert "followed again later" in caplog.text
    site.worker.tidy()
    assert marked(site.database) == []
    assert np.shape(links(timeline_of(site))) == (1, 1, 2)
