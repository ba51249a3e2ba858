"""Names whose character set nobody has declared come out right; what is declared is never doubted."""

import io

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from BDD.records import SeriesRecord
from imaging.volume import read_series
from tests import factory

NAME = "Müller^Jörg"
DECLARED = {"latin-1": "ISO_IR 100", "utf-8": "ISO_IR 192"}


def files(
    encoding: str,
    declaration: bytes | None,
    name: str = NAME,
    *,
    undefined_length: bool = False,
    syntax: UID = ExplicitVRLittleEndian,
) -> list[bytes]:
    """Return a series of files in an encoding, which declare whatever is said instead: a value, or None for nothing."""

    def element(value: bytes) -> bytes:
        tag = b"\x08\x00\x05\x00"
        if syntax.is_implicit_VR:
            return tag + len(value).to_bytes(4, "little") + value
        return tag + b"CS" + len(value).to_bytes(2, "little") + value

    made = []
    for ds in factory.series_datasets(factory.volume(shape=(4, 12, 10)), patient_name=name):
        procedure = Dataset()
        procedure.CodeValue, procedure.CodingSchemeDesignator, procedure.CodeMeaning = "1", "99X", name
        ds.ProcedureCodeSequence = [procedure]
        ds["ProcedureCodeSequence"].is_undefined_length = undefined_length
        ds.SpecificCharacterSet = DECLARED[encoding]
        ds.file_meta.TransferSyntaxUID = syntax
        buffer = io.BytesIO()
        ds.save_as(buffer, enforce_file_format=True)
        honest = element(DECLARED[encoding].encode())
        assert buffer.getvalue().count(honest) == 1
        made.append(buffer.getvalue().replace(honest, b"" if declaration is None else element(declaration)))
    return made


def headers(contents: list[bytes]) -> list[Dataset]:
    """Return the instances of a series as they are after reading it."""
    return list(read_series([dcmread(io.BytesIO(content)) for content in contents]).datasets)


@pytest.mark.parametrize("undefined_length", [False, True])
@pytest.mark.parametrize("declaration", [None, b"", b"  ", b"ISO_IR 6", b"ISO 2022 IR 6 "])
@pytest.mark.parametrize("encoding", ["latin-1", "utf-8"])
def test_text_without_a_character_set_is_told_from_its_bytes(encoding, declaration, undefined_length):
    for ds in headers(files(encoding, declaration, undefined_length=undefined_length)):
        assert ds.SpecificCharacterSet == DECLARED[encoding]
        assert ds.PatientName == NAME
        assert ds.ProcedureCodeSequence[0].CodeMeaning == NAME
        assert SeriesRecord.from_header(ds).patient_name == NAME


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8"])
def test_it_stays_right_when_the_instance_is_written_and_read(encoding):
    buffer = io.BytesIO()
    headers(files(encoding, None))[0].save_as(buffer, enforce_file_format=True)
    again = dcmread(io.BytesIO(buffer.getvalue()))
    assert again.PatientName == again.ProcedureCodeSequence[0].CodeMeaning == NAME


def test_a_character_set_that_was_lost_after_reading_is_told_again():
    datasets = [dcmread(io.BytesIO(content)) for content in files("latin-1", b"ISO_IR 192")]
    for ds in datasets:
        del ds.SpecificCharacterSet
    assert read_series(datasets).header.PatientName == NAME


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8"])
def test_implicit_vr_is_told_as_well(encoding):
    for ds in headers(files(encoding, None, syntax=ImplicitVRLittleEndian)):
        assert ds.SpecificCharacterSet == DECLARED[encoding]
        assert ds.PatientName == ds.ProcedureCodeSequence[0].CodeMeaning == NAME


@pytest.mark.parametrize(
    ("encoding", "declaration", "name"),
    [
        ("latin-1", b"ISO_IR 101", NAME),  # Latin-2, where these letters are the same
        ("utf-8", b"ISO_IR 100", "MÃ¼ller^JÃ¶rg"),
    ],
)
def test_what_is_declared_is_not_doubted(encoding, declaration, name):
    for ds in headers(files(encoding, declaration)):
        assert ds.SpecificCharacterSet == declaration.decode()
        assert ds.PatientName == name


def test_plain_ascii_needs_no_character_set():
    for ds in headers(files("latin-1", None, "Mueller^Joerg")):
        assert "SpecificCharacterSet" not in ds
        assert ds.PatientName == "Mueller^Joerg"


def test_the_log_says_that_it_was_told_and_names_nobody(caplog):
    caplog.set_level("INFO")
    headers(files("utf-8", None))
    assert "4 of 4 instances declare no character set; their text is taken for ISO_IR 192" in caplog.text
    assert "ller" not in caplog.text
