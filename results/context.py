"""Who made a result, when, from which job: what every object written back carries, and how we know our own again."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from highdicom import ContributingEquipment
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.valuerep import DA, DT, TM

MANUFACTURER = "MetIA server"
DISCLAIMER = "Not a medical device"
NOTICE = f"For research only; {DISCLAIMER.lower()}. Every lesion must be checked by a physician."

_CHARACTER_SET = "ISO_IR 192"  # UTF-8: whatever the source was written in, its names can be written in this
_LONG_STRING = 64  # characters in a value of representation LO
_SHORT_TEXT = 1024  # of ST
_OF_JOB = " of job "


@dataclass(frozen=True)
class ResultContext:
    """The job and the model behind a set of results.

    Attributes
    ----------
    job_id
        Identifies the job; every UID of its results is derived from it, so a retry writes the same objects.
    model_name, model_version, model_sha256
        Of the network; the hash is 64 hexadecimal digits.
    model_statement
        One line: how good the model was measured to be, and on what.
    created
        When the job was taken up, with its time zone. Every date and time of the results comes from here, never
        from the clock, so that a retry writes the same bytes.
    """

    job_id: str
    model_name: str
    model_version: str
    model_sha256: str
    model_statement: str
    created: datetime

    def __post_init__(self) -> None:
        """Refuse what could not be written: a time of no time zone, names that DICOM has no room for."""
        if self.created.tzinfo is None:
            raise ValueError(f"created = {self.created.isoformat()} has no time zone; give an aware datetime.")
        for name in ("model_name", "model_version", "model_sha256"):
            if not 1 <= len(value := getattr(self, name)) <= _LONG_STRING:
                raise ValueError(f"{name} = {value!r} has {len(value)} characters; DICOM holds 1 to {_LONG_STRING}.")

    @property
    def local_time(self) -> datetime:
        """``created`` on this machine's clock: scanners and archives write dates and times in local time."""
        return self.created.astimezone()

    @property
    def model(self) -> str:
        """The model's name and version, as people read it."""
        return f"{self.model_name} {self.model_version}"

    @property
    def series_description(self) -> str:
        """Names the model, within the 64 characters that SeriesDescription has."""
        return f"Metastases, {self.model}"[:_LONG_STRING].strip()

    @property
    def content_description(self) -> str:
        """Says what this is not before it names the model, within 64 characters."""
        return f"{DISCLAIMER}. {self.model}"[:_LONG_STRING].strip()

    @property
    def statement(self) -> str:
        """The model's statement, with the disclaimer in front where the statement does not say it itself."""
        if DISCLAIMER.lower() in (written := self.model_statement[:_SHORT_TEXT]).lower():
            return written
        return f"{DISCLAIMER}. {self.model_statement}"[:_SHORT_TEXT]


def derive_uid(job_id: str, role: str) -> str:
    """Return the UID of one part of a job's results: always the same for the same job and role.

    A version 5 UUID written as a decimal number under ``2.25`` (DICOM PS3.5 B.2).
    """
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, f'metia-server/{job_id}/{role}').int}"


def instance_uid(job_id: str, role: str) -> str:
    """Return the SOPInstanceUID of a job's result in this role, e.g. ``"SEG"``."""
    return derive_uid(job_id, f"{role} instance")


def series_uid(job_id: str, role: str) -> str:
    """Return the SeriesInstanceUID of a job's result in this role."""
    return derive_uid(job_id, f"{role} series")


def identification(context: ResultContext, role: str, series_number: int) -> dict[str, Any]:
    """Return by what the job's result in this role is told from others, and who made it, as highdicom's arguments."""
    return {
        "series_instance_uid": series_uid(context.job_id, role),
        "series_number": series_number,
        "sop_instance_uid": instance_uid(context.job_id, role),
        "instance_number": 1,
        "manufacturer": MANUFACTURER,
        "manufacturer_model_name": context.model_name,
        "software_versions": context.model_version,
        "device_serial_number": context.model_sha256,
        "series_date": context.local_time.date(),
        "series_time": context.local_time.time(),
        "specific_character_set": _CHARACTER_SET,
    }


def make_repeatable(result: Dataset, context: ResultContext) -> None:
    """Put the job's time where highdicom takes the clock's, so that a retry writes the same bytes."""
    time = context.local_time
    result.InstanceCreationDate, result.InstanceCreationTime = DA(time.date()), TM(time.time())
    for item in result.ContributingEquipmentSequence:
        if "ContributionDateTime" in item:
            item.ContributionDateTime = DT(context.created)


def mark(context: ResultContext, role: str) -> ContributingEquipment:
    """Return the item of ContributingEquipmentSequence by which ``is_ours`` knows this object again."""
    return ContributingEquipment(
        manufacturer=MANUFACTURER,
        purpose_of_reference=codes.DCM.ProcessingEquipment,
        manufacturer_model_name=context.model_name,
        software_versions=context.model_version,
        device_serial_number=context.model_sha256,
        contribution_datetime=context.created,
        contribution_description=f"{role}{_OF_JOB}{context.job_id}",
    )


def is_ours(dataset: Dataset) -> bool:
    """Tell whether an object is exactly what this server wrote, and so may be retired by it.

    The mark alone does not prove it: who corrects our contours in another system may keep the mark, but must give
    the corrected object a new SOPInstanceUID. So the instance's UID must also be the one derived from the job in
    the mark.

    Parameters
    ----------
    dataset
        At least SOPInstanceUID and ContributingEquipmentSequence of the object.
    """
    for item in dataset.get("ContributingEquipmentSequence") or []:
        role, _, job_id = str(item.get("ContributionDescription", "")).partition(_OF_JOB)
        if item.get("Manufacturer") == MANUFACTURER and job_id:
            return bool(dataset.get("SOPInstanceUID") == instance_uid(job_id, role))
    return False
