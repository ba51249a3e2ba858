"""``python -m unetr``: make training volumes, train, export, convert, evaluate."""

import argparse
import sys

from unetr.commands import adopt, convert, evaluate, export, synthesize, train


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m unetr", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in (synthesize, adopt, train, export, convert, evaluate):
        command.add_parser(commands)
    options = parser.parse_args(arguments)
    return options.run(options)


if __name__ == "__main__":
    sys.exit(main())
