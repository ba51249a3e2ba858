"""What kind of synthetic heads a command makes: the options, and the anatomy that they are warped from."""

import argparse
from pathlib import Path
from zlib import crc32

from unetr.commands.nifti import read_brain, read_image
from unetr.commands.options import whole
from unetr.errors import told
from unetr.synthesis.anatomy import Anatomy, mni152
from unetr.volume_error import VolumeError

HEADS = {"lesions": "--lesions", "stripped": "--whole-head or --stripped", "anatomy": "--anatomy"}
"""The options, for :func:`unetr.commands.options.need`."""


def add_head_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--lesions", type=whole(0), help="lesions in each synthetic volume (default: 0-30 at random)")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument(
        "--whole-head", dest="stripped", action="store_false", default=None, help="synthetic ones (default: either)"
    )
    kind.add_argument("--stripped", dest="stripped", action="store_true", help="the same heads without their skulls")
    parser.add_argument(
        "--anatomy",
        type=Path,
        nargs=2,
        metavar=("T1", "BRAIN"),
        help="warp synthetic heads from this healthy one and its brain's mask, NIfTI (default: the MNI152 template)",
    )


def chosen_anatomy(options: argparse.Namespace) -> Anatomy:
    """The template, or the head that the options name: that takes a minute.

    Raises
    ------
    VolumeError
        When that is none that heads can be warped from.
    """
    if options.anatomy is None:
        return mni152()
    from unetr.synthesis.own_head import head_anatomy  # SimpleITK takes a second to load

    path, mask = options.anatomy
    image, affine = read_image(path)
    brain = read_brain(mask, path)
    try:
        return head_anatomy(image, affine, brain)
    except RuntimeError as error:  # SimpleITK's, which knows no other
        raise VolumeError(f"{path} cannot be laid over the template: {told(error)}") from error


def described(options: argparse.Namespace) -> str:
    """What the options make synthetic heads of, in a few words; another anatomy has another number."""
    lesions = "random" if options.lesions is None else options.lesions
    kind = {None: "either kind", True: "stripped", False: "whole heads"}[options.stripped]
    content = b"".join(path.read_bytes() for path in options.anatomy or ())
    return f"lesions {lesions}, {kind}, anatomy {crc32(content):08x}" if content else f"lesions {lesions}, {kind}"
