"""Identities handed on when the same series is segmented again."""

import re
from dataclasses import replace

import numpy as np
import pytest

from rano.lesion import Chord, Lesion, Measurement
from rano.matching import beside, inherit_tracking, not_seen_since

NOWHERE = Chord(0, (0, 0, 0), (0, 0, 0))


def measured(centroid, volume=500.0, label=1):
    """A lesion of 500 mm3 has an equivalent radius of 4.92 mm."""
    return Measurement(label, volume, NOWHERE, NOWHERE, 0, centroid, 0, 0, 0, "acquired", False, "")


def known(name, centroid, volume=500.0, number=1):
    return Lesion(name, f"2.25.{int.from_bytes(name.encode())}", measured(centroid, volume), number)


def names(lesions):
    return [lesion.name for lesion in lesions]


def test_first_segmentation_names_lesions_in_order_with_uids_of_their_own():
    lesions = inherit_tracking([measured((x, 0, 0)) for x in (0, 50, 100)], [])
    assert names(lesions) == ["GTV_MetIA_1", "GTV_MetIA_2", "GTV_MetIA_3"]
    assert len({lesion.tracking_uid for lesion in lesions}) == 3
    assert all(re.fullmatch(r"2\.25\.[1-9]\d{0,38}", lesion.tracking_uid) for lesion in lesions)
    assert [lesion.measurement.centroid_lps_mm[0] for lesion in lesions] == [0, 50, 100]


def test_the_same_lesions_in_another_order_keep_name_and_uid_and_take_the_new_measurement():
    earlier = [known("left frontal", (0, 0, 0)), known("GTV_MetIA_2", (50, 0, 0))]
    new = [measured((50.4, 0, 0), 600), measured((0, 0.3, 0), 450)]
    lesions = inherit_tracking(new, earlier)
    assert names(lesions) == ["GTV_MetIA_2", "left frontal"]
    assert [lesion.tracking_uid for lesion in lesions] == [earlier[1].tracking_uid, earlier[0].tracking_uid]
    assert [lesion.measurement for lesion in lesions] == new


def test_a_new_name_is_the_lowest_no_earlier_lesion_ever_had():
    earlier = [known("GTV_MetIA_1", (0, 0, 0)), known("GTV_MetIA_3", (50, 0, 0))]  # 3 has vanished
    new = [measured((200, 0, 0)), measured((0, 0, 0)), measured((300, 0, 0))]
    assert names(inherit_tracking(new, earlier)) == ["GTV_MetIA_2", "GTV_MetIA_1", "GTV_MetIA_4"]


def test_a_number_is_kept_and_that_of_a_lesion_with_another_name_is_not_given_again():
    earlier = [known("left frontal", (0, 0, 0), number=2), known("GTV_MetIA_4", (50, 0, 0), number=1)]
    new = [measured((200, 0, 0)), measured((0, 0, 0)), measured((300, 0, 0)), measured((50, 0, 0))]
    lesions = inherit_tracking(new, earlier)
    assert [lesion.number for lesion in lesions] == [3, 2, 5, 1]
    assert names(lesions) == ["GTV_MetIA_3", "left frontal", "GTV_MetIA_5", "GTV_MetIA_4"]


@pytest.mark.parametrize(
    ("distance", "volumes", "same"),
    [
        (2.99, (10, 10), True),  # small lesions: 3 mm
        (3.0, (10, 10), False),
        (4.9, (500, 10), True),  # the larger one's radius, 4.92 mm, whichever is the larger
        (4.9, (10, 500), True),
        (4.95, (500, 500), False),
    ],
)
def test_the_limit_is_3_mm_or_the_larger_equivalent_radius(distance, volumes, same):
    lesions = inherit_tracking([measured((0, 0, distance), volumes[0])], [known("one", (0, 0, 0), volumes[1])])
    assert (names(lesions) == ["one"]) is same


@pytest.mark.parametrize("volume", [500, 10])
def test_an_exact_match_is_not_given_up_for_two_poor_ones(volume):
    earlier = [known("a", (0, 0, 0)), known("b", (4.8, 0, 0), volume)]
    lesions = inherit_tracking([measured((0, 0, 0)), measured((-4.8, 0, 0), volume)], earlier)
    assert names(lesions) == ["a", "GTV_MetIA_2"]


def test_neighbours_that_both_moved_are_not_swapped():
    """The first one now lies nearest to where the second one was: only pairing all at once gets both right."""
    earlier = [known("a", (0, 0, 0)), known("b", (4, 0, 0))]
    lesions = inherit_tracking([measured((2.2, 0, 0)), measured((6, 0, 0))], earlier)
    assert names(lesions) == ["a", "b"]


def test_a_split_lesion_leaves_its_identity_to_the_nearest_part():
    lesions = inherit_tracking([measured((3, 0, 0), 300), measured((-2, 0, 0), 200)], [known("whole", (0, 0, 0))])
    assert names(lesions) == ["GTV_MetIA_2", "whole"]


def test_merged_lesions_leave_the_identity_of_the_nearest_and_never_one_twice():
    earlier = [known("near", (1, 0, 0), 400), known("far", (-4, 0, 0), 100)]
    assert names(inherit_tracking([measured((0, 0, 0))], earlier)) == ["near"]


def test_nothing_found_and_many_of_both():
    assert inherit_tracking([], [known("a", (0, 0, 0))]) == []
    rng = np.random.default_rng(5)
    spots = [tuple(spot) for spot in rng.uniform(0, 200, (200, 3)).tolist()]
    earlier = [known(f"n{i}", spot, 20) for i, spot in enumerate(spots)]
    lesions = inherit_tracking([measured(spot, 20) for spot in reversed(spots)], earlier)
    assert names(lesions) == [f"n{i}" for i in reversed(range(200))]


def test_the_caller_may_make_the_uids_of_new_lesions_only():
    earlier = [known("a", (0, 0, 0))]
    lesions = inherit_tracking([measured((0, 0, 0)), measured((90, 0, 0))], earlier, lambda name: f"uid of {name}")
    assert [lesion.tracking_uid for lesion in lesions] == [earlier[0].tracking_uid, "uid of GTV_MetIA_2"]


def test_earlier_lesions_that_share_a_name_are_told_apart_by_their_uids():
    one, other = known("a", (0, 0, 0)), replace(known("b", (50, 0, 0)), name="a")
    lesions = inherit_tracking([measured((50, 0, 0)), measured((0, 0, 0)), measured((90, 0, 0))], [one, other])
    assert [lesion.tracking_uid for lesion in lesions[:2]] == [other.tracking_uid, one.tracking_uid]
    assert names(lesions) == ["a", "a", "GTV_MetIA_2"]
    assert not_seen_since([other], [one]) == [other]


def test_earlier_lesions_that_share_a_uid_are_refused():
    one = known("a", (0, 0, 0))
    with pytest.raises(ValueError, match="share the tracking UID"):
        inherit_tracking([], [one, replace(known("b", (9, 9, 9)), tracking_uid=one.tracking_uid)])


def test_what_was_once_there_is_known_unless_its_place_or_identity_is_another_lesions_now():
    newer = [known("GTV_MetIA_1", (0, 0, 0)), known("left frontal", (50, 0, 0))]
    moved = known("GTV_MetIA_1", (90, 0, 0))
    renamed = replace(known("GTV_MetIA_4", (50.5, 0, 0)))
    gone = known("GTV_MetIA_3", (20, 0, 0))
    assert not_seen_since([moved, renamed, gone], newer) == [gone]
    assert not_seen_since([gone], []) == [gone]
    assert not_seen_since([], newer) == []


def test_who_arrives_keeps_number_and_name_as_far_as_nobody_has_them():
    known = [(1, "GTV_MetIA_1"), (4, "stem")]
    arriving = [(1, "left frontal"), (2, "stem"), (3, "GTV_MetIA_1"), (7, "GTV_MetIA_7")]
    assert list(beside(known, arriving)) == [
        (5, "left frontal"),
        (2, "GTV_MetIA_6"),
        (3, "GTV_MetIA_8"),
        (7, "GTV_MetIA_7"),
    ]
