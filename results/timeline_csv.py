"""The timeline as a table: one row per lesion and visit, for spreadsheets and statistics."""

from decimal import Decimal
from typing import Any

from results.spreadsheet import csv_file
from results.timeline import Timeline, TimelineLesion, TimelineVisit

COLUMNS = (
    "visit",
    "date",
    "study_instance_uid",
    "lesion",
    "tracking_uid",
    "role",
    "longest_diameter_mm",
    "perpendicular_diameter_mm",
    "volume_mm3",
    "parts",
    "measurable",
    "ambiguous",
    "unmeasured",
    "sum_of_diameters_mm",
    "from_baseline_percent",
    "from_nadir_percent",
    "radiographic_response",
    "radiographic_confirmed",
    "overall_response",
    "overall_confirmed",
    "target_rule",
    "doubt",
    "judgement",
)
_CONFIRMED = {True: "yes", False: "no", None: ""}


def timeline_csv(timeline: Timeline) -> bytes:
    """Write a timeline as CSV, see ``csv_file``.

    A lesion that is not found at a visit has 0 mm there; where nobody can tell its size it has none, and
    ``unmeasured`` says why. A visit without any lesion has one row without a lesion. The response is that by
    ``target_rule``; sums are of diameters, whichever it is. Whether a CR or PR lasted is said once a later visit tells.
    What a person should look at before relying on a visit's response is in each of its rows; ``judgement`` is what a
    reader says of the lesion at the visit.
    """
    rows: list[dict[str, Any]] = []
    for number, visit in enumerate(timeline.visits):
        common = {**_of_visit(number + 1, visit), "target_rule": timeline.assessment.rules.target_rule}
        rows += [
            {**common, **_of_lesion(lesion, number), "judgement": visit.judgements.get(lesion.tracking_uid)}
            for lesion in timeline.counting
        ] or [common]
    return csv_file(COLUMNS, rows)


def _of_visit(number: int, visit: TimelineVisit) -> dict[str, Any]:
    response = visit.response
    row: dict[str, Any] = {
        "visit": number,
        "date": visit.date.isoformat() if visit.date else "",
        "study_instance_uid": visit.study_instance_uid,
        "doubt": response.doubts,
    }
    for kind, verdict in (("radiographic", response.radiographic), ("overall", response.overall)):
        if verdict:
            row |= {f"{kind}_response": verdict.response, f"{kind}_confirmed": _CONFIRMED[verdict.confirmed]}
    if response.diameters:
        row["sum_of_diameters_mm"] = _number(response.diameters.total)
        row["from_baseline_percent"] = _number(response.diameters.from_baseline_percent)
        row["from_nadir_percent"] = _number(response.diameters.from_nadir_percent)
    return row


def _of_lesion(lesion: TimelineLesion, visit: int) -> dict[str, Any]:
    row: dict[str, Any] = {"lesion": lesion.name, "tracking_uid": lesion.tracking_uid, "role": lesion.role}
    size = lesion.sizes[visit]
    if size is None and (reason := lesion.why_unmeasured(visit)):
        return {**row, "unmeasured": reason}
    if size is None:
        return {**row, "longest_diameter_mm": 0, "volume_mm3": 0, "parts": 0}
    return {
        **row,
        "longest_diameter_mm": _number(size.longest_mm),
        "perpendicular_diameter_mm": _number(size.perpendicular_mm),
        "volume_mm3": _number(size.volume_mm3),
        "parts": size.parts,
        "measurable": "yes" if size.measurable else "no",
        "ambiguous": "yes" if size.ambiguous else "no",
    }


def _number(value: float | None) -> Decimal | None:
    return None if value is None else Decimal(f"{value:.2f}")
