"""The demo's patient is as bright as it is said to be where it is said to be, and its table tells found from missed."""

import copy
from typing import Any

import numpy as np
import pytest
import requests
import torch

from imaging.selection import SeriesSummary, choose
from imaging.volume import Series, read_series
from services import demo, demo_patient, demo_timeline
from services.demo_patient import LESIONS, Truth, Visit
from settings import load_settings


@pytest.fixture(scope="module")
def visits() -> list[Visit]:
    return demo_patient.make_visits()


@pytest.fixture(scope="module")
def series(visits: list[Visit]) -> list[Series]:
    return [read_series(visit.datasets) for visit in visits]


def intensities(series: Series, centre_lps_mm: tuple[float, float, float], low_mm: float, high_mm: float) -> np.ndarray:
    """Return the voxels (1 mm) that lie between two distances from a point, of which none is at the volume's edge."""
    to_index = np.linalg.inv(series.volume.affine)
    middle = np.rint(to_index @ [*centre_lps_mm, 1.0])[:3].astype(int)
    reach = int(high_mm) + 2
    box = tuple(slice(m - reach, m + reach + 1) for m in middle)
    index = np.moveaxis(np.indices([2 * reach + 1] * 3), 0, -1) + (middle - reach)
    points = index @ series.volume.affine[:3, :3].T + series.volume.affine[:3, 3]
    distance = np.linalg.norm(points - np.array(centre_lps_mm), axis=-1)
    return series.volume.array[box][(distance >= low_mm) & (distance <= high_mm)]


@pytest.mark.system
def test_two_growing_one_shrinking_one_new_one_the_same(visits):
    first, second = ({lesion.name: lesion.diameter_mm for lesion in visit.lesions} for visit in visits)
    assert visits[0].date < visits[1].date
    assert visits[0].study_instance_uid != visits[1].study_instance_uid
    assert set(second) == {lesion.name for lesion in LESIONS}
    changes = [second[name] - first.get(name, 0.0) for name in second]
    assert sum(change > 0 for change in changes) == 3  # two growing, one new
    assert sum(change < 0 for change in changes) == 1
    assert len(set(second) - set(first)) == 1


@pytest.mark.system
def test_the_truth_lies_in_the_stored_voxels(visits, series):
    for visit, one in zip(visits, series, strict=True):
        for truth in visit.lesions:
            radius = truth.diameter_mm / 2
            kind = next(lesion.kind for lesion in LESIONS if lesion.name == truth.name)
            inner = radius - 2.5 if kind == "ring" else 0.0
            lesion = intensities(one, truth.centre_lps_mm, inner, radius - 1)
            around = intensities(one, truth.centre_lps_mm, radius + 1.5, radius + 4)
            assert np.median(lesion) > 1.4 * np.median(around), truth.name
            # The surface is where it is said to be: half of the voxels 0.5 mm to either side of it are bright.
            middle = (np.median(lesion) + np.median(around)) / 2
            inside = intensities(one, truth.centre_lps_mm, radius - 1.5, radius - 0.7)
            outside = intensities(one, truth.centre_lps_mm, radius + 0.7, radius + 1.5)
            assert (inside > middle).mean() > 0.8, truth.name
            assert (outside < middle).mean() > 0.8, truth.name


@pytest.mark.system
def test_the_new_lesion_was_not_there_before(visits, series):
    new = next(lesion for lesion in visits[1].lesions if lesion.name == "right cerebellar")
    here, around = (intensities(series[0], new.centre_lps_mm, *shell) for shell in ((0, 3), (6, 9)))
    assert np.median(here) < 1.25 * np.median(around)


@pytest.mark.system
def test_it_is_an_oblique_millimetre_series_that_is_chosen(visits, series):
    for visit, one in zip(visits, series, strict=True):
        np.testing.assert_allclose(one.volume.spacing, (1, 1, 1), atol=1e-4)
        tilt = np.degrees(np.arccos(np.abs(one.volume.affine[2, 0])))
        assert 5 < tilt < 30
        header = one.header
        assert (header.PatientID, str(header.PatientName)) == ("METIA-DEMO", "Demo^Synthetic")
        assert header.StudyDate == visit.date
        selection = choose([SeriesSummary(header, len(visit.datasets))])
        assert selection.chosen.series_instance_uid == one.series_instance_uid
    assert len({one.header.FrameOfReferenceUID for one in series}) == 2


def test_the_same_point_of_the_head_is_sampled_at_its_place(monkeypatch):
    """A bright voxel of the template's grid comes out at its LPS position, in either visit's tilted grid."""
    monkeypatch.setattr(demo_patient, "_SHAPE", (60, 64, 62))
    head = torch.zeros(demo_patient.GRID)
    mni = np.array([9.0, -30.0, -7.0])
    start = np.array(demo_patient._GRID_CENTRE_RAS) - (np.array(demo_patient.GRID) - 1) / 2
    i, j, k = np.rint(mni - start).astype(int)
    head[i - 1 : i + 2, j - 1 : j + 2, k - 1 : k + 2] = 1.0
    for pose in ((0.0, 0.0, 0.0), (12.0, 4.0, 3.0), (15.0, -3.0, 6.0)):
        affine = demo_patient._oblique_affine(pose)
        np.testing.assert_allclose(affine[:3, :3].T @ affine[:3, :3], np.eye(3), atol=1e-12)
        sampled = demo_patient._sample(head, affine).numpy()
        index = np.array([(axis * sampled).sum() / sampled.sum() for axis in np.indices(sampled.shape)])
        lps = (affine @ [*index, 1])[:3]
        np.testing.assert_allclose(lps * (-1, -1, 1), mni, atol=0.1)


def test_the_volume_of_the_truth_is_the_spheres():
    assert Truth("a", (0.0, 0.0, 0.0), 10.0).volume_mm3 == pytest.approx(523.5988)


TRUTHS = [Truth("large", (10.0, 20.0, 30.0), 12.0), Truth("small", (-10.0, 0.0, 0.0), 4.0)]


def found(name: str, centre: tuple[float, float, float], diameter: float = 12.0) -> dict[str, Any]:
    return {"name": name, "centroid_lps_mm": centre, "longest_diameter_mm": diameter, "volume_mm3": 900.0}


LARGE = found("GTV_MetIA_1", (11.0, 19.0, 30.0))
SMALL = found("GTV_MetIA_2", (-10.0, 1.0, 0.0), 4.1)


TIMELINE = {
    "visits": [
        {"date": "2026-01-12", "role": "baseline", "radiographic": None, "deciding_sum": {"total": 20.0, "unit": "mm"}},
        {
            "date": "2026-03-09",
            "role": "follow-up",
            "radiographic": {"response": "PD", "reason": "new lesion GTV_MetIA_3"},
            "deciding_sum": {"total": 26.5, "unit": "mm"},
        },
    ],
    "lesions": [
        {
            "name": "GTV_MetIA_1",
            "role": "target",
            "sizes": [
                {"longest_diameter_mm": 20.0, "volume_mm3": 4000.0},
                {"longest_diameter_mm": 26.5, "volume_mm3": 9000.0},
            ],
            "not_covered": [False, False],
        },
        {
            "name": "GTV_MetIA_2",
            "role": "non_target",
            "sizes": [{"longest_diameter_mm": 5.0, "volume_mm3": 60.0}, None],
            "not_covered": [False, False],
        },
        {
            "name": "GTV_MetIA_3",
            "role": "new",
            "sizes": [None, {"longest_diameter_mm": 8.0, "volume_mm3": 260.0}],
            "not_covered": [False, False],
        },
        {
            "name": "GTV_MetIA_4",
            "role": "non_target",
            "sizes": [{"longest_diameter_mm": 4.0, "volume_mm3": 30.0}, None],
            "not_covered": [False, True],
        },
        {"name": "an artefact", "role": "not_a_lesion", "sizes": [None, None]},
    ],
}


class FakeServer:
    """Orthanc and the API, as far as the demo sees them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, visits: list[Visit]) -> None:
        self.stored: list[Any] = []
        self.posted: list[Any] = []
        self.lesions: list[dict[str, Any]] = [LARGE, SMALL]
        self.refusal: int | None = None
        self.states = ["queued", "segmenting", "done"]
        self.waiting: list[str] = []
        archive = type("Archive", (), {"store": lambda _, datasets: self.stored.append(datasets)})
        monkeypatch.setattr(demo, "make_visits", lambda: visits)
        monkeypatch.setattr(demo, "open_archive", lambda _: archive())
        monkeypatch.setattr(demo, "_POLL_SECONDS", 0.0)
        for module in (demo, demo_timeline):
            monkeypatch.setattr(module, "direct_session", lambda: self)

    def answer(self, status: int, content: dict[str, Any], **headers: str) -> requests.Response:
        response = requests.Response()
        response.status_code = status
        response.headers.update(headers)
        response.json = lambda **_: copy.deepcopy(content)  # type: ignore[method-assign]
        return response

    def post(self, url: str, json: dict[str, Any], timeout: float) -> requests.Response:
        self.posted.append((url, json))
        if self.refusal:
            return self.answer(self.refusal, {"title": "No", "detail": "the study has no volume"})
        self.waiting = list(self.states)
        return self.answer(202, {}, Location="/jobs/7")

    def get(self, url: str, timeout: float) -> requests.Response:
        if url.endswith("/patients"):
            patients = [{"id": 8, "PatientID": "OTHER"}, {"id": 3, "PatientID": demo_patient.PATIENT_ID}]
            return self.answer(200, {"patients": patients})
        if url.endswith("/patients/3/timeline"):
            return self.answer(200, TIMELINE)
        assert url.endswith("/jobs/7")
        state = self.waiting.pop(0)
        job = {
            "state": state,
            "percent": 50,
            "timings": {"segmenting": 3.2, "writing": 0.3},
            "model": {"name": "tiny", "version": "1.0"},
            "lesions": self.lesions if state == "done" else [],
            "problem": {"detail": "gap of 2.00 mm"} if state == "failed" else None,
        }
        return self.answer(200, job)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> FakeServer:
    dataset = type("Dataset", (), {"StudyInstanceUID": "1.2.3"})()
    return FakeServer(monkeypatch, [Visit("20260112", [dataset], TRUTHS)])


def run_demo() -> int:
    return demo.run(load_settings({}, None))


def test_everything_found_and_nothing_else(server, capsys):
    assert run_demo() == 0
    assert len(server.stored) == 1
    ((url, body),) = server.posted
    assert url.endswith("/segment")
    assert body == {"StudyInstanceUID": "1.2.3"}
    shown = capsys.readouterr().out
    assert "2026-01-12" in shown
    assert "3.5 s, model tiny 1.0" in shown
    assert "found as GTV_MetIA_1" in shown
    assert "missed" not in shown
    assert "false positive" not in shown


def test_it_ends_with_the_timeline(server, capsys):
    run_demo()
    shown = capsys.readouterr().out
    timeline = shown[shown.index("Timeline") :]
    rows = {line.split()[0]: line for line in timeline.splitlines() if line.startswith("  GTV")}
    assert rows["GTV_MetIA_1"].endswith("+6.5 mm")
    assert rows["GTV_MetIA_2"].endswith("gone")
    assert rows["GTV_MetIA_4"].endswith("not covered")
    assert rows["GTV_MetIA_3"].endswith("new")
    assert "artefact" not in timeline
    assert "Visit 2: PD on the images (RANO-BM): new lesion GTV_MetIA_3." in timeline


def test_a_lesion_below_five_millimetres_may_be_missed(server, capsys):
    server.lesions = [LARGE]
    assert run_demo() == 0
    assert "missed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("lesions", "words"),
    [
        ([SMALL], "missed"),
        ([LARGE, SMALL, found("GTV_MetIA_3", (50.0, 50.0, 50.0))], "GTV_MetIA_3 is a false positive"),
        ([found("GTV_MetIA_1", (16.5, 20.0, 30.0)), SMALL], "missed"),  # beside it, not in it
        ([LARGE, found("GTV_MetIA_2", (10.0, 20.5, 30.0)), SMALL], "is a false positive"),  # found twice
    ],
)
def test_what_should_not_be_fails_the_demo(server, capsys, lesions, words):
    server.lesions = lesions
    assert run_demo() == 1
    assert words in capsys.readouterr().out


def test_a_job_that_fails_fails_the_demo(server, capsys):
    server.states = ["fetching", "failed"]
    assert run_demo() == 1
    assert "failed: gap of 2.00 mm" in capsys.readouterr().out


def test_a_refusal_fails_the_demo(server, capsys):
    server.refusal = 409
    assert run_demo() == 1
    assert "refused with 409: the study has no volume" in capsys.readouterr().out
