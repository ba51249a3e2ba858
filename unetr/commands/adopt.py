"""``python -m unetr adopt``: make training volumes of labelled real ones."""

import argparse
from pathlib import Path

import numpy as np
from tqdm import tqdm

from unetr.commands.cases import find_images
from unetr.commands.nifti import check, read_brain, read_image, read_lesions
from unetr.commands.options import add_labels
from unetr.synthesis.pool import case_names, write_case
from unetr.synthesis.real import adopt

_EXAMPLES = """examples:
  python -m unetr adopt runs/real --images 'cases/*/t1ce.nii.gz' --mask seg.nii.gz --labels 1 4 --copies 4
  python -m unetr adopt runs/heads --images 'heads/*/t1.nii.gz' --brain brain.nii.gz
  python -m unetr train runs/pool runs/real --run runs/both
"""


def describe(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Deform labelled post-contrast T1 (NIfTI), or healthy T1, and paint synthetic lesions into every other copy. "
        "Runs again where it stopped."
    )
    parser.epilog = _EXAMPLES
    parser.add_argument("folder", type=Path, help="where the volumes go (NIfTI)")
    parser.add_argument("--images", metavar="PATTERN", required=True, help="NIfTI images, a pattern with *")
    parser.add_argument("--mask", help="name of the lesions' mask beside each image (default: no lesion)")
    parser.add_argument(
        "--brain", help="name of the brain's mask beside each image: whole heads (default: skull-stripped)"
    )
    add_labels(parser)
    parser.add_argument("--leave-out", nargs="*", default=[], metavar="CASE", help="folders' names kept for validation")
    parser.add_argument("--copies", type=int, default=4, help="volumes made of each (default: %(default)s)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    options.folder.mkdir(parents=True, exist_ok=True)
    there = set(case_names(options.folder))
    paths = [file.path for file in find_images(options.images) if file.path.parent.name not in options.leave_out]
    if not paths:
        raise SystemExit(f"{options.images} matches no image that is not left out")
    check(paths, options.mask, options.brain)
    for number, path in enumerate(tqdm(paths, unit="case")):
        image, affine = read_image(path)
        none = np.zeros(image.shape, bool)
        reference = read_lesions(path.parent / options.mask, path, options.labels) if options.mask else none
        brain = read_brain(path.parent / options.brain, path) if options.brain else None
        for copy in range(options.copies):
            name = f"real_{path.parent.name}_{copy:02d}"
            if name not in there:
                seed = 1000 * number + copy
                volume = adopt(image, affine, reference, seed, brain=brain)
                write_case(options.folder, name, volume)
    return 0
