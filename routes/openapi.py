"""The OpenAPI description: each view says what it does by ``@describe``, and this collects it from the app's routes.

A view without a description does not start: the document and the routes cannot part.
"""

import re
from collections.abc import Callable
from typing import Any, TypeVar

from flask import Flask

from routes.schemas import SCHEMAS

View = TypeVar("View", bound=Callable[..., Any])

_PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
_PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>")


def describe(
    summary: str,
    answers: dict[int, tuple[str, str | None]],
    *,
    text: str = "",
    body: str | None = None,
    query: dict[str, tuple[str, str]] | None = None,
    tag: str = "Jobs",
    media_type: str = "text/html",
    error: str | None = None,
) -> Callable[[View], View]:
    """Describe a view.

    Parameters
    ----------
    answers
        Status -> (what it means, name of the answer's schema); None where the answer is no JSON. Errors, from 400 on,
        are problems and name no schema.
    body
        Name of the request body's schema.
    query
        Name -> (JSON type, what it means).
    media_type
        Of an answer that is no JSON.
    error
        Name of the schema of errors, where they are no problems.
    """
    wrong = _json(error) if error else _PROBLEM
    responses: dict[str, Any] = {}
    for status, (meaning, schema) in answers.items():
        no_json: dict[str, Any] = wrong if status >= 400 else {media_type: {}}
        content = _json(schema) if schema else no_json
        responses[str(status)] = {"description": meaning, "content": content}
    responses["default"] = {"description": "Any other error", "content": wrong}
    operation: dict[str, Any] = {"summary": summary, "description": text, "tags": [tag], "responses": responses}
    if body:
        operation["requestBody"] = {"required": True, "content": _json(body)}
    operation["parameters"] = [
        {"name": name, "in": "query", "schema": {"type": kind}, "description": meaning}
        for name, (kind, meaning) in (query or {}).items()
    ]

    def keep(view: View) -> View:
        view.openapi = operation  # type: ignore[attr-defined]
        return view

    return keep


def build(app: Flask, version: str) -> dict[str, Any]:
    """Collect the document from the app's routes.

    Raises
    ------
    LookupError
        When a view has no description.
    """
    paths: dict[str, Any] = {}
    for rule in sorted(app.url_map.iter_rules(), key=lambda rule: rule.rule):
        described = getattr(app.view_functions[rule.endpoint], "openapi", None)
        if described is None:
            raise LookupError(f"{rule.rule} has no @describe")
        in_path = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in _PARAMETER.findall(rule.rule)
        ]
        operation = {**described, "operationId": rule.endpoint, "parameters": in_path + described["parameters"]}
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            paths.setdefault(_PARAMETER.sub(r"{\1}", rule.rule), {})[method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "MetIA server",
            "version": version,
            "description": "Segments brain metastases in post-contrast T1 MR and writes SEG, RTSTRUCT and SR back. "
            "For research; not a medical device.",
        },
        "paths": paths,
        "components": {"schemas": SCHEMAS},
    }


def _json(schema: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
