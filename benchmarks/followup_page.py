"""``python -m benchmarks followup_page``: how much the follow-up page weighs, and how soon something is to be seen."""

import shutil
import statistics
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import requests
import waitress

from api import create_app
from BDD import store
from benchmarks.arguments import new_parser
from benchmarks.report import Skipped, table
from settings import load_settings
from tests.followup_factory import patient_key, sized, visit
from tests.store_factory import new_worker

EXAMPLES = """examples:
  python -m benchmarks followup_page
  python -m benchmarks followup_page --visits 20 --lesions 30 --repeats 9
"""
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = ["--no-sandbox", "--disable-background-networking", "--no-first-run"]
CHARTS = ("sum", "diameters", "volumes", "bars", "scatter")
_PAINTED = "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
_DRAWN = f"() => {list(CHARTS)}.every((id) => document.querySelector(`#${{id}} .main-svg`)) && performance.now()"


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve a patient's page, weigh it, and look at it; returns 0."""
    parser = new_parser("followup_page", __doc__, EXAMPLES)
    parser.add_argument("--visits", type=int, default=10, help="default: 10")
    parser.add_argument("--lesions", type=int, default=12, help="of each visit; default: 12")
    parser.add_argument("--repeats", type=int, default=5, help="views of each kind; default: 5")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder, _served(Path(folder), given.visits, given.lesions) as address:
        print(f"{given.visits} visits of {given.lesions} lesions; bytes as they travel (gzip)\n")
        rows = [_weigh(address, path) for path in ("", *_parts(address))]
        total = sum(compressed for _, compressed, _ in rows)
        rows.append(("all of it", total, sum(plain for *_, plain in rows)))
        print(table(["part", "on the wire", "unpacked"], [(name, f"{a:,}", f"{b:,}") for name, a, b in rows]))
        print(f"\nthe page again, its parts kept by the browser: {rows[0][1]:,} bytes\n")
        print(table(["view", "first contentful paint", "all charts drawn"], _views(address, given.repeats)))
    return 0


@contextmanager
def _served(folder: Path, visits: int, lesions: int) -> Iterator[str]:
    """Serve a made-up patient; gives the address of the page."""
    settings = load_settings({"VAR_DIR": str(folder), "MODEL_PATH": str(folder / "none")}, None)
    app = create_app(settings)
    database = store.open_database(settings.database_url)
    worker = new_worker(database)
    for number in range(1, visits + 1):
        found = [sized(label, 8.0 + (7 * label + 3 * number) % 17) for label in range(1, lesions + 1)]
        visit(database, worker, number, found)
    key = patient_key(database)
    database.dispose()
    server = waitress.create_server(app, host="127.0.0.1", port=0, threads=8)
    serving = threading.Thread(target=server.run, daemon=True)
    serving.start()
    try:
        yield f"http://127.0.0.1:{server.effective_port}/follow-up/{key}"
    finally:
        server.close()


def _parts(address: str) -> list[str]:
    """Give the paths of what the page loads besides itself."""
    text = requests.get(address, timeout=60).text
    return [piece.split('"')[0] for piece in text.split('"')[1::2] if piece.startswith("/static/")]


def _weigh(address: str, path: str) -> tuple[str, int, int]:
    """Give the name of a part, its bytes on the wire, headers left out, and its bytes unpacked."""
    url = requests.compat.urljoin(address, path) if path else address
    with requests.get(url, headers={"Accept-Encoding": "gzip"}, stream=True, timeout=60) as answer:
        answer.raise_for_status()
        compressed = len(answer.raw.read(decode_content=False))
    plain = len(requests.get(url, headers={"Accept-Encoding": "identity"}, timeout=60).content)
    return (path.partition("?")[0].rsplit("/", 1)[-1] or "page", compressed, plain)


def _views(address: str, repeats: int) -> list[tuple[str, str, str]]:
    """Open the page in new browsers, and again in one that has seen it."""
    try:
        from playwright.sync_api import Browser, sync_playwright
    except ImportError as error:
        raise Skipped("playwright is not installed: pip install -r requirements-dev.txt") from error
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        raise Skipped("there is no Chromium")

    def look(browser: Browser) -> list[tuple[float, float]]:
        context = browser.new_context(viewport={"width": 1400, "height": 900})
        times = []
        for _ in range(2):
            page = context.new_page()
            page.goto(address)
            drawn = page.wait_for_function(_DRAWN).json_value()
            times.append((page.wait_for_function(_PAINTED).json_value(), drawn))
            page.close()
        context.close()
        return times

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        looks = [look(browser) for _ in range(repeats)]
        browser.close()
    names = ("first", "again")
    return [
        (name, *(f"{statistics.median(look[k][what] for look in looks):.0f} ms" for what in (0, 1)))  # type: ignore[misc]
        for k, name in enumerate(names)
    ]
