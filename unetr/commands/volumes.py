"""The labelled volumes that a model is measured on: synthetic ones made from seeds, NIfTI with masks, or both."""

import argparse
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
from tqdm import tqdm

from unetr.commands.cases import ImageFile, find_images
from unetr.commands.heads import HEADS, add_head_options, chosen_anatomy
from unetr.commands.nifti import RAS_TO_LPS, as_axial, check, check_labels, read_image, read_lesions
from unetr.commands.options import LABELS, above_zero, add_labels, need, whole
from unetr.engines.memory import NotEnoughMemoryError
from unetr.errors import ModelError
from unetr.preprocessing import NothingToSegmentError
from unetr.slices import average_slices
from unetr.synthesis.anatomy import Anatomy
from unetr.synthesis.generator import synthesize
from unetr.volume_error import VolumeError

Loaded = TypeVar("Loaded")
Measured = TypeVar("Measured")


@dataclass(frozen=True)
class LabelledVolume:
    """An image with its lesions, turned as an axial series is read.

    Attributes
    ----------
    image
        Numbers; axes slice (to the feet), row (to posterior), column (to left).
    affine
        Index to patient LPS mm, 4x4.
    fraction
        How much of each voxel is lesion, 0-1 or bool, on the image's grid.
    """

    name: str
    image: np.ndarray
    affine: np.ndarray
    fraction: np.ndarray

    @classmethod
    def of(cls, name: str, image: np.ndarray, affine: np.ndarray, fraction: np.ndarray) -> "LabelledVolume":
        """Turn any axes to those of an axial series."""
        turned, turned_affine = as_axial(image, affine)
        return cls(name, turned, turned_affine, as_axial(fraction, affine)[0])

    def in_slices(self, thickness_mm: float) -> "LabelledVolume":
        """See it in thick slices; a lesion that fills half of no voxel then is none of the reference any more.

        Raises
        ------
        VolumeError
            When its own slices are thicker.
        """
        try:
            image, affine = average_slices(self.image, self.affine, thickness_mm)
        except ValueError as error:
            raise VolumeError(str(error)) from error
        return LabelledVolume(self.name, image, affine, average_slices(self.fraction, self.affine, thickness_mm)[0])

    @property
    def reference(self) -> np.ndarray:
        """The voxels that are lesion, bool: those filled by half or more."""
        return self.fraction >= 0.5

    @property
    def voxel_mm3(self) -> float:
        return float(abs(np.linalg.det(self.affine[:3, :3])))


Loads = Mapping[str, Callable[[], LabelledVolume]]
"""Volumes by name, each made or read when it is called for: all of them would fill the memory."""


def add_options(parser: argparse.ArgumentParser, seed: int) -> None:
    """Add the options that say which volumes; ``seed`` is the default of the first synthetic one."""
    parser.add_argument("--synthetic", type=whole(0), default=0, metavar="N", help="number of synthetic volumes")
    parser.add_argument("--seed", type=whole(0), default=seed, help="of the first synthetic one (default: %(default)s)")
    add_head_options(parser)
    parser.add_argument("--images", metavar="PATTERN", help="NIfTI images, a pattern with *")
    parser.add_argument("--mask", help="name of the mask beside each image (default: no lesion)")
    add_labels(parser)
    parser.add_argument(
        "--slices",
        type=above_zero,
        metavar="MM",
        help="average each volume, and its lesions, into axial slices of this thickness; what is lesion in less than "
        "half of each voxel is no lesion of the reference then (default: as they are)",
    )


def labelled_volumes(options: argparse.Namespace) -> Loads:
    """Find the volumes that the options name; to load one raises a ``VolumeError`` when it cannot be used.

    Raises
    ------
    SystemExit
        When the options name none, or say of what kind those are to be that they do not name.
    VolumeError
        When a pattern matches none, or files whose heads tell that they cannot be used.
    """
    need(options, "--synthetic", HEADS)
    need(options, "--images", {"mask": "--mask"})
    need(options, "--mask", LABELS)
    images = find_images(options.images) if options.images else []
    seeds = range(options.seed, options.seed + options.synthetic)
    if not images and not seeds:
        raise SystemExit("nothing to evaluate: give --synthetic N or --images PATTERN")
    paths = [image.path for image in images]
    check(paths, options.mask)
    if options.labels:
        check_labels(paths, options.mask, options.labels)
    volumes: dict[str, Callable[[], LabelledVolume]] = {}
    if seeds:
        anatomy = chosen_anatomy(options)
        volumes |= {f"synthetic {seed}": partial(_synthetic, anatomy, seed, options) for seed in seeds}
    volumes |= {image.name: partial(_nifti, image, options) for image in images}
    if options.slices:
        volumes = {name: partial(_thick, load, options.slices) for name, load in volumes.items()}
    return volumes


def _thick(load: Callable[[], LabelledVolume], thickness_mm: float) -> LabelledVolume:
    return load().in_slices(thickness_mm)


def measure_each(volumes: Mapping[str, Callable[[], Loaded]], measure: Callable[[Loaded], Measured]) -> list[Measured]:
    """Measure one volume after the other, with a bar; one that cannot be is named on stderr, and left out.

    Ctrl-C ends it with what was measured until then.

    Raises
    ------
    VolumeError
        When none was measured.
    """
    results: list[Measured] = []
    try:
        for name, load in tqdm(volumes.items(), unit="volume"):
            try:
                results.append(measure(load()))
            except (ModelError, VolumeError, NothingToSegmentError, NotEnoughMemoryError) as error:
                tqdm.write(f"{name} is left out: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        tqdm.write("ended by Ctrl-C", file=sys.stderr)
    left_out = len(volumes) - len(results)
    if not results:
        raise VolumeError(f"none of {left_out} volumes was measured")
    if left_out:
        print(f"{left_out} of {len(volumes)} volumes were not measured and are left out\n")  # noqa: T201
    return results


def _synthetic(anatomy: Anatomy, seed: int, options: argparse.Namespace) -> LabelledVolume:
    made = synthesize(anatomy, seed, lesions=options.lesions, stripped=options.stripped)
    image, fraction = made.image.numpy(), made.fraction.numpy()
    return LabelledVolume.of(f"synthetic {seed}", image, RAS_TO_LPS @ made.affine, fraction)


def _nifti(file: ImageFile, options: argparse.Namespace) -> LabelledVolume:
    image, affine = read_image(file.path)
    mask = file.path.parent / options.mask if options.mask else None
    lesions = read_lesions(mask, file.path, options.labels) if mask else np.zeros(image.shape, bool)
    return LabelledVolume.of(file.name, image, affine, lesions)
