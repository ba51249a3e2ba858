"""The API: ``create_app`` makes it of its parts, ``python api.py`` serves it with waitress.

No network runs here, and torch is never imported: jobs are queued for the worker, ``python jobs.py``.
"""

import logging
import re
import sys
import tempfile
from collections.abc import Callable
from threading import BoundedSemaphore
from urllib.parse import urlsplit, urlunsplit

import waitress
from flask import Flask, Response, request
from flask_cors import CORS
from waitress.server import BaseWSGIServer
from werkzeug.routing import RequestRedirect

from BDD import migrate
from imaging.leniency import be_lenient
from jobs import JobQueue
from Orthanc.dicomweb import OrthancArchive, open_archive
from routes import (
    assets,
    bodies,
    changes,
    dicomweb_proxy,
    follow_up_page,
    followup,
    guard,
    metia,
    metia_followup,
    models,
    pages,
    problems,
    reading,
    segment,
    status,
    viewer,
)
from routes import jobs as job_routes
from routes.context import Context
from routes.openapi import build
from services.addresses import with_port
from services.logs import start_logging
from services.private import keep_private
from services.processes import WRONG_SETTINGS, exit_status
from settings import ROOT, Settings, SettingsError, load_settings

logger = logging.getLogger("api")

ROOMS = (
    segment,
    job_routes,
    followup,
    changes,
    metia,
    metia_followup,
    models,
    status,
    pages,
    viewer,
    dicomweb_proxy,
    follow_up_page,
    assets,
)


_POLICY = "default-src 'none'; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
"""Of whatever has none of its own; what nginx passes on from Orthanc itself has the same."""

_CONNECTIONS = 400
"""A browser keeps six for each window, for two minutes: at 100, waitress's own limit, the seventeenth got no answer.

Windows can wait for 512 at a time.
"""


def create_app(settings: Settings, archive: Callable[[Settings], OrthancArchive] = open_archive) -> Flask:
    """Make the API; the database is brought to its newest tables.

    Parameters
    ----------
    archive
        Gives a connection to the archive for one request.
    """
    app = Flask("metia", template_folder=str(ROOT / "web" / "templates"), static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = bodies.MAXIMUM_BYTES
    Context(
        settings=settings,
        database=migrate.open_newest(settings.database_url),
        queue=JobQueue(settings.queue_url),
        open_archive=archive,
        waiting=BoundedSemaphore(max(1, settings.api_threads // 2)),
    ).install(app)
    problems.register(app)
    guard.register(app, settings)
    reading.register(app)
    for room in ROOMS:
        app.register_blueprint(room.blueprint)
    app.after_request(_harden)
    app.after_request(_stay_here)
    if settings.cors_origins:
        CORS(app, origins=[_exactly(origin) for origin in settings.cors_origins], expose_headers=["Location"])
    build(app, pages.VERSION)
    return app


def _exactly(origin: str) -> re.Pattern[str]:
    """Give what meets an origin alone; a text with brackets, as of IPv6, flask-cors would read as a pattern itself."""
    return re.compile(rf"{re.escape(origin)}\Z", re.IGNORECASE)


def _harden(response: Response) -> Response:
    """Keep browsers from guessing types, and pages from loading anything from elsewhere or sending anything there."""
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers.setdefault("Content-Security-Policy", _POLICY)
    response.headers.setdefault("Cache-Control", "no-store")
    return response


def _stay_here(response: Response) -> Response:
    """Lead from ``/ohif`` to ``/ohif/`` by the path alone: Werkzeug names http, whatever is spoken in front."""
    if isinstance(request.routing_exception, RequestRedirect):
        parts = urlsplit(request.routing_exception.new_url)
        response.location = urlunsplit(("", "", f"/{parts.path.lstrip('/')}", parts.query, ""))
    return response


def keep_spool(settings: Settings) -> None:
    """Have temporary files lie in VAR_DIR, waitress's too: a /tmp may be small, and what is sent shows patients.

    They have no names there, so that none is left, however the process ends.

    Raises
    ------
    SettingsError
        When nothing can be written there.
    """
    try:
        settings.spool_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=settings.spool_dir).close()
    except OSError as error:
        raise SettingsError(f"VAR_DIR={settings.var_dir} cannot be written to: {error}") from error
    tempfile.tempdir = str(settings.spool_dir)


def main() -> int:
    """Serve the API with the settings of this machine."""
    try:
        settings = load_settings()
        start_logging(settings.log_level)
        be_lenient()
        keep_private(settings)
        keep_spool(settings)
        app = create_app(settings)
    except SettingsError as error:
        logger.critical("%s", error)
        return exit_status(error)
    logger.info("listening on http://%s", with_port(settings.api_host, settings.api_port))
    BaseWSGIServer.channel_class = bodies.Channel
    try:
        waitress.serve(
            app,
            host=settings.api_host,
            port=settings.api_port,
            threads=settings.api_threads,
            connection_limit=_CONNECTIONS,
            max_request_body_size=settings.upload_max_bytes + 1,  # what reaches it is too large
            clear_untrusted_proxy_headers=False,  # Forwarded: nginx says by it that https is spoken
            ident=None,
        )
    except OSError as error:
        logger.critical("API_HOST=%s, API_PORT=%d: %s", settings.api_host, settings.api_port, error)
        return WRONG_SETTINGS
    return 0


if __name__ == "__main__":
    sys.exit(main())
