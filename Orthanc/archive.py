"""What the pipeline asks of a place that holds DICOM, and the errors it may answer with.

Two places answer: ``dicomweb.OrthancArchive`` (a server) and ``folder.FolderArchive`` (a folder of files).
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeGuard

from pydicom import Dataset

from imaging.selection import SeriesSummary

OnProgress = Callable[[float], None]
"""Called with the fraction done, 0 to 1; whatever it raises ends the work and reaches the caller."""

UID_KEYWORDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
"""What an instance goes by."""

UID_LENGTH, UID_PATTERN = 64, r"[0-9]+(\.[0-9]+)*"


def is_uid(value: object) -> TypeGuard[str]:
    """Tell whether this is one DICOM UID: numbers with dots between, at most 64 characters.

    Leading zeros, which PS3.5 forbids, are let pass: old scanners wrote them. Two dots in a row never are, nor several
    values.
    """
    return isinstance(value, str) and len(value) <= UID_LENGTH and re.fullmatch(UID_PATTERN, value) is not None


@dataclass(frozen=True)
class DicomFile:
    """An instance that is in memory only while it is sent.

    Attributes
    ----------
    uids
        Those of ``UID_KEYWORDS``.
    read
        Gives the whole file.
    """

    uids: tuple[str, ...]
    read: Callable[[], bytes]


@dataclass(frozen=True)
class Held:
    """A series as an archive holds it at one moment.

    Attributes
    ----------
    state
        Is another once an instance has come, gone or been replaced, or the patient ID is another.
    """

    study_instance_uid: str
    series_instance_uid: str
    state: str


class ArchiveError(Exception):
    """The archive could not do what was asked; the message names the call."""


class StudyNotFoundError(ArchiveError):
    """The archive holds no such study."""


class AmbiguousStudyError(ArchiveError):
    """The archive holds several studies of this UID, under several patient IDs."""


class SeriesNotFoundError(ArchiveError):
    """The archive holds no such series in this study."""


class SeriesChangedError(ArchiveError):
    """A series is no longer what was fetched; fetched again, it may be segmented."""


class ArchiveUnavailableError(ArchiveError):
    """The archive cannot be reached, refuses our credentials, or answers with an error of its own."""


class ArchiveTimeoutError(ArchiveError):
    """The archive did not answer in time."""


class StoreRejectedError(ArchiveError):
    """The archive did not take every instance; none of them is left there."""


class NotOursError(ArchiveError):
    """Asked to remove a series of which an instance does not carry our mark."""


class InstanceTooLargeError(ArchiveError):
    """A deflated instance unpacks to more than is held in memory."""


class Archive(Protocol):
    """A place that holds DICOM: lists, fetches and stores."""

    def list_series(self, study_instance_uid: str) -> list[SeriesSummary]:
        """Describe each series of a study by one instance's header.

        Raises
        ------
        StudyNotFoundError, AmbiguousStudyError
            If there is no such study, or several are.
        """
        ...

    def fetch_series(
        self, study_instance_uid: str, series_instance_uid: str, on_progress: OnProgress | None = None
    ) -> list[Dataset]:
        """Return every instance of a series, in no particular order, with its pixel data as it is stored.

        Raises
        ------
        SeriesNotFoundError, AmbiguousStudyError
            If there is no such series in this study, or several studies of this UID.
        """
        ...

    def held(self, study_instance_uid: str, series_instance_uid: str) -> Held:
        """Tell how a series is held now, for ``store`` to see that it still is.

        Raises
        ------
        SeriesNotFoundError, AmbiguousStudyError
            If there is no such series in this study, or several studies of this UID.
        """
        ...

    def store(self, datasets: Sequence[Dataset], source: Held | None = None) -> None:
        """Store instances of one study, all or none; storing the same instance again is fine.

        Parameters
        ----------
        source
            The series that they were made from: none is left unless it is held so before and after.

        Raises
        ------
        SeriesChangedError, SeriesNotFoundError, AmbiguousStudyError
            If the source is not held as it was.
        StoreRejectedError
            If one was not taken. What was stored of the others has been taken out again.
        """
        ...
