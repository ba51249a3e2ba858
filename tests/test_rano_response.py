"""RANO-BM's answer: every row of the table, every threshold from both sides, and what histories do to it."""

import datetime
import itertools
import json
import random
from dataclasses import asdict, replace

import pytest

from rano import remarks, table
from rano.confirmation import Verdict
from rano.criteria import Response, percent_above
from rano.history import ClinicalStatus, HistoryError, Judgement, LesionAtVisit, Rules, VisitFindings, choose_targets
from rano.immunotherapy import carried
from rano.response import assess, best_until
from tests.present import present

CR, PR, SD, PD = Response.CR, Response.PR, Response.SD, Response.PD
NE, NED, NEITHER = Response.NE, Response.NED, Response.NON_CR_NON_PD
IMPROVED, STABLE, WORSE = ClinicalStatus.IMPROVED, ClinicalStatus.STABLE, ClinicalStatus.WORSE
START = datetime.date(2024, 1, 1)
RULES = Rules()


def lesion(uid, longest, volume="ball", measurable=None, **given):
    """A lesion with the volume of a ball, measurable from 10 mm."""
    if measurable is None:
        measurable = longest is None or longest >= 10
    if volume == "ball":
        volume = None if longest is None else longest**3 / 2
    return LesionAtVisit(uid, longest, volume, measurable, **given)


def visit(day, *lesions, steroids=0.0, status=STABLE, immunotherapy=None, name=None):
    found = [given if isinstance(given, LesionAtVisit) else lesion(*given) for given in lesions]
    date = START + datetime.timedelta(days=day)
    return VisitFindings(name or f"day {day}", date, tuple(found), steroids, status, immunotherapy)


def radiographic(*visits, rules=RULES, **given):
    return [answer.radiographic and answer.radiographic.response for answer in assess(visits, rules, **given).visits]


def last(*visits, rules=RULES, **given):
    return assess(visits, rules, **given).visits[-1]


# --- the table, row by row


TARGETS = {CR: (CR, "t"), PR: (PR, "t"), SD: (SD, "t"), PD: (PD, "t"), NE: (NE, "t"), None: None}
OTHERS = {CR: (CR, "n"), NEITHER: (NEITHER, "n"), PD: (PD, "n"), NE: (NE, "n"), None: None}
IMAGES = [
    # targets, non-targets, answer
    (CR, CR, CR),
    (CR, None, CR),
    (CR, NEITHER, PR),
    (CR, NE, PR),
    (PR, CR, PR),
    (PR, None, PR),
    (PR, NEITHER, PR),
    (PR, NE, PR),
    (SD, CR, SD),
    (SD, None, SD),
    (SD, NEITHER, SD),
    (SD, NE, SD),
    (NE, CR, NE),
    (NE, None, NE),
    (NE, NEITHER, NE),
    (NE, NE, NE),
    (None, CR, CR),
    (None, NEITHER, NEITHER),
    (None, NE, NE),
    (None, None, NED),
    *((PD, other, PD) for other in OTHERS),
    *((target, PD, PD) for target in TARGETS if target is not PD),
]


def test_the_rows_are_all_there():
    assert sorted(map(str, (row[:2] for row in IMAGES))) == sorted(map(str, itertools.product(TARGETS, OTHERS)))


@pytest.mark.parametrize(("targets", "others", "answer"), IMAGES)
def test_images(targets, others, answer):
    assert table.radiographic(TARGETS[targets], OTHERS[others]).response is answer


@pytest.mark.parametrize(("targets", "others", "answer"), IMAGES)
def test_a_new_lesion_is_progression_whatever_else(targets, others, answer):
    verdict = table.radiographic(TARGETS[targets], OTHERS[others], progression=["new lesion X"])
    assert verdict.response is PD
    assert "new lesion X" in verdict.reason


@pytest.mark.parametrize(("targets", "others", "answer"), IMAGES)
def test_an_equivocal_lesion_only_rules_out_that_all_have_gone(targets, others, answer):
    expected = {CR: PR if targets else NEITHER, NED: NE}.get(answer, answer)
    verdict = table.radiographic(TARGETS[targets], OTHERS[others], equivocal=["X"])
    assert (verdict.response, "X" in verdict.reason) == (expected, answer in (CR, NED))


@pytest.mark.parametrize(("targets", "others", "answer"), IMAGES)
def test_a_tolerated_lesion_rules_out_every_response(targets, others, answer):
    expected = (SD if targets else NEITHER) if answer in (CR, PR, NED) else answer
    verdict = table.radiographic(TARGETS[targets], OTHERS[others], tolerated=["X"])
    assert verdict.response is expected
    assert answer is PD or "no progression on that ground alone: X" in verdict.reason


OVERALL = [
    # images, dose, dose at baseline, status, answer
    (CR, 0, 0, STABLE, CR),
    (CR, 0, 4, IMPROVED, CR),
    (CR, 0, None, STABLE, CR),  # no dose can't be above any
    (CR, 2, 4, STABLE, PR),
    (CR, 4, 4, STABLE, PR),
    (CR, 4, 2, STABLE, NE),
    (PR, 0, 0, STABLE, PR),
    (PR, 4, 4, IMPROVED, PR),
    (PR, 2, 4, STABLE, PR),
    (PR, 4.1, 4, STABLE, NE),
    (SD, 0, 0, STABLE, SD),
    (SD, 4, 4, STABLE, SD),
    (SD, 8, 4, STABLE, NE),  # a rise alone is not PD
    (NEITHER, 0, 0, STABLE, NEITHER),
    (NED, 0, 0, STABLE, NED),
    (PD, 0, 0, IMPROVED, PD),
    (PD, None, None, None, PD),
    (NE, 0, 0, STABLE, NE),
    *((images, 0, 0, WORSE, PD) for images in Response),
    *((images, None, None, WORSE, PD) for images in Response),
    *((images, 0, 0, None, NE) for images in Response if images is not PD),
    *((images, None, 0, STABLE, NE) for images in Response if images is not PD),
    *((images, 2, None, STABLE, NE) for images in Response if images is not PD),
]


@pytest.mark.parametrize(("images", "dose", "before", "status", "answer"), OVERALL)
def test_overall(images, dose, before, status, answer):
    verdict = table.overall(Verdict(images, "why"), dose, before, status, has_targets=True)
    assert verdict.response is answer
    assert verdict.reason
    assert verdict.reason == "why" or images not in (PD, NE) or status is WORSE


@pytest.mark.parametrize(("dose", "answer"), [(2.0, SD), (2.5, NE)])
def test_corticosteroids_are_compared_with_those_at_the_baseline(dose, answer):
    visits = visit(0, ("A", 20.0), steroids=2.0), visit(30, ("A", 20.0), steroids=4.0)
    assert last(*visits, visit(60, ("A", 20.0), steroids=dose)).overall.response is answer


def test_without_targets_a_complete_response_on_steroids_is_neither():
    assert table.overall(Verdict(CR, ""), 2, 2, STABLE, has_targets=False).response is NEITHER


def test_what_is_missing_is_named():
    def reason(dose: float | None, before: float | None, status: ClinicalStatus | None) -> str:
        return table.overall(Verdict(PR, ""), dose, before, status, has_targets=True).reason

    assert reason(None, 0, None) == (
        "the images say PR, but the clinical status and the corticosteroid dose are not known"
    )
    assert reason(0, 0, None) == "the images say PR, but the clinical status is not known"
    assert "the corticosteroid dose at the baseline" in reason(2, None, STABLE)


# --- thresholds, from both sides


@pytest.mark.parametrize(
    ("after", "answer"),
    [
        (21.00, PR),
        (20.99, PR),
        (21.004, PR),
        (21.01, SD),
        (30.00, SD),
        (35.99, SD),
        (36.00, PD),
        (35.996, PD),
        (36.01, PD),
    ],
)
def test_30_percent_below_the_baseline_and_20_above_the_nadir(after, answer):
    assert radiographic(visit(0, ("A", 30.0)), visit(60, ("A", after)))[1] is answer


@pytest.mark.parametrize(("after", "answer"), [(14.99, SD), (15.00, PD), (14.995, PD), (15.01, PD)])
def test_5_mm(after, answer):
    """10 mm that grow by half: far more than 20 %, so only the absolute limit decides."""
    got = last(visit(0, ("A", 10.0)), visit(60, ("A", after)))
    assert got.radiographic.response is answer
    assert got.by_target_rule["sum"] is answer


@pytest.mark.parametrize(("after", "answer"), [((12.5, 12.5), SD), ((12.5, 15.0), PD), ((12.5, 14.99), SD)])
def test_5_mm_of_any_lesion_or_of_the_sum(after, answer):
    visits = visit(0, ("A", 10.0), ("B", 10.0)), visit(60, ("A", after[0]), ("B", after[1]))
    got = last(*visits)
    assert got.radiographic.response is answer
    assert got.by_target_rule == {"any_lesion": answer, "sum": PD, "volume": PD}
    assert radiographic(*visits, rules=Rules(target_rule="sum"))[1] is PD


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("any_lesion", "PR from 30 % {}; PD from 20 % above the nadir if a target lesion has grown by 5 mm too."),
        ("sum", "PR from 30 % {}; PD from 20 % above the nadir if the sum has grown by 5 mm too."),
        ("volume", "PR from 65 % {}; PD from 72.8 % above the nadir."),
    ],
)
def test_the_rule_that_decides_in_words(rule, words):
    got = assess([visit(0, ("A", 20.0)), visit(60, ("A", 10.0))], Rules(target_rule=rule))
    assert remarks.thresholds(got.rules) == words.format("below the baseline")
    change = got.visits[1].change(rule)
    assert change is not None
    assert change.unit == ("mm3" if rule == "volume" else "mm")


@pytest.mark.parametrize(
    ("volume", "words"),
    [
        (350.01, "the sum of volumes, 0.35001 cm³, is 64.99"),
        (14.1, "the sum of volumes, 0.0141 cm³, is 98.59 % below the baseline 1.00 cm³ (at least 65 %)"),
        (12_345.67, "the sum of volumes, 12.34567 cm³, is 1134.56 % above the nadir 1.00 cm³ (at least 72.8 %)"),
    ],
)
def test_volumes_are_told_in_the_unit_of_the_page_to_the_last_digit(volume, words):
    visits = visit(0, ("A", 12.0, 1000.0)), visit(60, ("A", 12.0, volume))
    verdict = assess(visits, Rules(target_rule="volume")).visits[-1].radiographic
    assert verdict is not None
    assert words in verdict.reason


@pytest.mark.parametrize(
    ("volume", "answer"), [(350.0, PR), (350.01, SD), (349.99, PR), (1727.99, SD), (1728.0, PD), (1728.01, PD)]
)
def test_volumes(volume, answer):
    visits = visit(0, ("A", 12.0, 1000.0)), visit(60, ("A", 12.0, volume))
    got = last(*visits)
    assert got.by_target_rule == {"any_lesion": SD, "sum": SD, "volume": answer}
    assert got.radiographic.response is SD
    assert radiographic(*visits, rules=Rules(target_rule="volume"))[1] is answer


def test_volumes_have_no_absolute_limit():
    small = visit(60, ("A", 2.0, 4.0)), visit(90, ("A", 2.4, 6.92))
    assert last(visit(0, ("A", 12.0, 1000.0)), *small).by_target_rule == {"any_lesion": PR, "sum": PR, "volume": PD}


def test_the_thresholds_are_configuration():
    visits = visit(0, ("A", 20.0)), visit(60, ("A", 15.0)), visit(120, ("A", 17.0))
    assert radiographic(*visits) == [None, SD, SD]
    assert radiographic(*visits, rules=Rules(partial_percent=25, progressive_percent=13.3, absolute_mm=2)) == [
        None,
        PR,
        PD,
    ]


def test_every_hundredth_of_a_millimetre_goes_by_the_rule():
    """Sums, in hundredths, on and around a fifth and three tenths: no ratio is lost to binary fractions."""
    for hundredths in range(1000, 4000, 10):
        before = hundredths / 100
        for after, answer in (
            (hundredths * 7 // 10, PR),
            (hundredths * 7 // 10 + 1, SD),
            (hundredths * 12 // 10 - 1, SD),
            (hundredths * 12 // 10, PD),
        ):
            rules = Rules(absolute_mm=0.01)
            assert radiographic(visit(0, ("A", before)), visit(60, ("A", after / 100)), rules=rules)[1] is answer


def test_no_printed_percentage_reaches_a_threshold_that_is_not_met():
    """20 % of 40.01 mm are 8.002 mm, and 30 % of 70.03 mm are 21.009 mm."""
    grown = last(visit(0, ("A", 20.01), ("B", 20.0)), visit(40, ("A", 28.01), ("B", 20.0)))
    assert (grown.radiographic.response, grown.diameters.from_nadir_percent) == (SD, 19.99)
    same = last(visit(0, ("A", 20.0)), visit(40, ("A", 20.0))).radiographic.reason
    assert same.endswith(
        "20.00 mm, is 0.00 % below the baseline 20.00 mm (PR from 30 %), and not 20 % above the nadir 20.00 mm"
    )
    assert "48.01 mm, is 19.99 % above the nadir 40.01 mm (PD from 20 %)" in grown.radiographic.reason
    start = visit(0, ("A", 30.01), ("B", 20.01), ("C", 20.01))
    fallen = last(start, visit(40, ("A", 9.01), ("B", 20.01), ("C", 20.01)))
    assert (fallen.radiographic.response, fallen.diameters.from_baseline_percent) == (SD, -29.98)
    for before in range(1001, 60000, 977):
        for after in range(before * 12 // 10 - 1, before * 12 // 10 + 3):
            assert (present(percent_above(after, before)) >= 20) == (5 * (after - before) >= before)
        for after in range(before * 7 // 10 - 1, before * 7 // 10 + 3):
            assert (present(percent_above(after, before)) <= -30) == (10 * (before - after) >= 3 * before)
    assert (percent_above(None, 1000), percent_above(10, 0)) == (None, None)


@pytest.mark.parametrize(
    ("sizes", "answer"),
    [
        ((5.0, 9.99), NEITHER),  # + 99.8 %, but not 10 mm
        ((5.0, 10.0), PD),
        ((5.01, 10.0), NEITHER),  # + 4.99 mm
        ((25.0, 30.0), PD),  # 20 %
        ((25.01, 30.01), NEITHER),
        ((8.0, 4.0, 10.0), PD),  # against its own smallest
        ((8.0, 5.5, 10.0), NEITHER),
    ],
)
def test_a_non_target_lesion_progresses_beyond_doubt(sizes, answer):
    visits = [visit(30 * n, lesion("N", size, measurable=False)) for n, size in enumerate(sizes)]
    assert radiographic(*visits)[-1] is answer


def test_a_non_target_lesion_is_compared_with_what_was_measured_of_it():
    baseline, big = visit(0, ("T", 20.0), ("N", None)), visit(30, ("T", 20.0), lesion("N", 12.0, measurable=False))
    assert radiographic(baseline, big, replace(big, visit="later", date=START + datetime.timedelta(days=60)))[1:] == [
        SD,
        SD,
    ]
    # One that had gone is back with all that it measures, but what had merged with another had not gone.
    two = [lesion(name, 11.0, measurable=False) for name in "NM"]
    start, apart = visit(0, ("T", 20.0), *two), visit(60, ("T", 20.0), *two)
    assert radiographic(start, visit(30, ("T", 20.0), two[0]), apart)[1:] == [SD, PD]
    assert radiographic(start, visit(30, ("T", 20.0), replace(two[0], merged=("M",))), apart)[1:] == [SD, SD]


def test_a_reader_knows_better_about_a_non_target_lesion():
    baseline = visit(0, ("T", 20.0), ("N", 5.0))
    assert radiographic(baseline, visit(60, ("T", 20.0), lesion("N", 6.0, judgement=Judgement.PROGRESSION)))[1] is PD
    assert (
        radiographic(baseline, visit(60, ("T", 20.0), lesion("N", 16.0, judgement=Judgement.NO_PROGRESSION)))[1] is SD
    )
    for said in (None, Judgement.NEW, Judgement.EQUIVOCAL):
        assert radiographic(baseline, visit(60, ("T", 20.0), lesion("N", 16.0, judgement=said)))[1] is PD


@pytest.mark.parametrize(("longest", "answer"), [(2.99, SD), (3.0, PD), (40.0, PD), (None, SD)])
def test_a_new_lesion_too_small_to_be_sure_of(longest, answer):
    got = last(visit(0, ("T", 20.0)), visit(60, ("T", 20.0), lesion("X", longest)))
    assert got.radiographic.response is answer
    assert (got.new_lesions, got.equivocal_lesions) == ((("X",), ()) if answer is PD else ((), ("X",)))


# --- target lesions


def test_the_five_largest_measurable_lesions_are_targets():
    sizes = {"A": 30.0, "B": 11.0, "C": 12.0, "D": 13.0, "E": 14.0, "F": 15.0, "G": 9.9}
    big = lesion("H", 50.0, measurable=False)
    got = assess([visit(0, *sizes.items(), big)])
    assert got.targets == ("A", "F", "E", "D", "C")
    assert set(got.non_targets) == {"B", "G", "H"}
    assert present(got.visits[0].diameters).total == 84.0
    assert assess([visit(0, *sizes.items())], Rules(maximum_targets=2)).targets == ("A", "F")


def test_targets_by_hand():
    lesions = [lesion(name, 10.0 + n) for n, name in enumerate("ABCDEF")]
    lesions[0] = lesion("A", 10.0, target=True)
    lesions[5] = lesion("F", 15.0, target=False)
    small = lesion("S", 6.0, target=True, name="left pons")
    got = assess([visit(0, *lesions, small)])
    assert got.targets == ("A", "E", "D", "C", "B")
    assert got.visits[0].notes == (
        "left pons was chosen as a target but is not measurable at the baseline: it counts as non-target.",
    )
    many = assess([visit(0, *(lesion(name, 10.0 + n, target=True) for n, name in enumerate("ABCDEF")))])
    assert many.targets == ("F", "E", "D", "C", "B")
    assert "A was chosen as a target but 5 larger ones were too" in many.visits[0].notes[0]


def test_a_lesion_in_parts_is_one_target():
    parts = ("A", 12.0), lesion("A2", 6.0, part_of="A"), lesion("A3", 11.0, part_of="A2")
    others = [lesion(name, size) for name, size in (("B", 14.0), ("C", 13.0), ("D", 12.0), ("E", 11.0))]
    got = assess([visit(0, *parts, *others), visit(60, ("A", 29.0), *others)])
    assert (set(got.targets), got.non_targets) == (set("ABCDE"), ())
    assert got.targets[0] == "A", "it is as large as its parts together"
    assert [present(one.diameters).total for one in got.visits] == [79.0, 79.0]
    assert got.visits[0].notes == ("A is in parts at this visit: their sizes are added.",)
    # Ruled out by hand it is not one, and none of its parts is.
    out = [lesion("A", 12.0, target=False), *parts[1:]]
    got = assess([visit(0, *out, *others), visit(60, ("A", 29.0), *others)])
    assert (set(got.targets), got.non_targets) == (set("BCDE"), ("A",))
    of_a_part = [out[0], replace(out[1], target=True), *out[2:]]
    assert set(assess([visit(0, *of_a_part, *others)]).targets) == set("BCDE")
    assert present(got.visits[1].radiographic).response is SD


def test_a_lesion_is_measurable_when_a_part_of_it_is():
    assert assess([visit(0, ("A", 6.0), lesion("A2", 11.0, part_of="A"))]).targets == ("A",)
    chosen = lesion("A2", 11.0, part_of="A", target=True)
    rules = Rules(maximum_targets=1)
    assert assess([visit(0, ("A", 6.0), chosen, ("B", 30.0))], rules).targets == ("A",)
    assert assess([visit(0, lesion("A2", 11.0, part_of="A"))]).targets == ("A2",), "the whole is not there"
    # What can't be assessed in part has no size to be compared with.
    got = assess([visit(0, ("A", 12.0), lesion("A2", None, part_of="A"))])
    assert (got.targets, got.non_targets) == ((), ("A",))
    # Two that are each a part of the other are both still there.
    both = visit(0, lesion("A", 12.0, part_of="B"), lesion("B", 11.0, part_of="A"))
    assert set(assess([both]).targets) == {"A", "B"}


def test_progression_is_measured_from_the_nadir_and_numbers_say_so():
    got = last(visit(0, ("A", 40.0)), visit(60, ("A", 20.0)), visit(120, ("A", 25.0)))
    change = got.diameters
    assert got.radiographic.response is PD
    assert (change.total, change.baseline, change.nadir, change.nadir_visit) == (25.0, 40.0, 20.0, "day 60")
    assert (change.from_baseline_percent, change.from_nadir_percent, change.from_nadir) == (-37.5, 25.0, 5.0)
    assert (change.largest_growth, change.largest_growth_of, change.unit) == (5.0, "A", "mm")
    again = last(visit(0, ("A", 40.0)), visit(60, ("A", 20.0)), visit(90, ("A", 20.0)), visit(120, ("A", 25.0)))
    assert again.diameters == change, "the first of several that are as small"
    assert got.volumes.unit == "mm3"
    assert got.radiographic.reason == (
        "the sum of longest diameters, 25.00 mm, is 25.00 % above the nadir 20.00 mm (at least 20 %), "
        "and A grew 5.00 mm (at least 5 mm)"
    )


def test_growth_is_that_since_the_nadir_visit():
    """A grew 5 mm since it was smallest, but not since the sum was."""
    visits = (
        visit(0, ("A", 10.0), ("B", 40.0)),
        visit(60, ("A", 12.0), ("B", 10.0)),
        visit(120, ("A", 15.0), ("B", 12.0)),
    )
    got = last(*visits)
    assert got.by_target_rule == {"any_lesion": PR, "sum": PD, "volume": PD}
    assert got.diameters.largest_growth == 3.0


@pytest.mark.parametrize("size", [3.0, 0.01])
def test_targets_that_come_back_after_all_had_gone(size):
    gone = visit(60, ("N", 5.0))
    got = last(visit(0, ("A", 12.0), ("N", 5.0)), gone, visit(90, lesion("A", size, 0.01), ("N", 5.0)))
    assert got.radiographic.response is PD
    assert got.by_target_rule == {"any_lesion": PD, "sum": PD, "volume": PD}
    assert f"had all gone and are back with {size:.2f} mm" in got.radiographic.reason
    assert got.diameters.from_nadir_percent is None


def test_a_non_target_lesion_that_comes_back_after_a_complete_response():
    visits = visit(0, ("A", 12.0), ("N", 5.0)), visit(60), visit(90, ("N", 2.0))
    assert radiographic(*visits) == [None, CR, PD]
    for again in ([], [visit(75)]):
        reason = last(*visits, *again).radiographic.reason
        assert "N came back after all lesions had gone on 2024-03-01" in reason
    # Had a target lesion stayed, it would be no relapse.
    visits = visit(0, ("A", 12.0), ("N", 5.0)), visit(60, ("A", 12.0)), visit(90, ("A", 12.0), ("N", 2.0))
    assert radiographic(*visits) == [None, SD, SD]


def test_the_targets_that_a_response_counts_as_gone_are_named():
    start, some = visit(0, ("A", 20.0), ("B", 14.0), ("N", 5.0)), visit(60, ("A", 20.0))
    note = "Not found at this visit, and counted as gone: B."
    assert (last(start, some).radiographic.response, last(start, some).notes) == (PR, (note,))
    # All of them, its reason says; of one in doubt, the doubt; and what has merged has not gone.
    assert last(start, visit(60, ("N", 5.0))).notes == ()
    assert note not in last(start, replace(some, gone_in_doubt=("B",))).notes
    assert note not in last(start, visit(60, lesion("A", 30.0, merged=("B",)))).notes


def test_all_targets_gone_but_not_all_lesions():
    got = last(visit(0, ("A", 12.0), ("N", 5.0)), visit(60, ("N", 5.0)))
    assert got.radiographic.response is PR
    assert got.by_target_rule["any_lesion"] is CR
    assert got.non_targets is NEITHER
    nothing = visit(60, ("A", 0.0), ("N", 0.0), ("X", 0.0))  # measured by hand as nothing
    assert radiographic(visit(0, ("A", 12.0), ("N", 5.0)), nothing)[1] is CR


def test_a_target_that_cannot_be_assessed():
    baseline = visit(0, ("A", 20.0), ("B", 20.0))
    got = last(baseline, visit(60, ("A", 10.0), ("B", None)))
    assert got.radiographic.response is NE
    assert got.radiographic.reason == "B can't be assessed"
    assert (got.diameters.total, got.diameters.from_baseline_percent) == (None, None)
    # What can be measured is progression already.
    assert radiographic(baseline, visit(60, ("A", 48.0), ("B", None)))[1] is PD
    assert radiographic(baseline, visit(60, ("A", 47.9), ("B", None)))[1] is NE
    assert radiographic(baseline, visit(60, ("A", None), ("B", None)))[1] is NE
    # Nor is it a nadir.
    assert radiographic(baseline, visit(60, ("A", 10.0), ("B", None)), visit(90, ("A", 20.0), ("B", 20.0)))[2] is SD


def test_what_was_not_assessed_has_not_gone_nor_come_back():
    gone = visit(60), visit(90, ("A", None))
    got = assess([visit(0, ("A", 20.0)), *gone])
    assert [present(one.radiographic).response for one in got.visits[1:]] == [CR, NE]
    assert got.visits[2].notes == ("Can't be assessed at this visit: A.",)
    # It alone may be left of all lesions: they were not all gone, and so are not back.
    later = last(visit(0, ("A", 20.0)), visit(60, ("A", None)), visit(90, ("A", 18.0)))
    assert later.radiographic.response is SD
    # A new lesion that can't be assessed is no progression at this visit, and no response can be claimed.
    new = visit(0, ("A", 20.0)), visit(60, ("A", 20.0), ("X", 8.0))
    got = last(*new, visit(90, ("A", 10.0), ("X", None)))
    assert (got.radiographic.response, got.new_lesions) == (NE, ())
    assert got.radiographic.reason == "X, new since the baseline, can't be assessed"
    assert last(*new, visit(90, ("A", 30.0), ("X", None))).radiographic.response is PD


def test_a_volume_unknown_at_the_baseline_leaves_the_diameters():
    got = last(visit(0, ("A", 20.0, None)), visit(60, ("A", 10.0, None)))
    assert got.by_target_rule == {"any_lesion": PR, "sum": PR, "volume": NE}
    assert got.volumes is None


# --- lesions that split and merge


def test_the_parts_of_a_split_target_are_added():
    parts = lesion("A", 12.0), lesion("A2", 10.0, part_of="A"), lesion("A3", 4.0, part_of="A2")
    got = last(visit(0, ("A", 30.0)), visit(60, *parts))
    assert got.diameters.total == 26.0
    assert (got.new_lesions, got.radiographic.response) == ((), SD)
    # A part that outlives the rest still stands for it.
    assert last(visit(0, ("A", 30.0)), visit(60, *parts), visit(90, ("A2", 10.0))).diameters.total == 10.0


def test_that_a_target_is_in_parts_is_said():
    parts = ("A", 12.0), lesion("A2", 11.0, part_of="A")
    got = last(visit(0, ("A", 14.0), ("B", 12.0)), visit(60, *parts, ("B", 12.0)))
    assert (got.radiographic.response, got.notes) == (PD, ("A is in parts at this visit: their sizes are added.",))
    assert got.by_target_rule["volume"] is SD
    # Within another lesion it is none of several parts.
    apart = visit(60, ("A", 14.0), ("B", 7.0), lesion("B2", 6.0, part_of="B"))
    within = visit(90, lesion("A", 20.0, merged=("B",)), ("B2", 6.0))
    assert last(visit(0, ("A", 14.0), ("B", 12.0)), apart, within).notes == ("A now includes B (merged).",)
    # One part is left.
    assert last(visit(0, ("A", 14.0)), visit(60, *parts), visit(90, ("A2", 11.0))).notes == ()


@pytest.mark.parametrize(
    ("courses", "answer"),
    [
        (((8.0,), (7.0, 7.0)), NEITHER),  # it falls apart
        (((6.0, 6.0), (12.0,)), NEITHER),  # it is one again
        (((9.0,), (5.0, 4.0), (10.0,)), NEITHER),
        (((8.0,), (7.0, 7.0), (13.0, 4.0)), PD),  # a part has grown
        (((6.0, 6.0), (11.0, 11.0)), PD),
        (((6.0, 6.0), (17.0,)), PD),
    ],
)
def test_a_non_target_lesion_has_not_grown_by_falling_apart_or_becoming_one(courses, answer):
    visits = []
    for number, sizes in enumerate(courses):
        parts = [lesion(f"N{k}", size, part_of="N0" if k else None) for k, size in enumerate(sizes)]
        visits.append(visit(60 * number, ("T", 20.0), *(replace(one, measurable=False) for one in parts)))
    got = last(*visits)
    assert (got.non_targets, got.radiographic.response) == (answer, PD if answer is PD else SD)


def test_a_part_has_the_role_of_what_it_is_a_part_of():
    start = visit(0, ("A", 20.0), ("B", 8.0))
    parts = [lesion("A2", 9.0, part_of="A"), lesion("B2", 4.0, part_of="B"), lesion("C", 5.0)]
    split = visit(30, ("A", 10.0), ("B", 6.0), *parts)
    answer = assess([visit(-30, ("Z", 5.0)), start, split], baseline="day 0")
    assert answer.roles == {
        "A": "target", "A2": "target", "B": "non_target", "B2": "non_target", "C": "new",
    }  # fmt: skip
    assert answer.visits[-1].new_lesions == ("C",)


def test_what_the_baseline_shows_within_a_target_has_its_role():
    whole = visit(0, ("A", 30.0), name="baseline")
    before = [visit(-60, ("A", 12.0), ("B", 12.0)), visit(-30, lesion("A", 30.0, merged=("B",)))]
    answer = assess([*before, whole, visit(30, ("A", 12.0), ("B", 12.0))], baseline="baseline")
    assert answer.roles == {"A": "target", "B": "target"}


@pytest.mark.parametrize(
    "course",
    [
        [visit(0, ("A", 12.0), ("B", 14.0)), visit(30, ("A", 10.0), ("B", 2.0)), visit(60, ("A", 15.9))],
        [visit(0, ("A", 6.0), ("B", 14.0)), visit(30, ("A", 12.0), ("B", 14.0)), visit(60, ("A", 12.0))],
        # Another visit of that day shows the other one.
        [visit(0, ("B", 14.0), ("N", 5.0)), visit(0, ("A", 12.0), name="too"), visit(30, ("A", 12.0), ("B", 14.0))],
    ],
)
def test_what_the_baseline_shows_apart_is_two_lesions_though_it_was_one_before(course):
    whole, split = visit(-90, ("B", 26.0)), visit(-60, ("B", 14.0), lesion("A", 12.0, part_of="B"))
    expected = assess(course).visits
    assert assess([whole, split, *course], baseline="day 0").visits[2:] == expected
    # Nor is what splits from a part that has gone.
    first, second = (visit(-60, ("B", 14.0), lesion("C", 12.0, part_of="B")), visit(-30, lesion("A", 9.0, part_of="C")))
    got = assess([whole, first, second, *course], baseline="day 0")
    assert got.visits[3:] == expected
    # One that the baseline does not show is still a part of the one that it shows.
    alone, later = visit(0, ("A", 12.0)), visit(30, ("A", 12.0), ("B", 9.0))
    assert last(whole, split, alone, later, baseline="day 0").diameters.total == 21.0


def test_merged_targets_are_measured_once_and_have_not_grown_by_merging():
    baseline = visit(0, ("A", 15.0), ("B", 15.0), ("C", 12.0))
    merged = visit(60, lesion("A", 32.0, merged=("B",)), ("C", 20.0))
    got = last(baseline, merged)
    assert (got.diameters.total, got.diameters.largest_growth, got.diameters.largest_growth_of) == (52.0, 8.0, "C")
    assert got.notes == ("A now includes B (merged).",)
    later = visit(120, ("A", 32.0), ("C", 12.0))  # still one, though nobody says so again
    assert last(baseline, merged, later).diameters.largest_growth == 2.0
    apart = visit(120, ("A", 15.0), ("B", 15.0), ("C", 12.0))
    got = last(baseline, merged, apart)
    assert (got.diameters.total, got.diameters.largest_growth) == (42.0, 0.0)


def test_targets_that_were_one_at_the_nadir_are_compared_together():
    baseline, nadir = (
        visit(0, ("A", 15.0), ("B", 15.0), ("C", 15.0)),
        visit(60, ("A", 9.0), lesion("B", 15.0, merged=("C",))),
    )
    got = last(baseline, nadir, visit(120, ("A", 9.0), ("B", 10.0), ("C", 9.0)))
    assert (got.diameters.largest_growth, got.diameters.largest_growth_of) == (4.0, "B")
    assert got.radiographic.response is PR
    # One of them has merged with a third meanwhile.
    got = last(baseline, nadir, visit(120, lesion("A", 22.0, merged=("B",)), ("C", 9.0)))
    assert (got.diameters.largest_growth, got.diameters.largest_growth_of) == (7.0, "A")


def test_a_target_that_merged_into_another_lesion_has_not_gone():
    """The merged lesion goes by the name of a non-target, or even of a new lesion."""
    for survivor in ("N", "X"):
        baseline = visit(0, ("T", 20.0), ("N", 5.0))
        other = [("N", 5.0)] if survivor == "X" else []
        got = last(baseline, visit(60, lesion(survivor, 24.0, merged=("T",)), *other))
        assert got.diameters.total == 24.0
        assert (got.radiographic.response, got.new_lesions) == (SD, ())


def test_a_lesion_that_the_baseline_shows_within_another_is_measured_when_it_is_apart_again():
    before, baseline = visit(0, ("X", 12.0), ("Y", 14.0)), visit(30, lesion("Y", 26.0, merged=("X",)))
    apart, grown = visit(60, ("X", 12.0), ("Y", 12.0)), visit(90, ("X", 40.0), ("Y", 12.0))
    got = assess([before, baseline, apart, grown], baseline="day 30")
    assert got.targets == ("Y",)
    first, second = (present(one.diameters) for one in got.visits[2:])
    assert (first.total, second.total) == (24.0, 52.0)
    assert [one.new_lesions for one in got.visits[2:]] == [(), ()]
    assert present(got.visits[3].radiographic).response is PD
    # The part of the target that has split off from it at the baseline holds it as well, however that is called.
    for part in ("A", "Z"):
        parts = visit(30, lesion(part, 12.0, part_of="Y"), ("Y", 14.0))
        whole = visit(15, lesion("Y", 26.0, merged=("X",)))
        got = last(before, whole, parts, visit(60, ("X", 12.0), ("Y", 14.0)), baseline="day 30")
        assert got.diameters.total == 26.0
    # It alone is what is left of the target.
    assert last(before, baseline, visit(60, ("X", 12.0)), baseline="day 30").diameters.total == 12.0


def test_a_target_has_not_grown_by_merging_with_a_non_target():
    """Whichever of the two the whole goes by, it is compared with both."""
    baseline = visit(0, ("X", 14.0), ("Z", 9.0))
    for whole, other in (("X", "Z"), ("Z", "X")):
        merged = visit(60, lesion(whole, 23.0, merged=(other,)))
        got = last(baseline, merged)
        assert (got.diameters.baseline, got.diameters.total) == (23.0, 23.0)
        assert (got.diameters.largest_growth, got.radiographic.response) == (0.0, SD)
        assert got.notes[-1] == "Non-target Z can't be told from a target any more: all sums here are with it."
        assert got.non_targets is NEITHER, "it has not gone"
        # The nadir is that of both as well, though one of them was smallest at another visit.
        less = visit(30, ("X", 10.0), ("Z", 8.0))
        got = last(baseline, less, merged)
        assert (got.diameters.nadir, got.radiographic.response) == (18.0, PD)
        assert last(baseline, merged, visit(90, (whole, 29.0))).diameters.from_nadir == 6.0
        # Apart again, the target counts alone.
        got = last(baseline, merged, visit(90, ("X", 14.0), ("Z", 9.0)))
        assert (got.diameters.baseline, got.diameters.total, got.radiographic.response) == (14.0, 14.0, SD)
    others = [
        visit(day, *lesions, lesion("N", size, measurable=False))
        for day, lesions, size in ((0, [("X", 14.0), ("Z", 9.0)], 6.0), (60, [lesion("X", 23.0, merged=("Z",))], 12.0))
    ]
    assert last(*others).non_targets is PD, "another one has progressed"
    unknown = visit(0, ("X", 14.0), ("Z", None))
    assert last(unknown, visit(60, lesion("X", 23.0, merged=("Z",)))).radiographic.response is NE


@pytest.mark.parametrize("sizes", [(None, 5.0), (5.0, None)])
def test_a_target_with_a_part_that_has_no_size_cannot_be_assessed(sizes):
    parts = visit(60, lesion("A", sizes[0]), lesion("A2", sizes[1], part_of="A"))
    assert last(visit(0, ("A", 20.0)), parts).radiographic.response is NE


def test_what_has_gone_and_stays_gone_is_complete_by_every_rule():
    got = last(visit(0, ("A", 40.0)), visit(30), visit(60))
    assert got.by_target_rule == dict.fromkeys(("any_lesion", "sum", "volume"), CR)


def test_lesions_that_each_say_to_have_taken_in_the_other_are_answered():
    """No segmentation says so; a file that was edited by hand may."""
    start = visit(0, lesion("A", 10.0, merged=("B",)), ("B", 10.0))
    contradicting = [visit(30, lesion("A", None, merged=("B",))), visit(60, lesion("B", None, merged=("A",)))]
    refused = visit(90, replace(lesion("A", None), refused=True))
    assert len(assess([start, *contradicting, refused]).visits) == 4


def test_non_targets_that_merged_have_not_grown_by_it():
    baseline = visit(0, ("N", 8.0), ("M", 7.0))
    assert radiographic(baseline, visit(60, lesion("N", 15.0, merged=("M",))))[1] is NEITHER
    assert radiographic(baseline, visit(60, lesion("N", 20.0, merged=("M",))))[1] is PD


def test_lesions_that_are_apart_again_are_no_longer_one():
    """They had touched at one visit: all after that in which they are apart is as if they never had."""
    start, touching = visit(0, ("A", 20.0), ("B", 9.0)), visit(60, lesion("A", 28.0, merged=("B",)))
    apart = visit(120, ("A", 20.0), ("B", 9.0))
    for size, answer in ((20.0, SD), (27.0, PD)):
        got = last(start, touching, apart, visit(180, ("A", size)))
        assert got.radiographic == last(start, apart, visit(180, ("A", size))).radiographic
        assert (got.radiographic.response, got.diameters.baseline, got.notes) == (answer, 20.0, ())
    # What can't be assessed at a visit is not seen apart at it.
    hidden = visit(120, ("A", 28.0), ("B", None))
    assert last(start, touching, hidden).radiographic.response is NE, "it is in what is measured"
    assert last(start, touching, hidden, visit(180, ("A", 28.0))).diameters.baseline == 29.0


def test_a_new_lesion_that_once_touched_a_known_one_is_new_again():
    start, new = visit(0, ("T", 20.0), ("B", 6.0)), visit(60, ("T", 20.0), ("B", 6.0), ("N", 9.0))
    touching = visit(90, ("T", 20.0), lesion("N", 14.0, merged=("B",)))
    apart = visit(120, ("T", 20.0), ("B", 6.0), ("N", 9.0))
    got = last(start, new, touching, apart, visit(180, ("T", 20.0), ("N", 9.0)))
    assert (got.radiographic.response, got.new_lesions) == (PD, ("N",))


STILL_NEW = "N, new on 2024-02-10, has merged with T and still counts."


@pytest.mark.parametrize("whole", ["T", "N"])
@pytest.mark.parametrize("immunotherapy", [True, False])
def test_a_new_lesion_that_merged_with_a_known_one_still_counts(whole, immunotherapy):
    """It counts as if it had stayed apart, whichever of the two the whole goes by."""
    start, new = visit(0, ("T", 20.0), immunotherapy=immunotherapy), visit(40, ("T", 12.0), ("N", 8.0))
    other = "N" if whole == "T" else "T"
    merged, later = visit(80, lesion(whole, 13.0, merged=(other,))), visit(120, (whole, 13.0))
    got = assess([start, new, merged, later])
    answer = SD if immunotherapy else PD
    assert [present(one.radiographic).response for one in got.visits[1:]] == [answer] * 3
    assert [one.new_lesions for one in got.visits] == [(), ("N",), ("N",), ("N",)]
    assert got.visits[2].notes == (f"{whole} now includes {other} (merged).", STILL_NEW)
    assert got.visits[3].notes == (STILL_NEW,)
    assert "N (merged with T)" in present(got.visits[3].radiographic).reason
    assert (got.roles["T"], got.roles["N"], got.best_radiographic.response) == ("target", "new", answer)

    apart = last(start, new, merged, later, visit(160, ("T", 12.0), ("N", 8.0)))
    assert (apart.radiographic.response, apart.new_lesions, apart.notes) == (answer, ("N",), ())
    for gone in (visit(160), visit(160, ("X", 2.0))):
        assert last(start, new, merged, later, gone).new_lesions == ()
    only_the_known = last(start, new, merged, later, visit(160, ("T", 12.0), ("N", 8.0)), visit(200, ("T", 12.0)))
    assert (only_the_known.radiographic.response, only_the_known.new_lesions) == (PR, ())


def test_a_new_lesion_that_merged_with_one_that_cannot_be_assessed_is_not_either():
    start, new = visit(0, ("T", 20.0), ("B", 6.0)), visit(40, ("T", 12.0), ("B", 6.0), ("N", 8.0))
    merged = visit(80, ("T", 12.0), lesion("B", 9.0, merged=("N",)))
    got = last(start, new, merged, visit(120, ("T", 12.0), ("B", None)))
    assert (got.radiographic.response, got.new_lesions) == (NE, ())
    assert got.radiographic.reason == "N (merged with B), new since the baseline, can't be assessed"


def test_a_part_of_a_known_lesion_that_joins_it_again_is_not_new():
    parts = visit(40, ("T", 12.0), lesion("T2", 8.0, part_of="T"))
    got = assess([visit(0, ("T", 20.0)), parts, visit(80, lesion("T", 12.0, merged=("T2",)))])
    assert [one.new_lesions for one in got.visits] == [(), (), ()]
    assert present(got.visits[2].radiographic).response is PR
    # Nor are the parts of a whole that holds a new one: that is one new lesion, whichever of them it is in.
    new, merged = visit(40, ("T", 12.0), ("N", 8.0)), visit(80, lesion("T", 13.0, merged=("N",)))
    split = visit(120, ("T", 7.0), lesion("T2", 6.0, part_of="T"))
    assert last(visit(0, ("T", 20.0)), new, merged, split).new_lesions == ("N",)


def test_a_new_lesion_a_part_of_which_has_merged_is_counted_once():
    start, parts = visit(0, ("T", 20.0)), visit(40, ("T", 12.0), ("N", 8.0), lesion("N2", 6.0, part_of="N"))
    assert last(start, parts, visit(80, lesion("T", 16.0, merged=("N2",)), ("N", 8.0))).new_lesions == ("N", "N2")


def test_a_lesion_that_was_never_beyond_doubt_when_it_merged_is_no_progression():
    start, dot = visit(0, ("T", 20.0)), visit(40, ("T", 12.0), ("N", 2.0))
    assert radiographic(start, dot, visit(80, lesion("T", 13.0, merged=("N",))))[1:] == [PR, PR]


def test_that_a_new_lesion_has_merged_may_be_in_doubt():
    """Then so is every response that it still counts in, until a person has looked."""
    start, new = visit(0, ("T", 20.0)), visit(40, ("T", 12.0), ("N", 8.0))
    merged, later = visit(80, lesion("T", 13.0, merged=("N",), doubt=True)), visit(120, ("T", 13.0))
    words = "How N (merged with T) was followed is not sure: a person should look at it before relying on the response."
    assert last(start, new, merged, later).doubt == words
    assert last(start, new, replace(merged, verified=True), later).doubts == ""
    doubtful = visit(40, ("T", 12.0), lesion("N", 8.0, doubt=True))
    sure = visit(80, lesion("T", 13.0, merged=("N",)))
    assert last(start, doubtful, sure, later).doubt == words, "that it is new rests on when it was first seen"


# --- lesions of which it is not sure which they are


def no_lesion(uid, longest, **given):
    return lesion(uid, longest, refused=True, **given)


def test_a_target_that_merged_with_what_is_no_lesion_has_not_gone():
    merged = visit(30, no_lesion("P", 30.0, merged=("A",)))
    later = visit(60, no_lesion("P", 30.0))
    answers = assess([visit(0, ("A", 12.0), no_lesion("P", 16.0)), merged, later]).visits
    assert [answer.radiographic and answer.radiographic.response for answer in answers[1:]] == [NE, NE]
    assert [bool(answer.doubts) for answer in answers] == [False, True, False]
    assert all(
        "A has merged with P, which people have called no lesion: it has not gone." in a.notes for a in answers[1:]
    )
    apart = visit(90, ("A", 12.0), no_lesion("P", 16.0))
    gone = visit(120, no_lesion("P", 16.0))
    assert radiographic(visit(0, ("A", 12.0)), merged, later, apart, gone)[1:] == [NE, NE, SD, CR]


def test_what_merged_with_no_lesion_is_a_part_of_what_that_merges_with():
    start = visit(0, ("A", 12.0), ("B", 20.0), no_lesion("P", 16.0))
    merged = visit(30, ("B", 20.0), no_lesion("P", 30.0, merged=("A",)))
    assert radiographic(start, merged, visit(60, lesion("B", 40.0, merged=("P",))))[1:] == [NE, PD]
    assert radiographic(start, merged, visit(60, ("B", 20.0)))[1:] == [NE, PR], "P has gone, and A with it"


def test_what_is_no_lesion_says_nothing_of_what_counts_elsewhere():
    """People call a lesion none at all its visits; where it counts at another, they have said something else there."""
    refused, there = visit(0, ("A", 12.0), no_lesion("P", 16.0)), visit(30, ("A", 12.0), ("P", 16.0))
    split = visit(60, ("A", 12.0), ("P", 10.0), lesion("B", 8.0, part_of="P"))
    assert last(refused, there, split).doubts == ""


def test_what_cannot_be_assessed_has_not_left_what_is_no_lesion():
    merged = visit(30, no_lesion("P", 30.0, merged=("A",)))
    hidden, later = visit(60, ("A", None), no_lesion("P", 30.0)), visit(90, no_lesion("P", 30.0))
    assert radiographic(visit(0, ("A", 12.0), no_lesion("P", 16.0)), merged, hidden, later)[1:] == [NE, NE, NE]


def test_two_that_are_no_lesion_may_merge():
    start = visit(0, ("A", 12.0), no_lesion("P", 16.0), no_lesion("Q", 9.0))
    assert radiographic(start, visit(30, ("A", 12.0), no_lesion("P", 30.0, merged=("Q",))))[1:] == [SD]


def test_what_is_no_lesion_may_go_while_another_one_holds_a_target():
    start = visit(0, ("A", 12.0), ("B", 14.0), no_lesion("P", 16.0), no_lesion("Q", 16.0))
    merged = visit(30, no_lesion("P", 30.0, merged=("A",)), no_lesion("Q", 30.0, merged=("B",)))
    for stays, name in (("P", "A"), ("Q", "B")):
        got = last(start, merged, visit(60, no_lesion(stays, 30.0)))
        assert (got.radiographic.response, got.radiographic.reason) == (NE, f"{name} can't be assessed")


def test_that_lesions_have_merged_is_said_at_the_visit_that_shows_it_alone():
    start = visit(0, ("A", 12.0), ("B", 20.0), ("C", 11.0), no_lesion("P", 16.0))
    holds = visit(30, lesion("A", 20.0, merged=("C",)), ("B", 20.0), no_lesion("P", 16.0))
    within = visit(60, ("B", 20.0), no_lesion("P", 30.0, merged=("A",)))
    assert not any("now includes" in note for note in last(start, holds, within).notes)
    joined, later = visit(90, lesion("B", 40.0, merged=("P",))), visit(120, ("B", 40.0))
    assert last(start, holds, within, joined).notes[0] == "B now includes P, C, A (merged)."
    assert last(start, holds, within, joined, later).notes == ()


def test_a_new_lesion_that_merged_with_what_is_no_lesion_is_not_assessed():
    start, new = visit(0, ("A", 12.0), no_lesion("P", 16.0)), visit(30, ("A", 12.0), ("B", 9.0), no_lesion("P", 16.0))
    assert radiographic(start, new, visit(60, ("A", 12.0), no_lesion("P", 22.0, merged=("B",))))[1:] == [PD, NE]


def test_a_new_lesion_that_merged_with_one_that_holds_what_is_no_lesion_still_counts():
    start, new = visit(0, lesion("T", 20.0, merged=("P",))), visit(40, ("T", 12.0), ("N", 8.0))
    assert last(start, new, visit(80, lesion("T", 13.0, merged=("N",)))).notes[-1] == STILL_NEW


def test_a_piece_of_what_is_no_lesion_is_equivocal_until_somebody_decides():
    start = visit(0, ("A", 12.0), no_lesion("P", 16.0))
    split = visit(30, ("A", 12.0), no_lesion("P", 10.0), lesion("B", 8.0, part_of="P"))
    later = visit(60, ("A", 12.0), no_lesion("P", 10.0), ("B", 14.0))
    answers = assess([start, split, later]).visits[1:]
    assert radiographic(start, split, later)[1:] == [SD, SD]
    assert [(answer.new_lesions, answer.equivocal_lesions) for answer in answers] == [((), ("B",))] * 2
    assert all("How B was followed is not sure" in answer.doubts for answer in answers)

    seen = assess([start, replace(split, verified=True), later]).visits[1:]
    assert [(answer.equivocal_lesions, answer.doubts) for answer in seen] == [(("B",), "")] * 2

    doubted = visit(60, ("A", 12.0), no_lesion("P", 10.0), lesion("B", 14.0, doubt=True))
    assert last(start, replace(split, verified=True), doubted).doubts, "one of its own"
    said = lesion("B", 8.0, part_of="P", judgement=Judgement.NEW)
    assert last(start, visit(30, ("A", 12.0), no_lesion("P", 10.0), said)).new_lesions == ("B",)
    # A visit without a date tells nothing of those that have one.
    apart, undated = (
        visit(30, ("A", 12.0), no_lesion("P", 10.0), ("B", 8.0)),
        replace(split, visit="undated", date=None),
    )
    assert assess([start, apart, undated]).visits[1].new_lesions == ("B",)

    known = visit(30, ("A", 12.0), no_lesion("P", 10.0), lesion("B", 8.0, part_of="P", target=False))
    assert radiographic(start, known, visit(60, ("A", 12.0), lesion("B", 14.0, target=False)))[1:] == [PD, PD]
    lesion_after_all = [visit(0, ("A", 12.0), ("P", 16.0)), visit(30, ("A", 12.0), ("P", 10.0), ("B", 8.0))]
    assert radiographic(*lesion_after_all)[1:] == [PD]


def test_a_piece_of_a_piece_of_what_is_no_lesion_is_one_of_that():
    start, split = visit(0, ("A", 12.0), no_lesion("P", 16.0)), no_lesion("B", 8.0, part_of="P")
    again = visit(60, ("A", 12.0), no_lesion("B", 5.0), lesion("C", 5.0, part_of="B"))
    assert radiographic(start, visit(30, ("A", 12.0), split), again)[1:] == [SD, SD]


def test_what_is_no_lesion_counts_for_nothing():
    with_it = [visit(0, ("A", 12.0), no_lesion("P", 16.0)), visit(30, ("A", 12.0), no_lesion("P", 40.0))]
    assert assess(with_it) == assess([visit(0, ("A", 12.0)), visit(30, ("A", 12.0))])


def test_a_doubt_is_said_and_changes_no_answer():
    baseline = visit(0, ("A", 20.0), ("B", 20.0))
    got = last(baseline, visit(60, lesion("A", 12.0, doubt=True), ("B", 12.0)))
    words = "How A was followed is not sure: a person should look at it before relying on the response."
    assert (got.radiographic.response, got.doubt, got.notes) == (PR, words, (words,))
    both = last(baseline, visit(60, lesion("A", 12.0, doubt=True), lesion("B", 12.0, doubt=True)))
    assert both.doubt.startswith("How A, B were followed is not sure: a person should look at them")
    # It is over with the visit, but for a lesion that is new only if the doubt is none.
    assert last(baseline, visit(60, lesion("A", 12.0, doubt=True)), visit(90, ("A", 12.0))).doubt == ""
    new = last(baseline, visit(60, ("A", 12.0), lesion("X", 9.0, doubt=True)), visit(90, ("A", 12.0), ("X", 9.0)))
    assert (new.radiographic.response, new.doubt[:27]) == (PD, "How X was followed is not s")
    assert assess([visit(0, lesion("A", 20.0, doubt=True))]).visits[0].doubt


def test_what_a_person_has_verified_is_no_doubt_and_told():
    baseline = visit(0, ("A", 20.0), ("B", 20.0))
    seen = replace(visit(60, lesion("A", 12.0, doubt=True)), gone_in_doubt=("B",), verified=True)
    words = "A person has looked at how A was followed and whether B has gone, and found it right."
    assert (last(baseline, seen).doubt, last(baseline, seen).notes) == ("", (words,))
    assert last(baseline, replace(visit(60, ("A", 12.0), ("B", 20.0)), verified=True)).notes == ()
    new = replace(visit(60, ("A", 12.0), lesion("X", 9.0, doubt=True)), verified=True)
    assert last(baseline, new, visit(90, ("A", 12.0), ("X", 9.0))).doubt == "", "what is new rests on it no longer"


def test_that_lesions_have_gone_may_be_in_doubt():
    baseline = visit(0, ("A", 20.0), ("B", 20.0))
    got = last(baseline, replace(visit(60), gone_in_doubt=("A", "B")))
    words = "Whether A, B have gone is not sure: a person should look at them before relying on the response."
    assert (got.radiographic.response, got.doubt, got.notes) == (CR, words, (words,))
    some = last(baseline, replace(visit(60, lesion("A", 12.0, doubt=True)), gone_in_doubt=("B",)))
    assert some.doubt.startswith("How A was followed and whether B has gone is not sure: a person should look at them")


A_AND_B = ("A", 20.0), ("B", 20.0)
GONE = replace(visit(60), gone_in_doubt=("A", "B"))
WITHOUT = "Without the visit of 2024-03-01, which is in doubt, the response on the images would be"


def test_a_progression_that_rests_on_a_visit_in_doubt_says_so():
    got = last(visit(0, *A_AND_B), GONE, visit(120, *A_AND_B))
    words = f"{WITHOUT} SD: a person should look at it before relying on this one."
    assert (got.radiographic.response, got.doubt, got.earlier_doubt, got.notes) == (PD, "", words, (words,))
    itself, later = (visit(day, lesion("A", 20.0, doubt=True), ("B", 20.0)) for day in (120, 180))
    assert assess([visit(0, *A_AND_B), GONE, itself, later]).visits[2].earlier_doubt == words, "of earlier visits alone"
    small = visit(60, lesion("A", 10.0, doubt=True), ("B", 20.0))
    assert last(visit(0, *A_AND_B), small, visit(120, *A_AND_B)).earlier_doubt == words, "it is compared with the nadir"
    other = visit(60, ("A", 20.0), lesion("N", 4.0, doubt=True))
    got = last(visit(0, ("A", 20.0), ("N", 9.0)), other, visit(120, ("A", 20.0), ("N", 11.0)))
    assert (got.radiographic.response, got.earlier_doubt) == (PD, words), "of a non-target lesion too"
    two = last(visit(0, *A_AND_B), GONE, replace(visit(90), gone_in_doubt=("A", "B")), visit(120, *A_AND_B))
    assert two.doubts.startswith("Without the visits of 2024-03-01, 2024-03-31, which are in doubt, the response on")


def test_who_has_looked_at_the_earlier_visit_ends_the_doubt_of_those_after_it():
    verified = replace(GONE, verified=True)
    got = assess([visit(0, *A_AND_B), verified, visit(120, *A_AND_B)])
    assert (present(got.visits[-1].radiographic).response, got.visits[-1].doubts) == (PD, "")
    assert (got.best_radiographic.response, got.best_radiographic.doubt) == (SD, "")


def test_a_visit_in_doubt_that_decides_nothing_is_none_of_those_after_it():
    # A progression without the nadir too; and one that there is none with it either.
    smaller = visit(60, lesion("A", 15.0, doubt=True), ("B", 20.0))
    for size, answer in ((40.0, PD), (18.0, SD)):
        got = last(visit(0, *A_AND_B), smaller, visit(120, ("A", size), ("B", 20.0)))
        assert (got.radiographic.response, got.doubts) == (answer, "")


def test_a_doubt_about_the_baseline_is_one_about_every_response():
    doubtful = visit(0, lesion("A", 20.0, doubt=True), ("B", 20.0))
    got = assess([doubtful, visit(60, ("A", 12.0), ("B", 12.0)), visit(120, ("A", 12.0), ("B", 12.0))])
    words = "The baseline of 2024-01-01 is in doubt: a person should look at it before relying on any response."
    assert [answer.earlier_doubt for answer in got.visits] == ["", words, words]
    assert [answer.notes[-1] for answer in got.visits[1:]] == [words, words]
    assert (got.best_radiographic.response, got.best_radiographic.doubt[-6:]) == (PR, "be NE.")
    assert last(replace(visit(0, ("A", 20.0)), gone_in_doubt=("B",)), GONE).earlier_doubt == words
    assert last(replace(doubtful, verified=True), visit(60, ("A", 12.0), ("B", 12.0))).doubts == ""


def test_a_best_response_that_rests_on_a_visit_in_doubt_says_so():
    later = replace(visit(90), gone_in_doubt=("A", "B"))
    got = assess([visit(0, *A_AND_B), visit(30, *A_AND_B), GONE, later])
    words = "Without the visits in doubt the best response would be SD."
    assert (got.best_radiographic.response, got.best_radiographic.doubt) == (CR, words)
    assert (got.best_overall.response, got.best_overall.doubt) == (CR, words)
    assert best_until(got, present(later.date)).doubt == words
    confirmed = assess([visit(0, *A_AND_B), visit(60), later]).best_radiographic
    assert (confirmed.response, confirmed.doubt) == (CR, words), "what confirms it is in doubt"


# --- new lesions


def test_new_is_what_was_not_there_at_the_baseline():
    visits = visit(0, ("T", 20.0)), visit(30, ("T", 20.0), ("X", 8.0)), visit(60, ("T", 20.0), ("X", 8.0))
    assert radiographic(*visits) == [None, PD, PD]
    assert [last(*visits[:count]).radiographic.reason for count in (2, 3)] == ["new lesion X"] * 2


def test_an_equivocal_lesion_that_is_confirmed_dates_progression_back():
    visits = visit(0, ("T", 20.0)), visit(30, ("T", 20.0), ("X", 2.0)), visit(60, ("T", 20.0), ("X", 2.5))
    assert radiographic(*visits) == [None, SD, SD]
    grown = assess([*visits, visit(90, ("T", 20.0), ("X", 6.0))])
    assert [present(a.radiographic).response for a in grown.visits[1:]] == [PD, PD, PD]
    assert "in doubt at first and confirmed on 2024-03-31" in present(grown.visits[1].radiographic).reason
    assert grown.best_radiographic.visit == "day 30"


def test_a_progression_that_is_dated_back_from_a_visit_in_doubt_says_so():
    dot, grown = visit(30, ("T", 20.0), ("X", 2.0)), visit(60, ("T", 20.0), lesion("X", 6.0, doubt=True))
    got = assess([visit(0, ("T", 20.0)), dot, grown])
    assert present(got.visits[1].radiographic).response is PD
    assert got.visits[1].doubt.startswith("How X was followed is not sure")
    assert got.best_radiographic.doubt == "Without the visits in doubt the best response would be NE."
    assert assess([visit(0, ("T", 20.0)), dot, replace(grown, verified=True)]).visits[1].doubt == ""
    # One that it does not date back to rests on nothing later.
    gone, small = visit(40, ("T", 20.0)), visit(50, ("T", 20.0), ("X", 2.0))
    got = assess([visit(0, ("T", 20.0)), dot, gone, small, grown])
    assert [bool(one.doubt) for one in got.visits] == [False, False, False, True, True]
    # A doubt that comes after it was confirmed is none of it.
    sure, later = visit(60, ("T", 20.0), ("X", 6.0)), visit(90, ("T", 20.0), lesion("X", 9.0, doubt=True))
    assert [one.doubt for one in assess([visit(0, ("T", 20.0)), dot, sure, later]).visits[:3]] == ["", "", ""]


def test_an_equivocal_lesion_that_had_gone_dates_nothing_back():
    first, gone = visit(30, ("T", 20.0), ("X", 2.0)), visit(60, ("T", 20.0))
    small, grown = visit(90, ("T", 20.0), ("X", 2.0)), visit(120, ("T", 20.0), ("X", 6.0))
    got = assess([visit(0, ("T", 20.0)), first, gone, small, grown])
    assert [present(a.radiographic).response for a in got.visits[1:]] == [SD, SD, PD, PD]
    assert [(a.new_lesions, a.equivocal_lesions) for a in got.visits[1:3]] == [((), ("X",)), ((), ())]
    assert got.best_radiographic.response is SD
    # It has not gone where it can't be assessed, is a part of another one, or another visit of the day shows it.
    hidden = visit(60, ("T", 20.0), ("X", None))
    within = visit(60, lesion("T", 22.0, merged=("X",)))
    failed = VisitFindings("failed", START + datetime.timedelta(days=60), None)
    for still_there in ([hidden], [within], [failed], [gone, visit(60, ("T", 20.0), ("X", 2.0), name="again")]):
        got = assess([visit(0, ("T", 20.0)), first, *still_there, grown])
        assert present(got.visits[1].radiographic).response is PD


def test_a_reader_may_doubt_a_lesion_or_not():
    def course(first, second):
        visits = [visit(0, ("T", 20.0)), visit(30, ("T", 20.0), first), visit(60, ("T", 20.0), second)]
        return radiographic(*visits)[1:]

    doubted, certain = Judgement.EQUIVOCAL, Judgement.NEW
    assert course(lesion("X", 8.0, judgement=doubted), lesion("X", 8.0, judgement=doubted)) == [SD, SD]
    assert course(lesion("X", 8.0, judgement=doubted), lesion("X", 8.0)) == [PD, PD]
    assert course(lesion("X", 2.0, judgement=certain), lesion("X", 2.0)) == [PD, PD]
    # What is said of lesions of another kind says nothing of this one.
    other = lesion("X", 2.0, judgement=Judgement.NO_PROGRESSION)
    assert course(other, other) == [SD, SD]


def test_limits_that_several_lesions_have_passed_are_told_once():
    baseline = visit(0, ("T", 20.0), ("M", 5.0), ("N", 5.0), ("O", 5.0), ("P", 5.0))
    said = [lesion(name, 6.0, judgement=Judgement.PROGRESSION) for name in "OP"]
    grown = visit(30, ("T", 20.0), ("M", 11.0), ("N", 16.0), *said)
    assert present(last(baseline, grown).radiographic).reason == (
        "a reader calls non-target O, P unequivocally progressive; "
        "non-target M grew from 5.00 mm to 11.00 mm; N grew from 5.00 mm to 16.00 mm "
        "(each at least 5 mm and 20 %, and now at least 10 mm long)"
    )


@pytest.mark.parametrize(
    ("given", "answer", "words"),
    [
        (lesion("X", 8.0, judgement=Judgement.EQUIVOCAL), SD, "X is equivocal as a new lesion"),
        (lesion("X", 2.0, judgement=Judgement.NEW), PD, "X is a new lesion beyond doubt"),
        (lesion("N", 16.0, judgement=Judgement.NO_PROGRESSION), SD, "N has not progressed unequivocally"),
    ],
)
def test_a_response_that_rests_on_a_reader_says_so(given, answer, words):
    baseline = visit(0, ("T", 20.0), ("N", 5.0))
    verdict = present(last(baseline, visit(30, ("T", 20.0), given)).radiographic)
    assert verdict.response is answer
    assert verdict.reason.endswith(f"; by a reader's judgement {words}")


def test_what_is_said_of_a_lesion_that_is_neither_new_nor_non_target_is_not_told():
    baseline = visit(0, ("T", 20.0), ("N", 5.0))
    for given in (lesion("T", 20.0, judgement=Judgement.NO_PROGRESSION), lesion("N", 5.0, judgement=Judgement.NEW)):
        assert "reader" not in present(last(baseline, visit(30, given)).radiographic).reason


def test_what_a_reader_said_holds_at_that_visit_only_also_where_the_next_cannot_measure_the_lesion():
    baseline = visit(0, ("T", 20.0), ("N", 5.0))
    said = lesion("N", 6.0, judgement=Judgement.PROGRESSION)
    judged = visit(30, ("T", 20.0), said, lesion("vessel", 20.0, refused=True))
    merged = visit(60, ("T", 20.0), lesion("vessel", 26.0, refused=True, merged=("N",)))
    assert radiographic(baseline, judged, merged) == [None, PD, SD]


@pytest.mark.parametrize(
    ("lesions", "judgeable"),
    [
        ([lesion("T", 20.0), lesion("N", 5.0), lesion("X", 8.0)], {"X": "new", "N": "non-target"}),
        ([lesion("T", 20.0), lesion("N", None), lesion("X", None)], {}),
        ([lesion("N", 25.0, merged=("T",)), lesion("X", 8.0)], {"X": "new"}),
        ([lesion("T", 25.0, merged=("X",)), lesion("N", 5.0)], {"N": "non-target"}),
        ([lesion("T", 20.0), lesion("X", 8.0, merged=("N",))], {"X": "non-target"}),
        ([lesion("T", 20.0), lesion("N", 5.0), lesion("P", 4.0, part_of="N")], {"N": "non-target", "P": "non-target"}),
    ],
)
def test_what_a_reader_can_say_is_what_has_an_effect(lesions, judgeable):
    of = {
        "new": (Judgement.NEW, Judgement.EQUIVOCAL),
        "non-target": (Judgement.PROGRESSION, Judgement.NO_PROGRESSION),
    }
    baseline = visit(0, ("T", 20.0), ("N", 5.0))
    course = assess([baseline, visit(30, *lesions)])
    assert [one.judgeable for one in course.visits] == [{}, {uid: of[kind] for uid, kind in judgeable.items()}]
    for given, said in itertools.product([one for one in lesions if one.longest_mm], Judgement):
        judged = [replace(one, judgement=said) if one is given else one for one in lesions]
        verdict = present(last(baseline, visit(30, *judged)).radiographic)
        has_effect = said in course.visits[1].judgeable.get(given.tracking_uid, ())
        assert ("reader" in verdict.reason) is has_effect, (given.tracking_uid, said)
    # By the repr it is told whether results are to be written again: not for what none of them says.
    assert repr(course.visits[1]) == repr(replace(course.visits[1], judgeable={}))


def test_immunotherapy():
    visits = visit(0, ("T", 20.0)), visit(60, ("T", 10.0), ("X", 8.0)), visit(120, ("T", 16.0), ("X", 8.0))
    assert radiographic(*visits) == [None, PD, PD]
    treated = [replace(one, immunotherapy=True) for one in visits]
    assert radiographic(*treated) == [None, SD, PD]  # growth still is
    got = assess(treated).visits[1]
    assert got.new_lesions == ("X",)
    assert "new under immunotherapy, and no progression on that ground alone: X" in present(got.radiographic).reason


@pytest.mark.parametrize(
    ("said", "holds"),
    [
        ([None, None, None, None], [False, False, False, False]),
        ([True, None, None, None], [True, True, True, True]),
        ([None, True, None, None], [False, True, True, True]),
        ([None, True, None, False], [False, True, True, False]),
        ([True, False, None, True], [True, False, False, True]),
    ],
)
def test_immunotherapy_holds_until_another_visit_says_otherwise(said, holds):
    visits = [visit(0, ("T", 20.0), immunotherapy=said[0])]
    visits += [visit(60 * k, ("T", 20.0), ("X", 8.0), immunotherapy=said[k]) for k in (1, 2, 3)]
    got = assess(visits[::-1])  # by date, whatever the order
    assert [one.immunotherapy for one in got.visits] == holds
    assert [present(one.radiographic).response for one in got.visits[1:]] == [SD if one else PD for one in holds[1:]]


def test_immunotherapy_is_taken_over_from_earlier_days_only():
    before = visit(0, immunotherapy=True)
    same_day = [visit(60, name="a"), visit(60, immunotherapy=False, name="b"), visit(60, name="c")]
    undated = [replace(visit(0, immunotherapy=said, name=f"undated {said}"), date=None) for said in (None, True)]
    later = visit(120)
    got = {one.visit: one.immunotherapy for one in assess([before, *same_day, *undated, later]).visits}
    assert got == {
        "day 0": True,
        "a": True,
        "b": False,
        "c": True,
        "day 120": False,
        "undated None": False,
        "undated True": True,
    }


@pytest.mark.parametrize("said", [(True, False), (False, True)])
def test_of_what_one_day_says_of_immunotherapy_the_last_holds(said):
    same_day = [visit(0, immunotherapy=one, name=name) for name, one in zip("ab", said, strict=True)]
    assert assess([*same_day, visit(60)]).visits[-1].immunotherapy is said[-1]


def test_what_was_said_before_the_baseline_holds():
    visits = visit(0, immunotherapy=True), visit(30, ("T", 20.0)), visit(60, ("T", 20.0), ("X", 8.0))
    assert last(*visits, baseline="day 30").radiographic.response is SD


# --- baselines


def test_a_baseline_without_a_measurable_lesion():
    baseline = visit(0, ("N", 6.0), ("M", 4.0))
    got = assess([baseline, visit(60, ("N", 6.0), ("M", 4.0)), visit(120, ("N", 3.0)), visit(150)])
    assert got.targets == ()
    assert [present(a.radiographic).response for a in got.visits[1:]] == [NEITHER, NEITHER, CR]
    assert got.visits[1].diameters is None
    assert got.visits[1].by_target_rule == {}
    assert radiographic(baseline, visit(60, ("N", None), ("M", 4.0)))[1] is NE
    assert radiographic(baseline, visit(60, ("N", 6.0), ("M", 4.0), ("X", 4.0)))[1] is PD


def test_no_lesion_at_all():
    got = assess([visit(0), visit(60), visit(120, ("X", 5.0))])
    assert [a.radiographic and a.radiographic.response for a in got.visits] == [None, NED, PD]
    assert got.best_radiographic.response is NED
    tolerated = visit(60, ("X", 5.0), immunotherapy=True), visit(120)
    assert assess([visit(0), *tolerated]).best_radiographic.response is NED, "better than that something remains"
    assert radiographic(visit(0), visit(60, ("X", 2.0)))[1] is NE


def test_no_visit_and_one_visit():
    nothing = assess([])
    assert (nothing.visits, nothing.baseline, nothing.best_overall.response) == ((), None, NE)
    one = assess([visit(0, ("A", 12.0))])
    assert (one.baseline, one.visits[0].role, one.visits[0].radiographic) == ("day 0", "baseline", None)
    assert present(one.visits[0].diameters).baseline == 12.0
    assert one.best_overall.response is NE


def test_the_baseline_is_the_first_assessed_visit():
    failed = VisitFindings("failed", START, None)
    got = assess([visit(90, ("A", 30.0)), visit(30, ("A", 30.0)), failed])
    assert [a.role for a in got.visits] == ["before baseline", "baseline", "follow-up"]
    assert got.visits[0].radiographic is None
    assert got.reason == "2024-01-31 is the first visit (no other was chosen)."


def test_without_a_baseline_nothing_is_claimed():
    got = assess([VisitFindings("failed", START, None), VisitFindings("undated", None, ())])
    assert got.baseline is None
    assert {a.role for a in got.visits} == {"unplaced"}
    assert (
        {present(a.radiographic).response for a in got.visits}
        == {present(a.overall).response for a in got.visits}
        == {NE}
    )
    assert "no assessed visit with a date to compare with" in present(got.visits[0].radiographic).reason


def test_a_baseline_by_hand():
    visits = [visit(0, ("A", 20.0)), visit(30, ("A", 30.0)), visit(90, ("A", 30.0))]
    assert present(assess(visits, baseline="day 30").visits[2].radiographic).response is SD
    with pytest.raises(HistoryError, match="day 31"):
        assess(visits, baseline="day 31")


# --- time


def test_visits_of_one_day_are_neither_nadir_nor_confirmation_nor_new_lesions_to_each_other():
    first, second = visit(0, ("A", 20.0), name="a"), visit(0, ("A", 20.0), ("B", 6.0), name="b")
    got = assess([first, second, visit(60, ("A", 20.0), ("B", 6.0))])
    assert got.baseline == "b"
    assert got.non_targets == ("B",)
    assert [a.radiographic and a.radiographic.response for a in got.visits] == [SD, None, SD]
    assert "another visit on this day" in got.visits[0].notes[0]

    start = visit(0, ("A", 30.0))
    one, other = visit(60, ("A", 20.0), name="x"), visit(60, ("A", 30.0), name="y")
    assert radiographic(start, one, other) == [None, PR, SD]  # y is not 50 % above x
    got = assess([start, one, other, visit(90, ("A", 31.0))])
    # A day's nadir is its larger sum: what one visit does not show may still be there.
    assert [present(a.radiographic).response for a in got.visits[1:]] == [PR, SD, SD]
    missed = visit(60, name="x"), visit(60, ("A", 30.0), name="y")
    assert radiographic(start, *missed, visit(90, ("A", 30.0)))[3] is SD


def test_a_lesion_that_only_the_other_baseline_shows_has_not_grown_from_nothing():
    day = visit(0, ("A", 20.0), ("B", 5.0), name="a"), visit(0, ("C", 12.0), name="b")
    got = assess([*day, visit(60, ("A", 20.0), ("B", 5.0), ("C", 12.0))])
    assert (got.baseline, got.non_targets) == ("a", ("B", "C"))
    assert present(got.visits[2].radiographic).response is SD


def test_a_visit_without_a_date_and_one_not_assessed():
    undated = VisitFindings("undated", None, (lesion("A", 5.0),), 0.0, STABLE)
    empty = VisitFindings("failed", START + datetime.timedelta(days=30), None, 0.0, STABLE)
    got = assess([undated, empty, visit(0, ("A", 20.0)), visit(60, ("A", 10.0))])
    assert [a.visit for a in got.visits] == ["day 0", "failed", "day 60", "undated"]
    assert [a.radiographic and a.radiographic.response for a in got.visits] == [None, NE, PR, NE]
    assert got.visits[1].diameters is None
    assert present(got.visits[3].radiographic).reason == "the visit has no date"
    # A patient who is worse has progressed, seen or not.
    worse = VisitFindings("failed", START + datetime.timedelta(days=30), None, None, WORSE)
    assert present(assess([visit(0, ("A", 20.0)), worse]).visits[1].overall).response is PD


def course(*sizes_by_day, steroids=0.0):
    """A lesion of 40 mm at the baseline, and its size on later days."""
    visits = [visit(0, ("A", 40.0))]
    visits += [visit(day, *([("A", size)] if size else []), steroids=steroids) for day, size in sizes_by_day]
    return assess(visits)


@pytest.mark.parametrize(
    ("sizes", "confirmed", "best"),
    [
        (((60, 20.0),), [None], SD),
        (((60, 20.0), (87, 20.0)), [None, None], SD),  # 27 days
        (((60, 20.0), (88, 20.0)), [True, None], PR),  # 28
        (((60, 20.0), (89, 20.0)), [True, None], PR),
        (((60, 20.0), (75, 23.0), (90, 20.0)), [True, None, None], PR),
        (((60, 20.0), (75, 36.0), (90, 20.0)), [False, None, None], SD),
        (((60, 26.0), (75, 29.0), (90, 26.0)), [False, None, None], SD),
        (((60, 20.0), (75, None), (104, None)), [True, True, None], CR),
        (((60, None), (90, None)), [True, None], CR),
        (((60, None), (80, 20.0)), [False, None], SD),  # CR, and PD by relapse
        (((60, 40.0), (120, 48.0)), [None, None], SD),
        (((60, 48.0), (120, 10.0), (180, 10.0)), [None, True, None], PD),  # what comes after progression is too late
    ],
)
def test_confirmation_and_best_response(sizes, confirmed, best):
    got = course(*sizes)
    assert [a.radiographic.confirmed for a in got.visits[1:]] == confirmed
    assert got.best_radiographic.response is best
    assert got.best_radiographic.reason


def test_confirmation_in_words():
    got = course((60, 26.0), (75, 29.0))
    assert got.visits[1].radiographic.confirmation == "PR was not sustained: SD on 2024-03-16, 15 days later"
    assert got.best_radiographic.reason == (
        "PR on 2024-03-01 counts as SD: PR was not sustained: SD on 2024-03-16, 15 days later."
    )
    assert "no visit at least 28 days later yet" in course((60, 20.0)).visits[1].radiographic.confirmation
    better = course((60, 20.0), (75, None), (80, 40.0)).best_radiographic
    assert better.reason.startswith("CR on 2024-03-16 counts as SD: CR was not sustained")


@pytest.mark.parametrize(("size", "worse"), [(26.0, PD), (22.0, SD), (None, None)])
@pytest.mark.parametrize("names", [("1", "2", "3"), ("3", "2", "1")])
def test_visits_of_one_day_that_disagree_confirm_nothing_in_whatever_order(size, worse, names):
    sizes = (20.0, size, 22.0 if size else None)
    same_day = [visit(120, ("A", one), name=name) for one, name in zip(sizes, names, strict=True)]
    got = assess([visit(0, ("A", 30.0)), visit(60, ("A", 20.0)), *same_day])
    confirmed = worse is None  # the other one can't be judged
    assert present(got.visits[1].radiographic).confirmed is confirmed
    assert str(PR if confirmed else worse) + " on 2024-04-30" in present(got.visits[1].radiographic).confirmation
    assert got.best_radiographic.response is (PR if confirmed else SD)


def test_the_best_response_so_far_knows_nothing_of_later_visits():
    got = course((60, 38.0), (90, None), (150, None))
    days = [START + datetime.timedelta(days=day) for day in (0, 60, 90, 150)]
    assert [best_until(got, day).response for day in days] == [NE, SD, SD, CR]
    assert got.best_overall == best_until(got, days[-1])


def test_a_visit_that_cannot_be_judged_does_not_break_a_response():
    visits = visit(0, ("A", 40.0)), visit(60, ("A", 20.0)), visit(75, ("A", None)), visit(90, ("A", 20.0))
    assert present(assess(visits).visits[1].radiographic).confirmed is True


def test_a_complete_response_that_went_on_as_a_partial_one():
    """All lesions stay away, but corticosteroids come back: CR did not last, PR did."""
    visits = visit(0, ("A", 40.0), steroids=4.0), visit(60), visit(90, steroids=2.0)
    got = assess(visits)
    assert [present(a.overall).response for a in got.visits[1:]] == [CR, PR]
    assert got.best_overall.response is PR
    assert got.best_radiographic.response is CR


def test_an_unconfirmed_complete_response_without_targets():
    assert assess([visit(0, ("N", 5.0)), visit(60)]).best_radiographic.response is NEITHER


def test_images_alone_never_make_an_overall_response():
    visits = [visit(0, ("A", 40.0), steroids=None, status=None)]
    visits += [visit(day, steroids=None, status=None) for day in (60, 120)]
    got = assess(visits)
    assert got.best_radiographic.response is CR
    assert [present(a.overall).response for a in got.visits[1:]] == [NE, NE]
    assert got.best_overall.response is NE
    assert got.visits[0].overall is None


def test_the_order_of_arrival_does_not_matter():
    visits = [
        visit(0, ("A", 20.0), ("B", 15.0), ("N", 5.0)),
        visit(30, ("A", 14.0), ("B", 10.0), ("N", 5.0)),
        visit(60, ("A", 14.0), lesion("B2", 5.0, part_of="B"), ("B", 5.0)),
        visit(90, lesion("A", 22.0, merged=("B", "B2"))),
        visit(120, ("A", 30.0), ("X", 2.0)),
        visit(150, ("A", 30.0), ("X", 9.0)),
        visit(150, ("A", 30.0), name="the same day"),
    ]
    expected = assess(visits)
    for seed in range(20):
        random.Random(seed).shuffle(visits)
        assert assess(visits) == expected
    assert json.dumps(asdict(expected), default=str)


@pytest.mark.parametrize(
    "given",
    [
        lambda: lesion("A", -1.0),
        lambda: lesion("A", float("nan")),
        lambda: lesion("A", 5.0, float("inf")),
        lambda: visit(0, ("A", 5.0), ("A", 6.0)),
        lambda: visit(0, steroids=-1.0),
        lambda: visit(0, steroids=float("inf")),
        lambda: assess([visit(0), visit(0)]),
        lambda: Rules(target_rule="largest"),  # type: ignore[arg-type]
        lambda: Rules(partial_percent=0),
        lambda: Rules(progressive_percent=float("nan")),
        lambda: Rules(maximum_targets=0),
    ],
)
def test_contradictions_are_refused(given):
    with pytest.raises(HistoryError):
        given()


def test_the_limits_of_a_fall_are_allowed():
    assert radiographic(visit(0, ("A", 20.0)), visit(60, ("A", 0.1)), rules=Rules(partial_percent=100))[1] is SD


def test_two_hundred_lesions_at_twenty_visits():
    visits = [visit(30 * n, *((f"L{k}", 5.0 + (k + n) % 20) for k in range(200))) for n in range(20)]
    assert len(assess(visits).visits) == 20


def test_a_response_on_the_day_of_a_progression_is_neither_confirmed_nor_the_best():
    visits = [
        visit(0, ("A", 40.0)),
        visit(30, ("A", 36.0)),
        visit(60, ("A", 20.0), name="day 60, morning"),
        visit(60, ("A", 20.0), ("X", 12.0), name="day 60, noon"),
    ]
    assert radiographic(*visits) == [None, SD, PR, PD]
    got = assess(visits)
    assert not present(got.visits[2].radiographic).confirmed
    assert (got.best_radiographic.response, got.best_radiographic.visit) == (SD, "day 30")


def test_a_response_is_not_confirmed_by_a_visit_of_its_own_day():
    visits = [
        visit(0, ("A", 40.0)),
        visit(60, ("A", 20.0), name="day 60, morning"),
        visit(60, ("A", 20.0), name="day 60, noon"),
    ]
    got = assess(visits, Rules(confirmation_days=0))
    assert [present(each.radiographic).confirmed for each in got.visits[1:]] == [None, None]


def test_a_visit_without_a_date_is_not_taken_to_be_under_the_immunotherapy_of_a_dated_one():
    dated = visit(0, ("A", 20.0), immunotherapy=True)
    undated = replace(visit(0, ("A", 20.0), name="undated"), date=None)
    assert [each.immunotherapy for each in carried([dated, undated])] == [True, False]


def test_of_lesions_of_one_diameter_the_larger_is_the_target():
    small, large = lesion("A", 12.0, 500.0), lesion("B", 12.0, 900.0)
    for baseline in ([small, large], [large, small]):
        assert choose_targets(baseline, 1) == ((large,), ())
