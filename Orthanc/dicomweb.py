"""Orthanc over DICOMweb: QIDO-RS to list, WADO-RS to fetch, STOW-RS to store and a query to confirm.

What needs Orthanc's own REST API (its DICOMweb plugin has no DELETE, and no log of changes) is in ``rest``. Nothing is
tried twice here, but for what only reads over a kept connection that had ended (``direct``); whether and when to try
again is the job's concern.
"""

import logging
from collections.abc import Sequence
from functools import partial
from typing import Any

import requests
from dicomweb_client import DICOMwebClient
from pydicom import Dataset

from imaging.selection import SeriesSummary
from Orthanc import multipart
from Orthanc.archive import (
    UID_KEYWORDS,
    ArchiveError,
    ArchiveTimeoutError,
    ArchiveUnavailableError,
    DicomFile,
    Held,
    NotOursError,
    OnProgress,
    SeriesChangedError,
    SeriesNotFoundError,
    StoreRejectedError,
    StudyNotFoundError,
    is_uid,
)
from Orthanc.inflating import read_dicom
from Orthanc.rest import NotThereError, OrthancRest
from results.context import is_ours
from settings import Settings

logger = logging.getLogger(__name__)

CHUNK_BYTES = 1 << 20
BATCH_BYTES = 16 << 20
"""About so much is stored by one request: a study of gigabytes is never in memory, or never a second time."""


class OrthancArchive(OrthancRest):
    """An Orthanc server with its DICOMweb plugin; for use by one thread at a time.

    Parameters
    ----------
    url
        Of Orthanc itself, such as ``http://127.0.0.1:8042``.
    username, password
        For HTTP basic authentication; an empty name sends none.
    connect_timeout, read_timeout
        Seconds until a connection, and until the next bytes of an answer.
    """

    def __init__(
        self, url: str, username: str = "", password: str = "", *, connect_timeout: float = 5, read_timeout: float = 60
    ) -> None:
        super().__init__(url, username, password, connect_timeout=connect_timeout, read_timeout=read_timeout)
        self._dicomweb = DICOMwebClient(f"{self.url}/dicom-web", session=self._session, timeout=self._timeout)
        self._dicomweb.set_http_retry_params(retry=False)

    def check(self) -> str:
        """Return the names and versions of Orthanc and its DICOMweb plugin in one line."""
        version = self._json("GET", "/system", lambda system: system["Version"])
        try:
            plugin = self._json("GET", "/plugins/dicom-web", lambda plugin: plugin["Version"])
        except NotThereError as error:
            raise ArchiveUnavailableError(
                f"Orthanc {version} at {self.url} has no DICOMweb plugin (GET /plugins/dicom-web: 404): "
                "install orthanc-dicomweb and name it under Plugins in Orthanc's configuration"
            ) from error
        return f"Orthanc {version}, DICOMweb {plugin}"

    def list_series(self, study_instance_uid: str) -> list[SeriesSummary]:
        """Describe each series of a study by one instance's header: two small requests per series.

        Raises
        ------
        StudyNotFoundError, AmbiguousStudyError
            When there is no such study, or several are.
        """
        path = f"{self._path(study_instance_uid)}/series"
        with self._call(f"GET {path}"):
            series = [Dataset.from_json(one) for one in self._dicomweb.search_for_series(study_instance_uid)]
        if not series:
            raise StudyNotFoundError(f"{self.url} holds no study {study_instance_uid}")
        self._path_of_study(study_instance_uid)
        summaries: list[SeriesSummary] = []
        for one in series:
            try:
                summary = self._summarise(study_instance_uid, one)
            except SeriesNotFoundError as error:  # of a UID that is none: the study's other series are still good
                logger.warning("a series is left out: %s", error)
                continue
            if summary is not None:
                summaries.append(summary)
        return summaries

    def _summarise(self, study_instance_uid: str, series: Dataset) -> SeriesSummary | None:
        """Describe a series; None when it has gone since it was listed, as a superseded result of ours may."""
        uids = study_instance_uid, series.get("SeriesInstanceUID")
        path = f"{self._path(*uids)}/instances"
        with self._call(f"GET {path}"):
            found = self._dicomweb.search_for_instances(*uids, limit=1)
            if not found:
                return None
            instance = Dataset.from_json(found[0]).get("SOPInstanceUID")
            self._path(*uids, instance)
            try:
                header = self._dicomweb.retrieve_instance_metadata(*uids, instance)
            except requests.HTTPError as error:
                if error.response is not None and error.response.status_code == 404:
                    return None
                raise
            return SeriesSummary(
                header=Dataset.from_json(header, bulk_data_uri_handler=lambda *_: None),
                number_of_instances=int(series.NumberOfSeriesRelatedInstances),
            )

    def fetch_series(
        self, study_instance_uid: str, series_instance_uid: str, on_progress: OnProgress | None = None
    ) -> list[Dataset]:
        """Return every instance of a series, fetched in one answer that is decoded while it arrives.

        Fewer than the archive has counted are an archive that did not answer: some were deleted meanwhile, or could
        not be read; asked again, it counts again.
        """
        expected = self._count(study_instance_uid, series_instance_uid)
        path = self._path(study_instance_uid, series_instance_uid)
        datasets: list[Dataset] = []
        try:
            with self._rest("GET", path, headers={"Accept": multipart.ACCEPT}, stream=True) as answer:
                instances = multipart.split(answer.iter_content(CHUNK_BYTES))
                while True:
                    with self._call(f"GET {path}"):
                        dataset = next(instances, None)
                    if dataset is None:
                        break
                    datasets.append(dataset)
                    if on_progress is not None:
                        on_progress(min(len(datasets) / expected, 1.0))
            if len(datasets) < expected:  # one that is whole in itself: half a head would be segmented in silence
                raise ArchiveUnavailableError(f"GET {path} gave {len(datasets)} of {expected} instances")
        except ArchiveTimeoutError:
            raise
        except ArchiveError:
            self._count(study_instance_uid, series_instance_uid)  # Orthanc has no one answer for what has just gone
            raise
        return datasets

    def _count(self, study_instance_uid: str, series_instance_uid: str) -> int:
        """Return how many instances a series has; raises SeriesNotFoundError and AmbiguousStudyError."""
        self._path(study_instance_uid, series_instance_uid)
        with self._call(f"GET {self._path(study_instance_uid)}/series"):
            found = self._dicomweb.search_for_series(
                study_instance_uid, search_filters={"SeriesInstanceUID": series_instance_uid}
            )
            counts = [int(Dataset.from_json(one).NumberOfSeriesRelatedInstances) for one in found]
        if not counts:
            raise self._no_series(study_instance_uid, series_instance_uid)
        self._path_of_study(study_instance_uid)
        return counts[0]

    def _no_series(self, study_instance_uid: str, series_instance_uid: str) -> SeriesNotFoundError:
        return SeriesNotFoundError(f"{self.url} holds no series {series_instance_uid} in study {study_instance_uid}")

    def held(self, study_instance_uid: str, series_instance_uid: str) -> Held:
        """Tell how a series is held now: Orthanc's own names follow from all UIDs and the patient ID."""
        self._path(study_instance_uid, series_instance_uid)
        study = self._path_of_study(study_instance_uid)
        for path in self._lookup(series_instance_uid, "Series"):
            parent, state = self._json("GET", path, _state)
            if parent == study:
                return Held(study_instance_uid, series_instance_uid, state)
        raise self._no_series(study_instance_uid, series_instance_uid)

    def _check_held(self, source: Held | None) -> None:
        if source and self.held(source.study_instance_uid, source.series_instance_uid) != source:
            raise SeriesChangedError(
                f"{self.url} holds series {source.series_instance_uid} otherwise than when it was fetched: images have "
                "come, gone or been replaced, or the patient ID is another"
            )

    def store(self, datasets: Sequence[Dataset], source: Held | None = None) -> None:
        """Store instances of one study by STOW-RS and confirm each by a query; none is left if one fails.

        What is stored beside a study that has just gone would bring it back, under the patient ID that it had.
        """
        if not datasets:
            return
        files = [
            DicomFile(tuple(dataset.get(keyword) for keyword in UID_KEYWORDS), partial(multipart.encode, dataset))
            for dataset in datasets
        ]
        self._store(files, datasets[0].StudyInstanceUID, source=source)

    def store_files(self, files: Sequence[DicomFile]) -> None:
        """Store files of any studies, all or none; some ``BATCH_BYTES`` of them are in memory at a time."""
        self._store(files)

    def _store(self, files: Sequence[DicomFile], *study: str, source: Held | None = None) -> None:
        """Store files, each confirmed by a query; where a study is given, Orthanc refuses those of others."""
        for file in files:
            self._check(file)
        self._check_held(source)
        already_there = self._present(files)
        try:
            path = self._path(*study) if study else "/dicom-web/studies"
            for body in multipart.batches((file.read() for file in files), BATCH_BYTES):
                self._stow(path, body)
            self._confirm(files)
            self._check_held(source)
        except Exception:  # of the archive, or of whatever a file is read from
            self._take_out(files, already_there)
            raise

    def _confirm(self, files: Sequence[DicomFile]) -> None:
        missing = _instances(files) - self._present(files)
        if missing:
            raise StoreRejectedError(
                f"{self.url} took {len(files)} instances (POST /dicom-web/studies), "
                f"but a query does not find {len(missing)} of them: {', '.join(sorted(missing))}"
            )

    def _path(self, *uids: object) -> str:
        """Make the path of a study, a series or an instance: the one place where a UID becomes part of an address.

        What is no UID, whoever gave it, may lead to another address of Orthanc, and goes there with our password.
        """
        path = "/dicom-web"
        for level, uid in zip(("studies", "series", "instances"), uids, strict=False):
            if not is_uid(uid):
                kind = StudyNotFoundError if level == "studies" else SeriesNotFoundError
                raise kind(f"{self.url} is not asked for {path}/{level}/{str(uid)[:80]!r}: that is no UID")
            path += f"/{level}/{uid}"
        return path

    def _check(self, file: DicomFile) -> None:
        """Refuse an instance that goes by something that is no UID, before any of it is sent."""
        for keyword, value in zip(UID_KEYWORDS, file.uids, strict=True):
            if not is_uid(value):
                raise StoreRejectedError(f"{keyword} = {str(value)[:80]!r} is no UID; nothing was sent to {self.url}")

    def _stow(self, path: str, body: bytes) -> None:
        self._session.close()  # Orthanc ends a kept connection after a second, and may be doing so at this moment
        with self._call(f"POST {path}"):
            answer = self._session.post(
                self.url + path,
                data=body,
                headers={"Content-Type": multipart.CONTENT_TYPE, "Accept": "application/dicom+json"},
                timeout=self._timeout,
            )
            if answer.status_code not in (400, 409):
                answer.raise_for_status()
        refused = _refused(answer)
        if refused or not answer.ok:
            raise StoreRejectedError(
                f"{self.url} answered POST {path} with {answer.status_code}, "
                f"refusing {', '.join(refused) or 'the request as a whole'}"
            )

    def _present(self, files: Sequence[DicomFile]) -> set[str]:
        """SOPInstanceUIDs the archive holds in the series that these instances belong to."""
        present: set[str] = set()
        for series in {series for _, series, _ in (file.uids for file in files)}:
            for path in self._lookup(series, "Series"):  # from the index: a QIDO-RS query has Orthanc read each file
                present |= self._json(
                    "GET",
                    f"{path}/instances",
                    lambda found: {str(one["MainDicomTags"]["SOPInstanceUID"]) for one in found},
                )
        return present

    def _take_out(self, files: Sequence[DicomFile], already_there: set[str]) -> None:
        """Remove what a failed store left behind, but nothing that was there before it."""
        ours = _instances(files)
        try:
            for uid in (self._present(files) & ours) - already_there:
                for path in self._lookup(uid, "Instance"):
                    self._delete(path)
        except ArchiveError:
            logger.exception("some of these instances may be left in the archive: %s", ", ".join(sorted(ours)))

    def retire_series(self, series_instance_uid: str) -> bool:
        """Remove a superseded result of ours, instance by instance, after a look at each; says whether it was there."""
        found = self._lookup(series_instance_uid, "Series")
        for series in found:
            paths = self._json("GET", series, lambda one: [f"/instances/{name}" for name in one["Instances"]])
            for path in paths:
                file = self._rest("GET", f"{path}/file").content
                if not is_ours(read_dicom(file, stop_before_pixels=True, force=True)):
                    raise NotOursError(f"series {series_instance_uid} was not written by this server and is left alone")
            for path in paths:
                self._delete(path)
        return bool(found)


def open_archive(settings: Settings) -> OrthancArchive:
    """Give a connection to the archive that the settings name, for one thread."""
    return OrthancArchive(
        settings.orthanc_url,
        settings.orthanc_username,
        settings.orthanc_password,
        read_timeout=settings.orthanc_timeout,
    )


def _state(series: dict[str, Any]) -> tuple[str, str]:
    """Give the REST path of a series' study, and what changes with the series, of Orthanc's description of it."""
    state = " ".join([series["ID"], series["LastUpdate"], *sorted(series["Instances"])])
    return f"/studies/{series['ParentStudy']}", state


def _instances(files: Sequence[DicomFile]) -> set[str]:
    return {instance for _, _, instance in (file.uids for file in files)}


def _refused(answer: requests.Response) -> list[str]:
    """Instances that a STOW-RS answer says were not stored: a refusal names them in its body, and so may a success."""
    try:
        items = list(Dataset.from_json(answer.json()).get("FailedSOPSequence", []))
    except Exception:  # Orthanc also answers with a page, plain text, or JSON of its own
        return []
    return [f"{item.get('ReferencedSOPInstanceUID')} (reason {item.get('FailureReason', 0):#06x})" for item in items]
