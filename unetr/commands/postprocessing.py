"""How a model's answer is read, as options: those that ``export`` takes, and ``tune`` writes out for it."""

import argparse
from dataclasses import asdict

from unetr.bundle import Postprocessing

_MEANING = {
    "peak": "probability a lesion reaches somewhere, once the threshold is shifted to 0.5: with one of 0.4, 0.75 is "
    "the network's own 0.67 (default: %(default)s)",
    "threshold": "probability from which a voxel is lesion (default: %(default)s)",
    "minimum_volume_mm3": "mm3 (default: %(default)s)",
    "overlap": "of the windows (default: %(default)s)",
    "smoothing": "of the probability map, voxels (default: %(default)s)",
    "mirror": "run each window mirrored too; takes twice as long",
}


def _option(field: str) -> str:
    return "--" + field.removesuffix("_mm3").replace("_", "-")


def add_postprocessing(parser: argparse.ArgumentParser) -> None:
    for field, default in asdict(Postprocessing()).items():
        kind = {"action": "store_true"} if isinstance(default, bool) else {"type": float, "default": default}
        parser.add_argument(_option(field), dest=field, help=_MEANING[field], **kind)


def chosen_postprocessing(options: argparse.Namespace) -> dict[str, float | bool]:
    """What the options say, for a bundle's metadata: the bundle that is written refuses what no map is read with."""
    return {field: getattr(options, field) for field in _MEANING}


def as_options(postprocessing: Postprocessing) -> str:
    """Write the options that give this, all of them: what is left out would be the default's, not the model's."""
    said = asdict(postprocessing).items()
    given = {_option(field): value for field, value in said if value is not False}
    return " ".join(option if value is True else f"{option} {value}" for option, value in given.items())
