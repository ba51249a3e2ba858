"""``python -m unetr``: make training volumes, train, export, convert, tune, evaluate, compare, segment, list models."""

import argparse
import importlib
import sys

from settings import SettingsError
from unetr.errors import ModelError
from unetr.volume_error import VolumeError

COMMANDS = {
    "synthesize": "make labelled training volumes",
    "adopt": "make training volumes of labelled real ones",
    "train": "train a network",
    "export": "write a trained network as a MONAI bundle",
    "convert": "write a MetIA checkpoint as a MONAI bundle",
    "tune": "choose a model's threshold and peak",
    "evaluate": "measure how good a model is",
    "compare": "tell whether one model is better than another by more than chance",
    "segment": "mark the lesions in NIfTI images",
    "models": "list the models there are, and why others cannot be used",
}
"""What each module of ``unetr.commands`` is for. Only the one that is asked for is imported: torch takes seconds."""


def main(arguments: list[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(prog="python -m unetr", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    try:
        for name, purpose in COMMANDS.items():
            command = commands.add_parser(name, help=purpose, formatter_class=argparse.RawDescriptionHelpFormatter)
            if name in arguments[:1]:
                importlib.import_module(f"unetr.commands.{name}").describe(command)
        options = parser.parse_args(arguments)
        return options.run(options)
    except (ModelError, SettingsError, VolumeError) as error:
        print(f"python -m unetr {options.command}: {error}", file=sys.stderr)  # noqa: T201 - the command's answer
        return 1
    except KeyboardInterrupt:  # also while libraries are loaded, which takes seconds
        print("interrupted", file=sys.stderr)  # noqa: T201 - the command's answer
        return 130


if __name__ == "__main__":
    sys.exit(main())
