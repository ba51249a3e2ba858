"""The viewer as a radiologist uses it: OHIF in a real Chromium, with Orthanc, the API and a worker."""

import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from playwright.sync_api import Browser, Route
from pydicom import Dataset
from pydicom.uid import CTImageStorage, generate_uid

from tests import factory
from tests.system.browser import VIEWPORT, Viewer, chromium, viewer_files
from tests.system.conftest import RunningOrthanc
from tests.system.processes import ServerSite

pytestmark = pytest.mark.system

LARGEST, SECOND, SMALLEST = (lesion.centre_lps for lesion in factory.LESIONS)
COLOURED = 60
"""Difference between the strongest and the weakest of red, green and blue from which on a pixel is no grey."""
PAINTED_SECONDS = 20.0


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def site(
    tmp_path_factory: pytest.TempPathFactory, orthanc: RunningOrthanc, tiny_model: Path, browser: Browser
) -> Iterator[ServerSite]:
    site = ServerSite(tmp_path_factory.mktemp("viewer"), orthanc, tiny_model, OHIF_DIR=str(viewer_files()))
    try:
        site.start_api()
        site.start_worker()
        yield site
    finally:
        site.close()


@pytest.fixture
def viewer(browser: Browser, site: ServerSite) -> Iterator[Viewer]:
    viewer = Viewer(browser, site.url)
    yield viewer
    viewer.close()


def store(
    orthanc: RunningOrthanc,
    plane: str = "axial",
    lesions: Sequence[factory.Sphere] = factory.LESIONS,
    **attributes: Any,
) -> list[Dataset]:
    """Store a series of a new study of a new patient."""
    uids = {name: generate_uid() for name in ("study_instance_uid", "series_instance_uid", "frame_of_reference_uid")}
    attributes = {"patient_id": generate_uid()[-12:], **uids, **attributes}
    datasets = factory.series_datasets(factory.volume(plane, lesions=lesions), **attributes)
    orthanc.archive.store(datasets)
    return datasets


def store_beside(orthanc: RunningOrthanc, datasets: list[Dataset], **attributes: Any) -> list[Dataset]:
    """Store a series in the study of another."""
    of_the_study: dict[str, Any] = {name: str(getattr(datasets[0], word)) for name, word in _OF_THE_STUDY.items()}
    return store(orthanc, **of_the_study, **attributes)


_OF_THE_STUDY = {
    "study_instance_uid": "StudyInstanceUID",
    "study_date": "StudyDate",
    "frame_of_reference_uid": "FrameOfReferenceUID",
    "patient_id": "PatientID",
}


def study_of(datasets: list[Dataset]) -> str:
    return str(datasets[0].StudyInstanceUID)


def open_with_result(viewer: Viewer, orthanc: RunningOrthanc, site: ServerSite) -> str:
    """Open a study that was segmented before, and wait for what was found; give its StudyInstanceUID."""
    study = study_of(store(orthanc))
    assert site.post(study).json()["state"] == "done"
    viewer.open(study)
    viewer.wait_for_result()
    return study


def is_coloured(colour: np.ndarray) -> bool:
    return bool(colour.max() - colour.min() > COLOURED)


def shows(viewer: Viewer, point: Sequence[float] | np.ndarray, *, coloured: bool) -> bool:
    """Whether a point comes to be drawn in colour, or grey, within a while: a busy machine takes its time to paint."""
    give_up = time.monotonic() + PAINTED_SECONDS
    while is_coloured(viewer.colour_at(point)) is not coloured:
        if time.monotonic() > give_up:
            return False
        viewer.page.wait_for_timeout(200)
    return True


@pytest.mark.parametrize("plane", ["axial", "sagittal", "oblique25"])
def test_from_the_button_to_the_lesion(viewer: Viewer, orthanc: RunningOrthanc, plane: str) -> None:
    datasets = store(orthanc, plane)
    viewer.open(study_of(datasets))
    viewer.look_at(LARGEST)
    beside = LARGEST + 16 * factory.orientation(plane)[1]  # brain in the same plane
    for point in (LARGEST, beside):
        assert shows(viewer, point, coloured=False)

    viewer.press()
    viewer.wait_for_result()
    viewer.screenshot(f"viewer-{plane}")
    assert len(viewer.rows()) == len(factory.LESIONS)
    assert viewer.distance(LARGEST) < 3
    assert shows(viewer, LARGEST, coloured=True)
    assert shows(viewer, beside, coloured=False)

    for row, centre in zip(viewer.rows()[1:], (SECOND, SMALLEST), strict=True):
        assert viewer.distance(centre) > 3
        viewer.page.click(f'tr[data-lesion="{row}"] .metia-name')
        viewer.page.wait_for_timeout(1500)
        assert viewer.distance(centre) < 3
        assert shows(viewer, centre, coloured=True)
    viewer.page.keyboard.press("j")
    viewer.page.wait_for_timeout(1500)
    assert viewer.distance(LARGEST) < 3
    viewer.page.keyboard.press("k")
    viewer.page.wait_for_timeout(1500)
    assert viewer.distance(SMALLEST) < 3
    assert viewer.errors == []


def test_the_overlay_is_there_before_the_rest_is_written_and_goes_when_that_fails(
    viewer: Viewer, orthanc: RunningOrthanc
) -> None:
    end: dict[str, Any] = {"state": "writing"}

    def tell(route: Route) -> None:
        answer = route.fetch()
        job = answer.json()
        route.fulfill(response=answer, json=job | end if job.get("state") == "done" else job)

    overlays = "window.services.segmentationService.getSegmentationRepresentations(v).length"
    shown = f"() => {{ const v = window.services.viewportGridService.getActiveViewportId(); return {overlays} > 0; }}"
    viewer.page.route(re.compile(r"/jobs/[^/?]+$"), tell)
    viewer.open(study_of(store(orthanc)))
    viewer.press()
    viewer.page.wait_for_function(shown)
    viewer.page.wait_for_timeout(1500)
    assert viewer.rows() == [], "the lesions count when the job is done"
    assert viewer.distance(LARGEST) < 3
    assert shows(viewer, LARGEST, coloured=True)

    end |= {"state": "failed", "problem": {"title": "No room", "detail": "The archive is full."}}
    viewer.page.wait_for_selector(".metia-problem")
    viewer.page.wait_for_timeout(1500)
    assert not viewer.page.evaluate(shown)
    assert shows(viewer, LARGEST, coloured=False)


def test_what_a_person_decides_stays(viewer: Viewer, orthanc: RunningOrthanc, site: ServerSite) -> None:
    study = open_with_result(viewer, orthanc, site)
    first, second, third = viewer.rows()
    reports = reports_written(orthanc, study)
    assert shows(viewer, LARGEST, coloured=True), "a stored result is shown when the study is opened"

    viewer.page.dblclick(f'tr[data-lesion="{first}"] .metia-name')
    viewer.page.fill(".metia-rename", "left frontal")
    viewer.page.keyboard.press("Enter")
    viewer.page.wait_for_selector('tr[data-lesion="left frontal"]')
    wait_for_what_is_written_again(viewer, orthanc, site, study)
    assert reports_in(viewer) == reports_written(orthanc, study)
    assert not reports_in(viewer) & reports, "they carried the name of before"
    viewer.page.evaluate("() => localStorage.setItem('metia-user', 'Łucja')")  # as the follow-up page does
    viewer.page.click(f'tr[data-lesion="{second}"] td:last-child button')
    viewer.page.wait_for_selector(f'tr.metia-refused[data-lesion="{second}"]')
    assert viewer.page.inner_text(".metia-undo") == f"Undo: {second} was called no lesion"
    assert str(viewer.page.get_attribute(".metia-undo", "title")).startswith("Łucja, ")
    viewer.look_at(SECOND)
    assert shows(viewer, SECOND, coloured=False), "what is no lesion is not drawn"
    wait_for_what_is_written_again(viewer, orthanc, site, study)
    viewer.screenshot("viewer-undo")
    viewer.page.click("text=Undo")
    viewer.page.wait_for_selector("tr.metia-refused", state="detached")
    viewer.look_at(SECOND)
    assert shows(viewer, SECOND, coloured=True)
    assert viewer.page.is_disabled(target_box(third)), "too small to be measured"
    viewer.page.click(f"{target_box(second)}:checked")
    viewer.page.wait_for_selector(f"{target_box(second)}:not(:checked)")
    viewer.screenshot("viewer-decisions")
    wait_for_what_is_written_again(viewer, orthanc, site, study)

    viewer.open(study)
    viewer.wait_for_result()
    assert viewer.rows() == ["left frontal", second, third]
    assert not viewer.page.is_checked(target_box(second))
    known = requests.get(f"{site.url}/studies/{study}/lesions", timeout=10).json()["lesions"]
    assert [one["name"] for one in known] == ["left frontal", second, third]
    assert viewer.page.get_attribute(".metia-verdict a", "href") == viewer_follow_up(site, study)
    assert viewer.errors == []


def test_two_visits_side_by_side(viewer: Viewer, orthanc: RunningOrthanc, site: ServerSite) -> None:
    """Each is shown once; going from one to the other and back moves nothing."""
    first = store(orthanc)
    second = store(orthanc, study_date="20240601", patient_id=str(first[0].PatientID))
    flairs = {
        study_of(datasets): store_beside(orthanc, datasets, series_description="FLAIR", contrast_agent=None)
        for datasets in (first, second)
    }
    for study in flairs:
        assert site.post(study).json()["state"] == "done"
    viewer.open(",".join(flairs))
    viewer.wait_for_result()
    viewer.page.click("[data-cy=Layout]")
    viewer.page.click("[data-cy=Layout-1-0]")
    viewer.page.wait_for_function("() => window.services.viewportGridService.getState().viewports.size === 2")
    left, right = viewer.page.evaluate("() => [...window.services.viewportGridService.getState().viewports.keys()]")
    if series_in(viewer, left) == str(second[0].SeriesInstanceUID):  # OHIF opens with the study that it hears of first
        first, second = second, first
    assert series_in(viewer, left) == str(first[0].SeriesInstanceUID)
    flair = flairs[study_of(second)]
    put(viewer, right, flair)

    enter(viewer, left)
    viewer.look_at(SMALLEST)
    assert shows(viewer, SMALLEST, coloured=True)
    enter(viewer, right)
    assert series_in(viewer, right) == str(flair[0].SeriesInstanceUID), "what somebody has put there stays"
    viewer.page.click(f'tr[data-lesion="{viewer.rows()[0]}"] .metia-name')
    viewer.page.wait_for_function(f"uid => {SERIES_IN}({right!r}).includes(uid)", arg=str(second[0].SeriesInstanceUID))
    viewer.page.wait_for_timeout(2500)
    assert viewer.distance(LARGEST) < 3, "whoever presses a lesion sees it"
    assert shows(viewer, LARGEST, coloured=True)
    viewer.look_at(SECOND)
    viewer.screenshot("viewer-side-by-side")
    for _ in range(2):
        for where, centre in ((left, SMALLEST), (right, SECOND)):
            enter(viewer, where)
            assert viewer.distance(centre) < 3
            assert shows(viewer, centre, coloured=True)
    assert viewer.errors == []


SERIES_IN = (
    "(viewport => window.services.viewportGridService.getDisplaySetsUIDsForViewport(viewport)"
    ".map(uid => window.services.displaySetService.getDisplaySetByUID(uid)?.SeriesInstanceUID))"
)


def series_in(viewer: Viewer, viewport: str) -> str:
    """The series of the images in a viewport."""
    return str(viewer.page.evaluate(f"viewport => {SERIES_IN}(viewport)[0]", viewport))


def put(viewer: Viewer, viewport: str, datasets: list[Dataset]) -> None:
    """Put a series into a viewport, as by dragging it there."""
    viewer.page.evaluate(
        """([viewportId, series]) => {
            const { displaySetService, viewportGridService } = window.services;
            const set = displaySetService.getActiveDisplaySets().find(one => one.SeriesInstanceUID === series);
            viewportGridService.setDisplaySetsForViewport(
                { viewportId, displaySetInstanceUIDs: [set.displaySetInstanceUID] });
        }""",
        [viewport, str(datasets[0].SeriesInstanceUID)],
    )
    viewer.page.wait_for_timeout(2000)


def enter(viewer: Viewer, viewport: str) -> None:
    """Go to a viewport, and wait until the panel is about what it shows."""
    viewer.page.evaluate("viewport => window.services.viewportGridService.setActiveViewportId(viewport)", viewport)
    viewer.page.wait_for_selector(".metia-lesions tbody tr")
    viewer.page.wait_for_timeout(3000)  # for whatever would lead away again


def test_a_lost_connection_ends_nothing(viewer: Viewer, orthanc: RunningOrthanc) -> None:
    one_job = re.compile(r"/jobs/[^/?]+$")
    viewer.page.route(one_job, lambda route: route.abort())
    viewer.open(study_of(store(orthanc)))
    viewer.press()
    viewer.page.wait_for_selector("text=Connection lost, trying again.")
    viewer.screenshot("viewer-lost")
    assert viewer.page.is_disabled("[data-cy=MetIA]"), "the job is still followed"
    viewer.page.unroute(one_job)
    viewer.wait_for_result()
    assert viewer.page.query_selector(".metia-lost") is None


def test_a_job_that_failed_is_told_and_tried_again(viewer: Viewer, orthanc: RunningOrthanc, site: ServerSite) -> None:
    datasets = factory.series_datasets(
        shuffle=False, study_instance_uid=generate_uid(), series_instance_uid=generate_uid(), patient_id="GAP-1"
    )
    del datasets[len(datasets) // 2]
    orthanc.archive.store(datasets)
    study = study_of(datasets)
    failed = site.post(study).json()
    assert failed["state"] == "failed"
    viewer.open(study)
    viewer.page.wait_for_selector(".metia-problem")
    assert failed["problem"]["title"] in viewer.page.inner_text(".metia-problem")
    viewer.screenshot("viewer-failed")
    viewer.page.click("text=Try again")
    viewer.page.wait_for_selector(".metia-problem", state="detached")
    viewer.page.wait_for_selector(".metia-problem >> text=Try again")
    assert site.jobs(study)[0]["finished"] > failed["finished"]


def test_what_somebody_else_starts_appears_by_itself(viewer: Viewer, orthanc: RunningOrthanc, site: ServerSite) -> None:
    study = study_of(store(orthanc))
    viewer.open(study)
    viewer.page.wait_for_timeout(3000)
    assert site.post(study).json()["state"] == "done"
    viewer.wait_for_result()
    assert shows(viewer, LARGEST, coloured=True)
    assert viewer.errors == []


REPORTS = ("RTSTRUCT", "SR")


def reports_in(viewer: Viewer) -> set[str]:
    """Series of the RTSTRUCT and the reports that the viewer offers."""
    sets = "window.services.displaySetService.getActiveDisplaySets()"
    shown = viewer.page.evaluate(f"() => {sets}.map(one => [one.Modality, one.SeriesInstanceUID])")
    return {series for modality, series in shown if modality in REPORTS}


def reports_written(orthanc: RunningOrthanc, study: str) -> set[str]:
    """Those that the archive has."""
    headers = [one.header for one in orthanc.archive.list_series(study)]
    return {str(one.SeriesInstanceUID) for one in headers if one.Modality in REPORTS}


def wait_for_what_is_written_again(viewer: Viewer, orthanc: RunningOrthanc, site: ServerSite, study: str) -> None:
    """Wait until no job is open, nothing is left to be taken out, and the viewer knows it."""

    def settled() -> bool:
        (newest, *others) = site.jobs(study)
        gone = all(one["retired"] for job in others for one in job["results"])
        return newest["state"] == "done" and gone and reports_in(viewer) == reports_written(orthanc, study)

    site.until(settled, "the viewer knows what was written again")


def target_box(lesion: str) -> str:
    return f'tr[data-lesion="{lesion}"] input[type=checkbox]'


def viewer_follow_up(site: ServerSite, study: str) -> str:
    return f"/follow-up/{requests.get(f'{site.url}/studies/{study}/lesions', timeout=10).json()['patient']}"


def test_somebody_else_was_faster(viewer: Viewer, orthanc: RunningOrthanc, site: ServerSite) -> None:
    study = open_with_result(viewer, orthanc, site)
    first = viewer.rows()[0]
    (lesion,) = [one for one in lesions_of(site, study) if one["name"] == first]
    viewer.page.dblclick(name_of(first))
    viewer.page.fill(".metia-rename", "mine")
    theirs = {"name": "theirs", "version": lesion["version"]}
    assert requests.patch(f"{site.url}/lesions/{lesion['id']}", json=theirs, timeout=10).ok
    viewer.page.wait_for_selector('tr[data-lesion="theirs"]')
    assert viewer.page.input_value(".metia-rename") == "mine", "what is being typed stays"
    viewer.page.keyboard.press("Enter")
    viewer.page.wait_for_selector(".metia-problem")
    assert "Somebody else has changed this" in viewer.page.inner_text(".metia-problem")
    assert "theirs" in viewer.rows()


def test_what_is_entered_elsewhere_shows(viewer: Viewer, orthanc: RunningOrthanc, site: ServerSite) -> None:
    """Also while a name is being typed, which it does not disturb; nobody is led anywhere."""
    first = store(orthanc)
    second = store(orthanc, study_date="20240601", patient_id=str(first[0].PatientID))
    studies = [study_of(datasets) for datasets in (first, second)]
    for study in studies:
        assert site.post(study).json()["state"] == "done"
    viewer.open(studies[1])
    viewer.wait_for_result()
    assert "Not evaluable" in viewer.page.inner_text(".metia-response")
    viewer.look_at(SECOND)
    viewer.page.dblclick(name_of(viewer.rows()[0]))
    viewer.page.wait_for_timeout(1500)
    viewer.look_at(SECOND)
    viewer.page.fill(".metia-rename", "left")
    for study in studies:
        said = {"version": 0, "corticosteroid_mg": 2, "clinical_status": "stable", "user": "x"}
        assert requests.post(f"{site.url}/visits/{study}/assessment", json=said, timeout=10).ok
    viewer.page.wait_for_selector(".metia-response >> text=Stable disease")
    viewer.page.keyboard.type(" frontal")
    assert viewer.page.input_value(".metia-rename") == "left frontal"
    assert viewer.distance(SECOND) < 3
    viewer.page.keyboard.press("Enter")
    viewer.page.wait_for_selector('tr[data-lesion="left frontal"]')
    assert viewer.page.query_selector(".metia-problem") is None
    assert viewer.errors == []


def test_what_others_segment_again_takes_the_place_of_the_overlay(
    viewer: Viewer, orthanc: RunningOrthanc, site: ServerSite
) -> None:
    study = open_with_result(viewer, orthanc, site)
    viewer.look_at(SECOND)
    again = site.post(study).json()
    assert again["state"] == "done"
    (written,) = [one["SeriesInstanceUID"] for one in again["results"] if one["kind"] == "SEG"]
    overlays = f"() => {SERIES_IN}(window.services.viewportGridService.getActiveViewportId())"
    viewer.page.wait_for_function(f"uid => ({overlays})().slice(1).join() === uid", arg=written)
    assert viewer.distance(SECOND) < 3, "nobody is led away"
    assert shows(viewer, SECOND, coloured=True)
    assert viewer.errors == []


OVERLAYS = (
    "(viewport => window.services.segmentationService.getSegmentationRepresentations(viewport)"
    ".map(one => window.services.displaySetService.getDisplaySetByUID(one.segmentationId)?.SeriesInstanceUID ?? null))"
)
VIEWPORTS = "[...window.services.viewportGridService.getState().viewports.keys()]"


def seg_of(job: dict[str, Any]) -> str:
    """The series of the SEG that a job wrote."""
    (written,) = [one["SeriesInstanceUID"] for one in job["results"] if one["kind"] == "SEG"]
    return str(written)


def wait_for_the_only_overlay(viewer: Viewer, site: ServerSite, study: str, *, after: dict[str, Any]) -> None:
    """Wait until the SEG of a newer job than one is the only one that is laid over any image."""
    job = site.until(lambda: newer_than(after, site.jobs(study)), "another job is done")
    viewer.page.wait_for_selector(".metia-primary:not(:disabled)")
    only = f"seg => {VIEWPORTS}.map({OVERLAYS}).every(laid => laid.every(one => one === seg))"
    laid = f"seg => {VIEWPORTS}.some(viewport => {OVERLAYS}(viewport).includes(seg))"
    for condition in (laid, only):
        viewer.page.wait_for_function(condition, arg=seg_of(job))
    viewer.page.wait_for_timeout(3000)  # for what OHIF would bring back, or fall over
    assert viewer.page.evaluate(only, seg_of(job)), viewer.page.evaluate(f"() => {VIEWPORTS}.map({OVERLAYS})")


def newer_than(job: dict[str, Any], jobs: list[dict[str, Any]]) -> dict[str, Any] | None:
    (newest, *_) = jobs
    return newest if newest["id"] != job["id"] and newest["state"] == "done" else None


def test_whoever_presses_twice_meets_the_same_lesion(viewer: Viewer, orthanc: RunningOrthanc, site: ServerSite) -> None:
    """Nothing moves under the pointer, whatever a refusal changes of the response."""
    first = store(orthanc)
    second = store(orthanc, study_date="20240601", patient_id=str(first[0].PatientID))
    for datasets in (first, second):
        assert site.post(study_of(datasets)).json()["state"] == "done"
    viewer.open(study_of(second))
    viewer.wait_for_result()
    rows = viewer.rows()
    places = places_of_rows(viewer)
    box = viewer.page.locator(f'tr[data-lesion="{rows[0]}"] td:last-child button').bounding_box()
    assert box is not None
    pointer = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)

    viewer.page.mouse.click(*pointer)
    viewer.page.wait_for_selector(f'tr.metia-refused[data-lesion="{rows[0]}"]')
    viewer.page.mouse.down(click_count=2)
    viewer.page.mouse.up(click_count=2)
    viewer.page.wait_for_timeout(2500)
    assert refused(site, study_of(second)) == [rows[0]]
    assert (viewer.rows(), places_of_rows(viewer)) == (rows, places)
    viewer.screenshot("viewer-refused")
    viewer.page.mouse.click(*pointer)
    viewer.page.wait_for_selector("tr.metia-refused", state="detached")
    assert refused(site, study_of(second)) == []
    assert viewer.errors == []


def places_of_rows(viewer: Viewer) -> list[float]:
    tops = "rows => rows.map(row => row.getBoundingClientRect().top)"
    return list(viewer.page.eval_on_selector_all(".metia-lesions tbody tr", tops))


def refused(site: ServerSite, study: str) -> list[str]:
    """Names of what people have called no lesion."""
    return [one["name"] for one in lesions_of(site, study) if one["not_a_lesion"]]


def test_a_lesion_is_judged_where_it_is_read(viewer: Viewer, orthanc: RunningOrthanc, site: ServerSite) -> None:
    """By pointer and by keys; the response goes by it at once, and no row moves."""
    first = store(orthanc, lesions=factory.LESIONS[::2])
    second = store(orthanc, study_date="20240601", patient_id=str(first[0].PatientID))
    for study in map(study_of, (first, second)):
        assert site.post(study).json()["state"] == "done"
        said = {"version": 0, "corticosteroid_mg": 2, "clinical_status": "stable"}
        assert requests.post(f"{site.url}/visits/{study}/assessment", json=said, timeout=10).ok
    (_, newcomer, _) = lesions_of(site, study_of(second))
    long = {"name": "left frontal, treated with stereotactic radiosurgery", "version": newcomer["version"]}
    assert requests.patch(f"{site.url}/lesions/{newcomer['id']}", json=long, timeout=10).ok
    viewer.open(study_of(second))
    viewer.wait_for_result()
    target, new, non_target = viewer.rows()
    places = places_of_rows(viewer)
    field = viewer.page.get_by_label("Judgement of")
    assert field.is_disabled(), f"{target} is a target"
    viewer.page.wait_for_selector(".metia-response >> text=Progressive disease")

    viewer.page.click(name_of(new))
    assert field.locator("option").all_inner_texts() == ["by the rule", "new beyond doubt", "equivocal"]
    field.select_option(label="equivocal")
    viewer.page.wait_for_selector(f'tr[data-lesion="{new}"] >> text=reader: equivocal')
    viewer.page.wait_for_selector(".metia-response >> text=Stable disease")
    assert f"by a reader's judgement {new} is equivocal as a new lesion" in viewer.page.inner_text(".metia-verdict")
    assert viewer.page.inner_text(".metia-undo") == f"Undo: {new} was judged equivocal"
    assert places_of_rows(viewer) == places
    viewer.screenshot("viewer-judged")

    viewer.page.focus(name_of(non_target))
    for key in ("Enter", "Tab", "Tab"):  # it is chosen, and the field is behind its last button
        viewer.page.keyboard.press(key)
    assert field.evaluate("field => field === document.activeElement")
    for key in ("ArrowDown", "ArrowDown", "Enter"):  # the list, and the first of it
        viewer.page.keyboard.press(key)
    viewer.page.wait_for_selector(f'tr[data-lesion="{non_target}"] >> text=reader: unequivocal progression')
    viewer.page.wait_for_selector(".metia-response >> text=Progressive disease")
    assert places_of_rows(viewer) == places

    viewer.page.click(f"text=Undo: {non_target} was judged unequivocal progression")
    viewer.page.wait_for_selector(".metia-response >> text=Stable disease")
    viewer.page.click(name_of(new))
    assert field.input_value() == "equivocal"
    field.select_option(label="by the rule")
    viewer.page.wait_for_selector(".metia-judged", state="detached")
    viewer.page.wait_for_selector(".metia-response >> text=Progressive disease")
    assert places_of_rows(viewer) == places
    assert viewer.errors == []


def test_a_name_that_another_lesion_has_is_kept_for_another_try(
    viewer: Viewer, orthanc: RunningOrthanc, site: ServerSite
) -> None:
    open_with_result(viewer, orthanc, site)
    first, second, _ = viewer.rows()
    viewer.page.dblclick(name_of(second))
    viewer.page.fill(".metia-rename", first)
    viewer.page.keyboard.press("Enter")
    viewer.page.wait_for_selector(".metia-problem >> text=The name is taken")
    assert viewer.page.input_value(".metia-rename") == first
    viewer.screenshot("viewer-name-taken")
    viewer.page.locator(".metia-rename").press("End")
    viewer.page.keyboard.type(" too, treated with stereotactic radiosurgery in 2024")
    viewer.page.keyboard.press("Enter")
    viewer.page.wait_for_selector(".metia-problem", state="detached")
    viewer.page.wait_for_selector(".metia-rename", state="detached")
    assert viewer.rows()[1] == f"{first} too, treated with stereotactic radiosurgery in 2024"
    panel, button = (viewer.page.locator(one).first.bounding_box() for one in (".metia", "td:last-child button"))
    assert panel is not None
    assert button is not None
    assert button["x"] + button["width"] <= panel["x"] + panel["width"], "a long name takes no room from others"
    viewer.screenshot("viewer-long-name")


def test_a_study_without_a_series_to_segment_says_what_to_do(viewer: Viewer, orthanc: RunningOrthanc) -> None:
    datasets = store(orthanc, series_description="T2 TSE axial", contrast_agent=None)
    viewer.open(study_of(datasets))
    viewer.press()
    viewer.page.wait_for_selector(".metia-problem")
    said = viewer.page.inner_text(".metia-problem")
    assert "SeriesInstanceUID" not in said
    assert 'choose "the series shown" above, and press Run' in said
    assert "T2 TSE axial: T2-weighted" in said
    viewer.screenshot("viewer-no-series")
    viewer.page.select_option("[aria-label=Series]", label="the series shown")
    viewer.page.click(".metia-primary")
    viewer.wait_for_result()


@pytest.mark.parametrize("layout", ["one image", "MPR"])
def test_again_leaves_one_overlay_and_the_viewer_alive(
    viewer: Viewer, orthanc: RunningOrthanc, site: ServerSite, layout: str
) -> None:
    """On a study opened anew; by the button, then by others, then by the button again."""
    study = study_of(store(orthanc))
    job = site.post(study).json()
    viewer.open(study)
    viewer.wait_for_result()
    if layout == "MPR":
        viewer.page.evaluate("() => window.commandsManager.run('toggleHangingProtocol', { protocolId: 'mpr' })")
        viewer.page.wait_for_function(f"() => {VIEWPORTS}.length === 3")
        viewer.page.wait_for_timeout(3000)
    for press in (True, False, True):
        if press:
            viewer.page.click(".metia-primary:not(:disabled)")
        else:
            site.post(study)
        wait_for_the_only_overlay(viewer, site, study, after=job)
        (job, *_) = site.jobs(study)
        viewer.page.click(name_of(viewer.rows()[1]))
        viewer.page.wait_for_timeout(1500)
        assert viewer.page.locator("text=Something went wrong").count() == 0
    viewer.look_at(SECOND)
    assert shows(viewer, SECOND, coloured=True)
    viewer.screenshot(f"viewer-again-{layout.replace(' ', '-')}")
    assert viewer.errors == []


def test_a_name_is_changed_by_keys(viewer: Viewer, orthanc: RunningOrthanc, site: ServerSite) -> None:
    study = open_with_result(viewer, orthanc, site)
    second = viewer.rows()[1]
    viewer.page.focus(name_of(second))
    viewer.page.keyboard.press("Enter")
    viewer.page.wait_for_selector(f'tr.metia-chosen[data-lesion="{second}"]')
    for key, text, name in (("Enter", "left frontal", "left frontal"), ("F2", "right", "right")):
        viewer.page.keyboard.press(key)
        viewer.page.fill(".metia-rename", text)
        viewer.page.keyboard.press("Enter")
        viewer.page.wait_for_selector(f'tr[data-lesion="{name}"]')
        assert viewer.page.locator(".metia-name:focus").inner_text() == name, "the keys stay where they were"
    viewer.page.keyboard.press("F2")
    viewer.page.keyboard.type("no")
    viewer.page.keyboard.press("Escape")
    viewer.page.wait_for_selector(".metia-name:focus")
    assert viewer.rows()[1] == "right"
    assert [one["name"] for one in lesions_of(site, study)][1] == "right"
    assert viewer.errors == []


def name_of(lesion: str) -> str:
    return f'tr[data-lesion="{lesion}"] .metia-name'


def lesions_of(site: ServerSite, study: str) -> list[dict[str, Any]]:
    lesions: list[dict[str, Any]] = requests.get(f"{site.url}/studies/{study}/lesions", timeout=10).json()["lesions"]
    return lesions


def test_everything_that_was_written_opens(viewer: Viewer, orthanc: RunningOrthanc, site: ServerSite) -> None:
    study = study_of(store(orthanc))
    job = site.post(study).json()
    viewer.open(study)
    viewer.wait_for_result()
    for result in job["results"]:
        shown = viewer.page.evaluate(
            """async series => {
                const { displaySetService, viewportGridService } = window.services;
                const set = displaySetService.getActiveDisplaySets().find(one => one.SeriesInstanceUID === series);
                const viewportId = viewportGridService.getActiveViewportId();
                viewportGridService.setDisplaySetsForViewport(
                    { viewportId, displaySetInstanceUIDs: [set.displaySetInstanceUID] });
                return set.Modality;
            }""",
            result["SeriesInstanceUID"],
        )
        viewer.page.wait_for_timeout(4000)
        viewer.screenshot(f"viewer-{shown.lower()}-{result['SeriesInstanceUID'][-4:]}")
        if shown == "SR":
            assert viewer.distance(LARGEST) < 3, "not on the first slice, which is air"
            assert viewer.colour_at(LARGEST).max() > 100
            viewer.page.evaluate(f"() => {VIEWPORT}.setImageIdIndex(0)")
        assert viewer.page.locator("text=Something went wrong").count() == 0, shown
        assert viewer.page.is_enabled("[data-cy=MetIA]"), "it is shown on the MR"
    assert len({result["SeriesInstanceUID"] for result in job["results"]}) == 4
    assert viewer.errors == []


def test_the_follow_up_page_leads_to_the_slice_of_a_lesion(
    viewer: Viewer, orthanc: RunningOrthanc, site: ServerSite
) -> None:
    study = study_of(store(orthanc))
    assert site.post(study).json()["state"] == "done"
    known = requests.get(f"{site.url}/studies/{study}/lesions", timeout=10).json()["lesions"]
    for lesion, centre in zip(known[1:], (SECOND, SMALLEST), strict=True):
        viewer.page.goto(site.url + viewer_follow_up(site, study))
        viewer.page.click(f'a[aria-label="Show {lesion["name"]} in the viewer"]')
        viewer.page.wait_for_selector(".metia-lesions")
        viewer.page.wait_for_timeout(3000)  # for whatever would lead away again
        shown = viewer.page.evaluate(f"() => {VIEWPORT}.getCurrentImageId()")
        assert f"/instances/{lesion['measured_slice_sop_instance_uid']}/" in shown
        assert viewer.distance(centre) < 2
        assert shows(viewer, centre, coloured=True)
    viewer.screenshot("viewer-from-follow-up")
    assert viewer.errors == []


def test_two_series_that_qualify_are_offered(viewer: Viewer, orthanc: RunningOrthanc) -> None:
    datasets = store(orthanc)
    store_beside(orthanc, datasets, series_description="T1 MPRAGE post Gd again")
    viewer.open(study_of(datasets))
    viewer.press()
    viewer.page.wait_for_selector(".metia-problem button")
    assert "No single series to segment" in viewer.page.inner_text(".metia-problem")
    viewer.screenshot("viewer-two-series")
    viewer.page.click("text=Segment T1 MPRAGE post Gd again")
    viewer.page.wait_for_selector(".metia-chosen")
    assert "named by hand" in viewer.page.inner_text(".metia summary")


def test_the_button_is_grey_where_no_mr_is_shown(viewer: Viewer, orthanc: RunningOrthanc) -> None:
    datasets = factory.series_datasets(study_instance_uid=generate_uid(), series_instance_uid=generate_uid())
    for dataset in datasets:
        dataset.Modality, dataset.SOPClassUID = "CT", CTImageStorage
        dataset.file_meta.MediaStorageSOPClassUID = CTImageStorage
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    orthanc.archive.store(datasets)
    viewer.open(study_of(datasets))
    viewer.page.wait_for_selector("[data-cy=MetIA][disabled]")
    assert "none is shown" in str(viewer.page.get_attribute("[data-cy=MetIA]", "title"))
    shade = viewer.page.eval_on_selector("[data-cy=MetIA]", "button => getComputedStyle(button).backgroundColor")
    red, green, blue = (int(part) for part in shade.removeprefix("rgb(").rstrip(")").split(","))
    assert max(red, green, blue) < 100
    viewer.screenshot("viewer-no-mr")


def test_waiting_and_cancelling(browser: Browser, tmp_path: Path, orthanc: RunningOrthanc, tiny_model: Path) -> None:
    """Without a worker a job waits: the panel says so, and ends it."""
    site = ServerSite(tmp_path, orthanc, tiny_model, OHIF_DIR=str(viewer_files()))
    viewer = Viewer(browser, site.url)
    try:
        site.start_api()
        assert site.post(study_of(store(orthanc)), query="").status_code == 202
        viewer.open(study_of(store(orthanc)))
        viewer.press()
        viewer.page.wait_for_selector("text=Waiting, number 2 in line")
        viewer.screenshot("viewer-waiting")
        viewer.page.click(".metia >> text=Cancel")
        viewer.page.wait_for_selector("text=Cancelled.")
        assert viewer.page.is_enabled("[data-cy=MetIA]")
    finally:
        viewer.close()
        site.close()
