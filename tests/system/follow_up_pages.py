"""A follow-up page in a real browser, on a server with one made-up patient."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Dialog, Locator, Page, Route

from BDD import store
from rano.history import Rules
from tests.followup_factory import patient_key, study_of
from tests.store_factory import new_worker
from tests.system.browser import chromium
from tests.system.conftest import RunningOrthanc
from tests.system.processes import ServerSite

CHARTS = ("sum", "diameters", "volumes", "bars", "scatter")


@dataclass
class Seen:
    """A browser on a server; ``errors`` is what went wrong in its pages, ``questions`` how often it asked to stay."""

    browser: Browser
    address: str
    database: store.Database
    errors: list[str] = field(default_factory=list)
    questions: int = 0

    def open(self, width: int = 1400, height: int = 900, **context: Any) -> Page:
        """Open the patient's page in a window of its own, and wait until its charts are drawn."""
        page = self.window(width, height, **context)
        page.goto(self.address)
        drawn(page)
        return page

    def window(self, width: int = 1400, height: int = 900, **context: Any) -> Page:
        """Give an empty window."""
        page = self.browser.new_context(viewport={"width": width, "height": height}, **context).new_page()
        page.on("console", lambda said: self.errors.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("dialog", self._answer)
        page.route("**/image.png", _one_picture)
        return page

    def _answer(self, dialog: Dialog) -> None:
        if dialog.type == "beforeunload":
            self.questions += 1
        else:
            self.errors.append(f"a dialog: {dialog.message}")
        dialog.accept()

    def known(self, number: int) -> dict[str, Any]:
        """Give what is kept of visit ``number``."""
        timeline = store.load_timeline(self.database, patient_key(self.database), Rules())
        (visit,) = [one for one in timeline.visits if one.study_instance_uid == study_of(number)]
        return {
            "corticosteroid_mg": visit.corticosteroid_mg,
            "note": visit.note,
            "baseline": visit.baseline,
            "judgements": visit.judgements,
            "version": visit.version,
        }

    def colleague(self, number: int, **values: Any) -> None:
        """Let somebody else change what is known of visit ``number``."""
        version = self.known(number)["version"]
        store.assess_visit(self.database, study_of(number), values, version=version, made_by="ben")


def drawn(page: Page) -> None:
    """Wait until the charts are drawn."""
    for chart in CHARTS:
        page.wait_for_selector(f"#{chart} .main-svg")


def entry(page: Page, number: int) -> Locator:
    """Give the form of visit ``number``, unfolded."""
    form = page.locator(f'form[data-study="{study_of(number)}"]:not(.verify)')
    entries = page.locator("details.entry", has=form)
    if entries.get_attribute("open") is None:  # waits for it: of a page that is still coming, nothing is visible yet
        entries.locator("> summary").click()
    return form


@contextmanager
def follow_up_page(folder: Path, enter: Callable[[store.Database, int], object]) -> Iterator[Seen]:
    """Start a server and a browser; ``enter`` puts the patient's visits into the database, as a worker."""
    site = ServerSite(folder, RunningOrthanc("http://127.0.0.1:1", "nobody", "nothing"), folder / "none")
    site.start_api()
    database = store.open_database(f"sqlite:///{(folder / 'var' / 'metia.db').as_posix()}")
    try:
        enter(database, new_worker(database))
        with chromium() as browser:
            yield Seen(browser, f"{site.url}/follow-up/{patient_key(database)}", database)
    finally:
        database.dispose()
        site.close()


def _one_picture(route: Route) -> None:
    """Give a picture of the first lesion only."""
    if route.request.url.endswith("/2.25.1/image.png"):
        svg = '<svg xmlns="http://www.w3.org/2000/svg" width="192" height="192"><circle cx="90" cy="90" r="40"/></svg>'
        route.fulfill(body=svg, content_type="image/svg+xml")
    else:
        route.fulfill(status=404)
