"""The follow-up in the database: timelines, decisions and their undoing, two people at one lesion, odd patients."""

import threading
from datetime import timedelta

import numpy as np
import pytest
from sqlalchemy import select, update

from BDD import store
from BDD.course_store import course, standing_of
from BDD.followup_models import Finding, TrackedLesion, VisitAssessment
from BDD.packing import pack_label_map, unpack_label_map
from BDD.visits import known_patient
from rano.history import Rules
from rano.matching import inherit_tracking
from tests.followup_factory import FIRST_DAY, patient_key, put_in_doubt, sized, study_of, visit
from tests.present import present
from tests.store_factory import series_record


def timeline_of(database):
    return store.load_timeline(database, patient_key(database), Rules())


def lesion_named(timeline, name):
    return next(lesion for lesion in timeline.lesions if lesion.name == name)


def responses(timeline):
    return [v.response.radiographic.response if v.response.radiographic else None for v in timeline.visits]


# -- The timeline --------------------------------------------------------------------------------------------------


def test_sums_percents_and_responses(database, worker):
    visit(database, worker, 1, [sized(1, 20.0), sized(2, 10.0)])
    visit(database, worker, 2, [sized(1, 12.0), sized(2, 8.0)])
    visit(database, worker, 3, [sized(1, 19.0), sized(2, 8.0), sized(3, 6.0)])
    timeline = timeline_of(database)
    assert [v.response.diameters.total for v in timeline.visits] == [30.0, 20.0, 27.0]
    assert timeline.visits[1].response.diameters.from_baseline_percent == -33.33
    assert timeline.visits[2].response.diameters.from_nadir_percent == pytest.approx(35.0)
    assert responses(timeline) == [None, "PR", "PD"]
    assert "35.00 %" in timeline.visits[2].response.radiographic.reason
    assert [lesion.role for lesion in timeline.lesions] == ["target", "target", "new"]
    assert [size and size.longest_mm for size in timeline.lesions[2].sizes] == [None, None, 6.0]


def test_a_visit_that_arrives_late_takes_its_place(database, worker):
    visit(database, worker, 2, [sized(1, 12.0)])
    visit(database, worker, 1, [sized(1, 20.0)])
    timeline = timeline_of(database)
    assert [v.study_instance_uid for v in timeline.visits] == [study_of(1), study_of(2)]
    assert timeline.assessment.baseline == study_of(1)
    assert responses(timeline) == [None, "PR"]


def test_the_newest_segmentation_speaks_for_the_visit(database, worker):
    visit(database, worker, 1, [sized(1, 20.0)])
    visit(database, worker, 1, [sized(1, 14.0)])
    timeline = timeline_of(database)
    assert [size.longest_mm for size in timeline.lesions[0].sizes] == [14.0]


def test_two_visits_on_one_day(database, worker):
    visit(database, worker, 1, [sized(1, 20.0)], day=FIRST_DAY)
    visit(database, worker, 2, [sized(1, 12.0)], day=FIRST_DAY)
    timeline = timeline_of(database)
    assert len(timeline.visits) == 2
    assert any("another visit on this day" in note for v in timeline.visits for note in v.response.notes)


def test_visits_without_a_date_have_no_place(database, worker):
    visit(database, worker, 1, [sized(1, 20.0)], undated=True)
    timeline = timeline_of(database)
    assert timeline.assessment.baseline is None
    assert timeline.visits[0].response.role == "unplaced"
    assert timeline.visits[0].response.radiographic.response == "NE"
    assert [lesion.role for lesion in timeline.lesions] == ["unplaced"]


def test_no_lesion_at_all(database, worker):
    visit(database, worker, 1, [])
    visit(database, worker, 2, [])
    timeline = timeline_of(database)
    assert timeline.lesions == ()
    assert responses(timeline) == [None, "no evidence of disease"]


def test_two_hundred_lesions(database, worker):
    visit(database, worker, 1, [sized(n, 10.0 + n / 10) for n in range(1, 201)])
    visit(database, worker, 2, [sized(n, 10.0 + n / 10) for n in range(1, 201)])
    timeline = timeline_of(database)
    assert len(timeline.lesions) == 200
    assert sum(lesion.role == "target" for lesion in timeline.lesions) == 5
    assert responses(timeline) == [None, "SD"]


def test_patients_without_an_id_stay_apart(database, worker):
    visit(database, worker, 1, [sized(1, 20.0)], patient_id=None)
    visit(database, worker, 2, [sized(1, 20.0)], patient_id=None)
    assert [patient.visits for patient in store.list_patients(database)] == [1, 1]


def test_there_is_no_such_patient(database):
    with pytest.raises(store.PatientNotFoundError):
        store.load_timeline(database, 7, Rules())


# -- Decisions -----------------------------------------------------------------------------------------------------


def edit(database, which, version=1, made_by="ana", **values):
    key = lesion_named(timeline_of(database), which).key
    return store.edit_lesion(database, key, values, version=version, made_by=made_by)


def test_a_lesion_ruled_out_as_target(database, worker):
    visit(database, worker, 1, [sized(1, 20.0), sized(2, 15.0)])
    edit(database, "GTV_MetIA_1", target=False)
    assert [lesion.role for lesion in timeline_of(database).lesions] == ["non_target", "target"]


def test_no_lesion_after_all_and_back_again(database, worker):
    visit(database, worker, 1, [sized(1, 20.0)])
    visit(database, worker, 2, [sized(1, 20.0), sized(2, 9.0)])
    assert responses(timeline_of(database)) == [None, "PD"]
    edit(database, "GTV_MetIA_2", not_a_lesion=True)
    timeline = timeline_of(database)
    assert responses(timeline) == [None, "SD"]
    assert lesion_named(timeline, "GTV_MetIA_2").role == "not_a_lesion"
    (change,) = store.list_changes(database, timeline.patient_key)
    assert (change.before, change.after, change.made_by) == ({"not_a_lesion": False}, {"not_a_lesion": True}, "ana")
    undone = store.undo_change(database, change.id, made_by="ben")
    assert (undone.undoes, undone.made_by) == (change.id, "ben")
    assert responses(timeline_of(database)) == [None, "PD"]
    store.undo_change(database, undone.id, made_by="ana")
    assert responses(timeline_of(database)) == [None, "SD"]


def test_two_findings_become_one_lesion_and_part_again(database, worker):
    visit(database, worker, 1, [sized(1, 20.0, "2.25.1", "A")])
    visit(database, worker, 2, [sized(1, 14.0, "2.25.9", "B")])
    timeline = timeline_of(database)
    assert lesion_named(timeline, "B").role == "new"
    edit(database, "B", merged_into=lesion_named(timeline, "A").key)
    timeline = timeline_of(database)
    assert [size.longest_mm for size in lesion_named(timeline, "A").sizes] == [20.0, 14.0]
    assert lesion_named(timeline, "B").role == "merged"
    assert responses(timeline) == [None, "PR"]
    assert [one.lesion.name for one in store.study_lesions(database, study_of(2))] == ["A"]
    edit(database, "B", version=2, merged_into=None)
    assert responses(timeline_of(database)) == [None, "PD"]


def test_parts_of_one_lesion_at_the_same_visit_are_added(database, worker):
    visit(database, worker, 1, [sized(1, 20.0)])
    visit(database, worker, 2, [sized(1, 12.0), sized(2, 11.0)])
    edit(database, "GTV_MetIA_2", merged_into=lesion_named(timeline_of(database), "GTV_MetIA_1").key)
    timeline = timeline_of(database)
    size = lesion_named(timeline, "GTV_MetIA_1").sizes[1]
    assert (size.longest_mm, size.parts) == (23.0, 2)
    assert timeline.visits[1].response.diameters.total == 23.0
    assert responses(timeline) == [None, "SD"]


def test_a_merged_lesion_that_is_ruled_out_as_a_target_is_none_with_all_its_parts(database, worker):
    visit(database, worker, 1, [sized(1, 20.0), sized(2, 15.0), sized(3, 30.0)])
    visit(database, worker, 2, [sized(1, 35.0), sized(3, 30.0)])
    first, second, third = (f"GTV_MetIA_{n}" for n in (1, 2, 3))
    edit(database, second, merged_into=lesion_named(timeline_of(database), first).key)
    edit(database, first, target=False)
    timeline = timeline_of(database)
    assert lesion_named(timeline, first).role == "non_target"
    assert lesion_named(timeline, third).role == "target"
    assert [present(one.response.diameters).total for one in timeline.visits] == [30.0, 30.0]
    assert responses(timeline) == [None, "SD"]


def test_what_is_no_lesion_is_no_part_of_the_lesion_it_was_merged_into(database, worker):
    visit(database, worker, 1, [sized(1, 20.0), sized(2, 11.0)])
    edit(database, "GTV_MetIA_2", not_a_lesion=True)
    whole = lesion_named(timeline_of(database), "GTV_MetIA_1")
    edit(database, "GTV_MetIA_2", version=2, merged_into=whole.key)
    timeline = timeline_of(database)
    (size,) = lesion_named(timeline, "GTV_MetIA_1").sizes
    assert (size.longest_mm, size.parts) == (20.0, 1)
    assert timeline.visits[0].response.diameters.total == 20.0


def test_a_part_of_a_target_is_no_new_lesion_in_the_table_either(database, worker):
    visit(database, worker, 1, [sized(1, 20.0)])
    job = visit(database, worker, 2, [sized(1, 10.0), sized(2, 9.0)])
    part = update(Finding).where(Finding.lesion_key == job.lesions[1].id).values(part_of="2.25.1")
    with database.writing() as session:
        session.execute(part)
    timeline = timeline_of(database)
    assert (responses(timeline), timeline.visits[1].response.new_lesions) == ([None, "SD"], ())
    assert [lesion.role for lesion in timeline.lesions] == ["target", "target"]


@pytest.mark.parametrize("into", ["itself", "a circle", "another patient's", "nobody"])
def test_merges_that_make_no_sense(database, worker, into):
    visit(database, worker, 1, [sized(1, 20.0), sized(2, 15.0)])
    first, second = timeline_of(database).lesions
    keys = {"itself": first.key, "a circle": second.key, "nobody": 999}
    if into == "a circle":
        store.edit_lesion(database, second.key, {"merged_into": first.key}, version=1, made_by="ana")
    if into == "another patient's":
        visit(database, worker, 5, [sized(1, 20.0)], patient_id="B-1")
        keys[into] = timeline_of(database).lesions[0].key
    with pytest.raises(store.EditRefusedError):
        store.edit_lesion(database, first.key, {"merged_into": keys[into]}, version=1, made_by="ana")


def split(database, which, number, version=1):
    key = lesion_named(timeline_of(database), which).key
    return store.edit_lesion(database, key, {"split_at": study_of(number)}, version=version, made_by="ana")


def seen_at(timeline):
    return {one.name: [bool(size) for size in one.sizes] for one in timeline.lesions}


def test_from_a_visit_on_it_is_another_lesion_and_the_same_again(database, worker):
    for number in (1, 2, 3, 4):
        visit(database, worker, number, [sized(1, 20.0)])
    assert split(database, "GTV_MetIA_1", 3).version == 2
    timeline = timeline_of(database)
    assert seen_at(timeline) == {"GTV_MetIA_1": [True, True, False, False], "GTV_MetIA_2": [False, False, True, True]}
    first, second = timeline.lesions
    assert (second.split_from, second.role) == (first.key, "new")
    assert second.tracking_uid != first.tracking_uid
    assert responses(timeline) == [None, "SD", "PD", "PD"]
    (change,) = store.list_changes(database, timeline.patient_key)
    assert (change.subject_key, change.made_by, change.after["split_from"]) == (second.key, "ana", first.key)
    undone = store.undo_change(database, change.id, made_by="ben")
    assert seen_at(timeline_of(database)) == {"GTV_MetIA_1": [True] * 4}
    store.undo_change(database, undone.id, made_by="ana")
    assert seen_at(timeline_of(database)) == seen_at(timeline)


def test_split_twice_and_undone_in_turn(database, worker):
    for number in (1, 2, 3):
        visit(database, worker, number, [sized(1, 20.0)])
    split(database, "GTV_MetIA_1", 2)
    split(database, "GTV_MetIA_2", 3)
    assert seen_at(timeline_of(database)) == {
        "GTV_MetIA_1": [True, False, False],
        "GTV_MetIA_2": [False, True, False],
        "GTV_MetIA_3": [False, False, True],
    }
    second, first = store.list_changes(database, patient_key(database))
    with pytest.raises(store.EditRefusedError, match="undo that first"):
        store.undo_change(database, first.id, made_by="ana")
    store.undo_change(database, second.id, made_by="ana")
    store.undo_change(database, first.id, made_by="ana")
    assert seen_at(timeline_of(database)) == {"GTV_MetIA_1": [True] * 3}


def test_a_split_undone_leaves_two_where_a_later_visit_found_both(database, worker):
    for number in (1, 2):
        visit(database, worker, number, [sized(1, 20.0)])
    split(database, "GTV_MetIA_1", 2)
    other = lesion_named(timeline_of(database), "GTV_MetIA_2")
    visit(database, worker, 3, [sized(1, 20.0), sized(2, 9.0, other.tracking_uid, other.name)])
    apart = {"GTV_MetIA_1": [True, False, True], "GTV_MetIA_2": [False, True, True]}
    assert seen_at(timeline_of(database)) == apart
    (change,) = store.list_changes(database, patient_key(database))
    undone = store.undo_change(database, change.id, made_by="ben")
    one_again = timeline_of(database)
    assert seen_at(one_again) == {"GTV_MetIA_1": [True] * 3, "GTV_MetIA_2": [False, False, True]}
    assert responses(one_again) == [None, "SD", "PD"]
    with database.reading() as session:
        assert len(known_patient(session, one_again.patient_key).visits) == 3
    store.undo_change(database, undone.id, made_by="ana")
    assert seen_at(timeline_of(database)) == apart


def test_forgetting_the_study_of_a_split_takes_no_other_with_it(database, worker):
    for number in (1, 2, 3):
        visit(database, worker, number, [sized(1, 20.0)])
    split(database, "GTV_MetIA_1", 2)
    assert store.forget_study(database, study_of(2))
    assert seen_at(timeline_of(database)) == {"GTV_MetIA_1": [True, False], "GTV_MetIA_2": [False, True]}
    assert store.forget_study(database, study_of(1))
    assert seen_at(timeline_of(database)) == {"GTV_MetIA_2": [True]}
    assert store.forget_study(database, study_of(3))
    assert store.list_patients(database) == []


def test_forgetting_a_study_takes_the_decisions_about_it_and_no_others(database, worker):
    """Studies and lesions have the same keys here: what is decided of one is not decided of the other."""
    visit(database, worker, 1, [sized(1, 20.0), sized(2, 15.0)])
    visit(database, worker, 2, [sized(1, 20.0), sized(3, 15.0)])
    visit(database, worker, 3, [sized(1, 20.0)], patient_id="B-1")
    hers, his = (one.key for one in sorted(store.list_patients(database), key=lambda one: str(one.patient_id)))
    for number in (1, 2, 3):
        store.assess_visit(database, study_of(number), {"note": f"visit {number}"}, version=0, made_by="r")
        store.edit_lesion(database, number, {"name": f"lesion {number}"}, version=1, made_by="r")
    assert store.forget_study(database, study_of(2))
    left = [(one.subject, one.subject_key) for one in store.list_changes(database, hers)]
    assert left == [("lesion", 2), ("lesion", 1), ("visit", 1)]
    assert [(one.subject, one.subject_key) for one in store.list_changes(database, his)] == [("visit", 3)]


def test_splits_that_make_no_sense(database, worker):
    visit(database, worker, 1, [sized(1, 20.0)])
    visit(database, worker, 2, [sized(2, 9.0)])
    with pytest.raises(store.EditRefusedError, match="first time"):
        split(database, "GTV_MetIA_1", 1)
    with pytest.raises(store.EditRefusedError, match="by itself"):
        split(database, "GTV_MetIA_1", 2)
    with pytest.raises(store.EditRefusedError, match="by itself"):
        split(database, "GTV_MetIA_1", 9)
    with pytest.raises(store.EditConflictError):
        split(database, "GTV_MetIA_1", 2, version=3)
    assert store.list_changes(database, patient_key(database)) == []


def test_a_name_is_one_lesions_only(database, worker):
    visit(database, worker, 1, [sized(1, 20.0), sized(2, 15.0)])
    with pytest.raises(store.NameTakenError, match="GTV_MetIA_2"):
        edit(database, "GTV_MetIA_1", name="GTV_MetIA_2")


def test_a_name_stays_that_of_the_lesion_that_was_merged(database, worker):
    visit(database, worker, 1, [sized(1, 20.0), sized(2, 15.0)])
    kept, other = timeline_of(database).lesions
    edit(database, other.name, merged_into=kept.key)
    with pytest.raises(store.NameTakenError, match=other.name):
        edit(database, kept.name, name=other.name)
    edit(database, kept.name, name=kept.name, target=False)


def test_a_name_that_was_given_away_while_two_were_one_is_not_taken_back(database, worker):
    """Databases of before hold such names."""
    visit(database, worker, 1, [sized(1, 20.0), sized(2, 15.0)])
    kept, other = timeline_of(database).lesions
    edit(database, other.name, merged_into=kept.key)
    with database.writing() as session:
        session.get_one(TrackedLesion, kept.key).name = other.name
    earlier = store.earlier_lesions(database, f"{study_of(1)}.1")
    assert [one.tracking_uid for one in earlier] == [kept.tracking_uid, other.tracking_uid]
    assert [one.tracking_uid for one in inherit_tracking([one.measurement for one in earlier], earlier)] == [
        kept.tracking_uid,
        other.tracking_uid,
    ]
    (merged,) = store.list_changes(database, patient_key(database))
    undone = store.undo_change(database, merged.id, made_by="ben")
    assert undone.after == {"merged_into": None, "name": "GTV_MetIA_3"}
    assert [one.name for one in timeline_of(database).lesions] == [other.name, "GTV_MetIA_3"]


def test_the_second_of_two_editors_is_told(database, worker):
    visit(database, worker, 1, [sized(1, 20.0)])
    edit(database, "GTV_MetIA_1", name="left frontal")
    with pytest.raises(store.EditConflictError, match="version 2"):
        edit(database, "left frontal", version=1, made_by="ben", name="right frontal")
    assert timeline_of(database).lesions[0].name == "left frontal"
    assert len(store.list_changes(database, patient_key(database))) == 1


def test_of_many_editors_at_once_one_wins(database, worker):
    visit(database, worker, 1, [sized(1, 20.0)])
    key = timeline_of(database).lesions[0].key
    won, lost = [], []

    def editor(number):
        try:
            won.append(store.edit_lesion(database, key, {"name": f"n{number}"}, version=1, made_by=f"{number}").name)
        except store.EditConflictError as error:
            lost.append(error)

    threads = [threading.Thread(target=editor, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), len(lost)) == (1, 5)
    assert timeline_of(database).lesions[0].name == won[0]


def test_undoing_what_was_decided_anew_is_a_conflict(database, worker):
    visit(database, worker, 1, [sized(1, 20.0)])
    edit(database, "GTV_MetIA_1", name="one")
    edit(database, "one", version=2, name="two")
    second, first = store.list_changes(database, patient_key(database))
    with pytest.raises(store.EditConflictError, match="name"):
        store.undo_change(database, first.id, made_by="ana")
    store.undo_change(database, second.id, made_by="ana")
    with pytest.raises(store.EditConflictError, match="already"):
        store.undo_change(database, second.id, made_by="ana")
    store.undo_change(database, first.id, made_by="ana")
    assert timeline_of(database).lesions[0].name == "GTV_MetIA_1"


def test_a_change_that_changes_nothing_is_none(database, worker):
    visit(database, worker, 1, [sized(1, 20.0)])
    assert edit(database, "GTV_MetIA_1", name="GTV_MetIA_1", target=None).version == 1
    assert store.list_changes(database, patient_key(database)) == []


# -- What people know of a visit -----------------------------------------------------------------------------------


def assess(database, number, version=0, **values):
    return store.assess_visit(database, study_of(number), values, version=version, made_by="ana")


def test_an_assessment_that_says_nothing_leaves_nothing(database, worker):
    visit(database, worker, 1, [sized(1, 20.0)])
    for values in ({"note": ""}, {"verified": None}, {"corticosteroid_mg": None, "baseline": False}):
        assert assess(database, 1, **values).version == 0
    with database.reading() as session:
        assert session.scalars(select(VisitAssessment)).all() == []
    with pytest.raises(store.EditConflictError, match="something else by now"):
        assess(database, 1, verified="0" * 64)


def test_dose_and_status_make_the_overall_response(database, worker):
    visit(database, worker, 1, [sized(1, 20.0)])
    visit(database, worker, 2, [sized(1, 12.0)])
    assert timeline_of(database).visits[1].response.overall.response == "NE"
    assess(database, 1, corticosteroid_mg=4.0, clinical_status="stable")
    assess(database, 2, corticosteroid_mg=2.0, clinical_status="improved", note="feels better")
    seen = timeline_of(database).visits[1]
    assert (seen.response.overall.response, seen.note, seen.version) == ("PR", "feels better", 1)
    with pytest.raises(store.EditConflictError):
        assess(database, 2, note="worse")
    assess(database, 2, version=1, clinical_status="worse")
    assert timeline_of(database).visits[1].response.overall.response == "PD"


def test_immunotherapy_is_taken_over_by_later_visits(database, worker):
    for number in (1, 2, 3):
        visit(database, worker, number, [sized(1, 20.0)] + [sized(2, 8.0)] * (number > 1))
    assert responses(timeline_of(database)) == [None, "PD", "PD"]
    assess(database, 1, immunotherapy=True)
    assert responses(timeline_of(database)) == [None, "SD", "SD"]
    assess(database, 3, immunotherapy=False)
    timeline = timeline_of(database)
    assert responses(timeline) == [None, "SD", "PD"]
    assert [one.immunotherapy for one in timeline.visits] == [True, None, False]
    assert [one.response.immunotherapy for one in timeline.visits] == [True, True, False]
    (newest, *_) = store.list_changes(database, timeline.patient_key)
    assert (newest.before, newest.after) == ({"immunotherapy": None}, {"immunotherapy": False})
    with pytest.raises(store.EditConflictError):
        assess(database, 3, immunotherapy=True)
    store.undo_change(database, newest.id, made_by="ben")
    assert responses(timeline_of(database)) == [None, "SD", "SD"]


def two_readings(database, worker):
    """A target, a non-target that grows, and what is new at the second visit."""
    visit(database, worker, 1, [sized(1, 20.0), sized(2, 5.0)])
    return visit(database, worker, 2, [sized(1, 20.0), sized(2, 16.0), sized(3, 12.0)])


def test_a_reader_goes_before_the_rule(database, worker):
    two_readings(database, worker)
    assert responses(timeline_of(database))[1] == "PD"
    assess(database, 2, judgements={"2.25.2": "no progression"})
    assert responses(timeline_of(database))[1] == "PD"
    assess(database, 2, version=1, judgements={"2.25.3": "equivocal"})
    timeline = timeline_of(database)
    assert timeline.visits[1].judgements == {"2.25.2": "no progression", "2.25.3": "equivocal"}
    assert responses(timeline)[1] == "SD"
    words = "GTV_MetIA_3 is equivocal as a new lesion, GTV_MetIA_2 has not progressed unequivocally"
    assert words in timeline.visits[1].response.radiographic.reason
    assert words in standings(database)[1].reason, "the report of the visit says it too"
    assess(database, 2, version=2, judgements={"2.25.2": None})
    timeline = timeline_of(database)
    assert (timeline.visits[1].judgements, responses(timeline)[1]) == ({"2.25.3": "equivocal"}, "PD")
    newest = store.list_changes(database, timeline.patient_key)[0]
    store.undo_change(database, newest.id, made_by="ben")
    assert responses(timeline_of(database))[1] == "SD"
    two_readings(database, worker)
    assert responses(timeline_of(database))[1] == "SD", "also once the visits are segmented again"


def test_a_lesion_that_the_visit_does_not_show_cannot_be_judged(database, worker):
    two_readings(database, worker)
    with pytest.raises(store.EditRefusedError, match=r"visit 1.2.3.1 shows no lesion 2.25.3"):
        assess(database, 1, judgements={"2.25.3": "equivocal"})
    assert assess(database, 1, judgements={"2.25.3": None}).version == 0


def test_a_judgement_goes_with_the_lesion_that_people_merge_and_with_all_its_parts(database, worker):
    two_readings(database, worker)
    assess(database, 2, judgements={"2.25.2": "no progression", "2.25.3": "equivocal"})
    timeline = timeline_of(database)
    visit(database, worker, 3, [sized(1, 20.0), sized(4, 8.0)])
    visit(database, worker, 4, [sized(1, 20.0), sized(4, 8.0), sized(5, 9.0)])
    edit(database, "GTV_MetIA_3", merged_into=lesion_named(timeline_of(database), "GTV_MetIA_4").key)
    edit(database, "GTV_MetIA_5", merged_into=lesion_named(timeline_of(database), "GTV_MetIA_4").key)
    assert timeline_of(database).visits[1].judgements == {"2.25.2": "no progression", "2.25.4": "equivocal"}
    assess(database, 3, judgements={"2.25.4": "equivocal"})
    # Of a part, under its own tracking UID, what is said is said of the whole.
    assess(database, 4, judgements={"2.25.5": "equivocal"})
    timeline = timeline_of(database)
    assert timeline.visits[3].judgements == {"2.25.4": "equivocal"}
    assert responses(timeline) == [None, "SD", "SD", "SD"]
    assess(database, 4, version=1, judgements={"2.25.5": "new"})
    assert timeline_of(database).visits[3].judgements == {"2.25.4": "new"}


def test_what_is_said_of_the_whole_goes_before_what_was_said_of_a_part(database, worker):
    two_readings(database, worker)
    visit(database, worker, 3, [sized(1, 20.0), sized(4, 8.0)])
    assess(database, 2, judgements={"2.25.3": "equivocal"})
    edit(database, "GTV_MetIA_3", merged_into=lesion_named(timeline_of(database), "GTV_MetIA_4").key)
    assess(database, 2, version=1, judgements={"2.25.4": "new"})
    assert timeline_of(database).visits[1].judgements == {"2.25.4": "new"}


def test_of_two_judgements_the_one_of_the_lesion_that_stands_for_both_holds(database, worker):
    visit(database, worker, 1, [sized(1, 20.0)])
    visit(database, worker, 2, [sized(1, 20.0), sized(3, 12.0), sized(4, 8.0)])
    assess(database, 2, judgements={"2.25.4": "new", "2.25.3": "equivocal"})
    edit(database, "GTV_MetIA_3", merged_into=lesion_named(timeline_of(database), "GTV_MetIA_4").key)
    assert timeline_of(database).visits[1].judgements == {"2.25.4": "new"}


def test_a_visit_that_is_being_written_again_is_judged_as_it_was(database, worker):
    two_readings(database, worker)
    visit(database, worker, 3, [sized(1, 20.0), sized(4, 8.0)])
    assess(database, 2, judgements={"2.25.2": "no progression", "2.25.3": "equivocal"})
    assess(database, 3, judgements={"2.25.4": "equivocal"})
    edit(database, "GTV_MetIA_3", merged_into=lesion_named(timeline_of(database), "GTV_MetIA_4").key)
    study = study_of(2)
    record = series_record(
        patient_id="A-0042",
        study_instance_uid=study,
        series_instance_uid=f"{study}.1",
        study_date=FIRST_DAY + timedelta(weeks=8),
    )
    found = [sized(1, 20.0), sized(2, 16.0), sized(4, 12.0)]
    _, assessment = present(course(database, record, found, [], [], Rules()))
    assert "On the images: SD" in present(assessment.reason)


def standings(database):
    with database.reading() as session:
        known = known_patient(session, patient_key(database))
    return [present(standing_of(known, one, Rules()))[1] for one in known.findings.values()]


def test_the_report_of_a_visit_states_the_best_response_up_to_then(database, worker):
    for number, sizes in enumerate([[sized(1, 20)], [sized(1, 19)], [], []], start=1):
        visit(database, worker, number, sizes)
        assess(database, number, corticosteroid_mg=0.0, clinical_status="stable")
    assert [(one.current_response, one.best_overall_response) for one in standings(database)] == [
        (None, None),
        ("SD", "SD"),
        ("CR", "SD"),
        ("CR", "CR"),
    ]


def test_the_report_of_a_visit_says_whether_the_best_response_lasted_and_is_sure(database, worker):
    for number, size in enumerate([30.0, 18.0, 18.0, 24.0], start=1):
        job = visit(database, worker, number, [sized(1, size)])
        assess(database, number, corticosteroid_mg=0.0, clinical_status="stable")
        if number == 3:
            put_in_doubt(database, job)
    _, second, third, fourth = [one.reason for one in standings(database)]
    assert "PR on 2024-03-04 counts as SD: PR is not confirmed: there is no visit at least 28 days later yet." in second
    for later in (third, fourth):
        assert "up to this visit: PR. PR on 2024-03-04: PR is confirmed by PR on 2024-04-01, 28 days later." in later
        assert "Without the visits in doubt the best response would be SD." in later


def test_a_part_of_a_target_is_one_in_the_report_too(database, worker):
    visit(database, worker, 1, [sized(1, 20.0)])
    job = visit(database, worker, 2, [sized(1, 10.0), sized(2, 9.0), sized(3, 9.0)])
    with database.writing() as session:
        session.execute(update(Finding).where(Finding.lesion_key == job.lesions[1].id).values(part_of="2.25.1"))
    assert standings(database)[1].roles == {"2.25.1": "target", "2.25.2": "target"}
    assert [one.role for one in timeline_of(database).lesions] == ["target", "target", "new"]


def test_another_baseline(database, worker):
    for number, size in ((1, 20.0), (2, 12.0), (3, 13.0)):
        visit(database, worker, number, [sized(1, size)])
    assess(database, 2, baseline=True)
    timeline = timeline_of(database)
    assert [v.response.role for v in timeline.visits] == ["before baseline", "baseline", "follow-up"]
    assess(database, 1, baseline=True)
    timeline = timeline_of(database)
    assert [v.baseline for v in timeline.visits] == [True, False, False]


def test_undoing_the_choice_of_a_baseline_brings_back_the_one_before(database, worker):
    for number in (1, 2, 3):
        visit(database, worker, number, [sized(1, 20.0)])

    def baseline():
        return next((n for n, one in enumerate(timeline_of(database).visits, start=1) if one.baseline), None)

    def undo_choice():
        changes = store.list_changes(database, patient_key(database))
        return store.undo_change(database, next(one.id for one in changes if one.after["baseline"]), made_by="ben")

    assess(database, 2, baseline=True)
    assess(database, 3, baseline=True)
    undone = undo_choice()
    assert baseline() == 2
    store.undo_change(database, undone.id, made_by="ben")
    assert baseline() == 3
    assess(database, 3, version=timeline_of(database).visits[2].version, baseline=False)
    assess(database, 1, baseline=True)
    undo_choice()
    assert baseline() is None, "there was none before"


def test_a_visit_without_a_date_is_no_baseline(database, worker):
    visit(database, worker, 1, [sized(1, 20.0)], undated=True)
    with pytest.raises(store.EditRefusedError):
        assess(database, 1, baseline=True)


def test_a_study_that_was_never_segmented(database):
    with pytest.raises(store.VisitNotFoundError):
        assess(database, 9, note="?")
    with pytest.raises(store.VisitNotFoundError):
        store.study_lesions(database, study_of(9))


# -- What is kept --------------------------------------------------------------------------------------------------


def test_found_again_a_lesion_that_is_none_is_known(database, worker):
    visit(database, worker, 1, [sized(1, 20.0), sized(2, 9.0)])
    edit(database, "GTV_MetIA_2", not_a_lesion=True)
    edit(database, "GTV_MetIA_1", name="left frontal")
    known = store.earlier_lesions(database, f"{study_of(1)}.1")
    assert [(one.name, one.tracking_uid) for one in known] == [("left frontal", "2.25.1"), ("GTV_MetIA_2", "2.25.2")]


def test_label_maps_come_back():
    label_map = np.zeros((7, 11, 13), np.int32)
    label_map[0, 0, 0], label_map[3, 4:6, 2:9], label_map[-1, -1, -1] = 300, 1, 2
    np.testing.assert_array_equal(unpack_label_map(pack_label_map(label_map)), label_map)
    np.testing.assert_array_equal(unpack_label_map(pack_label_map(label_map * 0)), label_map * 0)


def test_one_patient_is_asked_for_by_key(database, worker):
    for number, patient in enumerate(("A-1", "B-1"), start=1):
        visit(database, worker, number, [sized(1, 20.0)], patient_id=patient)
    for known in store.list_patients(database):
        assert store.list_patients(database, key=known.key) == [known]


def test_what_is_no_lesion_is_none_in_the_flat_lists_at_once(database, worker):
    visit(database, worker, 1, [sized(1, 20.0), sized(2, 15.0)])
    edit(database, "GTV_MetIA_1", not_a_lesion=True)
    assert [one.name for one in store.metia_rois(database)] == ["GTV_MetIA_2"]


def test_the_first_visits_are_found_by_date(database, worker):
    visit(database, worker, 1, [sized(1, 20.0)], patient_id="A/1 ü")
    visit(database, worker, 2, [sized(1, 20.0)], patient_id="A/1 ü")
    (patient,) = store.list_patients(database)
    assert (patient.patient_id, patient.visits) == ("A/1 ü", 2)
    assert present(patient.last_visit) - present(patient.first_visit) == timedelta(weeks=4)
