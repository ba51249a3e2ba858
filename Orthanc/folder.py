"""A folder of DICOM files as an archive: the pipeline without any server.

The source is only read; results go to an output folder. The index is our own: dicomweb-client's DICOMfileClient does
not retrieve Implicit VR files, stops at the first truncated compressed one, and does not find a folder whose name
has a space in it.
"""

import logging
import os
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from pathlib import Path

from pydicom import Dataset, dcmread, dcmwrite
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from imaging.selection import SeriesSummary
from Orthanc.archive import (
    UID_KEYWORDS,
    ArchiveError,
    ArchiveUnavailableError,
    Held,
    OnProgress,
    SeriesNotFoundError,
    StoreRejectedError,
    StudyNotFoundError,
)
from results.context import is_ours

logger = logging.getLogger(__name__)

Series = dict[str, Path]
"""SOPInstanceUID -> file."""


class FolderArchive:
    """The DICOM files anywhere below a folder, among whatever else lies there.

    Parameters
    ----------
    source
        Searched once, when the archive is made; any file name and ending will do.
    output
        Where ``store`` writes; made when needed. It may lie inside the source.
    """

    def __init__(self, source: str | Path, output: str | Path) -> None:
        self.source = Path(source)
        self.output = Path(output)
        if not self.source.is_dir():
            raise ArchiveUnavailableError(f"{self.source} is not a folder")
        self._studies = _index(self.source)

    def study_instance_uids(self) -> list[str]:
        """Return the studies found, ordered by UID."""
        return sorted(self._studies)

    def list_series(self, study_instance_uid: str) -> list[SeriesSummary]:
        """Describe each series of a study by its first file's header."""
        return [
            SeriesSummary(header=_read(next(iter(files.values())), pixels=False), number_of_instances=len(files))
            for files in self._study(study_instance_uid).values()
        ]

    def fetch_series(
        self, study_instance_uid: str, series_instance_uid: str, on_progress: OnProgress | None = None
    ) -> list[Dataset]:
        """Read every instance of a series."""
        files = self._study(study_instance_uid).get(series_instance_uid)
        if files is None:
            raise SeriesNotFoundError(f"no series {series_instance_uid} in study {study_instance_uid}")
        datasets = []
        for path in files.values():
            datasets.append(_read(path, pixels=True))
            if on_progress is not None:
                on_progress(len(datasets) / len(files))
        return datasets

    def _study(self, study_instance_uid: str) -> dict[str, Series]:
        try:
            return self._studies[study_instance_uid]
        except KeyError:
            raise StudyNotFoundError(f"no study {study_instance_uid} in {self.source}") from None

    def held(self, study_instance_uid: str, series_instance_uid: str) -> Held:
        """Tell how a series is held: always so, for the source is searched once, and nothing is written beside it."""
        return Held(study_instance_uid, series_instance_uid, "")

    def store(self, datasets: Sequence[Dataset], source: Held | None = None) -> None:  # noqa: ARG002 - see held
        """Write each instance as MODALITY.dcm, such as SEG.dcm; all or none.

        A file of that name is replaced where it is ours, else the instance becomes MODALITY-2.dcm and so on.
        """
        written: dict[Path, Path] = {}
        try:
            self.output.mkdir(parents=True, exist_ok=True)
            for dataset in datasets:
                path = _free_path(self.output, str(dataset.Modality), taken=written)
                written[path] = path.with_suffix(".part")
                dcmwrite(written[path], dataset, enforce_file_format=True)
            for path, part in written.items():
                part.replace(path)
        except (OSError, ValueError) as error:
            for part in written.values():
                part.unlink(missing_ok=True)
            raise StoreRejectedError(f"cannot write to {self.output}: {error}") from error


def replace_results(made: Path, output: Path) -> None:
    """Move a run's results into the output folder, in place of those of earlier runs; all or, on an error, none.

    Instances that we wrote go, whichever the new ones are, and so do other files of the new ones' names. Other
    people's instances stay: where one of them has the name, ours becomes MODALITY-2.dcm and so on.

    Parameters
    ----------
    made
        Holds what the run has written and nothing else; on the same disk as ``output``. What was replaced is in it
        afterwards: remove it.
    output
        Made when needed.

    Raises
    ------
    StoreRejectedError
        The output folder holds what it held before.
    """
    former = made / "former"
    try:
        output.mkdir(parents=True, exist_ok=True)
        new = sorted(made.iterdir())
        targets: list[Path] = []
        for path in new:
            modality = path.stem.partition("-")[0]
            targets.append(_free_path(output, modality, targets) if _is_dcm(path) else output / path.name)
        names = {path.name for path in new if not _is_dcm(path)}
        old = [path for path in sorted(output.iterdir()) if path.name in names or (_is_dcm(path) and _ours(path))]
        former.mkdir()
        with ExitStack() as undo:
            for source, target in [*((path, former / path.name) for path in old), *zip(new, targets, strict=True)]:
                source.replace(target)
                undo.callback(target.replace, source)
            undo.pop_all()  # all have moved: nothing is taken back
    except OSError as error:
        raise StoreRejectedError(f"cannot write to {output}: {error}") from error


def _is_dcm(path: Path) -> bool:
    return path.suffix == ".dcm"


def _free_path(folder: Path, modality: str, taken: Collection[Path]) -> Path:
    """Return the first name of its modality that nothing has, or something of ours."""
    number = 1
    while True:
        path = folder / (f"{modality}.dcm" if number == 1 else f"{modality}-{number}.dcm")
        if path not in taken and (not path.exists() or _ours(path)):
            return path
        number += 1


def _ours(path: Path) -> bool:
    """Whether a file was written by this program; one that cannot be read was not."""
    try:
        return is_ours(_read(path, pixels=False))
    except ArchiveError:
        return False


def _index(folder: Path) -> dict[str, dict[str, Series]]:
    """Map StudyInstanceUID -> SeriesInstanceUID -> SOPInstanceUID -> file, in the order of the files' paths."""
    studies: dict[str, dict[str, Series]] = {}
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for path in (Path(parent, name) for name in sorted(names)):
            try:
                if not _looks_like_dicom(path):
                    continue
                header = dcmread(
                    path,
                    force=True,
                    stop_before_pixels=True,
                    specific_tags=["SOPClassUID", *UID_KEYWORDS],
                )
                study, series, instance = (str(header[keyword].value) for keyword in UID_KEYWORDS)
            except Exception as error:  # a damaged file can raise anything at all; the others are still good
                logger.warning("left out %s: not a readable DICOM instance (%s)", path, error)
                continue
            files = studies.setdefault(study, {}).setdefault(series, {})
            if instance in files:
                logger.warning("left out %s: the same instance as %s", path, files[instance])
                continue
            files[instance] = path
    return studies


def _looks_like_dicom(path: Path) -> bool:
    """Whether a file starts like a DICOM instance, with or without its preamble; a DICOMDIR holds none."""
    if path.name.upper() == "DICOMDIR" or not path.is_file():
        return False
    with path.open("rb") as file:
        start = file.read(132)
    return start[128:] == b"DICM" or start[:2] in (b"\x02\x00", b"\x08\x00")


def _read(path: Path, *, pixels: bool) -> Dataset:
    try:
        dataset = dcmread(path, force=True, stop_before_pixels=not pixels)
    except Exception as error:  # see _index
        raise ArchiveError(f"cannot read {path}: {error}") from error
    if "TransferSyntaxUID" not in dataset.file_meta:
        # A file without meta header: what pydicom took it for, so that its pixels can be decoded.
        implicit, little_endian = dataset.original_encoding
        explicit = ExplicitVRLittleEndian if little_endian else ExplicitVRBigEndian
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit
    return dataset
