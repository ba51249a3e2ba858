"""No value of a patient's gets into a log, whatever DICOM the archive holds."""

import subprocess
import sys
from types import ModuleType

import pytest

import api
from services import worker
from settings import ROOT, Settings

CODE = """
import io, logging, sys
from imaging.leniency import be_lenient
from services.logs import start_logging
start_logging(sys.argv[1])
be_lenient()
from pydicom import Dataset, dcmread, dcmwrite
from dicomweb_client import DICOMwebClient
from tests import factory

logging.getLogger("highdicom.base").info('copy "Doe^Jane"')
logging.getLogger("dicomweb_client.web").info("search for Doe^Jane")
json = {"00100030": {"vr": "DA", "Value": ["1960-01-01"]}, "00101010": {"vr": "AS", "Value": ["63 Doe"]}}
read = Dataset.from_json(json)
assert read.PatientAge == "63 Doe"
(one, *_) = factory.series_datasets()
one.PatientAge, one.PatientID = "63 Doe", "Doe" * 40
one.PatientBirthDate = read.PatientBirthDate
file = io.BytesIO()
dcmwrite(file, one, enforce_file_format=True)
file.seek(0)
again = dcmread(file)
str(again)
again.SpecificCharacterSet = "Doe"
again.decode()
logging.getLogger("api").info("said")
"""


@pytest.mark.parametrize("level", ["DEBUG", "INFO"])
def test_libraries_quote_nothing(level: str) -> None:
    done = subprocess.run([sys.executable, "-c", CODE, level], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "INFO api: said" in done.stderr
    assert "Doe" not in done.stderr
    assert "1960" not in done.stderr


@pytest.mark.parametrize("program", [api, worker])
def test_both_programs_go_by_it(program: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_LEVEL", "ERROR")
    called: list[str] = []
    monkeypatch.setattr(program, "start_logging", called.append)
    monkeypatch.setattr(program, "be_lenient", lambda: called.append("lenient"))

    def stop(_settings: Settings) -> None:
        raise KeyboardInterrupt  # nothing else is to be started

    monkeypatch.setattr(program, "keep_private", stop)
    with pytest.raises(KeyboardInterrupt):
        program.main()
    assert called == ["ERROR", "lenient"]
