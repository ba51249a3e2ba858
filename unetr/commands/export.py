"""``python -m unetr export``: the averaged weights of a training as a MONAI bundle."""

import argparse
from pathlib import Path

from unetr.bundle import read_bundle
from unetr.commands.postprocessing import add_postprocessing, chosen_postprocessing
from unetr.training.checkpoint import read_checkpoint
from unetr.training.export import INTENDED_USE, export_bundle

_EXAMPLES = """examples:
  python -m unetr export runs/first models/mine --name "My UNETR" --version 1.0
  python -m unetr export runs/first models/mine --name "My UNETR" --version 1.0 --peak 0.8 --minimum-volume 20
  python -m unetr export runs/more models/next --name "My UNETR" --version 1.1 --average-with models/mine
"""
_UNMEASURED = "Not a medical device. Not yet measured: run python -m unetr evaluate and write here what it says."


def describe(parser: argparse.ArgumentParser) -> None:
    parser.description = "Write a bundle that MODEL_PATH can point to. Weights are stored in half precision."
    parser.epilog = _EXAMPLES
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="the folder given to train --run")
    parser.add_argument("bundle", type=Path, help="bundle folder to write; of one that is there, docs stay")
    parser.add_argument("--name", required=True, help="name of the model, shown with every result")
    parser.add_argument("--version", required=True)
    parser.add_argument("--statement", default=_UNMEASURED, help="one sentence: how good, measured on what")
    parser.add_argument("--description", default="Brain metastases in post-contrast T1.")
    add_postprocessing(parser)
    parser.add_argument(
        "--average-with",
        type=Path,
        metavar="BUNDLE",
        help="write the mean of the weights and of this bundle's, which the training began with (train --start-from)",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    metadata = {
        "name": options.name,
        "version": options.version,
        "statement": options.statement,
        "description": options.description,
        "intended_use": INTENDED_USE,
        "postprocessing": chosen_postprocessing(options),
    }
    before = read_bundle(options.average_with) if options.average_with else None
    export_bundle(read_checkpoint(options.run_folder / "last.ckpt"), options.bundle, metadata, before)
    return 0
