"""The published front-end's JSON, for the OpenAPI document; put beside the schemas of ``schemas``."""

from typing import Any

from routes.schemas import SCHEMAS

_TEXT = {"type": "string"}
_WHOLE = {"type": "integer"}
ERROR = "Error"


def _object(properties: dict[str, Any], optional: tuple[str, ...] = ()) -> dict[str, Any]:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required}


def _list(name: str) -> dict[str, Any]:
    return {"type": "array", "items": {"$ref": f"#/components/schemas/{name}"}}


_ROI = {
    "study_instance_uid": _TEXT,
    "serie_instance_uid": {**_TEXT, "description": "Of the RTSTRUCT"},
    "roi_number": _WHOLE,
}
SCHEMAS.update(
    {
        "Success": _object({"success": _TEXT}),
        ERROR: _object({"error": _TEXT}),
        "RenameRoi": _object({**_ROI, "new_name": _TEXT}),
        "DeleteRoi": _object(_ROI),
        "OrthancStudies": {"type": "array", "items": _TEXT},
        "OrthancStudy": {"type": "object", "description": "As Orthanc describes it"},
        "MetiaPatients": _list("MetiaPatient"),
        "MetiaPatient": _object(
            {
                "id": {**_TEXT, "description": "PatientID; without one, the UID of the only study"},
                "name": _TEXT,
                "date": {**_TEXT, "description": "Of birth, YYYY-MM-DD; empty when not known"},
                "sexe": {**_TEXT, "description": "M or F; another value, or none, as DICOM has it"},
            }
        ),
        "MetiaStudies": _list("MetiaStudy"),
        "MetiaStudy": _object(
            {"id": {**_TEXT, "description": "Of the patient"}, "id_study": _TEXT, "date": _TEXT}, optional=("id",)
        ),
        "MetiaSeriesList": _list("MetiaSeries"),
        "MetiaSeries": _object({"series_instance_uid": _TEXT, "study_instance_uid": _TEXT}),
        "MetiaMetastases": _list("MetiaMetastasis"),
        "MetiaMetastasis": _object(
            {
                "id": _WHOLE,
                "roiNumber": _WHOLE,
                "nom_metastase": _TEXT,
                "volume": {"type": "number", "description": "cm3"},
                "diametre": {"type": "number", "description": "Longest diameter in an axial plane, mm"},
                "slice_debut": {**_WHOLE, "description": "First slice by position along the normal, from 1"},
                "slice_fin": {**_WHOLE, "description": "Last slice"},
                "color": {**_TEXT, "description": "[red green blue], 0 to 255"},
                "series_instance_uid": _TEXT,
            },
            optional=("series_instance_uid",),
        ),
    }
)
