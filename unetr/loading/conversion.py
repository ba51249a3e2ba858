"""A MetIA checkpoint becomes a MONAI bundle, once."""

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from unetr.bundle import ModelError
from unetr.loading.checkpoint import read_metia_checkpoint
from unetr.training.export import INTENDED_USE, describe_data, written_beside

log = logging.getLogger(__name__)

_STATEMENT = "Converted from a MetIA checkpoint; how good it is was not measured here. Not a medical device."


def convert(
    checkpoint: Path,
    bundle: Path,
    *,
    name: str = "MetIA",
    version: str | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> None:
    """Write a MetIA checkpoint as a MONAI bundle; the folder is there when it is complete, and else not at all.

    Parameters
    ----------
    bundle
        Folder to write, not there yet.
    version
        By default the beginning of the checkpoint's SHA-256.
    on_progress
        Called with the fraction read, 0-1.

    Raises
    ------
    ModelError
        When the checkpoint cannot be used, or the folder not be written.
    """
    if bundle.exists():
        raise ModelError(f"{bundle} is there already: name another folder, or remove that one.")
    read = read_metia_checkpoint(checkpoint, on_progress)
    with checkpoint.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    metadata = {
        "name": name,
        "version": version or sha256[:12],
        "statement": _STATEMENT,
        "description": "Brain metastases in post-contrast T1: a UNETR trained with MetIA, with its own preprocessing.",
        "intended_use": INTENDED_USE,
        "data_source": f"MetIA checkpoint {checkpoint.name}, SHA-256 {sha256}",
        "preprocessing": "metia",
        # What MetIA did with a probability, and no more.
        "postprocessing": {"threshold": 0.5, "peak": 0.5, "minimum_volume_mm3": 0.0, "overlap": read.overlap},
        "network_data_format": _describe_data(read.network),
    }
    with written_beside(bundle, read.weights, read.network, metadata) as whole:
        _put_in_place(whole, bundle)


def _put_in_place(whole: Path, bundle: Path) -> None:
    try:
        whole.replace(bundle)
    except OSError:
        if not (bundle / "configs").is_dir():
            raise
        log.info("%s was converted by another process meanwhile", bundle)


def _describe_data(network: dict[str, Any]) -> dict[str, Any]:
    classes = network["out_channels"]
    lesions = {str(n): "brain metastasis" if classes == 2 else f"lesion, class {n}" for n in range(1, classes)}
    return describe_data(
        network,
        shows="T1 post-contrast, every 1.5th row and column and every 2nd slice, air = 0.4",
        brightest=1,
        activation="softmax",
        channels={"0": "background", **lesions},
    )
