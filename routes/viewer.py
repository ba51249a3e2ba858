"""/ohif: the viewer. Its files from OHIF_DIR, with our configuration and our extension from ``Orthanc/ohif``.

OHIF's prebuilt files expect to be at the top (``/app.bundle.js``, ``/assets/...``); its pages are below ``/ohif``.
"""

import re
from pathlib import Path

from flask import Blueprint, Response, redirect, request, send_file
from flask.blueprints import BlueprintSetupState
from werkzeug.exceptions import NotFound
from werkzeug.routing import BaseConverter
from werkzeug.security import safe_join
from werkzeug.wrappers import Response as BaseResponse

from routes.context import context
from routes.openapi import describe
from routes.problems import ProblemError
from settings import ROOT

blueprint = Blueprint("viewer", __name__)

OURS = ROOT / "Orthanc" / "ohif"
KINDS = {
    ".css": "text/css",
    ".html": "text/html",
    ".ico": "image/x-icon",
    ".js": "text/javascript",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
    ".woff2": "font/woff2",
    ".xml": "application/xml",
}
"""Told here: on Windows the registry decides what Python takes a .js file for, and browsers refuse it."""

_HASHED = re.compile(r"(.*\.)?[0-9a-f]{16}\.\w+")
"""Names that change with the content."""
_FOR_EVER = "public, max-age=31536000, immutable"
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; worker-src 'self' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "connect-src 'self' data: blob:; object-src 'none'; form-action 'self'; base-uri 'self'; "
    "frame-ancestors 'self'"
)
_TAG = "Viewer"
_PAGE: dict[int, tuple[str, str | None]] = {
    200: ("The page; OHIF finds its way by the address", None),
    503: ("The viewer is not installed", None),
}


class AssetConverter(BaseConverter):
    """A file of OHIF at the top, or in ``assets/``; nothing that a route of ours may be called."""

    regex = rf"(?:assets/)?[^/]+(?:{'|'.join(re.escape(suffix) for suffix in KINDS)})"
    part_isolating = False


@blueprint.record
def _teach(state: BlueprintSetupState) -> None:
    """Teach the app the converter, before the routes below are registered."""
    state.app.url_map.converters["ohif_asset"] = AssetConverter


@blueprint.get("/ohif/")
@describe("The viewer's list of studies (OHIF)", _PAGE, tag=_TAG)
def studies() -> Response:
    """Give OHIF's one page."""
    return _send(_ohif("index.html"))


@blueprint.get("/ohif/<path:page>")
@describe("A page of the viewer (OHIF)", _PAGE, text="/ohif/viewer?StudyInstanceUIDs=UID shows a study.", tag=_TAG)
def page(page: str) -> Response:  # noqa: ARG001 - OHIF reads it from the address
    """Give OHIF's one page."""
    return _send(_ohif("index.html"))


@blueprint.get("/viewer")
@describe("The viewer, by its usual address", {302: ("To /ohif/viewer", None)}, tag=_TAG)
def viewer() -> BaseResponse:
    """Lead to the viewer."""
    return redirect(f"/ohif/viewer?{request.query_string.decode('ascii', 'replace')}")


@blueprint.get("/app-config.js")
@describe("The viewer's configuration", {200: ("A script", None)}, media_type="text/javascript", tag=_TAG)
def configuration() -> Response:
    """Give our configuration of OHIF."""
    return _send(OURS / "app-config.js")


@blueprint.get("/ohif/extension/<name>")
@describe(
    "MetIA's extension of the viewer",
    {200: ("A module", None), 404: ("There is none of this name", None)},
    media_type="text/javascript",
    tag=_TAG,
)
def extension(name: str) -> Response:
    """Give a module of our extension."""
    return _send(_inside(OURS / "metia", name))


@blueprint.get("/<ohif_asset:name>")
@describe(
    "A file of the viewer",
    {200: ("The file", None), 404: ("OHIF has no such file", None)},
    media_type="*/*",
    tag=_TAG,
)
def asset(name: str) -> Response:
    """Give a file of OHIF."""
    return _send(_ohif(name))


def _ohif(name: str) -> Path:
    folder = context().settings.ohif_dir
    if not (folder / "index.html").is_file():
        raise ProblemError(
            503,
            "no-viewer",
            "The viewer is not installed",
            f"There is no OHIF in {folder}.",
            "Install Node.js (npm) and run start_services, which fetches it; or set OHIF_DIR to an OHIF of your own.",
        )
    return _inside(folder, name)


def _inside(folder: Path, name: str) -> Path:
    path = safe_join(str(folder), name)
    if path is None or Path(path).suffix not in KINDS or not Path(path).is_file():
        raise NotFound
    return Path(path)


def _send(path: Path) -> Response:
    """Send a file, in its compressed copy where there is one and the browser takes it."""
    copy = path.with_name(f"{path.name}.gz")
    compressed = copy.is_file() and request.accept_encodings["gzip"] > 0
    response = send_file(copy if compressed else path, mimetype=KINDS[path.suffix], conditional=True, max_age=None)
    if compressed:
        response.headers["Content-Encoding"] = "gzip"
    response.vary.add("Accept-Encoding")
    response.headers["Cache-Control"] = _FOR_EVER if _HASHED.fullmatch(path.name) else "no-cache"
    response.headers["Content-Security-Policy"] = _POLICY
    return response
