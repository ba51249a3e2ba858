"""What is entered on the follow-up page, in a real browser: nobody's entry is lost, neither one's own nor another's."""

import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Route

from BDD import store
from rano.history import Rules
from tests.followup_factory import patient_key, sized, study_of, visit
from tests.system.follow_up_pages import Seen, drawn, entry, follow_up_page

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    def enter(database: store.Database, worker: int) -> None:
        for number, size in enumerate([24.0, 16.0, 22.0], start=1):
            visit(database, worker, number, [sized(1, size), sized(2, 12.0)] + [sized(3, 9.0)] * (number == 3))

    with follow_up_page(tmp_path_factory.mktemp("entries"), enter) as served:
        yield served


@pytest.fixture
def seen(served: Seen) -> Iterator[Seen]:
    """Begin with nothing said of any visit; nothing may go wrong but what a test takes out of ``errors``."""
    for number in (1, 2, 3):
        judgements = dict.fromkeys(served.known(number)["judgements"])
        served.colleague(
            number, corticosteroid_mg=None, clinical_status=None, judgements=judgements, note="", baseline=False
        )
    served.errors.clear()
    served.questions = 0
    yield served
    for window in served.browser.contexts:  # its connections would keep later ones waiting for the server
        window.close()
    assert [error for error in served.errors if "404" not in error and "409" not in error] == []


def test_going_back_brings_no_old_entry_under_a_new_version(seen: Seen) -> None:
    page = seen.open()
    form = entry(page, 3)
    form.locator("[name=note]").fill("typed before")
    form.locator("[name=corticosteroid_mg]").fill("1")
    page.goto(seen.address.rsplit("/", 1)[0])
    seen.colleague(3, corticosteroid_mg=12.0, note="theirs")
    page.go_back()
    drawn(page)
    form = entry(page, 3)
    form.locator("button").click()
    form.locator(".message:not(:empty)").wait_for()
    assert seen.known(3)["note"] == "theirs"
    assert seen.known(3)["corticosteroid_mg"] == 12.0


def test_going_back_shows_the_visit_that_is_shown(seen: Seen) -> None:
    page = seen.open()
    with page.expect_navigation():
        page.select_option("#chosen", study_of(1))
    page.go_back()
    drawn(page)
    assert page.locator("#chosen").input_value() == study_of(3)


def test_saving_a_visit_leaves_what_is_entered_for_others(seen: Seen) -> None:
    page = seen.open()
    assert not page.locator(".unsaved:visible").count()
    entry(page, 1).locator("[name=note]").fill("not sent yet")
    entry(page, 1).locator("[name=baseline]").check()
    entry(page, 3).locator("[name=corticosteroid_mg]").fill("4")
    assert page.locator(".unsaved:visible").count() == 2
    with page.expect_navigation():
        entry(page, 3).locator("button").click()
    drawn(page)
    assert seen.known(3)["corticosteroid_mg"] == 4.0
    assert page.locator(".unsaved:visible").count() == 1
    form = entry(page, 1)
    assert form.locator("[name=note]").input_value() == "not sent yet"
    assert form.locator("[name=baseline]").is_checked()
    assert seen.questions == 0
    with page.expect_navigation():
        form.locator("button").click()
    drawn(page)
    assert (seen.known(1)["note"], seen.known(1)["baseline"]) == ("not sent yet", True)
    assert not page.locator(".unsaved:visible").count()


def test_what_comes_over_a_load_keeps_its_version(seen: Seen) -> None:
    page = seen.open()
    entry(page, 1).locator("[name=note]").fill("mine")
    seen.colleague(1, note="theirs")
    with page.expect_navigation():
        page.select_option("#chosen", study_of(2))
    drawn(page)
    form = entry(page, 1)
    assert form.locator("[name=note]").input_value() == "mine"
    form.locator("button").click()
    form.locator(".message.bad").wait_for()
    assert "note “theirs”" in form.locator(".message").inner_text()
    assert seen.known(1)["note"] == "theirs"


def test_leaving_with_something_unsaved_is_asked_about(seen: Seen) -> None:
    page = seen.open()
    note = entry(page, 3).locator("[name=note]")
    note.click()
    page.keyboard.type("half a sent")
    page.reload()
    drawn(page)
    assert seen.questions == 1
    assert entry(page, 3).locator("[name=note]").input_value() == "", "it was said that it may go"
    entry(page, 3).locator("[name=note]").click()
    page.reload()
    assert seen.questions == 1, "nothing is unsaved"


def test_a_browser_that_forbids_storing_saves_all_the_same_and_asks_before_it_loses_anything(seen: Seen) -> None:
    page = seen.window()
    for storage in ("sessionStorage", "localStorage"):
        throws = "{ get() { throw new DOMException('no', 'SecurityError'); } }"
        page.add_init_script(f"Object.defineProperty(window, '{storage}', {throws})")
    page.goto(seen.address)
    drawn(page)
    page.locator("#user").fill("ana")
    entry(page, 1).locator("[name=note]").press_sequentially("mine")
    entry(page, 3).locator("[name=note]").fill("theirs")
    with page.expect_navigation():
        entry(page, 3).locator("button").click()
    drawn(page)
    assert seen.known(3)["note"] == "theirs"
    assert store.list_changes(seen.database, patient_key(seen.database))[0].made_by == "ana"
    assert seen.questions == 1, "what was entered of the other visit does not come over the load"


def test_a_conflict_tells_of_the_baseline_and_does_not_take_it_back(seen: Seen) -> None:
    seen.colleague(1, baseline=True)
    page = seen.open()
    seen.colleague(2, baseline=True)
    form = entry(page, 1)
    form.locator("[name=corticosteroid_mg]").fill("3")
    form.locator("button").click()
    form.locator(".message.bad").wait_for()
    assert "not the baseline, which is now 2024-03-04" in form.locator(".message").inner_text()
    assert not form.locator("[name=baseline]").is_checked(), "what was not changed here is shown as it is now"
    assert form.locator("label.changed").count() == 1
    with page.expect_navigation():
        form.locator("button").click()
    drawn(page)
    assert (seen.known(1)["corticosteroid_mg"], seen.known(1)["baseline"]) == (3.0, False)
    assert seen.known(2)["baseline"]


def test_a_lesion_is_judged_by_a_reader_and_by_the_rule_again(seen: Seen) -> None:
    page = seen.open()
    assert "new lesion GTV_MetIA_3" in page.inner_text("[aria-labelledby=state]")

    def judge(words: str) -> None:
        form = entry(page, 3)
        if not form.locator("select[name='judgement 2.25.3']").is_visible():
            form.locator("details.judging > summary").click()
        form.locator("select[name='judgement 2.25.3']").select_option(label=words)
        with page.expect_navigation():
            form.locator("button").click()
        drawn(page)

    judge("equivocal")
    assert seen.known(3)["judgements"] == {"2.25.3": "equivocal"}
    assert "by a reader's judgement GTV_MetIA_3 is equivocal" in page.inner_text("[aria-labelledby=state]")
    judge("by the rule")
    assert seen.known(3)["judgements"] == {}


def test_a_conflict_tells_of_a_colleagues_judgement_and_keeps_ones_own(seen: Seen) -> None:
    page = seen.open()
    form = entry(page, 3)
    form.locator("details.judging > summary").click()
    choice = form.locator("select[name='judgement 2.25.3']")
    choice.select_option(label="equivocal")
    seen.colleague(3, judgements={"2.25.3": "new"})
    form.locator("button").click()
    form.locator(".message.bad").wait_for()
    assert "judged by a reader: GTV_MetIA_3: new beyond doubt" in form.locator(".message").inner_text()
    assert choice.input_value() == "equivocal"
    with page.expect_navigation():
        form.locator("button").click()
    drawn(page)
    assert seen.known(3)["judgements"] == {"2.25.3": "equivocal"}


def test_only_what_was_changed_is_sent(seen: Seen) -> None:
    seen.colleague(3, corticosteroid_mg=2.123456789, note="theirs")
    page = seen.open()
    entry(page, 3).locator("[name=clinical_status]").select_option("stable")
    with page.expect_request("**/assessment") as sent, page.expect_navigation():
        entry(page, 3).locator("button").click()
    assert sent.value.post_data_json == {"clinical_status": "stable", "version": seen.known(3)["version"] - 1}
    drawn(page)
    entry(page, 3).locator("button").click()
    assert "Nothing to save" in entry(page, 3).locator(".message").inner_text()


@pytest.mark.parametrize(("typed", "mg"), [("1,5", 1.5), ("0,3750", 0.375)])
def test_a_dose_is_saved_as_it_was_typed(seen: Seen, typed: str, mg: float) -> None:
    page = seen.open()
    form = entry(page, 3)
    form.locator("[name=corticosteroid_mg]").press_sequentially(typed)
    with page.expect_navigation():
        form.locator("button").click()
    drawn(page)
    assert seen.known(3)["corticosteroid_mg"] == mg
    assert not page.locator(".unsaved:visible").count(), "a comma, or a zero at the end, is no other dose"


def test_what_is_no_dose_is_refused(seen: Seen) -> None:
    seen.colleague(3, corticosteroid_mg=1.0)
    form = entry(seen.open(), 3)
    dose = form.locator("[name=corticosteroid_mg]")
    for typed in ("1,000", "1.000,5", "1'000", "-5", "1e3", "8 mg", "Infinity"):
        dose.fill("")
        dose.press_sequentially(typed)
        form.locator("button").click()
        assert dose.input_value() == typed
        assert dose.evaluate("field => field === document.activeElement && field.validity.patternMismatch")
        assert form.locator(".message").inner_text() == ""
    assert seen.known(3)["corticosteroid_mg"] == 1.0


def test_a_dose_of_many_digits_keeps_nobody_from_saving_a_note(seen: Seen) -> None:
    seen.colleague(3, corticosteroid_mg=2.125)
    page = seen.open()
    entry(page, 3).locator("[name=note]").fill("tapered")
    with page.expect_navigation():
        entry(page, 3).locator("button").click()
    assert (seen.known(3)["note"], seen.known(3)["corticosteroid_mg"]) == ("tapered", 2.125)


def test_the_mouse_wheel_changes_no_dose(seen: Seen) -> None:
    page = seen.open()
    dose = entry(page, 3).locator("[name=corticosteroid_mg]")
    dose.fill("8")
    dose.click()
    page.mouse.wheel(0, 240)
    page.wait_for_timeout(800)
    assert dose.input_value() == "8"


def test_a_dose_that_is_hardly_meant_is_asked_about(seen: Seen) -> None:
    page = seen.open()
    form = entry(page, 3)
    form.locator("[name=corticosteroid_mg]").fill("400")
    form.locator("button").click()
    form.locator(".message.bad").wait_for()
    assert "400 mg is more than 40 mg of dexamethasone a day" in form.locator(".message").inner_text()
    assert seen.known(3)["corticosteroid_mg"] is None
    form.locator("[name=corticosteroid_mg]").fill("500")
    form.locator("button").click()
    form.locator(".message", has_text="500 mg is more").wait_for()
    assert seen.known(3)["corticosteroid_mg"] is None, "another dose is another question"
    with page.expect_navigation():
        form.locator("button").click()
    drawn(page)
    assert seen.known(3)["corticosteroid_mg"] == 500.0
    form = entry(page, 3)
    form.locator("[name=corticosteroid_mg]").fill("40")
    with page.expect_navigation():
        form.locator("button").click()
    assert seen.known(3)["corticosteroid_mg"] == 40.0


def test_the_last_change_is_undone_and_what_is_unsaved_stays(seen: Seen) -> None:
    seen.colleague(3, corticosteroid_mg=12.0)
    page = seen.open()
    entry(page, 3).locator("[name=note]").fill("mine")
    details = page.locator("details.entry", has=entry(page, 3))
    assert "last changed by ben on" in details.locator("> summary").inner_text()
    with page.expect_navigation():
        details.locator("form.undo button").click()
    drawn(page)
    assert seen.known(3)["corticosteroid_mg"] is None
    form = entry(page, 3)
    assert form.locator("[name=corticosteroid_mg]").input_value() == ""
    assert form.locator("[name=note]").input_value() == "mine"
    with page.expect_navigation():
        form.locator("button").click()
    assert seen.known(3)["note"] == "mine", "nobody else has changed it"


def test_what_somebody_has_changed_since_is_not_undone(seen: Seen) -> None:
    seen.colleague(3, corticosteroid_mg=12.0)
    page = seen.open()
    details = page.locator("details.entry", has=entry(page, 3))
    seen.colleague(3, corticosteroid_mg=2.0)
    details.locator("form.undo button").click()
    details.locator("form.undo .message.bad").wait_for()
    assert "undo that change first" in details.locator("form.undo .message").inner_text()
    assert seen.known(3)["corticosteroid_mg"] == 2.0


def test_lesions_are_merged_and_set_apart_again(seen: Seen) -> None:
    def into() -> int | None:
        return store.load_timeline(seen.database, patient_key(seen.database), Rules()).lesions[1].merged_into

    for decision, merged in (("GTV_MetIA_1", True), ("a lesion by itself again", False)):
        page = seen.open()
        page.get_by_text("Two lesions that are one, or one that is two").click()
        form = page.locator("form[data-lesions]")
        form.locator("[name=lesion]").select_option(index=2)
        form.locator("[name=decision]").select_option(label=decision)
        with page.expect_navigation():
            form.locator("button").click()
        assert (into() is not None) is merged
    page = seen.open()
    page.get_by_text("Two lesions that are one, or one that is two").click()
    form = page.locator("form[data-lesions]")
    form.locator("[name=lesion]").select_option(index=1)
    form.locator("[name=decision]").select_option(label="GTV_MetIA_1")
    form.locator("button").click()
    form.locator(".message.bad").wait_for()
    assert "cannot be merged into itself" in form.locator(".message").inner_text()
    seen.errors[:] = [error for error in seen.errors if "422" not in error]


@pytest.mark.parametrize("late", ["plotly.js", "follow_up_entries.js"])
def test_saving_while_a_script_is_still_loading(seen: Seen, late: str) -> None:
    """One does not need the charts to save; without the script that saves, nothing is sent anywhere."""
    page = seen.window()
    waiting: list[Route] = []
    page.route(f"**/{late}*", lambda route: waiting.append(route), times=1)
    page.goto(seen.address, wait_until="commit")
    form = entry(page, 3)
    form.locator("[name=note]").fill("much worse")
    form.locator("[name=corticosteroid_mg]").fill("8")
    form.locator("[name=corticosteroid_mg]").press("Enter")
    if late == "plotly.js":
        deadline = time.monotonic() + 30
        while not seen.known(3)["note"] and time.monotonic() < deadline:
            page.wait_for_timeout(50)
    else:
        assert form.locator("button").is_disabled()
        waiting[0].continue_()
        with page.expect_navigation():
            form.locator("button").click()
    assert (seen.known(3)["note"], seen.known(3)["corticosteroid_mg"]) == ("much worse", 8.0)
    assert "worse" not in page.url
