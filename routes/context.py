"""What every route works with; made once by ``api.create_app`` and kept with the app."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import BoundedSemaphore
from typing import cast

from flask import Flask, current_app

from BDD import store
from jobs import JobQueue
from Orthanc.dicomweb import OrthancArchive
from rano.history import Rules
from settings import Settings
from unetr.catalogue import Catalogue, find_models

_KEY = "metia"
POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Context:
    """The API's parts.

    Attributes
    ----------
    open_archive
        Gives a connection to the archive for one request; called with the settings.
    waiting
        Bounds the requests that wait for a job, so that threads are left for the others.
    """

    settings: Settings
    database: store.Database
    queue: JobQueue
    open_archive: Callable[[Settings], OrthancArchive]
    waiting: BoundedSemaphore

    @property
    def archive(self) -> OrthancArchive:
        """A connection to the archive, for this request."""
        return self.open_archive(self.settings)

    @property
    def rules(self) -> Rules:
        """By which a patient's course is judged here."""
        return Rules(target_rule=self.settings.rano_target_rule)

    @property
    def models(self) -> Catalogue:
        """The networks there are, as they are on disk now."""
        return find_models(self.settings.model_path, self.settings.var_dir)

    def install(self, app: Flask) -> None:
        """Keep this with the app."""
        app.extensions[_KEY] = self

    @contextmanager
    def patience(self, seconds: float) -> Iterator[Callable[[], bool]]:
        """Give what waits a moment and says whether to look again.

        It says no once so many seconds are over, and at once while as many requests wait as may.
        """
        give_up = time.monotonic() + seconds
        waits = False

        def again() -> bool:
            nonlocal waits
            if time.monotonic() >= give_up:
                return False
            waits = waits or self.waiting.acquire(blocking=False)
            if waits:
                time.sleep(POLL_SECONDS)
            return waits

        try:
            yield again
        finally:
            if waits:
                self.waiting.release()


def context() -> Context:
    """Give the parts of the app that serves this request."""
    return cast(Context, current_app.extensions[_KEY])
