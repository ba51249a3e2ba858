"""The timeline as CSV and as PDF: the numbers of the timeline, whatever the names and however many."""

import csv
import datetime
import io
import re
import zlib
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.table import Cell
from matplotlib.text import Text

from rano.history import TARGET_RULES, Judgement, LesionAtVisit, Rules, TargetRule, VisitFindings
from rano.lesion import Lesion
from rano.measuring import measure
from rano.remarks import MEASURABLE, thresholds
from rano.response import assess
from results.key_images import key_images, picture_of
from results.timeline import Finder, LesionSize, SizeChange, Timeline, TimelineLesion, TimelineVisit
from results.timeline_csv import COLUMNS, timeline_csv
from results.timeline_drawing import milestones
from results.timeline_pdf import timeline_pages, timeline_pdf
from tests import results_cases
from tests.present import present

DAY = datetime.date(2024, 1, 8)


def timeline(
    sizes: dict[str, list[float | None]],
    *,
    visits: int,
    patient_id: str | None = "A-1",
    doubtful: tuple[int, ...] = (),
    rule: TargetRule = "any_lesion",
    undated: int = 0,
    baseline: str | None = None,
) -> Timeline:
    """Make a timeline of lesions by name: their longest diameter at each visit, four weeks apart.

    How they were followed to the visits ``doubtful``, from 0, is in doubt. The last ``undated`` have no date.
    """
    findings = [
        VisitFindings(
            f"1.2.{k}",
            DAY + datetime.timedelta(weeks=4 * k) if k < visits - undated else None,
            tuple(
                LesionAtVisit(name, mm, mm**3, measurable=mm >= 10, name=name, doubt=k in doubtful)
                for name, course in sizes.items()
                if (mm := course[k]) is not None
            ),
        )
        for k in range(visits)
    ]
    assessment = assess(findings, Rules(target_rule=rule), baseline)
    return Timeline(
        patient_key=1,
        patient_id=patient_id,
        visits=tuple(
            TimelineVisit(
                key, one.visit, f"{one.visit}.1", "job", one.date, "unetr 1", None, None, None, "", False, 0, response
            )
            for key, (one, response) in enumerate(zip(findings, assessment.visits, strict=True))
        ),
        lesions=tuple(
            TimelineLesion(
                key=key,
                version=1,
                tracking_uid=name,
                number=key + 1,
                name=name,
                role="target" if name in assessment.targets else "new",
                target=None,
                not_a_lesion=False,
                merged_into=None,
                sizes=tuple(None if one is None else LesionSize(key, one, one / 2, one**3, 1, one >= 10) for one in mm),
            )
            for key, (name, mm) in enumerate(sizes.items())
        ),
        assessment=assessment,
    )


def rows_of(made: Timeline) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(timeline_csv(made).decode("utf-8-sig"))))


def test_one_row_per_lesion_and_visit():
    rows = rows_of(timeline({"a": [20.0, 12.0], "b": [None, 6.5]}, visits=2))
    assert [(row["visit"], row["lesion"], row["longest_diameter_mm"]) for row in rows] == [
        ("1", "a", "20.00"),
        ("1", "b", "0"),
        ("2", "a", "12.00"),
        ("2", "b", "6.50"),
    ]
    assert rows[2]["from_baseline_percent"] == "-40.00"
    assert rows[2]["radiographic_response"] == "PD"
    assert set(rows[0]) == set(COLUMNS)


def test_a_percentage_is_the_one_that_the_response_says():
    """48.01 mm are 19.995 % more than 40.01 mm, and no progression."""
    made = timeline({"a": [40.01, 48.01]}, visits=2)
    row = rows_of(made)[1]
    assert (row["radiographic_response"], row["from_nadir_percent"]) == ("SD", "19.99")
    assert "+19.99 %" in cells_of(timeline_pages(made, {})[0])


def test_what_is_above_the_nadir_may_be_below_the_baseline():
    made = timeline({"a": [20.0, 12.0, 15.0]}, visits=3)
    row = rows_of(made)[2]
    columns = ("sum_of_diameters_mm", "from_baseline_percent", "from_nadir_percent")
    assert [row[column] for column in columns] == ["15.00", "-25.00", "25.00"]
    cells = cells_of(timeline_pages(made, {})[0])
    last = {title: cells[cells.index(title) + 4] for title in ("sum of targets", "from baseline", "from nadir")}
    assert list(last.values()) == ["15.0", "−25.00 %", "+25.00 %"]


def test_what_is_in_doubt_stands_beside_the_response():
    first, second, third = rows_of(timeline({"a": [20.0, 5.0, 20.0]}, visits=3, doubtful=(1,)))
    assert (first["doubt"], second["radiographic_response"]) == ("", "PR")
    assert second["doubt"].startswith("How a was followed is not sure")
    assert third["doubt"].startswith("Without the visit of 2024-02-05, which is in doubt"), "it is the nadir"


def test_whether_a_response_lasted_stands_beside_it():
    made = timeline({"a": [20.0, 12.0, 12.0, 40.0]}, visits=4)
    assert [(row["radiographic_response"], row["radiographic_confirmed"]) for row in rows_of(made)] == [
        ("", ""),
        ("PR", "yes"),
        ("PR", "no"),
        ("PD", ""),
    ]
    page = words_of(timeline_pages(made, {})[0])
    assert "PR is confirmed by PR on 2024-03-04, 28 days later." in page
    assert "PR was not sustained: PD on 2024-04-01, 28 days later." in page


def words_of(figure: Figure) -> str:
    return " ".join(" ".join(text.get_text() for text in figure.findobj(Text)).split())


def cells_of(figure: Figure) -> list[str]:
    cells = [cell for cell in figure.findobj(Cell) if isinstance(cell, Cell)]
    return [cell.get_text().get_text() for cell in cells]


def row_of(made: Timeline, *title: str) -> list[str]:
    """Give the cells behind these in the report's table."""
    rows = np.reshape(cells_of(timeline_pages(made, {})[0]), (-1, 2 + len(made.visits))).tolist()
    (cells,) = (row[2:] for row in rows if row[: len(title)] == [*title])
    return list(cells)


def entered(made: Timeline, *said: dict[str, Any]) -> Timeline:
    """Give a timeline with what people have said of its visits, in their order."""
    visits = (replace(visit, **one) for visit, one in zip(made.visits, said, strict=True))
    return replace(made, visits=tuple(visits))


def test_a_report_says_when_it_was_made_by_which_network_and_how_far_to_trust_it():
    finder = Finder("unetr 1", "Measured on 200 synthetic heads.")
    made = replace(timeline({"a": [20.0]}, visits=1), finders=(finder,))
    page = words_of(timeline_pages(made, {}, datetime.date(2024, 5, 6))[0])
    assert "Report of 2024-05-06" in page
    assert "Found by unetr 1. Measured on 200 synthetic heads." in page
    assert "not a medical device. Every lesion must be checked by a physician." in page


def test_images_and_the_whole_patient_are_told_apart():
    made = timeline({"a": [20.0, 12.0]}, visits=2)
    assert row_of(made, "response", "images") == ["baseline", "PR"]
    assert row_of(made, "response", "overall") == ["–", "NE"]
    page = words_of(timeline_pages(made, {})[0])
    assert "2024-02-05, images: PR" in page
    assert "2024-02-05, overall: NE" in page
    worse = words_of(timeline_pages(timeline({"a": [20.0, 40.0]}, visits=2), {})[0])
    assert worse.count("above the nadir 20.00 mm") == 1, "what is the same is said once"


def test_what_was_entered_of_a_visit_is_in_the_report():
    made = timeline({"a": [20.0, 20.0]}, visits=2)
    entries = {"steroids, as dexamethasone", "clinical status", "immunotherapy", "judged by a reader"}
    assert not entries & set(cells_of(timeline_pages(made, {})[0]))
    made = entered(made, {"corticosteroid_mg": 0.0, "clinical_status": "stable"}, {"note": "two\nlines"})
    assert row_of(made, "steroids, as dexamethasone", "mg a day") == ["0", "–"]
    assert row_of(made, "clinical status") == ["stable", "–"]
    judged = entered(made, {}, {"judgements": {"b": Judgement.NEW, "c": Judgement.EQUIVOCAL}})
    assert row_of(judged, "judged by a reader", "lesions") == ["–", "2"]
    assert "2024-02-05, note: two lines" in words_of(timeline_pages(made, {})[0])


def test_a_visit_is_verified_as_long_as_it_was_followed_as_then():
    made = timeline({"a": [20.0] * 3}, visits=3)
    made = entered(made, *({"followed": "now", "verified": said} for said in (None, "before", "now")))
    assert [visit.is_verified for visit in made.visits] == [False, False, True]


def test_a_note_that_is_too_long_is_seen_to_be_cut():
    note = "word " * 800
    made = entered(timeline({"a": [20.0] * 5}, visits=5), *({"note": f"{k} {note}"} for k in range(5)))
    figure = timeline_pages(made, {})[0]
    page = words_of(figure)
    assert [f"note: {k} word" in page for k in range(5)] == [False, False, True, True, True]
    assert page.count("word") < 200
    assert page.count("word …") == 3
    assert "2 earlier notes" in page
    assert all(0 < axes.get_position().y0 < axes.get_position().y1 < 1 for axes in figure.axes)


def test_notes_give_way_to_what_the_newest_visit_says():
    made = timeline({f"GTV_{n}": [12.0 + 2 * k for k in range(4)] for n in range(50)}, visits=4, doubtful=(1, 2, 3))
    made = entered(made, *({"note": "word " * 800} for _ in range(4)))
    finders = (Finder("unetr 1", "Measured. " * 100), Finder("unetr 2", "Measured. " * 100))
    (figure,) = timeline_pages(replace(made, finders=finders), {})
    assert min(axes.get_position().y0 for axes in figure.axes) > 0
    page = words_of(figure)
    assert "4 notes" in page
    assert "Best overall response: PD." in page


def test_a_long_name_is_cut_alike_in_table_and_legend():
    figure = timeline_pages(timeline({"A" * 64: [20.0, 12.0]}, visits=2), {})[0]
    assert f"{'A' * 19}…" in cells_of(figure)
    names = [text.get_text() for text in figure.findobj(Text) if text.get_text().startswith("AA")]
    assert set(names) == {f"{'A' * 19}…"}


@pytest.mark.parametrize(
    ("names", "cut"),
    [
        (
            ("Left frontal lobe metastasis, anterior", "Left frontal lobe metastasis, posterior", "Left frontal lobe"),
            ("Left front… anterior", "Left front…posterior", "Left frontal lobe"),
        ),
        (
            ("Cerebellar metastasis, left one (GTV)", "Cerebellar metastasis, last one (GTV)"),
            ("Cerebellar metas… #1", "Cerebellar metas… #2"),
        ),
    ],
)
def test_long_names_stay_apart_in_table_legend_and_pictures(names, cut):
    figure = timeline_pages(timeline({name: [20.0, 12.0] for name in names}, visits=2), {})[0]
    assert [cell for cell in cells_of(figure) if cell in cut] == [*cut]
    texts = [text.get_text() for text in figure.findobj(Text)]
    assert [texts.count(name) for name in cut] == [2] * len(cut), "in the legend and above the pictures"


def test_volumes_are_in_cubic_centimetres():
    figure = timeline_pages(timeline({"a": [20.0, 10.0]}, visits=2), {})[0]
    volumes = figure.axes[1].child_axes[1]
    assert volumes.get_ylabel() == "volume, cm³"
    assert np.asarray(volumes.lines[0].get_ydata()).tolist() == pytest.approx([8.0, 1.0])


def test_a_small_sum_of_volumes_is_told_to_the_mm3():
    made = timeline({"a": [20.0, 3.0]}, visits=2, rule="volume")
    assert row_of(made, "sum of targets", "cm³") == ["8.00", "0.027"]


def test_less_has_a_minus_and_the_baseline_no_change():
    made = timeline({"a": [40.0, 30.0, 30.0]}, visits=3)
    assert row_of(made, "from baseline") == ["–", "−25.00 %", "−25.00 %"]
    assert row_of(made, "from nadir") == ["–", "−25.00 %", "±0.00 %"]


@pytest.mark.parametrize(
    ("sizes", "baseline", "undated", "words"),
    [
        ([20.0], None, 0, "There is one visit so far"),
        ([20.0, 12.0], None, 1, "There is one visit with a date so far"),
        ([20.0, 12.0], "1.2.1", 0, "There is no visit after the baseline so far"),
    ],
)
def test_without_a_later_visit_no_response_is_named(sizes, baseline, undated, words):
    made = timeline({"a": sizes}, visits=len(sizes), undated=undated, baseline=baseline)
    assert made.no_response_yet.startswith(f"{words}, so there is no response yet")
    page = words_of(timeline_pages(made, {})[0])
    assert made.no_response_yet in page
    assert "Best overall response" not in page


def test_with_a_later_visit_there_is_one():
    assert timeline({"a": [20.0, 20.0]}, visits=2).no_response_yet == ""
    assert timeline({"a": [20.0, 20.0]}, visits=2, undated=2).no_response_yet == "", "there is no baseline"


def test_the_rule_that_decides_is_the_same_in_every_form():
    # 4 mm more of each is no progression of any lesion; it is one of their sum, and of their volumes.
    sizes: dict[str, list[float | None]] = {"a": [16.0, 20.0], "b": [16.0, 20.0]}
    made = {rule: timeline(sizes, visits=2, rule=rule) for rule in TARGET_RULES}
    assert {rule: rows_of(one)[2]["radiographic_response"] for rule, one in made.items()} == {
        "any_lesion": "SD",
        "sum": "PD",
        "volume": "PD",
    }
    for rule, one in made.items():
        assert {row["target_rule"] for row in rows_of(one)} == {rule}
    pages = {rule: timeline_pages(one, {})[0] for rule, one in made.items()}
    for rule, page in pages.items():
        assert f"Sum of targets: {thresholds(Rules(target_rule=rule))}" in words_of(page)
    assert {"mm", "40.0", "+25.00 %"} < set(cells_of(pages["sum"]))
    assert {"cm³", "16.00", "+95.31 %"} < set(cells_of(pages["volume"]))


def test_the_nadir_on_the_page_is_that_of_the_rule():
    sizes: dict[str, list[float | None]] = {"a": [20.0, 26.0, 26.0], "b": [20.0, 10.0, 14.0]}
    assert milestones(timeline(sizes, visits=3, rule="sum")) == {0: "baseline", 1: "nadir", 2: "latest"}
    assert milestones(timeline(sizes, visits=3, rule="volume")) == {0: "baseline, nadir", 2: "latest"}


def test_what_the_images_do_not_cover_has_no_size():
    made = timeline({"A": [20.0, None, 14.0], "B": [20.0, None, 8.0]}, visits=3)
    outside, gone = made.lesions
    made = replace(made, lesions=(replace(outside, not_covered=(False, True, False)), gone))
    rows = rows_of(made)[2:4]
    assert [(row["lesion"], row["longest_diameter_mm"], row["parts"]) for row in rows] == [
        ("A", "", ""),
        ("B", "0", "0"),
    ]
    written = {text.get_text() for text in timeline_pages(made, {})[0].findobj(Text)}
    assert "not covered" in written


def test_what_has_merged_with_what_is_no_lesion_has_no_size():
    made = timeline({"A": [20.0, None]}, visits=2)
    made = replace(made, lesions=(replace(made.lesions[0], within=(None, "plexus")),))
    row = rows_of(made)[1]
    assert (row["longest_diameter_mm"], row["parts"], row["unmeasured"]) == ("", "", "merged into plexus")
    assert "merged" in {text.get_text() for text in timeline_pages(made, {})[0].findobj(Text)}


def test_what_has_merged_into_another_lesion_has_no_size():
    made = timeline({"A": [20.0, 33.0, 33.0], "B": [14.0, None, None], "C": [12.0, None, 12.0]}, visits=3)
    first, merged, gone = made.lesions
    made = replace(made, lesions=(first, replace(merged, absorbed_by=(None, "A", "A")), gone))
    columns = ("lesion", "longest_diameter_mm", "volume_mm3", "parts", "unmeasured")
    assert [tuple(row[name] for name in columns) for row in rows_of(made)[4:6]] == [
        ("B", "", "", "", "merged into A"),
        ("C", "0", "0", "0", ""),
    ]
    figure = timeline_pages(made, {})[0]
    assert cells_of(figure).count("merged") == 2
    assert "Merged, and so without a size of its own: B into A." in words_of(figure)
    curves = [np.asarray(line.get_ydata()) for band in figure.axes for axes in band.child_axes for line in axes.lines]
    assert np.isnan(curves[1][1:]).all(), "a gap"
    assert curves[2][1] == 0


def changed(
    *sizes: float | None,
    new: tuple[str, ...] = (),
    equivocal: tuple[str, ...] = (),
    undated: int = 0,
    relation: str = "",
    beside: tuple[str | None, ...] = (),
    **course: Any,
) -> SizeChange:
    """Say how lesion L1 has changed at the last of three visits; L5 has merged into what ``beside`` names at each."""
    made = timeline({"L1": [*sizes], "L5": [None] * 3}, visits=3, undated=undated)
    response = replace(made.visits[-1].response, new_lesions=new, equivocal_lesions=equivocal)
    visits = (*made.visits[:-1], replace(made.visits[-1], response=response))
    first, other = made.lesions
    last = replace(present(first.sizes[-1]), relation=relation)
    first = replace(first, sizes=(*first.sizes[:-1], last), **course)
    lesions = (first, replace(other, absorbed_by=beside))
    return replace(made, visits=visits, lesions=lesions).change(first, 2)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        pytest.param(changed(10, 10, 15), SizeChange(5.0, 50.0), id="a size at the visit before"),
        pytest.param(changed(10, 40.01, 48.01), SizeChange(8.0, 19.99), id="cut off as printed everywhere"),
        pytest.param(changed(10, 10, 15, undated=1), SizeChange(why="no date"), id="a visit without a date"),
        pytest.param(changed(None, None, 8, new=("L1",)), SizeChange(why="new"), id="what the response calls new"),
        pytest.param(
            changed(None, None, 8, equivocal=("L1",)),
            SizeChange(why="perhaps new"),
            id="what it does not surely call new",
        ),
        pytest.param(changed(None, None, 8), SizeChange(why="not seen before"), id="what it does not call new"),
        pytest.param(
            changed(None, 8, 10, new=("L1",)), SizeChange(2.0, 25.0), id="new since the baseline, and seen before"
        ),
        pytest.param(
            changed(8, None, 8, not_covered=(False, True, False)),
            SizeChange(why="not covered before"),
            id="outside the images of the visit before",
        ),
        pytest.param(changed(8, None, 8), SizeChange(why="seen again"), id="not found there"),
        pytest.param(
            changed(8, None, 8, equivocal=("L1",)), SizeChange(why="seen again"), id="perhaps new, and seen before"
        ),
        pytest.param(
            changed(None, None, 8, not_covered=(True, False, False)),
            SizeChange(why="not seen before"),
            id="outside the images of an earlier visit only",
        ),
        pytest.param(
            changed(8, None, 8, within=(None, "plexus", None)),
            SizeChange(why="was part of plexus"),
            id="apart from what is no lesion",
        ),
        pytest.param(
            changed(8, None, 8, absorbed_by=(None, "L2", None)),
            SizeChange(why="was part of L2"),
            id="apart from a lesion",
        ),
        pytest.param(
            changed(None, None, 8, relation="split: it lies where L2 was"),
            SizeChange(why="split off"),
            id="a piece of another",
        ),
        pytest.param(
            changed(8, 8, 12, beside=(None, None, "L1")), SizeChange(why="holds L5"), id="with another since now"
        ),
        pytest.param(changed(8, 12, 12, beside=(None, "L1", "L1")), SizeChange(0.0, 0.0), id="with another since long"),
        pytest.param(
            changed(8, 12, 8, beside=(None, "L1", None)),
            SizeChange(why="held L5 before"),
            id="without another since now",
        ),
    ],
)
def test_a_change_is_one_between_sizes_of_the_same_thing(said, expected):
    assert said == expected


def test_at_the_first_visit_nothing_has_changed():
    made = timeline({"a": [20.0, 30.0]}, visits=2)
    assert made.change(made.lesions[0], 0) == SizeChange(why="first visit")


def why_no_target(*sizes: float | None, baseline: bool = True, **course: Any) -> str:
    """Say why L1, of two visits, is no target."""
    made = timeline({"L1": [*sizes]}, visits=2, undated=0 if baseline else 2)
    return made.why_no_target(replace(made.lesions[0], **course))


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (why_no_target(10, 8), ""),
        (why_no_target(8.9, 12), f"Not measurable at the baseline, 8.9 × 4.5 mm. Asked for are: {MEASURABLE}"),
        (why_no_target(None, 12), "It was not there at the baseline"),
        (why_no_target(None, 12, within=("plexus", None)), "It was part of plexus at the baseline"),
        (why_no_target(None, 12, absorbed_by=("L2", None)), "It was part of L2 at the baseline"),
        (why_no_target(None, 12, not_covered=(True, False)), "The images of the baseline do not show its place"),
        (why_no_target(None, 12, role="target"), "It counts with the target that it was a part of"),
        (
            why_no_target(None, 12, role="target", absorbed_by=("L2", None)),
            "It counts with the target that it was a part of",
        ),
        (why_no_target(10, 12, baseline=False), "There is no baseline"),
    ],
)
def test_a_target_is_a_lesion_that_was_measurable_at_the_baseline(said, expected):
    assert said == expected


def test_the_baseline_has_its_place_wherever_it_is():
    sizes: dict[str, list[float | None]] = {"a": [20.0, 20.0, 20.0]}
    for place, chosen in ((0, None), (1, "1.2.1"), (2, "1.2.2")):
        assert timeline(sizes, visits=3, baseline=chosen).baseline_place == place


def test_targets_are_shown_first_then_what_is_new():
    made = timeline({"a": [6.0, 6.0], "b": [20.0, 20.0], "c": [None, 4.0], "d": [12.0, 24.0]}, visits=2)
    roles = {"a": "non_target", "c": "new"}
    made = replace(made, lesions=tuple(replace(one, role=roles.get(one.name, "target")) for one in made.lesions))
    names = [lesion.name for lesion in made.in_order]
    assert names == ["d", "b", "c", "a"]
    assert [cell for cell in cells_of(timeline_pages(made, {})[0]) if cell in names] == names


@pytest.mark.parametrize("role", ["not_a_lesion", "merged"])
def test_what_people_have_set_aside_has_no_row(role):
    made = timeline({"a": [20.0], "b": [15.0]}, visits=1)
    lesion, other = made.lesions
    made = replace(made, lesions=(replace(lesion, role=role), other))
    assert [row["lesion"] for row in rows_of(made)] == ["b"]


def test_a_visit_without_lesions_has_a_row():
    rows = rows_of(timeline({}, visits=2))
    assert [(row["visit"], row["lesion"], row["date"]) for row in rows] == [
        ("1", "", "2024-01-08"),
        ("2", "", "2024-02-05"),
    ]


@pytest.mark.parametrize("name", ["=1+1", "+x", "-x", "@x", " =1+1", "＝1+1"])
def test_a_name_is_never_a_formula(name):
    assert rows_of(timeline({name: [20.0]}, visits=1))[0]["lesion"] == f"'{name}"


def test_nor_is_what_stands_behind_another_separator():
    """A German or French Excel parts the fields at semicolons, and heeds no quote within one."""
    name = 'L;=HYPERLINK(A1) "; +1'
    made = timeline({name: [20.0, 12.0]}, visits=2, doubtful=(1,))
    table = timeline_csv(made).decode("utf-8-sig")
    assert not re.search(r"(^|;)[\s\"]*[=+@-]", table, re.MULTILINE)
    assert rows_of(made)[0]["lesion"] == "L;'=HYPERLINK(A1) \";' +1"
    assert ",-40.00," in table, "a number is none"


def test_what_is_no_number_stands_between_quotes():
    """LibreOffice takes semicolons for separators, too."""
    (line,) = timeline_csv(timeline({"a;b": [20.0]}, visits=1)).decode("utf-8-sig").splitlines()[1:]
    assert '"a;b"' in line
    assert ",20.00," in line


def test_names_with_commas_and_quotes_stay_whole():
    assert rows_of(timeline({'left, "upper"': [20.0]}, visits=1))[0]["lesion"] == 'left, "upper"'


def test_excel_is_told_in_what_encoding_names_are():
    table = timeline_csv(timeline({"Läsion": [20.0]}, visits=1))
    assert table.startswith(b'\xef\xbb\xbf"visit",')
    assert "Läsion" in table.decode("utf-8")
    assert b"\r\n" in table


def pages(pdf: bytes) -> int:
    return len(re.findall(rb"/Type /Page\b", pdf))


def drawn(pdf: bytes) -> int:
    """Give the number of bytes of drawing in a PDF."""
    streams = re.findall(rb"stream\n(.*?)\nendstream", pdf, re.DOTALL)
    return sum(len(zlib.decompress(one)) for one in streams if one[:1] == b"x")


@pytest.mark.parametrize(
    "made",
    [
        timeline({}, visits=0),
        timeline({}, visits=3, patient_id=None),
        timeline({"a": [20.0]}, visits=1),
        timeline({"$x^{": [20.0, None, 14.0], "é": [None, 11.0, 3.0]}, visits=3, patient_id="A/1 $\\frac{"),
        timeline({f"lesion {n}": [10.0 + n] * 20 for n in range(40)}, visits=20),
    ],
    ids=["nothing", "no lesion", "one visit", "odd names", "many"],
)
def test_it_is_one_page(made):
    pdf = timeline_pdf(made)
    assert pdf.startswith(b"%PDF")
    assert pages(pdf) == 1


def test_of_many_visits_the_table_has_the_newest_each_under_its_date():
    made = timeline({"a": [20.0 + k for k in range(11)]}, visits=11)
    figure = timeline_pages(made, {})[0]
    cells = cells_of(figure)
    columns = cells.index("a")
    dates = [visit.date.isoformat() for visit in made.visits[-8:] if visit.date]
    assert cells[:columns] == ["longest diameter, mm", "role", *dates]
    assert cells[columns + 2 : 2 * columns] == [f"{20 + k}.0" for k in range(3, 11)]
    assert any("Not shown: 3 earlier visits" in text.get_text() for text in figure.texts)


@pytest.mark.parametrize("count", [100, 200])
def test_however_much_the_newest_visit_says_all_of_it_is_on_pages(count):
    grown: dict[str, list[float | None]] = {f"GTV_MetIA_{n}": [12.0, 18.0, 24.0] for n in range(count)}
    made = timeline(grown, visits=3, doubtful=(1, 2))
    drawn = timeline_pages(made, {})
    response = made.visits[-1].response
    assert response.radiographic
    bands = [axes for one in drawn for axes in one.axes]
    words = "".join("".join(text.get_text() for axes in bands for text in axes.texts).split())
    for said in (response.radiographic.sentence, *response.notes, made.assessment.best_overall.doubt):
        assert "".join(said.split()) in words
    for number, one in enumerate(drawn, start=1):
        edges = [text.get_window_extent() for axes in one.axes for text in axes.texts]
        lowest = min(text.get_window_extent().y1 for text in one.texts)
        assert min(edge.y0 for edge in edges) > lowest, "nothing below the page, or upon its last line"
        assert f"Page {number} of {len(drawn)}" in words_of(one)
        assert "Patient A-1" in words_of(one)
    assert pages(timeline_pdf(made)) == len(drawn) > 1


@pytest.mark.parametrize("count", [12, 60])
def test_what_the_newest_visit_leaves_open_is_never_cut(count):
    sizes: dict[str, list[float | None]] = {f"GTV_MetIA_{n}": [12.0] * 4 for n in range(count)}
    figure = timeline_pages(timeline(sizes, visits=4, doubtful=(1, 2, 3)), {})[0]
    (said,) = (text for text in figure.findobj(Text) if text.get_text().startswith("Baseline:"))
    lines = said.get_text().splitlines()
    words = " ".join(" ".join(lines).split())
    newest = words.index("2024-04-01, images: SD")
    assert "is not sure: a person should look at them before relying on the response." in words[newest:]
    assert "Best overall response: NE." in lines[-1]
    assert "…" in lines, "of the earlier visits something is left out"
    edges = [axes.get_position() for axes in figure.axes]
    assert min(edge.y0 for edge in edges) > 0
    assert max(edge.y1 for edge in edges) < 1


def test_targets_have_full_lines():
    figure = timeline_pages(timeline({"old": [20.0, 21.0], "recent": [None, 12.0]}, visits=2), {})[0]
    styles = {(str(line.get_label()), line.get_linestyle()) for line in figure.findobj(Line2D)}
    assert {one for one in styles if one[0] in ("old", "recent")} == {("old", "-"), ("recent", "--")}


def test_pictures_are_on_the_page_and_what_is_left_out_is_said():
    made = timeline({f"lesion {n}": [10.0 + n, 8.0 + n, 9.0 + n] for n in range(9)}, visits=3)
    series = results_cases.series()
    label_map = np.zeros(series.volume.spatial_shape, np.int32)
    label_map[3, 4:7, 5:9] = 1
    lesions = [Lesion("one", "2.25.1", one, 1) for one in measure(label_map, series.volume.affine)]
    png = key_images(series, label_map, lesions)[1]
    with_pictures = timeline_pages(made, dict.fromkeys(range(9), png))[0]
    without = timeline_pages(made, {})[0]
    shown = [sum(len(axes.images) for band in one.axes for axes in band.child_axes) for one in (with_pictures, without)]
    assert shown == [15, 0], "five target lesions at the baseline, the nadir and the latest visit"
    drawn = [
        np.asarray(axes.images[0].get_array()) for band in with_pictures.axes for axes in band.child_axes if axes.images
    ]
    for number, picture in zip((9, 8, 7, 6, 5), drawn[:5], strict=True):
        assert np.array_equal(picture, picture_of(png, number)), "the largest first, each in the colour of its number"
    assert any("Not shown: 4 more lesions' pictures" in text.get_text() for text in with_pictures.texts)


@pytest.mark.parametrize(
    ("sums", "expected"),
    [
        ([20.0], {0: "baseline"}),
        ([20.0, 10.0], {0: "baseline, nadir", 1: "latest"}),
        ([20.0, 10.0, 15.0], {0: "baseline", 1: "nadir", 2: "latest"}),
        ([20.0, 25.0, 30.0], {0: "baseline, nadir", 2: "latest"}),
    ],
)
def test_the_visits_that_decide(sums, expected):
    assert milestones(timeline({"a": sums}, visits=len(sums))) == expected


def test_a_visit_without_a_date_is_not_the_latest():
    made = timeline({"a": [24.0, 14.0, 26.0, 20.0]}, visits=4, undated=1)
    assert milestones(made) == {0: "baseline", 1: "nadir", 2: "latest"}
    words = words_of(timeline_pages(made, {})[0])
    assert "2024-03-04, images and overall: PD" in words
    assert "no date, images" not in words
    assert "1 visit has no date, and so no place in the course: no response is judged there." in words
    nowhere = timeline({"a": [24.0, 14.0]}, visits=2, undated=2)
    assert milestones(nowhere) == {0: "first", 1: "latest"}
    assert "no date, images and overall: NE, the visit has no date." in words_of(timeline_pages(nowhere, {})[0])


def test_what_people_have_called_no_lesion_was_found():
    assert "No lesion was found at any visit." in words_of(timeline_pages(timeline({}, visits=2), {})[0])
    made = timeline({"a": [20.0, 20.0]}, visits=2)
    made = replace(made, lesions=tuple(replace(one, role="not_a_lesion") for one in made.lesions))
    words = words_of(timeline_pages(made, {})[0])
    assert "No lesion counts at any visit: what was found, people have called none (1)." in words
    assert "No lesion was found" not in words
    made = replace(made, lesions=tuple(replace(one, sizes=(one.sizes[0], None)) for one in made.lesions))
    said = [made.none_counts(visit) for visit in (0, 1)]
    assert [one.partition(" at ")[0] for one in said] == ["No lesion counts", "No lesion was found"]


def test_more_lesions_draw_more():
    few, many = (timeline({f"lesion {n}": [12.0, 14.0] for n in range(count)}, visits=2) for count in (1, 6))
    assert drawn(timeline_pdf(many)) > drawn(timeline_pdf(few))
