"""Who may ask: looked at before every route, whatever it does.

There is no login: whoever reaches the server may use it. But a browser on a machine that reaches it also runs the pages
of others, and these reach it too.
"""

from urllib.parse import urlsplit

from flask import Flask, request

from routes.context import context
from routes.problems import ProblemError

_CHANGES_NOTHING = ("GET", "HEAD", "OPTIONS")


def register(app: Flask) -> None:
    """Guard every address of the app."""
    app.before_request(_only_known_pages)


def _only_known_pages() -> None:
    """Refuse pages of other origins: a browser sends a POST without a body, or with a form's, for any page that asks.

    CORS keeps such a page from reading the answer, not from having a study deleted or a change undone. Programs that
    are no browser name no origin.
    """
    origin = request.headers.get("Origin")
    if origin is None or request.method in _CHANGES_NOTHING:
        return
    own = urlsplit(origin).netloc.lower() == request.headers.get("Host", request.host).lower()
    if not own and origin not in context().settings.cors_origins:
        raise ProblemError(
            403,
            "foreign-page",
            "Pages of this origin may not do this",
            f"The request comes from a page of {origin[:80]!r}, which CORS_ORIGINS does not name.",
            "If the page is yours, name its origin in CORS_ORIGINS in .env, and start the server again.",
        )
