"""The real Orthanc for the system tests: temporary storage, free port, generated password, ended by its pid."""

import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from Orthanc.dicomweb import OrthancArchive
from services.orthanc import Account, find_executable, find_plugin, start
from services.processes import Services, free_port


@dataclass(frozen=True)
class RunningOrthanc:
    """A real Orthanc that was started for the tests."""

    url: str
    username: str
    password: str

    @property
    def archive(self) -> OrthancArchive:
        """A new archive on it."""
        return OrthancArchive(self.url, self.username, self.password)


@pytest.fixture(scope="session")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningOrthanc]:
    """Start Orthanc as the launcher does."""
    executable = find_executable()
    if not executable or not find_plugin(executable):
        if os.environ.get("CI"):
            pytest.fail("Orthanc or its DICOMweb plugin is not installed")
        pytest.skip("Orthanc or its DICOMweb plugin is not installed")
    folder = tmp_path_factory.mktemp("orthanc")
    account = Account(f"http://127.0.0.1:{free_port(18042)}", "tester", secrets.token_urlsafe(16))
    with Services(folder / "log") as services:
        start(services, account, folder / "storage")
        yield RunningOrthanc(account.url, account.username, account.password)
