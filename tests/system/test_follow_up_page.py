"""The follow-up page in a real browser: charts drawn under its policy, entries sent, conflicts told; phone, paper."""

import re
from collections.abc import Iterator

import pytest

from BDD import store
from rano.history import Rules
from tests.followup_factory import patient_key, put_in_doubt, sized, study_of, visit
from tests.store_factory import new_worker
from tests.system.browser import SCREENSHOTS
from tests.system.follow_up_pages import CHARTS, Seen, follow_up_page

pytestmark = pytest.mark.system

EVIL = "<img src=x onerror=alert(1)><script>alert(1)</script>"


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    def enter(database: store.Database, worker: int) -> None:
        for number, sizes in enumerate([(24.0, 16.0), (16.0, 10.0), (22.0, 14.0)], start=1):
            visit(database, worker, number, [sized(1, sizes[0]), sized(2, sizes[1], name=EVIL)])

    with follow_up_page(tmp_path_factory.mktemp("follow-up"), enter) as seen:
        yield seen


@pytest.fixture(autouse=True)
def nothing_went_wrong(seen: Seen) -> Iterator[None]:
    """Hold every test to it: no error, none that the page's policy made, but for the picture that is missing."""
    seen.errors.clear()
    yield
    assert [error for error in seen.errors if "404" not in error] == []


def test_charts_and_pictures(seen: Seen) -> None:
    page = seen.open()
    assert page.locator("#diameters .scatterlayer .trace").count() == 2
    assert page.locator("#sum .annotation-text").all_text_contents() == ["baseline", "PR", "PD"]
    page.wait_for_function("() => document.querySelectorAll('[data-picture][hidden]').length === 1")
    assert page.locator("[data-picture]:not([hidden]) img").get_attribute("alt") == "GTV_MetIA_1, 22.0 × 17.6 mm"
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / "follow-up.png", full_page=True)
    page.select_option("#chosen", study_of(2))
    page.wait_for_url(f"**visit={study_of(2)}**")
    assert "2024-03-04" in page.inner_text("#visit")


def test_lesions_called_by_numbers(seen: Seen) -> None:
    """What looks like a number, or a date, is a name all the same."""
    lesions = store.load_timeline(seen.database, patient_key(seen.database), Rules()).lesions
    called = [("2", "2024-02-05"), (lesions[0].name, lesions[1].name)]
    for number, names in enumerate(called):
        for lesion, name in zip(lesions, names, strict=True):
            version = lesion.version + number
            store.edit_lesion(seen.database, lesion.key, {"name": name}, version=version, made_by="ana")
        if not number:
            page = seen.open()
            assert page.locator("#bars .xtick text").all_text_contents() == ["2", "2024-02-05"]
            assert page.locator("#scatter .legendtext").all_text_contents() == ["2", "2024-02-05"]
            drawn = page.locator("#bars .bars .point path").evaluate_all("all => all.map((one) => one.getBBox().width)")
            assert len(drawn) == 4
            assert min(drawn) > 10


def test_lesions_called_by_markup(seen: Seen) -> None:
    """Plotly would make a link of the one and nothing of the other."""
    lesions = store.load_timeline(seen.database, patient_key(seen.database), Rules()).lesions
    names = ['<a href="https://evil.example">a</a>', "<b></b>&amp;"]
    for lesion, name in zip(lesions, names, strict=True):
        store.edit_lesion(seen.database, lesion.key, {"name": name}, version=lesion.version, made_by="ana")
    page = seen.open()
    for texts in ("#bars .xtick text", "#scatter .legendtext", "#diameters .legendtext"):
        assert page.locator(texts).all_text_contents() == names
    assert page.locator("svg a").count() == 0
    for lesion in lesions:
        version = lesion.version + 1
        store.edit_lesion(seen.database, lesion.key, {"name": lesion.name}, version=version, made_by="ana")


def test_an_entry_is_kept_and_judged(seen: Seen) -> None:
    page = seen.open()
    page.fill("#user", "ana")
    page.press("#user", "Tab")
    for number, dose in ((1, "4"), (2, "2.5")):
        form = page.locator(f'form[data-study="{study_of(number)}"]')
        if not form.is_visible():
            page.locator("details.entry", has=form).locator("> summary").click()
        form.locator("[name=corticosteroid_mg]").fill(dose)
        form.locator("[name=clinical_status]").select_option("stable")
        form.locator("[name=immunotherapy]").select_option("yes" if number == 1 else "as at the visit before")
        form.locator("[name=note]").fill("two\nlines")
        with page.expect_navigation():
            form.locator("button").click()
        page.wait_for_selector("#scatter .main-svg")
    assert "2.5 mg, stable, note, immunotherapy: yes, as before" in page.inner_text(
        "details.entry:nth-of-type(2) > summary"
    )
    (row,) = [one for one in page.locator("table").first.locator("tr").all_inner_texts() if "2024-03-04" in one]
    assert row.split()[1:3] == ["PR", "PR"], "the overall response too"
    (change, *_) = store.list_changes(seen.database, patient_key(seen.database))
    assert change.made_by == "ana"
    assert page.input_value("#user") == "ana"


def test_a_conflict_is_told_and_loses_nothing(seen: Seen) -> None:
    page = seen.open()
    form = page.locator(f'form[data-study="{study_of(3)}"]')
    form.locator("[name=note]").fill("mine")
    version = int(form.get_attribute("data-version") or 0)
    values = {"corticosteroid_mg": 6.0, "note": "theirs"}
    store.assess_visit(seen.database, study_of(3), values, version=version, made_by="ben")
    form.locator("button").click()
    message = form.locator(".message.bad")
    message.wait_for()
    assert "somebody else has changed this visit" in message.inner_text()
    assert "6 mg, status not known, immunotherapy as at the visit before, note “theirs”" in message.inner_text()
    assert form.locator("[name=note]").input_value() == "mine"
    with page.expect_navigation():
        form.locator("button").click()
    assert page.locator(f'form[data-study="{study_of(3)}"] [name=note]').input_value() == "mine"
    seen.errors[:] = [error for error in seen.errors if "409" not in error]


def test_what_cannot_be_meant_is_refused_in_words(seen: Seen) -> None:
    page = seen.open()
    form = page.locator(f'form[data-study="{study_of(3)}"]')
    form.locator("[name=corticosteroid_mg]").fill("1001")
    form.locator("button").click()
    form.locator(".message", has_text="1001 mg is more").wait_for()
    form.locator("button").click()
    form.locator(".message", has_text="from 0 to 1000 mg").wait_for()
    seen.errors[:] = [error for error in seen.errors if "400" not in error]


def test_phone(seen: Seen) -> None:
    page = seen.open(390, 844, is_mobile=True, has_touch=True)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert all(page.locator(f"#{chart}").bounding_box()["width"] <= 390 for chart in CHARTS)  # type: ignore[index]
    overall = page.locator("section:has(#sums) th", has_text="Overall").bounding_box()
    assert overall is not None
    assert overall["x"] + overall["width"] <= 390, "the verdict is seen without scrolling"
    followed = page.locator("th.telling").bounding_box()
    assert followed is not None
    assert followed["width"] >= 200, "sentences are no column of single words"
    page.goto(f"{seen.address.rsplit('/', 2)[0]}/docs")
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_paper(seen: Seen) -> None:
    page = seen.open()
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    assert page.locator("table.paper").is_visible()
    assert "mg of dexamethasone a day" in page.locator("table.paper").inner_text()
    assert not page.get_by_text("enter them below").is_visible()
    assert not page.locator("details.entry").first.is_visible()
    assert not page.locator("nav").is_visible()
    widths = {chart: page.locator(f"#{chart} .main-svg").first.bounding_box()["width"] for chart in CHARTS}  # type: ignore[index]
    assert widths == {"sum": 680, "diameters": 680, "volumes": 680, "bars": 330, "scatter": 330}
    pages = re.findall(rb"/Type\s*/Page\b", page.pdf(prefer_css_page_size=True))
    assert len(pages) == 3
    page.emulate_media(media="screen")
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    page.wait_for_function("() => document.querySelector('#bars .main-svg').getBoundingClientRect().width > 400")


def test_by_keyboard(seen: Seen) -> None:
    """Everything that can be clicked can be reached, and it is seen where one is."""
    page = seen.open()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "To the content"
    page.keyboard.press("Tab")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    unnamed = page.evaluate(
        "() => [...document.querySelectorAll('input, select, textarea')]"
        ".filter((field) => !field.labels.length).map((field) => field.name)"
    )
    assert unnamed == []


def test_a_doubt_ends_with_a_click_and_comes_back_with_another(seen: Seen) -> None:
    job = visit(seen.database, new_worker(seen.database), 3, [sized(1, 22.0), sized(2, 14.0, name=EVIL)])
    put_in_doubt(seen.database, job)
    page = seen.open()
    page.screenshot(path=SCREENSHOTS / "follow-up-doubt.png", full_page=True)
    for button, words in (("I have looked: it is right", "found it right"), ("Take back", "is not sure")):
        with page.expect_navigation():
            page.locator("#visit ~ form.verify button", has_text=button).click()
        page.wait_for_selector("#scatter .main-svg")
        assert words in page.inner_text("section:has(#visit)")
    (change, *_) = store.list_changes(seen.database, patient_key(seen.database))
    assert change.after == {"verified": None}
