"""``python -m unetr convert``: a MetIA checkpoint as a MONAI bundle."""

import argparse
import sys
from pathlib import Path

from tqdm import tqdm

from unetr.bundle import ModelError
from unetr.loading.conversion import convert

_EXAMPLES = """examples:
  python -m unetr convert checkpoint.cpkt models/metia
  python -m unetr convert checkpoint.cpkt models/metia --name "MetIA of our site" --version 2.0
"""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        "convert",
        help="write a MetIA checkpoint as a MONAI bundle",
        description="Write a bundle that MODEL_PATH can point to. Nothing in the checkpoint is run. "
        "(MODEL_PATH may also be the checkpoint itself: the worker then converts it once.)",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("checkpoint", type=Path, help="the file, .ckpt or .cpkt")
    parser.add_argument("bundle", type=Path, help="bundle folder to write, not there yet")
    parser.add_argument("--name", default="MetIA", help="shown with every result (default: %(default)s)")
    parser.add_argument("--version", help="default: the beginning of the checkpoint's SHA-256")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    bar_format = "{percentage:3.0f}% |{bar:40}| {elapsed}"
    try:
        with tqdm(total=1.0, bar_format=bar_format, leave=False) as bar:

            def show(fraction: float) -> None:
                bar.n = fraction
                bar.refresh()

            convert(options.checkpoint, options.bundle, name=options.name, version=options.version, on_progress=show)
    except ModelError as error:
        print(f"python -m unetr convert: {error}", file=sys.stderr)  # noqa: T201 - the command's answer
        return 1
    print(f"{options.bundle} is written: set MODEL_PATH to it.")  # noqa: T201 - the command's answer
    return 0
