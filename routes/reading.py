"""Reads what a request says, strictly: a word it does not know is an error, not a silence."""

import math
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from itertools import chain
from typing import Any

from flask import Flask, request
from flask.json.provider import DefaultJSONProvider
from werkzeug.exceptions import BadRequest, UnsupportedMediaType
from werkzeug.routing import IntegerConverter, Map, UnicodeConverter

from Orthanc.archive import UID_LENGTH, is_uid
from routes import bounds
from routes.openapi import Parameters
from routes.problems import invalid

_KINDS = {dict: "an object", list: "an array", str: "a string", int: "a number", float: "a number", bool: "a boolean"}
_KINDS[type(None)] = "null"
"""What JSON calls its values."""

_CONTROL = re.compile(f"[{bounds.CONTROL}]")


class _Identifier(IntegerConverter):
    """A number that the database gave to something; of larger ones there is nothing (404)."""

    regex = r"\d{1,19}"

    def __init__(self, url_map: Map) -> None:
        super().__init__(url_map, max=bounds.LARGEST_ID)


class _UID(UnicodeConverter):
    """What is described as a UID; routes look whether it is one (``uid``), and say so where it is not."""


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
    app.url_map.converters |= {"int": _Identifier, "uid": _UID}
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


def named_user() -> str:
    """Give the name in X-User, which nginx sets to that of the login where there is one; empty without.

    It is UTF-8 where it can be that: servers take each byte of a header for a character of Latin-1.
    """
    header = request.headers.get("X-User", "")
    try:
        return header.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return header


@dataclass(frozen=True)
class Number:
    """A number in the query: checked by the bounds that OpenAPI tells.

    Attributes
    ----------
    most
        What is more is cut to it. Called where the settings decide on it.
    """

    name: str
    meaning: str
    unless_said: float
    least: float
    most: float | Callable[[], float]
    whole: bool = False

    @property
    def query(self) -> Parameters:
        """Describe it for OpenAPI."""
        return {self.name: self._schema}

    def _schema(self) -> dict[str, Any]:
        return {
            "type": "integer" if self.whole else "number",
            "minimum": self.least,
            "default": self.unless_said,
            "description": f"{self.meaning}; what is more than {self._most():g} is cut to it",
        }

    def _most(self) -> float:
        return self.most() if callable(self.most) else self.most

    def asked(self) -> float:
        """Give what the request asks for."""
        text = request.args.get(self.name)
        if text is None:
            return self.unless_said
        try:
            value = min(float(text), float(self._most()))
        except ValueError:
            value = math.nan
        if not value >= self.least or (self.whole and not value.is_integer()):
            expected = f"a {'whole ' if self.whole else ''}number of at least {self.least:g}"
            raise invalid(f"{self.name} = {text[:80]!r} is not usable; expected {expected}.")
        return value


def limit(unless_said: int, most: int) -> Number:
    """Make the number that says how many of a list are given."""
    return Number("limit", "At most so many", unless_said, 1, most, whole=True)


def only_queries(known: Collection[str]) -> None:
    """Refuse a query that the route does not know."""
    unknown = sorted(set(request.args) - set(known))
    if unknown:
        raise invalid(f"Unknown in the query: {', '.join(unknown)[:200]}; expected {', '.join(known) or 'none'}.")
