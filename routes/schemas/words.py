"""What the schemas are made of."""

from typing import Any

UID = {"type": "string", "maxLength": 64, "examples": ["1.2.840.113619.2.5.1762583153"]}
ID = {"type": "integer"}
TEXT = {"type": "string"}
TEXT_OR_NULL = {"type": ["string", "null"]}
TRUTH = {"type": "boolean"}
NUMBER_OR_NULL = {"type": ["number", "null"]}
DATE = {"type": ["string", "null"], "format": "date"}
TIME = {"type": ["string", "null"], "format": "date-time"}
MM = {"type": "number", "description": "mm"}
ANYTHING = {"type": "object"}
BYTES = {"type": "string", "format": "binary"}


def structure(properties: dict[str, Any], required: list[str] | None = None) -> dict[str, Any]:
    """Describe an object; all of its members are there unless ``required`` lists those that are."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties) if required is None else required,
    }


def reference(schema: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{schema}"}


def list_of(schema: str) -> dict[str, Any]:
    return {"type": "array", "items": reference(schema)}


def or_null(schema: str) -> dict[str, Any]:
    return {"anyOf": [reference(schema), {"type": "null"}]}
