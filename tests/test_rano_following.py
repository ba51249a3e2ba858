"""Lesions followed from visit to visit: every kind of link, whatever order the visits arrive in."""

import datetime
import itertools
import re
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from benchmarks.following import simulate
from rano.coverage import Grid
from rano.following import thread
from rano.links import FollowedLesion, FollowedVisit, Status
from rano.pairing import Placed, assign, compare
from rano.rigid import RigidTransform
from rano.shape import LesionShape, lesion_shapes
from tests.present import present
from tests.reference_objects import sphere

STAYS = RigidTransform.identity()
START = datetime.date(2024, 1, 1)
SPACING = np.array([1.5, 0.9, 0.9])
AFFINE = np.array([[0, 0, 1, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1.0]]) @ np.diag([*SPACING, 1])


def shape(*given: tuple[float, float, float, float]) -> LesionShape:
    """One lesion made of balls, given as (x, y, z, diameter), on a grid of 1.5 x 0.9 x 0.9 mm."""
    balls = np.array(given, float)
    first = np.floor((balls[:, 2::-1] - balls[:, 3:]).min(axis=0) / SPACING).astype(int)
    size = np.ceil((balls[:, 2::-1] + balls[:, 3:]).max(axis=0) / SPACING).astype(int) - first
    affine = AFFINE.copy()
    affine[:3, 3] = affine[:3, :3] @ first
    points = np.moveaxis(np.indices(size), 0, -1) @ affine[:3, :3].T + affine[:3, 3]
    mask = np.any([np.linalg.norm(points - ball[:3], axis=-1) <= ball[3] / 2 for ball in balls], axis=0)
    (found,) = lesion_shapes(mask.astype(np.int32), affine)
    return found


def lesion(*balls, uid=None, fixed=False):
    return FollowedLesion(shape(*balls), uid, fixed)


def visit(day, *lesions, to_common=STAYS, trouble="", name=None, grid=None):
    date = START + datetime.timedelta(days=day)
    found = tuple(one if isinstance(one, FollowedLesion) else lesion(one) for one in lesions)
    return FollowedVisit(name or f"day {day}", date, found, to_common, trouble, grid)


def follow(*visits):
    return thread(visits, make_tracking_uid=lambda key: key)


def uids(links):
    return [link.tracking_uid for link in links.lesions]


def test_lesions_that_stay_grow_and_shrink_keep_their_uid():
    first = visit(0, (0, 0, 0, 10), (30, 0, 0, 6), (0, 40, 0, 20))
    second = visit(60, (0, 40, 1, 12), (0, 1, 0, 18), (31, 0, 0, 6))
    links = follow(first, second)
    assert [link.status for link in links[0].lesions] == [Status.NEW] * 3
    assert uids(links[0]) == ["day 0/1", "day 0/2", "day 0/3"]
    assert uids(links[1]) == ["day 0/3", "day 0/1", "day 0/2"]
    assert {link.status for link in links[1].lesions} == {Status.PERSISTING}
    assert not any(link.ambiguous for one in links for link in one.lesions)
    assert re.fullmatch(r"100% of the one near the other, centroids 1\.\d mm apart", links[1].lesions[0].reason)


def test_new_and_resolved_and_seen_again():
    links = follow(
        visit(0, (0, 0, 0, 10), (40, 0, 0, 8)),
        visit(30, (0, 0, 0, 10), (0, 40, 0, 5)),
        visit(60, (0, 0, 0, 10)),
        visit(90, (40, 0, 0, 8), (0, 0, 0, 10)),
    )
    assert uids(links[1]) == ["day 0/1", "day 30/2"]
    assert links[1].lesions[1].status is Status.NEW
    assert [(gone.tracking_uid, gone.status, gone.ambiguous) for gone in links[1].absent] == [
        ("day 0/2", Status.RESOLVED, False)
    ]
    assert not any(gone.ambiguous for gone in links[2].absent)
    assert [gone.tracking_uid for gone in links[2].absent] == ["day 30/2"]  # said once
    assert uids(links[3]) == ["day 0/2", "day 0/1"]
    assert links[3].lesions[0].reason.startswith("seen again after it had gone")


@pytest.mark.parametrize(("diameter", "doubted"), [(9, True), (7, True), (6, False)])
def test_a_lesion_that_one_visit_does_not_show_may_have_been_missed_there(diameter, doubted):
    first, without, again = visit(0, (40, 0, 0, 8)), visit(30), visit(60, (40, 0, 0, diameter))
    (gone,) = follow(first, without, again)[1].absent
    assert (gone.status, gone.ambiguous, "may have been missed" in gone.reason) == (Status.RESOLVED, doubted, doubted)
    # A second visit without it confirms that it had gone, but not one that does not cover it.
    assert not follow(first, without, visit(45), again)[1].absent[0].ambiguous
    elsewhere = visit(45, grid=box((-80, -80, -80), (0, 80, 80)))
    assert follow(first, without, elsewhere, again)[1].absent[0].ambiguous is doubted
    assert not follow(first, without, visit(60, (-40, 0, 0, diameter)))[1].absent[0].ambiguous
    # Visits of one day are one point in time: both may have missed it.
    links = follow(first, without, visit(30, name="day 30 again"), again)
    assert [one.ambiguous for found in links[1:3] for one in found.absent] == [doubted, doubted]
    links = follow(first, without, visit(45), visit(45, name="day 45 again"))
    assert [len(one.absent) for one in links] == [0, 1, 0, 0], "that it has gone is said once"


def test_a_lesion_may_be_missed_more_than_once():
    there, without = (visit(day, (40, 0, 0, 8)) for day in (0, 60)), (visit(day) for day in (30, 90))
    links = follow(*there, *without, visit(120, (40, 0, 0, 8)))
    assert [gone.ambiguous for one in links for gone in one.absent] == [True, True]


def box(low, high, voxel=2.0):
    """A grid from one corner to the other, in mm."""
    affine = np.diag([voxel, voxel, voxel, 1.0])
    affine[:3, 3] = np.array(low) + voxel / 2
    return Grid(affine, tuple(((np.array(high) - low) / voxel).astype(int).tolist()))


WIDE = box((-80, -80, -80), (80, 80, 80))


def test_a_lesion_outside_the_images_has_not_gone():
    first = visit(0, (0, 0, 0, 10), (0, 0, 40, 8), grid=WIDE)
    lower = visit(30, (0, 0, 0, 12), grid=box((-80, -80, -80), (80, 80, 40)))
    links = follow(first, lower, visit(60, (0, 0, 0, 12), (0, 0, 40, 9), grid=WIDE), visit(90, grid=WIDE))
    (missed,) = links[1].absent
    assert (missed.tracking_uid, missed.status, missed.ambiguous) == ("day 0/2", Status.NOT_COVERED, False)
    assert re.fullmatch(r"only \d\d?% of where it was lies well within the images", missed.reason)
    assert uids(links[2]) == ["day 0/1", "day 0/2"]
    assert not links[2].lesions[1].reason.startswith("seen again")
    assert {one.status for one in links[3].absent} == {Status.RESOLVED}


def test_a_point_is_covered_from_the_far_side_of_the_outermost_voxels_on():
    grid = box((0, 0, 0), (20, 20, 20))  # voxels of 2 mm
    points = np.array([[x, 10, 10] for x in (-1, 1, 1.9, 2.1, 10, 17.9, 18.1, 21)], float)
    assert [grid.share_within(point[None]) for point in points] == [0, 0, 0, 1, 1, 1, 0, 0]
    assert [grid.cuts(point[None]) for point in points] == [True, True, True, False, False, False, True, True]


@pytest.mark.parametrize(("top", "status"), [(30, Status.NOT_COVERED), (44, Status.NOT_COVERED), (48, Status.RESOLVED)])
def test_what_lies_at_the_edge_of_the_images_is_not_covered_either(top, status):
    """The lesion reaches from 36 to 44 mm."""
    links = follow(visit(0, (0, 0, 40, 8), grid=WIDE), visit(30, grid=box((-80, -80, -80), (80, 80, top), voxel=4.0)))
    assert [one.status for one in links[1].absent] == [status]


def test_that_a_lesion_is_still_gone_takes_images_of_its_place():
    first = visit(0, (0, 0, 0, 10), (0, 0, 40, 8), grid=WIDE)
    later = visit(60, (0, 0, 0, 10), grid=box((-80, -80, -80), (80, 80, 20)))
    links = follow(first, visit(30, (0, 0, 0, 10), grid=WIDE), later, visit(90, (0, 0, 0, 10), grid=WIDE))
    assert [[one.status for one in found.absent] for found in links] == [
        [], [Status.RESOLVED], [Status.NOT_COVERED], []
    ]  # fmt: skip


def test_what_the_images_cover_is_asked_in_their_own_coordinates():
    up = RigidTransform(np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 50], [0, 0, 0, 1.0]]))
    low = box((-80, -80, -80), (80, 80, 20))
    first = visit(0, (0, 0, 40, 8), grid=WIDE)
    assert follow(first, visit(30, grid=low, to_common=up))[1].absent[0].status is Status.RESOLVED
    assert follow(first, visit(30, grid=low))[1].absent[0].status is Status.NOT_COVERED
    # Of a visit that is not registered nothing is known.
    assert follow(first, visit(30, grid=low, to_common=None))[1].absent[0].status is Status.RESOLVED


UNSEEN = "no earlier lesion here; no earlier images show this place"


@pytest.mark.parametrize("known", [[(0, 0, 0, 10)], []])
def test_a_lesion_where_no_earlier_images_are_may_not_be_new(known):
    slab, up = box((-80, -80, -80), (80, 80, 20)), (0, 0, 40, 8)
    first, later = visit(0, *known, grid=slab), visit(60, *known, up, grid=WIDE)

    def found(*earlier, late=later):
        link = follow(*earlier, late)[-1].lesions[-1]
        return link.status, link.ambiguous, link.reason

    assert found(first) == (Status.NEW, True, UNSEEN)
    assert found(first, visit(60, *known, grid=WIDE, name="another of that day")) == (Status.NEW, True, UNSEEN)
    sure = Status.NEW, False, "no earlier lesion here"
    assert found(first, visit(30, *known, grid=WIDE)) == sure, "one that shows the place is enough"
    assert found(visit(0, *known)) == sure, "where it is not known what the images show, they show all"
    # One that is not registered tells of no place whether it shows it.
    assert found(first, visit(30, *known, grid=WIDE, to_common=None)) == (Status.NEW, True, UNSEEN)
    # What that day shows is no earlier lesion: nothing is new then.
    assert not found(replace(first, date=later.date))[1]
    said = lesion(up, uid="mine", fixed=True)
    assert not found(first, late=visit(60, *known, said, grid=WIDE))[1]


def test_a_lesion_at_the_edge_of_the_images_may_be_cut_off():
    first, cut = visit(0, (0, 0, 0, 10), (0, 0, 16, 8), grid=WIDE), box((-80, -80, -80), (80, 80, 20))
    inner, edge = follow(first, visit(30, (0, 0, 0, 10), (0, 0, 16, 8), grid=cut))[1].lesions
    assert (inner.ambiguous, edge.ambiguous) == (False, True)
    assert edge.reason.endswith("it is at the edge of the images, where a part of it may be cut off")
    said = visit(30, (0, 0, 0, 10), lesion((0, 0, 16, 8), uid="mine", fixed=True), grid=cut)
    assert not follow(first, said)[1].lesions[1].ambiguous


def test_split_and_merged():
    whole = lesion((0, 0, 0, 12), (10, 0, 0, 10))
    parts = visit(60, (0, 0, 0, 9), (10, 0, 0, 6))
    apart = (10, 0, 0, 8), (0, 0, 0, 9)
    links = follow(visit(0, whole), parts, visit(120, whole), visit(180, *apart), visit(240, *apart))
    assert uids(links[1]) == ["day 0/1", "day 60/2"]
    assert (links[1].lesions[1].status, links[1].lesions[1].part_of) == (Status.SPLIT, "day 0/1")
    merged = links[2].lesions[0]
    assert (merged.tracking_uid, merged.status, merged.merged) == ("day 0/1", Status.MERGED, ("day 60/2",))
    assert [(gone.tracking_uid, gone.status, gone.into) for gone in links[2].absent] == [
        ("day 60/2", Status.MERGED, "day 0/1")
    ]
    # Apart again, both are who they were.
    assert uids(links[3]) == ["day 60/2", "day 0/1"]
    assert links[3].lesions[0].status is Status.SPLIT
    assert {link.status for link in links[4].lesions} == {Status.PERSISTING}
    doubted = [link.reason for one in links for link in [*one.lesions, *one.absent] if link.ambiguous]
    assert not doubted


def test_parts_and_what_has_merged_go_by_tracking_uid():
    known = visit(0, lesion((0, 0, 0, 9), uid="A"), lesion((10, 0, 0, 6), uid="B"))
    links = follow(known, visit(60, lesion((0, 0, 0, 12), (10, 0, 0, 10))))[1]
    assert (links.lesions[0].merged, links.absent[0].into) == (("B",), "A")
    whole = visit(0, lesion((0, 0, 0, 12), (10, 0, 0, 10), uid="A"))
    assert follow(whole, visit(60, (0, 0, 0, 9), (10, 0, 0, 6)))[1].lesions[1].part_of == "A"


def test_what_splits_from_a_lesion_that_may_never_have_gone_is_for_a_person_to_judge():
    whole, neighbour = lesion((0, 0, 0, 12), (10, 0, 0, 10)), (0, 9.5, 0, 5)
    links = follow(visit(0, whole, neighbour), visit(60, neighbour), visit(120, (0, 0, 0, 9), (10, 0, 0, 6), neighbour))
    (gone,) = links[1].absent
    assert (gone.tracking_uid, gone.ambiguous) == ("day 0/1", True)
    part = links[2].lesions[1]
    assert (part.status, part.part_of, part.ambiguous) == (Status.SPLIT, "day 0/1", True)
    assert "not sure that it had gone" in part.reason


def test_what_has_merged_is_in_the_lesion_that_covers_most_of_its_place():
    first = visit(0, BALL, (10, 0, 0, 8), (20, 0, 0, 8))
    links = follow(first, visit(60, lesion((0, 0, 0, 14), (8.8, 0, 0, 7)), (17.5, 0, 0, 10)))
    assert [link.merged for link in links[1].lesions] == [("day 0/2",), ()]


def test_what_has_merged_lies_where_the_other_one_is():
    """Whether a visit covers its place, nobody need be told beside that."""
    parts = visit(0, (0, 0, 0, 9), (10, 0, 0, 6), grid=WIDE)
    merged, low = visit(60, lesion((0, 0, 0, 12), (10, 0, 0, 10)), grid=WIDE), box((-80, -80, -80), (80, 80, -20))
    (missed,) = follow(parts, merged, visit(120, grid=low))[2].absent
    assert (missed.tracking_uid, missed.status) == ("day 0/1", Status.NOT_COVERED)


def test_the_larger_of_two_that_merge_lives_on():
    links = follow(visit(0, (0, 0, 0, 6), (8, 0, 0, 12)), visit(60, lesion((0, 0, 0, 8), (8, 0, 0, 13))))
    assert uids(links[1]) == ["day 0/2"]
    assert links[1].lesions[0].merged == ("day 0/1",)


def test_a_remnant_far_out_in_a_lesion_of_long_ago_is_a_part_of_it_for_a_person_to_judge():
    big = lesion((0, 0, 0, 12), (12, 0, 0, 12))
    small = (0, 0, 0, 8)
    links = follow(visit(0, big), visit(60, small), visit(90, small), visit(120, small, (14, 0, 0, 5)))
    part = links[3].lesions[1]
    assert (part.status, part.part_of, part.ambiguous) == (Status.SPLIT, "day 0/1", True)


def test_neighbours_are_not_swapped():
    links = follow(visit(0, (0, 0, 0, 4), (7, 0, 0, 4)), visit(60, (8.2, 0, 0, 4), (1.2, 0, 0, 4)))
    assert uids(links[1]) == ["day 0/2", "day 0/1"]
    # Both have moved: two lesions that go together somewhat are more than one that goes together well.
    links = follow(visit(0, (0, 0, 0, 4), (4.2, 0, 0, 4)), visit(60, (3.8, 0, 0, 4), (8, 0, 0, 4)))
    assert uids(links[1]) == ["day 0/1", "day 0/2"]


@pytest.mark.parametrize(
    ("second", "why"),
    [
        ([(3.6, 0, 0, 4)], "only .*% of either lies where the other is"),
        ([(2, 0, 0, 4), (-2.4, 0, 0, 4)], "another way to pair"),
        ([(5, 0, 0, 12)], "differ much|only"),
    ],
)
def test_what_is_not_sure_is_for_a_person_to_judge(second, why):
    links = follow(visit(0, (0, 0, 0, 4)), visit(60, *second))
    doubted = [link.reason for link in links[1].lesions if link.ambiguous]
    assert any(re.search(why, reason) for reason in doubted), links[1]


def test_a_second_visit_of_the_first_day_is_compared_with_the_first():
    links = follow(visit(0, (0, 0, 0, 6)), visit(0, (0, 0, 0, 6), (5.5, 0, 0, 5), name="day 0 again"))
    assert [link.ambiguous for link in links[1].lesions] == [False, True]


def test_a_lesion_that_went_next_to_one_that_came():
    links = follow(visit(0, (0, 0, 0, 4)), visit(60, (7.5, 0, 0, 4)))
    assert (links[1].lesions[0].status, links[1].lesions[0].ambiguous) == (Status.NEW, True)
    assert (links[1].absent[0].status, links[1].absent[0].ambiguous) == (Status.RESOLVED, True)
    assert "has just gone" in links[1].lesions[0].reason
    assert "a new lesion close to it" in links[1].absent[0].reason


HERE, THERE, BALL = (0, 0, 0, 10), (10, 0, 0, 6), (0, 0, 0, 12)
TWINS = [(0, 0, 0, 10), (9, 0, 0, 10)]
TWO = "they may be two lesions close to each other"


def reasons(*visits):
    """Give the reasons of the last visit's links in doubt, of lesions and absences, by the number in their key."""
    links = follow(*visits)[-1]
    return {one.tracking_uid: one.reason for one in [*links.lesions, *links.absent] if one.ambiguous}


@pytest.mark.parametrize(
    ("visits", "doubted", "why"),
    [
        ([[(0, 0, 0, 5)], [(2.9, 0, 0, 5)]], "day 0/1", TWO),
        # One that had gone may lie no further off, however large it is.
        ([[BALL], [], [], [(3, 0, 0, 12)]], "day 0/1", TWO),
        ([[(0, 0, 0, 4)], [(7.5, 0, 0, 4)], [(0, 0, 0, 4), (7.5, 0, 0, 4)]], "day 0/1", "not sure that it had gone"),
        # What has grown meanwhile may have covered it.
        ([[HERE, THERE], [HERE], [(0, 0, 0, 14)], [HERE, THERE]], "day 0/2", "not sure that it had gone"),
        ([[(0, 0, 0, 10), (8, 0, 0, 5)], [BALL]], "day 0/1", "may have merged with another one next to it"),
        ([[(0, 0, 0, 10), (8, 0, 0, 5)], [(0, 0, 0, 10)], [BALL]], "day 0/1", "may cover another one .* that had gone"),
        (
            [[(0, 0, 0, 10), (10, 0, 0, 8)], [(0, 0, 0, 18), (13, 0, 0, 7)]],
            "day 0/1",
            "covers part of the place of anoth",
        ),
        ([[(0, 0, 0, 10), (9, 0, 0, 8)], [BALL, (10.5, 0, 0, 5)]], "day 0/1", "part of another one .* become smaller"),
        ([[BALL, (14, 0, 0, 8)], [(4.5, 0, 0, 12), (16, 0, 0, 8)]], "day 0/1", "moved by 4.. mm, next to another one"),
        ([[(0, 0, 0, 6)], [(0, 0, 0, 6), (6.5, 0, 0, 5)]], "day 1/2", "there was another lesion next to where it is"),
        ([[(0, 0, 0, 6)], [(6, 0, 0, 5)]], "day 1/1", "there was another lesion next to where it is"),
        (
            [[(0, 0, 0, 6), (5, 0, 0, 6)], [(2.5, 3.2, 0, 6), (2.5, -3.2, 0, 6)]],
            "day 0/1",
            "another way to pair the les",
        ),
        ([[(0, 0, 0, 14), (9, 0, 0, 3.5)], [(0, 0, 0, 25)]], "day 0/1", "too small to tell"),
        ([[(0, 0, 0, 14), (9, 0, 0, 3.5)], [(0, 0, 0, 25)]], "day 0/2", "too small to tell"),
        (
            [[BALL, (10, 0, 0, 8)], [lesion((0, 0, 0, 14), (8.8, 0, 0, 7))]],
            "day 0/2",
            "^7.% of where it was belongs to another",
        ),
        (
            [[BALL, (10, 0, 0, 8)], [lesion((5, 0, 0, 12), (10, 0, 0, 9))]],
            "day 0/1",
            "only 4.% of .* merged with another",
        ),
        (
            [[lesion(BALL, (10, 0, 0, 10))], [(0, 0, 0, 9), (13, 0, 0, 8)]],
            "day 1/2",
            "^7.% of it lies where an earlier",
        ),
    ],
)
def test_what_lies_near_makes_a_link_doubtful(visits, doubted, why):
    found = reasons(*(visit(day, *lesions) for day, lesions in enumerate(visits)))
    assert re.search(why, found[doubted])


@pytest.mark.parametrize(
    "visits",
    [
        [[BALL], [(3, 0, 0, 12)]],
        [[BALL], [(3, 0, 0, 6)]],
        # Which of two alike the whole goes by, and which of its parts goes by it, is no question.
        [TWINS, [lesion(*TWINS)]],
        [TWINS, [lesion(*TWINS)], [(6.5, 0, 0, 11)]],
        [[lesion(*TWINS)], [(0, 0, 0, 9), (9, 0, 0, 8)]],
        [[(0, 0, 0, 4)], [], [(7.5, 0, 0, 4)]],  # it had gone long ago
        [[(0, 0, 0, 4), (7.5, 0, 0, 4)], [(7.5, 0, 0, 4)]],  # what is near is no new lesion
        [[(0, 0, 0, 4)], [lesion((7.5, 0, 0, 4), uid="X", fixed=True)]],
        [[(0, 0, 0, 6)], [], [], [(6, 0, 0, 5)], [(0, 0, 0, 6), (6, 0, 0, 5)]],
    ],
)
def test_what_lies_near_makes_no_link_doubtful_where_it_explains_nothing(visits):
    assert not reasons(*(visit(day, *lesions) for day, lesions in enumerate(visits)))


def test_visits_lie_differently_and_are_matched_in_common_coordinates():
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_euler("xyz", [15, -10, 12], degrees=True).as_matrix()
    turn[:3, 3] = [20, -15, 8]
    pose = RigidTransform(turn)
    centres = np.array([[0, 0, 0.0], [30, 10, 0], [-20, 40, 30], [10, -50, 20]])
    moved = [(*point, 7) for point in pose.apply(centres)]
    first = visit(0, *[(*point, 7) for point in centres])
    links = follow(first, visit(60, *reversed(moved), to_common=pose.inverse()))
    assert uids(links[1]) == ["day 0/4", "day 0/3", "day 0/2", "day 0/1"]
    assert {link.status for link in links[1].lesions} == {Status.PERSISTING}


def test_a_visit_that_is_not_registered_is_matched_as_it_lies_and_all_of_it_doubted():
    lost = visit(30, (0, 0, 0, 10), (60, 0, 0, 8), to_common=None, trouble="registration failed: no head is seen")
    links = follow(
        visit(0, (0, 0, 0, 10), (30, 0, 0, 10)), lost, visit(60, (0, 0, 0, 10), (30, 0, 0, 10), (60, 0, 0, 8))
    )
    assert uids(links[1]) == ["day 0/1", "day 30/2"]
    everything = [*links[1].lesions, *links[1].absent]
    assert len(everything) == 3
    assert all(one.ambiguous and "registration failed: no head is seen" in one.reason for one in everything)
    # Later visits go by the registered ones.
    assert uids(links[2]) == ["day 0/1", "day 0/2", "day 60/3"]
    assert not any(link.ambiguous for link in links[2].lesions)
    assert [link.status for link in links[2].lesions] == [Status.PERSISTING, Status.PERSISTING, Status.NEW]


def test_a_visit_that_is_registered_in_doubt_is_followed_with_all_of_it_doubted():
    doubtful = visit(30, (0, 0, 0, 10), (60, 0, 0, 8), trouble="their edges differ")
    links = follow(
        visit(0, (0, 0, 0, 10), (30, 0, 0, 10)), doubtful, visit(60, (0, 0, 0, 10), (60, 0, 0, 8), (0, 40, 0, 6))
    )
    everything = [*links[1].lesions, *links[1].absent]
    assert len(everything) == 3
    words = "not sure: the visit is not surely placed (their edges differ)"
    assert all(one.ambiguous and one.reason.endswith(words) for one in everything)
    assert uids(links[2]) == ["day 0/1", "day 30/2", "day 60/3"], "later visits go by it too"
    assert not any(link.ambiguous for link in links[2].lesions)


def test_what_a_person_said_of_a_visit_that_is_not_registered_is_not_doubted():
    said = visit(30, lesion((0, 0, 0, 10), uid="mine", fixed=True), (40, 0, 0, 8), to_common=None, trouble="noise")
    first, second = follow(visit(0, lesion((0, 0, 0, 10), uid="mine")), said)[1].lesions
    assert (first.reason, first.ambiguous, second.ambiguous) == ("a person said so", False, True)


def test_an_older_visit_that_arrives_late_joins_the_lesions_that_are_known():
    second = visit(60, lesion((0, 0, 0, 10), uid="A"), lesion((30, 0, 0, 10), uid="B"))
    third = visit(120, lesion((0, 0, 0, 12), uid="A"), lesion((0, 30, 0, 6), uid="C"))
    late = visit(0, (30, 0, 0, 9), (0, 30, 0, 7), (-30, 0, 0, 5))
    links = follow(third, late, second)
    assert [one.visit for one in links] == ["day 0", "day 60", "day 120"]
    assert uids(links[0]) == ["B", "C", "day 0/3"]
    assert uids(links[1]) == ["A", "B"]
    assert uids(links[2]) == ["A", "C"]
    assert links[1].lesions[0].status is Status.NEW
    assert "seen again" in links[2].lesions[1].reason


def test_one_lesion_that_went_by_two_uids_gets_the_one_most_of_its_visits_have():
    visits = [visit(30 * n, lesion((0, 0, 0, 10), uid=uid)) for n, uid in enumerate(["old", "one", "one"])]
    assert {uid for one in follow(*visits) for uid in uids(one)} == {"one"}
    tied = [visit(30 * n, lesion((0, 0, 0, 10), uid=uid)) for n, uid in enumerate(["old", "one"])]
    assert {uid for one in follow(*tied) for uid in uids(one)} == {"old"}


def test_two_lesions_never_share_a_uid():
    mistaken = visit(0, lesion((0, 0, 0, 10), uid="A"), lesion((40, 0, 0, 10), uid="A"))
    assert uids(follow(mistaken)[0]) == ["A", "day 0/2"]


def test_the_same_answer_in_every_order_of_arrival():
    visits = [
        visit(0, (0, 0, 0, 10), (30, 0, 0, 8)),
        visit(60, lesion((0, 0, 0, 12), (9, 0, 0, 8)), (30, 0, 0, 8)),
        visit(120, (0, 0, 0, 8), (9, 0, 0, 6), (0, 50, 0, 5)),
        visit(120, (30, 0, 0, 8), name="the same day"),
    ]
    expected = follow(*visits)
    assert all(follow(*order) == expected for order in itertools.permutations(visits))


def test_what_a_person_said_goes_before_what_was_found():
    def course(*said):
        return [visit(0, lesion((0, 0, 0, 10), uid="A"), lesion((40, 0, 0, 10), uid="B")), *said]

    # It is the other one, wherever it lies.
    links = follow(*course(visit(60, lesion((0, 0, 0, 10), uid="B", fixed=True)), visit(120, (0, 0, 0, 10))))
    assert (uids(links[1]), uids(links[2])) == (["B"], ["B"])
    assert (links[1].lesions[0].reason, links[1].lesions[0].ambiguous) == ("a person said so", False)
    assert [gone.tracking_uid for gone in links[1].absent] == ["A"]
    # It is neither.
    links = follow(*course(visit(60, lesion((0, 0, 0, 10), uid="X", fixed=True))))
    assert (uids(links[1]), links[1].lesions[0].status) == (["X"], Status.NEW)
    # Its name holds against any number of others.
    visits = [visit(30 * n, lesion((0, 0, 0, 10), uid="A")) for n in range(4)]
    links = follow(*visits, visit(150, lesion((0, 0, 0, 10), uid="A", fixed=True)))
    assert {uid for one in links for uid in uids(one)} == {"A"}
    with pytest.raises(ValueError, match="both said to be A"):
        follow(visit(0, lesion((0, 0, 0, 9), uid="A", fixed=True), lesion((40, 0, 0, 9), uid="A", fixed=True)))


def test_of_lesions_of_one_uid_a_person_means_the_one_that_most_say_is_it():
    here, there, far = (0, 0, 0, 10), (40, 0, 0, 10), (0, 60, 0, 10)

    def named(*balls, fixed=()):
        return [lesion(ball, uid=uid, fixed=ball in fixed) for ball, uid in balls]

    # The one that a person gave it before, whatever others are called.
    first = visit(0, *named((here, "A"), (there, "A"), fixed=[there]))
    more = [visit(day, *named((here, "A"))) for day in (10, 20, 30)]
    links = follow(first, *more, visit(60, *named((far, "A"), fixed=[far])))
    assert (uids(links[0])[1], uids(links[0])[0] != "A", uids(links[-1])) == ("A", True, ["A"])
    # Else the one that it was most often.
    second = visit(30, *named((there, "A"))), visit(60, *named((there, "A")))
    links = follow(visit(0, *named((here, "A"), (there, "B"))), *second, visit(90, *named((far, "A"), fixed=[far])))
    assert [uids(one)[-1] for one in links] == ["A"] * 4
    # But none that a person has given another.
    first = visit(0, *named((here, "X"), fixed=[here])), visit(30, *named((here, "A")))
    links = follow(*first, visit(60, *named((far, "A"), fixed=[far])))
    assert [uids(one) for one in links] == [["X"], ["X"], ["A"]]


def test_what_a_person_said_of_one_lesion_leaves_its_old_place_to_nobody():
    first = visit(0, lesion((0, 0, 0, 10), uid="A"), lesion((40, 0, 0, 10), uid="B"))
    links = follow(first, visit(60, lesion((0, 0, 0, 10), uid="B", fixed=True), (40, 0, 0, 10)))
    assert uids(links[1]) == ["B", "day 60/2"]


def test_others_may_have_merged_into_a_lesion_that_a_person_decided_about():
    first, second = ((0, 0, 0, 20), (14, 0, 0, 8)), ((0, 0, 0, 22), (13, 0, 0, 9))

    def course(uid, fixed):
        start = visit(0, lesion(first[0], uid="A", fixed=fixed), lesion(first[1], uid="C"))
        return follow(start, visit(60, lesion(*second, uid=uid, fixed=True)))[1]

    for uid, fixed in (("A", True), ("A", False), ("X", False)):
        (link,), absent = course(uid, fixed).lesions, course(uid, fixed).absent
        assert (link.tracking_uid, link.status, link.merged) == (uid, Status.MERGED, ("C",))
        assert link.reason.startswith("a person said so; merged with another")
        # That it is another one than what was there before is what they said: that has not merged into it.
        gone = [("A", Status.RESOLVED)] if uid == "X" else []
        assert [(one.tracking_uid, one.status) for one in absent] == [*gone, ("C", Status.MERGED)]
    lost = visit(60, lesion(*second, uid="A", fixed=True), to_common=None, trouble="noise")
    links = follow(visit(0, lesion(first[0], uid="A"), lesion(first[1], uid="C")), lost)[1]
    assert (links.lesions[0].merged, links.absent[0].status, links.absent[0].ambiguous) == ((), Status.RESOLVED, True)


def test_nothing_to_follow():
    assert follow() == ()
    links = follow(visit(0), visit(30, (0, 0, 0, 10)), visit(60))
    assert [len(one.lesions) for one in links] == [0, 1, 0]
    assert links[1].lesions[0].status is Status.NEW
    assert [gone.tracking_uid for gone in links[2].absent] == ["day 30/1"]


def test_a_visit_without_a_date_comes_last():
    undated = FollowedVisit("undated", None, (lesion((0, 0, 0, 10)),), STAYS)
    links = follow(undated, visit(30, (0, 0, 0, 10)))
    assert [one.visit for one in links] == ["day 30", "undated"]
    assert uids(links[1]) == ["day 30/1"]


def test_fresh_uids_are_dicom_uids():
    (links,) = thread([visit(0, (0, 0, 0, 10), (40, 0, 0, 10))])
    assert all(re.fullmatch(r"2\.25\.[1-9]\d{0,38}", uid) for uid in uids(links))
    assert len(set(uids(links))) == 2


def test_two_hundred_lesions():
    spots = [(x, y, z, 4) for x in range(0, 100, 12) for y in range(0, 60, 12) for z in range(0, 60, 12)][:200]
    links = follow(visit(0, *spots), visit(60, *reversed(spots)))
    assert uids(links[1]) == list(reversed(uids(links[0])))


def test_simulated_patients():
    figures = simulate(40, seed=20)
    assert figures.links > 1000
    assert all(figures.kinds[kind] > 5 for kind in ("new", "persisting", "resolved", "merged", "split")), figures
    assert figures.right >= 0.99, figures
    assert figures.wrong_unflagged == 0, figures
    assert figures.flagged < 0.06 * figures.links, figures


def test_links_broken_on_purpose_are_counted_as_wrong(monkeypatch):
    """The measure can fail: without knowing how the heads lie, lesions are lost."""
    monkeypatch.setattr("rano.visit_pairing.Placed", lambda shape, to_common: Placed(shape, RigidTransform.identity()))
    assert simulate(3, seed=20).right < 0.6


# --- shapes


@pytest.mark.parametrize("diameter", [1.5, 4.0, 12.0, 40.0])
def test_a_shape_is_the_lesion(diameter):
    ball = sphere(diameter)
    found = shape((3.3, -7.2, 11.1, diameter))
    if diameter > 3:
        assert found.cells.sum() * found.cell_mm**3 == pytest.approx(found.volume_mm3, rel=0.2)
    if diameter > 10:
        assert found.volume_mm3 == pytest.approx(ball.volume_mm3, rel=0.03)
        assert found.points.mean(axis=0) == pytest.approx([3.3, -7.2, 11.1], abs=0.3)
        assert np.linalg.norm(found.points - [3.3, -7.2, 11.1], axis=1).max() < diameter / 2 + found.cell_mm + 0.8
    assert len(found.to_bytes()) < 2000


def test_a_shape_follows_an_oblique_grid():
    turned = np.eye(4)
    turned[:3, :3] = Rotation.from_euler("xyz", [40, 30, 20], degrees=True).as_matrix()
    affine = turned @ AFFINE
    label_map = np.zeros((9, 20, 30), np.uint16)
    label_map[2:5, 4:12, 6:26] = 2
    label_map[8, 0, 0] = 1
    voxel, block = lesion_shapes(label_map, affine)
    assert voxel.volume_mm3 == pytest.approx(SPACING.prod())
    assert voxel.centroid_lps_mm == pytest.approx(affine[:3, :3] @ [8, 0, 0])
    back = block.points @ np.linalg.inv(affine)[:3, :3].T
    assert (np.rint(back).astype(int).min(axis=0), np.rint(back).astype(int).max(axis=0)) == (
        pytest.approx([2, 4, 6]),
        pytest.approx([4, 11, 25]),
    )


def test_a_shape_survives_being_stored():
    found = shape((0, 0, 0, 12), (9, 3, 0, 8))
    again = LesionShape.from_bytes(found.to_bytes())
    assert np.array_equal(again.points, found.points)
    assert np.array_equal(again.centroid_lps_mm, found.centroid_lps_mm)
    assert (again.volume_mm3, again.cell_mm) == (found.volume_mm3, found.cell_mm)
    stored = found.to_bytes()
    for wrong in (b"", b"\x01", stored[:-4], b"\x07" + stored[1:], b"\x89PNG" * 40):
        with pytest.raises(ValueError, match="lesion's shape"):
            LesionShape.from_bytes(wrong)


def test_pairs():
    here = Placed(shape((0, 0, 0, 10)), STAYS)
    assert compare(Placed(shape((40, 0, 0, 10)), STAYS), here) is None
    assert compare(*(Placed(shape((x, 0, 0, 2)), STAYS) for x in (4.5, 0))), "not quite touching"
    same = present(compare(here, here))
    assert (same.overlap, same.now_within, same.distance_mm, same.likeness) == (1, 1, 0, 1)
    small = present(compare(Placed(shape((0, 0, 0, 4)), STAYS), Placed(shape((0, 0, 0, 20)), STAYS)))
    assert small.now_within == 1
    assert small.before_within < 0.1


def test_pairs_are_chosen_all_at_once():
    assert assign(np.array([[0.9, 0.8], [0.85, 0]])) == {0: 1, 1: 0}
    assert assign(np.array([[0.9, 0], [0, 0]])) == {0: 0}
    assert assign(np.zeros((0, 3))) == {}
