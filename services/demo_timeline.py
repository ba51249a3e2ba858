"""The demo's end: the timeline of its patient as the API gives it, in a table for the terminal."""

import textwrap
from typing import Any

from Orthanc.direct import direct_session

_DASH = "-"


def show(api: str, patient_id: str) -> None:
    """Print the growth of each lesion over the visits, and the response of each visit with its reason."""
    session = direct_session()
    patients = session.get(f"{api}/patients", timeout=60).json()["patients"]
    key = next(patient["id"] for patient in patients if patient["PatientID"] == patient_id)
    timeline = session.get(f"{api}/patients/{key}/timeline", timeout=60).json()
    visits = timeline["visits"]
    print(f"\nTimeline: longest diameter in mm, and volume in mm3; {api}/patients/{key}/report.pdf has it on a page")
    print(f"  {'lesion':<18} {'role':<10}" + "".join(f" {visit['date'] or 'no date':>19}" for visit in visits))
    for lesion in timeline["lesions"]:
        if lesion["role"] not in ("merged", "not_a_lesion"):
            sizes = "".join(f" {_size(size):>19}" for size in lesion["sizes"])
            print(f"  {lesion['name']:<18} {lesion['role'].replace('_', '-'):<10}{sizes}  {_growth(lesion)}")
    print(f"  {'sum of targets':<29}" + "".join(f" {_sum(visit):>19}" for visit in visits))
    for number, visit in enumerate(visits, start=1):
        verdict = visit["radiographic"]
        if verdict is None:
            print(
                f"Visit {number} is the baseline." if visit["role"] == "baseline" else f"Visit {number} is before it."
            )
        else:
            answer = f"Visit {number}: {verdict['response']} on the images (RANO-BM): {verdict['reason']}."
            print(textwrap.fill(answer, 110, subsequent_indent="  "))


def _size(size: dict[str, Any] | None) -> str:
    return f"{size['longest_diameter_mm']:.1f} mm {size['volume_mm3']:7.0f}" if size else _DASH


def _growth(lesion: dict[str, Any]) -> str:
    """Say what became of a lesion from the first visit to the last."""
    first, last = lesion["sizes"][0], lesion["sizes"][-1]
    if first and last:
        return f"{last['longest_diameter_mm'] - first['longest_diameter_mm']:+.1f} mm"
    if lesion["not_covered"][-1]:
        return "not covered"
    return "new" if last else "gone" if first else ""


def _sum(visit: dict[str, Any]) -> str:
    decides = visit["deciding_sum"]
    return _DASH if decides is None or decides["total"] is None else f"{decides['total']:.1f} {decides['unit']}"
