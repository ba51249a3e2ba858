"""A model on disk: a MONAI bundle folder with metadata, network definition and safetensors weights.

::

    models/segresnet/
      configs/metadata.json     who made it, what it takes and gives, how well it was measured to do
      configs/inference.json    "network_def": the network and its keyword arguments
      models/model.safetensors  the weights
      docs/README.md            the model card

Nothing here needs torch: the API process reads it too.
"""

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from math import inf
from pathlib import Path
from typing import Any


class ModelError(Exception):
    """A model that cannot be used; the message is one plain sentence for the person who set MODEL_PATH."""


@dataclass(frozen=True)
class Postprocessing:
    """How a probability map becomes lesions.

    Attributes
    ----------
    threshold
        A voxel is lesion from this probability on.
    peak
        A lesion somewhere reaches this probability (after the shift that puts the threshold at 0.5).
    minimum_volume_mm3
        Smaller lesions are dropped.
    overlap
        Share of a window that the next one covers again, 0 to below 1.
    """

    threshold: float = 0.5
    peak: float = 0.5
    minimum_volume_mm3: float = 10.0
    overlap: float = 0.5

    def __post_init__(self) -> None:
        """Refuse values that no probability map could be read with."""
        within_range = {
            "threshold": 0 < self.threshold < 1,
            "peak": 0 < self.peak < 1,
            "minimum_volume_mm3": 0 <= self.minimum_volume_mm3 < inf,
            "overlap": 0 <= self.overlap < 1,
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
        ``network_def`` of ``inference.json``.
    preprocessing
        Which of ``unetr.preprocessing``'s ways to prepare a volume the network was trained with.
    """

    path: Path
    name: str
    version: str
    statement: str
    metadata: dict[str, Any]
    network: dict[str, Any]
    postprocessing: Postprocessing = field(default_factory=Postprocessing)
    preprocessing: str = "ras-1mm"

    @property
    def weights(self) -> Path:
        return self.path / "models" / "model.safetensors"

    @cached_property
    def sha256(self) -> str:
        """Hash of the weights' file, hexadecimal."""
        state = self.weights.stat()
        return _sha256(self.weights, state.st_mtime_ns, state.st_size)

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "version": self.version,
            "sha256": self.sha256,
            "statement": self.statement,
            "description": self.metadata.get("description", ""),
            "intended_use": self.metadata.get("intended_use", ""),
            "data_source": self.metadata.get("data_source", ""),
            "network": self.network["_target_"],
            "window": self.network.get("img_size"),
            "preprocessing": self.preprocessing,
            "network_data_format": self.metadata.get("network_data_format", {}),
            "postprocessing": vars(self.postprocessing),
        }


def read_bundle(path: Path) -> BundleInfo:
    """Read a bundle's descriptions.

    Raises
    ------
    ModelError
        When the folder, one of its files, or one of the entries needed is missing or malformed.
    """
    path = Path(path)
    if not path.is_dir():
        raise ModelError(f"There is no model folder {path}: set MODEL_PATH to a MONAI bundle.")
    metadata, inference = (_read_json(path / "configs" / name) for name in ("metadata.json", "inference.json"))
    network = inference.get("network_def")
    if not isinstance(network, dict) or "_target_" not in network:
        raise ModelError(f"{path / 'configs' / 'inference.json'} has no network_def with a _target_.")
    preprocessing = metadata.get("preprocessing", BundleInfo.preprocessing)
    if not isinstance(preprocessing, str):
        raise ModelError(f"{path / 'configs' / 'metadata.json'}: preprocessing must be a name, not {preprocessing}.")
    missing = [key for key in ("name", "version", "statement") if not isinstance(metadata.get(key), str)]
    if missing:
        raise ModelError(f"{path / 'configs' / 'metadata.json'} lacks {', '.join(missing)}.")
    long = [key for key in ("name", "version") if not 1 <= len(metadata[key]) <= 64]
    if long:  # DICOM writes them as LO
        raise ModelError(f"{path / 'configs' / 'metadata.json'}: {', '.join(long)} must have 1 to 64 characters.")
    try:
        postprocessing = Postprocessing(**metadata.get("postprocessing", {}))
    except (TypeError, ValueError) as error:
        raise ModelError(f"{path / 'configs' / 'metadata.json'}: postprocessing: {error}.") from error
    info = BundleInfo(
        path,
        metadata["name"],
        metadata["version"],
        metadata["statement"],
        metadata,
        network,
        postprocessing,
        preprocessing,
    )
    if not info.weights.is_file():
        raise ModelError(f"The weights {info.weights} are missing.")
    return info


@lru_cache(maxsize=64)
def _sha256(path: Path, modified_ns: int, size: int) -> str:  # noqa: ARG001 - a file that changes is another key
    """Hash a file that may be hundreds of megabytes, once for each state of it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ModelError(f"{path} is missing: this is no MONAI bundle.") from None
    except ValueError as error:
        raise ModelError(f"{path} is not valid JSON: {error}.") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path} holds no JSON object.")
    return content
