"""``python -m unetr adopt``: make training volumes of labelled real ones."""

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from re import escape, fullmatch
from zlib import crc32

import numpy as np
from tqdm import tqdm

from unetr.commands.cases import ImageFile, find_images
from unetr.commands.nifti import check, check_labels, read_brain, read_image, read_lesions, read_stripped
from unetr.commands.options import LABELS, add_labels, check_folder, need, whole
from unetr.errors import some_of
from unetr.preprocessing import NothingToSegmentError
from unetr.synthesis.pool import case_names, is_written, write_case
from unetr.synthesis.real import adopt
from unetr.volume_error import VolumeError

_PREFIX = "real_"
_EXAMPLES = """examples:
  python -m unetr adopt runs/real --images 'cases/*/t1ce.nii.gz' --mask seg.nii.gz --labels 1 4 --copies 4
  python -m unetr adopt runs/real --images 'bids/sub-*/anat/t1ce.nii.gz' --mask seg.nii.gz --leave-out sub-02
  python -m unetr adopt runs/heads --images 'heads/*/t1.nii.gz' --brain brain.nii.gz
  python -m unetr train runs/pool runs/real --run runs/both
"""


def describe(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Deform labelled post-contrast T1 (NIfTI), or healthy T1, and paint synthetic lesions into every other copy. "
        "Runs again where it stopped, with the same options."
    )
    parser.epilog = _EXAMPLES
    parser.add_argument("folder", type=Path, help="where the volumes go (NIfTI)")
    parser.add_argument("--images", metavar="PATTERN", required=True, help="NIfTI images, a pattern with *")
    parser.add_argument("--mask", help="name of the lesions' mask beside each image (default: no lesion)")
    parser.add_argument(
        "--brain", help="name of the brain's mask beside each image: whole heads (default: skull-stripped)"
    )
    add_labels(parser)
    parser.add_argument(
        "--leave-out",
        nargs="*",
        default=[],
        metavar="CASE",
        help="cases kept for validation: what the pattern's * stands for in their paths, or one of its folders",
    )
    parser.add_argument("--copies", type=whole(1), default=4, help="volumes made of each (default: %(default)s)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    need(options, "--mask", LABELS)
    check_folder(options.folder)
    options.folder.mkdir(parents=True, exist_ok=True)
    there = set(case_names(options.folder))
    images = _without(options.leave_out, find_images(options.images), there, options.folder)
    paths = [image.path for image in images]
    check(paths, options.mask, options.brain)
    if options.labels:
        check_labels(paths, options.mask, options.labels)
    made_with = _described(options)
    missing = []
    for image in images:
        names = {f"{_PREFIX}{image.name}_{copy:02d}": copy for copy in range(options.copies)}
        copies = {name: copy for name, copy in names.items() if not is_written(options.folder, name, made_with)}
        missing += [(image, copies)] if copies else []
    for image, copies in tqdm(missing, unit="case"):
        _write(image, copies, options, made_with)
    return 0


def _without(
    left_out: Sequence[str], images: Sequence[ImageFile], there: Iterable[str], folder: Path
) -> list[ImageFile]:
    """The images that are to be adopted; what is kept for validation must not be in the folder from before either."""
    for name in left_out:
        if not any(image.is_called(name) for image in images):
            called = some_of(image.name for image in images)
            raise VolumeError(f"--leave-out {name} is none of the cases: those are called {called}")
    kept = {image.name for image in images if any(image.is_called(name) for name in left_out)}
    leaks = [name for name in sorted(there) for case in kept if fullmatch(rf"{_PREFIX}{escape(case)}_\d+", name)]
    if leaks:
        raise VolumeError(
            f"{folder} holds {leaks[0]}, of a case to be left out: use an empty folder, or delete it there"
        )
    if len(kept) == len(images):
        raise VolumeError("--leave-out leaves no image to adopt")
    return [image for image in images if image.name not in kept]


def _described(options: argparse.Namespace) -> str:
    """What the options make of a case, in a few words."""
    labels = " ".join(map(str, sorted(options.labels))) if options.labels else "all"
    lesions = f"mask {options.mask}, labels {labels}" if options.mask else "no mask"
    return f"{lesions}, brain {options.brain}" if options.brain else f"{lesions}, skull-stripped"


def _write(file: ImageFile, copies: dict[str, int], options: argparse.Namespace, made_with: str) -> None:
    """Write some copies of one case, by name and number."""
    image, affine = (read_image if options.brain else read_stripped)(file.path)
    folder, labels = file.path.parent, options.labels
    lesions = read_lesions(folder / options.mask, file.path, labels) if options.mask else np.zeros(image.shape, bool)
    brain = read_brain(folder / options.brain, file.path) if options.brain else None
    # Of the name alone: the same volumes come of a case whatever others there are. An even one leaves a copy's
    # number to tell whether lesions are painted.
    seed = 1000 * crc32(file.name.encode())
    for name, copy in copies.items():
        try:
            volume = adopt(image, affine, lesions, seed + copy, brain=brain)
        except NothingToSegmentError as error:
            raise VolumeError(f"{file.path} cannot be adopted: {error}") from error
        write_case(options.folder, name, volume, made_with)
