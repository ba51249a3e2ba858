"""A model on disk: a MONAI bundle folder with metadata, network definition and weights.

::

    models/segresnet/
      configs/metadata.json     who made it, what it takes and gives, how well it was measured to do
      configs/inference.json    "network_def": the network and its keyword arguments; "inferer": the window
      models/model.safetensors  the weights; or model.pt, or model.ts (TorchScript)
      docs/README.md            the model card

Nothing here needs torch: the API process reads it too.
"""

import json
from dataclasses import dataclass, field, fields
from functools import cached_property
from math import inf
from pathlib import Path
from stat import S_ISDIR
from typing import Any

from unetr.definition import DefinitionError, describe_network, sliding_window
from unetr.errors import ModelError
from unetr.outputs import Outputs, applied_activation
from unetr.sections import section
from unetr.weights import find_weights, hash_of

__all__ = ["BundleInfo", "ModelError", "Postprocessing", "read_bundle"]

SPACING_MM: dict[str, list[float] | None] = {"ras-1mm": [1.0, 1.0, 1.0], "metia": None}
"""Spacing of the network's voxels by preprocessing; None where it depends on the series."""
PROVENANCE = ("data_source", "authors", "copyright", "license", "references", "changelog", "monai_version")


@dataclass(frozen=True)
class Postprocessing:
    """How a probability map becomes lesions.

    Attributes
    ----------
    threshold
        A voxel is lesion from this probability on.
    peak
        A lesion somewhere reaches this probability (after the shift that puts the threshold at 0.5), on the network's
        grid: a part that acquired slices cut off from there stays too.
    minimum_volume_mm3
        Smaller lesions are dropped.
    overlap
        Share of a window that the next one covers again, 0 to below 1.
    smoothing
        Standard deviation of the Gaussian that the probability map is smoothed with before anything is read from it,
        in voxels of the network's grid, 0 to 3. A ragged surface is measured too long, however right its volume.
    mirror
        Whether each window is run a second time with left and right exchanged, and the two are averaged.
    """

    threshold: float = 0.5
    peak: float = 0.5
    minimum_volume_mm3: float = 10.0
    overlap: float = 0.5
    smoothing: float = 0.0
    mirror: bool = False

    def __post_init__(self) -> None:
        """Refuse values that no probability map could be read with."""
        within_range = {
            "threshold": 0 < self.threshold < 1,
            "peak": 0 < self.peak < 1,
            "minimum_volume_mm3": 0 <= self.minimum_volume_mm3 < inf,
            "overlap": 0 <= self.overlap < 1,
            "smoothing": 0 <= self.smoothing <= 3,
            "mirror": isinstance(self.mirror, bool),
        }
        for name, fine in within_range.items():
            if not fine:
                raise ValueError(f"{name} = {getattr(self, name)} is out of range")


@dataclass(frozen=True)
class BundleInfo:
    """What is known of a model before its weights are loaded.

    Attributes
    ----------
    statement
        One sentence: how good the model was measured to be, on what, and that it is not a medical device.
    network
        ``network_def`` of ``inference.json`` in plain values, with the window as ``img_size``.
    preprocessing
        Which of ``unetr.preprocessing``'s ways to prepare a volume the network was trained with.
    applied
        The activation that the bundle's own postprocessing applies; counts where the metadata say none.
    """

    path: Path
    name: str
    version: str
    statement: str
    metadata: dict[str, Any]
    network: dict[str, Any]
    postprocessing: Postprocessing = field(default_factory=Postprocessing)
    preprocessing: str = "ras-1mm"
    applied: str | None = None

    @cached_property
    def weights(self) -> Path:
        """The weights' file; safetensors before PyTorch's pickles, these before TorchScript."""
        return find_weights(self.path)

    @property
    def window(self) -> tuple[int, int, int]:
        """Voxels along each axis of what the network sees at once."""
        a, b, c = self.network["img_size"]
        return a, b, c

    @cached_property
    def outputs(self) -> Outputs:
        return Outputs.of(self.metadata, self.network.get("out_channels", 2), self.applied)

    @cached_property
    def sha256(self) -> str:
        """Hash of the weights' file, hexadecimal."""
        return hash_of(self.weights)

    def same_as(self, other: "BundleInfo") -> bool:
        """Tell whether both describe one model with the same weights."""
        return self == other and self.sha256 == other.sha256

    def to_json(self) -> dict[str, Any]:
        """What ``GET /models`` shows."""
        formats = section(self.metadata, "network_data_format")
        return {
            "name": self.name,
            "version": self.version,
            "sha256": self.sha256,
            "statement": self.statement,
            "description": self.metadata.get("description", ""),
            "intended_use": self.metadata.get("intended_use", ""),
            "provenance": {key: self.metadata[key] for key in PROVENANCE if key in self.metadata},
            "network": self.network["_target_"],
            "window": list(self.window),
            "spacing_mm": SPACING_MM[self.preprocessing],
            "preprocessing": self.preprocessing,
            "inputs": section(formats, "inputs"),
            "labels": section(formats, "outputs", "pred", "channel_def"),
            "outputs": vars(self.outputs),
            "postprocessing": vars(self.postprocessing),
        }


def read_bundle(path: Path) -> BundleInfo:
    """Read a bundle's descriptions.

    Raises
    ------
    ModelError
        When the folder, one of its files, or one of the entries needed is missing or malformed, when the network is
        none that is known, takes other than one volume, or the weights' file is cut off.
    """
    path = Path(path)
    try:
        kind = path.stat().st_mode
    except OSError as error:
        told = "" if isinstance(error, FileNotFoundError | NotADirectoryError) else f" ({error.strerror})"
        raise ModelError(f"There is no model folder {path}{told}: set MODEL_PATH to a MONAI bundle.") from error
    if not S_ISDIR(kind):
        raise ModelError(f"{path} is no bundle but a file: python -m unetr convert makes one of a MetIA checkpoint.")
    named = [path / "configs" / name for name in ("metadata.json", "inference.json")]
    metadata, inference = map(_read_json, named)
    entries = {"name": path.resolve().name, "statement": _unmeasured(metadata, inference), **metadata}
    missing = [key for key in ("name", "version", "statement") if not isinstance(entries.get(key), str)]
    numbers = [key for key in missing if isinstance(entries.get(key), int | float)]
    if numbers:
        raise ModelError(f"{named[0]}: {numbers[0]} {json.dumps(entries[numbers[0]])} is no text: put it in quotes.")
    if missing:
        raise ModelError(f"{named[0]} lacks {', '.join(missing)}.")
    long = [key for key in ("name", "version") if not 1 <= len(entries[key]) <= 64]
    if long:  # DICOM writes them as LO
        raise ModelError(f"{named[0]}: {', '.join(long)} must have 1 to 64 characters.")
    preprocessing = entries.get("preprocessing", BundleInfo.preprocessing)
    if preprocessing not in list(SPACING_MM):  # whatever JSON holds, hashable or not
        raise ModelError(f"{named[0]}: preprocessing {preprocessing!r} is not one of {', '.join(SPACING_MM)}.")
    weights = find_weights(path)
    try:
        network = describe_network(inference, metadata, script=weights.suffix == ".ts")
        overlap = sliding_window(inference, "overlap")
    except DefinitionError as error:
        raise ModelError(f"{named[1]} {error}.") from error
    said = metadata.get("postprocessing", {})
    known = [one.name for one in fields(Postprocessing)]
    unknown = sorted(said.keys() - known) if isinstance(said, dict) else []
    if unknown:
        raise ModelError(f"{named[0]}: postprocessing: {unknown[0]!r} is unknown; known are {', '.join(known)}.")
    try:
        postprocessing = Postprocessing(**(said if overlap is None else {"overlap": overlap} | said))
    except (TypeError, ValueError) as error:
        raise ModelError(f"{named[0]}: postprocessing: {error}.") from error
    info = BundleInfo(
        path,
        entries["name"],
        entries["version"],
        entries["statement"],
        metadata,
        network,
        postprocessing,
        preprocessing,
        applied_activation(inference),
    )
    try:
        info.outputs  # noqa: B018 - read now, so that a contradiction shows now
    except ValueError as error:
        raise ModelError(f"{named[0]}: {error}.") from error
    return info


def _unmeasured(metadata: dict[str, Any], inference: dict[str, Any]) -> str:
    """What is said of a model whose metadata have no statement."""
    own = "preprocessing" in inference and "preprocessing" not in metadata
    other = f" Its input is prepared as {BundleInfo.preprocessing}, not as its own bundle says." if own else ""
    return f"Not a medical device. Not measured here.{other}"


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text("utf-8"), parse_constant=_no_number)
    except FileNotFoundError:
        raise ModelError(f"{path} is missing: this is no MONAI bundle.") from None
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is not valid JSON: {error}.") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path} holds no JSON object.")
    return content


def _no_number(word: str) -> float:
    raise ValueError(f"{word} is no number")  # and NaN is never the same again: its bundle would change at each look
