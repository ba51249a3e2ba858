"""The service itself: is everything there, which models, what is a problem."""

from typing import Any

from routes.schemas.words import ANYTHING, BYTES, MM, TEXT, TEXT_OR_NULL, TRUTH, WHOLE, list_of, reference, structure

SCHEMAS: dict[str, Any] = {
    "Models": structure(
        {
            "models": list_of("Model"),
            "refused": list_of("RefusedModel"),
            "default": {**TEXT_OR_NULL, "description": "Its name; null when the model of MODEL_PATH cannot be used"},
            "notice": TEXT,
        }
    ),
    "Model": structure(
        {
            "name": TEXT,
            "version": TEXT,
            "default": {**TRUTH, "description": "It is used when a request names none"},
            "sha256": {**TEXT, "description": "Of the file of its weights"},
            "statement": {**TEXT, "description": "How good it was measured to be, on what"},
            "description": TEXT,
            "intended_use": TEXT,
            "provenance": {**ANYTHING, "description": "What its metadata say of data, authors, licence and changes"},
            "network": TEXT,
            "window": {"type": "array", "items": WHOLE, "description": "Voxels that the network sees at once"},
            "spacing_mm": {"type": ["array", "null"], "items": MM, "description": "Null: depends on the series"},
            "preprocessing": TEXT,
            "inputs": ANYTHING,
            "labels": {**ANYTHING, "description": "What each channel means"},
            "outputs": {**ANYTHING, "description": "Which channels are lesion, and how they become probabilities"},
            "postprocessing": ANYTHING,
        }
    ),
    "RefusedModel": structure({"name": {**TEXT, "description": "Of its folder"}, "reason": TEXT, "default": TRUTH}),
    "Health": structure({"status": TEXT}),
    "Ready": structure(
        {
            "ready": TRUTH,
            **{part: reference("Check") for part in ("orthanc", "database", "worker", "model")},
        }
    ),
    "Check": structure({"ok": TRUTH, "reason": TEXT}),
    "OpenAPI": {"type": "object"},
    "Instances": {
        **BYTES,
        "description": "As DICOM PS3.18 has it: a part of application/dicom for each instance. The header is "
        'Content-Type: multipart/related; type="application/dicom"; boundary=...',
    },
    "Problem": {
        **structure(
            {
                "type": {**TEXT, "description": "A stable name of the problem"},
                "title": TEXT,
                "status": {"type": "integer"},
                "detail": TEXT,
                "what_to_do": TEXT,
                "instance": {**TEXT, "description": "The address that was asked for; not of the problem of a job"},
                "job": {**TEXT, "description": "Address of the job that is in the way"},
                "candidates": {**list_of("Candidate"), "description": "The series of a study, where none was chosen"},
            },
            required=["type", "title", "status", "detail", "what_to_do"],
        ),
        "description": "RFC 9457; further members say more, such as the models there are",
    },
}
