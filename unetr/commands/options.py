"""Options that several commands share, and what is wrong with a value told before anything is computed."""

import argparse
import math
import os
from collections.abc import Collection, Mapping
from pathlib import Path


def above_zero(text: str) -> float:
    """Read a finite number above 0: the ``type`` of an option."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is no number above 0")
    return number


LABELS = {"labels": "--labels"}
"""What :func:`need` is to know of :func:`add_labels`."""


def add_labels(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--labels", type=int, nargs="+", metavar="N", help="values of the mask that are lesion (default: all but 0)"
    )


def need(options: argparse.Namespace, other: str, needing: Mapping[str, str]) -> None:
    """Refuse options that say nothing without another one: passed over in silence, they would be thought to count.

    Parameters
    ----------
    other
        The option that they need, with its dashes.
    needing
        By their attribute in ``options``, which is None where they are not given: how they are written.

    Raises
    ------
    SystemExit
        When one of them is given, and the other one is not.
    """
    if getattr(options, other.lstrip("-")):
        return
    alone = [written for name, written in needing.items() if getattr(options, name) is not None]
    if alone:
        raise SystemExit(f"{alone[0]} says nothing without {other}: give both, or neither")


def make_room(path: Path | None, endings: Collection[str] = ()) -> None:
    """Make the folder that a result is to be written into, before hours are spent on it.

    Parameters
    ----------
    path
        Of the file; none where it is not wanted.
    endings
        Without their dots, lower case; empty: any.

    Raises
    ------
    SystemExit
        When the file has another ending, or cannot be written.
    """
    if path is None:
        return
    if endings and path.suffix[1:].lower() not in endings:
        raise SystemExit(f"{path} does not end in one of these: {', '.join(sorted(endings))}")
    if path.is_dir():
        raise SystemExit(f"{path} is a folder: name a file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SystemExit(f"{path} cannot be written: {error}") from error
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise SystemExit(f"{path} cannot be written: this user may not")
