"""The labelled volumes that a model is measured on: synthetic ones made from seeds, NIfTI with masks, or both."""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import nibabel as nib
import numpy as np

from unetr.commands.heads import add_head_options, chosen_anatomy
from unetr.commands.nifti import RAS_TO_LPS, as_axial, find_images, read_mask
from unetr.synthesis.generator import synthesize


@dataclass(frozen=True)
class LabelledVolume:
    """An image with its lesions, turned as an axial series is read.

    Attributes
    ----------
    image, reference
        Numbers and bool; axes slice (to the feet), row (to posterior), column (to left).
    affine
        Index to patient LPS mm, 4x4.
    """

    name: str
    image: np.ndarray
    affine: np.ndarray
    reference: np.ndarray

    @classmethod
    def of(cls, name: str, image: np.ndarray, affine: np.ndarray, reference: np.ndarray) -> "LabelledVolume":
        """Turn any axes to those of an axial series."""
        turned, turned_affine = as_axial(image, affine)
        return cls(name, turned, turned_affine, as_axial(reference, affine)[0])

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


def labelled_volumes(options: argparse.Namespace) -> tuple[int, Iterator[LabelledVolume]]:
    """How many volumes the options name, and one after the other.

    Raises
    ------
    SystemExit
        When they name none.
    """
    paths = find_images(options.images) if options.images else []
    seeds = range(options.seed, options.seed + options.synthetic)
    if not paths and not seeds:
        raise SystemExit("nothing to evaluate: give --synthetic N or --images PATTERN")
    volumes = chain(_synthetic(seeds, options) if seeds else (), _nifti(paths, options.mask, options.labels))
    return len(seeds) + len(paths), volumes


def _synthetic(seeds: range, options: argparse.Namespace) -> Iterator[LabelledVolume]:
    anatomy = chosen_anatomy(options)
    for seed in seeds:
        volume = synthesize(anatomy, seed, lesions=options.lesions, stripped=options.stripped)
        reference = volume.fraction.numpy() >= 0.5
        yield LabelledVolume.of(f"synthetic {seed}", volume.image.numpy(), RAS_TO_LPS @ volume.affine, reference)


def _nifti(paths: list[Path], mask: str | None, labels: list[int]) -> Iterator[LabelledVolume]:
    for path in paths:
        image = nib.Nifti1Image.from_filename(path)
        reference = read_mask(path.parent / mask, labels) if mask else np.zeros(image.shape, bool)
        affine = RAS_TO_LPS @ image.affine
        yield LabelledVolume.of(path.parent.name, image.get_fdata(dtype=np.float32), affine, reference)
