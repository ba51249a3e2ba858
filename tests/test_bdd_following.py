"""Lesions followed from visit to visit by the worker: one name and tracking UID in the database, SEG and RTSTRUCT."""

import numpy as np
import pytest
from highdicom.color import CIELabColor

import BDD.places
import services.runner
from BDD import store
from BDD.places import places_of
from imaging.uids import uid_of
from Orthanc.archive import ArchiveUnavailableError
from rano.history import Rules
from rano.registration import Registration
from rano.rigid import RigidTransform
from services.runner import Worker
from tests import factory, results_cases
from tests.api_factory import ApiSite
from tests.factory import Sphere
from tests.followup_factory import patient_key
from tests.jobs_factory import MemoryArchive

A, B, C = factory.LESIONS
GROWN = Sphere(A.centre_lps, A.radius_mm + 2)
SHIFT = np.array([4.0, -3.0, 5.0])
DEEP = Sphere((-15.0, 7.0, -5.0), 5.5)
LOWER = slice(24, None)
"""Slices of the head up to 10 mm: all of DEEP, nothing of A."""


def study_of(number):
    return uid_of("tests", "visit", number)


def series_of(number, series=""):
    return uid_of("tests", "visit series", f"{number}{series}")


def visit_datasets(
    number, lesions, *, shift=(0, 0, 0), frame="one", patient_id="TEST-001", date=None, series="", slices=None
):
    """Make visit ``number``: the lesions where the head of visit 1 has them, the head moved by ``shift``.

    ``slices`` are those of the head that the images show.
    """
    moved = [Sphere(tuple(np.add(one.centre_lps, shift)), one.radius_mm) for one in lesions]
    return factory.series_datasets(
        factory.volume(lesions=moved, seed=number)[slices or slice(None)],
        study_instance_uid=study_of(number),
        series_instance_uid=series_of(number, series),
        frame_of_reference_uid=uid_of("tests", "frame", frame),
        study_date=date or f"2024{number:02}08",
        patient_id=patient_id,
    )


@pytest.fixture
def site(tmp_path):
    site = ApiSite(tmp_path, MemoryArchive())
    yield site
    site.close()


def see(site, number, lesions, *, outputs=("SEG", "RTSTRUCT", "SR"), **changes):
    """Let a visit arrive and be segmented, and whatever follows from it be written."""
    for dataset in visit_datasets(number, lesions, **changes):
        site.archive.instances[str(dataset.SOPInstanceUID)] = dataset
    wanted = {"StudyInstanceUID": study_of(number), "SeriesInstanceUID": series_of(number, changes.get("series", ""))}
    wanted["outputs"] = list(outputs)
    answer = site.client.post("/segment", json=wanted)
    site.work()
    job = site.client.get(answer.headers["Location"]).get_json()
    assert job["state"] == "done", job["problem"]
    return job


def segments(site, number):
    """Give name and tracking UID of each segment of the visit's one SEG."""
    (seg,) = [
        one
        for one in site.archive.instances.values()
        if one.Modality == "SEG" and str(one.StudyInstanceUID) == study_of(number)
    ]
    return {str(item.SegmentLabel): str(item.TrackingUID) for item in seg.SegmentSequence}


def decide(site, lesion, **values):
    """Let a person say something of a lesion of the timeline."""
    answer = site.client.patch(f"/lesions/{lesion['id']}", json={**values, "version": lesion["version"]})
    assert answer.status_code == 200, answer.get_json()
    site.work()


def decisions(site):
    return [(one["name"], one["target"], one["not_a_lesion"]) for one in timeline_of(site)["lesions"]]


DECIDED = [("left frontal", False, False), ("vessel", None, True)]


def decide_both(site):
    first, second = timeline_of(site)["lesions"]
    decide(site, first, name="left frontal", target=False)
    decide(site, second, name="vessel", not_a_lesion=True)
    assert decisions(site) == DECIDED


@pytest.fixture
def registered(monkeypatch):
    """Let heads be registered by what is known of how they were shifted; gives the pairs that were."""
    shifts: dict[bytes, tuple[float, ...]] = {}
    pairs: list[tuple[tuple[float, ...], tuple[float, ...]]] = []
    reduce = services.runner.reduce_volume

    def reduce_volume(array, affine):
        reduced = reduce(array, affine)
        shifts[reduced.array.tobytes()] = registered_shift["now"]
        return reduced

    def register(first, second):
        here, there = (np.array(shifts[volume.array.tobytes()]) for volume in (first, second))
        pairs.append((tuple(here), tuple(there)))
        matrix = np.eye(4)
        matrix[:3, 3] = there - here
        return Registration(RigidTransform(matrix), 1.0, 0.9, 0.95, True, "as good as it gets")

    registered_shift = {"now": (0, 0, 0)}
    monkeypatch.setattr(services.runner, "reduce_volume", reduce_volume)
    monkeypatch.setattr(BDD.places, "register", register)

    def see_shifted(site, number, lesions, shift, **changes):
        registered_shift["now"] = shift
        return see(site, number, lesions, shift=shift, frame=f"frame {number}", **changes)

    return see_shifted, registered_shift, pairs


def timeline_of(site):
    return site.client.get(f"/patients/{patient_key(site.database)}/timeline").get_json()


def test_a_lesion_has_one_name_and_uid_at_all_visits(site):
    see(site, 1, [A, B])
    job = see(site, 2, [GROWN, B, C])
    first, second = segments(site, 1), segments(site, 2)
    assert set(first) < set(second)
    assert all(second[name] == uid for name, uid in first.items())
    assert job["version"] == 1, "the SEG was right from the start"
    timeline = timeline_of(site)
    rows = [[bool(size) for size in lesion["sizes"]] for lesion in timeline["lesions"]]
    assert rows == [[True, True], [True, True], [False, True]]
    grown = timeline["lesions"][0]["sizes"]
    assert grown[1]["longest_diameter_mm"] - grown[0]["longest_diameter_mm"] == pytest.approx(4, abs=1.5)
    assert "persisting" in grown[1]["relation"]
    assert timeline["visits"][1]["radiographic"]["response"] == "PD"


def test_a_lesion_has_one_colour_at_all_visits_wherever_it_stands_by_size(site):
    """B is the second at the first visit and the first at the second one; there C is new, and stands before A."""
    see(site, 1, [A, B])
    see(site, 2, [Sphere(A.centre_lps, 3.0), Sphere(B.centre_lps, 9.0), C])
    seen = []
    for number in (1, 2):
        of_visit = [one for one in site.archive.instances.values() if str(one.StudyInstanceUID) == study_of(number)]
        (seg,) = [one for one in of_visit if one.Modality == "SEG"]
        (rtstruct,) = [one for one in of_visit if one.Modality == "RTSTRUCT"]
        in_seg = [tuple(one.RecommendedDisplayCIELabValue) for one in seg.SegmentSequence]
        assert in_seg == [
            tuple(CIELabColor.from_rgb(*one.ROIDisplayColor).value) for one in rtstruct.ROIContourSequence
        ]
        seen.append({str(one.TrackingUID): colour for one, colour in zip(seg.SegmentSequence, in_seg, strict=True)})
    first, second = seen
    assert list(first) != list(second)[:2], "another order by size"
    assert {uid: second[uid] for uid in first} == first
    assert len(set(second.values())) == 3
    numbers = [one.number for one in store.load_timeline(site.database, patient_key(site.database), Rules()).lesions]
    assert sorted(numbers) == [1, 2, 3]


def test_a_series_whose_images_have_changed_is_registered_again(site, registered):
    see_shifted, _, pairs = registered
    see_shifted(site, 1, [A, B], (0, 0, 0))
    see_shifted(site, 2, [A, B], tuple(SHIFT))
    see_shifted(site, 2, [A, B], tuple(SHIFT))
    assert pairs == [(tuple(SHIFT), (0, 0, 0))], "what has not changed lies where it lay"
    see_shifted(site, 2, [A, B], tuple(2 * SHIFT))
    assert pairs[1:] == [(tuple(2 * SHIFT), (0, 0, 0))]
    assert [[bool(size) for size in lesion["sizes"]] for lesion in timeline_of(site)["lesions"]] == [[True, True]] * 2
    with site.database.reading() as session:
        places = places_of(session, patient_key(site.database))
    place, _ = places[2]
    assert place is not None
    assert place.matrix[:3, 3] == pytest.approx(-2 * SHIFT), "and is found there from now on"


def test_a_lesion_that_went_and_came_back_is_the_same(site):
    see(site, 1, [A, B])
    see(site, 2, [B])
    see(site, 3, [A, B])
    assert segments(site, 1) == segments(site, 3)
    assert set(segments(site, 2)) < set(segments(site, 1))


def test_an_older_study_that_arrives_late_is_threaded_in(site):
    see(site, 2, [A, B])
    see(site, 1, [B])
    see(site, 3, [A, B, C])
    timeline = timeline_of(site)
    assert [visit["StudyInstanceUID"] for visit in timeline["visits"]] == [study_of(n) for n in (1, 2, 3)]
    rows = sorted([bool(size) for size in lesion["sizes"]] for lesion in timeline["lesions"])
    assert rows == [[False, False, True], [False, True, True], [True, True, True]]
    assert segments(site, 1).items() < segments(site, 2).items() < segments(site, 3).items()


def test_an_older_study_that_arrives_late_leaves_what_people_decided(site):
    see(site, 2, [A, B])
    decide_both(site)
    known = segments(site, 2)
    see(site, 1, [A, B])
    site.worker.recover()
    site.work()
    assert decisions(site) == DECIDED
    assert segments(site, 1) == segments(site, 2) == known


def test_another_series_of_a_study_shows_the_same_lesions(site):
    see(site, 1, [A, B])
    decide_both(site)
    uids = [one["tracking_uid"] for one in timeline_of(site)["lesions"]]
    see(site, 1, [A, B], series="second")
    assert decisions(site) == DECIDED
    assert [one["tracking_uid"] for one in timeline_of(site)["lesions"]] == uids


def test_another_series_of_one_of_two_visits_leaves_what_people_decided(site):
    see(site, 1, [A, B])
    see(site, 2, [A, B])
    decide_both(site)
    see(site, 1, [A, B], series="second")
    site.worker.recover()
    site.work()
    assert decisions(site) == DECIDED


def test_what_people_decided_goes_with_a_study_to_a_patient_who_is_known(site):
    see(site, 1, [A], patient_id="WRONG")
    see(site, 2, [A, B, C], patient_id="WRONG")
    same, vessel, part = timeline_of(site)["lesions"]
    decide(site, vessel, name="vessel", not_a_lesion=True)
    merge(site, part, same)
    see(site, 1, [A], patient_id="RIGHT")
    see(site, 2, [A, B, C], patient_id="RIGHT")
    site.worker.tidy()
    site.work()
    assert len(store.list_patients(site.database)) == 1
    decided = {one["name"]: (one["not_a_lesion"], bool(one["merged_into"])) for one in timeline_of(site)["lesions"]}
    assert decided == {same["name"]: (False, False), "vessel": (True, False), part["name"]: (False, True)}
    assert timeline_of(site)["visits"][1]["new_lesions"] == []
    assert "vessel" not in segments(site, 2)


def test_what_nobody_decided_of_an_arriving_study_leaves_the_decisions_of_its_patient(site):
    see(site, 1, [A, B], patient_id="WRONG")
    see(site, 2, [A, B], patient_id="RIGHT")
    decide_both(site)
    see(site, 1, [A, B], patient_id="RIGHT")
    site.worker.tidy()
    site.work()
    assert decisions(site) == DECIDED
    assert [[bool(size) for size in one["sizes"]] for one in timeline_of(site)["lesions"]] == [[True, True]] * 2


def test_a_lesion_missed_once_is_known_again(site):
    see(site, 1, [A, B])
    decide_both(site)
    see(site, 1, [A])
    assert decisions(site) == DECIDED[:1]
    see(site, 1, [A, B])
    assert decisions(site) == DECIDED


def test_an_older_job_that_is_tried_again_is_what_the_follow_up_shows(site):
    def failing():
        raise RuntimeError("not now")

    site.predictor.during = failing
    for dataset in visit_datasets(1, [A]):
        site.archive.instances[str(dataset.SOPInstanceUID)] = dataset
    older = site.client.post("/segment", json={"StudyInstanceUID": study_of(1)}).headers["Location"]
    site.work()
    site.predictor.during = lambda: None
    see(site, 1, [A, B])
    assert len(timeline_of(site)["lesions"]) == 2
    see_again = visit_datasets(1, [A])
    for dataset in see_again:
        site.archive.instances[str(dataset.SOPInstanceUID)] = dataset
    assert site.client.post(f"{older}/retry").status_code == 202
    site.work()
    assert site.client.get(older).get_json()["version"] == 2
    assert set(segments(site, 1)) == {one["name"] for one in timeline_of(site)["lesions"]}
    assert len(segments(site, 1)) == 1


def test_ways_between_visits_outlast_another_series_of_the_one_in_between(site, registered):
    see_shifted, _, pairs = registered
    for number in (1, 2, 3):
        see_shifted(site, number, [A], (-14 * number, 9 * number, -9 * number))
    before = timeline_of(site)
    assert [visit["radiographic"] and visit["radiographic"]["response"] for visit in before["visits"]] == [
        None,
        "SD",
        "SD",
    ]
    see_shifted(site, 2, [A], (-28, 18, -18), series="second")
    site.worker.recover()
    site.work()
    after = timeline_of(site)
    assert [one["tracking_uid"] for one in after["lesions"]] == [one["tracking_uid"] for one in before["lesions"]]
    assert after["visits"][2]["radiographic"]["response"] == "SD"
    assert len(pairs) <= 4


def test_visits_find_a_new_way_when_the_one_in_between_is_forgotten(site, registered):
    see_shifted, _, _ = registered
    for number in (1, 2, 3):
        see_shifted(site, number, [A], (-14 * number, 9 * number, -9 * number))
    assert site.client.delete(f"/delete-study/{study_of(2)}").status_code == 200
    site.worker.tidy()
    timeline = timeline_of(site)
    assert len(timeline["lesions"]) == 1
    assert [visit["radiographic"]["response"] for visit in timeline["visits"][1:]] == ["SD"]
    assert not any(size["ambiguous"] for size in timeline["lesions"][0]["sizes"])


def test_two_visits_segmented_at_the_same_time_are_one_course(site, registered):
    _, shift, pairs = registered
    for number, moved in ((1, (0, 0, 0)), (2, (-28, 18, -18))):
        for dataset in visit_datasets(number, [A], shift=moved, frame=f"frame {number}"):
            site.archive.instances[str(dataset.SOPInstanceUID)] = dataset
    answers = [site.client.post("/segment", json={"StudyInstanceUID": study_of(number)}) for number in (1, 2)]
    jobs = [answer.headers["Location"].rsplit("/", 1)[-1] for answer in answers]
    other = Worker(
        site.database,
        site.settings.queue_url,
        site.archive,
        lambda _: site.predictor,
        store.worker_started(site.database, pid=2),
        (0.0,),
        Rules(),
    )

    def meanwhile(method):
        if method == "store":
            site.archive.fail = lambda _: None
            shift["now"] = (-28, 18, -18)
            other.run_job(jobs[1])
            shift["now"] = (0, 0, 0)

    site.archive.fail = meanwhile
    site.worker.run_job(jobs[0])
    site.worker.recover()
    site.work()
    other.queue.close()
    timeline = timeline_of(site)
    assert len(timeline["lesions"]) == 1
    assert timeline["visits"][1]["radiographic"]["response"] == "SD"
    assert len(pairs) == 1
    assert segments(site, 1) == segments(site, 2)


def test_another_frame_of_reference_is_registered(site, monkeypatch):
    calls = []

    def register(first, second):
        calls.append((first, second))
        matrix = np.eye(4)
        matrix[:3, 3] = -SHIFT
        return Registration(RigidTransform(matrix), 1.0, 0.9, 0.95, True, "as good as it gets")

    monkeypatch.setattr(BDD.places, "register", register)
    see(site, 1, [A, B])
    see(site, 2, [A, B], shift=SHIFT, frame="another")
    assert segments(site, 1) == segments(site, 2)
    assert len(calls) == 1
    see(site, 2, [A, B], shift=SHIFT, frame="another")
    assert len(calls) == 1, "a pair of visits is registered once"
    assert segments(site, 1) == segments(site, 2)


def test_a_visit_that_cannot_be_registered_says_so(site, monkeypatch):
    failed = Registration(RigidTransform.identity(), 0.0, 0.0, 0.0, False, "the heads do not overlap")
    monkeypatch.setattr(BDD.places, "register", lambda *_: failed)
    see(site, 1, [A, B])
    see(site, 2, [A, B], frame="another")
    late = [size for lesion in timeline_of(site)["lesions"] for size in lesion["sizes"][1:] if size]
    assert late
    assert all(size["ambiguous"] and "the heads do not overlap" in size["relation"] for size in late)


def test_what_is_compared_with_a_baseline_that_cannot_be_registered_says_so(site, monkeypatch):
    failed = Registration(RigidTransform.identity(), 0.0, 0.0, 0.0, False, "the heads do not overlap")
    monkeypatch.setattr(BDD.places, "register", lambda *_: failed)
    see(site, 1, [A], frame="another")
    see(site, 2, [A])
    see(site, 3, [A])
    words = "The baseline of 2024-01-08 is in doubt"
    baseline, *later = timeline_of(site)["visits"]
    assert "was followed is not sure" in baseline["notes"][0]
    assert [visit["radiographic"]["response"] for visit in later] == ["PD", "PD"], "nothing tells that it is the same"
    assert all(words in visit["notes"][-1] for visit in later)
    assert words in volumetric_report(site, 3)
    assess(site, 1, verified=baseline["followed"])
    site.work()
    assert not any(words in note for visit in timeline_of(site)["visits"] for note in visit["notes"])
    assert words not in volumetric_report(site, 3)


def test_a_lesion_that_the_earlier_images_do_not_cover_is_new_in_doubt(site):
    see(site, 1, [DEEP], slices=LOWER)
    see(site, 2, [A, DEEP])
    timeline = timeline_of(site)
    visit = timeline["visits"][1]
    (new,) = (lesion for lesion in timeline["lesions"] if lesion["tracking_uid"] in visit["new_lesions"])
    words = f"How {new['name']} was followed is not sure"
    assert (visit["radiographic"]["response"], visit["notes"][0][: len(words)]) == ("PD", words)
    assert words in volumetric_report(site, 2)
    page = site.client.get(f"/follow-up/{patient_key(site.database)}").get_data(as_text=True)
    assert words in page
    assert "no earlier images show this place" in page


def test_a_lesion_that_the_images_do_not_cover_is_not_evaluable(site):
    see(site, 1, [A, DEEP])
    see(site, 2, [A, DEEP], slices=LOWER)
    timeline = timeline_of(site)
    assert [lesion["not_covered"] for lesion in timeline["lesions"]] == [[False, True], [False, False]]
    assert [bool(size) for size in timeline["lesions"][0]["sizes"]] == [True, False]
    verdict = timeline["visits"][1]["radiographic"]
    name = timeline["lesions"][0]["name"]
    assert (verdict["response"], verdict["reason"]) == ("NE", f"{name} can't be assessed")
    assert f"On the images: NE, {name} can't be assessed" in volumetric_report(site, 2)
    assert relabelled(site) == [], "the report was right from the start"
    key = patient_key(site.database)
    assert "not covered" in site.client.get(f"/follow-up/{key}").get_data(as_text=True)
    for kind in ("timeline.csv", "report.pdf"):
        assert site.client.get(f"/patients/{key}/{kind}").status_code == 200
    # Written again for another reason, the report still says so.
    assess(site, 2, corticosteroid_mg=0, clinical_status="worse")
    site.work()
    assert f"On the images: NE, {name} can't be assessed" in volumetric_report(site, 2)
    # Segmented again, and with all of the head, it is known that it has gone.
    see(site, 3, [DEEP])
    assert timeline_of(site)["visits"][2]["radiographic"]["response"] == "PR"
    see(site, 2, [A, DEEP], slices=LOWER)
    assert timeline_of(site)["visits"][1]["radiographic"]["response"] == "NE"
    # No lesion at all is nothing to assess.
    lesion = timeline_of(site)["lesions"][0]
    site.client.patch(f"/lesions/{lesion['id']}", json={"not_a_lesion": True, "version": lesion["version"]})
    assert timeline_of(site)["visits"][1]["radiographic"]["response"] != "NE"


def test_what_is_not_covered_is_worked_out_anew_with_each_visit_and_forgotten_with_it(site):
    see(site, 1, [A, DEEP])
    see(site, 3, [DEEP], slices=LOWER)
    see(site, 4, [DEEP], slices=LOWER)

    def not_covered():
        return {lesion["tracking_uid"]: lesion["not_covered"] for lesion in timeline_of(site)["lesions"]}

    assert sorted(not_covered().values()) == [[False] * 3, [False, True, True]]
    see(site, 2, [A, DEEP, C])  # an older visit with one more that the later ones do not cover
    assert sorted(not_covered().values()) == [[False] * 4, [False, False, True, True], [False, False, True, True]]
    store.forget_study(site.database, study_of(2))
    assert sorted(not_covered().values()) == [[False] * 3, [False, True, True]]
    store.forget_study(site.database, study_of(1))
    assert list(not_covered().values()) == [[False, False]]


def test_a_lesion_that_the_first_visits_images_cut_is_in_doubt_from_the_start(site):
    see(site, 1, [A, DEEP], slices=slice(18, None))
    (baseline,) = timeline_of(site)["visits"]
    assert "is not sure" in baseline["notes"][0]
    assert baseline["notes"][0] in volumetric_report(site, 1)
    site.worker.recover()
    site.work()
    assert relabelled(site) == []


def test_an_older_visit_that_arrives_late_shows_what_a_later_one_does_not_cover(site):
    see(site, 2, [A, DEEP], slices=LOWER)
    see(site, 1, [A, DEEP])
    assert timeline_of(site)["visits"][1]["radiographic"]["response"] == "NE"
    assert "On the images: NE" in volumetric_report(site, 2)
    assert relabelled(site) == [2]


def test_a_doubt_is_said_where_the_response_is_read_until_a_person_has_decided(site, monkeypatch):
    failed = Registration(RigidTransform.identity(), 0.0, 0.0, 0.0, False, "the heads do not overlap")
    monkeypatch.setattr(BDD.places, "register", lambda *_: failed)
    see(site, 1, [A, B])
    see(site, 2, [A, C], frame="another")
    lesions = timeline_of(site)["lesions"]
    same, gone, new = lesions
    verdict, notes = (timeline_of(site)["visits"][1][key] for key in ("radiographic", "notes"))
    assert verdict["response"] == "PD"
    doubt = "is not sure: a person should look at them before relying on the response."
    assert notes == [f"How {same['name']}, {new['name']} were followed and whether {gone['name']} has gone {doubt}"]
    assert notes[0] in volumetric_report(site, 2)
    assert relabelled(site) == [], "the report was right from the start"
    assert notes[0] in site.client.get(f"/follow-up/{patient_key(site.database)}").get_data(as_text=True)
    site.worker.recover()
    site.work()
    assert relabelled(site) == []
    merge(site, new, gone)
    assert new["name"] not in timeline_of(site)["visits"][1]["notes"][0]
    assert gone["name"] not in timeline_of(site)["visits"][1]["notes"][0]
    assert f"How {same['name']} was followed is not sure" in volumetric_report(site, 2)
    assert relabelled(site) == [2]
    see(site, 2, [A, C], frame="another")
    assert f"How {same['name']} was followed is not sure" in volumetric_report(site, 2)
    assert relabelled(site) == [2]
    assess(site, 2, verified=timeline_of(site)["visits"][1]["followed"])
    site.work()
    assert "is not sure" not in volumetric_report(site, 2)
    assert relabelled(site) == [2, 2]


def test_a_target_missed_once_puts_the_visit_that_missed_it_in_doubt(site):
    """It may have responded, and progressed again; or neither: both answers rest on the visit without it."""
    for number, lesions in ((1, [A, B]), (2, [A]), (3, [A, B])):
        see(site, number, lesions, outputs=("SEG",))
    missed, later = timeline_of(site)["visits"][1:]
    assert missed["notes"][-1].startswith("Whether GTV_MetIA_2 has gone is not sure")
    assert later["radiographic"]["response"] == "PD"
    assert "which is in doubt, the response on the images would be SD" in later["notes"][-1]


def test_that_all_has_gone_is_in_doubt_at_a_visit_that_cannot_be_registered(site, monkeypatch):
    failed = Registration(RigidTransform.identity(), 0.0, 0.0, 0.0, False, "the heads do not overlap")
    monkeypatch.setattr(BDD.places, "register", lambda *_: failed)
    see(site, 1, [A, B])
    see(site, 2, [], frame="another")
    see(site, 3, [])
    timeline = timeline_of(site)
    assert [visit["radiographic"]["response"] for visit in timeline["visits"][1:]] == ["CR", "CR"]
    names = ", ".join(lesion["name"] for lesion in timeline["lesions"])
    doubt = f"Whether {names} have gone is not sure: a person should look at them before relying on the response."
    assert [visit["notes"] for visit in timeline["visits"][1:]] == [[doubt], []]
    assert timeline["lesions"][0]["not_covered"] == [False] * 3
    page = site.client.get(f"/follow-up/{patient_key(site.database)}?visit={study_of(2)}").get_data(as_text=True)
    assert f"<strong>{doubt}</strong>" in page
    # Who has looked takes the doubt away, until another lesion is missed.
    assess(site, 2, verified=timeline["visits"][1]["followed"])
    found_right = f"A person has looked at whether {names} have gone, and found it right."
    assert timeline_of(site)["visits"][1]["notes"] == [found_right]
    see(site, 4, [A], date="20231208")
    assert timeline_of(site)["visits"][2]["notes"] == [found_right], "the same ones are missed"
    see(site, 5, [A, B, C], date="20240120")
    assert "is not sure" in timeline_of(site)["visits"][3]["notes"][-1]


def test_a_visit_registered_in_doubt_is_followed_and_says_so(site, monkeypatch):
    doubtful = Registration(RigidTransform.identity(), 1.0, 0.6, 0.9, True, "so so")
    monkeypatch.setattr(BDD.places, "register", lambda *_: doubtful)
    see(site, 1, [A, B])
    see(site, 2, [A], frame="another")
    timeline = timeline_of(site)
    (same, gone), visit = timeline["lesions"], timeline["visits"][1]
    assert "correlation of the heads' edges 0.60 is below 0.8" in same["sizes"][1]["relation"]
    doubt = f"How {same['name']} was followed and whether {gone['name']} has gone is not sure"
    assert visit["notes"][-1].startswith(doubt)
    assert doubt in volumetric_report(site, 2)
    assess(site, 2, verified=visit["followed"])
    assert timeline_of(site)["visits"][1]["notes"][-1].endswith("and found it right.")
    # Two visits that surely lie to each other are not asked about one by one, but the one that they are compared with.
    see(site, 3, [A], frame="another")
    timeline = timeline_of(site)
    assert [size["ambiguous"] for size in timeline["lesions"][0]["sizes"]] == [True, False, False]
    assert all(
        any(note.startswith("The baseline of 2024-01-08 is in doubt") for note in visit["notes"])
        for visit in timeline["visits"][1:]
    )


def test_what_a_person_has_merged_stays_merged_at_the_next_visit(site):
    see(site, 1, [A])
    see(site, 2, [C])
    kept, other = timeline_of(site)["lesions"]
    site.client.patch(f"/lesions/{other['id']}", json={"merged_into": kept["id"], "version": other["version"]})
    site.work()
    assert segments(site, 1) == segments(site, 2) == {kept["name"]: kept["tracking_uid"]}
    see(site, 3, [C])
    assert segments(site, 3) == {kept["name"]: kept["tracking_uid"]}
    assert segments(site, 2) == segments(site, 1)


def merge(site, lesion, into):
    answer = site.client.patch(
        f"/lesions/{lesion['id']}", json={"merged_into": into["id"], "version": lesion["version"]}
    )
    assert answer.status_code == 200, answer.get_json()
    site.work()


def test_a_merge_outlasts_that_the_visit_is_segmented_again(site):
    see(site, 1, [A])
    see(site, 2, [C])
    kept, other = timeline_of(site)["lesions"]
    merge(site, other, kept)
    for _ in range(2):
        see(site, 2, [C])
        assert segments(site, 1) == segments(site, 2) == {kept["name"]: kept["tracking_uid"]}
    patient = patient_key(site.database)
    (change,) = site.client.get(f"/patients/{patient}/changes").get_json()["changes"]
    assert site.client.post(f"/changes/{change['id']}/undo").status_code == 200
    site.work()
    assert segments(site, 2) == {other["name"]: other["tracking_uid"]}, "it is known what was merged"


@pytest.mark.parametrize("patient_id", ["TEST-001", ""])
def test_lesions_of_one_visit_that_were_merged_are_told_apart_when_it_is_segmented_again(site, patient_id):
    see(site, 1, [A, C], patient_id=patient_id)
    kept, other = timeline_of(site)["lesions"]
    merge(site, other, kept)
    before = segments(site, 1)
    assert len(before) == 2
    see(site, 1, [A, C], patient_id=patient_id)
    assert segments(site, 1) == before
    found = site.client.get(f"/studies/{study_of(1)}/lesions").get_json()["lesions"]
    assert [one["part_of"] for one in found] == [None, kept["id"]]
    see(site, 1, [C], patient_id=patient_id)
    assert segments(site, 1) == {kept["name"]: kept["tracking_uid"]}


def test_what_a_person_has_split_stays_split(site):
    see(site, 1, [A, B])
    see(site, 3, [A, B])
    lesion = timeline_of(site)["lesions"][0]
    answer = site.client.patch(f"/lesions/{lesion['id']}", json={"split_at": study_of(3), "version": lesion["version"]})
    assert len(answer.get_json()["jobs"]) == 1, "only one visit has another name now"
    site.work()
    (other,) = [one for one in timeline_of(site)["lesions"] if one["split_from"] == lesion["id"]]
    assert set(segments(site, 1)) & set(segments(site, 3)) == set(segments(site, 1)) - {lesion["name"]}
    assert segments(site, 3)[other["name"]] == other["tracking_uid"]
    assert segments(site, 1)[lesion["name"]] == lesion["tracking_uid"]
    assert "a person said so" in other["sizes"][1]["relation"]
    # An older study that arrives late, a later one, and the same one segmented again change nothing of it.
    see(site, 2, [A, B])
    see(site, 4, [A, B])
    see(site, 3, [A, B])
    seen = {one["name"]: [bool(size) for size in one["sizes"]] for one in timeline_of(site)["lesions"]}
    assert seen[lesion["name"]] == [True, True, False, False]
    assert seen[other["name"]] == [False, False, True, True]
    assert segments(site, 2) == segments(site, 1)
    assert segments(site, 4) == segments(site, 3)


@pytest.mark.parametrize("before", [True, False])
def test_a_split_outlasts_another_series_of_the_study_whatever_its_uid(site, before):
    series = next(name for name in "abcdefghi" if (series_of(2, name) < study_of(2)) is before)
    see(site, 1, [A])
    see(site, 2, [A])
    decide(site, timeline_of(site)["lesions"][0], split_at=study_of(2))
    known = segments(site, 1), segments(site, 2)
    see(site, 2, [A], series=series, outputs=["RTSTRUCT"])
    site.worker.tidy()
    site.work()
    first, other = timeline_of(site)["lesions"]
    assert [[bool(size) for size in one["sizes"]] for one in (first, other)] == [[True, False], [False, True]]
    assert (segments(site, 1), segments(site, 2)) == known
    assert other["split_from"] == first["id"]


def test_a_split_undone_is_one_lesion_again_everywhere(site):
    for number in (1, 2, 3):
        see(site, number, [A, B])
    lesion = timeline_of(site)["lesions"][0]
    site.client.patch(f"/lesions/{lesion['id']}", json={"split_at": study_of(2), "version": lesion["version"]})
    site.work()
    assert segments(site, 2) == segments(site, 3) != segments(site, 1)
    patient = patient_key(site.database)
    (change,) = site.client.get(f"/patients/{patient}/changes").get_json()["changes"]
    assert len(site.client.post(f"/changes/{change['id']}/undo").get_json()["jobs"]) == 2
    site.work()
    assert segments(site, 1) == segments(site, 2) == segments(site, 3)
    assert len(timeline_of(site)["lesions"]) == 2


def test_what_is_no_lesion_is_none_at_the_next_visit(site):
    see(site, 1, [A, B])
    second = timeline_of(site)["lesions"][1]
    site.client.patch(f"/lesions/{second['id']}", json={"not_a_lesion": True, "version": second["version"]})
    site.work()
    see(site, 2, [A, B])
    site.worker.recover()
    site.work()
    assert segments(site, 1) == segments(site, 2)
    assert second["name"] not in segments(site, 2)
    assert timeline_of(site)["visits"][1]["new_lesions"] == []


PLEXUS = Sphere((-15.0, 3.0, 5.0), 7.5)


def beside(radius_mm):
    return Sphere((-15.0, 18.0, 5.0), radius_mm)


def test_a_lesion_that_merges_with_what_is_no_lesion_has_not_gone(site):
    see(site, 1, [PLEXUS, beside(5.5)])
    plexus, lesion = timeline_of(site)["lesions"]
    decide(site, plexus, not_a_lesion=True, name="plexus")
    for number in (2, 3):
        see(site, number, [PLEXUS, beside(7.9)])
        site.worker.recover()
        site.work()
    timeline = timeline_of(site)
    for number, visit in enumerate(timeline["visits"][1:], start=2):
        assert (visit["radiographic"]["response"], visit["overall"]["response"]) == ("NE", "NE")
        assert any(f"{lesion['name']} has merged with plexus" in note for note in visit["notes"])
        assert list(segments(site, number)) == ["plexus"]
        assert "On the images: NE" in volumetric_report(site, number)
    (told,) = [one for one in timeline["lesions"] if one["role"] == "target"]
    assert (told["name"], told["sizes"][1:], told["within"]) == (lesion["name"], [None] * 2, [None, "plexus", "plexus"])
    doubt = f"How {lesion['name']} was followed is not sure"
    assert [any(doubt in note for note in visit["notes"]) for visit in timeline["visits"]] == [False, True, False]

    see(site, 4, [PLEXUS, beside(5.5)])
    site.worker.recover()
    site.work()
    assert timeline_of(site)["visits"][3]["radiographic"]["response"] == "SD"
    assert list(segments(site, 4)) == [lesion["name"]]

    plexus = next(one for one in timeline_of(site)["lesions"] if one["name"] == "plexus")
    decide(site, plexus, not_a_lesion=False)
    assert timeline_of(site)["visits"][1]["radiographic"]["response"] != "NE"


def test_a_piece_of_what_is_no_lesion_is_in_doubt_until_somebody_decides(site):
    see(site, 1, [A, Sphere((-15.0, 7.0, 5.0), 7)])
    decide(site, timeline_of(site)["lesions"][1], not_a_lesion=True, name="plexus")
    see(site, 2, [A, Sphere((-15.0, 3.0, 5.0), 2.9), Sphere((-15.0, 11.0, 5.0), 2.5)])
    site.worker.recover()
    site.work()
    timeline = timeline_of(site)
    piece, visit = timeline["lesions"][-1], timeline["visits"][1]
    assert piece["sizes"][1]["relation"].startswith("split")
    assert (visit["radiographic"]["response"], visit["new_lesions"]) == ("SD", [])
    assert visit["equivocal_lesions"] == [piece["tracking_uid"]]
    assert piece["sizes"][1]["ambiguous"]
    assert any(f"How {piece['name']} was followed is not sure" in note for note in visit["notes"])
    assert piece["name"] in segments(site, 2)

    decide(site, piece, target=False)
    timeline = timeline_of(site)
    assert (timeline["visits"][1]["radiographic"]["response"], timeline["lesions"][-1]["role"]) == ("PD", "new")
    assert not timeline["lesions"][-1]["sizes"][1]["ambiguous"]


def test_patients_without_an_id_are_not_followed(site):
    see(site, 1, [A], patient_id="")
    see(site, 2, [A], patient_id="")
    assert segments(site, 1) != segments(site, 2)
    assert [patient.visits for patient in store.list_patients(site.database)] == [1, 1]


def volumetric_report(site, number):
    (sr,) = [
        one
        for one in site.archive.instances.values()
        if one.Modality == "SR" and str(one.StudyInstanceUID) == study_of(number) and "volumes" in one.SeriesDescription
    ]
    return "\n".join(str(element.value) for element in sr.iterall() if element.VR != "SQ")


def test_the_report_tells_where_the_visit_stands(site):
    see(site, 1, [A, B])
    see(site, 2, [A, B, C])
    first, second = volumetric_report(site, 1), volumetric_report(site, 2)
    assert "Visit 1" in first
    assert "Baseline" in first
    assert "Visit 2" in second
    assert "On the images: PD, new lesion" in second
    assert "\nTarget Lesion at Baseline" in second
    assert "PD" in timeline_of(site)["visits"][1]["radiographic"]["response"]


def test_what_people_say_is_in_the_report_that_is_written_again(site):
    see(site, 1, [A])
    see(site, 2, [A, C])
    new = timeline_of(site)["lesions"][1]
    site.client.patch(f"/lesions/{new['id']}", json={"not_a_lesion": True, "version": new["version"]})
    site.work()
    assert "On the images: SD" in volumetric_report(site, 2)


# -- What becomes known later reaches the reports -------------------------------------------------------------------


def relabelled(site):
    """Give the studies that were written again, in the order of the visits, once for each time."""
    jobs = site.client.get("/jobs").get_json()["jobs"]
    assert all(job["state"] == "done" for job in jobs), [job["problem"] for job in jobs]
    numbers = {study_of(number): number for number in range(1, 9)}
    return sorted(numbers[job["StudyInstanceUID"]] for job in jobs if job["purpose"] == "relabel")


def assess(site, number, version=0, **values):
    body = {**values, "version": version}
    return site.client.post(f"/visits/{study_of(number)}/assessment", json=body).get_json()


def test_an_assessment_made_later_is_in_the_report(site):
    see(site, 1, [A, B])
    see(site, 2, [A, B])
    before = {uid for uid, one in site.archive.instances.items() if one.Modality != "MR"}
    assert "Overall: NE" in volumetric_report(site, 2)
    assert assess(site, 1, corticosteroid_mg=4.0, clinical_status="stable")["jobs"] == [], "NE is still what it is"
    answer = assess(site, 2, corticosteroid_mg=4.0, clinical_status="stable")
    assert len(answer["jobs"]) == 1
    site.work()
    assert "Overall: SD" in volumetric_report(site, 2)
    assert "C18213" in volumetric_report(site, 2)
    assert relabelled(site) == [2]
    kept = before & set(site.archive.instances)
    assert {str(site.archive.instances[uid].StudyInstanceUID) for uid in kept} == {study_of(1)}
    assert assess(site, 2, version=1, note="a note that no report has")["jobs"] == []
    site.worker.recover()
    site.work()
    assert relabelled(site) == [2], "nothing is written again that says nothing new"


def test_that_a_new_lesion_is_tolerated_is_in_the_report(site):
    see(site, 1, [A])
    see(site, 2, [A, C])
    assert "On the images: PD, new lesion" in volumetric_report(site, 2)
    assert len(assess(site, 1, immunotherapy=True)["jobs"]) == 1, "that of the later visit"
    site.work()
    assert "On the images: SD" in volumetric_report(site, 2)
    assert "new under immunotherapy, and no progression on that ground alone" in volumetric_report(site, 2)
    assert relabelled(site) == [2]
    see(site, 2, [A, C])
    assert "new under immunotherapy" in volumetric_report(site, 2)
    assert relabelled(site) == [2], "the new one was right from the start"
    assess(site, 2, immunotherapy=False)
    site.work()
    assert "On the images: PD, new lesion" in volumetric_report(site, 2)


def test_the_report_says_what_the_rule_of_the_house_says(site, tmp_path):
    see(site, 1, [A])
    see(site, 2, [GROWN])
    said_before = volumetric_report(site, 2)
    assert "On the images: SD" in said_before
    assert "\n112044\n" in said_before
    by_volume = ApiSite(tmp_path, site.archive, RANO_TARGET_RULE="volume")
    by_volume.worker.recover()
    by_volume.work()
    report = volumetric_report(by_volume, 2)
    assert "On the images: PD, the sum of volumes" in report
    assert "\n112043\n" in report, "of the target lesions, as a code"
    assert relabelled(by_volume) == [2], "the baseline's says nothing new"
    by_volume.worker.recover()
    by_volume.work()
    assert relabelled(by_volume) == [2], "once"
    # What is written from now on goes by it at once.
    see(by_volume, 3, [GROWN])
    assert "On the images: PD, the sum of volumes" in volumetric_report(by_volume, 3)
    assert relabelled(by_volume) == [2]
    by_volume.close()
    site.worker.recover()
    site.work()
    assert volumetric_report(site, 2).count("On the images: SD") == 1
    assert relabelled(site) == [2, 2, 3]


def test_what_a_person_takes_back_is_taken_back_in_the_report(site):
    see(site, 1, [A])
    see(site, 2, [A])
    assess(site, 1, corticosteroid_mg=0, clinical_status="stable")
    assess(site, 2, corticosteroid_mg=0, clinical_status="stable")
    site.work()
    assert "Overall: SD" in volumetric_report(site, 2)
    changes = site.client.get(f"/patients/{patient_key(site.database)}/changes").get_json()["changes"]
    assert len(site.client.post(f"/changes/{changes[0]['id']}/undo").get_json()["jobs"]) == 1
    site.work()
    assert "Overall: NE" in volumetric_report(site, 2)


def test_what_is_said_of_a_patient_without_an_id_is_in_the_report(site):
    see(site, 1, [A], patient_id="")
    lesion = timeline_of(site)["lesions"][0]
    assert "\nTarget Lesion at Baseline" in volumetric_report(site, 1)
    site.client.patch(f"/lesions/{lesion['id']}", json={"target": False, "version": lesion["version"]})
    site.work()
    assert "\nNon-Target Lesion at Baseline" in volumetric_report(site, 1)
    assert relabelled(site) == [1]


def test_a_visit_that_arrives_late_changes_what_the_reports_of_others_say(site):
    see(site, 2, [A, B])
    see(site, 3, [A, B])
    assert "Visit 1" in volumetric_report(site, 2)
    assert relabelled(site) == []
    see(site, 1, [B])
    assert "Visit 1" in volumetric_report(site, 1)
    assert "Visit 2" in volumetric_report(site, 2)
    assert "On the images: PD, new lesion" in volumetric_report(site, 2)
    assert "Visit 3" in volumetric_report(site, 3)
    assert relabelled(site) == [2, 3]


def test_a_report_waits_for_an_archive_that_does_not_answer(site):
    see(site, 1, [A])
    see(site, 2, [A])
    assess(site, 1, corticosteroid_mg=0, clinical_status="stable")

    def fail(method):
        if method == "store":
            raise ArchiveUnavailableError("POST /studies: refused")

    site.archive.fail = fail
    assess(site, 2, corticosteroid_mg=0, clinical_status="stable")
    site.work()
    assert "Overall: NE" in volumetric_report(site, 2), "the old version stays until the new one is stored"
    site.archive.fail = lambda _: None
    assess(site, 2, version=1, clinical_status="worse")
    site.work()
    assert "Overall: PD" in volumetric_report(site, 2)


@results_cases.needs_validator
def test_every_object_of_a_course_is_valid(site, tmp_path):
    see(site, 1, [A, B, C])
    see(site, 2, [A, B])
    see(site, 3, [GROWN, B, C])
    for number in (1, 2, 3):
        assess(site, number, corticosteroid_mg=2.0, clinical_status="stable")
        site.work()
    written = [one for one in site.archive.instances.values() if one.Modality != "MR"]
    assert sorted(one.Modality for one in written) == sorted(["SEG", "RTSTRUCT", "SR", "SR"] * 3)
    reports = "".join(volumetric_report(site, number) for number in (1, 2, 3))
    assert all(code in reports for code in ("126070", "112048", "112049")), "time point and responses"
    assert [line for one in written for line in results_cases.validator_errors(one, tmp_path)] == []
