"""What the schemas are made of."""

from collections.abc import Iterable, Sequence
from typing import Any

from Orthanc.archive import UID_LENGTH, UID_PATTERN
from routes import bounds

Schema = dict[str, Any]

UID: Schema = {
    "type": "string",
    "maxLength": UID_LENGTH,
    "pattern": f"^{UID_PATTERN}$",
    "examples": ["1.2.840.113619.2.5.1762583153"],
}
WHOLE: Schema = {"type": "integer"}
ID: Schema = {"type": "integer", "format": "int64", "minimum": 0}  # the largest int64 is LARGEST_ID
TEXT: Schema = {"type": "string"}
IN_ADDRESS: Schema = {"type": "string", "pattern": f"^[^{bounds.CONTROL}]*$"}
NAME: Schema = {
    "type": "string",
    "minLength": 1,
    "maxLength": bounds.NAME_LENGTH,
    "description": "Printable characters, no backslash; spaces around it are left out",
}
USER: Schema = {"type": "string", "maxLength": bounds.USER_LENGTH}
TEXT_OR_NULL: Schema = {"type": ["string", "null"]}
TRUTH: Schema = {"type": "boolean"}
NUMBER_OR_NULL: Schema = {"type": ["number", "null"]}
DATE: Schema = {"type": ["string", "null"], "format": "date"}
TIME: Schema = {"type": ["string", "null"], "format": "date-time"}
MM: Schema = {"type": "number", "description": "mm"}
ANYTHING: Schema = {"type": "object"}
BYTES: Schema = {"type": "string", "format": "binary"}
DICOM_JSON: Schema = {"type": ["array", "object"], "items": {}}


def structure(properties: dict[str, Schema], required: list[str] | None = None) -> Schema:
    """Describe an object; all of its members are there unless ``required`` lists those that are."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties) if required is None else required,
    }


def request_of(properties: dict[str, Schema], required: Sequence[str] = ()) -> Schema:
    """Describe an object that is sent to us, as ``reading.json_object`` reads it: other members are refused."""
    return {**structure(properties, list(required)), "additionalProperties": False}


def one_of(values: Iterable[str]) -> Schema:
    return {"type": "string", "enum": list(values)}


def reference(schema: str) -> Schema:
    return {"$ref": f"#/components/schemas/{schema}"}


def list_of(schema: str) -> Schema:
    return {"type": "array", "items": reference(schema)}


def or_null(schema: str) -> Schema:
    return {"anyOf": [reference(schema), {"type": "null"}]}
