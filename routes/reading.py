"""Reads what a request says, strictly: a word it does not know is an error, not a silence."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from itertools import chain
from typing import Any

from flask import Flask, request
from flask.json.provider import DefaultJSONProvider
from werkzeug.exceptions import BadRequest, UnsupportedMediaType
from werkzeug.routing import IntegerConverter, Map

from Orthanc.archive import UID_LENGTH, is_uid
from routes.problems import invalid

LARGEST_ID = 2**63 - 1
"""The largest that a database can be asked for."""

_KINDS = {dict: "an object", list: "an array", str: "a string", int: "a number", float: "a number", bool: "a boolean"}
_KINDS[type(None)] = "null"
"""What JSON calls its values."""

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")
"""What no address has any use for, and PostgreSQL refuses some of. A tab comes with what is pasted from a table."""


class _Identifier(IntegerConverter):
    """A number that the database gave to something; of larger ones there is nothing (404)."""

    regex = r"\d{1,19}"

    def __init__(self, url_map: Map) -> None:
        super().__init__(url_map, max=LARGEST_ID)


class _JSON(DefaultJSONProvider):
    """JSON in the order it is written in; what is nested too deeply to be read is no valid JSON."""

    sort_keys = False

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        """Read a text."""
        try:
            return super().loads(s, **kwargs)
        except RecursionError as error:
            raise ValueError("nested too deeply") from error


def register(app: Flask) -> None:
    """Have the app read addresses, numbers in them, and JSON, as above; before any route is made."""
    app.url_map.converters["int"] = _Identifier
    app.json = _JSON(app)
    app.before_request(_only_plain_text)


def _only_plain_text() -> None:
    said = (request.path, *request.args, *chain.from_iterable(request.args.listvalues()))
    for text in said:
        if (found := _CONTROL.search(text)) is not None:
            raise invalid(f"The address holds {found[0]!r}, a control character.")


def json_object(known: Collection[str], *, needed: bool = True) -> dict[str, Any]:
    """Give the request's JSON object; its keys are among the ``known``. Where none is ``needed``, it may be empty."""
    if not needed and not request.get_data():
        return {}
    if not request.is_json:
        raise UnsupportedMediaType("The request's body is not declared as JSON.")
    try:
        body = request.get_json()
    except BadRequest as error:
        raise invalid("The body is no valid JSON.") from error
    if not isinstance(body, dict):
        raise invalid(f"The body is {_KINDS[type(body)]}; expected a JSON object.")
    unknown = sorted(set(body) - set(known))
    if unknown:
        raise invalid(f"Unknown: {', '.join(unknown)[:200]}; expected {', '.join(known)}.")
    return body


def uid(value: object, keyword: str) -> str:
    """Check a DICOM UID: by the one rule for what comes in, so that whatever has come in can be named."""
    if value is None:
        raise invalid(f"{keyword} is missing.")
    if not isinstance(value, str):
        raise invalid(f"{keyword} is {_KINDS[type(value)]}; expected a string, in quotes.")
    if not is_uid(value):
        raise invalid(
            f"{keyword} = {str(value)[:80]!r} is no DICOM UID: numbers and dots, at most {UID_LENGTH} characters."
        )
    return value


def number(name: str, default: float, low: float, high: float) -> float:
    """Give a number from the query; above ``high`` it is cut to it."""
    text = request.args.get(name)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not value >= low:
        raise invalid(f"{name} = {text[:80]!r} is not usable; expected a number of at least {low:g}.")
    return min(value, high)


@dataclass(frozen=True)
class Limit:
    """How many of a list are given: ``limit`` in the query."""

    unless_said: int
    most: int

    @property
    def query(self) -> dict[str, tuple[str, str]]:
        """Describe it for OpenAPI."""
        return {"limit": ("integer", f"At most so many, {self.unless_said} unless said, {self.most} at most")}

    def asked(self) -> int:
        """Give how many the request asks for."""
        value = number("limit", self.unless_said, 1, self.most)
        if value != int(value):
            raise invalid(f"limit = {value:g} is not usable; expected a whole number.")
        return int(value)


def only_queries(known: Collection[str]) -> None:
    """Refuse a query that the route does not know."""
    unknown = sorted(set(request.args) - set(known))
    if unknown:
        raise invalid(f"Unknown in the query: {', '.join(unknown)[:200]}; expected {', '.join(known) or 'none'}.")
