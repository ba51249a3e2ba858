"""Who may ask: looked at before every route, whatever it does.

There is no login here (nginx has one, see ``services.front``): whoever reaches the API may use it. But a browser on a
machine that reaches it also runs the pages of others, and these reach it too.
"""

import ipaddress
import re
import socket
from collections.abc import Collection
from urllib.parse import urlsplit

from flask import Flask, request

from routes.context import context
from routes.problems import ProblemError
from settings import Settings

_CHANGES_NOTHING = ("GET", "HEAD", "OPTIONS")
_HOST = re.compile(r"(?P<name>[^\s:@/\[\]]+|\[[^\s@/\[\]]+\])(:[0-9]*)?")

_BY_HTTPS = re.compile(r'(?:^|[;,])\s*proto="?https"?\s*(?:[;,]|$)', re.IGNORECASE)
"""RFC 7239."""


def register(app: Flask, settings: Settings) -> None:
    """Guard every address of the app."""
    names = own_names(settings)

    @app.before_request
    def guard() -> None:
        _only_known_names(names)
        _only_known_pages()


def own_names(settings: Settings) -> frozenset[str]:
    """Give the names that the server goes by, in lower case; IP addresses are no names."""
    pages = (urlsplit(origin).hostname for origin in settings.cors_origins)
    machine = socket.gethostname()
    listening = (settings.api_host, settings.front_host)
    names = ("localhost", machine, machine.partition(".")[0], *listening, *pages, *settings.trusted_hosts)
    return frozenset(name.lower() for name in names if name)


def is_own(host: str, names: Collection[str]) -> bool:
    """Tell whether a Host header names this server: by one of the names, or by an IP address, whichever it is.

    Whoever owns a name can have it point here, and then his page is of the server's own origin ("DNS rebinding"). That
    cannot be done to an address. Flask's TRUSTED_HOSTS is of no use: it would want each address named, and of IPv6 none
    can be.
    """
    found = _HOST.fullmatch(host.strip())
    if found is None:
        return False
    name = found["name"].strip("[]").rstrip(".").lower()
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name in names
    return True


def _only_known_names(names: Collection[str]) -> None:
    host = request.headers.get("Host")
    if host is not None and not is_own(host, names):  # a browser always sends one
        raise ProblemError(
            403,
            "unknown-host",
            "The server does not go by this name",
            f"It was asked for as {host[:80]!r}, which TRUSTED_HOSTS does not name.",
            "If that is its name, add it to TRUSTED_HOSTS in .env (without the port), and start the server again; "
            "or use its IP address.",
        )


def asked_by_https() -> bool:
    """Whether nginx, or a proxy in front of the API alone, says so; no page can say it of a request of its own."""
    return _BY_HTTPS.search(request.headers.get("Forwarded", "")) is not None


def _only_known_pages() -> None:
    """Refuse pages of other origins: a browser sends a POST without a body, or with a form's, for any page that asks.

    CORS keeps such a page from reading the answer, not from having a study deleted or a change undone. Programs that
    are no browser name no origin.
    """
    origin = request.headers.get("Origin")
    if origin is None or request.method in _CHANGES_NOTHING:
        return
    scheme, _, host = origin.lower().partition("://")
    own = host == request.headers.get("Host", request.host).lower()
    # A page of http is not our own where we are asked by https: whoever stands between can make one. The other way
    # round it may be, behind a proxy of the hospital's that speaks https for us.
    if not (own and (scheme == "https" or not asked_by_https())) and origin not in context().settings.cors_origins:
        raise ProblemError(
            403,
            "foreign-page",
            "Pages of this origin may not do this",
            f"The request comes from a page of {origin[:80]!r}, which CORS_ORIGINS does not name.",
            "If the page is yours, name its origin in CORS_ORIGINS in .env, and start the server again.",
        )
