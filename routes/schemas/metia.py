"""The published front-end's JSON."""

from typing import Any

from routes.schemas.words import BYTES, ID, NAME, TEXT, UID, WHOLE, list_of, structure

ERROR = "Error"

_ROI = {
    "study_instance_uid": UID,
    "serie_instance_uid": {**UID, "description": "Of the RTSTRUCT"},
    "roi_number": {**WHOLE, "minimum": 0},
}
_METASTASIS = {
    "id": ID,
    "roiNumber": WHOLE,
    "nom_metastase": TEXT,
    "volume": {"type": "number", "description": "cm3"},
    "diametre": {"type": "number", "description": "Longest diameter in an axial plane, mm"},
    "slice_debut": {**WHOLE, "description": "First slice by position along the normal, from 1"},
    "slice_fin": {**WHOLE, "description": "Last slice"},
    "color": {**TEXT, "description": "[red green blue], 0 to 255"},
}

SCHEMAS: dict[str, Any] = {
    "Success": structure({"success": TEXT}),
    ERROR: structure({"error": TEXT}),
    "Upload": structure(
        {"files[]": {"type": "array", "items": BYTES, "minItems": 1, "description": "DICOM files"}},
    ),
    "RenameRoi": structure({**_ROI, "new_name": NAME}),
    "DeleteRoi": structure(_ROI),
    "OrthancStudies": {"type": "array", "items": TEXT},
    "OrthancStudy": {"type": "object", "description": "As Orthanc describes it"},
    "MetiaPatients": list_of("MetiaPatient"),
    "MetiaPatient": structure(
        {
            "id": {**TEXT, "description": "PatientID; without one, the UID of the only study"},
            "name": TEXT,
            "date": {**TEXT, "description": "Of birth, YYYY-MM-DD; empty when not known"},
            "sexe": {**TEXT, "description": "M or F; another value, or none, as DICOM has it"},
        }
    ),
    "MetiaStudies": list_of("MetiaStudy"),
    "MetiaStudy": structure(
        {"id": {**TEXT, "description": "Of the patient"}, "id_study": TEXT, "date": TEXT}, required=["id_study", "date"]
    ),
    "MetiaSeriesList": list_of("MetiaSeries"),
    "MetiaSeries": structure({"series_instance_uid": TEXT, "study_instance_uid": TEXT}),
    "MetiaMetastases": list_of("MetiaMetastasis"),
    "MetiaMetastasis": structure({**_METASTASIS, "series_instance_uid": TEXT}, required=list(_METASTASIS)),
}
