"""A folder as an archive: finds every instance among anything else, and never overwrites what is not ours."""

import copy
from itertools import count
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid

from Orthanc.archive import (
    ArchiveError,
    ArchiveUnavailableError,
    SeriesNotFoundError,
    StoreRejectedError,
    StudyNotFoundError,
)
from Orthanc.folder import FolderArchive, replace_results
from results.context import derive_uid
from tests import factory


def head(description: str = "T1 MPRAGE post Gd", slices: int = 3) -> list[Dataset]:
    source = factory.volume(shape=(slices, 12, 10))
    return factory.series_datasets(source, series_description=description, series_instance_uid=generate_uid())


def result(modality: str = "SEG", job_id: str = "j1") -> Dataset:
    """Stand in for a result: an instance that carries our mark."""
    dataset = copy.deepcopy(head(slices=3)[0])
    dataset.Modality = modality
    dataset.SeriesInstanceUID = derive_uid(job_id, f"{modality} series")
    equipment = Dataset()
    equipment.Manufacturer = "MetIA server"
    equipment.ContributionDescription = f"{modality} of job {job_id}"
    dataset.ContributingEquipmentSequence = [equipment]
    uid = UID(derive_uid(job_id, f"{modality} instance"))
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid
    return dataset


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "Fälle # 1"
    folder.mkdir()
    return folder


def write(folder: Path, datasets: list[Dataset], name: str = "{}") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for k, dataset in enumerate(datasets):
        dcmwrite(folder / name.format(k), dataset, enforce_file_format=True)


def test_finds_instances_anywhere_among_anything(
    source: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = head(), head("T2 FLAIR", slices=4)
    write(source / "a" / "b c", first, "IM{}")
    write(source / "d", second, "{}.dcm")
    (source / "report.pdf").write_bytes(b"%PDF-1.7 " * 50)
    (source / "DICOMDIR").write_bytes((source / "d" / "0.dcm").read_bytes())
    (source / "empty").touch()
    whole = (source / "d" / "1.dcm").read_bytes()
    (source / "cut.dcm").write_bytes(whole[:200])
    (source / "text.dcm").write_bytes(bytes(128) + b"DICM" + b"no such thing" * 9)

    archive = FolderArchive(source, tmp_path / "out")
    study = first[0].StudyInstanceUID
    assert archive.study_instance_uids() == [study]
    listed = {str(one.header.SeriesInstanceUID): one for one in archive.list_series(study)}
    assert {uid: one.number_of_instances for uid, one in listed.items()} == {
        str(first[0].SeriesInstanceUID): 3,
        str(second[0].SeriesInstanceUID): 4,
    }
    assert listed[str(second[0].SeriesInstanceUID)].header.SeriesDescription == "T2 FLAIR"
    assert "cut.dcm" in caplog.text
    assert "text.dcm" in caplog.text
    assert "report.pdf" not in caplog.text


def test_fetches_pixels_and_reports_progress(source: Path, tmp_path: Path) -> None:
    stored = head()
    write(source, stored)
    fractions: list[float] = []
    fetched = FolderArchive(source, tmp_path / "out").fetch_series(
        stored[0].StudyInstanceUID, stored[0].SeriesInstanceUID, fractions.append
    )
    assert fractions == pytest.approx([1 / 3, 2 / 3, 1])
    assert {one.SOPInstanceUID: one.PixelData for one in fetched} == {
        one.SOPInstanceUID: one.PixelData for one in stored
    }


def test_reads_explicit_vr_without_meta_header(source: Path, tmp_path: Path) -> None:
    (dataset,) = head(slices=3)[:1]
    dcmwrite(source / "bare", Dataset(dataset), implicit_vr=False, little_endian=True)
    (fetched,) = FolderArchive(source, tmp_path).fetch_series(dataset.StudyInstanceUID, dataset.SeriesInstanceUID)
    assert fetched.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert (fetched.pixel_array == dataset.pixel_array).all()


@pytest.mark.parametrize("with_meta_header", [True, False])
def test_reads_implicit_vr_with_and_without_meta_header(source: Path, tmp_path: Path, with_meta_header: bool) -> None:
    (dataset,) = head(slices=3)[:1]
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    if with_meta_header:
        write(source, [dataset])
    else:
        bare = Dataset(dataset)
        dcmwrite(source / "bare", bare, implicit_vr=True, little_endian=True)
        assert (source / "bare").read_bytes()[128:132] != b"DICM"
    (fetched,) = FolderArchive(source, tmp_path).fetch_series(dataset.StudyInstanceUID, dataset.SeriesInstanceUID)
    assert (fetched.pixel_array == dataset.pixel_array).all()


def test_a_copy_of_a_file_counts_once(source: Path, tmp_path: Path) -> None:
    stored = head()
    write(source / "original", stored)
    write(source / "copy", stored)
    (summary,) = FolderArchive(source, tmp_path).list_series(stored[0].StudyInstanceUID)
    assert summary.number_of_instances == 3


def test_unknown_folder_study_and_series(source: Path, tmp_path: Path) -> None:
    with pytest.raises(ArchiveUnavailableError, match="nowhere is not a folder"):
        FolderArchive(source / "nowhere", tmp_path)
    stored = head()
    write(source, stored)
    archive = FolderArchive(source, tmp_path)
    with pytest.raises(StudyNotFoundError, match=r"1\.2\.3"):
        archive.list_series("1.2.3")
    with pytest.raises(SeriesNotFoundError, match=r"1\.2\.3"):
        archive.fetch_series(stored[0].StudyInstanceUID, "1.2.3")


def test_a_file_lost_since_the_search_is_named(source: Path, tmp_path: Path) -> None:
    stored = head()
    write(source, stored)
    archive = FolderArchive(source, tmp_path)
    (source / "1").unlink()
    with pytest.raises(ArchiveError, match="1"):
        archive.fetch_series(stored[0].StudyInstanceUID, stored[0].SeriesInstanceUID)


def test_stores_by_modality_and_replaces_only_its_own(tmp_path: Path) -> None:
    out = tmp_path / "out"
    archive = FolderArchive(tmp_path, out)
    archive.store([result("SEG", "j1"), result("RTSTRUCT", "j1")])
    archive.store([result("SEG", "j2"), result("RTSTRUCT", "j2")])
    assert sorted(path.name for path in out.iterdir()) == ["RTSTRUCT.dcm", "SEG.dcm"]
    assert dcmread(out / "SEG.dcm").SOPInstanceUID == derive_uid("j2", "SEG instance")

    physicians = head()[0]
    dcmwrite(out / "SEG.dcm", physicians, enforce_file_format=True)
    archive.store([result("SEG", "j3")])
    assert dcmread(out / "SEG.dcm").SOPInstanceUID == physicians.SOPInstanceUID
    assert dcmread(out / "SEG-2.dcm").SOPInstanceUID == derive_uid("j3", "SEG instance")


def test_two_of_a_modality_get_two_names(tmp_path: Path) -> None:
    out = tmp_path / "out"
    FolderArchive(tmp_path, out).store([result("SR", "j1"), result("SR", "j2")])
    assert sorted(path.name for path in out.iterdir()) == ["SR-2.dcm", "SR.dcm"]


def test_a_failed_store_leaves_nothing(tmp_path: Path) -> None:
    out = tmp_path / "out"
    broken = result("RTSTRUCT")
    del broken.file_meta.TransferSyntaxUID
    with pytest.raises(StoreRejectedError, match="cannot write"):
        FolderArchive(tmp_path, out).store([result("SEG"), broken])
    assert list(out.iterdir()) == []


def run(tmp_path: Path, job: str, *modalities: str) -> None:
    """Put the results of a run into the folder ``out``, with its list beside them."""
    made = tmp_path / f"made {job}"
    FolderArchive(tmp_path, made).store([result(modality, job) for modality in modalities])
    (made / "lesions.json").write_text(job, "utf-8")
    replace_results(made, tmp_path / "out")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_results_take_the_place_of_an_earlier_run(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    dcmwrite(out / "SEG.dcm", head()[0], enforce_file_format=True)
    (out / "broken.dcm").write_bytes(bytes(128) + b"DICM" + b"\xff" * 40)
    theirs = contents(out)
    run(tmp_path, "j1", "SEG", "RTSTRUCT", "SR")
    assert set(contents(out)) == {*theirs, "SEG-2.dcm", "RTSTRUCT.dcm", "SR.dcm", "lesions.json"}
    run(tmp_path, "j2", "SEG", "SR", "SR")
    assert set(contents(out)) == {*theirs, "SEG-2.dcm", "SR.dcm", "SR-2.dcm", "lesions.json"}
    assert dcmread(out / "SEG-2.dcm").SOPInstanceUID == derive_uid("j2", "SEG instance")
    assert (out / "lesions.json").read_text("utf-8") == "j2"
    assert theirs.items() <= contents(out).items()


@pytest.mark.parametrize("refused", range(6))
def test_results_that_cannot_all_be_put_in_place_leave_the_earlier_ones(tmp_path, monkeypatch, refused: int) -> None:
    run(tmp_path, "j1", "SEG", "RTSTRUCT")
    before = contents(tmp_path / "out")
    move, calls = Path.replace, count()

    def refuse(path: Path, target: Path) -> Path:
        if next(calls) == refused:
            raise PermissionError(13, "in use", str(path))
        return move(path, target)

    made = tmp_path / "made j2"
    FolderArchive(tmp_path, made).store([result("SEG", "j2"), result("RTSTRUCT", "j2")])
    (made / "lesions.json").write_text("j2", "utf-8")
    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(StoreRejectedError, match="in use"):
        replace_results(made, tmp_path / "out")
    assert contents(tmp_path / "out") == before


def test_an_output_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(StoreRejectedError):
        FolderArchive(tmp_path, tmp_path / "out").store([result()])
