"""What every route works with; made once by ``api.create_app`` and kept with the app."""

from collections.abc import Callable
from dataclasses import dataclass
from threading import BoundedSemaphore
from typing import cast

from flask import Flask, current_app

from BDD import store
from jobs import JobQueue
from Orthanc.archive import Archive
from rano.history import Rules
from settings import Settings

_KEY = "metia"


@dataclass(frozen=True)
class Context:
    """The API's parts.

    Attributes
    ----------
    open_archive
        Gives a connection to the archive for one request; called with the settings.
    waiting
        Bounds the requests that are held by ``?wait=``, so that threads are left for the others.
    """

    settings: Settings
    database: store.Database
    queue: JobQueue
    open_archive: Callable[[Settings], Archive]
    waiting: BoundedSemaphore

    @property
    def rules(self) -> Rules:
        """By which a patient's course is judged here."""
        return Rules(target_rule=self.settings.rano_target_rule)

    def install(self, app: Flask) -> None:
        """Keep this with the app."""
        app.extensions[_KEY] = self


def context() -> Context:
    """Give the parts of the app that serves this request."""
    return cast(Context, current_app.extensions[_KEY])
