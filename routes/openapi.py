"""The OpenAPI description: each view says what it does by ``@describe``, and this collects it from the app's routes.

A view without a description does not start: the document and the routes cannot part.
"""

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

from flask import Flask

from routes.schemas import SCHEMAS
from routes.schemas.words import BYTES, DICOM_JSON, ID, IN_ADDRESS, TEXT, UID, Schema

View = TypeVar("View", bound=Callable[..., Any])
Parameters = Mapping[str, Schema | Callable[[], Schema]]
"""Name -> what it may be and what it means; called for each document where the settings decide on it."""

_PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
_PARAMETER = re.compile(r"<(?:(\w+):)?(\w+)>")
_IN_PATH = {"int": ID, "uid": UID}


def describe(
    summary: str,
    answers: dict[int, tuple[str, str | None]],
    *,
    text: str = "",
    body: str | None = None,
    body_type: str = "application/json",
    body_needed: bool = True,
    query: Parameters | None = None,
    headers: Parameters | None = None,
    tag: str = "Jobs",
    media_type: str = "text/html",
    error: str | None = None,
    pages: Collection[int] = (),
    gives: Mapping[str, str] | None = None,
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
        None of them is needed.
    media_type
        Of an answer that is no JSON; several are parted by a comma.
    error
        Name of the schema of errors, where they are no problems.
    pages
        Errors that are answered as what is no JSON is; of an address that nothing can be at, as any error.
    gives
        Header of the answers that are no errors -> what it means.
    """
    wrong = _content(error) if error else _PROBLEM
    responses: dict[str, Any] = {}
    for status, (meaning, schema) in answers.items():
        shown = _shown(media_type) if status < 400 or status in pages else {}
        content = _content(schema) if schema else shown | (wrong if status >= 400 else {})
        responses[str(status)] = {"description": meaning} | ({} if status == 304 else {"content": content})
        if gives and status < 400:
            responses[str(status)]["headers"] = {
                name: {"description": means, "schema": TEXT} for name, means in gives.items()
            }
    responses["default"] = {"description": "Any other error", "content": wrong}
    operation: dict[str, Any] = {"summary": summary, "description": text, "tags": [tag], "responses": responses}
    if body:
        operation["requestBody"] = {"required": body_needed, "content": _content(body, body_type)}
    operation["parameters"] = [  # as the document has them: ``build``
        (name, where, schema)
        for where, known in (("query", query), ("header", headers))
        for name, schema in (known or {}).items()
    ]

    def keep(view: View) -> View:
        view.openapi = operation  # type: ignore[attr-defined]
        return view

    return keep


def _shown(media_types: str) -> dict[str, Any]:
    """Describe an answer that is a file or a page."""
    return {one: {"schema": _schema_of(one)} for one in media_types.split(", ")}


def _schema_of(media_type: str) -> Schema:
    if media_type.startswith("text/"):
        return TEXT
    return DICOM_JSON if media_type.endswith("+json") else BYTES


def build(app: Flask, version: str) -> dict[str, Any]:
    """Collect the document from the app's routes.

    Raises
    ------
    LookupError
        When a view has no description.
    """
    with app.app_context():
        paths = _paths(app)
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


def _paths(app: Flask) -> dict[str, Any]:
    paths: dict[str, Any] = {}
    for rule in sorted(app.url_map.iter_rules(), key=lambda rule: rule.rule):
        described = getattr(app.view_functions[rule.endpoint], "openapi", None)
        if described is None:
            raise LookupError(f"{rule.rule} has no @describe")
        in_path = [
            {"name": name, "in": "path", "required": True, "schema": _IN_PATH.get(kind, IN_ADDRESS)}
            for kind, name in _PARAMETER.findall(rule.rule)
        ]
        others = [_parameter(*one) for one in described["parameters"]]
        operation = {**described, "operationId": rule.endpoint, "parameters": in_path + others}
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            paths.setdefault(_PARAMETER.sub(r"{\2}", rule.rule), {})[method.lower()] = operation
    return paths


def _parameter(name: str, where: str, schema: Schema | Callable[[], Schema]) -> dict[str, Any]:
    known = dict(schema() if callable(schema) else schema)
    return {"name": name, "in": where, "description": known.pop("description"), "schema": known}


def _content(schema: str, media_type: str = "application/json") -> dict[str, Any]:
    return {media_type: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
