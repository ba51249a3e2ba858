"""A PatientID corrected in the archive: the study moves to its patient, with what people decided."""

from sqlalchemy import select

from BDD import store
from BDD.course_store import standing_of
from BDD.followup_models import AbsenceRow, VisitAssessment
from BDD.models import Job, Patient
from BDD.rethread_store import follow_again
from BDD.visits import known_patient
from rano.history import Rules
from tests.followup_factory import sized, study_of, visit

WRONG, RIGHT = "A-0042", "A-0024"


def timelines(database):
    """Give the timelines of all patients by PatientID."""
    return {one.patient_id: store.load_timeline(database, one.key, Rules()) for one in store.list_patients(database)}


def decisions(timeline):
    return {one.name: (one.target, one.not_a_lesion) for one in timeline.lesions}


def decide(database, patient_id, name, /, **values):
    (lesion,) = (one for one in timelines(database)[patient_id].lesions if one.name == name)
    return store.edit_lesion(database, lesion.key, values, version=lesion.version, made_by="ana")


def test_decisions_go_with_the_only_study(database, worker):
    visit(database, worker, 1, [sized(1, 12), sized(2, 8)])
    decide(database, WRONG, "GTV_MetIA_1", name="left frontal", target=False)
    decide(database, WRONG, "GTV_MetIA_2", not_a_lesion=True)
    visit(database, worker, 1, [sized(1, 12), sized(2, 8)], patient_id=RIGHT)
    (only,) = timelines(database).items()
    assert only[0] == RIGHT
    with database.reading() as session:
        assert session.scalars(select(Patient.patient_id)).all() == [RIGHT], "of the wrong patient nothing is left"
    assert decisions(only[1]) == {"left frontal": (False, False), "GTV_MetIA_2": (None, True)}
    changes = store.list_changes(database, only[1].patient_key)
    assert len(changes) == 2
    store.undo_change(database, changes[0].id, made_by="ben")
    assert decisions(timelines(database)[RIGHT])["GTV_MetIA_2"] == (None, False)


def test_studies_that_follow_one_by_one_are_one_course_again(database, worker):
    lesions = [sized(1, 12), sized(2, 8), sized(3, 7)]
    for number in (1, 2):
        visit(database, worker, number, lesions)
    decide(database, WRONG, "GTV_MetIA_1", name="left frontal", target=False)
    first = next(one.key for one in timelines(database)[WRONG].lesions if one.name == "left frontal")
    decide(database, WRONG, "GTV_MetIA_2", merged_into=first)
    decide(database, WRONG, "GTV_MetIA_3", not_a_lesion=True)
    decided = {"left frontal": (False, False), "GTV_MetIA_3": (None, True)}
    visit(database, worker, 1, lesions, patient_id=RIGHT)
    both = timelines(database)
    assert [len(both[patient].visits) for patient in (WRONG, RIGHT)] == [1, 1]
    for patient in (WRONG, RIGHT):
        shown = decisions(both[patient])
        assert decided.items() <= shown.items()
        assert [one.role for one in both[patient].lesions].count("merged") == 1
    visit(database, worker, 2, lesions, patient_id=RIGHT)
    (timeline,) = timelines(database).values()
    assert [one.study_instance_uid for one in timeline.visits] == [study_of(1), study_of(2)]
    assert decided.items() <= decisions(timeline).items()
    (frontal,) = (one for one in timeline.lesions if one.name == "left frontal")
    assert all(frontal.sizes)


def test_a_study_takes_the_decisions_about_itself_and_no_others(database, worker):
    """Studies and lesions have the same keys here: what is decided of one is not decided of the other."""
    for number in (1, 2):
        visit(database, worker, number, [sized(1, 12), sized(2, 8)])
    visit(database, worker, 3, [sized(1, 20, uid="2.25.91")], patient_id=RIGHT)
    for number in (1, 3):
        choose_baseline(database, number)
    store.assess_visit(database, study_of(2), {"note": "tired"}, version=0, made_by="ana")
    decide(database, WRONG, "GTV_MetIA_2", name="left frontal")
    follow_again(database)
    visit(database, worker, 2, [sized(1, 12), sized(2, 8)], patient_id=RIGHT)
    both = timelines(database)
    keys = {patient: store.list_changes(database, both[patient].patient_key) for patient in both}
    decided = {patient: [(one.subject, one.subject_key) for one in changes] for patient, changes in keys.items()}
    assert decided == {WRONG: [("lesion", 2), ("visit", 1)], RIGHT: [("visit", 2), ("visit", 3)]}
    assert [one.baseline for one in both[WRONG].visits] == [True]
    with database.reading() as session:
        marked = session.scalars(select(Patient.patient_id).where(Patient.unfollowed_at.is_not(None))).all()
    assert set(marked) == {WRONG, RIGHT}, "both have other visits now"


def test_a_name_that_the_right_patient_has_given_makes_room(database, worker):
    visit(database, worker, 1, [sized(1, 12, uid="2.25.71")], patient_id=RIGHT)
    visit(database, worker, 2, [sized(1, 12, uid="2.25.72")])
    visit(database, worker, 2, [sized(1, 12, uid="2.25.72")], patient_id=RIGHT)
    (timeline,) = timelines(database).values()
    assert sorted((one.name, one.tracking_uid) for one in timeline.lesions) == [
        ("GTV_MetIA_1", "2.25.71"),
        ("GTV_MetIA_2", "2.25.72"),
    ]
    assert store.queue_relabelling(database, Rules()) == [], "no label map was kept: nothing can be written again"


def test_what_the_wrong_patients_visits_had_is_not_missed_at_this_one(database, worker):
    visit(database, worker, 1, [sized(1, 12), sized(2, 8)])
    visit(database, worker, 2, [sized(1, 12)])
    missed = next(one.key for one in timelines(database)[WRONG].lesions if one.name == "GTV_MetIA_2")
    with database.writing() as session:
        job = session.scalars(select(Job).where(Job.study_instance_uid == study_of(2))).one()
        session.add(AbsenceRow(job_key=job.id, tracked_key=missed, status="not covered"))
    visit(database, worker, 2, [sized(1, 12)], patient_id=RIGHT)
    with database.reading() as session:
        assert session.scalars(select(AbsenceRow)).all() == []
    assert [one.name for one in timelines(database)[RIGHT].lesions] == ["GTV_MetIA_1"]


def test_what_moves_is_missed_by_no_visit_of_the_wrong_patient(database, worker):
    visit(database, worker, 1, [sized(1, 12)])
    visit(database, worker, 2, [sized(2, 8), sized(3, 7)])
    visit(database, worker, 3, [sized(1, 12)])
    missed = {one.name: one.key for one in timelines(database)[WRONG].lesions if one.name != "GTV_MetIA_1"}
    decide(database, WRONG, "GTV_MetIA_3", merged_into=missed["GTV_MetIA_2"])
    with database.writing() as session:
        job = session.scalars(select(Job).where(Job.study_instance_uid == study_of(3))).one()
        session.add_all(AbsenceRow(job_key=job.id, tracked_key=key, status="resolved") for key in missed.values())
    assert "Whether GTV_MetIA_2 has gone" in timelines(database)[WRONG].visits[2].response.doubt
    visit(database, worker, 2, [sized(2, 8), sized(3, 7)], patient_id=RIGHT)
    seen = timelines(database)
    assert seen[WRONG].visits[1].response.doubt == ""
    assert [one.name for one in seen[WRONG].lesions] == ["GTV_MetIA_1"]
    assert decisions(seen[RIGHT]).keys() == missed.keys()


def test_another_series_under_the_corrected_id_keeps_nobody_waiting(database, worker):
    visit(database, worker, 1, [sized(1, 12), sized(2, 8)])
    first, second = timelines(database)[WRONG].lesions
    store.edit_lesion(database, second.key, {"merged_into": first.key}, version=1, made_by="ana")
    visit(database, worker, 1, [sized(1, 12)], patient_id=RIGHT)
    assert set(timelines(database)) == {RIGHT}
    store.queue_relabelling(database, Rules())


def choose_baseline(database, number):
    store.assess_visit(database, study_of(number), {"baseline": True}, version=0, made_by="ana")


def baselines(database):
    """Give the chosen baselines of the right patient, and which one every reader compares with."""
    timeline = timelines(database)[RIGHT]
    with database.reading() as session:
        known = known_patient(session, timeline.patient_key)
    standings = {study: standing_of(known, visit, Rules()) for study, visit in known.findings.items()}
    (of_reports,) = (study for study, one in standings.items() if one and one[0].kind == "baseline")
    assert of_reports == timeline.assessment.baseline, "page and report compare with the same"
    return [visit.study_instance_uid for visit in timeline.visits if visit.baseline], of_reports


def test_the_baseline_of_a_patient_stands_when_another_arrives(database, worker):
    for number in (3, 4):
        visit(database, worker, number, [sized(1, 20, uid="2.25.91")], patient_id=RIGHT)
    choose_baseline(database, 3)
    visit(database, worker, 2, [sized(1, 40, uid="2.25.91")])
    choose_baseline(database, 2)
    visit(database, worker, 2, [sized(1, 40, uid="2.25.91")], patient_id=RIGHT)
    assert baselines(database) == ([study_of(3)], study_of(3))
    let_go, *_ = store.list_changes(database, timelines(database)[RIGHT].patient_key)
    assert (let_go.after, let_go.made_by) == ({"baseline": False}, "corrected PatientID")
    store.undo_change(database, let_go.id, made_by="ben")
    assert baselines(database) == ([study_of(2)], study_of(2))


def test_a_baseline_arrives_with_its_visit_where_the_patient_has_none(database, worker):
    for number in (1, 3):
        visit(database, worker, number, [sized(1, 20, uid="2.25.91")], patient_id=RIGHT)
    visit(database, worker, 2, [sized(1, 40, uid="2.25.91")])
    choose_baseline(database, 2)
    visit(database, worker, 2, [sized(1, 40, uid="2.25.91")], patient_id=RIGHT)
    assert baselines(database) == ([study_of(2)], study_of(2))


def test_of_two_chosen_baselines_all_compare_with_the_earlier(database, worker):
    """Databases of before may hold two."""
    for number in (3, 2, 4):
        visit(database, worker, number, [sized(1, 20)], patient_id=RIGHT)
    choose_baseline(database, 2)
    choose_baseline(database, 3)
    with database.writing() as session:
        for said in session.scalars(select(VisitAssessment)):
            said.baseline = True
    assert baselines(database) == ([study_of(2), study_of(3)], study_of(2))
