"""``python -m unetr evaluate``: how good a model is, on synthetic volumes made from seeds or on labelled NIfTI."""

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict
from math import isnan
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage
from tqdm import tqdm

from settings import load_settings
from unetr.commands.nifti import RAS_TO_LPS, as_axial, find_images
from unetr.loading.converted import usable_bundle
from unetr.metrics import Score, score, summarise
from unetr.predictor import Predictor, load_predictor
from unetr.synthesis.anatomy import mni152
from unetr.synthesis.generator import synthesize

_MODEL = "bundle folder, or MetIA checkpoint (default: %(default)s)"
_EXAMPLES = """examples:
  python -m unetr evaluate --synthetic 20
  python -m unetr evaluate --synthetic 5 --lesions 0               # healthy heads: what is found is false
  python -m unetr evaluate --images 'cases/*/t1ce.nii.gz' --mask seg.nii.gz --labels 1 4
"""


def describe(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Measure sensitivity by lesion size, false lesions and Dice. The same seed gives the same figures."
    )
    parser.epilog = _EXAMPLES
    parser.add_argument("--model", type=Path, default=Path("models/segresnet"), help=_MODEL)
    parser.add_argument("--synthetic", type=int, default=0, metavar="N", help="number of synthetic volumes")
    parser.add_argument("--seed", type=int, default=900_000, help="of the first volume (default: %(default)s)")
    parser.add_argument("--lesions", type=int, help="lesions in each synthetic volume (default: 0-30 at random)")
    parser.add_argument("--images", metavar="PATTERN", help="NIfTI images, a pattern with *")
    parser.add_argument("--mask", help="name of the mask beside each image")
    parser.add_argument("--labels", type=int, nargs="+", default=[1], help="values of the mask that are lesion")
    parser.add_argument("--json", type=Path, help="write the scores of each volume here")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    predictor = load_predictor(usable_bundle(options.model, load_settings().var_dir))
    if options.images:
        paths = find_images(options.images)
        cases = _nifti(paths, options.mask, options.labels)
        count = len(paths)
    else:
        count = options.synthetic
        cases = _synthetic(range(options.seed, options.seed + count), options.lesions)
    if count == 0:
        raise SystemExit("nothing to evaluate: give --synthetic N or --images PATTERN")
    bar = tqdm(cases, total=count, unit="volume")
    scores = [_evaluate(predictor, name, image, affine, reference) for name, image, affine, reference in bar]
    print(summarise(scores))  # noqa: T201 - the command's answer
    if options.json:
        rows = [asdict(s) | {"dice": None if isnan(s.dice) else s.dice} for s in scores]
        options.json.write_text(json.dumps(rows, indent=2) + "\n", "utf-8")
    return 0


def _evaluate(predictor: Predictor, name: str, image: np.ndarray, affine: np.ndarray, reference: np.ndarray) -> Score:
    reference, _ = as_axial(reference, affine)
    image, affine = as_axial(image, affine)
    prediction = predictor.predict(image, affine)
    voxel = float(abs(np.linalg.det(affine[:3, :3])))
    mask = _large_enough(prediction.mask, prediction.minimum_volume_mm3 / voxel)
    return score(name, reference, mask, voxel)


def _large_enough(mask: np.ndarray, voxels: float) -> np.ndarray:
    labels, count = ndimage.label(mask, np.ones((3, 3, 3)))
    keep = np.bincount(labels.ravel(), minlength=count + 1) >= voxels
    keep[0] = False
    return keep[labels]


def _synthetic(seeds: range, lesions: int | None) -> Iterator[tuple[str, np.ndarray, np.ndarray, np.ndarray]]:
    anatomy = mni152()
    for seed in seeds:
        volume = synthesize(anatomy, seed, lesions=lesions)
        reference = volume.fraction.numpy() >= 0.5
        yield f"synthetic {seed}", volume.image.numpy(), RAS_TO_LPS @ volume.affine, reference


def _nifti(
    paths: list[Path], mask: str | None, labels: list[int]
) -> Iterator[tuple[str, np.ndarray, np.ndarray, np.ndarray]]:
    for path in paths:
        image = nib.Nifti1Image.from_filename(path)
        if mask is None:  # a healthy head
            reference = np.zeros(image.shape, bool)
        else:
            reference = np.isin(np.asarray(nib.Nifti1Image.from_filename(path.parent / mask).dataobj), labels)
        yield path.parent.name, image.get_fdata(dtype=np.float32), RAS_TO_LPS @ image.affine, reference
