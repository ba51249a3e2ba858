"""/static: what pages of ours need besides their HTML, compressed once, and kept by browsers until it changes."""

import gzip
import hashlib
from functools import cache
from importlib.metadata import distribution
from pathlib import Path
from typing import NamedTuple

from flask import Blueprint, Response, request
from werkzeug.exceptions import NotFound

from routes.openapi import describe
from settings import ROOT

blueprint = Blueprint("assets", __name__)

_WEB = ROOT / "web" / "static"
_PLOTLY = "plotly.js"
_KINDS = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8"}
_FOR_EVER = "public, max-age=31536000, immutable"


class _Asset(NamedTuple):
    plain: bytes
    compressed: bytes
    version: str


@blueprint.get("/static/<name>")
@describe(
    "A style or a script",
    {200: ("It", None), 404: ("There is none of this name", None)},
    media_type="text/css, text/javascript",
    tag="Viewer",
)
def asset(name: str) -> Response:
    """Give a file; its address names its version, so that it never has to be asked for again."""
    found = _read(name)
    response = compressed(Response(found.plain, content_type=_KINDS[Path(name).suffix]), found.compressed)
    response.headers["Cache-Control"] = _FOR_EVER
    return response


def asset_url(name: str) -> str:
    """Give the address of a file's present version."""
    return f"/static/{name}?v={_read(name).version}"


def compressed(response: Response, ready: bytes | None = None) -> Response:
    """Compress an answer for a browser that takes it; ``ready`` are the compressed bytes where they are known."""
    response.headers["Vary"] = "Accept-Encoding"
    if request.accept_encodings["gzip"] > 0:
        response.set_data(ready if ready is not None else gzip.compress(response.get_data(), 6))
        response.headers["Content-Encoding"] = "gzip"
    return response


@cache
def _read(name: str) -> _Asset:
    path = Path(str(distribution("plotly").locate_file("plotly/package_data/plotly.min.js")))
    if name != _PLOTLY:
        path = _WEB / name
        if path.parent != _WEB or path.suffix not in _KINDS or not path.is_file():
            raise NotFound
    plain = path.read_bytes()
    return _Asset(plain, gzip.compress(plain, 9, mtime=0), hashlib.sha256(plain).hexdigest()[:12])
