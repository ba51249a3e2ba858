"""Every error becomes one ``application/problem+json`` document (RFC 9457), whatever raised it; a page for a person."""

import logging
from typing import Any

from flask import Flask, Response, json, render_template, request
from werkzeug.exceptions import HTTPException

from BDD.problems import problem_of
from BDD.records import Problem

logger = logging.getLogger(__name__)

_ADVICE = {
    400: "See /docs for what this address expects.",
    404: "See /docs for the addresses there are.",
    405: "See /docs for the methods of this address.",
    413: "Send less.",
    415: "Send Content-Type: application/json.",
}


class ProblemError(Exception):
    """A problem that a route found by itself."""

    def __init__(self, status: int, name: str, title: str, detail: str, what_to_do: str = "", **more: Any) -> None:
        super().__init__(detail)
        self.problem = Problem(f"urn:metia:problem:{name}", title, status, detail, what_to_do, more)


def invalid(detail: str, **more: Any) -> ProblemError:
    """Give the 400 of a request that says something that cannot be meant."""
    return ProblemError(400, "invalid-request", "The request is not valid", detail, _ADVICE[400], **more)


def no_room(error: OSError) -> ProblemError:
    """Give the 507 of a request that cannot be laid down on disk."""
    return ProblemError(
        507,
        "no-room",
        "There is no room for the upload",
        f"It cannot be written to disk ({error.strerror}); none of it was stored.",
        "Make room in VAR_DIR, then send it again.",
    )


def logged_problem(error: Exception) -> Problem:
    """Give the problem that an exception means; one that is not the asker's is logged with its traceback."""
    problem = problem_of(error)
    if problem.status >= 500:
        logger.error("%s %s: %s", request.method, request.url_rule, problem.title, exc_info=error)
    return problem


def problem_response(problem: Problem, headers: dict[str, str] | None = None) -> Response:
    """Render a problem, with the address it happened at as its instance; as a page where a browser shows it."""
    body, kind = json.dumps({**problem.to_json(), "instance": request.path}), "application/problem+json"
    if _is_for_a_person():
        body, kind = render_template("problem.html", problem=problem), "text/html; charset=utf-8"
    response = Response(body, problem.status, headers, content_type=kind)
    response.vary.add("Accept")
    return response


def _is_for_a_person() -> bool:
    """Whether the answer is to be read: a browser asks for pages rather than JSON, and programs ask for anything."""
    accepted = request.accept_mimetypes
    return request.method in ("GET", "HEAD") and accepted.quality("text/html") > accepted.quality("application/json")


def register(app: Flask) -> None:
    """Answer every exception with its problem."""

    @app.errorhandler(ProblemError)
    def known(error: ProblemError) -> Response:
        return problem_response(error.problem)

    @app.errorhandler(HTTPException)
    def http(error: HTTPException) -> Response:
        status = error.code or 500
        problem = Problem(
            type="about:blank",
            title=error.name,
            status=status,
            detail=error.description or error.name,
            what_to_do=_ADVICE.get(status, ""),
        )
        kept = {key: value for key, value in error.get_headers() if key in ("Allow", "Retry-After")}
        return problem_response(problem, kept)

    @app.errorhandler(Exception)
    def other(error: Exception) -> Response:
        return problem_response(logged_problem(error))
