"""/dicom-web: Orthanc's DICOMweb for the viewer, streamed; the browser never sees Orthanc's password.

Where nginx stands in front it sends the images from Orthanc itself, and only the queries come here.
"""

from functools import lru_cache, partial

from flask import Blueprint, Response, request
from werkzeug.exceptions import NotFound, UnsupportedMediaType

from Orthanc.relay import RESOURCE, Relay
from routes.context import context
from routes.guard import asked_by_https
from routes.openapi import describe
from routes.problems import ProblemError
from settings import Settings

blueprint = Blueprint("dicomweb", __name__)

_TAG = "Viewer"
_ERRORS = {502: ("The archive does not answer", None), 504: ("The archive did not answer in time", None)}
_STORED: dict[int, tuple[str, str | None]] = {
    200: ("As DICOM PS3.18 says", None),
    409: ("The archive refused some", None),
    413: ("More than UPLOAD_MAX_MB", None),
    415: ("Not multipart/related", None),
    507: ("No room to take it in", None),
    **_ERRORS,
}
_describe_storing = partial(
    describe,
    answers=_STORED,
    body="Instances",
    body_type="multipart/related",
    media_type="application/dicom+json",
    tag=_TAG,
)


@blueprint.get("/dicom-web/<path:resource>")
@describe(
    "Search and fetch (QIDO-RS, WADO-RS)",
    {200: ("As DICOM PS3.18 says", None), 404: ("The archive has no such thing", None), **_ERRORS},
    text="resource: studies, series or instances, and what is below them.",
    media_type="application/dicom+json, multipart/related, */*",
    tag=_TAG,
)
def fetch(resource: str) -> Response:
    """Pass a query or a retrieval on."""
    return _relay(resource)


@blueprint.post("/dicom-web/studies")
@_describe_storing("Store (STOW-RS)")
def store() -> Response:
    """Pass instances on to be stored."""
    return _store("studies")


@blueprint.post("/dicom-web/studies/<uid:study>")
@_describe_storing("Store in a study (STOW-RS)")
def store_in(study: str) -> Response:
    """Pass instances of one study on to be stored."""
    return _store(f"studies/{study}")


def _store(resource: str) -> Response:
    if request.mimetype != "multipart/related":  # which a page of another origin cannot send unasked
        raise UnsupportedMediaType("STOW-RS takes multipart/related.")
    request.max_content_length = context().settings.upload_max_bytes
    return _relay(resource)


def _relay(resource: str) -> Response:
    """Pass a request on, and its answer back; but of a refusal only what is DICOM.

    Orthanc's refusals repeat the address without naming a type: a browser would show as a page of ours what somebody
    has put into a link.
    """
    if not RESOURCE.fullmatch(resource):
        raise NotFound
    body = request.stream if request.method == "POST" else None
    relay = _relay_to(context().settings)
    answer = relay.ask(request.method, resource, request.query_string, _told(), body)
    kind = answer.headers.get("Content-Type", "application/octet-stream")
    if answer.status >= 400 and not kind.startswith("application/dicom+"):  # STOW-RS says which instances it refused
        answer.body.close()
        raise ProblemError(
            answer.status,
            "archive-refused",
            "The archive has no such thing" if answer.status == 404 else "The archive refused the request",
            f"It answered with status {answer.status}.",
            "See the archive's log, and DICOM PS3.18 for what may be asked for.",
        )
    return Response(answer.body, answer.status, {**answer.headers, "Content-Type": kind})


def _told() -> dict[str, str]:
    """Give the headers as they came; by Forwarded the archive knows how its addresses are to begin."""
    headers = {name: value for name, value in request.headers if name != "Forwarded"}
    if asked_by_https() and "Host" in headers:
        headers["Forwarded"] = f"host={headers['Host']};proto=https"  # quotes it would take for a part of the name
    return headers


@lru_cache(maxsize=4)
def _relay_to(settings: Settings) -> Relay:
    return Relay(settings.orthanc_url, settings.orthanc_username, settings.orthanc_password, settings.orthanc_timeout)
