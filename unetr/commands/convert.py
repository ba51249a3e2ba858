"""``python -m unetr convert``: a MetIA checkpoint as a MONAI bundle."""

import argparse
from pathlib import Path

from tqdm import tqdm

from unetr.loading.conversion import convert

_EXAMPLES = """examples:
  python -m unetr convert checkpoint.cpkt models/metia
  python -m unetr convert checkpoint.cpkt models/metia --name "MetIA of our site" --version 2.0
"""


def describe(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Write a bundle that MODEL_PATH can point to. Nothing in the checkpoint is run. "
        "(MODEL_PATH may also be the checkpoint itself: the worker then converts it once.)"
    )
    parser.epilog = _EXAMPLES
    parser.add_argument("checkpoint", type=Path, help="the file, .ckpt or .cpkt")
    parser.add_argument("bundle", type=Path, help="bundle folder to write, not there yet")
    parser.add_argument("--name", default="MetIA", help="shown with every result (default: %(default)s)")
    parser.add_argument("--version", help="default: the beginning of the checkpoint's SHA-256")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    bar_format = "{percentage:3.0f}% |{bar:40}| {elapsed}"
    with tqdm(total=1.0, bar_format=bar_format, leave=False) as bar:

        def show(fraction: float) -> None:
            bar.n = fraction
            bar.refresh()

        convert(options.checkpoint, options.bundle, name=options.name, version=options.version, on_progress=show)
    print(f"{options.bundle} is written: set MODEL_PATH to it.")  # noqa: T201 - the command's answer
    return 0
