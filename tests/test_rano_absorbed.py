"""Which lesions have merged into others, and which have gone."""

from datetime import date, timedelta

from rano.absorbed import absorbed
from rano.history import LesionAtVisit, VisitFindings


def visits(*each):
    """Make visits, four weeks apart, of the lesions that they list."""
    start = date(2024, 1, 8)
    return [VisitFindings(f"visit {k}", start + timedelta(weeks=4 * k), lesions) for k, lesions in enumerate(each)]


def lesion(uid, **more):
    return LesionAtVisit(uid, 12.0, 900.0, **more)


def test_what_has_merged_stays_merged_until_it_is_seen_by_itself():
    both = (lesion("A"), lesion("B"))
    course = visits(both, (lesion("A", merged=("B",)),), (lesion("A"),), both)
    assert absorbed(course) == [{}, {"B": "A"}, {"B": "A"}, {}]


def test_what_a_merged_lesion_had_taken_in_is_where_that_is():
    course = visits(
        (lesion("A"), lesion("B"), lesion("C")),
        (lesion("A"), lesion("B", merged=("C",))),
        (lesion("A", merged=("B",)),),
    )
    assert absorbed(course) == [{}, {"C": "B"}, {"B": "A", "C": "A"}]


def test_what_has_gone_is_nowhere():
    assert absorbed(visits((lesion("A"), lesion("B", merged=("C",))), (lesion("A"),))) == [{"C": "B"}, {}]


def test_what_has_gone_but_for_a_part_has_not_merged_into_it():
    assert absorbed(visits((lesion("A"),), (lesion("A"), lesion("B", part_of="A")), (lesion("B"),))) == [{}, {}, {}]
