"""The demo: stores a synthetic patient's two visits, has them segmented over HTTP, and compares with the truth.

It goes through the front door (STOW-RS, ``POST /segment``, ``GET /jobs/{id}``) as any client would, and ends with the
patient's timeline.
"""

import time
from typing import Any
from urllib.parse import urljoin

from tqdm import tqdm

from BDD.models import DONE, FINAL_STATES
from Orthanc.dicomweb import open_archive
from Orthanc.direct import direct_session
from services import demo_timeline
from services.addresses import api_url
from services.demo_patient import PATIENT_ID, Visit, make_visits
from settings import Settings

_POLL_SECONDS = 0.3
_SMALLEST_MM = 5.0
"""From this diameter on a lesion must be found for the demo to count as passed."""


def run(settings: Settings) -> int:
    """Run the demo; returns 0 when every lesion of 5 mm or more was found and nothing else, 1 otherwise."""
    print("\nDemo: a synthetic patient, two visits eight weeks apart")
    visits = make_visits()
    archive = open_archive(settings)
    api = api_url(settings)
    perfect = True
    for number, visit in enumerate(visits, start=1):
        archive.store(visit.datasets)
        job = _segment(api, visit.study_instance_uid, f"visit {number}")
        if job["state"] != DONE:
            print(f"visit {number}: {job['state']}: {(job.get('problem') or {}).get('detail', '')}")
            return 1
        perfect &= _compare(number, visit, job)
    demo_timeline.show(api, PATIENT_ID)
    print("every lesion of 5 mm or more found, nothing else" if perfect else "the demo did not find what it should")
    return 0 if perfect else 1


def _segment(api: str, study_instance_uid: str, name: str) -> dict[str, Any]:
    session = direct_session()
    answer = session.post(f"{api}/segment", json={"StudyInstanceUID": study_instance_uid}, timeout=60)
    if not answer.ok:
        problem = answer.json()
        return {"state": f"refused with {answer.status_code}", "problem": problem}
    location = urljoin(api, answer.headers["Location"])
    with tqdm(total=100, bar_format="{desc:<20} {percentage:3.0f}% |{bar:40}| {elapsed}", leave=False) as bar:
        while True:
            job = session.get(location, timeout=60).json()
            bar.set_description_str(f"{name}: {job['state']}")
            bar.n = job["percent"]
            bar.refresh()
            if job["state"] in FINAL_STATES:
                return job
            time.sleep(_POLL_SECONDS)


def _compare(number: int, visit: Visit, job: dict[str, Any]) -> bool:
    """Print one visit's table; True when what had to be found was found, and nothing else."""
    date = f"{visit.date[:4]}-{visit.date[4:6]}-{visit.date[6:]}"
    seconds = sum(job["timings"].values())
    print(f"\nVisit {number}, {date}  ({seconds:.1f} s, model {job['model']['name']} {job['model']['version']})")
    print(f"  {'lesion':<18} {'diameter, mm':>20} {'volume, mm3':>22}")
    print(f"  {'':<18} {'true':>10} {'measured':>9} {'true':>12} {'measured':>9}")
    remaining = list(job["lesions"])
    complete = True
    for truth in visit.lesions:
        place = truth.found_at([lesion["centroid_lps_mm"] for lesion in remaining])
        line = f"  {truth.name:<18} {truth.diameter_mm:10.1f} "
        if place is None:
            complete &= truth.diameter_mm < _SMALLEST_MM
            print(f"{line}{'-':>9} {truth.volume_mm3:12.0f} {'-':>9}  missed")
            continue
        found = remaining.pop(place)
        print(
            f"{line}{found['longest_diameter_mm']:9.1f} {truth.volume_mm3:12.0f} {found['volume_mm3']:9.0f}"
            f"  found as {found['name']}"
        )
    for extra in remaining:
        print(
            f"  {'nothing there':<18} {'-':>10} {extra['longest_diameter_mm']:9.1f}"
            f" {'-':>12} {extra['volume_mm3']:9.0f}  {extra['name']} is a false positive"
        )
    return complete and not remaining
