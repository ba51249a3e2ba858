"""What a series' header says about how it was acquired, whether single-frame or enhanced multi-frame."""

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from imaging.planes import find_value, groups_of_first_plane
from imaging.words import ARTERIAL_SPIN_LABELLING, names_no_agent, plain, without_contrast_words


@dataclass(frozen=True, eq=False)
class Protocol:
    """How a series was acquired; what its header does not say is None.

    Attributes
    ----------
    header
        Metadata of one of its instances.
    number_of_instances
        Of the series.
    """

    header: Dataset
    number_of_instances: int

    @cached_property
    def description(self) -> str:
        """SeriesDescription, or ProtocolName where that is empty."""
        return self._text("SeriesDescription") or self._text("ProtocolName")

    @cached_property
    def words(self) -> str:
        """The description in plain words."""
        return plain(self.description)

    @cached_property
    def protocol_words(self) -> str:
        """ProtocolName and the names of the pulse sequence, in plain words."""
        return plain(" ".join(self._text(k) for k in ("ProtocolName", "SequenceName", "PulseSequenceName")))

    @cached_property
    def image_type(self) -> tuple[str, ...]:
        """ImageType, in capitals."""
        value = self.header.get("ImageType") or ()
        return tuple(str(part).upper() for part in ([value] if isinstance(value, str) else value))

    @cached_property
    def number_of_slices(self) -> int:
        """Instances, or frames where there are more."""
        return max(self.number_of_instances, self._count("NumberOfFrames"))

    @cached_property
    def number_of_time_points(self) -> int:
        """NumberOfTemporalPositions; 1 where it does not say."""
        return self._count("NumberOfTemporalPositions")

    @cached_property
    def is_3d(self) -> bool | None:
        """Whether the acquisition was three-dimensional."""
        if kind := self._text("MRAcquisitionType"):
            return kind == "3D"
        words = f"{self.words} {self.protocol_words}".split()
        return True if "3d" in words else False if "2d" in words else None

    @cached_property
    def slice_thickness(self) -> float | None:
        """SliceThickness in mm."""
        return self._number("SliceThickness")

    @cached_property
    def echo_time(self) -> float | None:
        """EchoTime in ms."""
        return self._number("EchoTime") or self._number("EffectiveEchoTime")

    @cached_property
    def repetition_time(self) -> float | None:
        """RepetitionTime in ms."""
        return self._number("RepetitionTime")

    @cached_property
    def inversion_time(self) -> float | None:
        """InversionTime in ms."""
        return self._number("InversionTime") or self._number("InversionTimes")

    @cached_property
    def orientation(self) -> npt.NDArray[np.float64] | None:
        """ImageOrientationPatient of the first plane, shape (6,)."""
        try:
            cosines = np.array(find_value(self._groups, "ImageOrientationPatient"), dtype=float)
        except (TypeError, ValueError):
            return None
        return cosines if cosines.shape == (6,) and np.isfinite(cosines).all() else None

    @cached_property
    def sequence(self) -> frozenset[str]:
        """ScanningSequence (GR, SE, IR, EP); of an enhanced instance the same in these words."""
        value = self.header.get("ScanningSequence") or ()
        found = {str(part).upper() for part in ([value] if isinstance(value, str) else value)}
        pulse = self._text("EchoPulseSequence").upper()
        found |= {"GRADIENT": {"GR"}, "SPIN": {"SE"}, "BOTH": {"GR", "SE"}}.get(pulse, set())
        if self._text("EchoPlanarPulseSequence").upper() == "YES":
            found.add("EP")
        return frozenset(found)

    @cached_property
    def acquisition_contrast(self) -> str:
        """AcquisitionContrast of an enhanced instance (T1, T2, FLUID_ATTENUATED, DIFFUSION, ...)."""
        return str(find_value(self._groups, "AcquisitionContrast") or "").upper()

    @cached_property
    def contrast_agent(self) -> str | None:
        """The contrast agent the header names, or None."""
        if agent := self._text("ContrastBolusAgent"):
            return None if names_no_agent(plain(agent)) else agent
        if items := self.header.get("ContrastBolusAgentSequence"):
            meaning = str(items[0].get("CodeMeaning") or "unnamed")
            return None if names_no_agent(plain(meaning)) else meaning
        dose = self._number("ContrastBolusVolume") or self._number("ContrastBolusTotalDose")
        return f"{dose:g} ml" if dose else None

    @cached_property
    def is_spin_labelling(self) -> bool:
        """Whether it is arterial spin labelling or a map of it: perfusion measured without any injection."""
        if "ASL" in self.image_type or find_value(self._groups, "ArterialSpinLabelingContrast"):
            return True
        return ARTERIAL_SPIN_LABELLING.search(f"{self.words} {self.protocol_words}") is not None

    @cached_property
    def acquired(self) -> datetime | None:
        """When the acquisition began."""
        for keyword in ("AcquisitionDateTime", "FrameAcquisitionDateTime"):
            if moment := _moment(str(find_value(self._groups, keyword) or "")):
                return moment
        for kind in ("Acquisition", "Series", "Content"):
            date = self._text(f"{kind}Date") or self._text("StudyDate") or "19000101"
            if (time := self._text(f"{kind}Time")) and (moment := _moment(date + time)):
                return moment
        return None

    def same_as(self, other: "Protocol") -> bool:
        """Return whether both were acquired by the same protocol, whatever their names say about contrast."""
        if without_contrast_words(self.words) != without_contrast_words(other.words) or self.is_3d != other.is_3d:
            return False
        pairs = [
            (getattr(self, name), getattr(other, name))
            for name in ("repetition_time", "echo_time", "inversion_time", "slice_thickness")
        ]
        if any(abs(a - b) > 0.1 * max(a, b) for a, b in pairs if a is not None and b is not None):
            return False
        mine, theirs = self.orientation, other.orientation
        return mine is None or theirs is None or bool(np.abs(mine - theirs).max() < 0.5)

    @cached_property
    def _groups(self) -> tuple[Dataset, ...]:
        return groups_of_first_plane(self.header)

    def _text(self, keyword: str) -> str:
        return str(self.header.get(keyword) or "").strip()

    def _number(self, keyword: str) -> float | None:
        try:
            value = find_value(self._groups, keyword)
            return None if value is None else float(np.ravel(np.asarray(value, dtype=float))[0])
        except (ValueError, OverflowError, IndexError):
            return None

    def _count(self, keyword: str) -> int:
        number = self._number(keyword)
        return int(number) if number is not None and np.isfinite(number) else 1


def _moment(text: str) -> datetime | None:
    digits = "".join(c for c in text.split(".")[0] if c.isdigit())[:14]
    try:
        return datetime.strptime(digits.ljust(14, "0"), "%Y%m%d%H%M%S") if len(digits) >= 10 else None
    except ValueError:
        return None
