"""The OpenAPI description: each view says what it does by ``@describe``, and this collects it from the app's routes.

A view without a description does not start: the document and the routes cannot part.
"""

import re
from collections.abc import Callable, Collection
from typing import Any, TypeVar

from flask import Flask

from routes.schemas import SCHEMAS
from routes.schemas.words import BYTES

View = TypeVar("View", bound=Callable[..., Any])

_PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
_PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>")


def describe(
    summary: str,
    answers: dict[int, tuple[str, str | None]],
    *,
    text: str = "",
    body: str | None = None,
    body_type: str = "application/json",
    body_needed: bool = True,
    query: dict[str, tuple[str, str]] | None = None,
    headers: dict[str, tuple[str, str]] | None = None,
    tag: str = "Jobs",
    media_type: str = "text/html",
    error: str | None = None,
    pages: Collection[int] = (),
) -> Callable[[View], View]:
    """Describe a view.

    Parameters
    ----------
    answers
        Status -> (what it means, name of the answer's schema); None where the answer is no JSON. Errors, from 400 on,
        are problems and name no schema.
    body
        Name of the request body's schema.
    body_type, body_needed
        Its media type, and whether a request without it is none.
    query, headers
        Name -> (JSON type, what it means). None of them is needed.
    media_type
        Of an answer that is no JSON; several are parted by a comma.
    error
        Name of the schema of errors, where they are no problems.
    pages
        Errors that are answered as what is no JSON is.
    """
    wrong = _content(error) if error else _PROBLEM
    responses: dict[str, Any] = {}
    for status, (meaning, schema) in answers.items():
        no_json = wrong if status >= 400 and status not in pages else _bytes(media_type)
        content = _content(schema) if schema else no_json
        responses[str(status)] = {"description": meaning} | ({} if status == 304 else {"content": content})
    responses["default"] = {"description": "Any other error", "content": wrong}
    operation: dict[str, Any] = {"summary": summary, "description": text, "tags": [tag], "responses": responses}
    if body:
        operation["requestBody"] = {"required": body_needed, "content": _content(body, body_type)}
    operation["parameters"] = [
        {"name": name, "in": where, "schema": {"type": kind}, "description": meaning}
        for where, known in (("query", query), ("header", headers))
        for name, (kind, meaning) in (known or {}).items()
    ]

    def keep(view: View) -> View:
        view.openapi = operation  # type: ignore[attr-defined]
        return view

    return keep


def _bytes(media_types: str) -> dict[str, Any]:
    """Describe an answer that is a file or a page."""
    return {one: {"schema": BYTES} for one in media_types.split(", ")}


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


def _content(schema: str, media_type: str = "application/json") -> dict[str, Any]:
    return {media_type: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
