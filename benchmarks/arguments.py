"""The command line of a benchmark."""

import argparse
from pathlib import Path


def new_parser(name: str, description: str, examples: str) -> argparse.ArgumentParser:
    """Begin the command line of ``python -m benchmarks NAME``; the examples are printed as they stand."""
    return argparse.ArgumentParser(
        prog=f"python -m benchmarks {name}",
        description=description,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add the option that names another model than the server's."""
    parser.add_argument("--model", type=Path, help="bundle folder, or MetIA checkpoint (default: MODEL_PATH)")
