"""The labelled volumes that a model is measured on: synthetic ones made from seeds, NIfTI with masks, or both."""

import argparse
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from unetr.commands.heads import add_head_options, chosen_anatomy
from unetr.commands.nifti import RAS_TO_LPS, as_axial, check, find_images, read_image, read_mask
from unetr.slices import average_slices
from unetr.synthesis.generator import synthesize


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
        """See it in thick slices; a lesion that fills half of no voxel then is none of the reference any more."""
        image, affine = average_slices(self.image, self.affine, thickness_mm)
        return LabelledVolume(self.name, image, affine, average_slices(self.fraction, self.affine, thickness_mm)[0])

    @property
    def reference(self) -> np.ndarray:
        """The voxels that are lesion, bool: those filled by half or more."""
        return self.fraction >= 0.5

    @property
    def voxel_mm3(self) -> float:
        return float(abs(np.linalg.det(self.affine[:3, :3])))


def add_options(parser: argparse.ArgumentParser, seed: int) -> None:
    """Add the options that say which volumes; ``seed`` is the default of the first synthetic one."""
    parser.add_argument("--synthetic", type=int, default=0, metavar="N", help="number of synthetic volumes")
    parser.add_argument("--seed", type=int, default=seed, help="of the first synthetic one (default: %(default)s)")
    add_head_options(parser)
    parser.add_argument("--images", metavar="PATTERN", help="NIfTI images, a pattern with *")
    parser.add_argument("--mask", help="name of the mask beside each image")
    parser.add_argument("--labels", type=int, nargs="+", default=[1], help="values of the mask that are lesion")
    parser.add_argument(
        "--slices",
        type=float,
        metavar="MM",
        help="average each volume, and its lesions, into axial slices of this thickness; what is lesion in less than "
        "half of each voxel is no lesion of the reference then (default: as they are)",
    )


def labelled_volumes(options: argparse.Namespace) -> tuple[int, Iterator[LabelledVolume]]:
    """How many volumes the options name, and one after the other.

    Raises
    ------
    SystemExit
        When they name none, or files that cannot be used; on the way, when slices thinner than a volume's own are
        asked for.
    """
    paths = find_images(options.images) if options.images else []
    seeds = range(options.seed, options.seed + options.synthetic)
    if options.images and not paths:
        raise SystemExit(f"{options.images} matches no image")
    if not paths and not seeds:
        raise SystemExit("nothing to evaluate: give --synthetic N or --images PATTERN")
    check(paths, options.mask)
    volumes = chain(_synthetic(seeds, options) if seeds else (), _nifti(paths, options.mask, options.labels))
    return len(seeds) + len(paths), _thick(volumes, options.slices) if options.slices else volumes


def _thick(volumes: Iterable[LabelledVolume], thickness_mm: float) -> Iterator[LabelledVolume]:
    for volume in volumes:
        try:
            yield volume.in_slices(thickness_mm)
        except ValueError as error:
            raise SystemExit(f"{volume.name}: {error}") from None


def _synthetic(seeds: range, options: argparse.Namespace) -> Iterator[LabelledVolume]:
    anatomy = chosen_anatomy(options)
    for seed in seeds:
        volume = synthesize(anatomy, seed, lesions=options.lesions, stripped=options.stripped)
        image, fraction = volume.image.numpy(), volume.fraction.numpy()
        yield LabelledVolume.of(f"synthetic {seed}", image, RAS_TO_LPS @ volume.affine, fraction)


def _nifti(paths: list[Path], mask: str | None, labels: list[int]) -> Iterator[LabelledVolume]:
    for path in paths:
        image, affine = read_image(path)
        reference = read_mask(path.parent / mask, path, labels) if mask else np.zeros(image.shape, bool)
        yield LabelledVolume.of(path.parent.name, image, affine, reference)
