"""The follow-up page of a long course, in a real browser: thirty visits, 26 lesions, on screen and on paper."""

import random
from collections.abc import Iterator
from datetime import timedelta

import pytest
from playwright.sync_api import FloatRect, Page

from BDD import store
from tests.followup_factory import FIRST_DAY, sized, visit
from tests.system.browser import SCREENSHOTS
from tests.system.follow_up_pages import CHARTS, Seen, follow_up_page
from tests.system.pdf_text import pdf_pages

pytestmark = pytest.mark.system

VISITS, LESIONS = 30, 26
DAYS = [(FIRST_DAY + timedelta(weeks=4 * number)).isoformat() for number in range(1, VISITS + 1)]
SUMS = '[aria-label="Sums and responses"]'
TABLE = '[aria-label="Longest diameter of each lesion"]'


def diameter(number: int, label: int) -> float:
    """Give each lesion of each visit a diameter that no other has, to the tenth of a millimetre."""
    return 10.1 + ((number - 1) * LESIONS + label - 1) * 0.1


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    def enter(database: store.Database, worker: int) -> None:
        labels = list(range(1, LESIONS + 1))
        for number in range(1, VISITS + 1):
            random.Random(number).shuffle(labels)
            visit(database, worker, number, [sized(label, diameter(number, label)) for label in labels])

    with follow_up_page(tmp_path_factory.mktemp("long"), enter) as seen:
        yield seen


def box(page: Page, selector: str) -> FloatRect:
    """Say where something is in the window."""
    found = page.locator(selector).bounding_box()
    assert found
    return found


def test_on_screen(seen: Seen) -> None:
    page = seen.open()
    page.locator(TABLE).scroll_into_view_if_needed()
    page.screenshot(path=SCREENSHOTS / "follow-up-long.png")
    whole = box(page, TABLE)
    header, name, newest = (
        box(page, f"{TABLE} {one}")
        for one in ("thead th:last-child", "tbody tr:first-child th", "tbody tr:first-child td:last-child")
    )
    assert name["x"] == whole["x"], "the names stay"
    assert newest["x"] + newest["width"] <= whole["x"] + whole["width"] + 1, "the newest visit is in sight"
    page.locator(TABLE).evaluate("element => { element.scrollTop = 500; }")
    assert box(page, f"{TABLE} thead th:last-child")["y"] == header["y"], "the days stay"
    newest, whole = box(page, f"{SUMS} tbody tr:last-child"), box(page, SUMS)
    assert newest["y"] + newest["height"] <= whole["y"] + whole["height"] + 1


def test_charts_have_room(seen: Seen) -> None:
    page = seen.open()
    for chart in CHARTS:
        height = page.evaluate(f"{chart}._fullLayout._size.h")
        assert height > 200, chart
    names = page.locator("#diameters .legend text, #scatter .legend text").count()
    assert names == 0
    assert "the name appears at the pointer" in page.inner_text("section:has(#lesions)")


def test_on_paper(seen: Seen) -> None:
    page = seen.open()
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    boxes = page.evaluate(
        "() => [...document.querySelectorAll('.chart')].map((chart) => [chart.getBoundingClientRect().bottom, "
        "Math.max(...[...chart.querySelectorAll('svg')].map((one) => one.getBoundingClientRect().bottom))])"
    )
    assert all(drawing <= chart + 1 for chart, drawing in boxes), "nothing lies behind what follows"
    sheets = pdf_pages(page.pdf(prefer_css_page_size=True))
    printed = "".join(sheets)
    course = printed[printed.index("Longestdiameter,mm") : printed.index("Volume,cm³")]
    assert [day for day in DAYS if day not in course] == []
    numbers = [f"{diameter(number, label):.1f}" for number in range(1, VISITS + 1) for label in range(1, LESIONS + 1)]
    assert [number for number in numbers if number not in course] == []
    for label in range(1, LESIONS + 1):
        assert course.count(f"GTV_MetIA_{label}target") + course.count(f"GTV_MetIA_{label}non-target") == 4
