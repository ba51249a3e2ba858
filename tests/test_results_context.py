"""Derived UIDs, and knowing our own objects again."""

import time
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import UID

from results.context import derive_uid, instance_uid, is_ours, mark, series_uid
from tests.results_cases import CONTEXT


def test_uids_are_valid_stable_and_distinct() -> None:
    uids = [derive_uid(job, role) for job in ("a", "b") for role in ("SEG series", "SEG instance")]
    assert uids == [derive_uid(job, role) for job in ("a", "b") for role in ("SEG series", "SEG instance")]
    assert len(set(uids)) == 4
    assert all(UID(uid).is_valid and uid.startswith("2.25.") for uid in uids)
    assert instance_uid("a", "SEG") != series_uid("a", "SEG")


def ours() -> Dataset:
    """Return the least that can be ours."""
    dataset = Dataset()
    dataset.SOPInstanceUID = instance_uid(CONTEXT.job_id, "SEG")
    dataset.ContributingEquipmentSequence = [mark(CONTEXT, "SEG")]
    return dataset


def test_our_own_object_is_known() -> None:
    assert is_ours(ours())


def test_what_somebody_corrected_is_not_ours_though_it_kept_the_mark() -> None:
    dataset = ours()
    dataset.SOPInstanceUID = "1.2.3.4"
    assert not is_ours(dataset)


def test_what_lacks_the_mark_is_not_ours() -> None:
    dataset = ours()
    dataset.ContributingEquipmentSequence[0].Manufacturer = "Somebody"
    assert not is_ours(dataset)
    dataset.ContributingEquipmentSequence = []
    assert not is_ours(dataset)
    del dataset.ContributingEquipmentSequence
    assert not is_ours(dataset)
    assert not is_ours(Dataset())


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        replace(CONTEXT, created=datetime(2026, 1, 1))


@pytest.mark.parametrize("changed", [{"model_name": "x" * 65}, {"model_version": ""}])
def test_names_that_cannot_be_written_are_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"characters; DICOM holds 1 to 64"):
        replace(CONTEXT, **changed)


def test_descriptions_fit_and_say_what_this_is_not() -> None:
    long = replace(CONTEXT, model_name="n" * 60, model_version="v" * 60, model_statement="s" * 2000)
    assert len(long.series_description) <= 64
    assert len(long.content_description) <= 64
    assert len(long.statement) <= 1024
    assert long.content_description.startswith("Not a medical device")
    assert long.statement.startswith("Not a medical device")
    assert CONTEXT.statement == CONTEXT.model_statement  # says it already
    late = replace(CONTEXT, model_statement="s" * 1500 + " Not a medical device.")
    assert late.statement.startswith("Not a medical device")
    assert CONTEXT.model in CONTEXT.series_description


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="the zone of a process cannot be set on Windows")
def test_dates_and_times_are_those_of_the_house(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    try:
        assert CONTEXT.local_time.isoformat() == "2026-03-05T04:03:44.123456+05:30"
    finally:
        monkeypatch.undo()
        time.tzset()
