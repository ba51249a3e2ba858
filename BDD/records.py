"""The values that go into the store, and the errors that come out of it."""

from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Protocol, Self


class StoreError(RuntimeError):
    """The store cannot do what was asked for, given the state that its rows are in."""


class JobNotFoundError(StoreError):
    """There is no job of this id."""


class JobStateError(StoreError):
    """The job's state does not allow it."""


class JobLostError(StoreError):
    """The job is no longer this worker's: it was taken for dead, and the job given back to the queue."""


class StudyBusyError(StoreError):
    """Another job of the same study is running; this one has to wait."""


class SeriesBusyError(StoreError):
    """Another job of the same series is open; ``job_id`` names it."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"job {job_id} is already segmenting this series")
        self.job_id = job_id


class PatientNotFoundError(StoreError):
    """There is no patient of this key."""


class VisitNotFoundError(StoreError):
    """The study was never segmented."""


class LesionNotFoundError(StoreError):
    """There is no tracked lesion of this key."""


class KeyImageNotFoundError(StoreError):
    """The lesion is not in the study, or was segmented before pictures were kept."""


class ChangeNotFoundError(StoreError):
    """There is no change of this key."""


class EditConflictError(StoreError):
    """Somebody else has changed it in between."""


class EditRefusedError(StoreError):
    """The change would contradict what is known."""


class NameTakenError(EditRefusedError):
    """Another lesion of the patient has the name already."""


@dataclass(frozen=True)
class Problem:
    """What went wrong, as RFC 9457 says it, and what to do; ``extensions`` are further members.

    ``type`` is a stable name like ``urn:metia:problem:study-not-found``.
    """

    type: str
    title: str
    status: int
    detail: str
    what_to_do: str = ""
    extensions: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Give the members of the problem document."""
        return {
            "type": self.type,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "what_to_do": self.what_to_do,
            **self.extensions,
        }


class SliceName(Protocol):
    """A slice of the volume, as DICOM names it (``imaging.volume.Slice``)."""

    @property
    def sop_instance_uid(self) -> str:
        """The instance that holds the slice."""

    @property
    def frame_number(self) -> int | None:
        """The 1-based frame in it; None for a single-frame instance."""


@dataclass(frozen=True)
class ModelRecord:
    """The network that was used."""

    name: str
    version: str
    sha256: str
    statement: str


@dataclass(frozen=True)
class ResultRecord:
    """A series of one instance, written into the archive; ``kind`` is SEG, RTSTRUCT or SR."""

    kind: str
    series_instance_uid: str
    sop_instance_uid: str


@dataclass(frozen=True)
class SeriesRecord:
    """The segmented series with its study and patient. An empty PatientID is None."""

    patient_id: str | None
    patient_name: str
    patient_birth_date: date | None
    patient_sex: str | None
    study_instance_uid: str
    study_date: date | None
    series_instance_uid: str
    modality: str
    series_description: str

    @classmethod
    def from_header(cls, header: Any) -> Self:
        """Read the record from any instance of the series (a ``pydicom.Dataset``)."""

        def text(keyword: str) -> str:
            return str(header.get(keyword) or "").replace("\0", "").strip()  # PostgreSQL keeps no character 0

        return cls(
            patient_id=text("PatientID") or None,
            patient_name=text("PatientName"),
            patient_birth_date=_date(text("PatientBirthDate")),
            patient_sex=text("PatientSex") or None,
            study_instance_uid=text("StudyInstanceUID"),
            study_date=_date(text("StudyDate")) or _date(text("SeriesDate")),
            series_instance_uid=text("SeriesInstanceUID"),
            modality=text("Modality"),
            series_description=text("SeriesDescription"),
        )


def _date(text: str) -> date | None:
    """Read a DICOM date, YYYYMMDD; what is no date is none."""
    try:
        return datetime.strptime(text, "%Y%m%d").date()
    except ValueError:
        return None
