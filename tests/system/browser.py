"""A real Chromium on the viewer: open a study, look at what is drawn, and at what the console says."""

import io
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from services import ohif
from services.processes import ServiceError
from settings import ROOT

SCREENSHOTS = ROOT / "var" / "screenshots"
PATIENCE_MS = 120_000
ARGUMENTS = [
    "--headless=new",
    "--no-sandbox",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
VIEWPORT = (
    "window.services.cornerstoneViewportService.getCornerstoneViewport("
    "window.services.viewportGridService.getActiveViewportId())"
)


def missing(what: str) -> None:
    """Skip the test, or fail it where everything has to be there."""
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)


def viewer_files() -> Path:
    """Give the folder of OHIF, fetched once for all tests of this checkout."""
    folder = ROOT / "var" / "ohif"
    try:
        ohif.fetch(folder, print)
    except ServiceError as error:
        missing(str(error))
    return folder


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start Chromium, and end it."""
    executable = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if executable is None:
        missing("Chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


class Viewer:
    """One page of the viewer; ``errors`` holds what went wrong in it."""

    def __init__(self, browser: Browser, url: str) -> None:
        self.url = url
        self.page: Page = browser.new_page(viewport={"width": 1500, "height": 900})
        self.page.set_default_timeout(PATIENCE_MS)
        self.errors: list[str] = []
        self.page.on("console", lambda said: self.errors.append(said.text) if said.type == "error" else None)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))

    def open(self, study: str, query: str = "") -> None:
        """Open a study and wait until its image is drawn."""
        self.page.goto(f"{self.url}/ohif/viewer?StudyInstanceUIDs={study}{query}")
        self.page.wait_for_selector("[data-cy=MetIA]")
        self.page.wait_for_selector(".cornerstone-canvas")
        self.page.wait_for_function(f"() => {VIEWPORT}?.getCurrentImageId?.()")

    def press(self) -> None:
        """Press the MetIA button."""
        self.page.click("[data-cy=MetIA]:not([disabled])")

    def rows(self) -> list[str]:
        """Names of the lesions, as the panel lists them."""
        return self.page.eval_on_selector_all(".metia-lesions tbody tr", "rows => rows.map(row => row.dataset.lesion)")

    def wait_for_result(self) -> None:
        """Wait until the overlay is there and a lesion is in view."""
        self.page.wait_for_selector(".metia-chosen, .metia-problem")
        assert not self.page.query_selector(".metia-problem"), self.page.inner_text(".metia-problem")
        self.page.wait_for_timeout(1500)  # OHIF lets a lesion flash when it is jumped to

    def distance(self, point: Sequence[float] | np.ndarray) -> float:
        """How far the plane shown is from a point in LPS, in mm."""
        camera: dict[str, Any] = self.page.evaluate(f"() => {VIEWPORT}.getCamera()")
        return float(abs(np.dot(np.subtract(point, camera["focalPoint"]), camera["viewPlaneNormal"])))

    def look_at(self, point: Sequence[float] | np.ndarray) -> None:
        """Bring the plane of a point up."""
        self.page.evaluate(f"point => {{ const v = {VIEWPORT}; v.jumpToWorld(point); v.render(); }}", list(point))
        self.page.wait_for_timeout(700)

    def colour_at(self, point: Sequence[float] | np.ndarray) -> np.ndarray:
        """Red, green and blue of the screen where a point in LPS is drawn."""
        x, y = self.page.evaluate(
            f"point => {{ const v = {VIEWPORT}; const [x, y] = v.worldToCanvas(point);"
            " const box = v.canvas.getBoundingClientRect(); return [box.left + x, box.top + y]; }",
            list(point),
        )
        image = Image.open(io.BytesIO(self.page.screenshot())).convert("RGB")
        return np.asarray(image.getpixel((round(x), round(y))), dtype=int)

    def screenshot(self, name: str) -> None:
        """Keep what is to be seen."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png")

    def close(self) -> None:
        self.page.close()
