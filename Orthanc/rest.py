"""Orthanc's own REST API: what DICOMweb has no words for, and how each call's failure becomes one of our errors."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import requests
import urllib3
from requests.auth import HTTPBasicAuth

from Orthanc import multipart
from Orthanc.archive import AmbiguousStudyError, ArchiveTimeoutError, ArchiveUnavailableError, StudyNotFoundError
from Orthanc.direct import direct_session

logger = logging.getLogger(__name__)


class NotThereError(ArchiveUnavailableError):
    """404 to a call that had every reason to succeed."""


@dataclass(frozen=True)
class Change:
    """An entry of Orthanc's change log; ``identifier`` is Orthanc's own name of the resource."""

    sequence: int
    kind: str
    identifier: str


class OrthancRest:
    """A connection to Orthanc; for use by one thread at a time.

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
        self.url = url.rstrip("/")
        self._timeout = (connect_timeout, read_timeout)
        self._session = direct_session()
        if username:
            self._session.auth = HTTPBasicAuth(username.encode(), password.encode())  # a text would go as Latin-1

    def name(self) -> str:
        """Give the name that Orthanc's configuration gives it."""
        return str(self._json("GET", "/system", lambda system: system.get("Name", "")))

    def study_identifiers(self) -> list[str]:
        """Give Orthanc's own names of all studies."""
        identifiers: list[str] = self._json("GET", "/studies", lambda studies: [str(one) for one in studies])
        return identifiers

    def study(self, identifier: str) -> dict[str, Any]:
        """Give Orthanc's description of a study; raises StudyNotFoundError."""
        try:
            described: dict[str, Any] = self._json("GET", f"/studies/{identifier}")
        except NotThereError as error:
            raise StudyNotFoundError(f"{self.url} holds no study {identifier}") from error
        return described

    def delete_study(self, study_instance_uid: str) -> None:
        """Remove a study with all its series, whoever wrote them.

        Raises
        ------
        StudyNotFoundError, AmbiguousStudyError
            When there is no such study, or several are; nothing is deleted then.
        """
        path = self._path_of_study(study_instance_uid)
        if path is None:
            raise StudyNotFoundError(f"{self.url} holds no study {study_instance_uid}")
        self._delete(path)

    def last_change(self) -> int:
        """Give the number of the newest entry of the change log; 0 when there is none."""
        return int(self._json("GET", "/changes?last", lambda answer: int(answer["Last"])))

    def changes(self, since: int, limit: int = 100) -> list[Change]:
        """Give the entries of the change log after number ``since``, the oldest first, so many at most."""
        changes: list[Change] = self._json(
            "GET",
            f"/changes?since={since}&limit={limit}",
            lambda answer: [
                Change(int(one["Seq"]), str(one["ChangeType"]), str(one["ID"])) for one in answer["Changes"]
            ],
        )
        return changes

    def series_tags(self, identifier: str) -> dict[str, str] | None:
        """Give the UIDs and the modality of a series by Orthanc's own name; None when it has gone."""
        try:
            parent, own = self._json(
                "GET", f"/series/{identifier}", lambda series: (series["ParentStudy"], series["MainDicomTags"])
            )
            tags = self._json("GET", f"/studies/{parent}", lambda study: {**study["MainDicomTags"], **own})
        except NotThereError:
            return None
        return {key: str(tags.get(key, "")) for key in ("StudyInstanceUID", "SeriesInstanceUID", "Modality")}

    def _path_of_study(self, study_instance_uid: str) -> str | None:
        """Give the REST path of the only study of this UID; None where there is none.

        Orthanc tells patients apart by PatientID first: a study that was sent again under a corrected one is there
        twice, DICOMweb then answers for neither, and nobody here can tell which of them is wrong.

        Raises
        ------
        AmbiguousStudyError
            When there are several.
        """
        paths = self._lookup(study_instance_uid, "Study")
        if len(paths) > 1:
            raise AmbiguousStudyError(
                f"{self.url} holds study {study_instance_uid} {len(paths)} times, under as many patient IDs: delete "
                "the wrong one by hand, in Orthanc itself, and send this again"
            )
        return paths[0] if paths else None

    def _lookup(self, uid: str, level: str) -> list[str]:
        """REST paths of the resources of a level ("Series", "Instance") that carry a UID."""
        paths: list[str] = self._json(
            "POST",
            "/tools/lookup",
            lambda found: [str(one["Path"]) for one in found if one["Type"] == level],
            data=uid,
        )
        return paths

    def _delete(self, path: str) -> None:
        try:
            self._rest("DELETE", path)
        except NotThereError:
            logger.info("%s was already gone", path)

    def _rest(self, method: str, path: str, **arguments: Any) -> requests.Response:
        with self._call(f"{method} {path}"):
            answer = self._session.request(method, self.url + path, timeout=self._timeout, **arguments)
            answer.raise_for_status()
            return answer

    def _json(
        self, method: str, path: str, take: Callable[[Any], Any] = lambda answer: answer, **arguments: Any
    ) -> Any:
        """Give what is wanted of an answer: JSON without it is not Orthanc's, though something answers."""
        with self._call(f"{method} {path}"):
            return take(self._rest(method, path, **arguments).json())

    @contextmanager
    def _call(self, call: str) -> Iterator[None]:
        """Turn what goes wrong on the wire into our errors, each naming the call."""
        try:
            yield
        except requests.HTTPError as error:
            status = error.response.status_code if error.response is not None else 0
            if status == 404:
                raise NotThereError(f"{self.url} answered {call} with 404") from error
            advice = ": check ORTHANC_USERNAME and ORTHANC_PASSWORD" if status in (401, 403) else ""
            raise ArchiveUnavailableError(f"{self.url} answered {call} with {status}{advice}") from error
        except requests.ConnectTimeout as error:
            raise ArchiveTimeoutError(
                f"no connection to {self.url} for {call} within {self._timeout[0]:g} s"
            ) from error
        except (requests.ConnectionError, requests.Timeout) as error:
            # While a body is streamed, requests reports a read timeout as a ConnectionError around urllib3's own.
            causes = (error, *error.args)
            if any(isinstance(cause, requests.Timeout | urllib3.exceptions.ReadTimeoutError) for cause in causes):
                raise ArchiveTimeoutError(f"{self.url} did not answer {call} in {self._timeout[1]:g} s") from error
            raise ArchiveUnavailableError(f"no connection to {self.url} for {call}: is Orthanc running?") from error
        except multipart.TruncatedError as error:
            raise ArchiveUnavailableError(f"the answer of {self.url} to {call} ended early") from error
        except (requests.RequestException, ValueError, LookupError, TypeError, AttributeError) as error:
            raise ArchiveUnavailableError(f"{self.url} answered {call} with something unexpected: {error!r}") from error
