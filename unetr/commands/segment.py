"""``python -m unetr segment``: the lesions in NIfTI images, and how probable each voxel is to be one."""

import argparse
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from settings import load_settings
from unetr.commands.cases import ImageFile, find_images
from unetr.commands.nifti import as_axial, as_stored, check, read_image, write_on_grid_of
from unetr.commands.options import check_folder
from unetr.commands.volumes import measure_each
from unetr.components import label
from unetr.predictor import Predictor, open_model

_EXAMPLES = """examples:
  python -m unetr segment found --images 'cases/*/t1ce.nii.gz'
  python -m unetr segment found --images 'cases/*/t1ce.nii.gz' --model models/mine --probability
"""
_NO_PEAK = 0.5
"""A peak that every voxel of a lesion reaches takes nothing out."""


def describe(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Mark the lesions in post-contrast T1 (NIfTI): NAME_lesions.nii.gz on the image's own grid, 0 where there is "
        "none, else the lesion's number, the largest first. NAME is what the pattern's * stands for. An image that "
        "proves useless is named and left out, and the command then ends with 1. Each file's header names the model."
    )
    parser.epilog = _EXAMPLES
    parser.add_argument("folder", type=Path, help="where the results go; what is there of the same name is replaced")
    parser.add_argument("--images", metavar="PATTERN", required=True, help="NIfTI images, a pattern with *")
    parser.add_argument("--model", type=Path, help="bundle folder, or MetIA checkpoint (default: MODEL_PATH)")
    parser.add_argument(
        "--probability",
        action="store_true",
        help="write NAME_probability.nii.gz too, float32 on the image's grid: the probability from 0 to 1 that a voxel "
        "is lesion, smoothed as the model says, its log-odds shifted so that the model's threshold is 0.5. Nothing is "
        "taken out of it. The lesions are its pieces of 0.5 or more (of voxels that share a face, edge or corner) that "
        "reach the model's peak somewhere and have its smallest volume. That is exact where the model's voxels are the "
        "image's (1 mm), or its peak is 0.5; else it looks for the peak on its own grid, between whose voxels the map "
        "is interpolated: each lesion lies within a piece, which need not reach the peak here",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    check_folder(options.folder)
    images = find_images(options.images)
    check([image.path for image in images])
    predictor = open_model(load_settings(), options.model)
    options.folder.mkdir(parents=True, exist_ok=True)
    after = predictor.info.postprocessing
    print(  # noqa: T201 - the command's answer
        f"{predictor.info.name} {predictor.info.version}: threshold {after.threshold:g}, peak {after.peak:g}, "
        f"from {after.minimum_volume_mm3:g} mm3\n{predictor.info.statement}"
    )
    loads = {image.name: partial(_read, image) for image in images}
    segmented = measure_each(loads, partial(_segment, predictor, options))
    return 0 if len(segmented) == len(images) else 1


def _read(file: ImageFile) -> tuple[ImageFile, np.ndarray, np.ndarray]:
    return file, *read_image(file.path)


def _segment(predictor: Predictor, options: argparse.Namespace, read: tuple[ImageFile, np.ndarray, np.ndarray]) -> None:
    file, stored, affine = read
    image, turned = as_axial(stored, affine)  # as series are read: one preset goes by the order of slices
    info, after = predictor.info, predictor.info.postprocessing
    made_by = f"not a medical device; {info.name} {info.version}, weights {info.sha256[:12]}"
    answer = predictor.ask(image, turned)
    if options.probability:
        whole = replace(answer, probability=answer.probability.clone()).read(after.threshold, _NO_PEAK, 0)
        path = options.folder / f"{file.name}_probability.nii.gz"
        write_on_grid_of(file.path, as_stored(whole.probability, affine), path, made_by)
    prediction = answer.read(after.threshold, after.peak, after.minimum_volume_mm3)
    voxel_mm3 = float(abs(np.linalg.det(affine[:3, :3])))
    lesions = _largest_first(label(prediction.mask), prediction.minimum_volume_mm3 / voxel_mm3)
    path = options.folder / f"{file.name}_lesions.nii.gz"
    write_on_grid_of(file.path, as_stored(lesions, affine), path, made_by)
    volume = np.count_nonzero(lesions) * voxel_mm3 / 1000
    tqdm.write(f"{file.name}: lesions {lesions.max()}, {volume:.2f} ml in all")


def _largest_first(labels: np.ndarray, fewest: float) -> np.ndarray:
    """Number the components anew, uint16, those of fewer voxels left out."""
    voxels = np.bincount(labels.ravel())
    voxels[0] = 0
    kept = [n for n in np.argsort(-voxels, kind="stable") if n and voxels[n] >= fewest]
    numbers = np.zeros(len(voxels), np.uint16)
    numbers[kept] = np.arange(1, len(kept) + 1)
    return numbers[labels]
