"""An archive in memory, a network that needs no torch, and pipelines that fail where they are told to."""

import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from pydicom import Dataset, dcmread

from imaging.selection import SeriesSummary
from Orthanc.archive import DicomFile, Held, NotOursError, SeriesNotFoundError, StudyNotFoundError
from Orthanc.dicomweb import OrthancArchive
from results.context import is_ours
from unetr.bundle import BundleInfo

MODEL_SHA256 = "cd" * 32


def orthanc_name(uid: str) -> str:
    """Make up Orthanc's own name of a resource."""
    digits = hashlib.sha1(uid.encode(), usedforsecurity=False).hexdigest()
    return "-".join(digits[start : start + 8] for start in range(0, 40, 8))


class MemoryArchive(OrthancArchive):
    """One in memory; ``fail`` is called with each method's name and may raise."""

    def __init__(self, *datasets: Dataset) -> None:
        self.url = "the memory"
        self.instances: dict[str, Dataset] = {str(dataset.SOPInstanceUID): dataset for dataset in datasets}
        self.fail: Callable[[str], object] = lambda _: None
        self.calls: list[str] = []

    def _called(self, method: str) -> None:
        self.calls.append(method)
        self.fail(method)

    def series(self, modality: str | None = None) -> set[str]:
        """SeriesInstanceUIDs it holds, of a modality."""
        return {
            str(dataset.SeriesInstanceUID)
            for dataset in self.instances.values()
            if modality in (None, dataset.Modality)
        }

    def check(self) -> str:
        self._called("check")
        return "Memory 1.0"

    def list_series(self, study_instance_uid: str) -> list[SeriesSummary]:
        self._called("list_series")
        by_series: dict[str, list[Dataset]] = {}
        for dataset in self.instances.values():
            if dataset.StudyInstanceUID == study_instance_uid:
                by_series.setdefault(str(dataset.SeriesInstanceUID), []).append(dataset)
        if not by_series:
            raise StudyNotFoundError(f"there is no study {study_instance_uid}")
        return [SeriesSummary(instances[0], len(instances)) for instances in by_series.values()]

    def fetch_series(
        self, study_instance_uid: str, series_instance_uid: str, on_progress: Callable[[float], None] | None = None
    ) -> list[Dataset]:
        self._called("fetch_series")
        if on_progress:
            on_progress(0.5)
        found = [one for one in self.instances.values() if one.SeriesInstanceUID == series_instance_uid]
        if not found:
            raise SeriesNotFoundError(f"there is no series {series_instance_uid}")
        return found

    def held(self, study_instance_uid: str, series_instance_uid: str) -> Held:
        found = [one for one in self.instances.values() if one.SeriesInstanceUID == series_instance_uid]
        if not found:
            raise SeriesNotFoundError(f"there is no series {series_instance_uid}")
        state = sorted(f"{one.PatientID} {one.SOPInstanceUID} {id(one)}" for one in found)
        return Held(study_instance_uid, series_instance_uid, " ".join(state))

    def store(self, datasets: Sequence[Dataset], source: Held | None = None) -> None:
        self._check_held(source)
        self._called("store")
        self.instances |= {str(dataset.SOPInstanceUID): dataset for dataset in datasets}

    def store_files(self, files: Sequence[DicomFile]) -> None:
        self.store([dcmread(io.BytesIO(file.read())) for file in files])

    def study_identifiers(self) -> list[str]:
        return sorted({orthanc_name(str(one.StudyInstanceUID)) for one in self.instances.values()})

    def study(self, identifier: str) -> dict[str, object]:
        for one in self.instances.values():
            if orthanc_name(str(one.StudyInstanceUID)) == identifier:
                return {"ID": identifier, "MainDicomTags": {"StudyInstanceUID": str(one.StudyInstanceUID)}}
        raise StudyNotFoundError(f"there is no study {identifier}")

    def delete_study(self, study_instance_uid: str) -> None:
        self._called("delete_study")
        kept = {uid: one for uid, one in self.instances.items() if one.StudyInstanceUID != study_instance_uid}
        if len(kept) == len(self.instances):
            raise StudyNotFoundError(f"there is no study {study_instance_uid}")
        self.instances = kept

    def retire_series(self, series_instance_uid: str) -> bool:
        self._called("retire_series")
        found = {uid: one for uid, one in self.instances.items() if one.SeriesInstanceUID == series_instance_uid}
        if not all(is_ours(dataset) for dataset in found.values()):
            raise NotOursError(series_instance_uid)
        for uid in found:
            del self.instances[uid]
        return bool(found)


@dataclass(frozen=True)
class PredictionStub:
    probability: np.ndarray
    mask: np.ndarray
    minimum_volume_mm3: float = 5.0


@dataclass
class PredictorStub:
    """Finds the lesions of ``factory.volume``, which are brighter than all else."""

    during: Callable[[], object] = lambda: None
    info: BundleInfo = field(
        default_factory=lambda: BundleInfo(Path("none"), "stub", "1.0", "Not a medical device.", {}, {})
    )

    def __post_init__(self) -> None:
        self.info.__dict__["sha256"] = MODEL_SHA256

    def predict(self, image: np.ndarray, affine: np.ndarray, on_progress: Callable[[float], None]) -> PredictionStub:
        self.during()
        on_progress(0.25)
        mask = image > 600
        on_progress(1.0)
        return PredictionStub(mask.astype(np.float32), mask)
